"""The job `gsc_housekeeping`: cleans up the Dagster instance and the lake once a day."""

from datetime import timedelta

import dagster as dg

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.dagster_private import delete_check_results
from gsc_pipeline.defs.jobs import HOUSEKEEPING_JOB, background
from gsc_pipeline.defs.resources import LakeTables, SharedState, TelemetryLog
from gsc_pipeline.defs.retention import forget_ticks, prune_runs
from gsc_pipeline.defs.startup import refuse_unshared_storage
from gsc_pipeline.lake.maintenance import compact_and_vacuum
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.telemetry import HousekeepingComplete

RUNS_LOOKED_AT = 10_000
"""The most old runs that one day's housekeeping examines. 1,000 workspaces add fewer runs in a day."""


def housekeeping_job(settings: Settings, *, owns_instance: bool = True) -> dg.JobDefinition:
    """`gsc_housekeeping`: cleans up the instance and the lake, and reports what was deleted.

    Unless it `owns_instance`, the job leaves runs and check results, which may be those of other projects.
    """

    @dg.op(name="tidy_up", out=dg.Out(dg.Nothing))
    def tidy(
        context: dg.OpExecutionContext,
        lake: LakeTables,
        state: SharedState,
        telemetry: TelemetryLog,
        clock: dg.ResourceParam[Clock],
    ) -> None:
        refuse_unshared_storage(context.instance, settings)
        begun_at, freed, failures = clock(), dict[str, int](), dict[str, str]()
        before = begun_at - timedelta(days=settings.keep_runs_days)

        def tidy_instance() -> None:
            if owns_instance:
                runs = prune_runs(context.instance, before, at_most=RUNS_LOOKED_AT)
                freed.update(runs_looked_at=runs.looked_at, runs_deleted=runs.deleted)
                freed["check_results_deleted"] = delete_check_results(context.instance, before)
            freed["ticks_deleted"] = forget_ticks(state.ticks(), before)

        def tidy_lake() -> None:
            tables = compact_and_vacuum(
                lake.open().for_run(context.run_id), retention_hours=settings.vacuum_hours, clock=clock
            )
            freed["files_removed"] = sum(table.files_deleted for table in tables)
            freed["bytes_freed"] = sum(table.bytes_freed for table in tables)
            if kept := [f"{table.table}: {table.kept_because}" for table in tables if table.kept_because]:
                failures["the lake"] = "; ".join(kept)

        for half, tidy_half in {"the instance": tidy_instance, "the lake": tidy_lake}.items():
            try:
                tidy_half()
            # The two halves are independent, and each storage can raise many types of errors.
            except Exception as error:
                context.log.exception(f"{half} could not be cleaned up")
                failures[half] = str(error)
        done = HousekeepingComplete(
            runs_deleted=freed.get("runs_deleted", 0),
            check_results_deleted=freed.get("check_results_deleted", 0),
            ticks_deleted=freed.get("ticks_deleted", 0),
            files_removed=freed.get("files_removed", 0),
            bytes_freed=freed.get("bytes_freed", 0),
            failures=len(failures),
            duration_ms=round((clock() - begun_at).total_seconds() * 1000),
        )
        telemetry.emit_event(done)
        numbers = {**freed, **done.measurements}
        if failures:
            text = "; ".join(f"{half} could not be cleaned up: {cause}" for half, cause in failures.items())
            raise dg.Failure(text, metadata=numbers)
        context.add_output_metadata(numbers)

    @dg.job(
        name=HOUSEKEEPING_JOB,
        # After every other run.
        tags=background(120, priority=-1),
        executor_def=dg.in_process_executor,
        description="Cleans up the Dagster instance and the lake. Deletes old runs that no asset's status "
        "needs, and old results of checks. Compacts the lake's small files, and deletes files that no table "
        "needs. Green: both were cleaned up; the step's output says what was deleted. Red: the instance or "
        "the lake could not be cleaned up, and the failure says why.",
    )
    def gsc_housekeeping() -> None:
        tidy()

    return gsc_housekeeping
