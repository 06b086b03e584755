"""A tick as a whole: what the asset `auto_sync`, its check and telemetry say when its last run has ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.jobs import MORE_WORKSPACE_TAG, TICK_TAG, run_tags, shared_run_tags
from gsc_pipeline.telemetry import AutoSyncFailure
from gsc_pipeline.tick_summary import LAUNCHED_WITHIN
from gsc_pipeline_tests.dagster_layer.conftest import Orchestra
from gsc_pipeline_tests.dagster_layer.test_automation import SIX, definitions, orchestra, tick
from gsc_pipeline_tests.sync.test_failures import FORBIDDEN, all_queries

__all__ = ["orchestra"]

SHOP = "https://shop.acme.com/"


@pytest.fixture
def begun(orchestra: Orchestra) -> list[dg.RunRequest]:
    """A tick of two workspaces has asked for its runs, one of which reads a property of its own."""
    orchestra.workspaces[1] = orchestra.world.workspace("globex", properties=[SHOP])
    return list(tick(orchestra, auto_sync_days=2).run_requests)


def run(orchestra: Orchestra, *requests: dg.RunRequest) -> None:
    for request in requests:
        orchestra.materialize(tags=request.tags)


def look(orchestra: Orchestra) -> Any:
    """One evaluation of the sensor: its events, or why it had none."""
    defs = definitions(orchestra)
    with dg.build_sensor_context(
        instance=orchestra.instance,
        resources={"pipeline": orchestra.pipeline},
        repository_def=defs.get_repository_def(),
    ) as context:
        found: Any = defs.resolve_sensor_def("gsc_tick_summary").evaluate_tick(context)
    return found.asset_events or str(found.skip_message)


def told(orchestra: Orchestra) -> tuple[dict[str, Any], Any]:
    """The summary's numbers and its check."""
    (event, check) = look(orchestra)
    return {name: value.value for name, value in event.metadata.items()}, check


def launched(orchestra: Orchestra, request: dg.RunRequest, **tags: str) -> dg.DagsterRun:
    """A run that has started, in a process that tells nothing any more."""
    job = definitions(orchestra).resolve_job_def("gsc_sync")
    return orchestra.instance.create_run_for_job(
        job, tags={**request.tags, **tags}, status=dg.DagsterRunStatus.STARTED
    )


def test_a_tick_is_summed_up_once_when_its_last_run_has_ended(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    run(orchestra, begun[0])
    assert look(orchestra) == "no tick has ended"
    run(orchestra, begun[1])
    orchestra.world.now += timedelta(seconds=90)
    numbers, check = told(orchestra)
    assert (numbers["total_workspaces"], numbers["successes"], numbers["failures"]) == (2, 2, 0)
    assert numbers["duration_ms"] == 90_000
    assert numbers["urls_per_second"] > 0
    assert numbers["tick"] == SIX.isoformat()
    assert check.passed
    assert look(orchestra) == "no tick has ended"
    assert [ended.successes for ended in orchestra.ended] == [2]


def test_partial_failure_is_a_warning_that_names_the_workspace_and_why(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    orchestra.world.faults.append(all_queries(FORBIDDEN, SHOP))
    run(orchestra, *begun)
    numbers, check = told(orchestra)
    assert (numbers["successes"], numbers["failures"]) == (1, 1)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    (row,) = check.metadata["reasons"].records
    assert row.data["workspace"] == "globex"
    assert "403" in row.data["reason"]


def test_total_failure_is_an_error(orchestra: Orchestra, begun: list[dg.RunRequest]) -> None:
    orchestra.world.faults.append(all_queries(FORBIDDEN))
    run(orchestra, *begun)
    numbers, check = told(orchestra)
    assert (numbers["successes"], numbers["failures"]) == (0, 2)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert isinstance(orchestra.ended[0], AutoSyncFailure)


def test_a_run_that_left_no_word_counts_as_a_failure_of_its_workspaces(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    run(orchestra, begun[0])
    killed = launched(orchestra, begun[1])
    assert look(orchestra) == "no tick has ended"
    orchestra.instance.report_run_failed(killed)
    _, check = told(orchestra)
    (row,) = check.metadata["reasons"].records
    assert row.data["reason"] == f"its run {killed.run_id} ended as FAILURE"


def test_a_run_that_is_about_to_be_repeated_is_waited_for(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    run(orchestra, begun[0])
    crashed = launched(orchestra, begun[1], **{"dagster/will_retry": "true"})
    orchestra.instance.report_run_failed(crashed)
    assert look(orchestra) == "no tick has ended"
    orchestra.instance.add_run_tags(crashed.run_id, {"dagster/auto_retry_run_id": "the-next"})
    run(orchestra, begun[1])
    numbers, _ = told(orchestra)
    assert (numbers["successes"], numbers["failures"]) == (2, 0)


def test_runs_that_never_appear_are_not_waited_for_longer_than_an_hour(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    assert look(orchestra) == "no tick has ended"
    orchestra.world.now += LAUNCHED_WITHIN + timedelta(seconds=1)
    numbers, check = told(orchestra)
    assert (numbers["successes"], numbers["failures"]) == (0, 2)
    assert {row.data["reason"] for row in check.metadata["reasons"].records} == {"its run left no word"}


def test_a_run_that_was_made_twice_does_not_stand_for_one_that_is_still_to_come(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    run(orchestra, begun[0], begun[0])
    assert look(orchestra) == "no tick has ended"
    run(orchestra, begun[1])
    numbers, _ = told(orchestra)
    assert (numbers["successes"], numbers["failures"]) == (2, 0)


def test_a_run_of_gsc_more_that_was_due_at_the_same_moment_is_not_waited_for(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    tags = shared_run_tags(["acme", "globex"], minutes=120, tag=MORE_WORKSPACE_TAG)
    more = definitions(orchestra).resolve_job_def("gsc_more")
    orchestra.instance.create_run_for_job(
        more, tags={TICK_TAG: SIX.isoformat(), **tags}, status=dg.DagsterRunStatus.STARTED
    )
    run(orchestra, begun[0])
    assert look(orchestra) == "no tick has ended"
    run(orchestra, begun[1])
    numbers, _ = told(orchestra)
    assert numbers["successes"] == 2


def test_the_check_can_be_executed_at_any_time(orchestra: Orchestra, begun: list[dg.RunRequest]) -> None:
    def execute() -> Any:
        key = dg.AssetCheckKey(dg.AssetKey("auto_sync"), "every_workspace_synced")
        job = dg.define_asset_job("only_this", selection=dg.AssetSelection.checks(key))
        defs = dg.Definitions.merge(definitions(orchestra), dg.Definitions(jobs=[job]))
        result = defs.resolve_job_def("only_this").execute_in_process(instance=orchestra.instance)
        return result.get_asset_check_evaluations()[0]

    assert execute().description == "no tick has ended yet"
    orchestra.world.faults.append(all_queries(FORBIDDEN, SHOP))
    run(orchestra, *begun)
    look(orchestra)
    found = execute()
    assert (found.passed, found.description) == (False, "1 of 2 workspaces synced")


def test_each_workspaces_end_is_told_to_telemetry_too(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    run(orchestra, *begun)
    assert orchestra.telemetry.names == ["auto_sync.started", *["workspace_sync.complete"] * 2]
    _, numbers, about = orchestra.telemetry.emitted[1]
    assert (about["workspace"], about["tick"], about["outcome"]) == ("acme", SIX.isoformat(), "success")
    assert numbers["days_read"] == 2


def test_a_run_started_by_a_person_belongs_to_no_tick(orchestra: Orchestra) -> None:
    orchestra.materialize(tags=run_tags(["acme"], orchestra.world.last(2)))
    assert orchestra.telemetry.names == ["workspace_sync.complete"]
    assert look(orchestra) == "no tick has ended"
