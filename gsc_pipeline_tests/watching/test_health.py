"""Health: judged from the lake as syncs leave it, in aggregate figures, without looking too often."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.figures import FiguresReader
from gsc_pipeline.health import ClosedBreaker, Health, HealthMonitor, Kind
from gsc_pipeline.lake.housekeeping import compact_and_vacuum
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.sync.test_failures import FORBIDDEN, all_queries
from gsc_pipeline_tests.world import NOON, World

HALF_A_DAY = timedelta(hours=12)


def monitor(world: World, *workspaces: Workspace, **options: Any) -> HealthMonitor:
    options = {"stale_after": HALF_A_DAY, "cache_seconds": 0.0, "clock": lambda: world.now, **options}
    return HealthMonitor(world.lake, lambda: workspaces, **options)


def health(world: World, *workspaces: Workspace, **options: Any) -> Health:
    return monitor(world, *workspaces, **options).look().health


def test_after_good_syncs_all_is_well(world: World) -> None:
    acme, globex = world.workspace(), world.workspace("globex")
    world.sync(acme)
    world.now += timedelta(hours=1)
    world.sync(globex)
    assert health(world, acme, globex) == Health(
        ok=True,
        reasons=(),
        last_good_sync_at=NOON + timedelta(hours=1),
        workspaces_total=2,
        workspaces_stale=0,
        workspaces_failing=0,
        workspaces_held_back=0,
        breaker="closed",
        lake_ok=True,
        database_ok=True,
    )


def test_a_workspace_without_a_good_sync_for_long_is_stale_and_well_again_after_one(world: World) -> None:
    acme = world.workspace()
    world.sync(acme)
    world.now += HALF_A_DAY
    assert health(world, acme).ok
    world.now += timedelta(seconds=1)
    late = health(world, acme)
    assert (late.ok, late.kinds, late.workspaces_stale) == (False, {"stale"}, 1)
    assert late.reasons[0].text.startswith("1 of 1 active workspaces had no good sync for 12 hours")
    assert late.last_good_sync_at == NOON
    world.sync(acme)
    assert health(world, acme).ok


def test_a_good_sync_of_long_ago_is_still_known(world: World) -> None:
    acme = world.workspace()
    world.sync(acme)
    world.now += timedelta(days=70)
    late = health(world, acme)
    assert (late.workspaces_stale, late.last_good_sync_at) == (1, NOON)


def test_a_failing_sync_is_no_good_sync(world: World) -> None:
    acme = world.workspace()
    world.sync(acme)
    world.faults.append(all_queries(FORBIDDEN))
    world.now += HALF_A_DAY + timedelta(hours=1)
    world.sync(acme)
    found = health(world, acme)
    assert (found.workspaces_stale, found.workspaces_failing) == (1, 1)
    assert found.last_good_sync_at == NOON


def test_an_inactive_workspace_does_not_count_and_one_never_synced_does(world: World) -> None:
    acme, new = world.workspace(), world.workspace("new")
    world.sync(acme)
    assert health(world, acme, replace(new, active=False)).ok
    found = health(world, acme, new)
    assert (found.workspaces_total, found.workspaces_stale) == (2, 1)


def test_a_property_that_may_not_be_read_is_counted_and_wakes_nobody(world: World) -> None:
    both = world.workspace(properties=["sc-domain:acme.com", "sc-domain:lost.com"])
    world.sync(both)
    found = health(world, both)
    assert (found.ok, found.workspaces_failing) == (True, 1)
    without = replace(both, properties=("sc-domain:acme.com",))
    assert health(world, without).workspaces_failing == 0
    other_type = replace(both, search_types=(QueryType.IMAGE,))
    assert health(world, other_type).workspaces_failing == 0


@dataclass
class Breaker:
    state: str = "open"
    retry_at: datetime | None = NOON + timedelta(minutes=5)


@pytest.mark.parametrize("state", ["open", "half_open"])
def test_an_open_breaker_is_a_reason_until_it_is_closed(world: World, state: str) -> None:
    acme = world.workspace()
    world.sync(acme)
    found = health(world, acme, breaker_state=lambda: Breaker(state))
    assert (found.ok, found.kinds, found.breaker) == (False, {"breaker"}, state)
    assert "20:05:00 UTC" in found.reasons[0].text
    assert health(world, acme, breaker_state=ClosedBreaker).ok


@pytest.mark.parametrize(("held", "ok"), [(1, True), (2, False), (4, False)])
def test_a_token_endpoint_is_a_reason_when_most_workspaces_wait_for_it(
    world: World, held: int, ok: bool
) -> None:
    four = [world.workspace(f"w{n}") for n in range(4)]
    for workspace in four:
        world.sync(workspace)
    asleep = replace(four[0], id="asleep", active=False)
    found = health(
        world, *four, asleep, held_back=lambda listed: {one.id: Breaker() for one in list(listed)[:held]}
    )
    assert (found.ok, found.workspaces_held_back, found.breaker) == (ok, held, "closed")
    assert found.kinds == (set() if ok else {"breaker"})
    if not ok:
        assert f"{held} of 4 active workspaces does not answer" in found.reasons[0].text
        assert "20:05:00 UTC" in found.reasons[0].text


def test_what_cannot_be_looked_at_is_a_reason_of_its_own(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    acme = world.workspace()

    def no_database() -> None:
        raise ConnectionError("connection refused")

    def no_state() -> ClosedBreaker:
        raise PipelineError("GSC_STATE cannot be opened")

    def no_file() -> list[Workspace]:
        raise ConfigurationError("workspaces.yaml", ["cannot be read"])

    world.sync(acme)
    found = health(world, acme, probe_database=no_database, breaker_state=no_state)
    assert (found.kinds, found.database_ok, found.breaker) == ({"database", "breaker"}, False, "unknown")
    assert "connection refused" in caplog.text
    assert "GSC_STATE cannot be opened" in caplog.text

    broken = HealthMonitor(world.lake, no_file, stale_after=HALF_A_DAY, clock=lambda: world.now)
    assert broken.look().health.kinds == {Kind.WORKSPACES_FILE}

    log = tmp_path / "broken" / SYNC_RUNS.name / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("not a commit", encoding="utf-8")
    lake = Lake(str(tmp_path / "broken"))
    without_lake = HealthMonitor(lake, lambda: [acme], stale_after=HALF_A_DAY, clock=lambda: world.now)
    found = without_lake.look().health
    assert (found.ok, found.lake_ok, found.kinds) == (False, False, {"lake"})


def test_the_answer_names_no_workspace_and_no_property(world: World) -> None:
    acme = world.workspace()
    world.faults.append(all_queries(FORBIDDEN))
    world.sync(acme)
    text = json.dumps(health(world, acme, breaker_state=Breaker).as_json())
    assert "acme" not in text
    assert json.loads(text)["workspaces_failing"] == 1


def test_probes_within_the_cached_time_cost_nothing_and_see_what_is_new_after_it(world: World) -> None:
    acme = world.workspace()
    looks: list[datetime] = []

    def listed() -> list[Workspace]:
        looks.append(world.now)
        return [acme]

    ticking = [0.0]
    watched = HealthMonitor(
        world.lake,
        listed,
        stale_after=HALF_A_DAY,
        cache_seconds=15,
        clock=lambda: world.now,
        seconds=lambda: ticking[0],
    )
    threads = [threading.Thread(target=watched.look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.sync(acme)
    ticking[0] = 14.9
    assert not watched.look().health.ok
    assert len(looks) == 1
    ticking[0] = 15.0
    assert watched.look().health.ok
    assert len(looks) == 2


def test_figures_of_a_workspace_tell_its_last_sync_and_its_failed_days(world: World) -> None:
    both = world.workspace(properties=["sc-domain:acme.com", "sc-domain:lost.com"])
    world.sync(both, world.last(3))
    world.faults.append(all_queries(FORBIDDEN))
    world.now += timedelta(hours=6)
    world.sync(both, world.last(3))
    figures = FiguresReader(world.lake).read([both]).workspaces["acme"]
    assert figures.failures == 2
    assert figures.failed_days >= 3


def test_totals_of_all_syncs_grow_and_housekeeping_leaves_them_as_they_are(world: World) -> None:
    acme, reader = world.workspace(), FiguresReader(world.lake)
    assert reader.read([acme]).calls == 0
    rows, calls = 0, 0
    for _ in range(6):
        report = world.sync(acme, world.last(1))
        rows, calls = rows + report.rows, calls + report.usage.calls
        found = reader.read([acme])
        assert (found.rows, found.calls, found.retries) == (rows, calls, 0)
        world.now += timedelta(days=3)
    compact_and_vacuum(world.lake)
    assert reader.read([acme]) == found
    assert FiguresReader(world.lake).read([acme]) == found


def test_a_lake_that_is_gone_is_noticed_and_one_that_comes_back_is_read_again(world: World) -> None:
    acme, reader = world.workspace(), FiguresReader(world.lake)
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
    assert reader.read([acme]).workspaces["acme"].last_good_sync_at is None
    away.rename(runs)
    assert reader.read([acme]) == before
