"""The one place that imports what Dagster does not promise to keep. A test pins each name used here."""

from __future__ import annotations

import logging

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.events import AssetMaterializationPlannedData


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
