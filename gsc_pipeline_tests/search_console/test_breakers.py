"""The circuit breaker: when it opens, which calls pass, and that all processes agree."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Barrier

import pytest

from gsc_pipeline.search_console.breakers import BreakerState, Circuit, SharedBreaker
from gsc_pipeline.search_console.errors import (
    DEFERRED,
    CircuitOpenError,
    IllegalRequestError,
    PropertyForbiddenError,
    QuotaError,
    SearchConsoleError,
    ServiceUnavailableError,
    UnansweredError,
)
from gsc_pipeline.search_console.unanswered import CallId
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline_tests.circuits import give_up
from gsc_pipeline_tests.soak import rest_in_soak

START = datetime(2026, 11, 21, 20, tzinfo=UTC)
API = "https://searchconsole.googleapis.com/"
FIVE_MINUTES = timedelta(minutes=5)
DOWN = ServiceUnavailableError("Search Console answered 503")
NUMBERS = count()
CALL = CallId("sc-domain:acme.com", "probe")


class Time:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        yield store


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(store: Store, time: Time) -> SharedBreaker:
    return SharedBreaker(store, API, clock=time)


def call(breaker: SharedBreaker, error: BaseException | None = None) -> None:
    """One attempt of a call, which raises `error` if given."""
    with breaker.guard(CALL):
        if error is not None:
            raise error


def fail(breaker: SharedBreaker, properties: int) -> None:
    """Give up a call for each of so many properties, which no other call was for."""
    for _ in range(properties):
        give_up(breaker, f"property {next(NUMBERS)}")


def passes(breaker: SharedBreaker) -> bool:
    try:
        with breaker.guard(CALL):
            return True
    except CircuitOpenError:
        return False


def test_a_new_breaker_is_closed(breaker: SharedBreaker) -> None:
    assert breaker.state() == BreakerState(Circuit.CLOSED, 0, None, None, "")
    breaker.check()
    call(breaker)


def test_five_calls_given_up_in_a_row_open_the_circuit_for_five_minutes(
    breaker: SharedBreaker, time: Time
) -> None:
    fail(breaker, 4)
    assert breaker.state() == BreakerState(Circuit.CLOSED, 4, cause="Search Console answered 503")
    fail(breaker, 1)
    assert breaker.state() == BreakerState(
        Circuit.OPEN, 5, START, START + FIVE_MINUTES, "Search Console answered 503"
    )
    time.now += FIVE_MINUTES - timedelta(seconds=1)
    for refused in (breaker.check, lambda: call(breaker)):
        with pytest.raises(CircuitOpenError):
            refused()


def test_the_error_names_when_the_circuit_opened_when_it_is_retried_and_why(
    breaker: SharedBreaker, time: Time
) -> None:
    fail(breaker, 5)
    time.now += timedelta(minutes=1)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.check()
    assert str(caught.value) == (
        "not sent: https://searchconsole.googleapis.com failed 5 calls in a row, circuit open since "
        "2026-11-21 20:00:00 UTC until 20:05:00 UTC (last failure: Search Console answered 503); "
        "a sync after that time retries; if it persists, check that address and the network"
    )
    assert caught.value.retry_after == 240.0
    assert isinstance(caught.value, DEFERRED)


def test_attempts_of_a_call_and_repeats_of_it_count_once(store: Store, time: Time) -> None:
    for _ in range(20):
        # Each time in a new process.
        breaker = SharedBreaker(store, API, clock=time)
        for _ in range(4):
            with pytest.raises(ServiceUnavailableError):
                call(breaker, DOWN)
        assert breaker.state().failures <= 1
        give_up(breaker, CALL.owner, CALL.request)
        assert breaker.state() == BreakerState(Circuit.CLOSED, 1, cause="Search Console answered 503")


def test_of_one_property_two_calls_count_so_that_it_never_opens_the_circuit(store: Store, time: Time) -> None:
    for n in range(50):
        # A new process for each, which asks for another day.
        breaker = SharedBreaker(store, API, clock=time)
        give_up(breaker, "acme", day=START.date() - n * timedelta(days=1))
        give_up(breaker, "globex", f"request {n}")
        assert breaker.state().failures == min(2 * n + 2, 4)
    assert breaker.state() == BreakerState(Circuit.CLOSED, 4, cause="Search Console answered 503")
    give_up(SharedBreaker(store, API, clock=time), "initech")
    assert breaker.state().state is Circuit.OPEN


@pytest.mark.parametrize(("most", "properties"), [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3)])
def test_one_property_opens_the_circuit_only_if_one_call_is_to(
    store: Store, time: Time, most: int, properties: int
) -> None:
    calls = [(owner, request) for owner in range(9) for request in range(2)]
    for owner, request in calls:
        breaker = SharedBreaker(store, API, failures=most, clock=time)
        give_up(breaker, f"property {owner}", f"request {request}")
        if breaker.state().state is Circuit.OPEN:
            break
    assert owner + 1 == properties


def test_calls_given_up_survive_restarts_until_the_next_answer(state_address: str, time: Time) -> None:
    for n in range(4):
        with closing(open_store(state_address)) as store:
            give_up(SharedBreaker(store, API, clock=time), f"property {n}")
    with closing(open_store(state_address)) as store:
        breaker = SharedBreaker(store, API, clock=time)
        assert breaker.state().failures == 4
        call(breaker)
        assert breaker.state() == BreakerState()
        assert store.execute("SELECT * FROM gsc_calls_given_up") == []
        give_up(SharedBreaker(store, API, clock=time), "property 0")
        assert breaker.state().failures == 1


def test_a_breaker_of_release_0_1_0_is_used_as_it_is(state_address: str, time: Time) -> None:
    with closing(open_store(state_address)) as store:
        store.execute("DROP TABLE gsc_calls_given_up")
        insert = (
            "INSERT INTO gsc_api_breakers (key, failures, opened_at, cause) VALUES (:key, :n, :at, '503')"
        )
        store.execute(insert, key="https://closed.example", n=4, at=None)
        store.execute(insert, key="https://open.example", n=5, at=START.timestamp())
    with closing(open_store(state_address)) as store:
        closed = SharedBreaker(store, "https://closed.example", clock=time)
        assert closed.state().failures == 4
        give_up(closed, "property 0")
        assert closed.state().failures == 1
        is_open = SharedBreaker(store, "https://open.example", clock=time)
        assert is_open.state().retry_at == START + FIVE_MINUTES
        time.now += FIVE_MINUTES
        assert passes(is_open)
        assert is_open.state() == BreakerState()


def test_a_persons_breaker_lets_its_first_call_pass_as_a_probe(
    store: Store, breaker: SharedBreaker, time: Time
) -> None:
    fail(breaker, 5)
    time.now += timedelta(minutes=1)
    person = SharedBreaker(store, API, at_once=True, clock=time)
    person.check()
    with pytest.raises(ServiceUnavailableError):
        call(person, DOWN)
    assert person.state().retry_at == time.now + FIVE_MINUTES
    assert not passes(person)
    with pytest.raises(CircuitOpenError) as caught:
        person.check()
    assert caught.value.retry_at == time.now + FIVE_MINUTES
    assert passes(SharedBreaker(store, API, at_once=True, clock=time))
    assert person.state() == BreakerState()


def test_a_person_who_met_a_closed_circuit_does_not_probe_one_that_opens_later(
    store: Store, breaker: SharedBreaker, time: Time
) -> None:
    person = SharedBreaker(store, API, at_once=True, clock=time)
    call(person)
    fail(breaker, 5)
    time.now += timedelta(seconds=1)
    assert not passes(person)


@pytest.mark.parametrize(
    "answer", [None, PropertyForbiddenError("403"), QuotaError("429"), IllegalRequestError("400")]
)
def test_any_answer_resets_the_count(answer: SearchConsoleError | None, breaker: SharedBreaker) -> None:
    for _ in range(3):
        fail(breaker, 4)
        if answer is None:
            call(breaker)
        else:
            with pytest.raises(type(answer)):
                call(breaker, answer)
    assert breaker.state() == BreakerState()


def test_refusals_never_open_the_circuit(breaker: SharedBreaker) -> None:
    for _ in range(20):
        with pytest.raises(PropertyForbiddenError):
            call(breaker, PropertyForbiddenError("403"))
    assert breaker.state() == BreakerState()


def test_an_answer_to_another_process_resets_the_count(store: Store, time: Time) -> None:
    breakers = [SharedBreaker(store, API, clock=time) for _ in range(6)]
    for breaker in breakers:
        call(breaker)
    for _ in range(5):
        for failing in breakers[:4]:
            fail(failing, 1)
        # Its cached row has no failures, so it must read the row again.
        call(breakers[5])
    assert breakers[0].state().state is Circuit.CLOSED


def test_failures_of_all_processes_count_together(store: Store, time: Time) -> None:
    breakers = [SharedBreaker(store, API, clock=time) for _ in range(5)]
    for breaker in breakers:
        fail(breaker, 1)
    assert breakers[0].state().state is Circuit.OPEN
    # The other processes notice within a second.
    time.now += timedelta(seconds=1)
    assert not any(passes(breaker) for breaker in breakers)


def test_the_state_survives_restarts(state_address: str, time: Time) -> None:
    with closing(open_store(state_address)) as store:
        fail(SharedBreaker(store, API, clock=time), 5)
    with closing(open_store(state_address)) as store:
        restarted = SharedBreaker(store, API, clock=time)
        assert restarted.state().opened_at == START
        assert not passes(restarted)


def test_a_trailing_slash_does_not_matter_and_another_url_has_its_own_breaker(
    store: Store, time: Time
) -> None:
    fail(SharedBreaker(store, API, clock=time), 5)
    assert not passes(SharedBreaker(store, API.rstrip("/"), clock=time))
    assert passes(SharedBreaker(store, "http://127.0.0.1:8088", clock=time))


def test_after_five_minutes_one_call_passes_and_its_success_closes_the_circuit(
    store: Store, breaker: SharedBreaker, time: Time
) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    other = SharedBreaker(store, API, clock=time)
    assert breaker.state().state is Circuit.HALF_OPEN
    with breaker.guard(CALL):
        assert breaker.state().state is Circuit.HALF_OPEN
        assert not passes(other)
    assert breaker.state() == BreakerState()
    time.now += timedelta(seconds=1)
    assert passes(other)


def test_a_failed_probe_opens_the_circuit_for_another_five_minutes(
    breaker: SharedBreaker, time: Time
) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    fail(breaker, 1)
    state = breaker.state()
    assert (state.state, state.failures) == (Circuit.OPEN, 6)
    assert (state.opened_at, state.retry_at) == (time.now, time.now + FIVE_MINUTES)
    assert not passes(breaker)
    time.now += FIVE_MINUTES
    assert passes(breaker)
    assert breaker.state() == BreakerState()


def test_a_refused_probe_closes_the_circuit(breaker: SharedBreaker, time: Time) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    with pytest.raises(PropertyForbiddenError):
        call(breaker, PropertyForbiddenError("403"))
    assert breaker.state() == BreakerState()


def test_a_probe_without_a_result_is_followed_by_another(
    store: Store, breaker: SharedBreaker, time: Time
) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    # Never exited, as in a process that was killed.
    dead = SharedBreaker(store, API, clock=time).guard(CALL)
    dead.__enter__()
    assert not passes(breaker)
    time.now += timedelta(seconds=179)
    assert not passes(breaker)
    time.now += timedelta(seconds=1)
    assert passes(breaker)


def test_a_late_failure_of_a_probe_does_not_undo_the_success_of_the_next(
    store: Store, breaker: SharedBreaker, time: Time
) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    late = SharedBreaker(store, API, clock=time).guard(CALL)
    late.__enter__()
    time.now += timedelta(seconds=181)
    assert passes(breaker)
    assert not late.__exit__(ServiceUnavailableError, DOWN, None)
    assert breaker.state().state is Circuit.CLOSED


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug of ours")])
def test_an_interrupted_probe_releases_its_claim(
    error: BaseException, breaker: SharedBreaker, time: Time
) -> None:
    call(breaker)
    with pytest.raises(type(error)):
        call(breaker, error)
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    with pytest.raises(type(error)):
        call(breaker, error)
    assert breaker.state().state is Circuit.HALF_OPEN
    assert passes(breaker)


def test_calls_in_progress_when_the_circuit_opens_change_nothing(
    store: Store, breaker: SharedBreaker, time: Time
) -> None:
    slow_failure, slow_success = (SharedBreaker(store, API, clock=time).guard(CALL) for _ in range(2))
    slow_failure.__enter__()
    slow_success.__enter__()
    fail(breaker, 5)
    time.now += timedelta(minutes=1)
    slow_success.__exit__(None, None, None)
    assert not slow_failure.__exit__(ServiceUnavailableError, DOWN, None)
    assert breaker.state().opened_at == START
    assert breaker.state().state is Circuit.OPEN


def test_a_circuit_that_a_wrong_clock_opened_in_the_future_lets_calls_pass(
    breaker: SharedBreaker, time: Time
) -> None:
    time.now += timedelta(days=3_650)
    fail(breaker, 5)
    time.now = START
    assert passes(breaker)
    assert breaker.state() == BreakerState()


def test_successful_calls_write_nothing(tmp_path: Path, time: Time) -> None:
    with (
        closing(open_store(str(tmp_path / "state.db"))) as store,
        closing(open_store(str(tmp_path / "state.db"))) as other,
    ):
        breaker = SharedBreaker(store, API, clock=time)
        call(breaker)
        before = other.execute("PRAGMA data_version")
        for _ in range(50):
            call(breaker)
        assert other.execute("PRAGMA data_version") == before
        fail(breaker, 1)
        assert other.execute("PRAGMA data_version") != before


def test_one_call_in_a_hundred_that_is_given_up_does_not_open_the_circuit(breaker: SharedBreaker) -> None:
    luck = random.Random(1)
    for _ in range(3_000):
        if luck.random() < 0.01:
            fail(breaker, 1)
        else:
            call(breaker)
    assert breaker.state().state is Circuit.CLOSED


def test_threads_of_one_process_send_one_probe(breaker: SharedBreaker, time: Time) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    assert at_once(8, lambda: passes_and_fails(breaker)) == 1


def passes_and_fails(breaker: SharedBreaker) -> bool:
    """A probe that fails, so that the circuit is open again for later calls."""
    try:
        call(breaker, DOWN)
    except (CircuitOpenError, UnansweredError):
        return False
    except ServiceUnavailableError:
        return True
    raise AssertionError("not reached")


def at_once(threads: int, what: Callable[[], int]) -> int:
    together = Barrier(threads)

    def run(_: int) -> int:
        together.wait()
        return what()

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(run, range(threads)))


def probe_from_a_process(address: str) -> int:
    """What each process does after the five minutes: sixteen calls from four threads."""
    with closing(open_store(address)) as store:
        breaker = SharedBreaker(store, API, clock=lambda: START + FIVE_MINUTES)
        return at_once(4, lambda: sum(passes_and_fails(breaker) for _ in range(4)))


@pytest.mark.parametrize("state_address", rest_in_soak(["sqlite", "postgresql"]), indirect=True)
def test_four_processes_send_one_probe(state_address: str, time: Time) -> None:
    with closing(open_store(state_address)) as store:
        fail(SharedBreaker(store, API, clock=time), 5)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(4, mp_context=spawn) as pool:
            done = [pool.submit(probe_from_a_process, state_address) for _ in range(4)]
            assert sum(each.result() for each in done) == 1
        assert SharedBreaker(store, API, clock=time).state().failures == 6
