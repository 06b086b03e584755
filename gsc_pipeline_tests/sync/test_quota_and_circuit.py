"""Quota refusals and an open circuit breaker in the middle of a sync: what is read stays, nobody waits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.breaker import Circuit, SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty, google_error
from gsc_pipeline.state.store import Store, open_store
from gsc_pipeline.sync.everyone import SyncFatalError, sync_all
from gsc_pipeline.sync.hourly import sync_hourly
from gsc_pipeline.sync.report import Outcome, SyncReport
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.wiring import circuit_breaker, console_opener, shared_state
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.world import World, contents

DOMAIN, SHOP = "sc-domain:acme.com", "https://shop.acme.com/"
UNAVAILABLE = google_error(503, "backendError", "Service unavailable.")
LOAD_QUOTA = google_error(403, "quotaExceeded", "Search Analytics load quota exceeded.", "usageLimits")
TOO_FAST = google_error(429, "rateLimitExceeded", "Quota exceeded.", "usageLimits")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        yield store


def guarded(world: World, store: Store, workspace: Workspace) -> HttpSearchConsole:
    """The live client with its limiter and breaker, which waits for nothing."""
    return HttpSearchConsole(
        workspace.credentials,
        base_url=world.url,
        retry=RetryPolicy(attempts=3, sleep=world.waits.append),
        limiter=SharedLimiter(store, clock=lambda: world.now, sleep=world.waits.append),
        breaker=SharedBreaker(store, world.url, clock=lambda: world.now),
        clock=lambda: world.now,
    )


def sync(world: World, store: Store, workspace: Workspace, days: int = 5) -> SyncReport:
    with closing(guarded(world, store, workspace)) as console:
        return sync_workspace(workspace, world.last(days), console, world.lake, clock=lambda: world.now)


def truth(tmp_path: Path, *site_urls: str) -> Any:
    """The lake of a sync that nothing disturbed."""
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    with World.serving(folder) as world:
        world.sync(world.workspace(properties=site_urls))
        return contents(world.lake)


def in_day(n: int, site_url: str, reply: Reply, world: World) -> Any:
    """A fault that answers the reads of the window's nth day and of all later ones."""
    first = str(list(world.last(5))[n])

    def fault(call: Call) -> Reply | None:
        asked = call.body if isinstance(call.body, dict) else {}
        is_read = call.kind == "query" and call.site_url == site_url and asked["dimensions"] != ["date"]
        return reply if is_read and asked["startDate"] <= first else None

    return fault


def test_a_load_quota_keeps_what_was_read_defers_the_property_and_the_next_sync_goes_on(
    world: World, store: Store
) -> None:
    workspace = world.workspace(properties=(DOMAIN, SHOP))
    world.faults.append(in_day(2, DOMAIN, LOAD_QUOTA, world))

    report = sync(world, store, workspace)

    read = {(day.site_url, day.day) for day in report.days if day.outcome is Outcome.READ}
    assert {day for site, day in read if site == SHOP} == set(world.last(5))
    kept = {day for site, day in read if site == DOMAIN}
    assert len(kept) == 2
    (problem,) = report.problems
    assert (problem.site_url, problem.transient, problem.deferred) == (DOMAIN, True, True)
    assert set(problem.days) == set(world.last(5)) - kept
    assert "load quota" in problem.cause
    assert world.waits == []

    world.faults.clear()
    world.now += timedelta(hours=6)
    again = sync(world, store, workspace)
    assert not again.problems
    assert {day.day for day in again.days if day.site_url == DOMAIN and day.outcome is Outcome.READ} >= set(
        problem.days
    )
    assert world.waits == []


def test_quota_refusals_in_bursts_end_in_the_true_lake(world: World, store: Store, tmp_path: Path) -> None:
    seen: list[Call] = []

    def bursts(call: Call) -> Reply | None:
        if call.kind != "query":
            return None
        seen.append(call)
        return TOO_FAST if len(seen) % 8 in (0, 1) else None

    world.faults.append(bursts)
    report = sync(world, store, world.workspace(properties=(DOMAIN, SHOP)))
    assert not report.problems
    assert report.usage.retries > 0
    assert contents(world.lake) == truth(tmp_path, DOMAIN, SHOP)


def test_an_outage_stops_the_workspace_early_and_the_sync_after_it_makes_up(
    world: World, store: Store, tmp_path: Path
) -> None:
    workspace = world.workspace(properties=(DOMAIN, SHOP))
    sites = (DOMAIN, SHOP)
    world.faults.append(lambda call: UNAVAILABLE if call.kind == "query" else None)

    first, second = sync(world, store, workspace), sync(world, store, workspace)

    # Three attempts of one property, two of the next: then nobody asks any more.
    assert len(world.queries()) == 5
    assert not first.is_success
    (problem,) = second.problems
    assert (problem.site_url, problem.transient, problem.deferred) == ("", True, True)
    assert "left alone since" in problem.cause
    assert {day.site_url for day in second.days if day.outcome is Outcome.FAILED} == set(sites)

    world.now += timedelta(minutes=30)
    sync(world, store, workspace)
    assert len(world.queries()) == 6

    world.faults.clear()
    world.now += timedelta(minutes=30)
    after = sync(world, store, workspace)
    assert not after.problems
    before, now = truth(tmp_path, *sites), contents(world.lake)
    for table in ("searchdata_site_impression", "searchdata_url_impression"):
        assert now[table] == before[table]


def test_an_outage_in_the_middle_keeps_what_was_read(world: World, store: Store) -> None:
    workspace = world.workspace(properties=(DOMAIN, SHOP))
    down: list[int] = []

    def after_some(call: Call) -> Reply | None:
        return UNAVAILABLE if call.kind == "query" and (down or len(world.queries()) > 14) else None

    world.faults.append(after_some)
    report = sync(world, store, workspace)
    assert report.count(Outcome.READ) > 0
    assert report.count(Outcome.FAILED) > 0
    assert "left alone since" in report.reason
    assert SharedBreaker(store, world.url, clock=lambda: world.now).state().state is Circuit.OPEN


def test_an_open_circuit_stops_the_other_tables_as_well(world: World, store: Store) -> None:
    workspace = world.workspace(properties=(DOMAIN, SHOP))
    world.faults.append(lambda call: UNAVAILABLE if call.kind == "query" else None)
    sync(world, store, workspace)
    sync(world, store, workspace)
    with closing(guarded(world, store, workspace)) as console:
        report = sync_hourly(workspace, console, world.lake, clock=lambda: world.now)
    assert len(world.queries()) == 5
    assert report.is_stopped
    assert not report.is_worth_retrying
    (problem,) = report.problems
    assert problem.deferred


def test_a_shared_state_that_cannot_be_reached_is_everyones_trouble(world: World) -> None:
    (world.folder / "file").write_text("in the way", encoding="utf-8")
    settings = load_settings(state=str(world.folder / "file" / "state.db"), api_url=world.url)
    with pytest.raises(SyncFatalError, match="check GSC_STATE"):
        sync_all(
            [world.workspace("acme"), world.workspace("globex")],
            world.last(2),
            console_opener(settings, clock=lambda: world.now),
            world.lake,
            clock=lambda: world.now,
        )
    assert world.queries() == []


def test_without_limiter_and_breaker_no_state_is_needed(world: World) -> None:
    settings = load_settings(
        state=str(world.folder / "never.db"), api_url=world.url, api_limit_factor=0, breaker_failures=0
    )
    open_console = console_opener(settings, clock=lambda: world.now)
    summary = sync_all([world.workspace()], world.last(2), open_console, world.lake, clock=lambda: world.now)
    assert not summary.failures
    assert not (world.folder / "never.db").exists()


def test_commands_share_their_state_beside_the_lake(tmp_path: Path) -> None:
    """Two processes, one after the other: the first meets an outage, the second does not even ask."""
    with World.serving(tmp_path, [SyntheticProperty(DOMAIN, rows_a_day=20)], now=utc_now()) as world:
        world.faults.append(lambda call: UNAVAILABLE if call.kind == "query" else None)
        env = {**world.environment(), "PATH": "/usr/bin:/bin", "GSC_API_ATTEMPTS": "9"}
        gsc = str(Path(sys.executable).with_name("gsc"))
        for _ in range(2):
            done = subprocess.run([gsc, "sync"], env=env, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 1
            assert "left alone since" in done.stderr
        assert len(world.queries()) == 5
        settings = load_settings(lake=Lake(env["GSC_LAKE"]).uri, api_url=world.url)
        with closing(shared_state(settings)) as store:
            breaker = circuit_breaker(settings, store)
            assert breaker is not None
            assert breaker.state().state is Circuit.OPEN
        assert (tmp_path / "state.db").exists()
