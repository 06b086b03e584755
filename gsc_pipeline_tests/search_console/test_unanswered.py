"""The attempts of a process without an answer: whatever fails, few are sent, and one answer frees all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.search_console.errors import (
    PropertyForbiddenError,
    ServiceUnavailableError,
    UnansweredError,
)
from gsc_pipeline.search_console.unanswered import CallId, Unanswered

NOON = datetime(2026, 11, 21, 20, tzinfo=UTC)
DAY = date(2026, 11, 20)


def probe(owner: str = "acme", search_type: str = "web") -> CallId:
    return CallId(owner, search_type)


def sent(unanswered: Unanswered, call: CallId, attempts: int = 5) -> int:
    """How many attempts of a call are sent while nothing is answered, before it is given up."""
    for n in range(attempts):
        try:
            with unanswered.attempt(call, is_retry=n > 0):
                raise ServiceUnavailableError("503")
        except UnansweredError:
            return n
        except ServiceUnavailableError:
            if not unanswered.may_retry():
                break
    unanswered.give_up(call)
    return n + 1


def test_the_first_call_is_retried_and_those_of_other_owners_are_sent_once() -> None:
    unanswered = Unanswered()
    assert [sent(unanswered, probe(f"property {n}")) for n in range(5)] == [5, 1, 1, 1, 1]


def test_an_owner_that_was_given_up_is_asked_for_two_days_and_one_other_search_type() -> None:
    unanswered = Unanswered()
    days = [CallId("acme", "queries", DAY - n * timedelta(days=1)) for n in range(4)]
    assert [sent(unanswered, day) for day in days] == [5, 1, 0, 0]
    assert sent(unanswered, CallId("acme", "pages", DAY)) == 0
    assert [sent(unanswered, probe(search_type=kind)) for kind in ("image", "video", "image")] == [1, 0, 0]


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 5), st.none() | st.integers(0, 9), st.integers(1, 9)),
        max_size=200,
    )
)
def test_an_outage_costs_five_attempts_and_one_for_each_call_that_counts(
    calls: Sequence[tuple[int, int, int | None, int]],
) -> None:
    unanswered, total, given_up = Unanswered(), 0, dict[str, set[CallId]]()
    for owner, request, day, attempts in calls:
        call = CallId(f"property {owner}", f"{request}", day and DAY - day * timedelta(days=1))
        if attempts := sent(unanswered, call, attempts):
            total += attempts
            given_up.setdefault(call.owner, set()).add(call)
        # What opens the circuit.
        if sum(min(2, len(one)) for one in given_up.values()) >= 5:
            break
    assert total <= 10


@pytest.mark.parametrize("refusal", [None, PropertyForbiddenError("403")])
def test_an_answer_frees_all(refusal: Exception | None) -> None:
    unanswered = Unanswered()
    sent(unanswered, probe())
    try:
        with unanswered.attempt(probe("globex"), is_retry=False):
            if refusal:
                raise refusal
    except PropertyForbiddenError:
        pass
    assert sent(unanswered, probe()) == 5


def test_an_answer_to_a_call_that_was_sent_before_the_failures_frees_nothing() -> None:
    unanswered = Unanswered()
    with ExitStack() as old:
        number = old.enter_context(unanswered.attempt(probe("globex"), is_retry=False))
        for n in range(4):
            with pytest.raises(ServiceUnavailableError), unanswered.attempt(probe(), is_retry=n > 0):
                raise ServiceUnavailableError("503")
        assert unanswered.failed_after(number)
    # The fifth, and no more.
    assert sent(unanswered, probe()) == 1
    assert sent(unanswered, probe("initech")) == 1


def test_a_call_that_was_not_sent_and_one_that_was_interrupted_count_as_nothing() -> None:
    unanswered = Unanswered()
    for error in (UnansweredError("not sent"), KeyboardInterrupt()) * 9:
        with pytest.raises(type(error)), unanswered.attempt(probe(), is_retry=False):
            raise error
    assert sent(unanswered, probe()) == 5


def test_an_owner_is_asked_again_after_the_wait() -> None:
    now = [NOON]
    unanswered = Unanswered(wait=timedelta(minutes=5), clock=lambda: now[0])
    assert [sent(unanswered, probe()) for _ in range(3)] == [5, 1, 0]
    with (
        pytest.raises(UnansweredError) as caught,
        unanswered.attempt(probe(), is_retry=False),
    ):
        pass
    assert caught.value.retry_at == NOON + timedelta(minutes=5)
    now[0] += timedelta(minutes=5)
    assert [sent(unanswered, probe()) for _ in range(2)] == [1, 0]
    # A clock that was set back.
    now[0] -= timedelta(days=9)
    assert sent(unanswered, probe()) == 1
