"""The two bulk-export-compatible tables, read and committed together by one multi-asset."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from gsc_pipeline.days import Clock, Window, pacific_today
from gsc_pipeline.defs.checks import no_partial_failures, no_partial_failures_spec
from gsc_pipeline.defs.events import ASSETS, DayEvent, day_events, worth_recording
from gsc_pipeline.defs.jobs import TICK_TAG, WINDOW_TAG
from gsc_pipeline.defs.keys import PLAIN, AssetKeys
from gsc_pipeline.defs.metadata import about, column_schema
from gsc_pipeline.defs.partitions import register, windows_by_workspace
from gsc_pipeline.defs.resources import (
    LakeTables,
    SearchConsoleApi,
    SharedState,
    TelemetryLog,
    WorkspacesFile,
)
from gsc_pipeline.defs.workspace_runs import (
    RETRIES,
    WorkspaceRun,
    console_opener,
    is_by_person,
    named_by_tags,
    outputs,
    process_each,
    read_workspaces,
    refusal,
)
from gsc_pipeline.lake.arrow_process import prepare_arrow
from gsc_pipeline.lake.errors import LakeError
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION, TableSpec
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.recorder import RunRecorder
from gsc_pipeline.sync.report import SyncReport
from gsc_pipeline.sync.sync_all import sync_isolated
from gsc_pipeline.sync.telemetry import WorkspaceSyncComplete
from gsc_pipeline.workspaces.registry import Workspace


def searchdata_asset(
    partitions: dg.MultiPartitionsDefinition,
    retries: dg.RetryPolicy = RETRIES,
    keys: AssetKeys = PLAIN,
) -> dg.AssetsDefinition:
    """The multi-asset over workspace × day: for single keys, ranges, backfills and scheduled runs."""

    @dg.multi_asset(
        name="searchdata",
        specs=[_spec(SITE_IMPRESSION, keys), _spec(URL_IMPRESSION, keys)],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[no_partial_failures_spec(keys)],
        retry_policy=retries,
        group_name="search_console",
    )
    def searchdata(
        context: dg.AssetExecutionContext,
        workspaces: WorkspacesFile,
        search_console: SearchConsoleApi,
        lake: LakeTables,
        state: SharedState,
        telemetry: TelemetryLog,
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        prepare_arrow()
        listed = read_workspaces(context, workspaces)
        windows = _windows(context, listed, pacific_today(clock()))
        register(context.instance, list(windows))
        open_console = console_opener(context, search_console)
        options = SyncOptions(
            concurrency=search_console.api_concurrency,
            commit_rows=lake.commit_rows,
            leases=state.leases(),
            past_cap=search_console.past_cap_options(),
        )

        recorder = RunRecorder(lake.open().for_run(context.run.run_id), clock)
        ended = _Ended(recorder, context.run.tags.get(TICK_TAG, ""), state, telemetry)

        def sync(run: WorkspaceRun) -> None:
            reports = []
            for window in windows[run.workspace.id]:
                report = sync_isolated(
                    run.workspace,
                    window,
                    open_console,
                    lake.open(),
                    options=options,
                    clock=clock,
                    run_id=context.run.run_id,
                    recorder=recorder,
                )
                for problem in report.problems:
                    context.log.warning(f"{report.workspace}: {problem}")
                _record_days(run, report)
                run.ended.append((report.outcome, report.in_words))
                ended.add(report)
                reports.append(report)
            if failure := _failure(reports):
                raise failure

        known = {workspace.id: workspace for workspace in listed}
        runs = [WorkspaceRun(context, known[id_], set(), keys) for id_ in windows]
        try:
            with recorder:
                failure = process_each(runs, retries, sync, ended.record_last)
        finally:
            # After an interrupt too.
            ended.report()
        yield from outputs(context, runs, failure, retries)
        yield no_partial_failures(lake.open(), listed, keys)
        if failure:
            raise failure

    return searchdata


@dataclass
class _Ended:
    """The syncs of a step whose outcome is not reported yet, as their rows in `sync_runs` are not written."""

    recorder: RunRecorder
    tick: str
    state: SharedState
    telemetry: TelemetryLog
    reports: list[SyncReport] = field(default_factory=list)

    def add(self, report: SyncReport) -> None:
        """Add a sync, and report what has been recorded by now."""
        self.reports.append(report)
        self.report()

    def report(self) -> None:
        """Report the outcome of each sync that is recorded, to its tick and to telemetry."""
        for report in [one for one in self.reports if not self.recorder.holds(one)]:
            self.reports.remove(report)
            outcome = WorkspaceSyncComplete.of(report, self.tick)
            if outcome.tick:
                self.state.ticks().note(outcome)
            self.telemetry.emit_event(outcome)

    def record_last(self) -> Mapping[str, LakeError]:
        """Record and report the syncs that are left. Returns the workspaces for which that failed."""
        try:
            self.recorder.write()
        except LakeError as error:
            lost = self.recorder.drop()
            self.reports = [report for report in self.reports if report not in lost]
            return {report.workspace: error for report in lost}
        self.report()
        return {}


def _spec(table: TableSpec, keys: AssetKeys) -> dg.AssetSpec:
    return dg.AssetSpec(
        keys.of(table.name),
        description=about(
            table.description,
            made_by="the job `gsc_sync`, which the schedule `gsc_auto_sync` starts; also by *Materialize…* "
            "for any days, and by `gsc sync` in a shell.",
            partition="one workspace's day, in Pacific time. Green: the lake agrees with Search Console; "
            "the event's `status` is `final`, `provisional` (may still change), `empty` or `unavailable` "
            "(before Search Console's history, or not there yet), and `not_read` names properties that may "
            "not be read. Red: a read failed; the lake keeps the earlier rows, and the next "
            "run reads the day again. Missing: no run has read the day.",
            table=table,
        ),
        skippable=True,
        kinds={"deltalake"},
        metadata={"dagster/column_schema": column_schema(table)},
    )


def _windows(
    context: dg.AssetExecutionContext, listed: Sequence[Workspace], today: date
) -> Mapping[str, Sequence[Window]]:
    """The windows to sync, by workspace. Refuses keys that Dagster accepts and no sync can read."""
    if not is_by_person(context):
        first, last = map(date.fromisoformat, context.run.tags[WINDOW_TAG].split("/"))
        return {one.id: [Window.inclusive(first, last)] for one in named_by_tags(context, listed)}
    has_keys = context.has_partition_key or context.has_partition_key_range
    windows = windows_by_workspace(context.partition_keys if has_keys else [])
    if not windows:
        raise refusal("the range holds no partition: its start must not lie after its end")
    late = max(window.last for its_windows in windows.values() for window in its_windows)
    if late >= today:
        raise refusal(f"{late} is not over in California, where it is {today}: choose earlier days")
    known = {workspace.id: workspace for workspace in listed}
    unknown = sorted(windows.keys() - known.keys())
    if unknown:
        raise refusal(f"the workspaces file does not list {', '.join(unknown)}")
    inactive = sorted(id_ for id_ in windows if not known[id_].active)
    if inactive:
        raise refusal(f"{', '.join(inactive)} is not active in the workspaces file")
    return windows


def _record_days(run: WorkspaceRun, report: SyncReport) -> None:
    """Record the good days: those that a person requested, and of all other days those that are new.

    In a run by a person, the days of a complete sync are good, also those that no property has.
    """
    context, is_complete = run.context, report.outcome is Outcome.COMPLETE
    requested = set(report.window) if is_by_person(context) else set()
    days = _partitions(context, report, requested if is_complete else ())
    good = [day for day in days if day.is_good or (is_complete and day.day in requested)]
    others = [day for day in good if day.day not in requested]
    changed = worth_recording(context.instance, others, run.keys)
    for day in [day for day in good if day.day in requested] + changed:
        for event in day.materializations(run.keys):
            run.record(event)
    absent = sorted(set(report.window) - {day.day for day in report.days})
    if absent:
        context.log.info(f"{report.workspace}: not in Search Console: {', '.join(map(str, absent))}")
    if not is_complete:
        bad = [day for day in days if not day.is_good]
        run.missing.update((run.keys.of(asset), day.key) for asset in ASSETS for day in bad)


def _partitions(
    context: dg.AssetExecutionContext, report: SyncReport, requested: Collection[date]
) -> list[DayEvent]:
    """The report's and the requested days that are partitions.

    A sync also reads old failed days, which may lie before the first partition.
    """
    partitions = context.assets_def.partitions_def
    assert isinstance(partitions, dg.MultiPartitionsDefinition)
    dates = partitions.get_partitions_def_for_dimension("date")
    days = day_events(report.workspace, report.days, requested)
    return [day for day in days if dates.has_partition_key(str(day.day))]


def _failure(reports: Sequence[SyncReport]) -> dg.Failure | None:
    """The failure of a workspace that is not complete. It allows retries if one within minutes may help."""
    bad = [report for report in reports if report.outcome is not Outcome.COMPLETE]
    if not bad:
        return None
    problems = [problem for report in bad for problem in report.problems]
    return dg.Failure(
        "; ".join(f"{report.workspace}: {report.reason}" for report in bad),
        allow_retries=any(problem.transient and not problem.deferred for problem in problems),
    )
