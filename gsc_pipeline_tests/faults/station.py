"""Dagster's part of the pipeline in this process: the schedule, its runs and the summary, on a set clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from gsc_pipeline.assets.searchdata import searchdata_asset
from gsc_pipeline.jobs import sync_job
from gsc_pipeline.partitions import partitions_definition
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.schedules import auto_sync_schedule
from gsc_pipeline.search_console.breaker import SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.token_breakers import TokenBreakers
from gsc_pipeline.settings import Settings, load_settings
from gsc_pipeline.state.store import Store, open_store
from gsc_pipeline.sync.property import SyncOptions
from gsc_pipeline.telemetry import AutoSyncComplete, Telemetry
from gsc_pipeline.tick_summary import AUTO_SYNC, auto_sync_check, tick_summary_sensor
from gsc_pipeline.ticks import TickBook
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.world import World


def guarded_console(world: World, store: Store, workspace: Workspace, attempts: int = 3) -> HttpSearchConsole:
    """The live client with limiter and breaker as they come, which records what it would have waited."""
    return HttpSearchConsole(
        workspace.credentials,
        base_url=world.url,
        retry=RetryPolicy(attempts=attempts, sleep=world.waits.append),
        limiter=SharedLimiter(store, clock=lambda: world.now, sleep=world.waits.append),
        breaker=SharedBreaker(store, world.url, clock=lambda: world.now),
        token_breaker=TokenBreakers(store, clock=lambda: world.now).at,
        clock=lambda: world.now,
    )


@dataclass
class Station:
    """The schedule, the job and the summary of a world's `workspaces`, as the daemon would drive them."""

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
        home = world.folder / "dagster"
        home.mkdir()
        settings = {"start_date": date(2026, 1, 1), "auto_sync_days": 5, "api_url": world.url, **settings}
        store = open_store(str(world.folder / "state.db"))
        with dg.instance_for_test(temp_dir=str(home)) as instance:
            yield cls(world, instance, workspaces, load_settings(**settings), store, telemetry or Telemetry())
        store.close()

    def __post_init__(self) -> None:
        endpoints = TokenBreakers(self.store, clock=lambda: self.world.now)
        job = sync_job(self.settings)
        partitions = partitions_definition(
            self.settings.start_date, lambda: [workspace.id for workspace in self.workspaces]
        )
        self.pipeline = Pipeline(
            list_workspaces=lambda: tuple(self.workspaces),
            open_console=lambda workspace: guarded_console(self.world, self.store, workspace),
            lake=self.world.lake,
            options=SyncOptions(),
            ticks=TickBook(self.store),
            telemetry=self.telemetry,
            breaker_state=SharedBreaker(self.store, self.world.url, clock=lambda: self.world.now).state,
            held_back=lambda workspaces: endpoints.held_back({w.id: w.credentials for w in workspaces}),
            after_tick=self.ended.append,
            clock=lambda: self.world.now,
        )
        self.definitions = dg.Definitions(
            # As it comes, but for the pause between attempts.
            assets=[searchdata_asset(partitions, dg.RetryPolicy(max_retries=2)), AUTO_SYNC],
            asset_checks=[auto_sync_check()],
            jobs=[job],
            schedules=[auto_sync_schedule(job, self.settings)],
            sensors=[tick_summary_sensor(job, self.settings)],
            resources={"pipeline": self.pipeline},
        )

    def ask(self) -> list[dg.RunRequest] | str:
        """One evaluation of the schedule, now: the runs it asks for, or why it asks for none."""
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=self.world.now,
            resources={"pipeline": self.pipeline},
            repository_def=self.definitions.get_repository_def(),
        ) as context:
            found: Any = self.definitions.resolve_schedule_def("gsc_auto_sync").evaluate_tick(context)
        return list(found.run_requests or []) or str(found.skip_message)

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """One run that was asked for."""
        return self.definitions.resolve_job_def("gsc_sync").execute_in_process(
            instance=self.instance, tags=dict(request.tags), raise_on_error=False
        )

    def sum_up(self) -> list[Any]:
        """One evaluation of the summary's sensor: its events, told to the instance as the daemon does."""
        with dg.build_sensor_context(
            instance=self.instance,
            resources={"pipeline": self.pipeline},
            repository_def=self.definitions.get_repository_def(),
        ) as context:
            found: Any = self.definitions.resolve_sensor_def("gsc_tick_summary").evaluate_tick(context)
        events = list(found.asset_events)
        for event in events:
            self.instance.report_runless_asset_event(event)
        return events

    def tick(self) -> AutoSyncComplete | str:
        """One firing of the schedule, all its runs, and the summary; or why there was none."""
        asked = self.ask()
        if isinstance(asked, str):
            return asked
        for request in asked:
            self.run(request)
        self.sum_up()
        return self.ended[-1]
