"""Circuit breakers, shared by all processes, for the API and for token endpoints.

A breaker counts calls that were given up after their retries, without an answer in between: five distinct
ones, over all processes, open the circuit. A call that is given up again counts once, and of one property or
credential at most two calls count, so that no property opens the circuit by itself. Any answer resets the
count, refusals included. How many attempts each process may send meanwhile: `unanswered`.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.search_console.errors import (
    WAS_NOT_SENT,
    CircuitOpenError,
    SearchConsoleError,
    ServiceUnavailableError,
)
from gsc_pipeline.search_console.unanswered import COUNTED, CallId, Unanswered
from gsc_pipeline.state.store import Execute, Store

log = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""How long a process uses the state it last read, and so how late it notices that the circuit opened."""

LONGEST_CAUSE = 300
"""Characters of a failure's cause that are stored."""


class Circuit(StrEnum):
    """CLOSED: calls pass. OPEN: calls fail at once. HALF_OPEN: one call passes as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerState:
    """The state of a breaker. Times are in UTC, None while the circuit is closed.

    `failures` counts the calls given up in a row, and later probes. `cause` is the text of the last failure,
    or empty.
    """

    state: Circuit = Circuit.CLOSED
    failures: int = 0
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class _StoredBreaker:
    """A breaker's row in `gsc_api_breakers`, or the defaults. Times are seconds since the epoch."""

    failures: int = 0
    opened_at: float | None = None
    cause: str = ""
    probe_until: float | None = None


class _BreakerRow:
    """The statements on one breaker's row. Every method raises StateError."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key

    def read(self) -> _StoredBreaker:
        """Read the row."""
        rows = self._store.execute(
            "SELECT failures, opened_at, cause, probe_until FROM gsc_api_breakers WHERE key = :key",
            key=self._key,
        )
        return _StoredBreaker(*rows[0]) if rows else _StoredBreaker()

    def claim(self, probe: str, opened_at: float, until: float, now: float) -> bool:
        """Claim the probe until `until`. Returns False if another call has it or the circuit has changed."""
        return bool(
            self._store.execute(
                # `probe = :probe`: the statement is retried if the connection broke before its answer came.
                "UPDATE gsc_api_breakers SET probe = :probe, probe_until = :until WHERE key = :key "
                "AND opened_at = :opened_at AND (probe IS NULL OR probe_until <= :now OR probe = :probe) "
                "RETURNING key",
                probe=probe,
                until=until,
                key=self._key,
                opened_at=opened_at,
                now=now,
            )
        )

    def give_back(self, probe: str) -> None:
        """Release the claim, so that another call can probe at once."""
        self._store.execute(
            "UPDATE gsc_api_breakers SET probe = NULL, probe_until = NULL "
            "WHERE key = :key AND probe = :probe",
            key=self._key,
            probe=probe,
        )

    def give_up(self, call: CallId, cause: str, now: float, *, most: int) -> bool:
        """Count a call given up, and open the circuit at `most`. Returns whether this one opened it."""

        def insert(execute: Execute) -> bool:
            # Locks the row, so that two processes do not both miss the other's call.
            ((opened_at,),) = execute(
                "INSERT INTO gsc_api_breakers (key, cause) VALUES (:key, :cause) "
                "ON CONFLICT (key) DO UPDATE SET cause = excluded.cause RETURNING opened_at",
                key=self._key,
                cause=cause,
            )
            if opened_at is not None:
                return False
            execute(
                "INSERT INTO gsc_calls_given_up (key, owner, call) VALUES (:key, :owner, :call) "
                "ON CONFLICT (key, owner, call) DO NOTHING",
                key=self._key,
                owner=call.owner,
                call=f"{call.day or ''} {call.request}",
            )
            calls = execute(
                "SELECT COUNT(*) FROM gsc_calls_given_up WHERE key = :key GROUP BY owner", key=self._key
            )
            # One owner never opens the circuit by itself, unless one call is to open it.
            failures: int = sum(min(COUNTED, max(1, most - 1), count) for (count,) in calls)
            execute(
                "UPDATE gsc_api_breakers SET failures = :failures, opened_at = :opened_at WHERE key = :key",
                failures=failures,
                opened_at=now if failures >= most else None,
                key=self._key,
            )
            return failures >= most

        return self._store.run(insert)

    def fail_probe(self, probe: str, cause: str, now: float) -> None:
        """Open the circuit again after a failed probe, unless another call has probed since."""
        self._store.execute(
            "UPDATE gsc_api_breakers SET failures = failures + 1, opened_at = :now, cause = :cause, "
            "probe = NULL, probe_until = NULL WHERE key = :key AND probe = :probe",
            now=now,
            cause=cause,
            key=self._key,
            probe=probe,
        )

    def close(self, probe: str | None) -> None:
        """Reset the count. Without `probe`, only while closed; with it, close the circuit that it probed."""

        def reset(execute: Execute) -> None:
            if execute(
                "UPDATE gsc_api_breakers SET failures = 0, opened_at = NULL, cause = '', probe = NULL, "
                "probe_until = NULL WHERE key = :key AND "
                + ("opened_at IS NULL" if probe is None else "probe = :probe")
                + " RETURNING key",
                key=self._key,
                **({} if probe is None else {"probe": probe}),
            ):
                execute("DELETE FROM gsc_calls_given_up WHERE key = :key", key=self._key)

        self._store.run(reset)


class SharedBreaker:
    """A thread-safe breaker that processes share through a store. `key` names it in the store and in errors.

    `failures` calls given up in a row open the circuit for `seconds`. Then one call of all processes passes
    as a probe. A probe without a result after `probe_seconds` is given up, so this must be longer than a call
    can take. `at_once`: the first call of this object passes as a probe even before that.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        *,
        failures: int = 5,
        seconds: float = 300.0,
        probe_seconds: float = 180.0,
        at_once: bool = False,
        clock: Clock = utc_now,
    ) -> None:
        self._key = key.rstrip("/")
        self._row = _BreakerRow(store, self._key)
        self._failures = failures
        self._seconds = seconds
        self._probe_seconds = probe_seconds
        self._at_once = at_once
        self._clock = clock
        self._unanswered = Unanswered(wait=timedelta(seconds=seconds), clock=clock)
        self._lock = threading.Lock()
        self._last_read: tuple[float, _StoredBreaker] | None = None

    def state(self) -> BreakerState:
        """Read the current state. Changes nothing. Raises StateError."""
        row, now = self._read(), self._now()
        if row.opened_at is None:
            return BreakerState(Circuit.CLOSED, row.failures, cause=row.cause)
        is_probed = row.probe_until is not None and row.probe_until > now
        return BreakerState(
            Circuit.HALF_OPEN if is_probed or self._is_due(row, now) else Circuit.OPEN,
            row.failures,
            opened_at=_utc(row.opened_at),
            retry_at=_utc(row.opened_at + self._seconds),
            cause=row.cause,
        )

    def check(self) -> None:
        """Raise CircuitOpenError if a call would not pass now. Raises StateError."""
        row, now = self._recent(), self._now()
        if row.opened_at is not None and not self._at_once and not self._is_due(row, now):
            raise self._open_error(row, now)

    def may_retry(self) -> bool:
        """Whether a call that has just failed may be retried."""
        return self._unanswered.may_retry()

    @contextmanager
    def guard(self, call: CallId, *, is_retry: bool = False) -> Iterator[None]:
        """Wrap one attempt of a call, until its answer is decoded.

        Sets `on_give_up` of a ServiceUnavailableError. Raises CircuitOpenError, UnansweredError, StateError.
        """
        with (
            self._unanswered.attempt(call, is_retry=is_retry) as number,
            self._circuit(call, number),
        ):
            yield

    @contextmanager
    def _circuit(self, call: CallId, number: int) -> Iterator[None]:
        probe = self._admit()
        try:
            yield
        except ServiceUnavailableError as error:
            cause = error.cause[:LONGEST_CAUSE]
            if probe is None:
                error.on_give_up = partial(self._give_up, call, cause)
            else:
                self._row.fail_probe(probe, cause, self._now())
                self._read()
            raise
        except SearchConsoleError:
            self._answered(probe, number)
            raise
        except BaseException:
            # Interrupted, or a bug of ours: this says nothing about the API. Another call may probe at once.
            if probe is not None:
                self._row.give_back(probe)
            raise
        self._answered(probe, number)

    def _admit(self) -> str | None:
        """Let an attempt pass, or raise CircuitOpenError. Returns the claim if the attempt is the probe."""
        row, now = self._recent(), self._now()
        at_once, self._at_once = self._at_once, False
        if row.opened_at is None:
            return None
        if not at_once and not self._is_due(row, now):
            raise self._open_error(row, now)
        probe = uuid.uuid4().hex
        claimed = self._row.claim(probe, row.opened_at, now + self._probe_seconds, now)
        if claimed:
            log.info("circuit half open for %s: sending one call to check whether it answers", self._key)
            return probe
        row = self._read()
        if row.opened_at is None:
            return None
        raise self._open_error(row, now)

    def _give_up(self, call: CallId, cause: str) -> None:
        if not self._unanswered.give_up(call):
            return
        has_opened = self._row.give_up(call, cause, self._now(), most=self._failures)
        row = self._read()
        if has_opened:
            log.warning("%s", self._open_error(row, self._now()))

    def _answered(self, probe: str | None, number: int) -> None:
        """Reset the count; close the circuit if this was the probe. Writes only if something changes.

        An answer does not count if a later attempt has failed since: the API may have gone down in between.

        Reads the row again instead of using the cached one, so that an answer also resets failures that
        other processes have counted in the last second.
        """
        row = self._read()
        is_counted = row.failures and row.opened_at is None and not self._unanswered.failed_after(number)
        if probe is None and not is_counted:
            return
        self._row.close(probe)
        self._read()
        if probe:
            log.warning("circuit closed: %s answers again", self._key)

    def _recent(self) -> _StoredBreaker:
        with self._lock:
            last = self._last_read
        now = self._now()
        # If the clock was set back, the cached row may be old.
        if last is not None and last[0] <= now < last[0] + FRESH_SECONDS:
            return last[1]
        return self._read()

    def _read(self) -> _StoredBreaker:
        row = self._row.read()
        with self._lock:
            self._last_read = (self._now(), row)
        return row

    def _is_due(self, row: _StoredBreaker, now: float) -> bool:
        """Whether the open time is over. A time in the future was set by a wrong clock and counts as over."""
        return row.opened_at is None or not row.opened_at <= now < row.opened_at + self._seconds

    def _open_error(self, row: _StoredBreaker, now: float) -> CircuitOpenError:
        opened_at = now if row.opened_at is None else row.opened_at
        retry_at = max(opened_at + self._seconds, row.probe_until or 0.0)
        return CircuitOpenError(
            f"{WAS_NOT_SENT}{self._key} failed {row.failures} calls in a row, circuit open since "
            f"{_utc(opened_at):%Y-%m-%d %H:%M:%S} UTC until {_utc(retry_at):%H:%M:%S} UTC "
            f"(last failure: {row.cause})",
            max(0.0, retry_at - now),
            retry_at=_utc(retry_at),
        )

    def _now(self) -> float:
        return self._clock().timestamp()


def opened(store: Store) -> list[str]:
    """The keys of all breakers whose circuit is not closed. Raises StateError."""
    rows = store.execute("SELECT key FROM gsc_api_breakers WHERE opened_at IS NOT NULL ORDER BY key")
    return [key for (key,) in rows]


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
