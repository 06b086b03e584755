"""The tables of the shared state, in SQL that SQLite and PostgreSQL both accept.

Times are seconds since the epoch: statements compare and add them, which the two databases' own types do
differently. Tables are never altered. A table that needs other columns gets another name.
"""

from __future__ import annotations

TABLES = {
    # One row per rate limit. `next_at`: when the next call is due if calls are evenly spaced. `not_before`:
    # the end of a Retry-After. `share`: the fraction of the configured rate that Google was last found to
    # grant, as of `share_at` (null: never refused).
    "gsc_api_limits": """
        key TEXT PRIMARY KEY,
        next_at DOUBLE PRECISION NOT NULL DEFAULT 0,
        not_before DOUBLE PRECISION NOT NULL DEFAULT 0,
        share DOUBLE PRECISION NOT NULL DEFAULT 1,
        share_at DOUBLE PRECISION
    """,
    # One row per API or token endpoint that ever failed. `failures`: how many calls given up count, while the
    # circuit is closed (release 0.1.0: failed attempts). `opened_at` is null while the circuit is closed.
    # `probe` identifies the one call that is let through while it is half open, until `probe_until`.
    "gsc_api_breakers": """
        key TEXT PRIMARY KEY,
        failures INTEGER NOT NULL DEFAULT 0,
        opened_at DOUBLE PRECISION,
        cause TEXT NOT NULL DEFAULT '',
        probe TEXT,
        probe_until DOUBLE PRECISION
    """,
    # One row per call given up since the last answer. `key`: that of the breaker. `owner`: the property or
    # credential. `call`: a hash of the request.
    "gsc_calls_given_up": """
        key TEXT NOT NULL,
        owner TEXT NOT NULL,
        call TEXT NOT NULL,
        PRIMARY KEY (key, owner, call)
    """,
    # One row per tick of the schedule. `workspaces`: a JSON list of the workspaces that it requested runs
    # for, at once or later. `runs`: the number of runs requested at once. `ended_at` is null until every run
    # has ended and no workspace waits to be tried again.
    "gsc_ticks": """
        tick TEXT PRIMARY KEY,
        begun_at DOUBLE PRECISION NOT NULL,
        workspaces TEXT NOT NULL,
        runs INTEGER NOT NULL,
        ended_at DOUBLE PRECISION
    """,
    # The outcome of one workspace in a tick: the event `workspace_sync.complete` as JSON.
    "gsc_tick_outcomes": """
        tick TEXT NOT NULL,
        workspace TEXT NOT NULL,
        event TEXT NOT NULL,
        PRIMARY KEY (tick, workspace)
    """,
    # The runs that were requested for a tick. `job`: gsc_sync, gsc_more or gsc_insights, as ticks of two
    # schedules may be due at the same moment. `number`: 0 for the first runs, 1 and more for deferred
    # workspaces that are tried again. `workspaces`: a JSON list with the list of each run's workspaces.
    "gsc_tick_requests": """
        job TEXT NOT NULL,
        tick TEXT NOT NULL,
        number INTEGER NOT NULL,
        requested_at DOUBLE PRECISION NOT NULL,
        workspaces TEXT NOT NULL,
        PRIMARY KEY (job, tick, number)
    """,
    # The ticks that have ended and whose summary is not known to be reported.
    "gsc_tick_summaries_due": """
        tick TEXT PRIMARY KEY
    """,
    # One row per workspace that is being synced (`sync.lease`), by which process, and when it last said so.
    "gsc_sync_leases": """
        workspace TEXT PRIMARY KEY,
        token TEXT NOT NULL,
        run_id TEXT NOT NULL,
        host TEXT NOT NULL,
        pid INTEGER NOT NULL,
        process TEXT NOT NULL,
        since DOUBLE PRECISION NOT NULL,
        renewed_at DOUBLE PRECISION NOT NULL
    """,
    # One row per alert address. `key`: a hash of the address. `kinds`: a JSON list of the kinds of alert that
    # were last sent to it, and of `kind:workspace`; `updated_at`: when these were observed. While an alert is
    # being sent, `<key> sending` holds the sender's claim in `kinds`, and the time of the claim.
    "gsc_alerts": """
        key TEXT PRIMARY KEY,
        kinds TEXT NOT NULL,
        updated_at DOUBLE PRECISION NOT NULL
    """,
}
