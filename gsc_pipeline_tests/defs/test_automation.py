"""The schedule and the sensor of the workspaces, evaluated as the daemon evaluates them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.jobs import FORGOTTEN_AFTER, MAX_RUNTIME_TAG, WINDOW_TAG, WORKSPACE_TAG, WORKSPACES_TAG
from gsc_pipeline.defs.partitions import RANGE_END_TAG, RANGE_START_TAG, WORKSPACES
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.breakers import BreakerState, Circuit
from gsc_pipeline.settings import load_settings
from gsc_pipeline.sync.ticks import Tick
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.instances import instance_on_files
from gsc_pipeline_tests.world import World

SIX = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
"""22:00 of 2026-11-20 in California."""


BACKFILL = {RANGE_START_TAG: "2026-11-01|acme", RANGE_END_TAG: "2026-11-14|initech"}
"""globex was registered between the two."""
STARTED, SUCCESS = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS


@pytest.fixture
def orchestra(world: World) -> Iterator[Orchestra]:
    """As elsewhere, on a persistent instance, which the context of a schedule needs."""
    with instance_on_files(world.folder / "dagster") as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme", "globex"])
        yield Orchestra(world, instance, [world.workspace("acme"), world.workspace("globex")])


def definitions(orchestra: Orchestra, **settings: object) -> dg.Definitions:
    return build_defs(load_settings(**settings), resources=orchestra.resources)


def tick(
    orchestra: Orchestra, at: datetime = SIX, schedule: str = "gsc_auto_sync", **settings: object
) -> dg.ScheduleEvaluationContext:
    defs = definitions(orchestra, **settings)
    with dg.build_schedule_context(
        instance=orchestra.instance,
        scheduled_execution_time=at,
        resources=orchestra.resources,
        repository_def=defs.get_repository_def(),
    ) as context:
        return defs.resolve_schedule_def(schedule).evaluate_tick(context)  # type: ignore[return-value]


def test_a_tick_requests_one_run_per_active_workspace_over_the_last_days(orchestra: Orchestra) -> None:
    orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id="inactive", active=False))
    requests = tick(orchestra).run_requests
    assert [request.tags[WORKSPACE_TAG] for request in requests] == ["acme", "globex"]
    first = requests[0].tags
    assert (first[WORKSPACES_TAG], first[WINDOW_TAG]) == ("acme", "2026-11-06/2026-11-19")
    assert first["gsc/tick"] == SIX.isoformat()


def test_workspaces_share_runs_as_configured(orchestra: Orchestra) -> None:
    orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id="initech"))
    requests = tick(orchestra, workspaces_per_run=2, auto_sync_days=3).run_requests
    shared, alone = [request.tags for request in requests]
    assert (shared[WORKSPACES_TAG], shared[WINDOW_TAG]) == ("acme globex", "2026-11-17/2026-11-19")
    assert (shared[WORKSPACE_TAG], shared[MAX_RUNTIME_TAG]) == ("acme+1", "1200")
    assert (alone[WORKSPACES_TAG], alone[WORKSPACE_TAG]) == ("initech", "initech")
    orchestra.materialize(tags=shared)
    assert {key.partition("|")[2] for key in orchestra.materialized()} == {"acme", "globex"}


def queued(orchestra: Orchestra, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """A run as the daemon creates it for a request."""
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


def test_a_backfill_of_several_workspaces_makes_each_of_them_busy(orchestra: Orchestra) -> None:
    for id_ in ("initech", "hooli"):
        orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id=id_))
    orchestra.instance.add_dynamic_partitions(WORKSPACES, ["initech", "hooli"])
    orchestra.instance.add_run(dg.DagsterRun(job_name="gsc_sync", run_id="r1", status=STARTED, tags=BACKFILL))
    orchestra.world.now = utc_now()
    (request,) = tick(orchestra).run_requests
    assert request.tags[WORKSPACE_TAG] == "hooli"


def test_a_run_that_began_long_ago_is_ignored(orchestra: Orchestra) -> None:
    (acme, _) = tick(orchestra).run_requests
    queued(orchestra, acme, dg.DagsterRunStatus.STARTED)
    orchestra.world.now = utc_now() + FORGOTTEN_AFTER
    assert len(tick(orchestra, SIX + timedelta(hours=12)).run_requests) == 2


def test_a_tick_is_recorded_and_requests_nothing_while_the_circuit_breaker_is_open(
    orchestra: Orchestra,
) -> None:
    until = datetime(2026, 11, 21, 6, 5, tzinfo=UTC)
    orchestra.breaker = BreakerState(Circuit.OPEN, 5, SIX, until, "no answer")
    for _ in range(2):
        assert tick(orchestra).skip_message == "the circuit breaker is open until 06:05:00 UTC: no answer"
    (recorded,) = orchestra.ticks.unended()
    assert (recorded.workspaces, recorded.runs) == (("acme", "globex"), 0)
    orchestra.breaker = BreakerState(Circuit.HALF_OPEN, 5, SIX, until, "no answer")
    assert len(tick(orchestra, SIX + timedelta(hours=6)).run_requests) == 2


def test_a_tick_skips_workspaces_whose_token_endpoint_is_unavailable(orchestra: Orchestra) -> None:
    until = datetime(2026, 11, 21, 6, 5, tzinfo=UTC)
    is_open = BreakerState(Circuit.OPEN, 5, SIX, until, "no answer")
    orchestra.token_breakers = {"acme": is_open, "globex": is_open}
    said = "the circuit breaker of the token endpoint is open until 06:05:00 UTC: no answer"
    assert tick(orchestra).skip_message == said
    orchestra.token_breakers = {
        "acme": is_open,
        "globex": dataclasses.replace(is_open, state=Circuit.HALF_OPEN),
    }
    (request,) = tick(orchestra, SIX + timedelta(hours=6)).run_requests
    assert request.tags[WORKSPACE_TAG] == "globex"


def test_a_partial_roll_out_includes_the_same_workspaces_each_time(orchestra: Orchestra) -> None:
    orchestra.workspaces[:] = [dataclasses.replace(orchestra.workspaces[0], id=f"w{i}") for i in range(40)]
    quarter, half = (
        {request.tags[WORKSPACE_TAG] for request in tick(orchestra, at, auto_sync_rollout=share).run_requests}
        for at, share in ((SIX, 25), (SIX + timedelta(hours=6), 50))
    )
    assert 0 < len(quarter) < len(half) < 40
    assert quarter < half
    skipped = tick(orchestra, SIX + timedelta(hours=12), auto_sync_rollout=0).skip_message
    assert skipped == "GSC_AUTO_SYNC_ROLLOUT is 0: it includes no active workspace"


def test_the_schedule_says_whether_it_is_on_and_why(orchestra: Orchestra) -> None:
    def description(**settings: object) -> str:
        defs = definitions(orchestra, **settings)
        return str(defs.resolve_schedule_def("gsc_auto_sync").description)

    assert "Off unless switched on in the UI, as GSC_AUTO_SYNC_ENABLED is not true" in description()
    on = description(auto_sync_enabled=True, auto_sync_rollout=25)
    assert "On, as GSC_AUTO_SYNC_ENABLED is true: for 25 % of them (GSC_AUTO_SYNC_ROLLOUT)" in on


def test_the_start_of_a_tick_is_reported_once(orchestra: Orchestra) -> None:
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


def test_a_first_partition_in_the_future_skips_the_tick_with_a_reason(orchestra: Orchestra) -> None:
    assert "no day since GSC_START_DATE" in str(tick(orchestra, start_date=date(2027, 1, 1)).skip_message)


def test_the_same_tick_evaluated_twice_requests_the_same_runs(orchestra: Orchestra) -> None:
    keys = [[request.run_key for request in tick(orchestra).run_requests] for _ in range(2)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 2


def test_a_tick_evaluated_again_requests_the_runs_that_were_created_and_not_launched(
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


@pytest.mark.parametrize("schedule", ["gsc_auto_sync", "gsc_auto_sync_more"])
def test_a_tick_evaluated_again_with_another_grouping_requests_the_same_runs(
    orchestra: Orchestra, schedule: str
) -> None:
    orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id="initech"))
    before = tick(orchestra, schedule=schedule, workspaces_per_run=2).run_requests
    assert [one.tags[WORKSPACES_TAG] for one in before] == ["acme globex", "initech"]
    orchestra.workspaces.insert(0, dataclasses.replace(orchestra.workspaces[0], id="aaa"))
    after = tick(orchestra, schedule=schedule, workspaces_per_run=1).run_requests
    assert [(one.run_key, one.tags) for one in after] == [(one.run_key, one.tags) for one in before]


def test_two_schedules_that_are_due_at_the_same_moment_have_a_tick_each(orchestra: Orchestra) -> None:
    more = tick(orchestra, schedule="gsc_auto_sync_more", workspaces_per_run=2).run_requests
    sync = tick(orchestra).run_requests
    assert [one.tags[WORKSPACES_TAG] for one in more] == ["acme globex"]
    assert [one.tags[WORKSPACES_TAG] for one in sync] == ["acme", "globex"]
    assert len(orchestra.ticks.unended()) == 1


def test_a_tick_whose_evaluation_fails_is_reported_as_a_failure(orchestra: Orchestra) -> None:
    def unreadable() -> tuple[Workspace, ...]:
        raise PipelineError("workspaces.yaml cannot be read: it is a folder")

    orchestra.list_workspaces = unreadable
    with pytest.raises(dg.DagsterError, match="evaluation of schedule gsc_auto_sync"):
        tick(orchestra)
    ((name, numbers, about),) = orchestra.telemetry.emitted
    assert (name, numbers["total_workspaces"]) == ("auto_sync.failure", 0)
    assert about["tick"] == SIX.isoformat()
    assert about["reasons"] == {"(all)": "workspaces.yaml cannot be read: it is a folder"}


def test_a_tick_that_another_evaluation_begins_meanwhile_requests_the_runs_of_that_one(
    orchestra: Orchestra,
) -> None:
    """As after a time-out in the daemon. acme still had a run in progress when the other began."""

    def listed() -> tuple[Workspace, ...]:
        orchestra.ticks.begin(Tick(SIX.isoformat(), SIX, ("globex",), 1))
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


def test_a_requested_run_syncs_its_workspace_and_window(orchestra: Orchestra) -> None:
    (request, _) = tick(orchestra, auto_sync_days=2).run_requests
    orchestra.materialize(tags=request.tags)
    assert set(orchestra.materialized()) == {"2026-11-18|acme", "2026-11-19|acme"}


def step(orchestra: Orchestra) -> set[str]:
    """One evaluation of the sensor, with its requests applied as the daemon does."""
    found = orchestra.evaluate("gsc_workspaces_in_step")
    for request in found.dynamic_partitions_requests or []:
        keys = list(request.partition_keys)
        if type(request).__name__ == "AddDynamicPartitionsRequest":
            orchestra.instance.add_dynamic_partitions(WORKSPACES, keys)
        else:
            for key in keys:
                orchestra.instance.delete_dynamic_partition(WORKSPACES, key)
    return set(orchestra.instance.get_dynamic_partitions(WORKSPACES))


def test_the_sensor_registers_and_removes_workspaces_as_the_file_lists_them(orchestra: Orchestra) -> None:
    orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id="new"))
    assert step(orchestra) == {"acme", "globex", "new"}
    del orchestra.workspaces[1]
    assert step(orchestra) == {"acme", "new"}
    assert step(orchestra) == {"acme", "new"}


def test_the_sensor_names_credentials_that_cannot_be_used(orchestra: Orchestra) -> None:
    step(orchestra)
    reason = orchestra.evaluate("gsc_workspaces_in_step").skip_message
    assert reason == "the partitions are those of the workspaces file"
    lost = ServiceAccountFile(Path("lost.json"))
    orchestra.workspaces[:] = [dataclasses.replace(one, credentials=lost) for one in orchestra.workspaces]
    reason = orchestra.evaluate("gsc_workspaces_in_step").skip_message
    assert (
        "Syncs will fail for: workspace acme and 1 more: service-account file lost.json cannot be" in reason
    )


@pytest.mark.parametrize(
    ("status", "tags", "kept"),
    [
        (STARTED, {WORKSPACES_TAG: "acme globex"}, True),
        (STARTED, {RANGE_START_TAG: "2026-11-18|globex"}, True),
        (STARTED, {"dagster/partition": "2026-11-18|globex"}, True),
        (STARTED, BACKFILL, True),
        (dg.DagsterRunStatus.SUSPENDED, BACKFILL, True),
        (STARTED, {WORKSPACES_TAG: "acme"}, False),
        (SUCCESS, {WORKSPACES_TAG: "globex"}, False),
    ],
    ids=["scheduled", "a range by hand", "a day by hand", "a backfill", "suspended", "another's", "over"],
)
def test_a_workspace_that_was_removed_from_the_file_stays_a_partition_while_a_run_needs_it(
    orchestra: Orchestra, status: dg.DagsterRunStatus, tags: dict[str, str], kept: bool
) -> None:
    orchestra.instance.add_dynamic_partitions(WORKSPACES, ["initech"])
    del orchestra.workspaces[1]
    orchestra.instance.add_run(dg.DagsterRun(job_name="gsc_sync", run_id="r1", status=status, tags=tags))
    assert ("globex" in step(orchestra)) is kept
