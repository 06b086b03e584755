"""The sensor that starts `gsc_insights` when a run of `gsc_more` has changed tables that insights read."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow.compute as pc

from gsc_pipeline.days import Clock, month_of
from gsc_pipeline.defs.jobs import (
    INSIGHTS_JOB,
    MORE_JOB,
    ended_runs,
    insights_run_tags,
    workspaces_of,
)
from gsc_pipeline.defs.partitions import WORKSPACES
from gsc_pipeline.defs.resources import LakeTables
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITEMAPS, URL_INSPECTIONS


def insights_after_more_sensor() -> dg.SensorDefinition:
    """Starts one run of `gsc_insights` for each run of `gsc_more` that wrote inspections or sitemaps.

    The lake says which workspaces' rows a run wrote, so what a failed run has kept counts too.
    """

    @dg.sensor(
        name="gsc_insights_after_more",
        job_name=INSIGHTS_JOB,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts `gsc_insights` when a run of `gsc_more` has ended, for the workspaces whose "
        "inspections or sitemaps it wrote: `index_coverage` and the report are made of them.",
    )
    def gsc_insights_after_more(
        context: dg.SensorEvaluationContext, lake: LakeTables, clock: dg.ResourceParam[Clock]
    ) -> dg.SensorResult | dg.SkipReason:
        since = datetime.fromisoformat(context.cursor) if context.cursor else clock()
        records = ended_runs(context.instance, MORE_JOB, since)
        ended_at = [record.update_timestamp.replace(tzinfo=UTC) for record in records]
        context.update_cursor(max([since, *ended_at]).isoformat())
        registered = context.instance.get_dynamic_partitions(WORKSPACES) if records else []
        requests = []
        for record in records:
            named = workspaces_of(record.dagster_run.tags, registered) & set(registered)
            changed = [
                workspace for workspace in sorted(named) if _has_written(record, lake.open(), workspace)
            ]
            if changed:
                # A repeated evaluation requests the same run, which Dagster starts once.
                run_key = record.dagster_run.run_id
                requests.append(dg.RunRequest(run_key=run_key, tags=insights_run_tags(changed)))
        return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("nothing has changed")

    return gsc_insights_after_more


def _has_written(record: dg.RunRecord, lake: Lake, workspace: str) -> bool:
    """Whether the lake has rows of the workspace that the run wrote."""
    run_id = record.dagster_run.run_id
    # A month holds Pacific days, which begin up to eight hours after those of UTC.
    first, last = record.create_timestamp - timedelta(days=1), record.update_timestamp
    months = sorted({month_of(first.date()), month_of(last.date())})
    of_run = pc.field("run_id") == run_id
    try:
        return any(
            lake.read(table, columns=["run_id"], where=of_run, workspace=workspace, months=months).num_rows
            for table in (URL_INSPECTIONS, SITEMAPS)
        )
    except DamagedError:
        # The run that is requested names the damage, which stops no other workspace.
        return True
