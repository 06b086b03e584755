"""The schedules: syncs of the active workspaces, the data checks between them, and housekeeping."""

from datetime import datetime

import dagster as dg

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.deferred import Deferral, deferrals, sync_requests, sync_window
from gsc_pipeline.defs.jobs import (
    CHECKS_JOB,
    FORGOTTEN_AFTER,
    HOUSEKEEPING_JOB,
    MORE_JOB,
    MORE_MINUTES,
    MORE_WORKSPACE_TAG,
    SYNC_JOB,
    TICK_TAG,
    groups,
    shared_run_tags,
    workspaces_in_progress,
)
from gsc_pipeline.defs.partitions import register
from gsc_pipeline.defs.resources import SearchConsoleApi, SharedState, TelemetryLog, WorkspacesFile
from gsc_pipeline.defs.startup import refuse_unshared_storage
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.telemetry import AutoSyncFailure, AutoSyncStarted, WorkspaceSyncComplete
from gsc_pipeline.sync.ticks import Tick
from gsc_pipeline.workspaces.registry import is_rolled_out, select

MORE_CRON = "0 9 * * *"
"""One or two hours after midnight in California, when the new day's quota of inspections is available. By
default this is three hours after a tick of the main schedule, which reads the pages to inspect."""

HOUSEKEEPING_CRON = "30 1 * * *"
"""By default between the ticks at 00:00 and 06:00 UTC, and not at the time of the data checks."""


def all_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Every schedule. They start switched on where GSC_AUTO_SYNC_ENABLED is true."""
    return [
        auto_sync_schedule(settings),
        _auto_sync_more_schedule(settings),
        _plain_schedule(
            settings,
            CHECKS_JOB,
            settings.checks_cron,
            "Runs the data checks over all active workspaces, midway between syncs.",
        ),
        _plain_schedule(
            settings,
            HOUSEKEEPING_JOB,
            HOUSEKEEPING_CRON,
            f"Once a day, deletes runs older than {settings.keep_runs_days} days that no asset's status "
            "needs, and old results of checks, and compacts the lake.",
        ),
    ]


def auto_sync_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Requests runs of `gsc_sync` for the active workspaces, over the last complete Pacific days."""

    @dg.schedule(
        name="gsc_auto_sync",
        job_name=SYNC_JOB,
        cron_schedule=settings.auto_sync_cron,
        execution_timezone="UTC",
        default_status=_default_status(settings),
        description=f"{_runs(settings)}, over the last {settings.auto_sync_days} days. "
        + why_on_or_off(settings),
    )
    def gsc_auto_sync(
        context: dg.ScheduleEvaluationContext,
        workspaces: WorkspacesFile,
        search_console: SearchConsoleApi,
        state: SharedState,
        telemetry: TelemetryLog,
        clock: dg.ResourceParam[Clock],
    ) -> list[dg.RunRequest] | dg.SkipReason:
        name = context.scheduled_execution_time.isoformat()
        try:
            if sync_window(settings, context.scheduled_execution_time) is None:
                return dg.SkipReason(f"no day since GSC_START_DATE ({settings.start_date}) is over yet")
            refuse_unshared_storage(context.instance, settings)
            ticks = state.ticks()
            # A tick is evaluated again after a crash or a time-out. It then requests the same runs.
            tick = ticks.named(name)
            if tick is None:
                due = _due(context, workspaces, search_console, settings, SYNC_JOB, clock())
                if isinstance(due, dg.SkipReason):
                    return due
                ids, deferred = due
                runs = groups(ids, settings.workspaces_per_run)
                tick = Tick(name, clock(), (*ids, *deferred), len(runs))
                untried = [
                    WorkspaceSyncComplete.untried(id_, name, deferral.reason, deferral.retry_at)
                    for id_, deferral in deferred.items()
                ]
                if ticks.begin(tick, untried):
                    telemetry.emit_event(AutoSyncStarted(name, len(tick.workspaces)))
                else:
                    tick = ticks.named(name) or tick
            outcomes = ticks.outcomes(tick)
            later = {one.workspace for one in outcomes}
            first = [id_ for id_ in tick.workspaces if id_ not in later]
            requested = ticks.request(SYNC_JOB, name, 0, clock(), groups(first, settings.workspaces_per_run))
        except Exception as error:
            telemetry.emit_event(AutoSyncFailure.unevaluated(name, error))
            raise
        if not requested:
            return dg.SkipReason("; ".join(sorted({reason for one in outcomes for reason in one.reasons})))
        return sync_requests(settings, name, 0, requested)

    return gsc_auto_sync


def _auto_sync_more_schedule(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="gsc_auto_sync_more",
        job_name=MORE_JOB,
        cron_schedule=MORE_CRON,
        execution_timezone="UTC",
        default_status=_default_status(settings),
        description=f"{_runs(settings)}, once a day, for the tables that are partitioned by workspace only: "
        f"properties, sitemaps, hours, search appearances, inspections. {_on_or_off(settings)}",
    )
    def gsc_auto_sync_more(
        context: dg.ScheduleEvaluationContext,
        workspaces: WorkspacesFile,
        search_console: SearchConsoleApi,
        state: SharedState,
        clock: dg.ResourceParam[Clock],
    ) -> list[dg.RunRequest] | dg.SkipReason:
        refuse_unshared_storage(context.instance, settings)
        name, ticks = context.scheduled_execution_time.isoformat(), state.ticks()
        if not ticks.requested(MORE_JOB, name):
            due = _due(context, workspaces, search_console, settings, MORE_JOB, clock())
            if isinstance(due, dg.SkipReason):
                return due
            ids, deferred = due
            if not ids:
                return dg.SkipReason(next(iter(deferred.values())).reason)
            ticks.request(MORE_JOB, name, 0, clock(), groups(ids, settings.workspaces_per_run))
        (requested, *_) = ticks.requested(MORE_JOB, name)
        return [
            dg.RunRequest(
                run_key=f"{name}|{run[0]}",
                tags={
                    TICK_TAG: name,
                    **shared_run_tags(run, minutes=MORE_MINUTES, tag=MORE_WORKSPACE_TAG),
                },
            )
            for run in requested.runs
        ]

    return gsc_auto_sync_more


def why_on_or_off(settings: Settings) -> str:
    """Whether the schedule starts switched on, and which settings decide that."""
    if not settings.auto_sync_enabled:
        return _on_or_off(settings)
    share = settings.auto_sync_rollout
    which = "every active workspace" if share == 100 else f"{share} % of them (GSC_AUTO_SYNC_ROLLOUT)"
    return f"On, as GSC_AUTO_SYNC_ENABLED is true: for {which}, at {settings.auto_sync_cron} UTC."


def _plain_schedule(settings: Settings, job: str, cron: str, description: str) -> dg.ScheduleDefinition:
    """A schedule that starts one run of a job."""
    return dg.ScheduleDefinition(
        name=job,
        job_name=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=_default_status(settings),
        description=f"{description} {_on_or_off(settings)}",
    )


def _runs(settings: Settings) -> str:
    size = settings.workspaces_per_run
    return f"One run per {f'{size} active workspaces' if size > 1 else 'active workspace'}"


def _on_or_off(settings: Settings) -> str:
    if settings.auto_sync_enabled:
        return "On, as GSC_AUTO_SYNC_ENABLED is true."
    return "Off unless switched on in the UI, as GSC_AUTO_SYNC_ENABLED is not true."


def _default_status(settings: Settings) -> dg.DefaultScheduleStatus:
    on, off = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED
    return on if settings.auto_sync_enabled else off


def _due(
    context: dg.ScheduleEvaluationContext,
    workspaces: WorkspacesFile,
    search_console: SearchConsoleApi,
    settings: Settings,
    job: str,
    now: datetime,
) -> tuple[list[str], dict[str, Deferral]] | dg.SkipReason:
    """The workspaces to request runs for, and those that an open circuit defers, or why there are none.

    Registers the workspaces that are new in the file. Runs of the tick itself do not make a workspace busy:
    it is being evaluated again, and they may not be launched yet.
    """
    listed = workspaces.load()
    active = select(listed, [])
    if not active:
        return dg.SkipReason("no workspace is active")
    register(context.instance, [workspace.id for workspace in listed])
    active = tuple(one for one in active if is_rolled_out(one.id, settings.auto_sync_rollout))
    if not active:
        return dg.SkipReason(
            f"GSC_AUTO_SYNC_ROLLOUT is {settings.auto_sync_rollout}: it includes no active workspace"
        )
    tick = context.scheduled_execution_time.isoformat()
    busy = workspaces_in_progress(context.instance, job, now - FORGOTTEN_AFTER, but_tick=tick)
    free = [one for one in active if one.id not in busy]
    running = ", ".join(sorted(one.id for one in active if one.id in busy))
    if not free:
        return dg.SkipReason(f"still running: {running}")
    if running:
        context.log.info(f"skipped, as still running: {running}")
    deferred = deferrals(search_console, free)
    for id_, deferral in deferred.items():
        context.log.info(f"{id_} is deferred: {deferral.reason}")
    return [one.id for one in free if one.id not in deferred], deferred
