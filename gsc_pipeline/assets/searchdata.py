"""The two bulk-export-compatible tables, read and committed together by one multi-asset.

Belongs here: the partitions a run was asked for, the events it leaves, and how it ends. Does not: reading
and committing (`sync`), the numbers of an event (`events`).
"""

from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg

from gsc_pipeline.assets.shared_runs import RETRIES, listed, named_by_tags, refusal
from gsc_pipeline.assets.specs import about, column_schema
from gsc_pipeline.checks import NO_PARTIAL_FAILURES, no_partial_failures
from gsc_pipeline.dagster_private import plan_partition
from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.events import ASSETS, DayEvent, failed_days, good_days, worth_recording
from gsc_pipeline.footprint import reduce_footprint
from gsc_pipeline.jobs import TICK_TAG, WINDOW_TAG, WORKSPACES_TAG
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION, TableSpec
from gsc_pipeline.partitions import windows_by_workspace
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.sync.events import workspace_ended
from gsc_pipeline.sync.everyone import sync_isolated
from gsc_pipeline.sync.report import SyncReport
from gsc_pipeline.workspaces import Workspace

ROOT_RUN_TAG = "dagster/root_run_id"
"""Present on a run that repeats another: the first of them."""


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
        reduce_footprint()
        workspaces = listed(pipeline)
        asked = [] if _is_double(context, pipeline) else _asked(context, workspaces, pipeline)
        reports = []
        for workspace, window in asked:
            reports.append(_sync(context, pipeline, workspace, window))
            _record(context, reports[-1])
            _tell(context, pipeline, reports[-1])
        yield no_partial_failures(pipeline.lake, workspaces)
        _end(context, reports, retries)

    return searchdata


def _spec(table: TableSpec) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=about(
            table.description,
            made_by="the job `gsc_sync`, which the schedule `gsc_auto_sync` asks for; also by *Materialize…* "
            "for any days, and by `gsc sync` in a shell.",
            partition="one workspace's day, in Pacific time. Green: the lake holds what Search Console says "
            "of the day; its event's `status` is `final`, `provisional` (may still change) or `empty`, and "
            "`not_read` names a property that fails. Red: a read failed; earlier rows stay, and the next run "
            "reads what is missing. Missing: no run has asked for the day.",
            table=table,
        ),
        skippable=True,
        kinds={"deltalake"},
        metadata={"dagster/column_schema": column_schema(table)},
    )


def _asked(
    context: dg.AssetExecutionContext, workspaces: Sequence[Workspace], pipeline: Pipeline
) -> list[tuple[Workspace, Window]]:
    """What the run's keys ask for. Refuses what Dagster lets pass: no keys, unfinished or unknown ones."""
    if WORKSPACES_TAG in context.run.tags:
        return _asked_by_tags(context, workspaces)
    has_keys = context.has_partition_key or context.has_partition_key_range
    windows = windows_by_workspace(context.partition_keys if has_keys else [])
    if not windows:
        raise refusal("the range holds no partition: its start must not lie after its end")
    today = pacific_today(pipeline.clock())
    late = max(window.last for its_windows in windows.values() for window in its_windows)
    if late >= today:
        raise refusal(f"{late} is not over in California, where it is {today}: ask for earlier days")
    known = {workspace.id: workspace for workspace in workspaces}
    unknown = sorted(windows.keys() - known.keys())
    if unknown:
        raise refusal(f"the workspaces file does not list {', '.join(unknown)}")
    asleep = sorted(id_ for id_ in windows if not known[id_].active)
    if asleep:
        raise refusal(f"{', '.join(asleep)} is not active in the workspaces file")
    return [(known[id_], window) for id_, its_windows in windows.items() for window in its_windows]


def _asked_by_tags(
    context: dg.AssetExecutionContext, workspaces: Sequence[Workspace]
) -> list[tuple[Workspace, Window]]:
    """What a scheduled run's tags ask for."""
    first, last = context.run.tags[WINDOW_TAG].split("/")
    window = Window.inclusive(date.fromisoformat(first), date.fromisoformat(last))
    return [(workspace, window) for workspace in named_by_tags(context, workspaces)]


def _is_double(context: dg.AssetExecutionContext, pipeline: Pipeline) -> bool:
    """Whether another run of the tick syncs the same: Dagster makes two where two daemons meet on a tick.

    A run that is repeated, by the daemon or by a person, is known by the run that it repeats.
    """
    tags = context.run.tags
    if TICK_TAG not in tags or WORKSPACES_TAG not in tags:
        return False
    original = tags.get(ROOT_RUN_TAG, context.run.run_id)
    first = pipeline.ticks.claim(tags[TICK_TAG], tags[WORKSPACES_TAG], original)
    if first != original:
        context.log.warning(f"nothing to do: run {first} syncs these workspaces for the same tick")
    return first != original


def _sync(
    context: dg.AssetExecutionContext, pipeline: Pipeline, workspace: Workspace, window: Window
) -> SyncReport:
    report = sync_isolated(
        workspace,
        window,
        pipeline.open_console,
        pipeline.lake,
        options=pipeline.options,
        clock=pipeline.clock,
        run_id=context.run.run_id,
    )
    for problem in report.problems:
        context.log.warning(f"{workspace.id}: {problem}")
    return report


def _tell(context: dg.AssetExecutionContext, pipeline: Pipeline, report: SyncReport) -> None:
    """Tell the tick's book, which sums the tick up, and whoever listens."""
    outcome = workspace_ended(report, context.run.tags.get(TICK_TAG, ""))
    if outcome.tick:
        pipeline.ticks.note(outcome)
    pipeline.telemetry.tell(outcome)


def _record(context: dg.AssetExecutionContext, report: SyncReport) -> None:
    """Events for every good day, or in a scheduled run or a retry for what is news."""
    days = _days_of_the_asset(context, good_days(report))
    if WORKSPACES_TAG in context.run.tags or context.retry_number > 0:
        days = worth_recording(context.instance, days)
    for day in days:
        for event in day.materializations():
            context.log_event(event)
    absent = sorted(set(report.window) - {outcome.day for outcome in report.days})
    if absent:
        context.log.info(f"{report.workspace}: not in Search Console: {', '.join(map(str, absent))}")


def _days_of_the_asset(context: dg.AssetExecutionContext, days: Sequence[DayEvent]) -> list[DayEvent]:
    """Those that are partitions: a sync also takes up old failures, from before the first one maybe."""
    partitions = context.assets_def.partitions_def
    assert isinstance(partitions, dg.MultiPartitionsDefinition)
    dates = partitions.get_partitions_def_for_dimension("date")
    return [day for day in days if dates.has_partition_key(str(day.day))]


def _is_well(report: SyncReport) -> bool:
    return report.is_success and not any(problem.transient for problem in report.problems)


def _end(context: dg.AssetExecutionContext, reports: Sequence[SyncReport], retries: dg.RetryPolicy) -> None:
    """Fail the run where something is missing or nothing could be read; a refused property alone does not.

    It is repeated only where a few seconds can help: a quota that is used up needs more.
    """
    bad = [report for report in reports if not _is_well(report)]
    if not bad:
        return
    problems = [problem for report in bad for problem in report.problems]
    may_pass = any(problem.transient and not problem.deferred for problem in problems)
    if not may_pass or context.retry_number == retries.max_retries:
        _show_as_failed(context, bad)
    raise dg.Failure(
        "; ".join(f"{report.workspace}: {report.reason}" for report in bad), allow_retries=may_pass
    )


def _show_as_failed(context: dg.AssetExecutionContext, reports: Sequence[SyncReport]) -> None:
    """Turn red exactly the days that a scheduled run leaves to be read again; of other runs Dagster knows."""
    if WORKSPACES_TAG not in context.run.tags:
        return
    days = [day for report in reports for day in _days_of_the_asset(context, failed_days(report))]
    for day in days:
        for asset in ASSETS:
            plan_partition(context.instance, context.run, context.op_def.name, asset, day.key)
