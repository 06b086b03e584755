"""The states of workspaces, read from the lake as syncs leave it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.maintenance import compact_and_vacuum
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, SYNC_RUNS
from gsc_pipeline.monitoring.status import (
    StateReader,
    workspace_state,
    workspace_states,
)
from gsc_pipeline.monitoring.sync_runs import BUCKETS, SyncTotals
from gsc_pipeline.search_console.call_times import NO_CALLS
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline_tests.replies import FORBIDDEN, UNAVAILABLE, all_queries
from gsc_pipeline_tests.world import NOON, World

DOMAIN, LOST, SHOP = "sc-domain:acme.com", "sc-domain:lost.com", "https://shop.acme.com/"


def test_a_state_has_the_days_the_syncs_and_the_failures_of_its_workspace(world: World) -> None:
    acme, new = world.workspace(properties=[DOMAIN, LOST]), world.workspace("new")
    report = world.sync(acme)
    state, empty = workspace_states([acme, new], world.lake)
    ledger = world.lake.read(SYNC_LEDGER).to_pylist()
    by_status = {
        status: sum(row["status"] == status for row in ledger) for status in ("final", "provisional")
    }
    assert (state.final, state.provisional, state.failed) == (*by_status.values(), 5)
    assert (state.first_day, state.last_day) == (world.last(5).start, world.last(5).last)
    assert state.clicks == sum(row["clicks"] or 0 for row in ledger)
    assert (state.last_sync, state.last_sync_seconds) == (NOON, report.seconds)
    assert report.outcome is Outcome.COMPLETE
    assert (state.last_good_sync, state.moved_at) == (NOON, NOON)
    assert [failure.site_url for failure in state.failures] == [LOST]
    assert state.damaged == ()
    assert (empty.workspace, empty.last_sync, empty.final, empty.failures) == ("new", None, 0, ())
    assert json.loads(json.dumps(state.as_json()))["last_good_sync"] == NOON.isoformat()


def test_the_last_good_sync_is_the_last_complete_one(world: World) -> None:
    world.simulator.put(SyntheticProperty(SHOP, rows_a_day=5, plants=False))
    acme = world.workspace(properties=[DOMAIN, SHOP])
    assert world.sync(acme).outcome is Outcome.COMPLETE
    world.now += timedelta(hours=6)
    world.faults.append(all_queries(UNAVAILABLE, SHOP))
    assert world.sync(acme).outcome is Outcome.PARTIAL
    state = workspace_state(acme, world.lake)
    assert (state.last_good_sync, state.last_sync) == (NOON, world.now)


@pytest.mark.soak
def test_a_reader_that_is_used_again_and_one_of_a_single_workspace_agree_with_a_new_one(world: World) -> None:
    acme, globex = world.workspace(properties=[DOMAIN, LOST]), world.workspace("globex")
    reader, mine = StateReader(world.lake), StateReader(world.lake, "acme")
    for step in range(4):
        world.sync(acme, world.last(3 + step))
        if step % 2:
            world.sync(globex)
        if step == 2:
            compact_and_vacuum(world.lake)
        found = reader.read([acme, globex])
        assert found == workspace_states([acme, globex], Lake(world.lake.uri))
        assert mine.read([acme]) == found[:1]
        assert found[0].final + found[0].provisional == 3 + step
        world.now += timedelta(days=1)


def test_a_month_whose_rows_are_missing_is_named_until_they_are_back(world: World) -> None:
    acme, globex = world.workspace(), world.workspace("globex")
    world.sync(acme)
    world.sync(globex)
    reader = StateReader(world.lake)
    assert [state.damaged for state in reader.read([acme, globex])] == [(), ()]
    held = DeltaTable(world.lake.table_uri(SITE_IMPRESSION))
    held.delete("workspace = 'acme' AND data_date = '2026-11-19'")
    mine, theirs = reader.read([acme, globex])
    (text,) = mine.damaged
    assert "2026-11" in text
    assert "run gsc verify acme" in text
    assert theirs.damaged == ()
    world.sync(acme)
    assert reader.read([acme])[0].damaged == ()


def test_failing_days_are_those_of_all_standing_failures(world: World) -> None:
    both = world.workspace(properties=[DOMAIN, LOST])
    world.sync(both, world.last(3))
    world.faults.append(all_queries(FORBIDDEN))
    world.now += timedelta(hours=6)
    world.sync(both, world.last(3))
    (state,) = StateReader(world.lake).read([both])
    assert len(state.failures) == 2
    assert state.failing_days >= 3


def test_totals_of_all_syncs_grow_and_housekeeping_does_not_change_them(world: World) -> None:
    acme, reader = world.workspace(), StateReader(world.lake)
    reader.read([acme])
    assert reader.totals == SyncTotals()
    reports = []
    for _ in range(6):
        reports.append(world.sync(acme, world.last(1)))
        found = reader.read([acme])
        assert reader.totals == SyncTotals(
            rows=sum(report.rows for report in reports),
            calls=sum(report.usage.calls for report in reports),
            retries=0,
            syncs=len(reports),
            milliseconds=sum(round(report.seconds * 1000) for report in reports),
            within=tuple(sum(report.seconds <= bound for report in reports) for bound in BUCKETS),
            call_times=sum((report.usage.times for report in reports), NO_CALLS),
        )
        assert sum(reader.totals.call_times.counts) == reader.totals.calls
        world.now += timedelta(days=3)
    compact_and_vacuum(world.lake)
    before, again = reader.totals, StateReader(world.lake)
    assert reader.read([acme]) == again.read([acme]) == found
    assert reader.totals == again.totals == before


def test_syncs_in_a_row_are_counted_by_run_and_its_last_attempt_decides(world: World) -> None:
    """Attempts of a run share its id; a run may be read from several files."""
    world.simulator.put(SyntheticProperty(SHOP, rows_a_day=5, plants=False))
    acme, globex = world.workspace(properties=[DOMAIN, SHOP]), world.workspace("globex")
    reader = StateReader(world.lake)
    fails, partly = all_queries(FORBIDDEN), all_queries(UNAVAILABLE, SHOP)
    steps: list[tuple[str, Any, tuple[int, int]]] = [
        ("first", fails, (1, 1)),
        ("first", fails, (1, 1)),
        ("first", None, (0, 0)),
        ("second", partly, (0, 1)),
        ("third", fails, (1, 2)),
        ("third", partly, (0, 2)),
        ("fourth", fails, (1, 3)),
        ("fifth", fails, (2, 4)),
        ("sixth", None, (0, 0)),
    ]
    world.sync(globex)
    for run_id, fault, expected in steps:
        world.now += timedelta(hours=6)
        world.faults[:] = [fault] if fault else []
        world.sync(acme, run_id=run_id)
        if run_id == "fourth":
            compact_and_vacuum(world.lake)
        found = reader.read([acme, globex])
        assert [(one.failed_in_a_row, one.incomplete_in_a_row) for one in found] == [expected, (0, 0)]
        assert StateReader(world.lake).read([acme, globex]) == found


def test_a_run_that_may_be_retried_does_not_count_yet(world: World) -> None:
    acme = world.workspace()
    world.faults.append(all_queries(FORBIDDEN))
    world.sync(acme, run_id="before")
    world.now += timedelta(hours=6)
    world.sync(acme, run_id="now")
    (state,) = StateReader(world.lake).read([acme], unfinished={"now"})
    assert (state.failed_in_a_row, state.last_sync) == (1, world.now)


def test_a_lake_that_disappears_is_noticed_and_one_that_comes_back_is_read_again(world: World) -> None:
    acme, reader = world.workspace(), StateReader(world.lake)
    world.sync(acme)
    before = reader.read([acme])
    runs, away = Path(world.lake.table_uri(SYNC_RUNS)), world.folder / "away"
    runs.rename(away)
    runs.mkdir()
    (runs / "_delta_log").write_text("not a log")
    with pytest.raises(LakeError):
        reader.read([acme])
    (runs / "_delta_log").unlink()
    runs.rmdir()
    assert reader.read([acme])[0].last_good_sync is None
    away.rename(runs)
    assert reader.read([acme]) == before
