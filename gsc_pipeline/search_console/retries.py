"""How often and how long a failed call is tried again: exponential back-off, full jitter, Retry-After."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import tenacity

from gsc_pipeline.search_console.errors import DEFERRED, TransientError, WrongAnswerError

WRONG_ANSWER_REPEATS = 1
"""A second wrong answer is the server's habit, and no accident on the way."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` in all; waits drawn from [0, backoff_seconds × 2ⁿ], never above `longest_wait_seconds`.

    A server that asks for a longer wait than that is not waited for, nor is what is DEFERRED: the error is
    raised at once, so that no process sleeps through its time limit, and the next sync goes on. A call is
    repeated once after a wrong answer.
    """

    attempts: int = 5
    backoff_seconds: float = 0.5
    longest_wait_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def retrying(self, on_retry: Callable[[], None]) -> tenacity.Retrying:
        """What repeats one call while it raises TransientError. `on_retry` is told each time."""
        wrong_answers = count(1)

        def is_worth_repeating(error: BaseException) -> bool:
            if isinstance(error, WrongAnswerError):
                return next(wrong_answers) <= WRONG_ANSWER_REPEATS
            return self._is_worth_waiting(error)

        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            retry=tenacity.retry_if_exception(is_worth_repeating),
            wait=self._wait,
            sleep=self.sleep,
            before_sleep=lambda _: on_retry(),
            reraise=True,
        )

    def _is_worth_waiting(self, error: BaseException) -> bool:
        if isinstance(error, DEFERRED) or not isinstance(error, TransientError):
            return False
        return (error.retry_after or 0.0) <= self.longest_wait_seconds

    def _wait(self, state: tenacity.RetryCallState) -> float:
        jitter = tenacity.wait_random_exponential(self.backoff_seconds, self.longest_wait_seconds)(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, TransientError) else None
        return jitter if asked is None else max(asked, jitter)
