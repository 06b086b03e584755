"""The client with a shared rate limiter and circuit breaker, against the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.days import Window, pacific_today, utc_now
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.breakers import BreakerState, Circuit, SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.errors import (
    CircuitOpenError,
    IllegalRequestError,
    NoFreeSlotError,
    PropertyForbiddenError,
    ServiceUnavailableError,
    UnansweredError,
    WrongAnswerError,
)
from gsc_pipeline.search_console.guards import Guards
from gsc_pipeline.search_console.limits import QuotaGroup, SharedLimiter
from gsc_pipeline.search_console.requests import DailyTotals
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.search_console.transport import TransportLimits
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import Reply, google_error, write_service_account_key
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.search_console.conftest import CLIENT_EMAIL, DOMAIN, NOT_OURS, SHOP, Wire

TOTALS = DailyTotals(QueryType.WEB, Window.last_complete(10, pacific_today(utc_now())))
DOWN = google_error(503, "backendError", "Backend Error")
TOO_FAST = google_error(429, "rateLimitExceeded", "Quota exceeded", "usageLimits")


def totals(days: int) -> DailyTotals:
    return DailyTotals(QueryType.WEB, Window.last_complete(days, pacific_today(utc_now())))


class Guarded:
    """Creates clients that share a store and a clock, and records their sleeps instead of sleeping."""

    def __init__(self, wire: Wire, store: Store) -> None:
        self.wire = wire
        self.store = store
        self.now = utc_now()
        self.waits: list[float] = []

    def console(self, *, factor: float = 1.0, attempts: int = 3, **options: Any) -> HttpSearchConsole:
        return self.wire.console(
            retry=RetryPolicy(attempts=attempts, sleep=self.wire.waits.append),
            guards=Guards(
                SharedLimiter(self.store, factor=factor, clock=lambda: self.now, sleep=self.waits.append),
                self.breaker(),
            ),
            **options,
        )

    def breaker(self) -> SharedBreaker:
        return SharedBreaker(self.store, self.wire.url, clock=lambda: self.now)


@pytest.fixture
def guarded(wire: Wire, tmp_path: Path) -> Iterator[Guarded]:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        yield Guarded(wire, store)


def open_with_503(guarded: Guarded, reply: Reply = DOWN) -> None:
    """Open the circuit by calls for five properties, each in a process of its own."""
    for n in range(5):
        guarded.wire.answer_instead("query", reply)
        with pytest.raises(ServiceUnavailableError):
            guarded.console(attempts=1).query(f"sc-domain:{n}.com", TOTALS)


def test_five_calls_given_up_in_a_row_stop_all_calls_for_five_minutes(guarded: Guarded) -> None:
    wire = guarded.wire
    open_with_503(guarded)
    console = guarded.console()
    waits = len(wire.waits)
    with pytest.raises(CircuitOpenError, match=r"failed 5 calls in a row, .* 503 .*Backend Error"):
        console.query(SHOP, TOTALS)
    calls = len(wire.simulator.calls)
    for another in (console, guarded.console()):
        for sent in (
            lambda: another.query(DOMAIN, TOTALS),  # noqa: B023
            another.sites,
            lambda: another.sitemaps(DOMAIN),  # noqa: B023
            lambda: another.inspect(DOMAIN, "https://acme.com/"),  # noqa: B023
        ):
            with pytest.raises(CircuitOpenError):
                sent()
    assert (len(wire.simulator.calls), len(wire.waits)) == (calls, waits)

    guarded.now += timedelta(minutes=5)
    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0
    assert wire.count("query") == 6
    assert guarded.breaker().state().state is Circuit.CLOSED


def test_after_five_minutes_one_call_probes_an_api_that_is_still_down(guarded: Guarded) -> None:
    wire = guarded.wire
    open_with_503(guarded)
    wire.answer_instead("query", *[DOWN] * 100)
    consoles = [guarded.console() for _ in range(4)]
    for minutes in (5, 10):
        guarded.now += timedelta(minutes=5)
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(consoles[n % 4].query, DOMAIN, TOTALS) for n in range(16)]
            assert all(isinstance(one.exception(), CircuitOpenError) for one in asked)
        assert wire.count("query") == 5 + minutes // 5


@pytest.mark.parametrize("threads", [1, 4, 16])
def test_calls_that_fail_at_the_same_time_share_five_attempts(guarded: Guarded, threads: int) -> None:
    wire = guarded.wire
    wire.answer_instead("query", *[DOWN] * 100)
    console = guarded.console(attempts=9, limits=TransportLimits(connections=threads))
    with ThreadPoolExecutor(threads) as pool:
        asked = [pool.submit(console.query, DOMAIN, totals(n + 1)) for n in range(threads)]
        assert all(isinstance(one.exception(), ServiceUnavailableError) for one in asked)
    assert wire.count("query") <= max(7, threads)

    wire.instead.clear()
    assert guarded.console().query(DOMAIN, TOTALS).rows.num_rows > 0
    assert guarded.breaker().state() == BreakerState()


def test_a_call_after_one_that_was_given_up_is_sent_once_until_something_is_answered(
    guarded: Guarded,
) -> None:
    wire = guarded.wire
    wire.answer_instead("query", *[DOWN] * 6)
    console = guarded.console(attempts=3)
    for site_url, sent in ((DOMAIN, 3), (SHOP, 4)):
        with pytest.raises(ServiceUnavailableError):
            console.query(site_url, TOTALS)
        assert wire.count("query") == sent
    assert console.sites()
    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0
    assert wire.count("query") == 7


def test_a_property_that_was_given_up_is_not_asked_for_five_minutes(guarded: Guarded) -> None:
    wire = guarded.wire
    wire.answer_instead("query", *[DOWN] * 100)
    console = guarded.console(attempts=9)
    for _ in range(2):
        with pytest.raises(ServiceUnavailableError, match="503"):
            console.query(DOMAIN, TOTALS)
    for _ in range(9):
        with pytest.raises(UnansweredError, match="none was answered since") as caught:
            console.query(DOMAIN, TOTALS)
    assert caught.value.retry_at == guarded.now + timedelta(minutes=5)
    assert wire.count("query") == 6

    wire.instead.clear()
    guarded.now += timedelta(minutes=5)
    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0


@pytest.mark.parametrize(
    "unreadable",
    [Reply(200, b"<html>"), Reply(200, b'{"rows": "no'), Reply(200, b'{"rows": []}', cut_after=3)],
)
def test_an_answer_that_cannot_be_read_is_a_failure_of_the_api(unreadable: Reply, guarded: Guarded) -> None:
    open_with_503(guarded, unreadable)
    assert guarded.breaker().state().state is Circuit.OPEN


@pytest.mark.parametrize(
    "wrong",
    [
        Reply(200, {"rows": "none"}),
        Reply(200, {"error": {"code": 503}}),
        Reply(200, {"rows": [{"keys": ["2026-11-20"], "clicks": -1, "impressions": 1, "position": 1}]}),
        Reply(200, b"{}", {"content-encoding": "br"}),
    ],
)
def test_wrong_answers_do_not_open_the_circuit(wrong: Reply, guarded: Guarded) -> None:
    for _ in range(10):
        guarded.wire.answer_instead("query", *[wrong] * 9)
        with pytest.raises(WrongAnswerError):
            guarded.console(attempts=9).query(DOMAIN, TOTALS)
    assert guarded.wire.count("query") == 20
    guarded.wire.instead.clear()
    assert guarded.console().query(DOMAIN, TOTALS).rows.num_rows > 0


def test_a_refused_connection_is_a_failure_of_the_api(guarded: Guarded, refusing_address: str) -> None:
    breaker = SharedBreaker(guarded.store, refusing_address)
    console = guarded.wire.console(
        base_url=refusing_address,
        guards=Guards(breaker=breaker),
        retry=RetryPolicy(attempts=9, sleep=guarded.waits.append),
    )
    with pytest.raises(ServiceUnavailableError, match="Connection refused"):
        console.sites()
    assert console.usage().calls == 5
    assert breaker.state().failures == 1


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (google_error(400, "invalidParameter", "Invalid"), IllegalRequestError),
        (google_error(403, "forbidden", "no sufficient permission"), PropertyForbiddenError),
    ],
)
def test_refusals_do_not_open_the_circuit(refusal: Reply, error: type[Exception], guarded: Guarded) -> None:
    guarded.wire.answer_instead("query", *[refusal] * 8)
    console = guarded.console()
    for _ in range(8):
        with pytest.raises(error):
            console.query(NOT_OURS, TOTALS)
    assert guarded.breaker().state().failures == 0
    assert console.sites()


def test_a_token_endpoint_that_is_down_is_not_a_failure_of_the_api(guarded: Guarded) -> None:
    guarded.wire.answer_instead("token", *[DOWN] * 9)
    with pytest.raises(ServiceUnavailableError):
        guarded.console(attempts=9).sites()
    assert guarded.breaker().state().failures == 0


def test_calls_beyond_the_burst_are_delayed(guarded: Guarded) -> None:
    console = guarded.console(factor=0.05)
    for _ in range(8):
        console.query(DOMAIN, TOTALS)
    # Sixty a minute: a burst of 5.7, then one every 1.17 seconds.
    assert guarded.waits == pytest.approx([60 / 51.3 * n - 60 / 51.3 * 4.7 for n in (5, 6, 7)], abs=2e-3)
    assert guarded.wire.count("query") == 8


def test_retries_count_against_the_rate_limit(guarded: Guarded) -> None:
    console = guarded.console(factor=1 / 600)
    console.query(DOMAIN, TOTALS)
    guarded.wire.answer_instead("query", DOWN)
    with pytest.raises(NoFreeSlotError):
        console.query(DOMAIN, TOTALS)
    # Two a minute: the first at once, the second after a minute, and none is left for the retry.
    assert guarded.waits == [60.0]
    assert guarded.wire.count("query") == 2


def test_workspaces_of_one_service_account_share_its_quota(guarded: Guarded, tmp_path: Path) -> None:
    other_key = tmp_path / "other.json"
    write_service_account_key(other_key, base_url=guarded.wire.url, client_email=CLIENT_EMAIL)
    stranger_key = tmp_path / "stranger.json"
    write_service_account_key(stranger_key, base_url=guarded.wire.url, client_email="x@project.example")
    first = guarded.console(factor=0.05)
    second = guarded.console(factor=0.05, credentials=ServiceAccountFile(other_key))
    stranger = guarded.console(factor=0.05, credentials=ServiceAccountFile(stranger_key))
    for _ in range(5):
        first.query(DOMAIN, TOTALS)
    second.query(SHOP, TOTALS)
    assert len(guarded.waits) == 1
    stranger.query(SHOP, TOTALS)
    assert len(guarded.waits) == 1


def test_the_shared_state_contains_no_credential(guarded: Guarded) -> None:
    guarded.console().query(DOMAIN, TOTALS)
    rows = guarded.store.execute("SELECT key FROM gsc_api_limits")
    assert len(rows) == 2
    assert CLIENT_EMAIL not in str(rows)
    assert "acme@" not in str(rows)


def test_a_rate_refusal_is_retried_and_slows_all_clients_down(guarded: Guarded) -> None:
    guarded.wire.answer_instead("query", TOO_FAST)
    assert guarded.console().query(DOMAIN, TOTALS).rows.num_rows > 0
    guarded.waits.clear()
    guarded.console().query(DOMAIN, TOTALS)
    assert guarded.waits == pytest.approx([2 * 60 / 1_026], abs=2e-3)


def test_retry_after_applies_to_other_calls_too(guarded: Guarded) -> None:
    guarded.wire.answer_instead(
        "query", google_error(429, "rateLimitExceeded", "x", "usageLimits", headers={"Retry-After": "20"})
    )
    console = guarded.console(attempts=1)
    with pytest.raises(Exception, match="429"):
        console.query(DOMAIN, TOTALS)
    console.query(DOMAIN, TOTALS)
    assert guarded.waits == [20.0]


def test_clients_of_one_process_share_one_connection_to_the_state_and_do_not_close_it(
    wire: Wire, tmp_path: Path
) -> None:
    state = tmp_path / "shared.db"
    open_console = Services(load_settings(state=str(state), api_url=wire.url)).open_console
    acme = Workspace("acme", "Acme", wire.key, None, (QueryType.WEB,))
    first, second = open_console(acme), open_console(replace(acme, id="globex"))
    with closing(second):
        assert first.query(DOMAIN, TOTALS).rows.num_rows == second.query(SHOP, TOTALS).rows.num_rows
        assert connections_to(state) == 1
        first.close()
        assert connections_to(state) == 1


def connections_to(state: Path) -> int:
    """How many connections of this process have the file open."""
    return sum(file.readlink() == state for file in Path("/proc/self/fd").iterdir() if file.is_symlink())


def test_quota_groups_are_limited_separately(guarded: Guarded) -> None:
    console = guarded.console()
    console.sites()
    console.sitemaps(DOMAIN)
    console.query(DOMAIN, TOTALS)
    console.inspect(DOMAIN, "https://acme.com/")
    keys = {key for (key,) in guarded.store.execute("SELECT key FROM gsc_api_limits")}
    user = {key for key in keys if key.startswith("user ")}
    assert {key.split(" ", 2)[2] for key in user} == {"searchAnalytics 60", "other 1", "other 60"}
    assert keys - user == {
        f"site {DOMAIN} {QuotaGroup.SEARCH_ANALYTICS} 60",
        f"site {DOMAIN} urlInspection 60",
    }
