"""The circuit breaker: when it opens, whom it lets through, and that all processes agree."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from gsc_pipeline.search_console.breaker import BreakerState, Circuit, SharedBreaker
from gsc_pipeline.search_console.errors import (
    DEFERRED,
    CircuitOpenError,
    IllegalRequestError,
    PropertyForbiddenError,
    QuotaError,
    SearchConsoleError,
    ServiceUnavailableError,
)
from gsc_pipeline.state.store import Store, open_store

START = datetime(2026, 11, 21, 20, tzinfo=UTC)
API = "https://searchconsole.googleapis.com/"
FIVE_MINUTES = timedelta(minutes=5)
DOWN = ServiceUnavailableError("Search Console answered 503")


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
    """One attempt that ends so."""
    with breaker.guard():
        if error is not None:
            raise error


def fail(breaker: SharedBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ServiceUnavailableError):
            call(breaker, DOWN)


def is_let_through(breaker: SharedBreaker) -> bool:
    try:
        with breaker.guard():
            return True
    except CircuitOpenError:
        return False


def test_an_api_that_was_never_asked_is_taken_to_be_up(breaker: SharedBreaker) -> None:
    assert breaker.state() == BreakerState(Circuit.CLOSED, 0, None, None, "")
    breaker.check()
    call(breaker)


def test_five_failures_in_a_row_open_it_for_five_minutes(breaker: SharedBreaker, time: Time) -> None:
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


def test_the_error_says_since_when_until_when_and_why(breaker: SharedBreaker, time: Time) -> None:
    fail(breaker, 5)
    time.now += timedelta(minutes=1)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.check()
    assert str(caught.value) == (
        "not sent: https://searchconsole.googleapis.com failed 5 times in a row and is left alone since "
        "2026-11-21 20:00:00 UTC until 20:05:00 UTC (the last failure: Search Console answered 503); "
        "the next sync after that tries again; check that address and the network if it lasts"
    )
    assert caught.value.retry_after == 240.0
    assert isinstance(caught.value, DEFERRED)


@pytest.mark.parametrize(
    "answer", [None, PropertyForbiddenError("403"), QuotaError("429"), IllegalRequestError("400")]
)
def test_any_answer_in_between_starts_the_count_anew(
    answer: SearchConsoleError | None, breaker: SharedBreaker
) -> None:
    for _ in range(3):
        fail(breaker, 4)
        if answer is None:
            call(breaker)
        else:
            with pytest.raises(type(answer)):
                call(breaker, answer)
    assert breaker.state() == BreakerState()


def test_refusals_never_open_it(breaker: SharedBreaker) -> None:
    for _ in range(20):
        with pytest.raises(PropertyForbiddenError):
            call(breaker, PropertyForbiddenError("403"))
    assert breaker.state() == BreakerState()


def test_an_answer_that_another_process_got_lies_between_as_well(store: Store, time: Time) -> None:
    breakers = [SharedBreaker(store, API, clock=time) for _ in range(6)]
    for breaker in breakers:
        call(breaker)
    for _ in range(5):
        for failing in breakers[:4]:
            fail(failing, 1)
        # It has not heard of a failure, and reads before it believes so.
        call(breakers[5])
    assert breakers[0].state().state is Circuit.CLOSED


def test_failures_of_all_processes_count_together(store: Store, time: Time) -> None:
    breakers = [SharedBreaker(store, API, clock=time) for _ in range(5)]
    for breaker in breakers:
        fail(breaker, 1)
    assert breakers[0].state().state is Circuit.OPEN
    # The others notice within a second.
    time.now += timedelta(seconds=1)
    assert not any(is_let_through(breaker) for breaker in breakers)


def test_it_survives_restarts(state_address: str, time: Time) -> None:
    with closing(open_store(state_address)) as store:
        fail(SharedBreaker(store, API, clock=time), 5)
    with closing(open_store(state_address)) as store:
        restarted = SharedBreaker(store, API, clock=time)
        assert restarted.state().opened_at == START
        assert not is_let_through(restarted)


def test_a_slash_at_the_end_makes_no_other_api_and_another_address_does(store: Store, time: Time) -> None:
    fail(SharedBreaker(store, API, clock=time), 5)
    assert not is_let_through(SharedBreaker(store, API.rstrip("/"), clock=time))
    assert is_let_through(SharedBreaker(store, "http://127.0.0.1:8088", clock=time))


def test_after_five_minutes_one_call_is_let_through_and_its_success_closes(
    store: Store, breaker: SharedBreaker, time: Time
) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    other = SharedBreaker(store, API, clock=time)
    assert breaker.state().state is Circuit.HALF_OPEN
    with breaker.guard():
        assert breaker.state().state is Circuit.HALF_OPEN
        assert not is_let_through(other)
        assert not is_let_through(breaker)
    assert breaker.state() == BreakerState()
    time.now += timedelta(seconds=1)
    assert is_let_through(other)


def test_a_probe_that_fails_opens_it_for_another_five_minutes(breaker: SharedBreaker, time: Time) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    fail(breaker, 1)
    state = breaker.state()
    assert (state.state, state.failures) == (Circuit.OPEN, 6)
    assert (state.opened_at, state.retry_at) == (time.now, time.now + FIVE_MINUTES)
    assert not is_let_through(breaker)
    time.now += FIVE_MINUTES
    assert is_let_through(breaker)
    assert breaker.state() == BreakerState()


def test_a_refused_probe_closes_it_for_whoever_refuses_is_there(breaker: SharedBreaker, time: Time) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    with pytest.raises(PropertyForbiddenError):
        call(breaker, PropertyForbiddenError("403"))
    assert breaker.state() == BreakerState()


def test_a_prober_that_dies_is_followed_by_another(store: Store, breaker: SharedBreaker, time: Time) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    # Entered and never left, as by a process that was killed.
    dead = SharedBreaker(store, API, clock=time).guard()
    dead.__enter__()
    assert not is_let_through(breaker)
    time.now += timedelta(seconds=179)
    assert not is_let_through(breaker)
    time.now += timedelta(seconds=1)
    assert is_let_through(breaker)


def test_a_prober_that_comes_back_late_does_not_undo_what_the_next_found(
    store: Store, breaker: SharedBreaker, time: Time
) -> None:
    fail(breaker, 5)
    time.now += FIVE_MINUTES
    late = SharedBreaker(store, API, clock=time).guard()
    late.__enter__()
    time.now += timedelta(seconds=181)
    assert is_let_through(breaker)
    assert not late.__exit__(ServiceUnavailableError, DOWN, None)
    assert breaker.state().state is Circuit.CLOSED


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a fault of ours")])
def test_a_probe_that_learnt_nothing_gives_its_turn_back(
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
    assert is_let_through(breaker)


def test_calls_under_way_when_it_opened_change_nothing(
    store: Store, breaker: SharedBreaker, time: Time
) -> None:
    slow_failure, slow_success = breaker.guard(), breaker.guard()
    slow_failure.__enter__()
    slow_success.__enter__()
    fail(breaker, 5)
    time.now += timedelta(minutes=1)
    slow_success.__exit__(None, None, None)
    assert not slow_failure.__exit__(ServiceUnavailableError, DOWN, None)
    assert breaker.state().opened_at == START
    assert breaker.state().state is Circuit.OPEN


def test_a_clock_that_was_years_ahead_once_keeps_nobody_out(breaker: SharedBreaker, time: Time) -> None:
    time.now += timedelta(days=3_650)
    fail(breaker, 5)
    time.now = START
    assert is_let_through(breaker)
    assert breaker.state() == BreakerState()


def test_while_all_is_well_nothing_is_written(tmp_path: Path, time: Time) -> None:
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


def test_one_attempt_in_a_hundred_failing_at_random_does_not_open_it(breaker: SharedBreaker) -> None:
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
    assert at_once(8, lambda: is_let_through_and_fails(breaker)) == 1


def is_let_through_and_fails(breaker: SharedBreaker) -> bool:
    """A probe that fails, so that whoever comes after it finds the breaker open again."""
    try:
        call(breaker, DOWN)
    except ServiceUnavailableError:
        return True
    except CircuitOpenError:
        return False
    raise AssertionError("not reached")


def at_once(threads: int, what: Callable[[], int]) -> int:
    together = Barrier(threads)

    def run(_: int) -> int:
        together.wait()
        return what()

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(run, range(threads)))


def probe_from_a_process(address: str) -> int:
    """What each of several processes does when the five minutes are over: sixteen calls from four threads."""
    with closing(open_store(address)) as store:
        breaker = SharedBreaker(store, API, clock=lambda: START + FIVE_MINUTES)
        return at_once(4, lambda: sum(is_let_through_and_fails(breaker) for _ in range(4)))


def test_over_four_processes_exactly_one_probe_is_sent(state_address: str, time: Time) -> None:
    with closing(open_store(state_address)) as store:
        fail(SharedBreaker(store, API, clock=time), 5)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(4, mp_context=spawn) as pool:
            done = [pool.submit(probe_from_a_process, state_address) for _ in range(4)]
            assert sum(each.result() for each in done) == 1
        assert SharedBreaker(store, API, clock=time).state().failures == 6
