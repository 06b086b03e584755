"""Deletes old runs of the Dagster instance that no asset's status needs.

`delete_run` also deletes the run's events. Dagster then shows the run's partitions as if the run had never
existed:

- A partition becomes missing if the run held its only materialization.
- A partition that was red because of the run's failure is no longer red.
- A partition that the run planned, but neither materialized nor failed on, becomes red again if an earlier
  run failed on it.

Dagster stores check results and an asset's newest materialization separately, but they link to the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

import dagster as dg
from dagster import DagsterEventType as EventType

from gsc_pipeline.defs.dagster_private import (
    delete_run_files,
    last_attempts,
    read_cursor,
    runs_named_by_assets,
    runs_that_planned,
    store_cursor,
)
from gsc_pipeline.sync.ticks import TickBook

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
STATUS_EVENTS = {
    EventType.ASSET_MATERIALIZATION,
    EventType.ASSET_MATERIALIZATION_PLANNED,
    EventType.ASSET_CHECK_EVALUATION,
    EventType.ASSET_CHECK_EVALUATION_PLANNED,
}
"""The events that the status of an asset or a check follows from."""

CURSOR = "gsc_housekeeping/runs_looked_at_until"
PAGE = 500
"""The most runs that are examined together, and the most partitions in one query."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What one call of `prune_runs` did. `is_through`: no old run is left to examine."""

    looked_at: int
    deleted: int
    is_through: bool


@dataclass(slots=True)
class _Traces:
    """What a group of runs materialized (partitions by asset), planned to materialize, and checked."""

    materialized: dict[dg.AssetKey, set[str]] = field(default_factory=dict)
    planned: set[dg.AssetKey] = field(default_factory=set)
    checks: set[dg.AssetCheckKey] = field(default_factory=set)


def prune_runs(instance: dg.DagsterInstance, before: datetime, *, at_most: int = PAGE) -> Pruning:
    """Delete ended runs that were created before `before` and that no status needs, oldest first.

    A run is kept if it holds the newest materialization of a partition or an asset, the newest result of a
    check, or the failure of a partition that is still red. A run is also kept if a partition would become red
    without it. The files of deleted runs are deleted too.

    Examines at most `at_most` runs. The next call continues after them. After the last old run, the next call
    starts again with the oldest, because kept runs may no longer be needed.
    """
    after = read_cursor(instance, CURSOR)
    filters = dg.RunsFilter(
        statuses=ENDED,
        created_before=before.astimezone(UTC),
        created_after=datetime.fromisoformat(after) if after else None,
    )
    looked_at = instance.get_run_records(filters, limit=at_most, order_by="create_timestamp", ascending=True)
    runs = [record.dagster_run for record in looked_at]
    deleted = 0
    for first in range(0, len(runs), PAGE):
        for run in _expendable(instance, runs[first : first + PAGE]):
            instance.delete_run(run.run_id)
            delete_run_files(instance, run.run_id)
            deleted += 1
    is_through = len(runs) < at_most
    until = "" if is_through else looked_at[-1].create_timestamp.replace(tzinfo=UTC).isoformat()
    store_cursor(instance, CURSOR, until)
    return Pruning(len(runs), deleted, is_through)


def forget_ticks(book: TickBook, before: datetime) -> int:
    """Delete the ticks that began before `before`, except the newest one that has ended: a check reads it."""
    last = book.last_ended()
    return book.forget(min(before, last.begun_at) if last else before)


def _expendable(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> Iterator[dg.DagsterRun]:
    """The runs that may be deleted. The caller deletes each run before it requests the next one.

    The deletion of a run can change whether the next run may be deleted.
    """
    traces = _Traces()
    for run in runs:
        _trace_run(instance, run.run_id, traces)
    needed, tried_last = _needed(instance, traces), _tried_last(instance, traces.planned)
    for run in runs:
        if run.run_id not in needed and not _makes_red(instance, run, tried_last.get(run.run_id, {})):
            yield run


def _trace_run(instance: dg.DagsterInstance, run_id: str, traces: _Traces) -> None:
    cursor, has_more = None, True
    while has_more:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=STATUS_EVENTS, limit=1000)
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


def _needed(instance: dg.DagsterInstance, traces: _Traces) -> set[str]:
    """The runs that hold the newest event of anything in the traces."""
    needed = runs_named_by_assets(instance, traces.materialized.keys() | traces.planned)
    for asset, partitions in traces.materialized.items():
        for some in _chunks(sorted(partitions)):
            ids = instance.get_latest_storage_id_by_partition(
                asset, EventType.ASSET_MATERIALIZATION, partitions=set(some)
            ).values()
            newest_of_each = dg.AssetRecordsFilter(asset, storage_ids=list(ids))
            found = instance.fetch_materializations(newest_of_each, limit=len(some)).records
            needed |= {record.run_id for record in found}
    results = map(instance.get_latest_asset_check_evaluation_record, traces.checks)
    return needed | {result.run_id for result in results if result}


def _tried_last(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey]
) -> dict[str, dict[dg.AssetKey, list[str]]]:
    """By run, the partitions that the run was the last to attempt, and that it did not materialize."""
    runs: dict[str, dict[dg.AssetKey, list[str]]] = {}
    for asset in assets:
        for partition, run_id in last_attempts(instance, asset).items():
            runs.setdefault(run_id, {}).setdefault(asset, []).append(partition)
    return runs


def _makes_red(instance: dg.DagsterInstance, run: dg.DagsterRun, tried: dict[dg.AssetKey, list[str]]) -> bool:
    """Whether partitions are red because of the run, or would become red if the run was deleted."""
    if not tried or run.status is dg.DagsterRunStatus.FAILURE:
        return bool(tried)
    earlier = {
        run_id
        for asset, partitions in tried.items()
        for some in _chunks(partitions)
        for run_id in runs_that_planned(instance, asset, some)
    } - {run.run_id}
    if not earlier:
        return False
    failed = dg.RunsFilter(run_ids=list(earlier), statuses=[dg.DagsterRunStatus.FAILURE])
    return bool(instance.get_runs(failed, limit=1))


def _chunks(partitions: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(partitions)
    while some := list(islice(rest, PAGE)):
        yield some
