"""Deferred workspaces of a tick are tried again: when, how often, and never twice for one request."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.defs.deferred import LAUNCHED_WITHIN
from gsc_pipeline.defs.jobs import TRY_TAG, WINDOW_TAG, WORKSPACES_TAG
from gsc_pipeline.search_console.breakers import BreakerState, Circuit
from gsc_pipeline.sync.lease import RETRY_AFTER
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.defs.test_automation import SIX, definitions, orchestra, tick
from gsc_pipeline_tests.sync.test_lease import another_process

__all__ = ["orchestra"]

MINUTE = timedelta(minutes=1)
OPEN = BreakerState(Circuit.OPEN, 5, SIX, SIX + 5 * MINUTE, "no answer")
HALF_OPEN = replace(OPEN, state=Circuit.HALF_OPEN)


@pytest.fixture(autouse=True)
def at_six(orchestra: Orchestra) -> None:
    orchestra.world.now = SIX


def evaluate(orchestra: Orchestra, after: timedelta = timedelta(0), **settings: object) -> Any:
    """One evaluation of the sensor so long after six: the runs it requests, or why there are none."""
    orchestra.world.now = SIX + after
    found = orchestra.evaluate("gsc_auto_sync_deferred", auto_sync_days=2, **settings)
    return found.run_requests or found.skip_message


def workspaces(requests: list[dg.RunRequest]) -> list[str]:
    return [request.tags[WORKSPACES_TAG] for request in requests]


def launch(orchestra: Orchestra, requests: list[dg.RunRequest], status: dg.DagsterRunStatus) -> None:
    """The runs as the daemon creates them, without executing them."""
    job = definitions(orchestra).resolve_job_def("gsc_sync")
    for request in requests:
        orchestra.instance.create_run_for_job(job, tags=dict(request.tags), status=status)


def defer(orchestra: Orchestra, workspace: str, until: datetime, reason: str = "quota used up") -> None:
    """The outcome of a run whose workspace is deferred."""
    (begun,) = orchestra.ticks.unended()
    known = {one.workspace: one for one in orchestra.ticks.outcomes(begun)}
    orchestra.ticks.note(replace(known[workspace], retry_at=until.isoformat(), reasons=(reason,)))


def summarise(orchestra: Orchestra) -> Any:
    found = orchestra.evaluate("gsc_tick_summary", auto_sync_days=2)
    return found.asset_events and found.asset_events[0].metadata


def skipped(orchestra: Orchestra) -> None:
    """A tick that requested nothing, as the circuit of the API was open."""
    orchestra.breaker = OPEN
    assert tick(orchestra, auto_sync_days=2).run_requests == []
    orchestra.breaker = HALF_OPEN


def test_a_tick_that_an_open_circuit_skipped_is_made_up_when_it_may_close(orchestra: Orchestra) -> None:
    skipped(orchestra)
    said = evaluate(orchestra, 4 * MINUTE)
    assert said == "2 workspaces are deferred, the first until 2026-11-21 06:05:00 UTC"
    assert not summarise(orchestra)
    requests = evaluate(orchestra, 5 * MINUTE)
    assert workspaces(requests) == ["acme", "globex"]
    assert requests[0].tags[WINDOW_TAG] == "2026-11-18/2026-11-19"
    for request in requests:
        orchestra.materialize(tags=request.tags)
    assert evaluate(orchestra, 6 * MINUTE) == "no workspace is deferred"
    numbers = summarise(orchestra)
    assert (numbers["successes"].value, numbers["failures"].value) == (2, 0)


def test_the_tick_has_not_ended_while_the_later_runs_have_not(orchestra: Orchestra) -> None:
    skipped(orchestra)
    requests = evaluate(orchestra, 5 * MINUTE)
    assert not summarise(orchestra)
    launch(orchestra, requests, dg.DagsterRunStatus.STARTED)
    assert not summarise(orchestra)


def test_an_evaluation_that_dies_requests_the_same_runs_again(orchestra: Orchestra) -> None:
    skipped(orchestra)
    first = evaluate(orchestra, 5 * MINUTE, workspaces_per_run=2)
    again = evaluate(orchestra, 6 * MINUTE, workspaces_per_run=1)
    assert [(one.run_key, one.tags) for one in again] == [(one.run_key, one.tags) for one in first]
    launch(orchestra, first, dg.DagsterRunStatus.NOT_STARTED)
    assert "deferred" in evaluate(orchestra, 7 * MINUTE)


def test_a_circuit_that_is_open_again_uses_up_no_try(orchestra: Orchestra) -> None:
    skipped(orchestra)
    orchestra.breaker = replace(OPEN, retry_at=SIX + 11 * MINUTE)
    assert "deferred" in evaluate(orchestra, 6 * MINUTE)
    orchestra.breaker = None
    (request, _) = evaluate(orchestra, 11 * MINUTE)
    assert request.tags[TRY_TAG] == "1"


@pytest.mark.soak
def test_a_workspace_is_tried_three_times_with_longer_pauses(orchestra: Orchestra) -> None:
    orchestra.token_breakers = {"acme": OPEN}
    tick(orchestra, auto_sync_days=2)
    orchestra.token_breakers = {"acme": HALF_OPEN}
    tried_at = []
    # A try that was due between two of these moments would come with the later.
    for minutes in (1, 4, 5, 19, 20, 79, 80, 200, 358):
        requests = evaluate(orchestra, minutes * MINUTE)
        if not isinstance(requests, str):
            assert workspaces(requests) == ["acme"]
            launch(orchestra, requests, dg.DagsterRunStatus.SUCCESS)
            defer(orchestra, "acme", orchestra.world.now + 5 * MINUTE, "still no answer")
            tried_at.append(minutes)
    assert tried_at == [5, 20, 80]
    # globex, whose run was never created, counts as failed as well.
    numbers = summarise(orchestra)
    reasons = {row.data["workspace"]: row.data["reason"] for row in numbers["reasons"].records}
    assert reasons["acme"] == "still no answer"


def test_a_quota_that_was_used_up_during_a_run_is_made_up_for(orchestra: Orchestra) -> None:
    (acme, globex) = tick(orchestra, auto_sync_days=2).run_requests
    for request in (acme, globex):
        orchestra.materialize(tags=request.tags)
    defer(orchestra, "globex", SIX + 15 * MINUTE)
    assert "1 workspaces are deferred" in evaluate(orchestra, 14 * MINUTE)
    assert not summarise(orchestra)
    assert workspaces(evaluate(orchestra, 15 * MINUTE)) == ["globex"]


def test_a_workspace_that_gsc_sync_holds_is_made_up_for(orchestra: Orchestra) -> None:
    orchestra.workspaces[:] = orchestra.workspaces[:1]
    (acme,) = tick(orchestra, auto_sync_days=2).run_requests
    with another_process(orchestra.world.folder):
        result = orchestra.materialize(tags=acme.tags)
    assert not result.success
    assert not orchestra.world.queries()
    assert not summarise(orchestra)
    (again,) = evaluate(orchestra, RETRY_AFTER)
    assert orchestra.materialize(tags=again.tags).success
    assert summarise(orchestra)["successes"].value == 1


def test_a_workspace_whose_run_goes_on_is_not_tried_beside_it(orchestra: Orchestra) -> None:
    (shared,) = tick(orchestra, auto_sync_days=2, workspaces_per_run=2).run_requests
    orchestra.materialize(tags=shared.tags)
    launch(orchestra, [shared], dg.DagsterRunStatus.STARTED)
    defer(orchestra, "acme", SIX + 15 * MINUTE)
    assert "deferred" in evaluate(orchestra, 20 * MINUTE)


def test_what_can_be_tried_only_after_the_next_tick_is_left_to_it(orchestra: Orchestra) -> None:
    orchestra.breaker = replace(OPEN, retry_at=SIX + timedelta(hours=6))
    tick(orchestra, auto_sync_days=2)
    orchestra.breaker = None
    assert evaluate(orchestra, MINUTE) == "no workspace is deferred"
    numbers = summarise(orchestra)
    assert numbers["failures"].value == 2
    assert "the circuit breaker is open" in numbers["reasons"].records[0].data["reason"]


def test_nothing_is_tried_when_the_next_tick_has_begun(orchestra: Orchestra) -> None:
    skipped(orchestra)
    assert evaluate(orchestra, timedelta(hours=6)) == "no workspace is deferred"
    assert summarise(orchestra)["failures"].value == 2


def test_a_run_that_is_never_created_is_waited_for_an_hour(orchestra: Orchestra) -> None:
    skipped(orchestra)
    assert len(evaluate(orchestra, 5 * MINUTE)) == 2
    for try_, at in ((2, 20 * MINUTE), (3, 80 * MINUTE)):
        requests = evaluate(orchestra, at)
        assert {request.tags[TRY_TAG] for request in requests} >= {str(try_)}
    orchestra.world.now = SIX + 80 * MINUTE + LAUNCHED_WITHIN
    assert not summarise(orchestra)
    orchestra.world.now += MINUTE
    assert summarise(orchestra)["failures"].value == 2
