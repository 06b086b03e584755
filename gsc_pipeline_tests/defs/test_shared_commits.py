"""The workspaces of a run that found nothing new are recorded in one commit, each exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.defs.jobs import TICK_TAG, run_tags
from gsc_pipeline.lake.lake import LakeError
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.state.store import StateError
from gsc_pipeline.sync.recorder import HELD_FOR
from gsc_pipeline.sync.ticks import Tick
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.defs.test_asset import attempts, failure
from gsc_pipeline_tests.doubles import FailingLake
from gsc_pipeline_tests.replies import UNAVAILABLE, all_queries
from gsc_pipeline_tests.world import NOON, World, commits, versions

TICK = "2026-11-21T18:00:00+00:00"


@pytest.fixture
def idle(world: World) -> Iterator[Orchestra]:
    """Four workspaces of which the lake has everything."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Orchestra(world, instance, world.synced(4, world.last(1)))


def tags(workspaces: list[Workspace], world: World) -> Mapping[str, str]:
    return {TICK_TAG: TICK, **run_tags([one.id for one in workspaces], world.last(1))}


def run(orchestra: Orchestra) -> dg.ExecuteInProcessResult:
    return orchestra.materialize(tags=tags(orchestra.workspaces, orchestra.world))


def recorded(orchestra: Orchestra, result: dg.ExecuteInProcessResult) -> dict[str, int]:
    """How many rows the run has in `sync_runs`, by workspace."""
    rows = orchestra.world.lake.read(SYNC_RUNS, columns=["workspace", "run_id"]).to_pylist()
    return dict(Counter(row["workspace"] for row in rows if row["run_id"] == result.run_id))


def outcomes(orchestra: Orchestra) -> dict[str, str]:
    known = orchestra.ticks.outcomes(Tick(TICK, NOON, (), 1))
    return {one.workspace: str(one.outcome) for one in known}


def opening(orchestra: Orchestra, number: int, then: Callable[[], object]) -> None:
    """Call `then`, which may raise, when the sync of one of the workspaces begins."""
    one, open_console = orchestra.workspaces[number].id, orchestra.world.open_console

    def opened(workspace: Workspace) -> Any:
        if workspace.id == one:
            then()
        return open_console(workspace)

    orchestra.open_console = opened


def failing(orchestra: Orchestra, number: int, error: BaseException) -> None:
    """The sync of one of the workspaces raises the error."""

    def fail() -> None:
        raise error

    opening(orchestra, number, fail)


def test_a_tick_of_forty_idle_workspaces_is_one_commit_for_each_of_its_runs(world: World) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        orchestra = Orchestra(world, instance, world.synced(40, world.last(1)))
        before = versions(world.lake)
        for first in (0, 20):
            group = orchestra.workspaces[first : first + 20]
            assert orchestra.materialize(tags=tags(group, world)).success
        assert commits(world.lake, before) == {SYNC_RUNS.name: 2}
        ids = [one.id for one in orchestra.workspaces]
        assert outcomes(orchestra) == dict.fromkeys(ids, "complete")
        assert Counter(world.lake.read(SYNC_RUNS)["workspace"].to_pylist()) == Counter([*ids, "w00"])


def test_a_workspace_with_news_is_recorded_at_once_with_those_before_it(idle: Orchestra) -> None:
    before, meanwhile = versions(idle.world.lake), dict[str, str]()
    idle.workspaces[2] = idle.world.workspace("w02", properties=("https://shop.acme.com/",))
    opening(idle, 3, lambda: meanwhile.update(outcomes(idle)))
    result = run(idle)
    assert result.success
    assert commits(idle.world.lake, before)[SYNC_RUNS.name] == 2
    assert recorded(idle, result) == dict.fromkeys(["w00", "w01", "w02", "w03"], 1)
    assert set(meanwhile) == {"w00", "w01", "w02"}
    by_run = [commit.get("gsc_run_id") for commit in idle.world.lake.open(SYNC_RUNS).history(2)]
    assert by_run == [result.run_id, result.run_id]


def test_in_a_long_run_no_row_is_held_for_more_than_minutes(idle: Orchestra) -> None:
    before, meanwhile = versions(idle.world.lake), dict[str, str]()

    def later() -> None:
        meanwhile.update(outcomes(idle))
        idle.world.now += HELD_FOR

    opening(idle, 2, later)
    result = run(idle)
    assert recorded(idle, result) == dict.fromkeys(["w00", "w01", "w02", "w03"], 1)
    assert commits(idle.world.lake, before)[SYNC_RUNS.name] == 2
    assert not meanwhile


@pytest.mark.parametrize(
    ("error", "own_row"),
    [
        (LakeError("cannot read sync_ledger: the bucket is gone"), False),
        (ZeroDivisionError("boom"), True),
    ],
    ids=["lake", "unexpected"],
)
def test_a_workspace_that_fails_undoes_no_record_of_the_others(
    idle: Orchestra, error: Exception, own_row: bool
) -> None:
    failing(idle, 1, error)
    result = run(idle)
    assert not result.success
    own = {"w01": attempts(result)} if own_row else {}
    assert recorded(idle, result) == {"w00": 1, "w02": 1, "w03": 1, **own}
    own_outcome = {"w01": "failed"} if own_row else {}
    assert outcomes(idle) == {"w00": "complete", "w02": "complete", "w03": "complete", **own_outcome}
    text = str(failure(result).error)
    assert str(error) in text
    assert "w00" not in text


def test_a_retry_records_only_the_workspace_that_failed(idle: Orchestra) -> None:
    idle.workspaces[1] = idle.world.workspace("w01", properties=("https://shop.acme.com/",))
    idle.world.faults.append(all_queries(UNAVAILABLE, "https://shop.acme.com/"))
    result = run(idle)
    assert attempts(result) == 3
    assert recorded(idle, result) == {"w00": 1, "w01": 3, "w02": 1, "w03": 1}
    assert outcomes(idle)["w01"] == "failed"


@pytest.mark.parametrize(
    "error",
    [StateError("the shared state cannot be reached"), dg.DagsterExecutionInterruptedError()],
    ids=["state", "interrupt"],
)
def test_a_run_that_stops_in_the_middle_records_what_it_has_done(
    idle: Orchestra, error: BaseException
) -> None:
    failing(idle, 2, error)
    before = versions(idle.world.lake)
    result = run(idle)
    assert not result.success
    # Dagster makes three attempts, of all workspaces each.
    assert attempts(result) == 3
    assert commits(idle.world.lake, before) == {SYNC_RUNS.name: 3}
    assert recorded(idle, result) == {"w00": 3, "w01": 3}
    assert outcomes(idle) == {"w00": "complete", "w01": "complete"}


def test_workspaces_that_cannot_be_recorded_fail_and_are_synced_again(idle: Orchestra) -> None:
    idle.world.lake = FailingLake(idle.world.lake.uri, 1, "before")
    result = run(idle)
    assert result.success
    assert attempts(result) == 2
    assert recorded(idle, result) == dict.fromkeys(["w00", "w01", "w02", "w03"], 1)
    assert outcomes(idle) == dict.fromkeys(["w00", "w01", "w02", "w03"], "complete")


def test_workspaces_that_are_never_recorded_have_no_outcome(idle: Orchestra) -> None:
    idle.world.lake = FailingLake(idle.world.lake.uri, 99, "before")
    result = run(idle)
    assert attempts(result) == 3
    text = str(failure(result).error)
    for workspace in idle.workspaces:
        assert f"{workspace.id}: cannot write sync_runs: the bucket is gone" in text
    assert recorded(idle, result) == {}
    assert outcomes(idle) == {}
    assert idle.telemetry.names == []
    assert idle.summary(result)[1].endswith("0 of 4 workspaces complete, 0 partial, 4 failed")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_failed_commit_for_a_workspace_with_news_costs_the_others_nothing(
    idle: Orchestra, when: str
) -> None:
    idle.workspaces[2] = idle.world.workspace("w02", properties=("https://shop.acme.com/",))
    idle.world.lake = FailingLake(idle.world.lake.uri, 1, when)
    result = run(idle)
    assert result.success
    assert attempts(result) == 2
    # A commit may succeed although its call fails. The attempts of w02 are two syncs.
    own = {"before": 1, "after": 2}[when]
    assert recorded(idle, result) == {"w00": 1, "w01": 1, "w02": own, "w03": 1}
    assert outcomes(idle) == dict.fromkeys(["w00", "w01", "w02", "w03"], "complete")
