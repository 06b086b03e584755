"""The schedules: runs of the active workspaces every six hours and once a day, the data checks between."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.jobs import (
    FORGOTTEN_AFTER,
    IN_FLIGHT,
    MORE_MINUTES,
    MORE_WORKSPACE_TAG,
    TICK_TAG,
    groups,
    run_tags,
    shared_run_tags,
    workspaces_of,
)
from gsc_pipeline.partitions import WORKSPACES, registration_gap
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.rollout import is_rolled_out
from gsc_pipeline.search_console.breaker import Circuit
from gsc_pipeline.settings import Settings
from gsc_pipeline.telemetry import AutoSyncStarted
from gsc_pipeline.ticks import Tick
from gsc_pipeline.workspaces import Workspace, select

MORE_CRON = "0 9 * * *"
"""An hour or two after midnight in California, when a new day's quota of inspections has begun; and three
hours after a tick of the main schedule, whose pages are inspected."""

HOUSEKEEPING_CRON = "30 1 * * *"
"""Between the ticks of midnight and six, and away from the data checks."""


def checks_schedule(job: Any, settings: Settings) -> dg.ScheduleDefinition:
    """Runs the data checks midway between ticks, wherever the syncs run by themselves."""
    return dg.ScheduleDefinition(
        name="gsc_checks",
        job=job,
        cron_schedule=settings.checks_cron,
        execution_timezone="UTC",
        default_status=_default_status(settings),
        description=f"Judges the lake by the data checks, midway between syncs. {_on_or_off(settings)}",
    )


def housekeeping_schedule(job: Any, settings: Settings) -> dg.ScheduleDefinition:
    """Tidies up once a day, wherever the syncs run by themselves."""
    return dg.ScheduleDefinition(
        name="gsc_housekeeping",
        job=job,
        cron_schedule=HOUSEKEEPING_CRON,
        execution_timezone="UTC",
        default_status=_default_status(settings),
        description=f"Deletes runs older than {settings.keep_runs_days} days that nothing rests on and old "
        f"results of checks, and tidies the lake, once a day. {_on_or_off(settings)}",
    )


def auto_sync_schedule(job: Any, settings: Settings) -> dg.ScheduleDefinition:
    """Asks for runs of the active workspaces, over the last complete Pacific days before the tick."""

    @dg.schedule(
        name="gsc_auto_sync",
        job=job,
        cron_schedule=settings.auto_sync_cron,
        execution_timezone="UTC",
        default_status=_default_status(settings),
        description=f"{_runs(settings)}, over the last {settings.auto_sync_days} days. "
        + why_on_or_off(settings),
    )
    def gsc_auto_sync(
        context: dg.ScheduleEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        at = context.scheduled_execution_time
        window = _window(settings, at)
        if window is None:
            return dg.SkipReason(f"no day since GSC_START_DATE ({settings.start_date}) is over yet")
        # A daemon that died on the way evaluates the tick anew: only the same runs, by their keys, go on.
        tick = pipeline.ticks.named(at.isoformat()) or _begin(context, pipeline, settings, job.name)
        if isinstance(tick, dg.SkipReason):
            return tick
        return [
            dg.RunRequest(
                run_key=f"{tick.name}|{group[0]}",
                tags={TICK_TAG: tick.name, **run_tags(group, window, settings.run_minutes)},
            )
            for group in groups(tick.workspaces, settings.workspaces_per_run)
        ]

    return gsc_auto_sync


def auto_sync_more_schedule(job: Any, settings: Settings) -> dg.ScheduleDefinition:
    """Asks for runs of `gsc_more` of the active workspaces, once a day."""

    @dg.schedule(
        name="gsc_auto_sync_more",
        job=job,
        cron_schedule=MORE_CRON,
        execution_timezone="UTC",
        default_status=_default_status(settings),
        description=f"{_runs(settings)}, once a day, for the tables that are kept by workspace alone: "
        f"properties, sitemaps, hours, search appearances, inspections. {_on_or_off(settings)}",
    )
    def gsc_auto_sync_more(
        context: dg.ScheduleEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        ids = _due(context, pipeline, settings, job.name)
        if isinstance(ids, dg.SkipReason):
            return ids
        tick = context.scheduled_execution_time.isoformat()
        return [
            dg.RunRequest(
                run_key=f"{tick}|{group[0]}",
                tags={
                    TICK_TAG: tick,
                    **shared_run_tags(group, minutes=MORE_MINUTES, tag=MORE_WORKSPACE_TAG),
                },
            )
            for group in groups(ids, settings.workspaces_per_run)
        ]

    return gsc_auto_sync_more


def why_on_or_off(settings: Settings) -> str:
    """Whether the schedules start switched on, and by which settings."""
    if not settings.auto_sync_enabled:
        return _on_or_off(settings)
    share = settings.auto_sync_rollout
    whom = "every active workspace" if share == 100 else f"{share} % of them (GSC_AUTO_SYNC_ROLLOUT)"
    return f"On, as GSC_AUTO_SYNC_ENABLED is true: for {whom}, at {settings.auto_sync_cron} UTC."


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


def _window(settings: Settings, at: datetime) -> Window | None:
    window = Window.last_complete(settings.auto_sync_days, pacific_today(at))
    if window.end <= settings.start_date:
        return None
    return Window(max(window.start, settings.start_date), window.end)


def _begin(
    context: dg.ScheduleEvaluationContext, pipeline: Pipeline, settings: Settings, job_name: str
) -> Tick | dg.SkipReason:
    """The tick as it is begun now, or as another daemon has begun it meanwhile; or why there is none."""
    ids = _due(context, pipeline, settings, job_name)
    if isinstance(ids, dg.SkipReason):
        return ids
    name, runs = context.scheduled_execution_time.isoformat(), groups(ids, settings.workspaces_per_run)
    tick = Tick(name, pipeline.clock(), tuple(ids), len(runs))
    if not pipeline.ticks.begin(tick):
        return pipeline.ticks.named(name) or tick
    pipeline.telemetry.tell(AutoSyncStarted(name, len(ids)))
    return tick


def _due(
    context: dg.ScheduleEvaluationContext, pipeline: Pipeline, settings: Settings, job_name: str
) -> list[str] | dg.SkipReason:
    """The workspaces to ask runs for, or why there are none."""
    active = _registered(context, pipeline)
    if not active:
        return dg.SkipReason("no workspace is active")
    ids = [w.id for w in active if is_rolled_out(w.id, settings.auto_sync_rollout)]
    if not ids:
        return dg.SkipReason(
            f"GSC_AUTO_SYNC_ROLLOUT is {settings.auto_sync_rollout}: no active workspace is in"
        )
    breaker = pipeline.breaker_state() if pipeline.breaker_state else None
    if breaker and breaker.state is Circuit.OPEN:
        return dg.SkipReason(
            f"the circuit breaker is open until {breaker.retry_at:%H:%M:%S} UTC: {breaker.cause}"
        )
    # Left out like a busy one: its run could not even ask for a token.
    held = {i: state for i, state in pipeline.held_back(active).items() if state.state is Circuit.OPEN}
    if set(ids) <= held.keys():
        state = held[ids[0]]
        return dg.SkipReason(
            f"the token endpoint is left alone until {state.retry_at:%H:%M:%S} UTC: {state.cause}"
        )
    ids = [id_ for id_ in ids if id_ not in held]
    if held:
        context.log.info(f"their token endpoint is left alone, so skipped: {', '.join(sorted(held))}")
    tick = context.scheduled_execution_time.isoformat()
    busy = _busy(context.instance, job_name, ids, pipeline.clock(), tick)
    if busy:
        context.log.info(f"still running, so skipped: {', '.join(sorted(busy))}")
    free = [id_ for id_ in ids if id_ not in busy]
    return free or dg.SkipReason(f"still running: {', '.join(sorted(busy))}")


def _busy(
    instance: dg.DagsterInstance, job_name: str, ids: Collection[str], now: datetime, tick: str
) -> set[str]:
    """The workspaces that a run of the job is about to sync or is syncing: one query for all.

    Runs of the tick itself do not count: it is being evaluated again, and they may still be to be launched.
    """
    filters = dg.RunsFilter(job_name=job_name, statuses=IN_FLIGHT, created_after=now - FORGOTTEN_AFTER)
    earlier = (run for run in instance.get_runs(filters) if run.tags.get(TICK_TAG) != tick)
    about = (workspaces_of(run.tags) for run in earlier)
    return set(ids) & set().union(*about)


def _registered(context: dg.ScheduleEvaluationContext, pipeline: Pipeline) -> Sequence[Workspace]:
    """The active workspaces, after Dagster has been told of those that are new in the file."""
    workspaces = pipeline.list_workspaces()
    gap = registration_gap(context.instance, [workspace.id for workspace in workspaces])
    active = select(workspaces, [])
    if active and gap["add"]:
        context.instance.add_dynamic_partitions(WORKSPACES, gap["add"])
    return active
