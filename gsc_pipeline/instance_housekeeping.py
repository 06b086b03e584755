"""Keeping the Dagster instance small: old runs are deleted with their events, and no asset's status changes.

Belongs here: which runs may go, deleting them, and forgetting old ticks of the book. Does not: Dagster's
own ticks (`retention` in dagster.yaml), the lake (`lake.housekeeping`), when it is done (`jobs`).

`delete_run` takes the run's events along, and partitions then look as if the run had never been: one whose
only materialization it held counts as missing, one that its failure made red turns white, and one that it
merely tried without success or failure turns red again where an earlier failure shows through. Results of
checks and an asset's newest materialization are kept by Dagster beside the events, but link to the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterEventType as EventType

from gsc_pipeline.dagster_private import spare_run_files_their_set_up
from gsc_pipeline.ticks import TickBook

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
TELLING = {
    EventType.ASSET_MATERIALIZATION,
    EventType.ASSET_MATERIALIZATION_PLANNED,
    EventType.ASSET_CHECK_EVALUATION,
    EventType.ASSET_CHECK_EVALUATION_PLANNED,
}
"""The events on which the status of an asset or a check rests."""

CURSOR = "gsc_housekeeping/runs_looked_at_until"
PAGE = 500
"""Runs looked at together; also how many partitions one query names."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What one call of `prune_runs` did. `is_through` once no old run is left to look at."""

    looked_at: int
    deleted: int
    is_through: bool


@dataclass(slots=True)
class _Traces:
    """What some runs touched: the partitions they materialized and the assets they meant to, and checks."""

    materialized: dict[dg.AssetKey, set[str]] = field(default_factory=dict)
    planned: set[dg.AssetKey] = field(default_factory=set)
    checks: set[dg.AssetCheckKey] = field(default_factory=set)


def prune_runs(instance: dg.DagsterInstance, before: datetime, *, at_most: int = PAGE) -> Pruning:
    """Delete ended runs that were created before a moment and that no status rests on, oldest first.

    A run stays while it holds the newest materialization of a partition or an asset, the newest result of
    a check, or a partition's failure that nothing has mended, or hides an earlier such failure. Looks at
    `at_most` runs; the next call goes on behind them, and at the end begins anew, since what
    stayed may have been superseded. Files that runs leave beside an SQLite database go as well.
    """
    after = instance.daemon_cursor_storage.get_cursor_values({CURSOR}).get(CURSOR)
    filters = dg.RunsFilter(
        statuses=ENDED,
        created_before=before.astimezone(UTC),
        created_after=datetime.fromisoformat(after) if after else None,
    )
    looked_at = instance.get_run_records(filters, limit=at_most, order_by="create_timestamp", ascending=True)
    runs = [record.dagster_run for record in looked_at]
    deleted = 0
    for first in range(0, len(runs), PAGE):
        spare_run_files_their_set_up(instance, [run.run_id for run in runs[first : first + PAGE]])
        for run in _expendable(instance, runs[first : first + PAGE]):
            _delete(instance, run.run_id)
            deleted += 1
    is_through = len(runs) < at_most
    until = "" if is_through else looked_at[-1].create_timestamp.replace(tzinfo=UTC).isoformat()
    instance.daemon_cursor_storage.set_cursor_values({CURSOR: until})
    return Pruning(len(runs), deleted, is_through)


def forget_ticks(book: TickBook, before: datetime) -> int:
    """Forget the book's ticks that began before a moment; the last one summed up stays for its check."""
    last = book.last_ended()
    return book.forget(min(before, last.begun_at) if last else before)


def _expendable(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> Iterator[dg.DagsterRun]:
    """Those that may go. Each is to be deleted before the next is asked for: it may have been in its way."""
    traces = _Traces()
    for run in runs:
        _trace_run(instance, run.run_id, traces)
    pinned, tried_last = _holders(instance, traces), _tried_last(instance, traces.planned)
    for run in runs:
        if run.run_id not in pinned and not _makes_red(instance, run, tried_last.get(run.run_id, {})):
            yield run


def _trace_run(instance: dg.DagsterInstance, run_id: str, traces: _Traces) -> None:
    cursor, has_more = None, True
    while has_more:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=TELLING, limit=1000)
        for record in page.records:
            _trace(record.event_log_entry.get_dagster_event(), traces)
        cursor, has_more = page.cursor, page.has_more


def _trace(event: dg.DagsterEvent, traces: _Traces) -> None:
    asset = event.asset_key
    match event.event_type:
        case EventType.ASSET_CHECK_EVALUATION:
            traces.checks.add(event.asset_check_evaluation_data.asset_check_key)
        case EventType.ASSET_CHECK_EVALUATION_PLANNED:
            traces.checks.add(event.asset_check_planned_data.asset_check_key)
        case EventType.ASSET_MATERIALIZATION_PLANNED if asset:
            traces.planned.add(asset)
        case EventType.ASSET_MATERIALIZATION if asset:
            partitions = traces.materialized.setdefault(asset, set())
            if event.partition is not None:
                partitions.add(event.partition)


def _holders(instance: dg.DagsterInstance, traces: _Traces) -> set[str]:
    """The runs that hold what is newest of what these traces touch."""
    holders: set[str] = set()
    assets = traces.materialized.keys() | traces.planned
    for record in instance.get_asset_records(list(assets)):
        newest = record.asset_entry.last_materialization
        holders |= {record.asset_entry.last_run_id or "", newest.run_id if newest else ""}
    for asset, partitions in traces.materialized.items():
        for some in _chunks(sorted(partitions)):
            ids = instance.get_latest_storage_id_by_partition(
                asset, EventType.ASSET_MATERIALIZATION, partitions=set(some)
            ).values()
            newest_of_each = dg.AssetRecordsFilter(asset, storage_ids=list(ids))
            found = instance.fetch_materializations(newest_of_each, limit=len(some)).records
            holders |= {record.run_id for record in found}
    results = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(traces.checks))
    return holders | {result.run_id for result in results.values()}


def _tried_last(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey]
) -> dict[str, dict[dg.AssetKey, list[str]]]:
    """By run, the partitions that it was the last to try, without materializing them."""
    runs: dict[str, dict[dg.AssetKey, list[str]]] = {}
    for asset in assets:
        storage = instance.event_log_storage
        tried = storage.get_latest_asset_partition_materialization_attempts_without_materializations(asset)
        for partition, (run_id, _) in tried.items():
            runs.setdefault(run_id, {}).setdefault(asset, []).append(partition)
    return runs


def _makes_red(instance: dg.DagsterInstance, run: dg.DagsterRun, tried: dict[dg.AssetKey, list[str]]) -> bool:
    """Whether partitions are red by the run's failure, or would be by an earlier one's if it were gone."""
    if not tried or run.status is dg.DagsterRunStatus.FAILURE:
        return bool(tried)
    earlier = {
        record.run_id
        for asset, partitions in tried.items()
        for some in _chunks(partitions)
        for record in instance.event_log_storage.get_event_records(
            dg.EventRecordsFilter(EventType.ASSET_MATERIALIZATION_PLANNED, asset, asset_partitions=some)
        )
    } - {run.run_id}
    if not earlier:
        return False
    failed = dg.RunsFilter(run_ids=list(earlier), statuses=[dg.DagsterRunStatus.FAILURE])
    return bool(instance.get_runs(failed, limit=1))


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    # SQLite has a file of events for each run, which Dagster empties and leaves.
    path_of: Any = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_of:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(path_of(run_id) + suffix).unlink(missing_ok=True)


def _chunks(partitions: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(partitions)
    while some := list(islice(rest, PAGE)):
        yield some
