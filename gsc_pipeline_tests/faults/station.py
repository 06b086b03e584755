"""The schedule, its runs and the summary in this process, on a clock that a test sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from gsc_pipeline.defs.build import build_defs
from gsc_pipeline.search_console.breakers import SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.guards import Guards
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.token_breakers import TokenBreakers
from gsc_pipeline.settings import Settings, load_settings
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline.sync.telemetry import AutoSyncComplete, Telemetry
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.defs.resources import doubles
from gsc_pipeline_tests.instances import instance_on_files
from gsc_pipeline_tests.world import World


def guards_of(world: World, store: Store) -> Guards:
    """The default limiter and breakers of a process; the world records how long they would have waited."""
    return Guards(
        SharedLimiter(store, clock=lambda: world.now, sleep=world.waits.append),
        SharedBreaker(store, world.url, clock=lambda: world.now),
        TokenBreakers(store, clock=lambda: world.now),
    )


def guarded_console(
    world: World, store: Store, workspace: Workspace, attempts: int = 3, guards: Guards | None = None
) -> HttpSearchConsole:
    """The live client with these guards, or those of a new process; records how long it would have waited."""
    return HttpSearchConsole(
        workspace.credentials,
        base_url=world.url,
        retry=RetryPolicy(attempts=attempts, sleep=world.waits.append),
        guards=guards or guards_of(world, store),
        clock=lambda: world.now,
    )


@dataclass
class Station:
    """The schedule, the job and the summary of a world's `workspaces`, run as the daemon runs them."""

    world: World
    instance: dg.DagsterInstance
    workspaces: list[Workspace]
    settings: Settings
    store: Store
    telemetry: Telemetry
    ended: list[AutoSyncComplete] = field(default_factory=list)

    @classmethod
    @contextmanager
    def of(
        cls,
        world: World,
        workspaces: list[Workspace],
        *,
        telemetry: Telemetry | None = None,
        **settings: Any,
    ) -> Iterator[Station]:
        """A station on an instance that persists under the world's folder."""
        settings = {"start_date": date(2026, 1, 1), "auto_sync_days": 5, "api_url": world.url, **settings}
        store = open_store(str(world.folder / "state.db"))
        with instance_on_files(world.folder / "dagster") as instance:
            yield cls(world, instance, workspaces, load_settings(**settings), store, telemetry or Telemetry())
        store.close()

    def __post_init__(self) -> None:
        guards = guards_of(self.world, self.store)
        breaker, endpoints = guards.breaker, guards.token_breakers
        assert breaker is not None
        assert endpoints is not None
        self.resources = doubles(
            listed=lambda: tuple(self.workspaces),
            open_console=lambda one: guarded_console(self.world, self.store, one, guards=guards),
            lake=self.world.lake,
            folder=self.world.folder,
            telemetry=self.telemetry,
            clock=lambda: self.world.now,
            breaker=breaker.state,
            token_breakers=lambda workspaces: endpoints.not_closed_for(
                {w.id: w.credentials for w in workspaces}
            ),
            on_end=self.ended.append,
        )
        # The project's definitions, without the pause between attempts.
        retries = dg.RetryPolicy(max_retries=2)
        self.definitions = build_defs(self.settings, self.resources, retries=retries)

    def ask(self) -> list[dg.RunRequest] | str:
        """Evaluate the schedule now: the runs it requests, or why it requests none."""
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=self.world.now,
            resources=self.resources,
            repository_def=self.definitions.get_repository_def(),
        ) as context:
            found: Any = self.definitions.resolve_schedule_def("gsc_auto_sync").evaluate_tick(context)
        return list(found.run_requests or []) or str(found.skip_message)

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """One run that was requested."""
        return self.definitions.resolve_job_def("gsc_sync").execute_in_process(
            instance=self.instance, tags=dict(request.tags), raise_on_error=False
        )

    def sum_up(self) -> list[Any]:
        """Evaluate the summary's sensor: its events, reported to the instance as the daemon does."""
        with dg.build_sensor_context(
            instance=self.instance,
            resources=self.resources,
            repository_def=self.definitions.get_repository_def(),
        ) as context:
            found: Any = self.definitions.resolve_sensor_def("gsc_tick_summary").evaluate_tick(context)
        events = list(found.asset_events)
        for event in events:
            self.instance.report_runless_asset_event(event)
        return events

    def tick(self) -> AutoSyncComplete | str:
        """One tick of the schedule, all its runs, and the summary; or why there was none."""
        asked = self.ask()
        if isinstance(asked, str):
            return asked
        for request in asked:
            self.run(request)
        self.sum_up()
        return self.ended[-1]
