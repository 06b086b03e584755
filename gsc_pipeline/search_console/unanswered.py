"""Counts a process's attempts without an answer, and decides whether another attempt may be sent.

While calls are answered, everything passes. From a failure until the next answer:

- A call is retried only while no call has been given up and fewer than RETRIED attempts are unanswered. Calls
  in progress share this number.
- After that, calls are sent one at a time, each once.
- After an owner (a property or a credential) had a call given up, it gets no further call for the same day,
  none for a third day, and no third request that reads no single day. Its other calls are sent only while the
  unanswered attempts are fewer than RETRIED plus the calls given up. Of these, COUNTED of each owner count.

So the unanswered attempts never exceed RETRIED and one for each call that counts: ten until five calls have
opened the circuit.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.search_console.errors import (
    NOT_SENT,
    WAS_NOT_SENT,
    SearchConsoleError,
    ServiceUnavailableError,
    UnansweredError,
)

RETRIED = 5
"""Unanswered attempts from which on no call is retried."""

COUNTED = 2
"""Calls of one owner that count: one property that fails is no evidence that the API is down."""


@dataclass(frozen=True, slots=True)
class CallId:
    """What makes two calls the same: whom they are for (a property or a credential), and what they ask.

    `day` is set if the call reads a single day.
    """

    owner: str
    request: str
    day: date | None = None

    @classmethod
    def of(cls, owner: str, request: str, day: date | None = None) -> CallId:
        """The id of a request of any length, of which it keeps a hash."""
        return cls(owner, hashlib.sha256(request.encode()).hexdigest()[:16], day)


class Unanswered:
    """The attempts since the last answer. Thread-safe.

    An owner that may not be asked again may be after `wait` without an attempt; by default it may not.
    """

    def __init__(self, *, wait: timedelta | None = None, clock: Clock = utc_now) -> None:
        self._wait = wait
        self._clock = clock
        self._changed = threading.Condition()
        self._last_sent = 0
        self._in_flight = 0
        # For each failed attempt, the number of the last that had been sent when it failed.
        self._failed: list[int] = []
        self._given_up: dict[str, set[CallId]] = {}
        self._sent_at: datetime | None = None
        self._cause = ""

    def may_retry(self) -> bool:
        """Whether a call that has just failed may be retried, as far as is known before its wait."""
        with self._changed:
            return not self._given_up and len(self._failed) < RETRIED

    @contextmanager
    def attempt(self, call: CallId, *, is_retry: bool) -> Iterator[int]:
        """Wrap one attempt, until its answer is decoded; gives its number. Waits for its turn.

        Raises UnansweredError.
        """
        number = self._admit(call, is_retry=is_retry)
        is_answered, cause = False, ""
        try:
            yield number
            is_answered = True
        except NOT_SENT:
            raise
        except ServiceUnavailableError as error:
            cause = error.cause
            raise
        except SearchConsoleError:
            is_answered = True
            raise
        finally:
            self._end(number, call, is_answered=is_answered, cause=cause)

    def give_up(self, call: CallId) -> bool:
        """Count a call that failed and is not retried. Returns False if something was answered since."""
        with self._changed:
            if self._failed:
                self._given_up.setdefault(call.owner, set()).add(call)
            return bool(self._failed)

    def failed_after(self, number: int) -> bool:
        """Whether an attempt has failed since this one was sent, so that its answer may be an old one."""
        with self._changed:
            return any(last_sent >= number for last_sent in self._failed)

    def _admit(self, call: CallId, *, is_retry: bool) -> int:
        with self._changed:
            while self._failed and self._in_flight and (self._given_up or self._sent >= RETRIED):
                self._changed.wait()
            if self._failed and not self._may_send(call, is_retry=is_retry):
                raise self._refusal()
            self._last_sent += 1
            self._in_flight += 1
            self._sent_at = self._clock()
            return self._last_sent

    def _may_send(self, call: CallId, *, is_retry: bool) -> bool:
        if is_retry:
            return not self._given_up and self._sent < RETRIED
        earlier = self._given_up.get(call.owner)
        if not earlier or self._is_over():
            return True
        # Days count apart: a property whose days fail may still answer a probe of another search type.
        days = {one.day for one in earlier if one.day}
        requests = {one.request for one in earlier if not one.day}
        if call.day in days or len(days if call.day else requests - {call.request}) >= COUNTED:
            return False
        counted = sum(min(COUNTED, len(calls)) for calls in self._given_up.values())
        return self._sent < RETRIED + counted

    def _end(self, number: int, call: CallId, *, is_answered: bool, cause: str) -> None:
        with self._changed:
            self._in_flight -= 1
            if cause:
                self._failed.append(self._last_sent)
                self._cause = cause
                if self._given_up or len(self._failed) >= RETRIED:
                    # At once, so that no other call of the same day is sent before the client gives up.
                    self._given_up.setdefault(call.owner, set()).add(call)
            if is_answered:
                # Only to a call sent after a failure, an answer shows that it is over.
                self._failed = [last_sent for last_sent in self._failed if last_sent >= number]
            if not self._failed:
                self._given_up.clear()
            self._changed.notify_all()

    @property
    def _sent(self) -> int:
        return len(self._failed) + self._in_flight

    def _is_over(self) -> bool:
        """Whether the wait is over. A time in the future was set by a wrong clock and counts as over."""
        if self._wait is None or self._sent_at is None:
            return False
        return not self._sent_at <= self._clock() < self._sent_at + self._wait

    def _refusal(self) -> UnansweredError:
        retry_at = self._sent_at + self._wait if self._wait and self._sent_at else None
        return UnansweredError(
            f"{WAS_NOT_SENT}earlier calls failed, and none was answered since (last failure: {self._cause})",
            retry_at=retry_at,
        )
