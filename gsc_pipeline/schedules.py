"""The schedules: a run per active workspace every six hours and one a day, and the data checks between."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from gsc_pipeline.assets.searchdata import TICK_TAG
from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.jobs import WORKSPACE_TAG, run_tags
from gsc_pipeline.partitions import WORKSPACES, registration_gap
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.settings import Settings
from gsc_pipeline.workspaces import Workspace, select

MORE_CRON = "0 9 * * *"
"""An hour or two after midnight in California, when a new day's quota of inspections has begun; and three
hours after a tick of the main schedule, whose pages are inspected."""


def checks_schedule(job: Any, settings: Settings) -> dg.ScheduleDefinition:
    """Runs the data checks midway between ticks, wherever the syncs run by themselves."""
    return dg.ScheduleDefinition(
        name="gsc_checks",
        job=job,
        cron_schedule=settings.checks_cron,
        execution_timezone="UTC",
        default_status=_default_status(settings),
        description="Judges the lake's rows by the data checks.",
    )


def auto_sync_schedule(job: Any, settings: Settings) -> dg.ScheduleDefinition:
    """Asks for runs of the active workspaces, over the last complete Pacific days before the tick."""

    @dg.schedule(
        name="gsc_auto_sync",
        job=job,
        cron_schedule=settings.auto_sync_cron,
        execution_timezone="UTC",
        default_status=_default_status(settings),
        description=f"One run per active workspace, over the last {settings.auto_sync_days} days.",
    )
    def gsc_auto_sync(
        context: dg.ScheduleEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        active = _registered(context, pipeline)
        if not active:
            return _NOBODY
        at = context.scheduled_execution_time
        window = Window.last_complete(settings.auto_sync_days, pacific_today(at))
        if window.end <= settings.start_date:
            return dg.SkipReason(f"no day since GSC_START_DATE ({settings.start_date}) is over yet")
        window = Window(max(window.start, settings.start_date), window.end)
        tick = at.isoformat()
        ids = [workspace.id for workspace in active]
        size = settings.workspaces_per_run
        groups = [ids[i : i + size] for i in range(0, len(ids), size)]
        return [
            dg.RunRequest(run_key=f"{tick}|{group[0]}", tags={TICK_TAG: tick, **run_tags(group, window)})
            for group in groups
        ]

    return gsc_auto_sync


def auto_sync_more_schedule(job: Any, settings: Settings) -> dg.ScheduleDefinition:
    """Asks for one run of `gsc_more` per active workspace, once a day."""

    @dg.schedule(
        name="gsc_auto_sync_more",
        job=job,
        cron_schedule=MORE_CRON,
        execution_timezone="UTC",
        default_status=_default_status(settings),
        description="One run per active workspace, for the tables that are kept by workspace alone.",
    )
    def gsc_auto_sync_more(
        context: dg.ScheduleEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        active = _registered(context, pipeline)
        if not active:
            return _NOBODY
        tick = context.scheduled_execution_time.isoformat()
        return [
            dg.RunRequest(
                run_key=f"{tick}|{workspace.id}",
                partition_key=workspace.id,
                tags={TICK_TAG: tick, WORKSPACE_TAG: workspace.id},
            )
            for workspace in active
        ]

    return gsc_auto_sync_more


_NOBODY = dg.SkipReason("no workspace is active")


def _default_status(settings: Settings) -> dg.DefaultScheduleStatus:
    on, off = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED
    return on if settings.auto_sync_enabled else off


def _registered(context: dg.ScheduleEvaluationContext, pipeline: Pipeline) -> Sequence[Workspace]:
    """The active workspaces, after Dagster has been told of those that are new in the file."""
    workspaces = pipeline.list_workspaces()
    gap = registration_gap(context.instance, [workspace.id for workspace in workspaces])
    active = select(workspaces, [])
    if active and gap["add"]:
        context.instance.add_dynamic_partitions(WORKSPACES, gap["add"])
    return active
