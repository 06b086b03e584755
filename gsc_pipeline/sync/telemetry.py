"""Telemetry: the events of automatic syncs, and the handlers that receive them.

    auto_sync.started         a tick started: total_workspaces
    workspace_sync.complete   the sync of one workspace ended, with any outcome
    auto_sync.complete        a tick ended, and something was synced
    auto_sync.failure         a tick ended, and nothing was synced; or its evaluation failed
    housekeeping.complete     the lake and the Dagster instance were cleaned up

Names and fields are a stable interface: fields may be added, none is renamed or dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, ClassVar

from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.report import SyncReport

log = logging.getLogger(__name__)

Handler = Callable[[str, Mapping[str, float], Mapping[str, Any]], None]
"""Called with an event's name, its measurements (numbers) and its metadata (everything else)."""


@dataclass(frozen=True, slots=True)
class Event:
    """The base of the events: numbers are its measurements, all other fields its metadata."""

    name: ClassVar[str]

    @property
    def measurements(self) -> dict[str, float]:
        """The fields that are numbers."""
        return {key: value for key, value in self._values() if isinstance(value, int | float)}

    @property
    def metadata(self) -> dict[str, Any]:
        """The other fields."""
        return {key: value for key, value in self._values() if not isinstance(value, int | float)}

    def _values(self) -> list[tuple[str, Any]]:
        return [(one.name, getattr(self, one.name)) for one in fields(self)]


@dataclass(frozen=True, slots=True)
class AutoSyncStarted(Event):
    """A tick started. `tick` is the time it was due, in ISO form."""

    name = "auto_sync.started"
    tick: str
    total_workspaces: int


@dataclass(frozen=True, slots=True)
class WorkspaceSyncComplete(Event):
    """The sync of one workspace ended; `outcome` as in `sync_runs`, the counts as `sync.report.Counts`.

    Rates are rows read per second: `urls_per_second` for searchdata_url_impression, `queries_per_second` for
    searchdata_site_impression. `reasons` are the problems, one line each; a complete sync may have some.
    `retry_at` (UTC, ISO form) is when a deferred part may be tried again, empty if nothing is deferred.
    """

    name = "workspace_sync.complete"
    tick: str
    workspace: str
    run_id: str
    outcome: Outcome
    duration_ms: int
    days_read: int
    days_unchanged: int
    days_failed: int
    site_rows: int
    url_rows: int
    calls: int
    retries: int
    urls_per_second: float
    queries_per_second: float
    reasons: tuple[str, ...] = ()
    days_empty: int = 0
    retry_at: str = ""

    @classmethod
    def of(cls, report: SyncReport, tick: str) -> WorkspaceSyncComplete:
        """The event of one workspace's sync."""
        counts = report.counts
        return cls(
            tick=tick,
            workspace=report.workspace,
            run_id=report.run_id,
            outcome=report.outcome,
            duration_ms=round(report.seconds * 1000),
            **asdict(counts),
            urls_per_second=_rate(counts.url_rows, report.seconds),
            queries_per_second=_rate(counts.site_rows, report.seconds),
            reasons=tuple(str(problem) for problem in report.problems),
            retry_at=report.retry_at.astimezone(UTC).isoformat() if report.retry_at else "",
        )

    @classmethod
    def untried(cls, workspace: str, tick: str, reason: str, retry_at: datetime) -> WorkspaceSyncComplete:
        """The outcome of a workspace for which its tick has requested no run yet. A run replaces it."""
        return cls(
            tick=tick,
            workspace=workspace,
            run_id="",
            outcome=Outcome.FAILED,
            duration_ms=0,
            days_read=0,
            days_unchanged=0,
            days_failed=0,
            site_rows=0,
            url_rows=0,
            calls=0,
            retries=0,
            urls_per_second=0.0,
            queries_per_second=0.0,
            reasons=(reason,),
            retry_at=retry_at.isoformat(),
        )


@dataclass(frozen=True, slots=True)
class AutoSyncComplete(Event):
    """A tick ended, and at least one workspace was synced. The rates are as in WorkspaceSyncComplete.

    total_workspaces = successes + partial + failures. `reasons` has an entry for each workspace that is
    partial or failed.
    """

    name = "auto_sync.complete"
    tick: str
    total_workspaces: int
    successes: int
    failures: int
    duration_ms: int
    urls_per_second: float
    queries_per_second: float
    reasons: Mapping[str, str] = field(default_factory=dict)
    partial: int = 0

    @staticmethod
    def of(
        tick: str,
        ended: Sequence[WorkspaceSyncComplete],
        *,
        duration_ms: int,
        missing: Mapping[str, str] | None = None,
    ) -> AutoSyncComplete:
        """The event of a tick whose workspaces have `ended`; AutoSyncFailure when none was synced.

        `missing` are workspaces of the tick without a report, each with the reason: they count as failures.
        """
        by_outcome = {outcome: [one for one in ended if one.outcome == outcome] for outcome in Outcome}
        partial, failed = by_outcome[Outcome.PARTIAL], by_outcome[Outcome.FAILED]
        reasons = {one.workspace: "; ".join(one.reasons) for one in (*partial, *failed)}
        failures = len(failed) + len(missing or {})
        was_synced = len(ended) > len(failed) or not failures
        return (AutoSyncComplete if was_synced else AutoSyncFailure)(
            tick=tick,
            total_workspaces=len(ended) + len(missing or {}),
            successes=len(by_outcome[Outcome.COMPLETE]),
            partial=len(partial),
            failures=failures,
            duration_ms=duration_ms,
            urls_per_second=_rate(sum(one.url_rows for one in ended), duration_ms / 1000),
            queries_per_second=_rate(sum(one.site_rows for one in ended), duration_ms / 1000),
            reasons={**reasons, **(missing or {})},
        )


@dataclass(frozen=True, slots=True)
class AutoSyncFailure(AutoSyncComplete):
    """A tick ended, and no workspace was synced; or its evaluation failed."""

    name = "auto_sync.failure"

    @classmethod
    def unevaluated(cls, tick: str, error: Exception) -> AutoSyncFailure:
        """The event of a tick whose evaluation an error ended, before it requested any run."""
        return cls(
            tick=tick,
            total_workspaces=0,
            successes=0,
            failures=0,
            duration_ms=0,
            urls_per_second=0.0,
            queries_per_second=0.0,
            reasons={"(all)": " ".join(str(error).split()) or type(error).__name__},
        )


@dataclass(frozen=True, slots=True)
class HousekeepingComplete(Event):
    """The Dagster instance and the lake were cleaned up. Files and bytes are the lake's.

    `failures` is the number of the two that could not be cleaned up completely. The other numbers count what
    was deleted, also before a failure.
    """

    name = "housekeeping.complete"
    runs_deleted: int
    check_results_deleted: int
    ticks_deleted: int
    files_removed: int
    bytes_freed: int
    failures: int
    duration_ms: int


class Telemetry:
    """Passes each event to the handlers, in their order.

    A handler that fails is logged and stops neither the others nor the sync. Threads may share an instance
    if they may share its handlers.
    """

    def __init__(self, *handlers: Handler) -> None:
        self._handlers = handlers

    def emit(self, name: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        """Pass an event to every handler. Never raises."""
        for handler in self._handlers:
            try:
                handler(name, measurements, metadata)
            # A handler may run any code and raise any error. None may stop the sync.
            except Exception:
                log.exception("telemetry handler %r failed on %s", handler, name)

    def emit_event(self, event: Event) -> None:
        """Emit one of the events above."""
        self.emit(event.name, event.measurements, event.metadata)


def _rate(rows: int, seconds: float) -> float:
    return round(rows / seconds, 1) if seconds else 0.0
