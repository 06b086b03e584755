"""The rate limiter keeps to Google's limits over all processes and slows down when Google refuses."""

from __future__ import annotations

import bisect
import itertools
import logging
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_pipeline.search_console.errors import (
    DailyQuotaError,
    LoadQuotaError,
    NoFreeSlotError,
    QuotaError,
)
from gsc_pipeline.search_console.limits import (
    LONGEST_PAUSE_SECONDS,
    PER_SITE,
    PER_USER,
    QuotaGroup,
    SharedLimiter,
)
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline_tests.soak import rest_in_soak

START = datetime(2026, 11, 21, 20, tzinfo=UTC).timestamp()
ANALYTICS = QuotaGroup.SEARCH_ANALYTICS
SITE = "sc-domain:acme.com"


class Hours:
    """A clock that advances when someone sleeps, or when it is set."""

    def __init__(self) -> None:
        self.now = START
        self.waits: list[float] = []

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        yield store


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def limiter(store: Store, hours: Hours) -> SharedLimiter:
    return SharedLimiter(store, clock=hours, sleep=hours.sleep)


def most_within(seconds: float, times: Sequence[float]) -> int:
    """The largest number of times within any `seconds`, both ends included."""
    times = sorted(times)
    # Waits are to the millisecond.
    return max(
        (bisect.bisect_right(times, one + seconds - 1e-3) - i for i, one in enumerate(times)), default=0
    )


def sent_in(
    seconds: float, limiter: SharedLimiter, hours: Hours, group: QuotaGroup = ANALYTICS
) -> list[float]:
    """The times at which one caller's calls are sent if each is made as soon as possible, for `seconds`."""
    times: list[float] = []
    end = hours.now + seconds
    while hours.now < end:
        limiter.wait(group, "user", SITE)
        times.append(hours.now)
    return times


def test_after_a_pause_a_burst_is_sent_at_once_and_the_rest_evenly(
    limiter: SharedLimiter, hours: Hours
) -> None:
    times = sent_in(60, limiter, hours)
    at_once = [one for one in times if one == START]
    gaps = [b - a for a, b in itertools.pairwise(times[len(at_once) :])]
    assert len(at_once) == 114
    assert gaps == pytest.approx([60 / (1_140 - 114)] * len(gaps), abs=2e-3)
    assert 1_100 < len(times) <= 1_200


@pytest.mark.parametrize("group", list(QuotaGroup))
def test_no_period_exceeds_googles_limit(group: QuotaGroup, store: Store, hours: Hours) -> None:
    times = sent_in(150, SharedLimiter(store, clock=hours, sleep=hours.sleep), hours, group)
    for limit in (*PER_USER[group], *PER_SITE[group]):
        assert most_within(limit.seconds, times) <= limit.calls
        assert most_within(limit.seconds, times) > limit.calls * 0.9 or limit.seconds == 1


# One call: its process, credential and site, and the seconds since the previous call.
ARRIVALS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from("ABC"), st.sampled_from("xyz"), st.floats(0, 8)),
    min_size=1,
    max_size=250,
)


@settings(max_examples=40, deadline=None)
@given(ARRIVALS, st.sampled_from([0.004, 0.01, 0.02]), st.booleans())
def test_the_limits_hold_for_every_user_and_site_over_many_processes(
    tmp_path_factory: pytest.TempPathFactory,
    arrivals: list[tuple[int, str, str, float]],
    factor: float,
    refusals: bool,
) -> None:
    """Low limits, so that a few hundred calls reach them. Reserved times are used out of order."""
    hours, slot = Hours(), [0.0]
    sent: dict[str, list[float]] = {}
    with closing(open_store(str(tmp_path_factory.mktemp("state") / "state.db"))) as store:
        limiters = [
            SharedLimiter(store, factor=factor, longest_wait_seconds=120, clock=hours, sleep=slot.append)
            for _ in range(6)
        ]
        for process, user, site, later in arrivals:
            hours.now += later
            slot.clear()
            slot.append(0.0)
            try:
                limiters[process].wait(ANALYTICS, user, site)
            except NoFreeSlotError:
                continue
            assert slot[-1] <= 120
            for owner in (user, site):
                sent.setdefault(owner, []).append(hours.now + slot[-1])
            if refusals and process == 0:
                limiters[process].refused(ANALYTICS, user, site, QuotaError("refused", later))
    for times in sent.values():
        assert most_within(60.0, times) <= 1_200 * factor


def test_calls_delayed_by_one_limit_do_not_exceed_another_later(store: Store, hours: Hours) -> None:
    """Many users, each with calls delayed by half a minute, whose next calls all go to one site."""
    slot: list[float] = []
    limiter = SharedLimiter(store, factor=0.1, longest_wait_seconds=120, clock=hours, sleep=slot.append)
    times: list[float] = []

    def call_to_the_site(user: str) -> None:
        slot[:] = [0.0]
        limiter.wait(ANALYTICS, user, SITE)
        times.append(hours.now + slot[-1])

    for user in range(20):
        for _ in range(60):
            limiter.wait(ANALYTICS, f"{user}", f"sc-domain:{user}.com")
    for user in range(20):
        for _ in range(4):
            call_to_the_site(f"{user}")
    hours.now += 40
    for user in range(100):
        call_to_the_site(f"fresh {user}")
    assert most_within(60.0, times) <= 120


def test_a_users_calls_to_all_sites_and_all_users_calls_to_a_site_count_together(
    limiter: SharedLimiter, hours: Hours
) -> None:
    for n in range(114):
        limiter.wait(ANALYTICS, "A", f"sc-domain:{n}.com")
    assert hours.waits == []
    limiter.wait(ANALYTICS, "A", "sc-domain:more.com")
    assert len(hours.waits) == 1
    for n in range(114):
        limiter.wait(ANALYTICS, f"user {n}", SITE)
    assert len(hours.waits) == 1
    limiter.wait(ANALYTICS, "another", SITE)
    assert len(hours.waits) == 2
    limiter.wait(ANALYTICS, "another", "sc-domain:elsewhere.com")
    limiter.wait(QuotaGroup.OTHER, "A", None)
    limiter.wait(QuotaGroup.URL_INSPECTION, "A", SITE)
    assert len(hours.waits) == 2


def test_a_wait_beyond_the_longest_is_an_error_and_reserves_nothing(store: Store, hours: Hours) -> None:
    limiter = SharedLimiter(
        store, factor=0.01, longest_wait_seconds=10, clock=hours, sleep=lambda seconds: None
    )
    # A burst of 1.14 calls, then one every 5.85 seconds.
    limiter.wait(ANALYTICS, "user", SITE)
    limiter.wait(ANALYTICS, "user", SITE)
    with pytest.raises(NoFreeSlotError, match=r"searchAnalytics call in 11 seconds") as caught:
        limiter.wait(ANALYTICS, "user", SITE)
    with pytest.raises(NoFreeSlotError) as again:
        limiter.wait(ANALYTICS, "user", SITE)
    assert again.value.retry_after == caught.value.retry_after
    assert again.value.retry_at is not None
    assert again.value.retry_at.timestamp() == pytest.approx(hours.now + (again.value.retry_after or 0.0))
    assert isinstance(caught.value, QuotaError)
    assert "the next sync continues" in str(caught.value)


def rate(limiter: SharedLimiter, hours: Hours) -> float:
    """Calls per minute after the burst."""
    times = sent_in(40, limiter, hours)
    return 60 / (times[-1] - times[-2])


def test_refusals_close_together_halve_the_rate_once(
    limiter: SharedLimiter, hours: Hours, caplog: pytest.LogCaptureFixture
) -> None:
    full = rate(limiter, hours)
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            limiter.refused(ANALYTICS, "user", SITE, QuotaError("quotaExceeded"))
            hours.now += 0.1
    assert rate(limiter, hours) == pytest.approx(full / 2, rel=0.02)
    assert len(caplog.messages) == 2
    assert "user user searchAnalytics 60 slows down to 600 calls in 60 seconds" in caplog.text


def test_repeated_refusals_reduce_the_rate_to_the_real_limit_but_not_below_a_hundredth(
    limiter: SharedLimiter, hours: Hours
) -> None:
    # A project whose real limit is 60 a minute, called as often as the limiter allows.
    sent: list[float] = []
    refused: list[float] = []
    while hours.now < START + 3_600:
        limiter.wait(ANALYTICS, "user", SITE)
        if len(sent) >= 60 and sent[-60] > hours.now - 60:
            refused.append(hours.now)
            limiter.refused(ANALYTICS, "user", SITE, QuotaError("rateLimitExceeded"))
        else:
            sent.append(hours.now)
    late = [one for one in refused if one > START + 600]
    assert len(late) < 10
    assert len([one for one in sent if one > START + 600]) > 50 * 20
    for _ in range(50):
        hours.now += 6
        limiter.refused(ANALYTICS, "user", SITE, QuotaError("rateLimitExceeded"))
    assert rate(limiter, hours) == pytest.approx(60 / 5.85, rel=0.2)


def test_a_reduced_rate_survives_a_restart_and_recovers_slowly(
    store: Store, limiter: SharedLimiter, hours: Hours
) -> None:
    full = rate(limiter, hours)
    for _ in range(3):
        limiter.refused(ANALYTICS, "user", SITE, QuotaError("x"))
        hours.now += 16
    restarted = SharedLimiter(store, clock=hours, sleep=hours.sleep)
    assert rate(restarted, hours) == pytest.approx(full / 8, rel=0.05)
    hours.now += 3_600
    assert rate(restarted, hours) == pytest.approx(full / 4, rel=0.05)
    hours.now += 24 * 3_600
    assert rate(restarted, hours) == pytest.approx(full, rel=0.01)


def test_a_refusal_ends_the_burst_for_all_clients(limiter: SharedLimiter, hours: Hours) -> None:
    limiter.refused(ANALYTICS, "user", SITE, QuotaError("x"))
    for _ in range(3):
        limiter.wait(ANALYTICS, "user", SITE)
    assert hours.waits == pytest.approx([2 * 60 / 1_026] * 2, abs=1e-3)


def test_retry_after_delays_all_calls_of_the_limit(
    store: Store, limiter: SharedLimiter, hours: Hours
) -> None:
    limiter.refused(ANALYTICS, "user", SITE, QuotaError("x", retry_after=30.0))
    SharedLimiter(store, clock=hours, sleep=hours.sleep).wait(ANALYTICS, "user", "sc-domain:other.com")
    assert hours.waits == [30.0]


def test_a_long_retry_after_is_limited(limiter: SharedLimiter, hours: Hours) -> None:
    limiter.refused(ANALYTICS, "user", SITE, QuotaError("x", retry_after=86_400.0))
    with pytest.raises(NoFreeSlotError):
        limiter.wait(ANALYTICS, "user", SITE)
    hours.now += LONGEST_PAUSE_SECONDS
    limiter.wait(ANALYTICS, "user", SITE)
    assert hours.waits == []


@pytest.mark.parametrize(
    ("cause", "user_is_slow", "site_is_slow"),
    [
        ("403 (quotaExceeded): Quota exceeded for 'Queries per minute per site'", False, True),
        ("403 (userRateLimitExceeded): User Rate Limit Exceeded", True, False),
        ("429: limit 'Queries per minute per user'", True, False),
        ("429 (rateLimitExceeded): Quota exceeded", True, True),
    ],
)
def test_a_refusal_slows_down_only_the_limit_that_it_names(
    cause: str, user_is_slow: bool, site_is_slow: bool, limiter: SharedLimiter, hours: Hours
) -> None:
    limiter.refused(ANALYTICS, "user", SITE, QuotaError(cause))
    limiter.wait(ANALYTICS, "user", "sc-domain:other.com")
    limiter.wait(ANALYTICS, "user", "sc-domain:other.com")
    assert bool(hours.waits) is user_is_slow
    hours.waits.clear()
    for _ in range(4):
        limiter.wait(ANALYTICS, "somebody", SITE)
    assert bool(hours.waits) is site_is_slow


@pytest.mark.parametrize("error", [LoadQuotaError("x", 900.0), DailyQuotaError("x", 9_000.0)])
def test_load_and_daily_quota_refusals_do_not_reduce_the_rate(
    error: QuotaError, limiter: SharedLimiter, hours: Hours
) -> None:
    limiter.refused(ANALYTICS, "user", SITE, error)
    for _ in range(100):
        limiter.wait(ANALYTICS, "user", SITE)
    assert hours.waits == []


def test_times_that_a_wrong_clock_wrote_in_the_future_are_discarded(
    limiter: SharedLimiter, hours: Hours
) -> None:
    hours.now += 10 * 365 * 86_400
    limiter.refused(ANALYTICS, "user", SITE, QuotaError("x", 600.0))
    hours.now = START
    sent_in(1, limiter, hours)
    assert max(hours.waits) < 1


@pytest.mark.parametrize("change", [lambda f: f / 100, lambda f: f * 2])
def test_a_factor_scales_the_limits(change: Callable[[float], float], store: Store, hours: Hours) -> None:
    factor = change(1.0)
    limiter = SharedLimiter(store, factor=factor, clock=hours, sleep=hours.sleep)
    times = sent_in(150, limiter, hours)
    assert 1_200 * factor * 0.8 <= most_within(60, times) <= 1_200 * factor


def call_until(address: str, calls: int, seed: int) -> list[float]:
    """What each process does: call as fast as allowed. Returns its start and the times of its calls."""
    times: list[float] = [time.time()]
    rest = random.Random(seed)
    with closing(open_store(address)) as store:
        limiter = SharedLimiter(store, factor=1 / 2)
        for _ in range(calls):
            limiter.wait(QuotaGroup.OTHER, "shared", None)
            times.append(time.time())
            time.sleep(rest.random() / 100)
    return times


@pytest.mark.parametrize("state_address", rest_in_soak(["sqlite", "postgresql"]), indirect=True)
def test_processes_keep_to_one_limit_in_real_time(state_address: str) -> None:
    """At half the limits: ten a second, one of them at once."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=spawn) as pool:
        done = [pool.submit(call_until, state_address, 3, seed) for seed in range(3)]
        started, *sent = zip(*(each.result() for each in done), strict=True)
    times = sorted(itertools.chain(*sent))
    assert len(times) == 9
    # No call is sent before its reserved time, which is not before the first process starts.
    assert times[-1] - min(started) > 8 / 8.55 - 0.01
    assert most_within(1.0, times) <= 10
