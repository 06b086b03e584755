"""The sensor that starts `gsc_portal` when syncs or reports have ended."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.jobs import (
    FORGOTTEN_AFTER,
    INSIGHTS_JOB,
    PORTAL_JOB,
    SYNC_JOB,
    ended_runs,
    workspaces_in_progress,
)

_SHOWN = (SYNC_JOB, INSIGHTS_JOB)
"""The jobs whose results the portal shows."""

REPORTS_FOLLOW_WITHIN = timedelta(minutes=2)
"""Within this time after a tick's last sync, `gsc_tick_summary` requests its reports: it is evaluated every
30 s."""


def portal_after_runs_sensor() -> dg.SensorDefinition:
    """Starts one run of `gsc_portal` when the runs of a tick have ended, however many there were."""

    @dg.sensor(
        name="gsc_portal_after_runs",
        job_name=PORTAL_JOB,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts `gsc_portal` when runs of `gsc_sync` or `gsc_insights` have ended and none of "
        "these jobs is in progress: once for all runs of a tick. After a sync it waits two minutes, in which "
        "the reports of the tick are requested.",
    )
    def gsc_portal_after_runs(
        context: dg.SensorEvaluationContext, clock: dg.ResourceParam[Clock]
    ) -> dg.RunRequest | dg.SkipReason:
        since = datetime.fromisoformat(context.cursor) if context.cursor else clock()
        context.update_cursor(since.isoformat())
        records = [one for job in _SHOWN for one in ended_runs(context.instance, job, since)]
        newest = max(records, key=lambda one: one.update_timestamp, default=None)
        if newest is None:
            return dg.SkipReason("no sync and no report has ended since the last evaluation")
        begun = clock() - FORGOTTEN_AFTER
        if any(workspaces_in_progress(context.instance, job, begun) for job in _SHOWN):
            return dg.SkipReason("waits until the syncs and reports in progress have ended")
        ended_at = newest.update_timestamp.replace(tzinfo=UTC)
        if newest.dagster_run.job_name == SYNC_JOB and clock() - ended_at < REPORTS_FOLLOW_WITHIN:
            return dg.SkipReason("waits, as reports may follow the sync that has just ended")
        context.update_cursor(max(since, ended_at).isoformat())
        # An evaluation that finds the same run again requests the same run, which Dagster starts once.
        return dg.RunRequest(run_key=newest.dagster_run.run_id)

    return gsc_portal_after_runs
