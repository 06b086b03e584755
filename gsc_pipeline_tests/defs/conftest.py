"""A Dagster instance for each test, and the definitions with resources of a simulated world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.days import Window, utc_now
from gsc_pipeline.defs.assets.searchdata import searchdata_asset
from gsc_pipeline.defs.build import build_defs
from gsc_pipeline.defs.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    WORKSPACES,
    partition_key,
    partitions_definition,
)
from gsc_pipeline.search_console.breakers import BreakerState
from gsc_pipeline.settings import load_settings
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.sync.sync_all import OpenConsole
from gsc_pipeline.sync.telemetry import AutoSyncComplete
from gsc_pipeline.sync.ticks import TickBook
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.defs.resources import doubles
from gsc_pipeline_tests.doubles import RecordingTelemetry
from gsc_pipeline_tests.instances import instance_on_files
from gsc_pipeline_tests.world import World


@dataclass
class Orchestra:
    """The asset, its resources and an instance; `workspaces` may be changed at any time."""

    world: World
    instance: dg.DagsterInstance
    workspaces: list[Workspace]
    start: date = date(2026, 11, 1)
    telemetry: RecordingTelemetry = field(default_factory=RecordingTelemetry)
    breaker: BreakerState | None = None
    token_breakers: dict[str, BreakerState] = field(default_factory=dict)
    ended: list[AutoSyncComplete] = field(default_factory=list)
    list_workspaces: Callable[[], tuple[Workspace, ...]] | None = None
    open_console: OpenConsole | None = None
    on_end: Callable[[AutoSyncComplete], None] | None = None
    cursors: dict[str, str | None] = field(default_factory=dict)

    @property
    def resources(self) -> dict[str, Any]:
        return doubles(
            listed=self.list_workspaces or (lambda: tuple(self.workspaces)),
            open_console=self.open_console or self.world.open_console,
            lake=self.world.lake,
            folder=self.world.folder,
            telemetry=self.telemetry,
            clock=lambda: self.world.now,
            breaker=lambda: self.breaker,
            token_breakers=lambda workspaces: self.token_breakers,
            on_end=self.on_end or self.ended.append,
        )

    @property
    def ticks(self) -> TickBook:
        return TickBook(open_store(str(self.world.folder / "state.db")))

    def materialize(
        self, *, key: str | None = None, tags: Mapping[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """One run of the multi-asset in this process, three attempts without a pause between them."""
        partitions = partitions_definition(self.start, lambda: [w.id for w in self.workspaces])
        return dg.materialize(
            [searchdata_asset(partitions, dg.RetryPolicy(max_retries=2))],
            instance=self.instance,
            resources=self.resources,
            partition_key=key,
            tags=tags,
            raise_on_error=False,
        )

    def evaluate(self, sensor: str, **settings: object) -> Any:
        """One evaluation of a sensor, of which the daemon stored the cursor of the one before."""
        defs = build_defs(load_settings(**settings), resources=self.resources)
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(sensor),
            resources=self.resources,
            repository_def=defs.get_repository_def(),
        ) as context:
            found = defs.resolve_sensor_def(sensor).evaluate_tick(context)
        self.cursors[sensor] = found.cursor
        return found

    def materialized(self, asset: str = "searchdata_site_impression") -> dict[str, dict[str, Any]]:
        """The partitions that have a materialization, with the metadata of the newest of each."""
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=1000, ascending=True).records
        return {
            str(record.partition_key): {
                name: value.value for name, value in record.asset_materialization.metadata.items()
            }
            for record in records
            if record.asset_materialization
        }

    def check(self) -> Any:
        """The newest evaluation of `no_partial_failures`."""
        key = dg.AssetCheckKey(dg.AssetKey("searchdata_site_impression"), "no_partial_failures")
        (record,) = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        assert record.event is not None
        return record.event.dagster_event.event_specific_data  # type: ignore[union-attr]

    def summary(self, result: dg.ExecuteInProcessResult) -> tuple[int, str]:
        """The level and the text of the last summary in the log of a run."""
        entries = self.instance.all_logs(result.run_id)
        found = [entry for entry in entries if " workspaces complete, " in entry.user_message]
        return int(found[-1].level), found[-1].user_message


def range_tags(workspace: str, window: Window) -> dict[str, str]:
    """The tags that make one run of the window's days of one workspace.

    Both ends name the same workspace: Dagster takes the product of the two dimensions' ranges, and the
    order of the workspaces is that in which they were registered.
    """
    return {
        RANGE_START_TAG: partition_key(window.start, workspace),
        RANGE_END_TAG: partition_key(window.last, workspace),
    }


@pytest.fixture
def orchestra(world: World) -> Iterator[Orchestra]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme", "globex"])
        yield Orchestra(world, instance, [world.workspace("acme"), world.workspace("globex")])


@pytest.fixture
def orchestra_now(tmp_path: Path) -> Iterator[Orchestra]:
    """At the real time, which Dagster gives to the runs' ends."""
    with (
        World.serving(tmp_path, now=utc_now()) as world,
        instance_on_files(tmp_path / "dagster") as instance,
    ):
        instance.add_dynamic_partitions(WORKSPACES, ["acme", "globex"])
        yield Orchestra(world, instance, [world.workspace("acme"), world.workspace("globex")])
