"""The sensor that keeps Dagster's list of workspaces in step with the workspaces file."""

from typing import Any

import dagster as dg

from gsc_pipeline.jobs import IN_FLIGHT, workspaces_of
from gsc_pipeline.partitions import WORKSPACES, registration_gap
from gsc_pipeline.resources import Pipeline


def workspaces_sensor() -> Any:
    """Adds workspaces that the file lists, and removes those it no longer does, once no run needs them.

    The rows of a removed workspace stay in the lake.
    """

    @dg.sensor(
        name="gsc_workspaces_in_step",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Keeps the workspace partitions in step with the workspaces file: a new workspace "
        "appears within half a minute, one that left the file disappears once no run needs it. Its rows stay "
        "in the lake.",
    )
    def gsc_workspaces_in_step(
        context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> dg.SensorResult | dg.SkipReason:
        gap = registration_gap(context.instance, [w.id for w in pipeline.list_workspaces()])
        unused = [workspace for workspace in gap["remove"] if not _in_flight(context.instance, workspace)]
        if not gap["add"] and not unused:
            return dg.SkipReason("the partitions are those of the workspaces file")
        requests = dg.DynamicPartitionsDefinition(name=WORKSPACES)
        return dg.SensorResult(
            dynamic_partitions_requests=[
                *([requests.build_add_request(gap["add"])] if gap["add"] else []),
                *([requests.build_delete_request(unused)] if unused else []),
            ]
        )

    return gsc_workspaces_in_step


def _in_flight(instance: dg.DagsterInstance, workspace: str) -> bool:
    """Whether a run needs the partition."""
    runs = instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT))
    return any(workspace in workspaces_of(run.tags) for run in runs)
