"""A circuit breaker: leaves an address alone for a while when it fails, and tells who asks how it is.

Belongs here: when to open, whom to let through, when to close. Does not: which error means that the address
itself is down (`errors`), the shared row (`breaker_rows`), which addresses have one (the API has; token
endpoints have, by `token_breakers`).

Every attempt counts, not every call that is given up: a call is given up after all its attempts and waits,
which with an API that answers nothing take longer than a run may. Five failures in a row, over all
processes, open the breaker; any answer in between, a refusal included, starts the count anew, since whoever
refuses is there. With 15 % of attempts failing at random five in a row come about once in 15,000 attempts:
a pause of five minutes now and then while Google is that unwell, and none at all in usual weather (1 %: once
in 10,000,000,000).
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.search_console.breaker_rows import BreakerRow, Row
from gsc_pipeline.search_console.errors import (
    CircuitOpenError,
    SearchConsoleError,
    ServiceUnavailableError,
)
from gsc_pipeline.state.store import Store

log = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""How long a process goes by what it last read: so long may its calls go on after another opened it."""

LONGEST_CAUSE = 300


class Circuit(StrEnum):
    """CLOSED lets calls through, OPEN none, HALF_OPEN one probe: it is due or under way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerState:
    """How the breaker is now. Moments are aware, in UTC, and None while it is closed.

    `failures` are those in a row so far; `cause` is what the last of them said, empty when there is none.
    """

    state: Circuit = Circuit.CLOSED
    failures: int = 0
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    cause: str = ""


class Breaker(Protocol):
    """Stands before every call. Safe for many threads."""

    def check(self) -> None:
        """Raise CircuitOpenError where a call could not be sent now. Cheap, and claims nothing."""

    def guard(self) -> AbstractContextManager[None]:
        """Around one attempt, from sending to its decoded answer. Raises CircuitOpenError instead."""


class AlwaysClosed:
    """The breaker of a client that has none."""

    def check(self) -> None:
        """Nothing is ever wrong."""

    def guard(self) -> AbstractContextManager[None]:
        """Let it through."""
        return nullcontext()


class SharedBreaker:
    """The breaker that processes share through a store, for what `key` names: an address, in words.

    `failures` in a row open it for `seconds`; then one probe over all processes is let through. A prober
    that is not heard of for `probe_seconds` is taken for dead, so this must be longer than a call may take.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        *,
        failures: int = 5,
        seconds: float = 300.0,
        probe_seconds: float = 180.0,
        clock: Clock = utc_now,
    ) -> None:
        self._key = key.rstrip("/")
        self._row = BreakerRow(store, self._key)
        self._failures = failures
        self._seconds = seconds
        self._probe_seconds = probe_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._last_read: tuple[float, Row] | None = None

    def state(self) -> BreakerState:
        """How the breaker is, freshly read. Changes nothing. Raises StateError."""
        row, now = self._read(), self._now()
        if row.opened_at is None:
            return BreakerState(Circuit.CLOSED, row.failures, cause=row.cause)
        is_probed = row.probe_until is not None and row.probe_until > now
        return BreakerState(
            Circuit.HALF_OPEN if is_probed or self._is_due(row, now) else Circuit.OPEN,
            row.failures,
            opened_at=_moment(row.opened_at),
            retry_at=_moment(row.opened_at + self._seconds),
            cause=row.cause,
        )

    def check(self) -> None:
        """Raise CircuitOpenError where a call could not be sent now. Raises StateError."""
        row, now = self._recent(), self._now()
        if row.opened_at is not None and not self._is_due(row, now):
            raise self._open_error(row, now)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one attempt, from sending to its decoded answer. Raises CircuitOpenError, StateError."""
        probe = self._admit()
        try:
            yield
        except ServiceUnavailableError as error:
            self._failed(probe, error.cause[:LONGEST_CAUSE])
            raise
        except SearchConsoleError:
            self._answered(probe)
            raise
        except BaseException:
            # Interrupted, or a fault of ours: nothing was learnt of the API, so another may probe at once.
            if probe is not None:
                self._row.give_back(probe)
            raise
        self._answered(probe)

    def _admit(self) -> str | None:
        """Let an attempt through; answers the name of its claim when it is the probe."""
        row, now = self._recent(), self._now()
        if row.opened_at is None:
            return None
        if not self._is_due(row, now):
            raise self._open_error(row, now)
        probe = uuid.uuid4().hex
        claimed = self._row.claim(probe, row.opened_at, now + self._probe_seconds, now)
        if claimed:
            log.info("the circuit breaker lets one call through, to see whether %s is back", self._key)
            return probe
        row = self._read()
        if row.opened_at is None:
            return None
        raise self._open_error(row, now)

    def _failed(self, probe: str | None, cause: str) -> None:
        if probe is not None:
            self._row.fail_probe(probe, cause, self._now())
            self._read()
            return
        has_opened = self._row.fail(cause, self._now(), most=self._failures)
        row = self._read()
        if has_opened:
            log.warning("%s", self._open_error(row, self._now()))

    def _answered(self, probe: str | None) -> None:
        """Start the count anew; a probe's answer closes the breaker. Writes only where there is something to.

        The row is read anew: with many processes, one that goes by what it knew a moment ago would let
        others' failures add up that its own success lies between.
        """
        row = self._read()
        if probe is None and (row.failures == 0 or row.opened_at is not None):
            return
        self._row.close(probe)
        self._read()
        if probe:
            log.warning("%s answers again: the circuit breaker is closed", self._key)

    def _recent(self) -> Row:
        with self._lock:
            last = self._last_read
        now = self._now()
        # A clock that was set back is no reason to go by what is old.
        if last is not None and last[0] <= now < last[0] + FRESH_SECONDS:
            return last[1]
        return self._read()

    def _read(self) -> Row:
        row = self._row.read()
        with self._lock:
            self._last_read = (self._now(), row)
        return row

    def _is_due(self, row: Row, now: float) -> bool:
        """Whether the API may be tried. One opened in the future was opened by a clock that was wrong."""
        return row.opened_at is None or not row.opened_at <= now < row.opened_at + self._seconds

    def _open_error(self, row: Row, now: float) -> CircuitOpenError:
        opened_at = now if row.opened_at is None else row.opened_at
        retry_at = max(opened_at + self._seconds, row.probe_until or 0.0)
        return CircuitOpenError(
            f"not sent: {self._key} failed {row.failures} times in a row and is left alone since "
            f"{_moment(opened_at):%Y-%m-%d %H:%M:%S} UTC until {_moment(retry_at):%H:%M:%S} UTC "
            f"(the last failure: {row.cause})",
            max(0.0, retry_at - now),
        )

    def _now(self) -> float:
        return self._clock().timestamp()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
