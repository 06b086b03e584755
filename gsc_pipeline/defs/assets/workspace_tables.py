"""The assets of the tables that are partitioned by workspace only: one table of specs, one builder."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import dagster as dg

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.keys import PLAIN, AssetKeys
from gsc_pipeline.defs.metadata import about, column_schema
from gsc_pipeline.defs.partitions import ListedWorkspaces
from gsc_pipeline.defs.resources import LakeTables, SearchConsoleApi, SharedState, WorkspacesFile
from gsc_pipeline.defs.workspace_runs import RETRIES, WorkspaceRun, console_opener, process_workspaces
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.tables.more import MORE_TABLES, MoreOptions, MoreTable
from gsc_pipeline.sync.tables.runner import TableReport


def workspace_table_assets(
    partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES, keys: AssetKeys = PLAIN
) -> list[dg.AssetsDefinition]:
    """One asset per table."""
    return [_asset(one, partitions, retries, keys) for one in MORE_TABLES]


def _asset(
    one: MoreTable, partitions: ListedWorkspaces, retries: dg.RetryPolicy, keys: AssetKeys
) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=one.table.name, specs=[_spec(one, keys)], partitions_def=partitions, retry_policy=retries
    )
    def asset(
        context: dg.AssetExecutionContext,
        workspaces: WorkspacesFile,
        search_console: SearchConsoleApi,
        lake: LakeTables,
        state: SharedState,
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        open_console = console_opener(context, search_console)
        options = MoreOptions(
            backfill_calls=search_console.appearance_backfill_calls,
            inspections_per_day=search_console.inspections_per_day,
            concurrency=search_console.api_concurrency,
            commit_rows=lake.commit_rows,
            leases=state.leases(),
        )

        def sync(run: WorkspaceRun) -> None:
            with closing(open_console(run.workspace)) as console:
                report = one.run(
                    run.workspace, console, lake.open(), options, clock=clock, run_id=context.run.run_id
                )
            _record(run, one.table, report)

        yield from process_workspaces(context, workspaces, retries, sync, keys)

    return asset


def _spec(one: MoreTable, keys: AssetKeys) -> dg.AssetSpec:
    table = one.table
    return dg.AssetSpec(
        keys.of(table.name),
        description=about(
            table.description,
            made_by="the job `gsc_more`, which the schedule `gsc_auto_sync_more` starts once a day, and by "
            "`gsc sync --more` in a shell.",
            partition="one workspace. Green: up to date; the event's `problems` name properties that may not "
            "be read. Red: a read failed; the lake keeps the earlier rows, and the next run reads what is "
            "missing. Missing: no run has read the workspace.",
            table=table,
        ),
        deps=[keys.of(source.name) for source in one.reads],
        skippable=True,
        metadata={"dagster/column_schema": column_schema(table)},
        kinds={"deltalake"},
        group_name="search_console",
    )


def _record(run: WorkspaceRun, table: TableSpec, report: TableReport) -> None:
    """Record the materialization, or raise the failure of a sync that is not complete."""
    for problem in report.problems:
        run.context.log.warning(f"{report.workspace}: {problem}")
    run.ended.append((report.outcome, report.in_words))
    if report.outcome is not Outcome.COMPLETE:
        raise dg.Failure(
            f"{report.workspace}: {report.reason}",
            metadata=_numbers(report),
            allow_retries=report.is_worth_retrying,
        )
    run.materialize(table.name, _numbers(report))


def _numbers(report: TableReport) -> dict[str, dg.MetadataValue]:
    return {
        "rows": dg.MetadataValue.int(report.rows),
        "read": dg.MetadataValue.int(report.read),
        "unchanged": dg.MetadataValue.int(report.unchanged),
        "left": dg.MetadataValue.int(report.left),
        "properties": dg.MetadataValue.int(report.properties),
        "calls": dg.MetadataValue.int(report.usage.calls),
        "retries": dg.MetadataValue.int(report.usage.retries),
        "seconds": dg.MetadataValue.float(round(report.seconds, 3)),
        "problems": dg.MetadataValue.json([str(problem) for problem in report.problems]),
    }
