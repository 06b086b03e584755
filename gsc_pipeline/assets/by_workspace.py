"""What the assets that are partitioned by workspace alone share: one run brings one table up to date.

Belongs here: reading, the event, what counts as failed. Does not: the workspaces of a run (`shared_runs`),
what is read (`sync`), which assets there are (a module each).
"""

from collections.abc import Callable, Iterator
from contextlib import closing

import dagster as dg

from gsc_pipeline.assets.shared_runs import RETRIES, OneOfARun, for_each_workspace
from gsc_pipeline.assets.specs import about, column_schema
from gsc_pipeline.jobs import TICK_TAG
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.partitions import ListedWorkspaces
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.search_console.client import SearchConsole
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
    """The asset of `table`, brought up to date by `sync` for each workspace of a run."""

    @dg.multi_asset(
        name=table.name,
        specs=[_spec(table)],
        partitions_def=partitions,
        retry_policy=retries,
    )
    def asset(context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]) -> Iterator[None]:
        for_each_workspace(context, pipeline, retries, lambda one: _bring_up_to_date(one, table, sync))
        # What was made is told by workspace, so the step itself has nothing to yield.
        yield from ()

    return asset


def _spec(table: TableSpec) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=about(
            table.description,
            made_by="the job `gsc_more`, which the schedule `gsc_auto_sync_more` asks for once a day.",
            partition="one workspace. Green: brought up to date; its event's `problems` name what could not "
            "be read all the same, `unchanged` counts what had not moved. Red: a read failed; earlier rows "
            "stay, and the next run reads what is missing.",
            table=table,
        ),
        skippable=True,
        metadata={"dagster/column_schema": column_schema(table)},
        kinds={"deltalake"},
        group_name="search_console",
    )


def _bring_up_to_date(one: OneOfARun, table: TableSpec, sync: SyncTable) -> None:
    workspace = one.workspace
    with closing(one.pipeline.open_console(workspace)) as console:
        report = sync(workspace, console, one.pipeline, one.context.run.run_id)
    for problem in report.problems:
        one.context.log.warning(f"{workspace.id}: {problem}")
    is_first = one.context.retry_number == 0
    if report.is_held_back and is_first and TICK_TAG in one.context.run.tags:
        # A scheduled run that may ask nothing makes nothing: the schedule asks for another tomorrow.
        return
    if report.is_incomplete:
        raise dg.Failure(
            f"{workspace.id}: {report.reason}",
            metadata=_numbers(report),
            allow_retries=report.is_worth_retrying,
        )
    one.tell(table.name, _numbers(report))


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
