"""Observes the health in a background thread, so that a storage that hangs delays no page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from gsc_pipeline.days import Clock, pacific_today, utc_now
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.quality import DarkProperty, dark_properties
from gsc_pipeline.lake.schemas import SYNC_LEDGER, SYNC_RUNS
from gsc_pipeline.monitoring.health import (
    OF_LAKE,
    Health,
    HealthReason,
    ReasonKind,
    evaluate_health,
)
from gsc_pipeline.monitoring.status import StateReader, WorkspaceState
from gsc_pipeline.monitoring.sync_runs import SyncTotals
from gsc_pipeline.monitoring.ticks import TickView
from gsc_pipeline.search_console.breakers import BreakerState
from gsc_pipeline.sync.failures import of_configured
from gsc_pipeline.workspaces.registry import Workspace

log = logging.getLogger(__name__)

T = TypeVar("T")

_Shared = tuple[TickView, BreakerState | None, Mapping[str, BreakerState]]
"""What is read from the shared state: ticks, the API's breaker, breakers of token endpoints by workspace."""
_Read = tuple[Sequence[WorkspaceState], SyncTotals | None]
"""What is read from the lake."""

PAGE_SECONDS = 1.5
"""How long a page waits for an observation. Every page answers within two seconds."""

OLDEST_SECONDS = 60.0
"""How long the last observation is shown beyond its time while the next one is slow."""

DAEMON_SILENT = timedelta(minutes=5)
"""Dagster's daemon sends a heartbeat every half minute."""


def daemon_reason(
    heartbeat: datetime | None, now: datetime, watched_since: datetime | None = None
) -> HealthReason | None:
    """The reason if Dagster's daemon is silent. Silence counts from `watched_since` on, if that is given."""
    known = [at for at in (heartbeat, watched_since) if at]
    if known and now - max(known) <= DAEMON_SILENT:
        return None
    since = f"since {heartbeat:%Y-%m-%d %H:%M} UTC" if heartbeat else "yet"
    text = (
        f"Dagster's daemon has sent no heartbeat {since}, so nothing is synced: start "
        "`dagster-daemon run`, or see its log"
    )
    return HealthReason(ReasonKind.DAEMON, text)


@dataclass(frozen=True, slots=True)
class Observation:
    """The health at one moment, and what it was evaluated from: the active workspaces and all syncs.

    `totals` is None if the lake could not be read.
    """

    health: Health
    states: Sequence[WorkspaceState] = ()
    totals: SyncTotals | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an observation: what it reads, and the kinds that are unknown without it."""

    kind: ReasonKind
    name: str
    unknown: frozenset[ReasonKind] = frozenset()


_INSTANCE = _Part(ReasonKind.DATABASE, "the database of the Dagster instance", frozenset({ReasonKind.DAEMON}))
_FILE = _Part(ReasonKind.WORKSPACES_FILE, "the workspaces file", OF_LAKE)
_STATE = _Part(ReasonKind.STATE, "the shared state", frozenset({ReasonKind.BREAKER, ReasonKind.CRASHED}))
_LAKE = _Part(ReasonKind.LAKE, "the lake", OF_LAKE)
_BEGINNING = _Part(ReasonKind.LAKE, "the evaluation of the health")


@dataclass(slots=True)
class _InProgress:
    """One observation in progress: the part that is being read, and what was found so far."""

    part: _Part = _BEGINNING
    found: list[HealthReason] = field(default_factory=list)
    unknown: set[ReasonKind] = field(default_factory=set)

    def read(self, part: _Part, work: Callable[[], T], otherwise: T) -> T:
        """Read a part. An error becomes a reason; its text goes to the log, as it may name workspaces."""
        self.part = part
        try:
            return work()
        except Exception as error:
            is_expected = isinstance(error, PipelineError)
            log.warning(
                "%s cannot be read: %s: %s",
                part.name,
                type(error).__name__,
                error,
                exc_info=None if is_expected else error,
            )
            self.found.append(HealthReason(part.kind, f"{part.name} cannot be read: the log has the cause"))
            self.unknown |= part.unknown
            return otherwise


class HealthMonitor:
    """Observes the health on request, at most once in `cache_seconds`.

    Every observation calls `breaker_state`, `token_circuits` (the breakers of token endpoints whose circuit
    is open, by workspace), `view_ticks` (with the name of a tick that is just ending, or "") and
    `probe_instance`: the last heartbeat of Dagster's daemon, None without any. It raises if the instance's
    database does not answer. Without `probe_instance` there is no instance to watch. Thread-safe.
    """

    def __init__(
        self,
        lake: Lake,
        list_workspaces: Callable[[], Sequence[Workspace]],
        *,
        stale_after: timedelta,
        breaker_state: Callable[[], BreakerState] = BreakerState,
        token_circuits: Callable[[Sequence[Workspace]], Mapping[str, BreakerState]] = lambda workspaces: {},
        view_ticks: Callable[[str], TickView] = lambda ended: TickView(),
        probe_instance: Callable[[], datetime | None] | None = None,
        cache_seconds: float = 15.0,
        clock: Clock = utc_now,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lake = lake
        self._reader = StateReader(lake)
        self._list_workspaces = list_workspaces
        self._stale_after = stale_after
        self._breaker_state = breaker_state
        self._token_circuits = token_circuits
        self._view_ticks = view_ticks
        self._probe_instance = probe_instance
        self._cache_seconds = cache_seconds
        self._clock = clock
        self._seconds = seconds
        self._created_at = clock()
        self._dark_for: tuple[object, list[DarkProperty]] | None = None
        self._saw_lake = False
        self._observing = threading.Lock()
        self._in_progress = _InProgress()
        # The fields below belong to the background thread and its requests, under this condition.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._began: float | None = None
        self._done = 0
        self._last: tuple[float, Observation] | None = None

    @property
    def is_observing(self) -> bool:
        """Whether an observation is in progress in the background."""
        return self._began is not None

    def observe(self, within: float = PAGE_SECONDS) -> Observation:
        """The health now, or as it was at most `cache_seconds` ago.

        Returns `within` seconds after the observation in progress began, at the latest. If that has no
        result by then, the last one is returned for another OLDEST_SECONDS; after that, the reason is what
        has not answered. Never raises.
        """
        with self._changed:
            if self._last and self._age() < self._cache_seconds:
                return self._last[1]
            began, done = self._begin(), self._done
            self._changed.wait_for(
                lambda: self._done > done, timeout=max(0.0, began + within - self._seconds())
            )
            is_done = self._done > done
            if self._last and (is_done or self._age() < self._cache_seconds + OLDEST_SECONDS):
                return self._last[1]
        seconds, part = self._seconds() - began, self._in_progress.part
        text = f"{part.name} has not answered for {seconds:.0f} s: see whether its storage or server hangs"
        return self._nothing(HealthReason(part.kind, text))

    def observe_now(self, ended_tick: str = "") -> Observation:
        """Observe in this thread, however long that takes. `ended_tick` names a tick that is just ending."""
        with self._observing:
            self._in_progress = progress = _InProgress()
            return self._observe(progress, ended_tick)

    def age_of(self, health: Health) -> float:
        """How many seconds ago the health was observed."""
        return (self._clock() - health.observed_at).total_seconds()

    def _age(self) -> float:
        return self._seconds() - self._last[0] if self._last else 0.0

    def _begin(self) -> float:
        """Begin an observation unless one is in progress; returns when it began."""
        if self._began is None:
            self._began = self._seconds()
            if self._thread is None:
                # One thread for all: the lake keeps its tables open for each thread. It is a daemon thread,
                # as a storage that hangs must not keep the process.
                self._thread = threading.Thread(target=self._work, name="gsc-observe", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return self._began

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._began is not None)
                began = self._began or 0.0
            try:
                observation = self.observe_now()
            except Exception:
                log.exception("the health could not be evaluated")
                text = "the health could not be evaluated: the log has the cause"
                observation = self._nothing(HealthReason(ReasonKind.LAKE, text))
            with self._changed:
                self._last, self._began, self._done = (began, observation), None, self._done + 1
                self._changed.notify_all()

    def _nothing(self, reason: HealthReason) -> Observation:
        """The observation without any result but one reason."""
        health = evaluate_health(
            [],
            None,
            now=self._clock(),
            stale_after=self._stale_after,
            found=[reason],
            unknown=set(ReasonKind) - {reason.kind},
        )
        return Observation(replace(health, lake_ok=False))

    def _observe(self, progress: _InProgress, ended_tick: str) -> Observation:
        now = self._clock()
        heartbeat = self._instance(progress, now)
        listed = progress.read(_FILE, self._list_workspaces, None)
        active = [workspace for workspace in listed or () if workspace.active]
        nothing: _Shared = (TickView(), None, {})
        ticks, breaker, circuits = progress.read(_STATE, lambda: self._shared(active, ended_tick), nothing)
        read: _Read = ((), None)
        if listed is not None:
            read = progress.read(_LAKE, lambda: self._read(progress, active, ticks), read)
        states, totals = read
        health = evaluate_health(
            states,
            breaker,
            now=now,
            stale_after=self._stale_after,
            found=progress.found,
            unknown=progress.unknown,
            open_token_circuits=[circuits[s.workspace] for s in states if s.workspace in circuits],
            ticks=ticks,
            daemon_heartbeat_at=heartbeat,
        )
        return Observation(health, states, totals)

    def _shared(self, active: Sequence[Workspace], ended_tick: str) -> _Shared:
        return self._view_ticks(ended_tick), self._breaker_state(), self._token_circuits(active)

    def _instance(self, progress: _InProgress, now: datetime) -> datetime | None:
        """The last heartbeat of Dagster's daemon. Silence counts from when this process began to watch."""
        if self._probe_instance is None:
            progress.unknown |= {ReasonKind.DATABASE, ReasonKind.DAEMON}
            return None
        heartbeat = progress.read(_INSTANCE, self._probe_instance, None)
        if progress.found:
            return None
        if reason := daemon_reason(heartbeat, now, self._created_at):
            progress.found.append(reason)
        return heartbeat

    def _read(self, progress: _InProgress, active: Sequence[Workspace], ticks: TickView) -> _Read:
        if self._lake.version_of(SYNC_RUNS) is None:
            if self._saw_lake:
                raise LakeError(f"{SYNC_RUNS.name} has disappeared: is the storage of GSC_LAKE mounted?")
            text = (
                "there is no lake: if it is new, the first sync writes it; if it is not, check GSC_LAKE and "
                "that its storage is mounted"
            )
            progress.found.append(HealthReason(ReasonKind.NO_LAKE, text))
            progress.unknown |= OF_LAKE
            return (), None
        states = self._reader.read(active, ticks.unfinished, ticks.begins)
        if self._reader.unreadable:
            # Without all rows of `sync_runs`, every workspace would seem stale and the totals would fall.
            raise self._reader.unreadable[0]
        self._saw_lake = True
        if dark := self._dark(active):
            count = f"{len(dark)} {'property' if len(dark) == 1 else 'properties'}"
            text = (
                f"{count} had impressions for four weeks and none on the newest final days: the check "
                "`no_property_went_dark` names them"
            )
            names = tuple(sorted({one.workspace for one in dark}))
            progress.found.append(HealthReason(ReasonKind.DARK, text, names))
        return states, self._reader.totals

    def _dark(self, active: Sequence[Workspace]) -> list[DarkProperty]:
        """The properties that went dark. Evaluated again only when the ledger or the workspaces changed."""
        now = self._clock()
        key = (self._lake.version_of(SYNC_LEDGER), pacific_today(now), tuple(active))
        if self._dark_for is None or self._dark_for[0] != key:
            try:
                found = dark_properties(self._lake, [workspace.id for workspace in active], now=now)
            except DamagedError:
                # The damage is a reason of its own.
                found = []
            self._dark_for = (key, of_configured(found, active))
        return self._dark_for[1]
