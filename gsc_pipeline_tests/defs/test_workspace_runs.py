"""Runs over several workspaces: each is processed on its own, and costs little when nothing changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import dagster as dg

from gsc_pipeline.defs.jobs import TICK_TAG, run_tags
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.sync.ticks import Tick
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.defs.test_asset import attempts, failure, keys
from gsc_pipeline_tests.replies import FORBIDDEN, UNAVAILABLE, all_queries
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


def test_when_nothing_changed_a_run_records_no_event_of_a_partition(
    orchestra: Orchestra,
) -> None:
    orchestra.materialize(tags=shared(orchestra, hour=12))
    result = orchestra.materialize(tags=shared(orchestra))
    assert result.success
    assert orchestra.world.lake.read(SYNC_RUNS).num_rows == 4
    assert not [event for event in result.all_events if event.is_step_materialization]
    assert planned(result, orchestra) == 2


def test_a_failed_workspace_is_named_and_the_others_are_synced(orchestra: Orchestra) -> None:
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
    assert orchestra.summary(result)[1].endswith("\n1 of 2 workspaces complete, 0 partial, 1 failed")


def test_a_retry_leaves_out_the_workspaces_that_are_complete(orchestra: Orchestra) -> None:
    orchestra.workspaces[0] = orchestra.world.workspace("acme", properties=("https://shop.acme.com/",))
    orchestra.world.faults.append(all_queries(UNAVAILABLE, "https://shop.acme.com/"))
    tags = shared(orchestra)
    orchestra.materialize(tags=tags)
    runs = orchestra.world.lake.read(SYNC_RUNS, columns=["workspace"])["workspace"].to_pylist()
    assert sorted(runs) == ["acme", "acme", "acme", "globex"]
    tick = orchestra.ticks.outcomes(Tick(tags[TICK_TAG], NOON, (), 1))
    assert {one.workspace: str(one.outcome) for one in tick} == {"acme": "failed", "globex": "complete"}


def test_a_run_that_is_executed_again_leaves_out_no_workspace(orchestra: Orchestra) -> None:
    """Dagster copies the tags of the run that it repeats."""
    orchestra.materialize(tags={**shared(orchestra), "gsc/done-searchdata": "acme globex"})
    assert orchestra.world.lake.read(SYNC_RUNS).num_rows == 2


def test_a_workspace_that_can_never_be_read_fails_the_run_at_once(orchestra: Orchestra) -> None:
    orchestra.workspaces[0] = orchestra.world.workspace("acme", properties=("https://shop.acme.com/",))
    orchestra.world.faults.append(all_queries(FORBIDDEN, "https://shop.acme.com/"))
    result = orchestra.materialize(tags=shared(orchestra))
    assert not result.success
    assert attempts(result) == 1
    assert set(orchestra.materialized()) == keys(orchestra.world.last(3), "globex")


def test_an_unexpected_error_fails_its_workspace_alone(orchestra: Orchestra) -> None:
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
    assert {row["workspace"]: row["outcome"] for row in outcomes} == {"acme": "failed", "globex": "complete"}
    (row,) = orchestra.check().metadata["failures"].records
    assert (row.data["workspace"], row.data["property"]) == ("acme", "(all)")


def test_a_workspace_that_became_inactive_since_the_tick_is_skipped(orchestra: Orchestra) -> None:
    tags = shared(orchestra)
    orchestra.workspaces[0] = dataclasses.replace(orchestra.workspaces[0], active=False)
    result = orchestra.materialize(tags=tags)
    assert result.success
    assert set(orchestra.materialized()) == keys(orchestra.world.last(3), "globex")


def test_a_run_without_workspaces_or_partitions_is_refused(orchestra: Orchestra) -> None:
    result = orchestra.materialize(tags={})
    assert "nothing was read: the range holds no partition" in failure(result).error.message
