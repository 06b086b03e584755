"""The client behind a shared limiter and a shared circuit breaker, against the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.days import Window, pacific_today, utc_now
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.breaker import Circuit, SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.errors import (
    CircuitOpenError,
    IllegalRequestError,
    NoFreeSlotError,
    PropertyForbiddenError,
    ServiceUnavailableError,
    WrongAnswerError,
)
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.quotas import Kind
from gsc_pipeline.search_console.requests import DailyTotals
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.simulator import Reply, google_error, write_service_account_key
from gsc_pipeline.state.store import Store, open_store
from gsc_pipeline_tests.search_console.conftest import CLIENT_EMAIL, DOMAIN, NOT_OURS, SHOP, Wire

TOTALS = DailyTotals(QueryType.WEB, Window.last_complete(10, pacific_today(utc_now())))
DOWN = google_error(503, "backendError", "Backend Error")
TOO_FAST = google_error(429, "rateLimitExceeded", "Quota exceeded", "usageLimits")


class Guarded:
    """Makes clients that share a store, a clock to set, and waits that nobody waits."""

    def __init__(self, wire: Wire, store: Store) -> None:
        self.wire = wire
        self.store = store
        self.now = utc_now()
        self.waits: list[float] = []

    def console(self, *, factor: float = 1.0, attempts: int = 3, **options: Any) -> HttpSearchConsole:
        return self.wire.console(
            retry=RetryPolicy(attempts=attempts, sleep=self.wire.waits.append),
            limiter=SharedLimiter(self.store, factor=factor, clock=lambda: self.now, sleep=self.waits.append),
            breaker=self.breaker(),
            **options,
        )

    def breaker(self) -> SharedBreaker:
        return SharedBreaker(self.store, self.wire.url, clock=lambda: self.now)


@pytest.fixture
def guarded(wire: Wire, tmp_path: Path) -> Iterator[Guarded]:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        yield Guarded(wire, store)


def test_five_503_in_a_row_end_all_calls_until_five_minutes_have_passed(guarded: Guarded) -> None:
    wire = guarded.wire
    wire.answer_instead("query", *[DOWN] * 5)
    console = guarded.console(attempts=3)
    with pytest.raises(ServiceUnavailableError):
        console.query(DOMAIN, TOTALS)
    with pytest.raises(CircuitOpenError, match=r"failed 5 times in a row .* 503 .*Backend Error"):
        console.query(SHOP, TOTALS)
    assert wire.count("query") == 5

    waits = len(wire.waits)
    for another in (console, guarded.console()):
        for sent in (
            lambda: another.query(DOMAIN, TOTALS),  # noqa: B023
            another.sites,
            lambda: another.sitemaps(DOMAIN),  # noqa: B023
            lambda: another.inspect(DOMAIN, "https://acme.com/"),  # noqa: B023
        ):
            with pytest.raises(CircuitOpenError):
                sent()
    assert [call.kind for call in wire.simulator.calls] == ["token", *["query"] * 5]
    assert len(wire.waits) == waits

    guarded.now += timedelta(minutes=5)
    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0
    assert wire.count("query") == 6
    assert guarded.breaker().state().state is Circuit.CLOSED


def test_when_the_five_minutes_are_over_and_it_is_still_down_one_call_finds_out(guarded: Guarded) -> None:
    wire = guarded.wire
    wire.answer_instead("query", *[DOWN] * 100)
    consoles = [guarded.console() for _ in range(4)]
    with pytest.raises(CircuitOpenError):
        guarded.console(attempts=9).query(DOMAIN, TOTALS)
    assert wire.count("query") == 5
    for minutes in (5, 10):
        guarded.now += timedelta(minutes=5)
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(consoles[n % 4].query, DOMAIN, TOTALS) for n in range(16)]
            assert all(isinstance(one.exception(), CircuitOpenError) for one in asked)
        assert wire.count("query") == 5 + minutes // 5


@pytest.mark.parametrize(
    "unreadable",
    [Reply(200, b"<html>"), Reply(200, b'{"rows": "no'), Reply(200, b'{"rows": []}', cut_after=3)],
)
def test_an_answer_that_cannot_be_read_is_a_failure_of_the_api(unreadable: Reply, guarded: Guarded) -> None:
    guarded.wire.answer_instead("query", *[unreadable] * 5)
    with pytest.raises(CircuitOpenError):
        guarded.console(attempts=9).query(DOMAIN, TOTALS)
    assert guarded.wire.count("query") == 5


@pytest.mark.parametrize(
    "wrong",
    [
        Reply(200, {"rows": "none"}),
        Reply(200, {"error": {"code": 503}}),
        Reply(200, {"rows": [{"keys": ["2026-11-20"], "clicks": -1, "impressions": 1, "position": 1}]}),
        Reply(200, b"{}", {"content-encoding": "br"}),
    ],
)
def test_a_wrong_answer_opens_no_circuit_for_others(wrong: Reply, guarded: Guarded) -> None:
    for _ in range(10):
        guarded.wire.answer_instead("query", *[wrong] * 9)
        with pytest.raises(WrongAnswerError):
            guarded.console(attempts=9).query(DOMAIN, TOTALS)
    assert guarded.wire.count("query") == 20
    guarded.wire.instead.clear()
    assert guarded.console().query(DOMAIN, TOTALS).rows.num_rows > 0


def test_nobody_there_is_a_failure_of_the_api(guarded: Guarded, refusing_address: str) -> None:
    breaker = SharedBreaker(guarded.store, refusing_address)
    console = guarded.wire.console(
        base_url=refusing_address,
        breaker=breaker,
        retry=RetryPolicy(attempts=9, sleep=guarded.waits.append),
    )
    with pytest.raises(CircuitOpenError, match="Connection refused"):
        console.sites()
    assert console.usage().calls == 5


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (google_error(400, "invalidParameter", "Invalid"), IllegalRequestError),
        (google_error(403, "forbidden", "no sufficient permission"), PropertyForbiddenError),
    ],
)
def test_refusals_open_nothing(refusal: Reply, error: type[Exception], guarded: Guarded) -> None:
    guarded.wire.answer_instead("query", *[refusal] * 8)
    console = guarded.console()
    for _ in range(8):
        with pytest.raises(error):
            console.query(NOT_OURS, TOTALS)
    assert guarded.breaker().state().failures == 0
    assert console.sites()


def test_a_token_endpoint_that_is_down_is_no_failure_of_the_api(guarded: Guarded) -> None:
    guarded.wire.answer_instead("token", *[DOWN] * 9)
    with pytest.raises(ServiceUnavailableError):
        guarded.console(attempts=9).sites()
    assert guarded.breaker().state().failures == 0


def test_calls_beyond_the_burst_wait_for_their_slot_before_they_are_sent(guarded: Guarded) -> None:
    console = guarded.console(factor=0.05)
    for _ in range(8):
        console.query(DOMAIN, TOTALS)
    # Sixty a minute: a burst of 5.7, then one every 1.17 seconds.
    assert guarded.waits == pytest.approx([60 / 51.3 * n - 60 / 51.3 * 4.7 for n in (5, 6, 7)], abs=2e-3)
    assert guarded.wire.count("query") == 8


def test_repeats_and_renewed_tokens_take_slots_too(guarded: Guarded) -> None:
    console = guarded.console(factor=1 / 600)
    console.query(DOMAIN, TOTALS)
    guarded.wire.answer_instead("query", DOWN)
    with pytest.raises(NoFreeSlotError):
        console.query(DOMAIN, TOTALS)
    # Two a minute: the first at once, the second after a minute, and none is left for the repeat.
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


def test_the_shared_state_holds_no_credential(guarded: Guarded) -> None:
    guarded.console().query(DOMAIN, TOTALS)
    rows = guarded.store.execute("SELECT key FROM gsc_api_limits")
    assert len(rows) == 2
    assert CLIENT_EMAIL not in str(rows)
    assert "acme@" not in str(rows)


def test_a_refusal_for_the_rate_is_repeated_and_slows_down_everyone(guarded: Guarded) -> None:
    guarded.wire.answer_instead("query", TOO_FAST)
    assert guarded.console().query(DOMAIN, TOTALS).rows.num_rows > 0
    guarded.waits.clear()
    guarded.console().query(DOMAIN, TOTALS)
    assert guarded.waits == pytest.approx([2 * 60 / 1_026], abs=2e-3)


def test_retry_after_is_obeyed_by_calls_that_were_not_refused_themselves(guarded: Guarded) -> None:
    guarded.wire.answer_instead(
        "query", google_error(429, "rateLimitExceeded", "x", "usageLimits", headers={"Retry-After": "20"})
    )
    console = guarded.console(attempts=1)
    with pytest.raises(Exception, match="429"):
        console.query(DOMAIN, TOTALS)
    console.query(DOMAIN, TOTALS)
    assert guarded.waits == [20.0]


def test_closing_the_client_gives_back_what_was_opened_for_it(wire: Wire) -> None:
    closed: list[str] = []
    console = HttpSearchConsole(wire.key, base_url=wire.url, on_close=lambda: closed.append("state"))
    console.close()
    assert closed == ["state"]


def test_kinds_of_calls_count_apart(guarded: Guarded) -> None:
    console = guarded.console()
    console.sites()
    console.sitemaps(DOMAIN)
    console.query(DOMAIN, TOTALS)
    console.inspect(DOMAIN, "https://acme.com/")
    keys = {key for (key,) in guarded.store.execute("SELECT key FROM gsc_api_limits")}
    user = {key for key in keys if key.startswith("user ")}
    assert {key.split(" ", 2)[2] for key in user} == {"searchAnalytics 60", "other 1", "other 60"}
    assert keys - user == {f"site {DOMAIN} {Kind.SEARCH_ANALYTICS} 60", f"site {DOMAIN} urlInspection 60"}
