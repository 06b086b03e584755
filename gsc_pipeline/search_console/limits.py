"""The rate limiter: Google's limits on calls, shared by all processes and lowered where Google refuses.

Each limit is a generic cell rate algorithm, the virtual-scheduling form of the leaky bucket (ITU-T I.371): a
row stores when the next call is due if calls are evenly spaced, and a call may be sent earlier than that by
the duration of a burst. A call waits for the latest of its limits' times. It reserves them in one
transaction, so the limits hold over any number of processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.search_console.errors import WAS_NOT_SENT, NoFreeSlotError, QuotaError
from gsc_pipeline.state.store import Execute, Store

log = logging.getLogger(__name__)

MARGIN = 0.95
"""The fraction of a limit that is used: calls arrive at Google less evenly than they were sent."""

BURST = 0.1
"""The fraction of that which may be sent at once. The rest is spread over the limit's period."""

SAME_REFUSAL_SECONDS = 5.0
"""Refusals closer together than this count as one: the calls were under way when the first one came."""

SAME_REFUSAL = 0.25
"""The same as a fraction of the limit's period, if that is longer: Google counts earlier calls until the
period is over, so refusals continue for a while after calls have slowed down."""

LEAST_SHARE = 0.01
"""The lowest fraction of a limit that refusals can reduce it to."""

DOUBLING_SECONDS = 3600.0
"""How long a reduced rate takes to double while nothing is refused."""

LONGEST_PAUSE_SECONDS = 900.0
"""The longest Retry-After that is applied to all calls."""


class QuotaGroup(StrEnum):
    """The groups of API methods that Google limits separately."""

    SEARCH_ANALYTICS = "searchAnalytics"
    URL_INSPECTION = "urlInspection"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `calls` within any `seconds`."""

    calls: float
    seconds: float

    def scaled(self, factor: float) -> Limit:
        """The limit times `factor`, at least two calls: a single call has no rate."""
        return Limit(max(2.0, self.calls * factor), self.seconds)

    @property
    def burst(self) -> float:
        """Calls that may be sent at once after a pause."""
        return max(1.0, self.calls * MARGIN * BURST)

    @property
    def spacing(self) -> float:
        """Seconds between calls in the long run.

        A period that begins with a full burst has at most `calls` calls: burst + seconds / spacing.
        """
        return self.seconds / (max(self.calls * MARGIN, 2.0) - self.burst)

    @property
    def same_refusal_seconds(self) -> float:
        """How long after a refusal further ones count as the same."""
        return max(SAME_REFUSAL_SECONDS, self.seconds * SAME_REFUSAL)


PER_USER = {
    QuotaGroup.SEARCH_ANALYTICS: (Limit(1_200, 60.0),),
    QuotaGroup.URL_INSPECTION: (),
    QuotaGroup.OTHER: (Limit(20, 1.0), Limit(200, 60.0)),
}
PER_SITE = {
    QuotaGroup.SEARCH_ANALYTICS: (Limit(1_200, 60.0),),
    QuotaGroup.URL_INSPECTION: (Limit(600, 60.0),),
    QuotaGroup.OTHER: (),
}
"""Google's published usage limits of the API. Those of a Cloud project (40,000 a minute) are higher than what
one credential may use, so they are not kept. Daily limits are not kept either: Google refuses the call."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """One limit that applies to a call, and the key of its row."""

    key: str
    limit: Limit
    is_per_site: bool


@dataclass(frozen=True, slots=True)
class _StoredLimit:
    """A limit's row in `gsc_api_limits`. Times are seconds since the epoch."""

    next_at: float
    not_before: float
    share: float
    share_at: float | None

    def early(self, limit: Limit) -> float:
        """How many seconds before its due time a call may be sent: a burst, shorter at a lower share."""
        return (max(1.0, limit.burst * self.share) - 1.0) * limit.spacing / self.share

    def slot(self, limit: Limit) -> float:
        """The earliest time at which a call may be sent."""
        return max(self.next_at - self.early(limit), self.not_before)


@dataclass(frozen=True, slots=True)
class SlowedLimit:
    """A limit whose rate refusals have lowered: whose limit it is, and the fraction that is used now."""

    what: str
    share: float


class SharedLimiter:
    """A limiter that processes share through a store. Thread-safe.

    `factor` scales Google's limits, for a Cloud project with other quotas. A call that would have to wait
    longer than `longest_wait_seconds` raises NoFreeSlotError and reserves nothing.
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

    def wait(self, group: QuotaGroup, user: str, site_url: str | None) -> None:
        """Reserve a time for the call and sleep until then.

        `user` identifies the credential and contains no secret. Raises NoFreeSlotError, StateError.
        """
        counted = self._counted(group, user, site_url)
        if not counted:
            return
        seconds = self._store.run(lambda execute: self._reserve(execute, counted, group))
        if seconds > 0:
            self._sleep(seconds)

    def refused(self, group: QuotaGroup, user: str, site_url: str | None, error: QuotaError) -> None:
        """Halve the rate of the limits that the refusal may be for, once for refusals close together.

        Only for refusals of the rate. Slower calls do not help with a load quota, which counts the work of
        queries, or with a daily quota. Raises StateError.
        """
        if type(error) is not QuotaError:
            return
        counted = [one for one in self._counted(group, user, site_url) if _may_mean(error, one)]
        self._store.run(lambda execute: self._slow_down(execute, counted, error.retry_after or 0.0))

    def slowed(self) -> list[SlowedLimit]:
        """The limits whose rate is lowered now. Raises StateError."""
        rows = self._store.execute(
            "SELECT key, next_at, not_before, share, share_at FROM gsc_api_limits "
            "WHERE share < 1 ORDER BY key"
        )
        found = []
        for key, *stored in rows:
            what, _, seconds = key.rpartition(" ")
            limit = Limit(PER_USER[QuotaGroup.SEARCH_ANALYTICS][0].calls, float(seconds))
            share = self._as_of(_StoredLimit(*stored), limit, self._clock().timestamp()).share
            if share < 1.0:
                found.append(SlowedLimit(f"{what}, in {seconds} seconds", share))
        return found

    def _counted(self, group: QuotaGroup, user: str, site_url: str | None) -> Sequence[_Counted]:
        """The limits that apply to the call, always in the same order, so that locks cannot deadlock."""
        owners = [(f"user {user}", PER_USER[group], False), (f"site {site_url}", PER_SITE[group], True)]
        return [
            _Counted(f"{owner} {group} {limit.seconds:g}", limit.scaled(self._factor), is_per_site)
            for owner, limits, is_per_site in owners
            for limit in limits
        ]

    def _reserve(self, execute: Execute, counted: Sequence[_Counted], group: QuotaGroup) -> float:
        rows = [self._lock(execute, one) for one in counted]
        now = self._clock().timestamp()
        rows = [self._as_of(row, one.limit, now) for row, one in zip(rows, counted, strict=True)]
        slot = max(now, *(row.slot(one.limit) for row, one in zip(rows, counted, strict=True)))
        if slot - now > self._longest_wait:
            raise NoFreeSlotError(
                f"{WAS_NOT_SENT}the rate limit allows the next {group} call in {slot - now:.0f} seconds",
                slot - now,
                retry_at=datetime.fromtimestamp(slot, UTC),
            )
        for row, one in zip(rows, counted, strict=True):
            next_at = max(row.next_at, slot) + one.limit.spacing / row.share
            execute("UPDATE gsc_api_limits SET next_at = :at WHERE key = :key", at=next_at, key=one.key)
        # Rounded to milliseconds: sums of times have errors of microseconds.
        return round(slot - now, 3)

    def _slow_down(self, execute: Execute, counted: Sequence[_Counted], retry_after: float) -> None:
        for one in counted:
            row = self._lock(execute, one)
            now = self._clock().timestamp()
            row = self._as_of(row, one.limit, now)
            if row.share_at is None or now - row.share_at >= one.limit.same_refusal_seconds:
                row = _StoredLimit(row.next_at, row.not_before, max(LEAST_SHARE, row.share / 2), now)
                log.warning(
                    "Search Console refused a call for its rate: %s slows down to %.0f calls in %g seconds",
                    one.key,
                    one.limit.calls * row.share,
                    one.limit.seconds,
                )
            execute(
                "UPDATE gsc_api_limits SET next_at = :next_at, not_before = :not_before, share = :share, "
                "share_at = :share_at WHERE key = :key",
                # No burst until the calls have stayed below the limit for a while.
                next_at=max(row.next_at, now + row.early(one.limit)),
                not_before=max(row.not_before, now + min(retry_after, LONGEST_PAUSE_SECONDS)),
                share=row.share,
                share_at=row.share_at,
                key=one.key,
            )

    def _lock(self, execute: Execute, one: _Counted) -> _StoredLimit:
        """Create the limit's row if it is missing, lock it until the transaction ends, and read it."""
        ((next_at, not_before, share, share_at),) = execute(
            "INSERT INTO gsc_api_limits (key) VALUES (:key) "
            "ON CONFLICT (key) DO UPDATE SET key = excluded.key "
            "RETURNING next_at, not_before, share, share_at",
            key=one.key,
        )
        return _StoredLimit(next_at, not_before, share, share_at)

    def _as_of(self, row: _StoredLimit, limit: Limit, now: float) -> _StoredLimit:
        """The limit as of now: the share has recovered, and times too far in the future are discarded.

        A machine whose clock was years ahead would otherwise stop calls for years.
        """
        farthest = now + max(self._longest_wait, LONGEST_PAUSE_SECONDS) + limit.seconds / LEAST_SHARE
        if row.share_at is None:
            share, share_at = row.share, None
        else:
            passed = now - row.share_at - limit.same_refusal_seconds
            share = min(1.0, row.share * 2.0 ** (max(0.0, passed) / DOUBLING_SECONDS))
            share_at = min(row.share_at, now)
        return _StoredLimit(
            row.next_at if row.next_at <= farthest else now,
            row.not_before if row.not_before <= farthest else now,
            share,
            share_at,
        )


def _may_mean(error: QuotaError, one: _Counted) -> bool:
    """Whether the refusal may be for this limit. If Google does not name a limit, it may be any."""
    text = error.cause.lower()
    if "per site" in text:
        return one.is_per_site
    if "per user" in text or "userratelimitexceeded" in text:
        return not one.is_per_site
    return True
