"""How fast calls may be sent: Google's limits, shared by all processes, and lower real ones as learnt.

Belongs here: which limits a call counts under, when it is due, what a refusal teaches. Does not: the figures
(`quotas`), repeating what was refused (`retries`), where the shared rows are kept (`state`).

Each limit is a generic cell rate algorithm, the virtual-scheduling form of the leaky bucket (ITU-T I.371):
one row holds when the next call would be due were calls evenly spaced, and a call may come earlier than
that by as much as a burst takes. A call's slot is where all its limits agree, reserved in one transaction;
so the figures hold exactly over any number of processes, in whatever order they come to use their slots.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.search_console.errors import NoFreeSlotError, QuotaError
from gsc_pipeline.search_console.quotas import PER_SITE, PER_USER, Kind, Limit
from gsc_pipeline.state.store import Execute, Store

log = logging.getLogger(__name__)

LEAST_SHARE = 0.01
"""However often refused, a limit is never taken to be lower than this part of the configured one."""

DOUBLING_SECONDS = 3600.0
"""How long the learnt rate takes to double while nothing is refused."""

LONGEST_PAUSE_SECONDS = 900.0
"""A Retry-After holds for everyone, but no longer than this: then one call finds out anew."""


class Limiter(Protocol):
    """Says when a call may be sent. Safe for many threads."""

    def wait(self, kind: Kind, user: str, site_url: str | None) -> None:
        """Return when the call is due. `user` stands for the credential and holds no secret."""

    def refused(self, kind: Kind, user: str, site_url: str | None, error: QuotaError) -> None:
        """Take note that Google refused the call."""


class Unlimited:
    """The limiter of a client that has none."""

    def wait(self, kind: Kind, user: str, site_url: str | None) -> None:
        """Return at once."""

    def refused(self, kind: Kind, user: str, site_url: str | None, error: QuotaError) -> None:
        """Nothing to learn."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """One limit that a call counts under: the key of its row, and the figure."""

    key: str
    limit: Limit
    is_per_site: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of `gsc_api_limits`, as of now."""

    next_at: float
    not_before: float
    share: float
    share_at: float | None

    def early(self, limit: Limit) -> float:
        """How long before it is due a call may be sent: what a burst takes. Never more for a lower share."""
        return (max(1.0, limit.burst * self.share) - 1.0) * limit.spacing / self.share

    def slot(self, limit: Limit) -> float:
        """The earliest moment at which a call may be sent."""
        return max(self.next_at - self.early(limit), self.not_before)


class SharedLimiter:
    """The limits that processes share through a store.

    `factor` scales Google's figures, for a project with other ones. A call that would have to wait longer
    than `longest_wait_seconds` raises NoFreeSlotError instead, and takes no slot.
    """

    def __init__(
        self,
        store: Store,
        *,
        factor: float = 1.0,
        longest_wait_seconds: float = 60.0,
        clock: Clock = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._factor = factor
        self._longest_wait = longest_wait_seconds
        self._clock = clock
        self._sleep = sleep

    def wait(self, kind: Kind, user: str, site_url: str | None) -> None:
        """Reserve the call's slot, and sleep until then. Raises NoFreeSlotError, StateError."""
        counted = self._counted(kind, user, site_url)
        if not counted:
            return
        seconds = self._store.run(lambda execute: self._reserve(execute, counted, kind))
        if seconds > 0:
            self._sleep(seconds)

    def refused(self, kind: Kind, user: str, site_url: str | None, error: QuotaError) -> None:
        """Halve the rate that is taken to be granted, once for refusals close together, and slow down all.

        Only for refusals of a rate: a load quota is about the work that queries make, a daily one about
        the day, and no spacing of calls helps with either. Raises StateError.
        """
        if type(error) is not QuotaError:
            return
        counted = [one for one in self._counted(kind, user, site_url) if _may_mean(error, one)]
        self._store.run(lambda execute: self._learn(execute, counted, error.retry_after or 0.0))

    def _counted(self, kind: Kind, user: str, site_url: str | None) -> Sequence[_Counted]:
        """What the call counts under, in the order in which rows are locked: the same everywhere."""
        owners = [(f"user {user}", PER_USER[kind], False), (f"site {site_url}", PER_SITE[kind], True)]
        return [
            _Counted(f"{owner} {kind} {limit.seconds:g}", limit.scaled(self._factor), is_per_site)
            for owner, limits, is_per_site in owners
            for limit in limits
        ]

    def _reserve(self, execute: Execute, counted: Sequence[_Counted], kind: Kind) -> float:
        rows = [self._lock(execute, one) for one in counted]
        now = self._clock().timestamp()
        rows = [self._as_of(row, one.limit, now) for row, one in zip(rows, counted, strict=True)]
        slot = max(now, *(row.slot(one.limit) for row, one in zip(rows, counted, strict=True)))
        if slot - now > self._longest_wait:
            raise NoFreeSlotError(
                f"the next {kind} call within the quota is due in {slot - now:.0f} seconds", slot - now
            )
        for row, one in zip(rows, counted, strict=True):
            next_at = max(row.next_at, slot) + one.limit.spacing / row.share
            execute("UPDATE gsc_api_limits SET next_at = :at WHERE key = :key", at=next_at, key=one.key)
        # To the millisecond: additions of moments are off by microseconds, not worth a sleep.
        return round(slot - now, 3)

    def _learn(self, execute: Execute, counted: Sequence[_Counted], retry_after: float) -> None:
        for one in counted:
            row = self._lock(execute, one)
            now = self._clock().timestamp()
            row = self._as_of(row, one.limit, now)
            if row.share_at is None or now - row.share_at >= one.limit.lesson_seconds:
                row = _Row(row.next_at, row.not_before, max(LEAST_SHARE, row.share / 2), now)
                log.warning(
                    "Search Console refused a call for its rate: %s is taken to allow %.0f calls in %g s now",
                    one.key,
                    one.limit.calls * row.share,
                    one.limit.seconds,
                )
            execute(
                "UPDATE gsc_api_limits SET next_at = :next_at, not_before = :not_before, share = :share, "
                "share_at = :share_at WHERE key = :key",
                # No burst until fewer calls than allowed have been sent for a while.
                next_at=max(row.next_at, now + row.early(one.limit)),
                not_before=max(row.not_before, now + min(retry_after, LONGEST_PAUSE_SECONDS)),
                share=row.share,
                share_at=row.share_at,
                key=one.key,
            )

    def _lock(self, execute: Execute, one: _Counted) -> _Row:
        """The row of this limit, made if need be, and nobody else's to change until the transaction ends."""
        ((next_at, not_before, share, share_at),) = execute(
            "INSERT INTO gsc_api_limits (key) VALUES (:key) "
            "ON CONFLICT (key) DO UPDATE SET key = excluded.key "
            "RETURNING next_at, not_before, share, share_at",
            key=one.key,
        )
        return _Row(next_at, not_before, share, share_at)

    def _as_of(self, row: _Row, limit: Limit, now: float) -> _Row:
        """The row with the share recovered by now, and without what no clock that goes on could have written.

        A machine that once started with its clock years ahead must not stop calls for years.
        """
        farthest = now + max(self._longest_wait, LONGEST_PAUSE_SECONDS) + limit.seconds / LEAST_SHARE
        if row.share_at is None:
            share, share_at = row.share, None
        else:
            passed = now - row.share_at - limit.lesson_seconds
            share = min(1.0, row.share * 2.0 ** (max(0.0, passed) / DOUBLING_SECONDS))
            share_at = min(row.share_at, now)
        return _Row(
            row.next_at if row.next_at <= farthest else now,
            row.not_before if row.not_before <= farthest else now,
            share,
            share_at,
        )


def _may_mean(error: QuotaError, one: _Counted) -> bool:
    """Whether the refusal may be for this limit. Where Google does not say for which, it is for all."""
    text = error.cause.lower()
    if "per site" in text:
        return one.is_per_site
    if "per user" in text or "userratelimitexceeded" in text:
        return not one.is_per_site
    return True
