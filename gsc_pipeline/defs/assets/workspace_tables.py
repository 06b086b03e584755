"""The assets of the tables that are partitioned by workspace only: one table of specs, one builder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import dagster as dg

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.keys import PLAIN, AssetKeys
from gsc_pipeline.defs.metadata import about, column_schema
from gsc_pipeline.defs.partitions import ListedWorkspaces
from gsc_pipeline.defs.resources import LakeTables, SearchConsoleApi, WorkspacesFile
from gsc_pipeline.defs.workspace_runs import RETRIES, WorkspaceRun, console_opener, process_workspaces
from gsc_pipeline.lake.schemas import (
    PROPERTIES,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITEMAPS,
    SYNC_LEDGER,
    URL_IMPRESSION,
    URL_INSPECTIONS,
    TableSpec,
)
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.tables.appearance import sync_appearance
from gsc_pipeline.sync.tables.hourly import sync_hourly
from gsc_pipeline.sync.tables.inspections import sync_inspections
from gsc_pipeline.sync.tables.properties import sync_properties
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline.sync.tables.sitemaps import sync_sitemaps


@dataclass(frozen=True)
class WorkspaceTable:
    """A table, the function of `sync.tables` that syncs it for a workspace, and that function's options.

    `reads` are the tables that the function reads and does not write.
    """

    table: TableSpec
    sync: Callable[..., TableReport]
    options: Callable[[SearchConsoleApi], Mapping[str, Any]] = lambda search_console: {}
    reads: Sequence[TableSpec] = ()


WORKSPACE_TABLES = (
    WorkspaceTable(PROPERTIES, sync_properties),
    WorkspaceTable(SITEMAPS, sync_sitemaps),
    WorkspaceTable(SEARCHDATA_HOURLY, sync_hourly),
    WorkspaceTable(SEARCH_APPEARANCE, sync_appearance),
    WorkspaceTable(
        URL_INSPECTIONS,
        sync_inspections,
        lambda api: {"per_day": api.inspections_per_day, "concurrency": api.api_concurrency},
        reads=(SYNC_LEDGER, URL_IMPRESSION),
    ),
)
"""The tables, in the order in which a run syncs them."""


def workspace_table_assets(
    partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES, keys: AssetKeys = PLAIN
) -> list[dg.AssetsDefinition]:
    """One asset per table."""
    return [_asset(one, partitions, retries, keys) for one in WORKSPACE_TABLES]


def _asset(
    one: WorkspaceTable, partitions: ListedWorkspaces, retries: dg.RetryPolicy, keys: AssetKeys
) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=one.table.name, specs=[_spec(one, keys)], partitions_def=partitions, retry_policy=retries
    )
    def asset(
        context: dg.AssetExecutionContext,
        workspaces: WorkspacesFile,
        search_console: SearchConsoleApi,
        lake: LakeTables,
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        open_console = console_opener(context, search_console)

        def sync(run: WorkspaceRun) -> None:
            with closing(open_console(run.workspace)) as console:
                report = one.sync(
                    run.workspace,
                    console,
                    lake.open(),
                    clock=clock,
                    run_id=context.run.run_id,
                    **one.options(search_console),
                )
            _record(run, one.table, report)

        yield from process_workspaces(context, workspaces, retries, sync, keys)

    return asset


def _spec(one: WorkspaceTable, keys: AssetKeys) -> dg.AssetSpec:
    table = one.table
    return dg.AssetSpec(
        keys.of(table.name),
        description=about(
            table.description,
            made_by="the job `gsc_more`, which the schedule `gsc_auto_sync_more` starts once a day.",
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
        "properties": dg.MetadataValue.int(report.properties),
        "calls": dg.MetadataValue.int(report.usage.calls),
        "retries": dg.MetadataValue.int(report.usage.retries),
        "seconds": dg.MetadataValue.float(round(report.seconds, 3)),
        "problems": dg.MetadataValue.json([str(problem) for problem in report.problems]),
    }
