"""Doubles of the resources: they answer from a test's own objects instead of files and the network."""

# Annotations are not deferred here: Dagster reads them when it makes a resource's class.

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from typing_extensions import override

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.resources import (
    LakeTables,
    Notifications,
    ReportsFolder,
    SearchConsoleApi,
    SharedState,
    TelemetryLog,
    WorkspacesFile,
)
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.breakers import BreakerState
from gsc_pipeline.settings import load_settings
from gsc_pipeline.sync.sync_all import OpenConsole
from gsc_pipeline.sync.telemetry import AutoSyncComplete, Event, Telemetry
from gsc_pipeline.workspaces.registry import Workspace


class GivenWorkspaces(WorkspacesFile):
    """Workspaces of a function instead of a file."""

    listed: dg.ResourceDependency[Callable[[], tuple[Workspace, ...]]]

    @override
    def load(self) -> tuple[Workspace, ...]:
        return self.listed()


class GivenLake(LakeTables):
    """The lake of a function."""

    given: dg.ResourceDependency[Callable[[], Lake]]

    @override
    def open(self) -> Lake:
        return self.given()


class GivenSearchConsole(SearchConsoleApi):
    """Consoles and circuit breakers of functions."""

    open_console: dg.ResourceDependency[OpenConsole]
    breaker: dg.ResourceDependency[Callable[[], BreakerState | None]]
    token_breakers: dg.ResourceDependency[Callable[[Sequence[Workspace]], Mapping[str, BreakerState]]]

    @override
    def opener(self, *, by_person: bool) -> OpenConsole:
        return self.open_console

    @override
    def breaker_state(self) -> BreakerState | None:
        return self.breaker()

    @override
    def token_breaker_states(self, workspaces: Sequence[Workspace]) -> Mapping[str, BreakerState]:
        return self.token_breakers(workspaces)


class GivenTelemetry(TelemetryLog):
    """Telemetry of a test, which keeps what it receives."""

    telemetry: dg.ResourceDependency[Telemetry]

    @override
    def emit_event(self, event: Event) -> None:
        self.telemetry.emit_event(event)


class GivenNotifications(Notifications):
    """Calls a function instead of alerting anyone."""

    on_end: dg.ResourceDependency[Callable[[AutoSyncComplete], None]]

    @override
    def send(self, ended: AutoSyncComplete) -> None:
        self.on_end(ended)


def doubles(
    *,
    listed: Callable[[], tuple[Workspace, ...]],
    open_console: OpenConsole,
    lake: Lake,
    folder: Path,
    telemetry: Telemetry,
    clock: Clock,
    breaker: Callable[[], BreakerState | None] = lambda: None,
    token_breakers: Callable[[Sequence[Workspace]], Mapping[str, BreakerState]] = lambda workspaces: {},
    on_end: Callable[[AutoSyncComplete], None] = lambda ended: None,
) -> dict[str, Any]:
    """Every resource, for `build_defs` or `dg.materialize`. State and reports are files in `folder`."""
    settings = load_settings(
        lake=lake.uri,
        state=str(folder / "state.db"),
        reports=str(folder / "reports"),
        # Each call takes some milliseconds, and most tests are not about a backfill.
        appearance_backfill_calls=5,
    )
    return {
        "workspaces": GivenWorkspaces.of(settings, listed=listed),
        "lake": GivenLake.of(settings, given=lambda: lake),
        "state": SharedState.of(settings),
        "search_console": GivenSearchConsole.of(
            settings, open_console=open_console, breaker=breaker, token_breakers=token_breakers, clock=clock
        ),
        "telemetry": GivenTelemetry.of(settings, telemetry=telemetry, clock=clock),
        "notifications": GivenNotifications.of(settings, on_end=on_end, clock=clock),
        "reports": ReportsFolder.of(settings),
        "clock": clock,
    }
