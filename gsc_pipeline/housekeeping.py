"""The job `gsc_housekeeping`: the daily tidying of the Dagster instance and of the lake.

Belongs here: the order of it, and telling what it freed. Does not: what may be deleted of an instance
(`instance_housekeeping`) and of a lake (`lake.housekeeping`).
"""

from datetime import timedelta

import dagster as dg

from gsc_pipeline.dagster_private import delete_check_results, delete_tags_without_run
from gsc_pipeline.instance_housekeeping import forget_ticks, prune_runs
from gsc_pipeline.jobs import MAX_RUNTIME_TAG
from gsc_pipeline.lake.housekeeping import compact_and_vacuum
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.settings import Settings
from gsc_pipeline.telemetry import HousekeepingComplete

HOUSEKEEPING_RUN_TAGS = {"dagster/priority": "-1", MAX_RUNTIME_TAG: "7200"}
"""When there is nothing else to do."""

RUNS_LOOKED_AT = 10_000
"""Old runs that one day's housekeeping judges: more than 1,000 workspaces leave in a day."""


def housekeeping_job(settings: Settings) -> dg.JobDefinition:
    """`gsc_housekeeping`: tidies the Dagster instance and the lake, and says what that freed."""

    @dg.op(name="tidy_up", out=dg.Out(dg.Nothing))
    def tidy(context: dg.OpExecutionContext, pipeline: dg.ResourceParam[Pipeline]) -> None:
        begun_at, freed, failures = pipeline.clock(), dict[str, int](), dict[str, str]()
        before = begun_at - timedelta(days=settings.keep_runs_days)

        def tidy_instance() -> None:
            runs = prune_runs(context.instance, before, at_most=RUNS_LOOKED_AT)
            freed.update(runs_looked_at=runs.looked_at, runs_deleted=runs.deleted)
            freed["check_results_deleted"] = delete_check_results(context.instance, before)
            delete_tags_without_run(context.instance)
            freed["ticks_deleted"] = forget_ticks(pipeline.ticks, before)

        def tidy_lake() -> None:
            tables = compact_and_vacuum(
                pipeline.lake, retention_hours=settings.vacuum_hours, clock=pipeline.clock
            )
            freed["files_removed"] = sum(table.files_deleted for table in tables)
            freed["bytes_freed"] = sum(table.bytes_freed for table in tables)
            if kept := [f"{table.table}: {table.kept_because}" for table in tables if table.kept_because]:
                failures["the lake"] = "; ".join(kept)

        for half, tidy_half in {"the instance": tidy_instance, "the lake": tidy_lake}.items():
            try:
                tidy_half()
            # Neither half needs the other, and either storage has many ways to fail.
            except Exception as error:
                context.log.exception(f"{half} could not be tidied")
                failures[half] = str(error)
        done = HousekeepingComplete(
            runs_deleted=freed.get("runs_deleted", 0),
            check_results_deleted=freed.get("check_results_deleted", 0),
            ticks_deleted=freed.get("ticks_deleted", 0),
            files_removed=freed.get("files_removed", 0),
            bytes_freed=freed.get("bytes_freed", 0),
            failures=len(failures),
            duration_ms=round((pipeline.clock() - begun_at).total_seconds() * 1000),
        )
        pipeline.telemetry.tell(done)
        numbers = {**freed, **done.measurements}
        if failures:
            text = "; ".join(f"{half} could not be tidied: {cause}" for half, cause in failures.items())
            raise dg.Failure(text, metadata=numbers)
        context.add_output_metadata(numbers)

    @dg.job(
        name="gsc_housekeeping",
        tags=HOUSEKEEPING_RUN_TAGS,
        description="Deletes old runs that no asset's status rests on, and old results of checks; joins the "
        "lake's small files and deletes those that no table needs any more. The step's output says what "
        "that freed.",
    )
    def gsc_housekeeping() -> None:
        tidy()

    return gsc_housekeeping
