"""Health: evaluated from the lake as syncs leave it, in counts, and cached."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_LEDGER, SYNC_RUNS
from gsc_pipeline.monitoring.health import Health, ReasonKind
from gsc_pipeline.monitoring.monitor import HealthMonitor
from gsc_pipeline.search_console.breakers import BreakerState, Circuit
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.replies import FORBIDDEN, all_queries
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import NOON, World

HALF_A_DAY = timedelta(hours=12)


def monitor(world: World, *workspaces: Workspace, **options: Any) -> HealthMonitor:
    options = {"stale_after": HALF_A_DAY, "cache_seconds": 0.0, "clock": lambda: world.now, **options}
    return HealthMonitor(world.lake, lambda: workspaces, **options)


def health(world: World, *workspaces: Workspace, **options: Any) -> Health:
    return monitor(world, *workspaces, **options).observe(HANG_SECONDS).health


def test_after_complete_syncs_health_is_ok(world: World) -> None:
    acme, globex = world.workspace(), world.workspace("globex")
    world.sync(acme)
    world.now += timedelta(hours=1)
    world.sync(globex)
    assert health(world, acme, globex) == Health(
        ok=True,
        reasons=(),
        observed_at=world.now,
        last_good_sync_at=NOON + timedelta(hours=1),
        last_tick_at=None,
        daemon_heartbeat_at=None,
        workspaces_total=2,
        workspaces_complete=2,
        workspaces_partial=0,
        workspaces_failed=0,
        workspaces_crashed=0,
        workspaces_stale=0,
        workspaces_failing=0,
        workspaces_damaged=0,
        workspaces_held_back=0,
        breaker="closed",
        lake_ok=True,
        database_ok=True,
        unknown=frozenset({ReasonKind.DATABASE, ReasonKind.DAEMON}),
    )


def test_a_workspace_without_a_complete_sync_for_long_is_stale_until_the_next_one(world: World) -> None:
    acme = world.workspace()
    world.sync(acme)
    world.now += HALF_A_DAY
    assert health(world, acme).ok
    world.now += timedelta(seconds=1)
    late = health(world, acme)
    assert (late.ok, late.kinds, late.workspaces_stale) == (False, {"stale"}, 1)
    assert late.reasons[0].text.startswith("1 of 1 active workspaces have not been synced for 12 hours")
    assert late.last_good_sync_at == NOON
    world.sync(acme)
    assert health(world, acme).ok


def test_a_complete_sync_of_long_ago_is_still_known(world: World) -> None:
    acme = world.workspace()
    world.sync(acme)
    world.now += timedelta(days=70)
    late = health(world, acme)
    assert (late.workspaces_stale, late.last_good_sync_at) == (1, NOON)


def test_a_failed_sync_is_not_a_complete_one(world: World) -> None:
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


def test_a_property_that_may_not_be_read_is_counted_and_is_no_reason(world: World) -> None:
    both = world.workspace(properties=["sc-domain:acme.com", "sc-domain:lost.com"])
    world.sync(both)
    found = health(world, both)
    assert (found.ok, found.workspaces_failing) == (True, 1)
    without = replace(both, properties=("sc-domain:acme.com",))
    assert health(world, without).workspaces_failing == 0
    other_type = replace(both, search_types=(QueryType.IMAGE,))
    assert health(world, other_type).workspaces_failing == 0


OPEN = BreakerState(Circuit.OPEN, retry_at=NOON + timedelta(minutes=5))


@pytest.mark.parametrize("state", [Circuit.OPEN, Circuit.HALF_OPEN])
def test_an_open_breaker_is_a_reason_until_it_is_closed(world: World, state: Circuit) -> None:
    acme = world.workspace()
    world.sync(acme)
    found = health(world, acme, breaker_state=lambda: replace(OPEN, state=state))
    assert (found.ok, found.kinds, found.breaker) == (False, {"breaker"}, state)
    assert "20:05:00 UTC" in found.reasons[0].text
    assert health(world, acme, breaker_state=BreakerState).ok


@pytest.mark.parametrize(("held", "ok"), [(1, True), (2, False), (4, False)])
@pytest.mark.soak
def test_a_token_endpoint_is_a_reason_when_at_least_half_of_the_workspaces_need_it(
    world: World, held: int, ok: bool
) -> None:
    four = [world.workspace(f"w{n}") for n in range(4)]
    for workspace in four:
        world.sync(workspace)
    inactive = replace(four[0], id="inactive", active=False)
    found = health(
        world,
        *four,
        inactive,
        token_circuits=lambda listed: {one.id: OPEN for one in list(listed)[:held]},
    )
    assert (found.ok, found.workspaces_held_back, found.breaker) == (ok, held, "closed")
    assert found.kinds == (set() if ok else {"breaker"})
    if not ok:
        assert f"{held} of 4 active workspaces does not answer" in found.reasons[0].text
        assert "20:05:00 UTC" in found.reasons[0].text


def test_whatever_cannot_be_read_is_a_reason_of_its_own(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    acme = world.workspace()

    def no_database() -> None:
        raise ConnectionError("connection refused")

    def no_state() -> BreakerState:
        raise PipelineError("GSC_STATE cannot be opened")

    def no_file() -> list[Workspace]:
        raise ConfigurationError("workspaces.yaml", ["cannot be read"])

    world.sync(acme)
    found = health(world, acme, probe_instance=no_database, breaker_state=no_state)
    assert (found.kinds, found.database_ok, found.breaker) == ({"database", "state"}, False, "unknown")
    assert "connection refused" in caplog.text
    assert "GSC_STATE cannot be opened" in caplog.text

    broken = HealthMonitor(world.lake, no_file, stale_after=HALF_A_DAY, clock=lambda: world.now)
    assert broken.observe(HANG_SECONDS).health.kinds == {ReasonKind.WORKSPACES_FILE}

    log = tmp_path / "broken" / SYNC_RUNS.name / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("not a commit", encoding="utf-8")
    lake = Lake(str(tmp_path / "broken"))
    without_lake = HealthMonitor(lake, lambda: [acme], stale_after=HALF_A_DAY, clock=lambda: world.now)
    found = without_lake.observe(HANG_SECONDS).health
    assert (found.ok, found.lake_ok, found.kinds) == (False, False, {"lake"})


def test_the_answer_names_no_workspace_and_no_property(world: World) -> None:
    acme = world.workspace()
    world.faults.append(all_queries(FORBIDDEN))
    world.sync(acme)
    text = json.dumps(health(world, acme, breaker_state=lambda: OPEN).as_json())
    assert "acme" not in text
    assert json.loads(text)["workspaces_failing"] == 1


def test_an_observation_is_cached_for_its_time_and_then_renewed(world: World) -> None:
    acme = world.workspace()
    reads: list[datetime] = []

    def listed() -> list[Workspace]:
        reads.append(world.now)
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
    threads = [threading.Thread(target=watched.observe) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.sync(acme)
    ticking[0] = 14.9
    assert not watched.observe(HANG_SECONDS).health.ok
    assert len(reads) == 1
    ticking[0] = 15.0
    assert watched.observe(HANG_SECONDS).health.ok
    assert len(reads) == 2


def test_damage_of_one_workspace_is_a_reason_and_the_others_still_count(world: World) -> None:
    acme, globex = world.workspace(), world.workspace("globex")
    world.sync(acme)
    world.sync(globex)
    (file,) = [Path(path) for path in world.lake.local_files(SYNC_LEDGER, workspace="acme").paths]
    file.write_bytes(b"x" * file.stat().st_size)
    found = monitor(world, acme, globex).observe(HANG_SECONDS)
    assert (found.health.ok, found.health.kinds, found.health.lake_ok) == (False, {"damage"}, True)
    assert found.health.workspaces_damaged == 1
    assert found.health.reasons[0].text.startswith("the lake's data of 1 of 2 active workspaces is damaged")
    assert "gsc verify" in found.health.reasons[0].text
    assert found.totals.calls > 0


def test_a_damaged_file_of_all_workspaces_makes_the_lake_unreadable(world: World) -> None:
    acme = world.workspace()
    world.sync(acme)
    (file,) = Path(world.lake.table_uri(SYNC_RUNS)).rglob("*.parquet")
    file.write_bytes(b"x" * file.stat().st_size)
    found = health(world, acme)
    assert (found.kinds, found.lake_ok, found.workspaces_stale) == ({"lake"}, False, 0)
