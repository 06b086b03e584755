"""A Search Console that refuses, fails or is unavailable: rows stay, and the copy becomes exact again."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty, google_error, token_error
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline.sync.failures import read_standing
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.report import DayResult, SyncReport
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.faults.station import Station, guarded_console
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.world import World, asks_token_for, sorted_rows

DOMAIN, SHOP = "sc-domain:acme.com", "https://shop.acme.com/"
SIX_HOURS = timedelta(hours=6)
UNAVAILABLE = google_error(503, "backendError", "Service unavailable.")
LOAD_QUOTA = google_error(429, "quotaExceeded", "Search Analytics load quota exceeded.", "usageLimits")
MISHAPS = (
    UNAVAILABLE,
    google_error(500, "internalError", "Internal error encountered."),
    google_error(429, "rateLimitExceeded", "Quota exceeded.", "usageLimits"),
    Reply(502, b"<html>Bad Gateway</html>", {"content-type": "text/html"}),
    Reply(cut_after=20),
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    properties = [SyntheticProperty(site, rows_a_day=40, plants=False) for site in (DOMAIN, SHOP)]
    with World.serving(tmp_path, properties) as world:
        yield world


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        yield store


def sync(world: World, store: Store, workspace: Workspace, attempts: int = 3) -> SyncReport:
    with closing(guarded_console(world, store, workspace, attempts)) as console:
        return sync_workspace(workspace, world.last(5), console, world.lake, clock=lambda: world.now)


def assert_well(world: World, store: Store, *workspaces: Workspace) -> None:
    """End the faults and sync each once more: the lake equals the truth, and nothing fails."""
    world.faults.clear()
    world.now += SIX_HOURS
    for workspace in workspaces:
        assert not sync(world, store, workspace).problems
    assert_lake_is_true(world, list(world.last(5)))
    assert read_standing(world.lake) == []


def at_random(share: float, replies: tuple[Reply, ...], seed: int) -> Callable[[Call], Reply | None]:
    """A fault in this share of all calls, token requests included."""
    dice, lock = random.Random(seed), threading.Lock()

    def fault(call: Call) -> Reply | None:
        with lock:
            return dice.choice(replies) if dice.random() < share else None

    return fault


@pytest.mark.parametrize("seed", rest_in_soak([1, 2]))
@pytest.mark.soak
def test_the_copy_becomes_exact_while_fifteen_percent_of_calls_fail(
    world: World, store: Store, seed: int
) -> None:
    workspace = world.workspace(properties=(DOMAIN, SHOP))
    world.faults.append(at_random(0.15, MISHAPS, seed))
    # Two attempts instead of five, so that some calls are given up.
    reports = []
    for _ in range(8):
        reports.append(sync(world, store, workspace, attempts=2))
        world.now += SIX_HOURS
    assert sum(report.usage.retries for report in reports) > 5
    assert sum(report.count(DayResult.READ) for report in reports) > 10
    assert_well(world, store, workspace)


@pytest.mark.parametrize("retry_after", rest_in_soak(["2", None, "3600"]))
def test_bursts_of_refusals_cause_waits_of_at_most_a_minute_and_the_next_sync_reads_the_rest(
    world: World, store: Store, retry_after: str | None
) -> None:
    workspace = world.workspace(properties=(DOMAIN, SHOP))
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    refusal = google_error(429, "rateLimitExceeded", "Quota exceeded.", "usageLimits", headers=headers)
    calls: list[Call] = []

    def bursts(call: Call) -> Reply | None:
        if call.kind != "query":
            return None
        calls.append(call)
        return refusal if len(calls) % 12 in (5, 6, 7) else None

    world.faults.append(bursts)
    for _ in range(3):
        report = sync(world, store, workspace)
        assert all(problem.transient for problem in report.problems)
        world.now += SIX_HOURS
    assert max(world.waits, default=0.0) <= 60
    if retry_after == "2":
        assert max(world.waits) >= 2
    assert_well(world, store, workspace)


def test_a_load_quota_is_reported_while_it_lasts_and_the_next_sync_reads_the_rest(
    world: World, store: Store
) -> None:
    workspace = world.workspace(properties=(DOMAIN, SHOP))

    def heavy(call: Call) -> Reply | None:
        is_read = call.kind == "query" and call.site_url == DOMAIN and "page" in call.body["dimensions"]
        return LOAD_QUOTA if is_read else None

    world.faults.append(heavy)
    sync(world, store, workspace)
    world.now += SIX_HOURS
    sync(world, store, workspace)
    (standing,) = read_standing(world.lake)
    assert (standing.site_url, standing.transient, standing.times) == (DOMAIN, True, 2)
    assert "load quota" in standing.cause
    assert world.waits == []
    assert_well(world, store, workspace)


def of_acme(world: World) -> list[dict[str, Any]]:
    return sorted_rows(world.lake.read(SITE_IMPRESSION, workspace="acme"))


def test_a_dead_credential_is_reported_until_it_works_and_stops_no_other_workspace(
    world: World, store: Store
) -> None:
    acme, globex = world.workspace("acme"), world.workspace("globex", properties=(SHOP,))
    for workspace in (acme, globex):
        sync(world, store, workspace)
    before = of_acme(world)
    world.faults.append(
        lambda call: (
            token_error("invalid_grant", "Token has been expired or revoked.")
            if asks_token_for("acme", call)
            else None
        )
    )
    world.now += SIX_HOURS
    assert sync(world, store, acme).outcome is Outcome.FAILED
    assert not sync(world, store, globex).problems
    (standing,) = read_standing(world.lake)
    assert (standing.workspace, standing.site_url, standing.transient) == ("acme", "", False)
    assert "invalid_grant" in standing.cause
    assert of_acme(world) == before
    assert_well(world, store, acme, globex)


@pytest.mark.soak
def test_an_outage_of_an_hour_gets_few_calls_and_is_caught_up_afterwards(world: World) -> None:
    names = [f"sc-domain:{n}.com" for n in range(5)]
    for name in names:
        world.simulator.put(SyntheticProperty(name, rows_a_day=10, plants=False))
    workspaces = [world.workspace(f"w{n}", properties=(name,)) for n, name in enumerate(names)]
    with Station.of(world, workspaces) as station:
        first = station.tick()
        assert not isinstance(first, str)
        assert (first.successes, first.failures) == (5, 0)
        world.now += SIX_HOURS
        world.faults.append(lambda call: UNAVAILABLE if call.kind == "query" else None)
        before = len(world.queries())
        answers, down_since = [], world.now
        # Ticks closer together than any schedule.
        for minute in (0, 2, 4, 20, 22, 40, 42, 58):
            world.now = down_since + timedelta(minutes=minute)
            answers.append(station.tick())
        skipped = [answer for answer in answers if isinstance(answer, str)]
        assert len(skipped) == 4
        assert all("the circuit breaker is open until" in answer for answer in skipped)
        # At most ten calls open the circuit, then each tick that finds it due sends one probe.
        assert len(world.queries()) - before <= 10 + 3
        assert {failure.workspace for failure in read_standing(world.lake)} == {w.id for w in workspaces}
        world.faults.clear()
        world.now = down_since + timedelta(minutes=64)
        after = station.tick()
        assert not isinstance(after, str)
        assert (after.successes, after.failures) == (5, 0)
        assert_lake_is_true(world, list(world.last(5)), site_urls=names)
        assert read_standing(world.lake) == []


@pytest.mark.soak
def test_an_outage_of_the_token_endpoint_gets_few_calls_and_is_caught_up_afterwards(world: World) -> None:
    acme, globex = world.workspace("acme"), world.workspace("globex", properties=(SHOP,))
    # Its key names an address where nothing listens, before, during and after the outage.
    bogus = with_token_uri(world.workspace("bogus"), "http://127.0.0.1:9/token")
    with Station.of(world, [acme, bogus, globex]) as station:
        for _ in range(2):
            first = station.tick()
            assert not isinstance(first, str)
            assert (first.successes, set(first.reasons)) == (2, {"bogus"})
            world.now += SIX_HOURS
        world.faults.append(lambda call: UNAVAILABLE if call.kind == "token" else None)
        asked = len(world.simulator.calls)
        down_since = world.now
        for minute in (0, 2, 4, 20, 22, 40, 42, 58):
            world.now = down_since + timedelta(minutes=minute)
            station.tick()
        # Two credentials do not open the breaker. They get seven calls, then one in five minutes at most.
        during = world.simulator.calls[asked:]
        assert {call.kind for call in during} == {"token"}
        assert not [one for one in station.ended if one.tick >= down_since.isoformat() and one.successes]
        assert len(during) <= 7 + 3
        assert {failure.workspace for failure in read_standing(world.lake)} == {"acme", "bogus", "globex"}
        world.faults.clear()
        world.now = down_since + timedelta(minutes=64)
        after = station.tick()
        assert not isinstance(after, str)
        assert (after.successes, set(after.reasons)) == (2, {"bogus"})
        assert_lake_is_true(world, list(world.last(5)))
        assert {failure.workspace for failure in read_standing(world.lake)} == {"bogus"}


def with_token_uri(workspace: Workspace, token_uri: str) -> Workspace:
    """The workspace, its key file naming another token endpoint."""
    assert isinstance(workspace.credentials, ServiceAccountFile)
    path = workspace.credentials.path
    path.write_text(json.dumps(json.loads(path.read_text()) | {"token_uri": token_uri}))
    return workspace
