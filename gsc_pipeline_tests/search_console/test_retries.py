from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.search_console.errors import (
    ApiDisabledError,
    CredentialUnusableError,
    DailyQuotaError,
    IllegalRequestError,
    LoadQuotaError,
    PropertyForbiddenError,
    PropertyNotFoundError,
    QuotaError,
    ServiceUnavailableError,
    TransientError,
    WrongAnswerError,
)
from gsc_pipeline.search_console.retries import RetryPolicy


class Flaky:
    """A function that raises each of `errors` in turn, and then returns."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def waits_for(*errors: BaseException) -> list[float]:
    """The waits of the default policy between attempts that raise these errors."""
    waits: list[float] = []
    RetryPolicy(sleep=waits.append).retrying(lambda: None)(Flaky(*errors))
    return waits


def test_a_transient_failure_is_retried_until_it_passes() -> None:
    waits: list[float] = []
    retried: list[int] = []
    flaky = Flaky(ServiceUnavailableError("one"), QuotaError("two"))

    answer = RetryPolicy(attempts=3, sleep=waits.append).retrying(lambda: retried.append(len(waits)))(flaky)

    assert answer == "answer"
    assert flaky.calls == 3
    assert len(waits) == 2
    # Called once for each retry, before the wait.
    assert retried == [0, 1]


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_the_last_error_is_raised_after_all_attempts(attempts: int) -> None:
    waits: list[float] = []
    errors = [ServiceUnavailableError(f"failure {n}") for n in range(10)]
    flaky = Flaky(*errors)

    with pytest.raises(ServiceUnavailableError) as caught:
        RetryPolicy(attempts=attempts, sleep=waits.append).retrying(lambda: None)(flaky)

    assert caught.value is errors[attempts - 1]
    assert flaky.calls == attempts
    assert len(waits) == attempts - 1


@pytest.mark.parametrize(
    "error",
    [
        IllegalRequestError("x"),
        PropertyForbiddenError("x"),
        PropertyNotFoundError("x"),
        CredentialUnusableError("x"),
        ApiDisabledError("x"),
        ValueError("x"),
        KeyboardInterrupt(),
    ],
)
def test_permanent_and_deferred_errors_are_raised_at_once(error: BaseException) -> None:
    waits: list[float] = []
    flaky = Flaky(error)

    with pytest.raises(type(error)) as caught:
        RetryPolicy(sleep=waits.append).retrying(lambda: None)(flaky)

    assert caught.value is error
    assert (flaky.calls, waits) == (1, [])


def test_a_call_is_retried_once_after_a_wrong_answer() -> None:
    assert len(waits_for(WrongAnswerError("x"))) == 1
    assert len(waits_for(ServiceUnavailableError("x"), WrongAnswerError("x"), QuotaError("x"))) == 3

    policy = RetryPolicy(sleep=lambda seconds: None)
    for _ in range(2):
        flaky = Flaky(ServiceUnavailableError("x"), *[WrongAnswerError(f"answer {n}") for n in range(5)])
        with pytest.raises(WrongAnswerError, match="answer 1"):
            policy.retrying(lambda: None)(flaky)
        assert flaky.calls == 3


@given(st.floats(0, 100), st.floats(0, 1_000), st.integers(1, 12))
def test_a_wait_is_between_zero_and_a_bound_that_doubles_up_to_the_longest(
    backoff: float, longest: float, failures: int
) -> None:
    waits: list[float] = []
    policy = RetryPolicy(failures + 1, backoff, longest, sleep=waits.append)

    policy.retrying(lambda: None)(Flaky(*[TransientError("x") for _ in range(failures)]))

    assert len(waits) == failures
    for n, wait in enumerate(waits):
        assert 0 <= wait <= min(longest, backoff * 2**n)


def test_waits_are_spread_over_their_range() -> None:
    seconds = [waits_for(TransientError("x"), TransientError("x"))[1] for _ in range(300)]

    assert min(seconds) < 0.1
    assert max(seconds) > 0.9
    assert 0.4 < sum(seconds) / len(seconds) < 0.6


@given(st.floats(0, 60))
def test_a_wait_is_never_shorter_than_retry_after(asked: float) -> None:
    first, second = waits_for(QuotaError("x", asked), QuotaError("x", asked))

    assert asked <= first <= max(asked, 0.5)
    assert asked <= second <= max(asked, 1.0)


def test_a_retry_after_up_to_the_longest_wait_is_obeyed() -> None:
    assert waits_for(QuotaError("x", 60.0)) == [60.0]

    waits: list[float] = []
    flaky = Flaky(QuotaError("x", retry_after=60.1))
    with pytest.raises(QuotaError):
        RetryPolicy(sleep=waits.append).retrying(lambda: None)(flaky)
    assert (flaky.calls, waits) == (1, [])


@pytest.mark.parametrize("error", [LoadQuotaError("x", 900.0), DailyQuotaError("x", 43_200.0)])
def test_load_and_daily_quota_refusals_are_raised_at_once(error: QuotaError) -> None:
    waits: list[float] = []

    with pytest.raises(type(error)):
        RetryPolicy(sleep=waits.append).retrying(lambda: None)(Flaky(error))

    assert waits == []


def test_the_default_sleep_is_time_sleep() -> None:
    assert RetryPolicy().sleep is time.sleep
