"""The two bulk-export-compatible tables, read and committed together by one multi-asset.

Belongs here: the partitions a run was asked for, the events it leaves, and how it ends. Does not: reading
and committing (`sync`), the numbers of an event (`events`).
"""

from collections.abc import Iterator, Sequence
from contextlib import closing

import dagster as dg

from gsc_pipeline.checks import NO_PARTIAL_FAILURES, no_partial_failures
from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.events import good_days, worth_recording
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION, TableSpec
from gsc_pipeline.partitions import windows_by_workspace
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.sync.report import SyncReport
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces import Workspace

TICK_TAG = "gsc/tick"
"""Present on runs of the schedule: the tick's time. A run without it was started by a person."""

RETRIES = dg.RetryPolicy(max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""Three attempts in all. A retry reads only what is missing, because the ledger says what is."""


def searchdata_asset(
    partitions: dg.MultiPartitionsDefinition, retries: dg.RetryPolicy = RETRIES
) -> dg.AssetsDefinition:
    """The multi-asset over workspace × day partitions; a key, a range and a backfill take one path."""

    @dg.multi_asset(
        name="searchdata",
        specs=[_spec(SITE_IMPRESSION), _spec(URL_IMPRESSION)],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[NO_PARTIAL_FAILURES],
        retry_policy=retries,
        group_name="search_console",
    )
    def searchdata(
        context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> Iterator[dg.AssetCheckResult]:
        workspaces = _listed(pipeline)
        asked = _asked(context, workspaces, pipeline)
        reports = []
        for workspace, window in asked:
            reports.append(_sync(context, pipeline, workspace, window))
            _record(context, reports[-1])
        yield no_partial_failures(pipeline.lake, [w.id for w in workspaces if w.active])
        _end(reports)

    return searchdata


def _spec(table: TableSpec) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=table.description,
        skippable=True,
        kinds={"deltalake"},
        metadata={
            "dagster/column_schema": dg.TableSchema(
                [
                    dg.TableColumn(
                        column.name,
                        str(column.type),
                        description=column.metadata[b"description"].decode(),
                        constraints=dg.TableColumnConstraints(nullable=column.nullable),
                    )
                    for column in table.schema
                ]
            )
        },
    )


def _listed(pipeline: Pipeline) -> tuple[Workspace, ...]:
    try:
        return pipeline.list_workspaces()
    except ConfigurationError as error:
        raise _refusal(str(error)) from None


def _asked(
    context: dg.AssetExecutionContext, workspaces: Sequence[Workspace], pipeline: Pipeline
) -> list[tuple[Workspace, Window]]:
    """What the run's keys ask for. Refuses what Dagster lets pass: no keys, unfinished or unknown ones."""
    windows = windows_by_workspace(context.partition_keys)
    if not windows:
        raise _refusal("the range holds no partition: its start must not lie after its end")
    today = pacific_today(pipeline.clock())
    late = max(window.last for its_windows in windows.values() for window in its_windows)
    if late >= today:
        raise _refusal(f"{late} is not over in California, where it is {today}: ask for earlier days")
    known = {workspace.id: workspace for workspace in workspaces}
    unknown = sorted(windows.keys() - known.keys())
    if unknown:
        raise _refusal(f"the workspaces file does not list {', '.join(unknown)}")
    return [(known[id_], window) for id_, its_windows in windows.items() for window in its_windows]


def _sync(
    context: dg.AssetExecutionContext, pipeline: Pipeline, workspace: Workspace, window: Window
) -> SyncReport:
    context.log.info(f"{workspace.id}: syncing {window}")
    with closing(pipeline.open_console(workspace)) as console:
        report = sync_workspace(
            workspace,
            window,
            console,
            pipeline.lake,
            options=pipeline.options,
            clock=pipeline.clock,
            run_id=context.run.run_id,
        )
    for problem in report.problems:
        context.log.warning(f"{workspace.id}: {problem}")
    return report


def _record(context: dg.AssetExecutionContext, report: SyncReport) -> None:
    """Events for every good day a person asked for; in a scheduled run or a retry, for what is news."""
    days = good_days(report)
    if TICK_TAG in context.run.tags or context.retry_number:
        days = worth_recording(context.instance, days)
    for day in days:
        for event in day.materializations():
            context.log_event(event)


def _end(reports: Sequence[SyncReport]) -> None:
    """Fail the run where a retry can help or nothing could be read; a refused property alone does not."""
    unread = [report for report in reports if not report.is_success]
    transient = [report for report in reports if any(problem.transient for problem in report.problems)]
    if transient or unread:
        raise dg.Failure(
            "; ".join(f"{report.workspace}: {report.reason}" for report in transient or unread),
            allow_retries=bool(transient),
        )


def _refusal(cause: str) -> dg.Failure:
    return dg.Failure(f"nothing was read: {cause}", allow_retries=False)
