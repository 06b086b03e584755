"""The Dagster resources: thin, lazy, and each to be swapped for a double by `build_defs(resources=…)`.

Belongs here: which objects of the core the assets, schedules and sensors are given. Does not: those
objects (`wiring` makes them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.breaker import BreakerState
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.everyone import OpenConsole
from gsc_pipeline.sync.inspections import PER_DAY
from gsc_pipeline.sync.property import SyncOptions
from gsc_pipeline.telemetry import AutoSyncComplete, Telemetry
from gsc_pipeline.ticks import TickBook
from gsc_pipeline.wiring import (
    after_tick,
    circuit_breaker,
    console_opener,
    held_back,
    shared_state,
    sync_options,
    telemetry,
)
from gsc_pipeline.workspaces import Workspace, load_workspaces


@dataclass(frozen=True)
class Pipeline:
    """What a sync needs besides a window, in one resource called `pipeline`.

    `list_workspaces` reads the workspaces file anew each time, so that an edit counts from the next run
    on; it lists inactive ones too, and raises ConfigurationError for a bad file. `breaker_state` is None
    where there is no circuit breaker; `held_back` tells of workspaces, by their ids, whose token endpoint is
    left alone; `after_tick` is told of each tick's end; `reports` is the folder of
    the clients' reports.
    """

    list_workspaces: Callable[[], tuple[Workspace, ...]]
    open_console: OpenConsole
    lake: Lake
    options: SyncOptions
    ticks: TickBook
    telemetry: Telemetry = field(default_factory=Telemetry)
    breaker_state: Callable[[], BreakerState] | None = None
    held_back: Callable[[Sequence[Workspace]], Mapping[str, BreakerState]] = lambda workspaces: {}
    after_tick: Callable[[AutoSyncComplete], None] = lambda ended: None
    inspections_per_day: int = PER_DAY
    reports: Path = Path("reports")
    clock: Clock = utc_now


def live_pipeline(settings: Settings, clock: Clock = utc_now) -> Pipeline:
    """The pipeline against Google's API, or whatever `GSC_API_URL` names."""
    store, tell = shared_state(settings), telemetry(settings, clock)
    breaker = circuit_breaker(settings, store, clock)
    return Pipeline(
        list_workspaces=lambda: load_workspaces(settings.workspaces_file),
        open_console=console_opener(settings, clock),
        lake=Lake(settings.lake),
        options=sync_options(settings),
        ticks=TickBook(store),
        telemetry=tell,
        breaker_state=breaker.state if breaker else None,
        held_back=held_back(settings, store, clock),
        after_tick=after_tick(settings, tell, clock),
        inspections_per_day=settings.inspections_per_day,
        reports=settings.reports,
        clock=clock,
    )
