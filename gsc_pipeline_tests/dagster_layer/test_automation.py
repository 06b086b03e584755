"""The schedule and the sensor, evaluated as the daemon evaluates them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.jobs import FORGOTTEN_AFTER, MAX_RUNTIME_TAG, WINDOW_TAG, WORKSPACE_TAG, WORKSPACES_TAG
from gsc_pipeline.partitions import RANGE_START_TAG, WORKSPACES
from gsc_pipeline.search_console.breaker import BreakerState, Circuit
from gsc_pipeline.settings import load_settings
from gsc_pipeline.ticks import Tick
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.dagster_layer.conftest import Orchestra
from gsc_pipeline_tests.world import World

SIX = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
"""22:00 of 2026-11-20 in California."""


@pytest.fixture
def orchestra(world: World) -> Iterator[Orchestra]:
    """As elsewhere, on an instance that persists: a schedule's context takes no other."""
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme", "globex"])
        yield Orchestra(world, instance, [world.workspace("acme"), world.workspace("globex")])


def definitions(orchestra: Orchestra, **settings: object) -> dg.Definitions:
    return build_defs(load_settings(**settings), resources={"pipeline": orchestra.pipeline})


def tick(orchestra: Orchestra, at: datetime = SIX, **settings: object) -> dg.ScheduleEvaluationContext:
    defs = definitions(orchestra, **settings)
    with dg.build_schedule_context(
        instance=orchestra.instance,
        scheduled_execution_time=at,
        resources={"pipeline": orchestra.pipeline},
        repository_def=defs.get_repository_def(),
    ) as context:
        return defs.resolve_schedule_def("gsc_auto_sync").evaluate_tick(context)  # type: ignore[return-value]


def test_a_tick_asks_for_one_run_per_active_workspace_over_the_last_days(orchestra: Orchestra) -> None:
    orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id="asleep", active=False))
    requests = tick(orchestra).run_requests
    assert [request.tags[WORKSPACE_TAG] for request in requests] == ["acme", "globex"]
    first = requests[0].tags
    assert (first[WORKSPACES_TAG], first[WINDOW_TAG]) == ("acme", "2026-11-06/2026-11-19")
    assert first["gsc/tick"] == SIX.isoformat()


def test_workspaces_share_runs_as_the_setting_says(orchestra: Orchestra) -> None:
    orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id="initech"))
    requests = tick(orchestra, workspaces_per_run=2, auto_sync_days=3).run_requests
    shared, alone = [request.tags for request in requests]
    assert (shared[WORKSPACES_TAG], shared[WINDOW_TAG]) == ("acme globex", "2026-11-17/2026-11-19")
    assert (shared[WORKSPACE_TAG], shared[MAX_RUNTIME_TAG]) == ("acme+1", "1200")
    assert (alone[WORKSPACES_TAG], alone[WORKSPACE_TAG]) == ("initech", "initech")
    orchestra.materialize(tags=shared)
    assert {key.partition("|")[2] for key in orchestra.materialized()} == {"acme", "globex"}


def queued(orchestra: Orchestra, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """A run as the daemon makes it of a request."""
    job = definitions(orchestra).resolve_job_def("gsc_sync")
    return orchestra.instance.create_run_for_job(job, tags=dict(request.tags), status=status)


def test_a_workspace_that_is_still_running_is_skipped_and_the_others_are_not(orchestra: Orchestra) -> None:
    (acme, _) = tick(orchestra).run_requests
    queued(orchestra, acme, dg.DagsterRunStatus.STARTED)
    orchestra.world.now = utc_now()
    (request,) = tick(orchestra, SIX + timedelta(hours=6)).run_requests
    assert request.tags[WORKSPACE_TAG] == "globex"


def test_when_all_are_still_running_the_tick_is_skipped_and_says_so(orchestra: Orchestra) -> None:
    (shared,) = tick(orchestra, workspaces_per_run=2).run_requests
    queued(orchestra, shared, dg.DagsterRunStatus.STARTED)
    orchestra.world.now = utc_now()
    assert tick(orchestra, SIX + timedelta(hours=6)).skip_message == "still running: acme, globex"


def test_a_run_that_began_long_ago_holds_nobody_back(orchestra: Orchestra) -> None:
    (acme, _) = tick(orchestra).run_requests
    queued(orchestra, acme, dg.DagsterRunStatus.STARTED)
    orchestra.world.now = utc_now() + FORGOTTEN_AFTER
    assert len(tick(orchestra, SIX + timedelta(hours=12)).run_requests) == 2


def test_while_the_breaker_is_open_a_tick_asks_for_nothing(orchestra: Orchestra) -> None:
    until = datetime(2026, 11, 21, 6, 5, tzinfo=UTC)
    orchestra.breaker = BreakerState(Circuit.OPEN, 5, SIX, until, "no answer")
    assert tick(orchestra).skip_message == "the circuit breaker is open until 06:05:00 UTC: no answer"
    orchestra.breaker = BreakerState(Circuit.HALF_OPEN, 5, SIX, until, "no answer")
    assert len(tick(orchestra).run_requests) == 2


def test_a_tick_leaves_out_workspaces_whose_token_endpoint_is_left_alone(orchestra: Orchestra) -> None:
    until = datetime(2026, 11, 21, 6, 5, tzinfo=UTC)
    is_open = BreakerState(Circuit.OPEN, 5, SIX, until, "no answer")
    orchestra.held_back = {"acme": is_open, "globex": is_open}
    said = "the token endpoint is left alone until 06:05:00 UTC: no answer"
    assert tick(orchestra).skip_message == said
    orchestra.held_back = {
        "acme": is_open,
        "globex": dataclasses.replace(is_open, state=Circuit.HALF_OPEN),
    }
    (request,) = tick(orchestra).run_requests
    assert request.tags[WORKSPACE_TAG] == "globex"


def test_a_partial_roll_out_takes_in_the_same_workspaces_each_time(orchestra: Orchestra) -> None:
    orchestra.workspaces[:] = [dataclasses.replace(orchestra.workspaces[0], id=f"w{i}") for i in range(40)]
    quarter, half = (
        {request.tags[WORKSPACE_TAG] for request in tick(orchestra, at, auto_sync_rollout=share).run_requests}
        for at, share in ((SIX, 25), (SIX + timedelta(hours=6), 50))
    )
    assert 0 < len(quarter) < len(half) < 40
    assert quarter < half
    skipped = tick(orchestra, SIX + timedelta(hours=12), auto_sync_rollout=0).skip_message
    assert skipped == "GSC_AUTO_SYNC_ROLLOUT is 0: no active workspace is in"


def test_the_schedule_says_whether_it_is_on_and_why(orchestra: Orchestra) -> None:
    def description(**settings: object) -> str:
        defs = definitions(orchestra, **settings)
        return str(defs.resolve_schedule_def("gsc_auto_sync").description)

    assert "Off unless switched on in the UI, as GSC_AUTO_SYNC_ENABLED is not true" in description()
    on = description(auto_sync_enabled=True, auto_sync_rollout=25)
    assert "On, as GSC_AUTO_SYNC_ENABLED is true: for 25 % of them (GSC_AUTO_SYNC_ROLLOUT)" in on


def test_a_tick_that_begins_is_told_once(orchestra: Orchestra) -> None:
    tick(orchestra)
    tick(orchestra)
    ((name, measurements, metadata),) = orchestra.telemetry.emitted
    assert (name, measurements) == ("auto_sync.started", {"total_workspaces": 2})
    assert metadata == {"tick": SIX.isoformat()}


def test_the_window_ends_with_the_last_complete_pacific_day(orchestra: Orchestra) -> None:
    midnight_pacific = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    (request, _) = tick(orchestra, midnight_pacific, auto_sync_days=3).run_requests
    assert request.tags[WINDOW_TAG] == "2026-11-18/2026-11-20"


def test_the_window_does_not_begin_before_the_first_partition(orchestra: Orchestra) -> None:
    (request, _) = tick(orchestra, start_date=date(2026, 11, 18)).run_requests
    assert request.tags[WINDOW_TAG] == "2026-11-18/2026-11-19"


def test_a_first_partition_that_lies_ahead_skips_the_tick_with_a_reason(orchestra: Orchestra) -> None:
    assert "no day since GSC_START_DATE" in str(tick(orchestra, start_date=date(2027, 1, 1)).skip_message)


def test_the_same_tick_evaluated_twice_asks_for_the_same_runs(orchestra: Orchestra) -> None:
    keys = [[request.run_key for request in tick(orchestra).run_requests] for _ in range(2)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 2


def test_a_tick_evaluated_again_asks_for_the_runs_that_were_created_and_not_launched(
    orchestra: Orchestra,
) -> None:
    orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id="initech"))
    orchestra.world.now = utc_now()
    earlier = tick(orchestra, SIX - timedelta(hours=6)).run_requests[0]
    still_running = queued(orchestra, earlier, dg.DagsterRunStatus.STARTED)
    before = tick(orchestra, workspaces_per_run=2).run_requests
    queued(orchestra, before[0], dg.DagsterRunStatus.NOT_STARTED)
    orchestra.instance.report_run_failed(still_running)
    after = tick(orchestra, workspaces_per_run=2).run_requests
    assert [(one.run_key, one.tags) for one in after] == [(one.run_key, one.tags) for one in before]
    assert [one.tags[WORKSPACES_TAG] for one in before] == ["globex initech"]


def test_a_tick_that_another_daemon_begins_meanwhile_asks_for_the_runs_of_that_one(
    orchestra: Orchestra,
) -> None:
    """Between looking for the tick and beginning it; the other did not see acme, which was busy then."""

    def listed() -> tuple[Workspace, ...]:
        orchestra.pipeline.ticks.begin(Tick(SIX.isoformat(), SIX, ("globex",), 1))
        return tuple(orchestra.workspaces)

    orchestra.list_workspaces = listed
    requests = tick(orchestra).run_requests
    assert [request.tags[WORKSPACES_TAG] for request in requests] == ["globex"]


def test_a_tick_registers_workspaces_that_are_new_in_the_file(orchestra: Orchestra) -> None:
    orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id="new"))
    tick(orchestra)
    assert orchestra.instance.has_dynamic_partition(WORKSPACES, "new")


def test_a_tick_without_an_active_workspace_is_skipped_with_a_reason(orchestra: Orchestra) -> None:
    orchestra.workspaces[:] = [dataclasses.replace(w, active=False) for w in orchestra.workspaces]
    assert tick(orchestra).skip_message == "no workspace is active"


def test_a_requested_run_does_what_it_was_asked_for(orchestra: Orchestra) -> None:
    (request, _) = tick(orchestra, auto_sync_days=2).run_requests
    orchestra.materialize(tags=request.tags)
    assert set(orchestra.materialized()) == {"2026-11-18|acme", "2026-11-19|acme"}


def step(orchestra: Orchestra) -> set[str]:
    """One evaluation of the sensor, its requests carried out as the daemon does."""
    defs = definitions(orchestra)
    with dg.build_sensor_context(
        instance=orchestra.instance,
        resources={"pipeline": orchestra.pipeline},
        repository_def=defs.get_repository_def(),
    ) as context:
        found = defs.resolve_sensor_def("gsc_workspaces_in_step").evaluate_tick(context)
    for request in found.dynamic_partitions_requests or []:
        keys = list(request.partition_keys)
        if type(request).__name__ == "AddDynamicPartitionsRequest":
            orchestra.instance.add_dynamic_partitions(WORKSPACES, keys)
        else:
            for key in keys:
                orchestra.instance.delete_dynamic_partition(WORKSPACES, key)
    return set(orchestra.instance.get_dynamic_partitions(WORKSPACES))


def test_the_sensor_keeps_the_partitions_in_step_with_the_file(orchestra: Orchestra) -> None:
    orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id="new"))
    assert step(orchestra) == {"acme", "globex", "new"}
    del orchestra.workspaces[1]
    assert step(orchestra) == {"acme", "new"}
    assert step(orchestra) == {"acme", "new"}


STARTED, SUCCESS = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS


@pytest.mark.parametrize(
    ("status", "tags", "kept"),
    [
        (STARTED, {WORKSPACES_TAG: "acme globex"}, True),
        (STARTED, {RANGE_START_TAG: "2026-11-18|globex"}, True),
        (STARTED, {"dagster/partition": "2026-11-18|globex"}, True),
        (STARTED, {WORKSPACES_TAG: "acme"}, False),
        (SUCCESS, {WORKSPACES_TAG: "globex"}, False),
    ],
    ids=["scheduled", "a range by hand", "a day by hand", "another's", "over"],
)
def test_a_workspace_that_left_the_file_stays_a_partition_while_a_run_needs_it(
    orchestra: Orchestra, status: dg.DagsterRunStatus, tags: dict[str, str], kept: bool
) -> None:
    del orchestra.workspaces[1]
    orchestra.instance.add_run(dg.DagsterRun(job_name="gsc_sync", run_id="r1", status=status, tags=tags))
    assert ("globex" in step(orchestra)) is kept
