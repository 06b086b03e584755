"""Whether all is well, and what is not: one judgement for the health page, the metrics and the alerts.

Belongs here: the judgement, and looking no oftener than needed. Does not: reading the lake (`figures`),
answering over HTTP (`serving`), telling people (`alerts`).

What a person need not be woken for is no reason: a property that may not be read, a day that failed and
will be read again. What keeps a workspace from its good sync for long shows as stale.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.figures import Figures, FiguresReader, WorkspaceFigures
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.workspaces import Workspace

log = logging.getLogger(__name__)


class BreakerView(Protocol):
    """What can be seen of a circuit breaker: `state` is closed, open or half_open."""

    @property
    def state(self) -> str:
        """closed, open or half_open."""

    @property
    def retry_at(self) -> datetime | None:
        """When an open breaker lets the next call through."""


@dataclass(frozen=True, slots=True)
class ClosedBreaker:
    """What there is to see where there is no breaker."""

    state: str = "closed"
    retry_at: datetime | None = None


class Kind(StrEnum):
    """What sort of thing is wrong. A change of these is worth an alert, a change of numbers is not."""

    LAKE = "lake"
    DATABASE = "database"
    WORKSPACES_FILE = "workspaces_file"
    BREAKER = "breaker"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong, without the name of any workspace."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the whole, in aggregate figures only; workspaces are counted, never named.

    Only active workspaces count. Where the lake cannot be read, their numbers are zero. `breaker` is that of
    the API; workspaces are held back where the token endpoint that their key names is left alone.
    """

    ok: bool
    reasons: tuple[Reason, ...]
    last_good_sync_at: datetime | None
    workspaces_total: int
    workspaces_stale: int
    workspaces_failing: int
    workspaces_held_back: int
    breaker: str
    lake_ok: bool
    database_ok: bool

    @property
    def kinds(self) -> frozenset[str]:
        """What sorts of things are wrong."""
        return frozenset(reason.kind.value for reason in self.reasons)

    def as_json(self) -> dict[str, Any]:
        """The answer of the health page."""
        return {
            "ok": self.ok,
            "reasons": [{"kind": reason.kind.value, "text": reason.text} for reason in self.reasons],
            "last_good_sync_at": self.last_good_sync_at.isoformat() if self.last_good_sync_at else None,
            "workspaces_total": self.workspaces_total,
            "workspaces_stale": self.workspaces_stale,
            "workspaces_failing": self.workspaces_failing,
            "workspaces_held_back": self.workspaces_held_back,
            "breaker": self.breaker,
            "lake_ok": self.lake_ok,
            "database_ok": self.database_ok,
        }


@dataclass(frozen=True, slots=True)
class Observation:
    """One look: the health, and the figures that it was judged from."""

    health: Health
    figures: Figures


def judge(
    workspaces: Mapping[str, WorkspaceFigures],
    breaker: BreakerView,
    *,
    now: datetime,
    stale_after: timedelta,
    broken: Sequence[Reason] = (),
    held_back: Sequence[BreakerView] = (),
) -> Health:
    """Judge the figures of the active workspaces. `broken` is what could not even be looked at.

    `held_back` has the breaker of each workspace whose token endpoint is left alone. Most of them make a
    reason; one of many is that workspace's own trouble, and shows as stale if it lasts.
    """
    good = [one.last_good_sync_at for one in workspaces.values() if one.last_good_sync_at is not None]
    fresh = sum(at >= now - stale_after for at in good)
    stale = len(workspaces) - fresh
    reasons = list(broken)
    if breaker.state in ("open", "half_open"):
        until = f"; next try at {breaker.retry_at:%H:%M:%S} UTC" if breaker.retry_at else ""
        reasons.append(Reason(Kind.BREAKER, f"the API does not answer, so calls are held back{until}"))
    if held_back and 2 * len(held_back) >= len(workspaces):
        retry_at = min((one.retry_at for one in held_back if one.retry_at), default=None)
        text = (
            f"the token endpoint of {len(held_back)} of {len(workspaces)} active workspaces does not answer"
        )
        until = f"; next try at {retry_at:%H:%M:%S} UTC" if retry_at else ""
        reasons.append(Reason(Kind.BREAKER, f"{text}, so it is left alone{until}"))
    if stale:
        hours = stale_after / timedelta(hours=1)
        text = f"{stale} of {len(workspaces)} active workspaces had no good sync for {hours:g} hours"
        reasons.append(Reason(Kind.STALE, f"{text}: `gsc status` names them and says why"))
    kinds = {reason.kind for reason in reasons}
    return Health(
        ok=not reasons,
        reasons=tuple(reasons),
        last_good_sync_at=max(good, default=None),
        workspaces_total=len(workspaces),
        workspaces_stale=stale,
        workspaces_failing=sum(one.failures > 0 for one in workspaces.values()),
        workspaces_held_back=len(held_back),
        breaker=breaker.state,
        lake_ok=Kind.LAKE not in kinds,
        database_ok=Kind.DATABASE not in kinds,
    )


class HealthMonitor:
    """Looks at everything when asked, and answers from the last look for `cache_seconds`.

    `breaker_state`, `held_back` (which workspaces' token endpoint is left alone) and `probe_database` are
    called at each look; the probe raises when the database does not answer. Safe to share between threads:
    one looks, the others wait for its answer. Never raises for what it looks at. What exactly is wrong goes
    to the log, as it may name workspaces.
    """

    def __init__(
        self,
        lake: Lake,
        list_workspaces: Callable[[], Sequence[Workspace]],
        *,
        stale_after: timedelta,
        breaker_state: Callable[[], BreakerView] = ClosedBreaker,
        held_back: Callable[[Sequence[Workspace]], Mapping[str, BreakerView]] = lambda workspaces: {},
        probe_database: Callable[[], None] = lambda: None,
        cache_seconds: float = 15.0,
        clock: Clock = utc_now,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._figures = FiguresReader(lake)
        self._list_workspaces = list_workspaces
        self._stale_after = stale_after
        self._breaker_state = breaker_state
        self._held_back = held_back
        self._probe_database = probe_database
        self._cache_seconds = cache_seconds
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last: tuple[float, Observation] | None = None

    def look(self) -> Observation:
        """The state now, or as it was at most `cache_seconds` ago."""
        with self._lock:
            if self._last is None or self._seconds() - self._last[0] >= self._cache_seconds:
                self._last = (self._seconds(), self._look())
            return self._last[1]

    def _look(self) -> Observation:
        now, broken = self._clock(), []
        try:
            self._probe_database()
        # Each driver has errors of its own; whatever it is, the database did not answer.
        except Exception as error:  # noqa: BLE001
            broken.append(_broken(Kind.DATABASE, "the database does not answer", error))
        workspaces: Sequence[Workspace] = ()
        figures = Figures()
        try:
            workspaces = self._list_workspaces()
            figures = self._figures.read(workspaces)
        except LakeError as error:
            broken.append(_broken(Kind.LAKE, "the lake cannot be read", error))
        except PipelineError as error:
            broken.append(_broken(Kind.WORKSPACES_FILE, "the workspaces file cannot be used", error))
        breaker: BreakerView = ClosedBreaker("unknown")
        held: Mapping[str, BreakerView] = {}
        try:
            breaker = self._breaker_state()
            held = self._held_back([workspace for workspace in workspaces if workspace.active])
        except PipelineError as error:
            broken.append(_broken(Kind.BREAKER, "the circuit breaker's state cannot be read", error))
        health = judge(
            figures.workspaces,
            breaker,
            now=now,
            stale_after=self._stale_after,
            broken=broken,
            held_back=[held[id_] for id_ in figures.workspaces if id_ in held],
        )
        return Observation(health, figures)


def _broken(kind: Kind, text: str, error: Exception) -> Reason:
    log.warning("%s: %s: %s", text, type(error).__name__, error)
    return Reason(kind, f"{text}: the log of `gsc serve` says why")
