"""Observations: whatever hangs, is missing or silent, an answer comes and says so."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.days import ONE_DAY, Window, pacific_today
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.monitoring.health import ReasonKind
from gsc_pipeline.monitoring.monitor import DAEMON_SILENT, OLDEST_SECONDS, PAGE_SECONDS, HealthMonitor
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.monitoring.hanging import hanging
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
from gsc_pipeline_tests.world import NOON, World


def monitor(world: World, lake: Lake | None = None, **options: Any) -> HealthMonitor:
    options = {"cache_seconds": 0.0, "clock": lambda: world.now, **options}
    workspaces = [world.workspace()]
    return HealthMonitor(lake or world.lake, lambda: workspaces, stale_after=timedelta(hours=12), **options)


def test_while_the_lake_hangs_the_last_observation_is_shown_for_a_while_and_then_that_it_hangs(
    world: World,
) -> None:
    world.sync(world.workspace())
    ticking = [0.0]
    watched = monitor(world, seconds=lambda: ticking[0])
    first = watched.observe(HANG_SECONDS)
    assert first.health.ok
    world.sync(world.workspace())
    with hanging(world.lake):
        ticking[0] = OLDEST_SECONDS - 1
        assert watched.observe(0.0) is first
        ticking[0] = OLDEST_SECONDS + 1
        found = watched.observe(PAGE_SECONDS)
        assert (found.health.ok, found.health.lake_ok, found.health.kinds) == (False, False, {"lake"})
        assert found.health.reasons[0].text.startswith("the lake has not answered for 2 s: ")
        assert (found.states, found.totals) == ((), None)
        # What is not known has not ended: alerts leave it as it is.
        assert found.health.unknown == set(ReasonKind) - {ReasonKind.LAKE}
        assert watched.is_observing
    wait_until(lambda: watched.observe(HANG_SECONDS).health.ok, "the lake to answer again")


def test_pages_that_wait_for_one_observation_wait_no_longer_than_for_the_first(world: World) -> None:
    """Otherwise each of them would hold a thread of the server for its whole time."""
    world.sync(world.workspace())
    ticking = [0.0]
    with hanging(world.lake):
        watched = monitor(world, seconds=lambda: ticking[0])
        watched.observe(0.0)
        ticking[0] = 2 * HANG_SECONDS
        # This would take HANG_SECONDS if the wait started again.
        (reason,) = watched.observe(HANG_SECONDS).health.reasons
    assert "has not answered for 600 s" in reason.text


def test_there_is_no_lake_before_the_first_sync_and_one_that_disappears_cannot_be_read(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = monitor(world)
    (reason,) = watched.observe_now().health.reasons
    assert (reason.kind, reason.text.split(":")[0]) == ("no_lake", "there is no lake")
    assert (watched.observe_now().health.lake_ok, watched.observe_now().totals) == (False, None)
    world.sync(world.workspace())
    assert watched.observe_now().health.ok
    shutil.move(world.lake.uri, tmp_path / "away")
    found = watched.observe_now()
    assert (found.health.kinds, found.health.lake_ok, found.totals) == ({"lake"}, False, None)
    assert "sync_runs has disappeared: is the storage of GSC_LAKE mounted?" in caplog.text
    Path(world.lake.uri).mkdir()
    assert watched.observe_now().health.kinds == {"lake"}
    assert monitor(world, Lake(world.lake.uri)).observe_now().health.kinds == {"no_lake"}


def test_an_unexpected_error_in_any_part_is_a_reason(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> Any:
        raise KeyError("a mistake")

    world.sync(world.workspace())
    for option, kind in (
        ("probe_instance", "database"),
        ("breaker_state", "state"),
        ("token_circuits", "state"),
        ("view_ticks", "state"),
    ):
        assert monitor(world, **{option: broken}).observe(HANG_SECONDS).health.kinds == {kind}
    assert "a mistake" in caplog.text
    (reason,) = monitor(world, breaker_state=lambda: "open").observe(HANG_SECONDS).health.reasons
    assert reason.text == "the health could not be evaluated: the log has the cause"


@pytest.mark.parametrize("heartbeat", [None, NOON - timedelta(days=1)])
def test_a_daemon_is_silent_when_this_process_has_watched_for_five_minutes(
    world: World, heartbeat: datetime | None
) -> None:
    """A machine that starts begins both at once, in any order."""
    world.sync(world.workspace())
    beats: list[datetime | None] = [heartbeat]
    watched = monitor(world, probe_instance=lambda: beats[0])
    assert watched.observe_now().health.ok
    world.now += DAEMON_SILENT
    assert watched.observe_now().health.ok
    world.now += timedelta(seconds=1)
    health = watched.observe_now().health
    assert (health.kinds, health.daemon_heartbeat_at) == ({"daemon"}, heartbeat)
    since = f"since {heartbeat:%Y-%m-%d %H:%M} UTC" if heartbeat else "yet"
    assert f"Dagster's daemon has sent no heartbeat {since}" in health.reasons[0].text
    assert "start `dagster-daemon run`" in health.reasons[0].text
    beats[0] = world.now
    assert watched.observe_now().health.ok
    world.now += DAEMON_SILENT + timedelta(seconds=1)
    assert watched.observe_now().health.kinds == {"daemon"}


def test_without_an_instance_neither_database_nor_daemon_is_evaluated(world: World) -> None:
    world.sync(world.workspace())
    unknown = {ReasonKind.DATABASE, ReasonKind.DAEMON}
    assert monitor(world).observe_now().health.unknown == unknown
    assert monitor(world, probe_instance=lambda: world.now).observe_now().health.unknown == set()


def test_a_property_that_went_dark_is_a_reason_until_it_is_shown_again(tmp_path: Path) -> None:
    today = pacific_today(NOON)
    dark = {today - n * ONE_DAY for n in range(7)}
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=5, days_without_data=dark)
    with World.serving(tmp_path, [prop]) as world:
        watched = monitor(world)
        newest = world.last(9)
        fill(world.lake, "acme", prop, Window(world.last(45).start, newest.start))
        world.sync(world.workspace(), newest)
        health = watched.observe_now().health
        assert health.kinds == {"dark"}
        assert health.reasons[0].text.startswith("1 property had impressions for four weeks and none on")
        # An alert reports each workspace that joins them.
        assert health.reasons[0].workspaces == ("acme",)
        world.now += 4 * ONE_DAY
        world.sync(world.workspace(), world.last(14))
        assert watched.observe_now().health.ok
