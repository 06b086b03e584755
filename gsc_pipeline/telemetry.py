"""Telling whoever listens what the pipeline did: one function, `emit`, and the events it is called with.

Belongs here: the events' names and fields, which are the same everywhere (audit log, asset metadata,
metrics), and handing them to handlers. Does not: what a handler does with them (`audit`), when they are due.

    auto_sync.started         a tick has begun: total_workspaces
    workspace_sync.complete   one workspace of it has ended, well or not
    auto_sync.complete        the tick has ended, and something was synced
    auto_sync.failure         the tick has ended, and nothing was
    housekeeping.complete     the lake and the Dagster instance have been tidied

Names and fields are a stable interface: fields may be added, none is renamed or dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

log = logging.getLogger(__name__)

Handler = Callable[[str, Mapping[str, float], Mapping[str, Any]], None]
"""Is told an event's name, its measurements (numbers) and its metadata (what tells it from others)."""


@dataclass(frozen=True, slots=True)
class Event:
    """The base of the events: numbers are its measurements, all else is its metadata."""

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
    """A tick has begun. `tick` names it: the moment it was due, in ISO form."""

    name = "auto_sync.started"
    tick: str
    total_workspaces: int


@dataclass(frozen=True, slots=True)
class WorkspaceSyncComplete(Event):
    """One workspace has been synced; `outcome` is success or failure, as in `sync_runs`.

    Rates are rows read by second: `urls_per_second` of searchdata_url_impression, `queries_per_second` of
    searchdata_site_impression. `reasons` are its problems, a line each; a success may have some.
    """

    name = "workspace_sync.complete"
    tick: str
    workspace: str
    run_id: str
    outcome: str
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


@dataclass(frozen=True, slots=True)
class AutoSyncComplete(Event):
    """A tick has ended, and at least one workspace was synced. Rates as for a workspace.

    `reasons` says of each failed workspace why.
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


@dataclass(frozen=True, slots=True)
class AutoSyncFailure(AutoSyncComplete):
    """A tick has ended, and no workspace was synced."""

    name = "auto_sync.failure"


@dataclass(frozen=True, slots=True)
class HousekeepingComplete(Event):
    """The Dagster instance and the lake have been tidied. Files and bytes are the lake's.

    `failures` counts those of the two that could not be, of which the numbers say nothing.
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
    """Hands events to the handlers that were attached when it was made, in their order.

    A handler that fails is logged and never stops the others or the sync. Safe to share between threads
    where the handlers are.
    """

    def __init__(self, *handlers: Handler) -> None:
        self._handlers = handlers

    def emit(self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        """Tell every handler of the event called `event`. Never raises."""
        for handler in self._handlers:
            try:
                handler(event, measurements, metadata)
            # A handler may do anything (files, sockets, other people's code); the sync matters more.
            except Exception:
                log.exception("the telemetry handler %r failed on %s; the sync goes on", handler, event)

    def tell(self, event: Event) -> None:
        """Emit one of the events above."""
        self.emit(event.name, event.measurements, event.metadata)
