"""What the syncs in `sync_runs` come to: sums over all of them, and for each workspace its last ones."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.incremental import FILE
from gsc_pipeline.search_console.call_times import CALL_BOUNDS, NO_CALLS, CallTimes
from gsc_pipeline.sync.outcome import HAS_FAILED, IS_SYNC, WAS_COMPLETE

BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""The upper bounds in seconds of the histogram of sync durations, without infinity."""

_SUMS = ("rows", "calls", "retries")
_WITHIN = tuple(f"le_{number}" for number in range(len(BUCKETS)))
_CALLS = tuple(f"calls_{number}" for number in range(len(CALL_BOUNDS) + 1))

_KEPT = 50
"""The most syncs of a workspace that are kept of a file, of those since its last complete one."""

RUNS = f"""
    SELECT * REPLACE (list_reverse_sort(list_filter(
        incomplete, lambda run: run.started_at > coalesce(last_good_sync, '-infinity'::TIMESTAMPTZ)
    ))[:{_KEPT}] AS incomplete) FROM (
        SELECT {FILE}, workspace, max(started_at) AS last_sync,
               arg_max(seconds, started_at) AS last_sync_seconds,
               max(started_at) FILTER ({WAS_COMPLETE}) AS last_good_sync,
               max(started_at) FILTER (days_read > 0) AS moved_at,
               list({{'started_at': started_at, 'run_id': run_id, 'has_failed': {HAS_FAILED}}})
                   AS incomplete,
               sum("rows")::BIGINT AS "rows", sum(calls)::BIGINT AS calls, sum(retries)::BIGINT AS retries,
               count(*) AS syncs, sum(round(seconds * 1000)::BIGINT)::BIGINT AS milliseconds,
               sum(call_milliseconds)::BIGINT AS call_milliseconds,
               {", ".join(f"sum(calls_by_duration[{i}])::BIGINT AS {n}" for i, n in enumerate(_CALLS, 1))},
               {", ".join(f"count(*) FILTER (seconds <= {BUCKETS[i]}) AS {n}" for i, n in enumerate(_WITHIN))}
        FROM rows WHERE {IS_SYNC} GROUP BY {FILE}, workspace
    )
"""
"""The results for each file of `sync_runs`, by workspace, of its RUN_COLUMNS."""

RUN_COLUMNS = (
    *("workspace", "run_id", "started_at", "seconds", "outcome", "problems", "days_read"),
    *_SUMS,
    *("calls_by_duration", "call_milliseconds"),
)

COMBINED_RUNS = {
    **dict.fromkeys(("last_sync", "last_good_sync", "moved_at"), "max"),
    "last_sync_seconds": "last",
}
"""How these are combined into the fields of WorkspaceState, in the order of `last_sync`."""


@dataclass(frozen=True, slots=True)
class SyncTotals:
    """Sums over every sync of the search data in the lake. `calls` include `retries`.

    `within` has, for each of BUCKETS, the number of syncs that took at most so many seconds. `call_times` are
    those of all syncs except those of release 0.1.0. Whole numbers have the same sum in any order: no counter
    falls when files are joined.
    """

    rows: int = 0
    calls: int = 0
    retries: int = 0
    syncs: int = 0
    milliseconds: int = 0
    within: tuple[int, ...] = (0,) * len(BUCKETS)
    call_times: CallTimes = NO_CALLS

    @classmethod
    def of(cls, runs: pa.Table) -> SyncTotals:
        """The sums of the results for each file."""
        names = (*_SUMS, "syncs", "milliseconds", *_WITHIN, *_CALLS, "call_milliseconds")
        sums = {name: pc.sum(runs[name]).as_py() or 0 for name in names}
        within = tuple(sums.pop(name) for name in _WITHIN)
        call_times = CallTimes(tuple(sums.pop(name) for name in _CALLS), sums.pop("call_milliseconds"))
        return cls(**sums, within=within, call_times=call_times)


def in_a_row(
    runs: pa.Table,
    runs_of: Mapping[str, Mapping[str, Any]],
    unfinished: Collection[str],
    ticks: Sequence[datetime],
) -> dict[str, dict[str, Any]]:
    """The syncs in a row of each workspace whose last sync was not complete, as fields of its state."""
    rows = runs.filter(pc.greater(pc.list_value_length(runs["incomplete"]), 0))
    last_attempts: defaultdict[str, dict[Any, dict[str, Any]]] = defaultdict(dict)
    for row in rows.select(["workspace", "incomplete"]).to_pylist():
        complete_at = runs_of[row["workspace"]]["last_good_sync"]
        of_workspace = last_attempts[row["workspace"]]
        for run in row["incomplete"]:
            is_later = complete_at is None or run["started_at"] > complete_at
            # A tick may try a workspace again in another run.
            sync = bisect(ticks, run["started_at"]) or run["run_id"]
            known = of_workspace.get(sync, run)
            if is_later and run["run_id"] not in unfinished and known["started_at"] <= run["started_at"]:
                of_workspace[sync] = run
    counts = {}
    for workspace, attempts in last_attempts.items():
        newest_first = sorted(attempts.values(), key=lambda run: run["started_at"], reverse=True)
        failed = list(takewhile(lambda run: run["has_failed"], newest_first))
        counts[workspace] = {"failed_in_a_row": len(failed), "incomplete_in_a_row": len(newest_first)}
    return counts
