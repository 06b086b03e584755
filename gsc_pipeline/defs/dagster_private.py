"""All uses of Dagster's undocumented API, one function for each.

Each docstring says why the documented API is not enough. `test_dagster_private` tests the behaviour of
Dagster that the functions rely on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.events import AssetMaterializationPlannedData
from dagster._core.launcher import CheckRunHealthResult as CheckRunHealthResult
from dagster._core.launcher import WorkerStatus as WorkerStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._utils.schedules import get_next_cron_tick


def remote_launcher(instance: dg.DagsterInstance) -> str:
    """The name of the instance's run launcher if it may start runs on other machines, otherwise empty.

    No documented attribute names the launcher of an instance.
    """
    launcher = type(instance.run_launcher).__name__
    return "" if launcher in ("DefaultRunLauncher", "SyncInMemoryRunLauncher") else launcher


def plan_partition(
    instance: dg.DagsterInstance, run: dg.DagsterRun, step_key: str, asset: dg.AssetKey, partition: str
) -> None:
    """Log that the run planned to materialize a partition, so that the partition is failed if the run fails.

    Dagster logs this event only when it creates a run with partitions, and takes about 20 ms for each.
    """
    planned = AssetMaterializationPlannedData(asset, partition=partition)
    event = dg.DagsterEvent.build_asset_materialization_planned_event(run.job_name, step_key, planned)
    instance.report_dagster_event(event, run.run_id, logging.DEBUG)


def runs_named_by_assets(instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey]) -> set[str]:
    """The runs that the UI names on the assets' pages: that of the newest materialization, and the last run.

    `get_asset_records` is documented, but the fields of its records are not.
    """
    entries = [record.asset_entry for record in instance.get_asset_records(list(assets))]
    newest = {entry.last_materialization.run_id for entry in entries if entry.last_materialization}
    return newest | {entry.last_run_id for entry in entries if entry.last_run_id}


def last_attempts(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dict[str, str]:
    """The last run that planned to materialize each partition, if that run did not materialize it.

    `get_status_by_partition` is documented, but does not return the run that a status comes from.
    """
    storage = instance.event_log_storage
    attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(asset)
    return {partition: run_id for partition, (run_id, _) in attempts.items()}


def runs_that_planned(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Sequence[str]
) -> set[str]:
    """The runs that planned to materialize at least one of the partitions.

    `DagsterInstance.get_event_records` is deprecated, and warns about this filter.
    """
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    planned = dg.EventRecordsFilter(kind, asset, asset_partitions=partitions)
    return {record.run_id for record in instance.event_log_storage.get_event_records(planned)}


def delete_run_files(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete the files that `delete_run` leaves: the run's logs, and with SQLite its database of events."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    path_of: Any = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_of:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(path_of(run_id) + suffix).unlink(missing_ok=True)


def delete_check_results(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete the check results that are older than `before`, except the newest ones. Returns how many.

    Dagster itself deletes no check results. The newest result of each check, partition and status stays, so
    that the last completed result is still there while an evaluation is in progress.
    """
    results, storage = AssetCheckExecutionsTable.c, instance.event_log_storage
    newest = sa.select(sa.func.max(results.id)).group_by(
        results.asset_key, results.check_name, results.partition, results.execution_status
    )
    is_old = results.evaluation_event_timestamp < before.astimezone(UTC).replace(tzinfo=None)
    with storage.index_connection() as connection:  # type: ignore[attr-defined]
        old = sa.delete(AssetCheckExecutionsTable).where(is_old, results.id.not_in(newest))
        return int(connection.execute(old).rowcount)


def read_cursor(instance: dg.DagsterInstance, key: str) -> str | None:
    """The text that `store_cursor` stored, or None. Dagster documents cursors for sensors only."""
    return instance.daemon_cursor_storage.get_cursor_values({key}).get(key)


def store_cursor(instance: dg.DagsterInstance, key: str, value: str) -> None:
    """Store a text in the instance for `read_cursor`. Dagster documents cursors for sensors only."""
    instance.daemon_cursor_storage.set_cursor_values({key: value})


def schedule_state(instance: dg.DagsterInstance, name: str) -> tuple[str, Any] | None:
    """The status of a schedule as the instance stores it, and its last tick; None if it stores neither.

    `all_instigator_state` and `get_ticks` have no documentation, but the UI shows what they return. The
    status is RUNNING, STOPPED or DECLARED_IN_CODE. Of several code locations, the last tick counts.
    """
    found: list[tuple[str, Any]] = []
    for state in instance.all_instigator_state():
        if state.name == name:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
            found.append((state.status.value, ticks[0] if ticks else None))
    return max(found, key=lambda one: one[1].timestamp if one[1] else 0.0, default=None)


def next_due(cron: str, after: datetime) -> datetime:
    """When a schedule in UTC is next due after a moment. Dagster's reading of cron has no documented name."""
    # Dagster counts a moment at which the schedule is due as the next one.
    return get_next_cron_tick(cron, after + timedelta(seconds=1), "UTC")
