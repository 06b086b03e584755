"""How often and after which waits a failed call is retried: exponential back-off with full jitter."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import tenacity

from gsc_pipeline.search_console.errors import DEFERRED, NOT_SENT, TransientError, WrongAnswerError

WRONG_ANSWER_RETRIES = 1
"""A second wrong answer is not an accident of transport."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` attempts, with random waits from [0, backoff_seconds × 2ⁿ] between them.

    A Retry-After is obeyed. If it is longer than `longest_wait_seconds`, or the error is one of DEFERRED or
    NOT_SENT, the error is raised at once and the next sync retries. A wrong answer is retried once.
    """

    attempts: int = 5
    backoff_seconds: float = 0.5
    longest_wait_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def retrying(
        self, on_retry: Callable[[], None], may_retry: Callable[[], bool] = lambda: True
    ) -> tenacity.Retrying:
        """A retrier for one call. Calls `on_retry` before each retry, and retries only if `may_retry()`."""
        wrong_answers = count(1)

        def is_worth_retrying(error: BaseException) -> bool:
            if isinstance(error, WrongAnswerError):
                return next(wrong_answers) <= WRONG_ANSWER_RETRIES
            return self._is_worth_waiting(error) and may_retry()

        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            retry=tenacity.retry_if_exception(is_worth_retrying),
            wait=self._wait,
            sleep=self.sleep,
            before_sleep=lambda _: on_retry(),
            reraise=True,
        )

    def _is_worth_waiting(self, error: BaseException) -> bool:
        if isinstance(error, DEFERRED + NOT_SENT) or not isinstance(error, TransientError):
            return False
        return (error.retry_after or 0.0) <= self.longest_wait_seconds

    def _wait(self, state: tenacity.RetryCallState) -> float:
        jitter = tenacity.wait_random_exponential(self.backoff_seconds, self.longest_wait_seconds)(state)
        error = state.outcome.exception() if state.outcome else None
        retry_after = error.retry_after if isinstance(error, TransientError) else None
        return jitter if retry_after is None else max(retry_after, jitter)
