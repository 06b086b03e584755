"""Runs that several workspaces share: each is still on its own, and costs little when nothing moved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import dagster as dg

from gsc_pipeline.jobs import TICK_TAG, run_tags
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.ticks import Tick
from gsc_pipeline_tests.dagster_layer.conftest import Orchestra
from gsc_pipeline_tests.dagster_layer.test_asset import attempts, failure, keys
from gsc_pipeline_tests.sync.test_failures import FORBIDDEN, UNAVAILABLE, all_queries
from gsc_pipeline_tests.world import NOON


def shared(orchestra: Orchestra, days: int = 3, hour: int = 18) -> Mapping[str, str]:
    ids = [workspace.id for workspace in orchestra.workspaces]
    return {TICK_TAG: f"2026-11-21T{hour}:00:00+00:00", **run_tags(ids, orchestra.world.last(days))}


def planned(result: dg.ExecuteInProcessResult, orchestra: Orchestra) -> int:
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    return len(orchestra.instance.get_records_for_run(result.run_id, of_type=kind).records)


def test_all_workspaces_of_a_run_are_synced_and_their_days_recorded(orchestra: Orchestra) -> None:
    result = orchestra.materialize(tags=shared(orchestra))
    assert result.success
    window = orchestra.world.last(3)
    assert set(orchestra.materialized()) == keys(window, "acme") | keys(window, "globex")


def test_when_nothing_moved_a_run_leaves_no_event_of_a_partition_not_even_beforehand(
    orchestra: Orchestra,
) -> None:
    orchestra.materialize(tags=shared(orchestra, hour=12))
    result = orchestra.materialize(tags=shared(orchestra))
    assert result.success
    assert orchestra.world.lake.read(SYNC_RUNS).num_rows == 4
    assert not [event for event in result.all_events if event.is_step_materialization]
    assert planned(result, orchestra) == 2


def test_a_second_run_of_the_same_for_a_tick_leaves_it_to_the_first(orchestra: Orchestra) -> None:
    """As two daemons make them that meet on a tick."""
    first = orchestra.materialize(tags=shared(orchestra))
    calls, told = len(orchestra.world.simulator.calls), list(orchestra.telemetry.emitted)
    begun = Tick(shared(orchestra)[TICK_TAG], NOON, ("acme", "globex"), 1)
    noted = orchestra.pipeline.ticks.outcomes(begun)
    double = orchestra.materialize(tags=shared(orchestra))
    assert (first.success, double.success) == (True, True)
    assert len(orchestra.world.simulator.calls) == calls
    assert orchestra.telemetry.emitted == told
    # What follows from the first one's word, as the insights do, still does.
    assert orchestra.pipeline.ticks.outcomes(begun) == noted
    assert all(outcome.days_read for outcome in noted)


def test_a_run_that_is_repeated_does_its_work_again(orchestra: Orchestra) -> None:
    """As the daemon repeats one that crashed, and a person one that failed."""
    first = orchestra.materialize(tags=shared(orchestra))
    calls = len(orchestra.world.simulator.calls)
    repeats = {"dagster/root_run_id": first.run_id, "dagster/parent_run_id": first.run_id}
    assert orchestra.materialize(tags={**shared(orchestra), **repeats}).success
    assert len(orchestra.world.simulator.calls) > calls


def test_one_workspaces_failure_leaves_the_others_synced_and_is_named(orchestra: Orchestra) -> None:
    orchestra.workspaces[0] = orchestra.world.workspace("acme", properties=("https://shop.acme.com/",))
    orchestra.world.faults.append(all_queries(UNAVAILABLE, "https://shop.acme.com/"))
    result = orchestra.materialize(tags=shared(orchestra))
    assert not result.success
    assert attempts(result) == 3
    text = str(failure(result).error)
    assert "acme: https://shop.acme.com/" in text
    assert "globex" not in text
    assert set(orchestra.materialized()) == keys(orchestra.world.last(3), "globex")
    assert orchestra.check().metadata["failures"].records[0].data["workspace"] == "acme"


def test_a_workspace_that_can_never_be_read_fails_the_run_at_once(orchestra: Orchestra) -> None:
    orchestra.workspaces[0] = orchestra.world.workspace("acme", properties=("https://shop.acme.com/",))
    orchestra.world.faults.append(all_queries(FORBIDDEN, "https://shop.acme.com/"))
    result = orchestra.materialize(tags=shared(orchestra))
    assert not result.success
    assert attempts(result) == 1
    assert set(orchestra.materialized()) == keys(orchestra.world.last(3), "globex")


def test_an_error_nobody_expected_stays_with_its_workspace(orchestra: Orchestra) -> None:
    acme = orchestra.workspaces[0]
    open_console = orchestra.world.open_console

    def broken(workspace: object) -> object:
        if workspace == acme:
            raise ZeroDivisionError("boom")
        return open_console(workspace)  # type: ignore[arg-type]

    orchestra.world.open_console = broken  # type: ignore[method-assign, assignment]
    result = orchestra.materialize(tags=shared(orchestra))
    assert "acme: a fault of gsc_pipeline (ZeroDivisionError: boom)" in failure(result).error.message
    assert set(orchestra.materialized()) == keys(orchestra.world.last(3), "globex")
    outcomes = orchestra.world.lake.read(SYNC_RUNS, columns=["workspace", "outcome"]).to_pylist()
    assert {row["workspace"]: row["outcome"] for row in outcomes} == {"acme": "failure", "globex": "success"}
    (row,) = orchestra.check().metadata["failures"].records
    assert (row.data["workspace"], row.data["property"]) == ("acme", "(all)")


def test_a_workspace_that_left_the_file_since_the_tick_is_left_out(orchestra: Orchestra) -> None:
    tags = shared(orchestra)
    orchestra.workspaces[0] = dataclasses.replace(orchestra.workspaces[0], active=False)
    result = orchestra.materialize(tags=tags)
    assert result.success
    assert set(orchestra.materialized()) == keys(orchestra.world.last(3), "globex")


def test_a_run_that_was_asked_for_nothing_says_so(orchestra: Orchestra) -> None:
    result = orchestra.materialize(tags={})
    assert "nothing was read: the range holds no partition" in failure(result).error.message
