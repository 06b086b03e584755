"""The one place that imports what Dagster does not promise to keep. A test pins each name used here."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.events import AssetMaterializationPlannedData
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable


def instance_in_scope() -> dg.DagsterInstance | None:
    """The instance for which Dagster is resolving partition keys right now; None outside of that.

    Dagster's command line validates a key before any code of ours runs, and hands the instance over only
    through this context.
    """
    with partition_loading_context() as context:
        store = context.dynamic_partitions_store
        return store if isinstance(store, dg.DagsterInstance) else None


def plan_partition(
    instance: dg.DagsterInstance, run: dg.DagsterRun, step_key: str, asset: str, partition: str
) -> None:
    """Log that the run was to materialize a partition, so that it is red there when the run fails.

    Dagster itself logs this beforehand for every partition of a run's range, at some 20 ms each.
    """
    planned = AssetMaterializationPlannedData(dg.AssetKey(asset), partition=partition)
    event = dg.DagsterEvent.build_asset_materialization_planned_event(run.job_name, step_key, planned)
    instance.report_dagster_event(event, run.run_id, logging.DEBUG)


def spare_run_files_their_set_up(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> None:
    """Tell the instance that these runs' files of events have their tables, where they have.

    With SQLite each run has a database of its own. Dagster compares its schema with all of its migrations
    when it first opens one, which is most of the time that the deletion of an old run takes, and never does
    anything about a file that has a schema. Nothing happens with other storages.
    """
    storage: Any = instance.event_log_storage
    if hasattr(storage, "path_for_shard") and hasattr(storage, "_initialized_dbs"):
        storage._initialized_dbs.update(run for run in run_ids if _has_tables(storage.path_for_shard(run)))


def delete_check_results(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete the results of checks from before a moment, save the newest of each; answers how many.

    Dagster keeps every result for good. The newest of each status stays, so that an evaluation under way
    hides none.
    """
    results, storage = AssetCheckExecutionsTable.c, instance.event_log_storage
    newest = sa.select(sa.func.max(results.id)).group_by(
        results.asset_key, results.check_name, results.partition, results.execution_status
    )
    is_old = results.evaluation_event_timestamp < before.astimezone(UTC).replace(tzinfo=None)
    with storage.index_connection() as connection:  # type: ignore[attr-defined]
        old = sa.delete(AssetCheckExecutionsTable).where(is_old, results.id.not_in(newest))
        return int(connection.execute(old).rowcount)


def delete_tags_without_run(instance: dg.DagsterInstance) -> int:
    """Delete the tags of runs that are gone, which SQLite leaves behind; answers how many."""
    gone = RunTagsTable.c.run_id.not_in(sa.select(RunsTable.c.run_id))
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        return int(connection.execute(sa.delete(RunTagsTable).where(gone)).rowcount)


def _has_tables(file: str) -> bool:
    if not Path(file).exists():
        return False
    with closing(sqlite3.connect(f"{Path(file).as_uri()}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE name IN ('event_logs', 'alembic_version')"
        ).fetchone()
    return bool(count == 2)
