"""The schedules: one run per active workspace every six hours, and the data checks in between."""

from typing import Any

import dagster as dg

from gsc_pipeline.assets.searchdata import TICK_TAG
from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.jobs import run_tags
from gsc_pipeline.partitions import WORKSPACES, registration_gap
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.settings import Settings
from gsc_pipeline.workspaces import select


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
    """Asks for one run per active workspace, over the last complete Pacific days before the tick."""

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
        workspaces = pipeline.list_workspaces()
        active = select(workspaces, [])
        if not active:
            return dg.SkipReason("no workspace is active")
        gap = registration_gap(context.instance, [workspace.id for workspace in workspaces])
        if gap["add"]:
            context.instance.add_dynamic_partitions(WORKSPACES, gap["add"])
        at = context.scheduled_execution_time
        window = Window.last_complete(settings.auto_sync_days, pacific_today(at))
        window = Window(max(window.start, settings.start_date), window.end)
        tick = at.isoformat()
        return [
            dg.RunRequest(
                run_key=f"{tick}|{workspace.id}",
                tags={TICK_TAG: tick, **run_tags(workspace.id, window)},
            )
            for workspace in active
        ]

    return gsc_auto_sync


def _default_status(settings: Settings) -> dg.DefaultScheduleStatus:
    on, off = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED
    return on if settings.auto_sync_enabled else off
