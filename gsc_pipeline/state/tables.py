"""The tables of the shared state, in SQL that SQLite and PostgreSQL both read.

Belongs here: names, columns, units. Does not: what is done with them. Moments are seconds since 1970 (UTC):
they are compared and added to within statements, which the two databases' own types do differently.
A table is only ever added, or given another name: what an older version wrote is never rewritten.
"""

from __future__ import annotations

TABLES = {
    # One row per key that calls are counted under. `next_at` is when the next call would be due were calls
    # evenly spaced, `not_before` when the API asked to be left alone until, `share` the part of the
    # configured rate that it was last found to grant, as of `share_at` (null: never refused).
    "gsc_api_limits": """
        key TEXT PRIMARY KEY,
        next_at DOUBLE PRECISION NOT NULL DEFAULT 0,
        not_before DOUBLE PRECISION NOT NULL DEFAULT 0,
        share DOUBLE PRECISION NOT NULL DEFAULT 1,
        share_at DOUBLE PRECISION
    """,
    # One row per API or token endpoint that ever failed. `opened_at` is null while closed; `probe` names the
    # one call that may find out whether it is back, until `probe_until`.
    "gsc_api_breakers": """
        key TEXT PRIMARY KEY,
        failures INTEGER NOT NULL DEFAULT 0,
        opened_at DOUBLE PRECISION,
        cause TEXT NOT NULL DEFAULT '',
        probe TEXT,
        probe_until DOUBLE PRECISION
    """,
    # One row per tick of the schedule. `workspaces` is a JSON list of those it asked runs for, `runs` how
    # many runs; `ended_at` is null until its summary is told.
    "gsc_ticks": """
        tick TEXT PRIMARY KEY,
        begun_at DOUBLE PRECISION NOT NULL,
        workspaces TEXT NOT NULL,
        runs INTEGER NOT NULL,
        ended_at DOUBLE PRECISION
    """,
    # Which run syncs these workspaces (their ids, separated by spaces) for a tick: the first that began.
    "gsc_tick_runs": """
        tick TEXT NOT NULL,
        workspaces TEXT NOT NULL,
        run_id TEXT NOT NULL,
        PRIMARY KEY (tick, workspaces)
    """,
    # What a run of a tick says of one workspace: the event `workspace_sync.complete` as JSON.
    "gsc_tick_outcomes": """
        tick TEXT NOT NULL,
        workspace TEXT NOT NULL,
        event TEXT NOT NULL,
        PRIMARY KEY (tick, workspace)
    """,
}
