"""The end of a tick: the event of `auto_sync`, its check, and telemetry."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from gsc_pipeline.defs.deferred import KEPT_FOR, LAUNCHED_WITHIN
from gsc_pipeline.defs.jobs import MORE_WORKSPACE_TAG, TICK_TAG, run_tags, shared_run_tags
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.sync.telemetry import AutoSyncComplete, AutoSyncFailure
from gsc_pipeline.sync.ticks import Tick
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.defs.test_automation import SIX, definitions, orchestra, tick
from gsc_pipeline_tests.replies import FORBIDDEN, UNAVAILABLE, all_queries, queries_of

__all__ = ["orchestra"]

SHOP = "https://shop.acme.com/"


@pytest.fixture
def begun(orchestra: Orchestra) -> list[dg.RunRequest]:
    """The runs that a tick of two workspaces requested. globex has a property of its own."""
    orchestra.workspaces[1] = orchestra.world.workspace("globex", properties=[SHOP])
    return list(tick(orchestra, auto_sync_days=2).run_requests)


def run(orchestra: Orchestra, *requests: dg.RunRequest) -> None:
    for request in requests:
        orchestra.materialize(tags=request.tags)


def evaluate(orchestra: Orchestra) -> Any:
    """One evaluation of the sensor: its events, or why it has none."""
    found = orchestra.evaluate("gsc_tick_summary")
    return found.asset_events or str(found.skip_message)


def summary(orchestra: Orchestra) -> tuple[dict[str, Any], Any]:
    """The summary's numbers and its check."""
    (event, check) = evaluate(orchestra)
    return {name: value.value for name, value in event.metadata.items()}, check


def launched(orchestra: Orchestra, request: dg.RunRequest, **tags: str) -> dg.DagsterRun:
    """A run that has started, in a process that has vanished."""
    job = definitions(orchestra).resolve_job_def("gsc_sync")
    return orchestra.instance.create_run_for_job(
        job, tags={**request.tags, **tags}, status=dg.DagsterRunStatus.STARTED
    )


def test_a_tick_is_reported_once_when_its_last_run_has_ended(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    run(orchestra, begun[0])
    assert evaluate(orchestra) == "no tick has ended"
    run(orchestra, begun[1])
    orchestra.world.now += timedelta(seconds=90)
    numbers, check = summary(orchestra)
    assert (numbers["total_workspaces"], numbers["successes"], numbers["failures"]) == (2, 2, 0)
    assert numbers["duration_ms"] == 90_000
    assert numbers["urls_per_second"] > 0
    assert numbers["tick"] == SIX.isoformat()
    assert check.passed
    assert evaluate(orchestra) == "no tick has ended"
    assert [ended.successes for ended in orchestra.ended] == [2]


def test_an_evaluation_that_dies_before_its_events_are_stored_is_repeated(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    run(orchestra, *begun)
    first = orchestra.evaluate("gsc_tick_summary")
    # The daemon died: neither events, requests nor cursor were stored.
    orchestra.cursors.clear()
    orchestra.world.now += timedelta(minutes=1)
    again = orchestra.evaluate("gsc_tick_summary", workspaces_per_run=2)
    assert again.asset_events == first.asset_events
    # Also with another grouping: the run keys are the same, so nothing is launched twice.
    assert [one.run_key for one in again.run_requests] == [one.run_key for one in first.run_requests]
    assert [one.tags for one in again.run_requests] == [one.tags for one in first.run_requests]
    assert evaluate(orchestra) == "no tick has ended"


def test_the_tick_has_ended_when_alerts_are_evaluated(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    """They read the last ticks that have ended."""
    run(orchestra, *begun)
    known: list[str] = []

    def note(ended: AutoSyncComplete) -> None:
        last = orchestra.ticks.last_ended()
        known.extend([last.name] if last else [])

    orchestra.on_end = note
    evaluate(orchestra)
    assert known == [SIX.isoformat()]


def test_a_notification_that_fails_does_not_keep_the_tick_from_being_reported(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    def fail(ended: AutoSyncComplete) -> None:
        raise PipelineError("GSC_ALERT_URLS: no such service: slakc://")

    orchestra.on_end = fail
    run(orchestra, *begun)
    numbers, check = summary(orchestra)
    assert (numbers["successes"], check.passed) == (2, True)
    assert evaluate(orchestra) == "no tick has ended"


def test_all_ticks_that_have_not_ended_cost_one_query_of_runs(orchestra: Orchestra) -> None:
    for n in range(3):
        tick(orchestra, SIX + timedelta(hours=6 * n), auto_sync_days=2)
    statements: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        evaluate(orchestra)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    assert len([one for one in statements if "FROM runs" in one]) == 1


@pytest.mark.soak
def test_a_tick_that_an_earlier_release_began_ends_like_any_other(orchestra: Orchestra) -> None:
    """It has no record of its requests."""
    orchestra.ticks.begin(Tick(SIX.isoformat(), orchestra.world.now, ("acme", "globex"), 2))
    tags = [
        {TICK_TAG: SIX.isoformat(), **run_tags([id_], orchestra.world.last(2))} for id_ in ("acme", "globex")
    ]
    orchestra.materialize(tags=tags[0])
    assert evaluate(orchestra) == "no tick has ended"
    orchestra.materialize(tags=tags[1])
    numbers, _ = summary(orchestra)
    assert numbers["successes"] == 2


def test_a_tick_of_long_ago_is_ignored(orchestra: Orchestra, begun: list[dg.RunRequest]) -> None:
    orchestra.world.now += KEPT_FOR + timedelta(minutes=1)
    assert evaluate(orchestra) == "no tick has ended"


def test_what_two_attempts_of_a_run_read_is_counted_together(orchestra: Orchestra) -> None:
    """The second attempt reads nothing more, and yet the data has changed."""
    (request, _) = tick(orchestra, auto_sync_days=3).run_requests
    orchestra.world.faults.append(queries_of(orchestra.world.last(2).start, UNAVAILABLE))
    orchestra.materialize(tags=request.tags)
    (outcome,) = orchestra.ticks.outcomes(orchestra.ticks.unended()[0])
    assert (outcome.outcome, outcome.days_read, outcome.days_failed) == ("partial", 2, 1)


def test_a_partial_failure_is_a_warning_with_the_workspace_and_the_reason(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    orchestra.world.faults.append(all_queries(FORBIDDEN, SHOP))
    run(orchestra, *begun)
    numbers, check = summary(orchestra)
    assert (numbers["successes"], numbers["failures"]) == (1, 1)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    (row,) = check.metadata["reasons"].records
    assert row.data["workspace"] == "globex"
    assert "403" in row.data["reason"]


def test_total_failure_is_an_error(orchestra: Orchestra, begun: list[dg.RunRequest]) -> None:
    orchestra.world.faults.append(all_queries(FORBIDDEN))
    run(orchestra, *begun)
    numbers, check = summary(orchestra)
    assert (numbers["successes"], numbers["failures"]) == (0, 2)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert isinstance(orchestra.ended[0], AutoSyncFailure)


def test_a_run_that_reported_no_outcome_counts_as_a_failure_of_its_workspaces(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    run(orchestra, begun[0])
    killed = launched(orchestra, begun[1])
    assert evaluate(orchestra) == "no tick has ended"
    orchestra.instance.report_run_failed(killed)
    _, check = summary(orchestra)
    (row,) = check.metadata["reasons"].records
    assert row.data["reason"] == f"run {killed.run_id} ended as FAILURE"


def test_the_tick_waits_for_a_run_that_is_about_to_be_retried(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    run(orchestra, begun[0])
    crashed = launched(orchestra, begun[1], **{"dagster/will_retry": "true"})
    orchestra.instance.report_run_failed(crashed)
    assert evaluate(orchestra) == "no tick has ended"
    orchestra.instance.add_run_tags(crashed.run_id, {"dagster/auto_retry_run_id": "the-next"})
    run(orchestra, begun[1])
    numbers, _ = summary(orchestra)
    assert (numbers["successes"], numbers["failures"]) == (2, 0)


def test_the_tick_waits_at_most_an_hour_for_runs_that_are_never_created(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    assert evaluate(orchestra) == "no tick has ended"
    orchestra.world.now += LAUNCHED_WITHIN + timedelta(seconds=1)
    numbers, check = summary(orchestra)
    assert (numbers["successes"], numbers["failures"]) == (0, 2)
    assert {row.data["reason"] for row in check.metadata["reasons"].records} == {"no run reported an outcome"}


@pytest.mark.soak
def test_a_run_that_was_created_twice_counts_once(orchestra: Orchestra, begun: list[dg.RunRequest]) -> None:
    run(orchestra, begun[0], begun[0])
    assert evaluate(orchestra) == "no tick has ended"
    run(orchestra, begun[1])
    numbers, _ = summary(orchestra)
    assert (numbers["successes"], numbers["failures"]) == (2, 0)


@pytest.mark.soak
def test_the_tick_does_not_wait_for_a_run_of_gsc_more_that_was_due_at_the_same_moment(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    tags = shared_run_tags(["acme", "globex"], minutes=120, tag=MORE_WORKSPACE_TAG)
    more = definitions(orchestra).resolve_job_def("gsc_more")
    orchestra.instance.create_run_for_job(
        more, tags={TICK_TAG: SIX.isoformat(), **tags}, status=dg.DagsterRunStatus.STARTED
    )
    run(orchestra, begun[0])
    assert evaluate(orchestra) == "no tick has ended"
    run(orchestra, begun[1])
    numbers, _ = summary(orchestra)
    assert numbers["successes"] == 2


@pytest.mark.soak
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
    evaluate(orchestra)
    found = execute()
    assert (found.passed, found.description) == (False, "1 of 2 workspaces complete, 0 partial, 1 failed")


def test_telemetry_receives_the_outcome_of_each_workspace(
    orchestra: Orchestra, begun: list[dg.RunRequest]
) -> None:
    run(orchestra, *begun)
    assert orchestra.telemetry.names == ["auto_sync.started", *["workspace_sync.complete"] * 2]
    _, numbers, about = orchestra.telemetry.emitted[1]
    assert (about["workspace"], about["tick"], about["outcome"]) == ("acme", SIX.isoformat(), "complete")
    assert numbers["days_read"] == 2


def test_a_run_started_by_a_person_belongs_to_no_tick(orchestra: Orchestra) -> None:
    orchestra.materialize(tags=run_tags(["acme"], orchestra.world.last(2)))
    assert orchestra.telemetry.names == ["workspace_sync.complete"]
    assert evaluate(orchestra) == "no tick has ended"
