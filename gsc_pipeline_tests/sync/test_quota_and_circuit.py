"""Quota refusals and an open circuit during a sync: days read before stay, and no call waits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.breakers import Circuit, SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.guards import Guards
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty, google_error
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.report import DayResult, SyncReport
from gsc_pipeline.sync.sync_all import SyncFatalError, sync_all
from gsc_pipeline.sync.tables.hourly import sync_hourly
from gsc_pipeline.sync.telemetry import WorkspaceSyncComplete
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.circuits import give_up
from gsc_pipeline_tests.replies import UNAVAILABLE
from gsc_pipeline_tests.sync.tables.shared import is_stopped
from gsc_pipeline_tests.world import World, contents

DOMAIN, SHOP = "sc-domain:acme.com", "https://shop.acme.com/"
LOAD_QUOTA = google_error(403, "quotaExceeded", "Search Analytics load quota exceeded.", "usageLimits")
TOO_FAST = google_error(429, "rateLimitExceeded", "Quota exceeded.", "usageLimits")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        yield store


def others_gave_up(breaker: SharedBreaker | None, properties: int) -> None:
    """Other processes have given up one call for each of so many properties."""
    assert breaker is not None
    for n in range(properties):
        give_up(breaker, f"sc-domain:{n}.com")


def guarded(world: World, store: Store, workspace: Workspace) -> HttpSearchConsole:
    """The live client with its limiter and breaker, without real waits."""
    return HttpSearchConsole(
        workspace.credentials,
        base_url=world.url,
        retry=RetryPolicy(attempts=3, sleep=world.waits.append),
        guards=Guards(
            SharedLimiter(store, clock=lambda: world.now, sleep=world.waits.append),
            SharedBreaker(store, world.url, clock=lambda: world.now),
        ),
        clock=lambda: world.now,
    )


def sync(world: World, store: Store, workspace: Workspace, days: int = 5) -> SyncReport:
    with closing(guarded(world, store, workspace)) as console:
        return sync_workspace(workspace, world.last(days), console, world.lake, clock=lambda: world.now)


def truth(tmp_path: Path, *site_urls: str) -> Any:
    """The lake of an undisturbed sync."""
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

    read = {(day.site_url, day.day) for day in report.days if day.result is DayResult.READ}
    assert {day for site, day in read if site == SHOP} == set(world.last(5))
    kept = {day for site, day in read if site == DOMAIN}
    assert len(kept) == 2
    (problem,) = report.problems
    assert (problem.site_url, problem.transient, problem.deferred) == (DOMAIN, True, True)
    assert set(problem.days) == set(world.last(5)) - kept
    assert "load quota" in problem.cause
    assert world.waits == []
    in_a_quarter = world.now + timedelta(minutes=15)
    assert problem.retry_at == report.retry_at == in_a_quarter
    assert WorkspaceSyncComplete.of(report, "").retry_at == in_a_quarter.isoformat()

    world.faults.clear()
    world.now += timedelta(hours=6)
    again = sync(world, store, workspace)
    assert not again.problems
    assert again.retry_at is None
    assert WorkspaceSyncComplete.of(again, "").retry_at == ""
    assert {day.day for day in again.days if day.site_url == DOMAIN and day.result is DayResult.READ} >= set(
        problem.days
    )
    assert world.waits == []


def test_a_sync_may_be_repeated_at_the_earliest_time_of_what_was_deferred(world: World, store: Store) -> None:
    daily = google_error(403, "dailyLimitExceeded", "Daily Limit Exceeded", "usageLimits")
    replies = {DOMAIN: daily, SHOP: LOAD_QUOTA}
    world.faults.append(lambda call: replies.get(call.site_url or ""))
    report = sync(world, store, world.workspace(properties=(DOMAIN, SHOP)))
    first, second = report.problems
    # Midnight in California.
    assert first.retry_at == datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert second.retry_at == report.retry_at == world.now + timedelta(minutes=15)


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


def test_an_outage_stops_the_workspace_early_and_the_next_sync_reads_the_missing_days(
    world: World, store: Store, tmp_path: Path
) -> None:
    workspace = world.workspace(properties=(DOMAIN, SHOP))
    sites = (DOMAIN, SHOP)
    others_gave_up(SharedBreaker(store, world.url, clock=lambda: world.now), 3)
    world.faults.append(lambda call: UNAVAILABLE if call.kind == "query" else None)

    first, second = sync(world, store, workspace), sync(world, store, workspace)

    # Three attempts for one property and one for the next; then the circuit is open.
    assert len(world.queries()) == 4
    assert first.outcome is Outcome.FAILED
    (problem,) = second.problems
    assert (problem.site_url, problem.transient, problem.deferred) == ("", True, True)
    assert "circuit open since" in problem.cause
    assert {day.site_url for day in second.days if day.result is DayResult.FAILED} == set(sites)

    world.now += timedelta(minutes=30)
    sync(world, store, workspace)
    assert len(world.queries()) == 5

    world.faults.clear()
    world.now += timedelta(minutes=30)
    after = sync(world, store, workspace)
    assert not after.problems
    before, now = truth(tmp_path, *sites), contents(world.lake)
    for table in ("searchdata_site_impression", "searchdata_url_impression"):
        assert now[table] == before[table]


def test_an_outage_in_the_middle_keeps_what_was_read(world: World, store: Store) -> None:
    workspace = world.workspace(properties=(DOMAIN, SHOP))
    breaker = SharedBreaker(store, world.url, clock=lambda: world.now)

    def after_some(call: Call) -> Reply | None:
        if call.kind != "query" or len(world.queries()) <= 14:
            return None
        # An answer to an earlier call may arrive after this, and resets the count.
        if breaker.state().failures < 4:
            others_gave_up(SharedBreaker(store, world.url, clock=lambda: world.now), 4)
        return UNAVAILABLE

    world.faults.append(after_some)
    report = sync(world, store, workspace)
    assert report.count(DayResult.READ) > 0
    assert report.count(DayResult.FAILED) > 0
    assert len(world.queries()) <= 24
    assert breaker.state().state is Circuit.OPEN


def test_an_open_circuit_stops_the_other_tables_as_well(world: World, store: Store) -> None:
    workspace = world.workspace(properties=(DOMAIN, SHOP))
    others_gave_up(SharedBreaker(store, world.url, clock=lambda: world.now), 5)
    with closing(guarded(world, store, workspace)) as console:
        report = sync_hourly(workspace, console, world.lake, clock=lambda: world.now)
    assert world.queries() == []
    assert is_stopped(report)
    assert not report.is_worth_retrying
    (problem,) = report.problems
    assert problem.deferred


def test_an_unavailable_shared_state_stops_all_workspaces(world: World) -> None:
    (world.folder / "file").write_text("in the way", encoding="utf-8")
    settings = load_settings(state=str(world.folder / "file" / "state.db"), api_url=world.url)
    with pytest.raises(SyncFatalError, match="check GSC_STATE"):
        sync_all(
            [world.workspace("acme"), world.workspace("globex")],
            world.last(2),
            Services(settings, clock=lambda: world.now).open_console,
            world.lake,
            clock=lambda: world.now,
        )
    assert world.queries() == []


def test_without_limiter_and_breaker_no_state_is_needed(world: World) -> None:
    settings = load_settings(
        state=str(world.folder / "never.db"), api_url=world.url, api_limit_factor=0, breaker_failures=0
    )
    open_console = Services(settings, clock=lambda: world.now).open_console
    summary = sync_all([world.workspace()], world.last(2), open_console, world.lake, clock=lambda: world.now)
    assert not summary.failures
    assert not (world.folder / "never.db").exists()


@pytest.mark.soak
def test_commands_share_their_state_beside_the_lake(tmp_path: Path) -> None:
    """Two processes in sequence: the first opens the circuit, the second sends one call as a probe."""
    with World.serving(tmp_path, [SyntheticProperty(DOMAIN, rows_a_day=20)], now=utc_now()) as world:
        world.faults.append(lambda call: UNAVAILABLE if call.kind == "query" else None)
        env = {**world.environment(), "PATH": "/usr/bin:/bin", "GSC_API_ATTEMPTS": "9"}
        gsc = str(Path(sys.executable).with_name("gsc"))
        settings = load_settings(lake=Lake(env["GSC_LAKE"]).uri, api_url=world.url)
        services = Services(settings)
        with closing(services.store):
            guards = services.guards
            others_gave_up(guards.breaker, 4)
            for said, queries in (("answered 503", 5), ("circuit open since", 6)):
                done = subprocess.run([gsc, "sync"], env=env, cwd=tmp_path, capture_output=True, text=True)
                assert done.returncode == 1
                assert said in done.stderr
                assert len(world.queries()) == queries
            breaker = guards.breaker
            assert breaker is not None
            assert breaker.state().state is Circuit.OPEN
        assert (tmp_path / "state.db").exists()
