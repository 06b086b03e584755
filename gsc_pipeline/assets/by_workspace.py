"""What the assets that are partitioned by workspace alone share: one run brings one table up to date.

Belongs here: the run, its event, and how it ends. Does not: what is read (`sync`), which assets there are
(a module each).
"""

from collections.abc import Callable, Iterator
from contextlib import closing

import dagster as dg

from gsc_pipeline.assets.searchdata import RETRIES
from gsc_pipeline.assets.specs import column_schema
from gsc_pipeline.jobs import TICK_TAG
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.partitions import ListedWorkspaces
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.sync.sources import SourceReport
from gsc_pipeline.workspaces import Workspace

SyncTable = Callable[[Workspace, SearchConsole, Pipeline, str], SourceReport]
"""Brings one table up to date for a workspace; the text is the run's id."""


def workspace_asset(
    table: TableSpec,
    sync: SyncTable,
    partitions: ListedWorkspaces,
    retries: dg.RetryPolicy = RETRIES,
) -> dg.AssetsDefinition:
    """The asset of `table`, brought up to date for one workspace by `sync`."""

    @dg.asset(
        name=table.name,
        description=table.description,
        partitions_def=partitions,
        metadata={"dagster/column_schema": column_schema(table)},
        kinds={"deltalake"},
        group_name="search_console",
        retry_policy=retries,
        # A scheduled run that may ask nothing makes nothing: the schedule asks for another tomorrow.
        output_required=False,
    )
    def asset(
        context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> Iterator[dg.MaterializeResult[None]]:
        workspace = listed_workspace(pipeline, context.partition_key)
        with closing(pipeline.open_console(workspace)) as console:
            report = sync(workspace, console, pipeline, context.run.run_id)
        for problem in report.problems:
            context.log.warning(f"{workspace.id}: {problem}")
        if report.is_held_back and TICK_TAG in context.run.tags:
            return
        if report.is_incomplete:
            raise dg.Failure(
                f"{workspace.id}: {report.reason}",
                metadata=_numbers(report),
                allow_retries=report.is_worth_retrying,
            )
        yield dg.MaterializeResult(metadata=_numbers(report))

    return asset


def listed_workspace(pipeline: Pipeline, id_: str) -> Workspace:
    """The workspace as the file lists it now. Fails the run, once, where it does not."""
    try:
        listed = {workspace.id: workspace for workspace in pipeline.list_workspaces()}
    except ConfigurationError as error:
        raise dg.Failure(f"nothing was read: {error}", allow_retries=False) from None
    if id_ not in listed:
        raise dg.Failure(f"nothing was read: the workspaces file does not list {id_}", allow_retries=False)
    return listed[id_]


def _numbers(report: SourceReport) -> dict[str, dg.MetadataValue]:
    return {
        "rows": dg.MetadataValue.int(report.rows),
        "read": dg.MetadataValue.int(report.read),
        "unchanged": dg.MetadataValue.int(report.unchanged),
        "properties": dg.MetadataValue.int(report.properties),
        "calls": dg.MetadataValue.int(report.usage.calls),
        "retries": dg.MetadataValue.int(report.usage.retries),
        "seconds": dg.MetadataValue.float(round(report.seconds, 3)),
        "problems": dg.MetadataValue.json([str(problem) for problem in report.problems]),
    }
