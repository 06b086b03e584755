"""The size of Dagster's database and of Delta's logs and files after a month of ticks."""

# Annotations are not deferred here: Dagster reads them when it makes a resource's class.

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
from deltalake import DeltaTable

from benchmarks.measure import Server
from benchmarks.scale.common import Part, Sizes, ms, s, small_server, timed, workspaces
from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.defs.assets.searchdata import TICK_TAG, searchdata_asset
from gsc_pipeline.defs.jobs import run_tags
from gsc_pipeline.defs.partitions import WORKSPACES, partitions_definition
from gsc_pipeline.defs.resources import LakeTables, WorkspacesFile, all_resources
from gsc_pipeline.lake.arrow_process import prepare_arrow
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.maintenance import compact_and_vacuum
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, SYNC_RUNS
from gsc_pipeline.settings import load_settings
from gsc_pipeline.workspaces.registry import Workspace

TICK = timedelta(hours=6)
TABLES = (SYNC_RUNS, SYNC_LEDGER, SITE_IMPRESSION)


class _OneWorkspace(WorkspacesFile):
    listed: dg.ResourceDependency[tuple[Workspace, ...]]

    def load(self) -> tuple[Workspace, ...]:
        return self.listed


class _FreshLake(LakeTables):
    def open(self) -> Lake:
        return Lake(self.lake)


def measure(folder: Path, sizes: Sizes) -> Part:
    """The same ticks without and with housekeeping. Every fourth tick reads a new day."""
    prepare_arrow()
    rows = []
    with small_server(folder) as server:
        for cleaned in (False, True):
            rows += _month(folder / ("with" if cleaned else "without"), server, sizes.ticks, cleaned)
    return Part(
        f"After {sizes.ticks} ticks of one workspace",
        ("", "files of rows", "log files", "log size", "time to open"),
        tuple(rows),
        "Three properties. Every fourth tick reads a new day, the others find no change. The files' times "
        "are set back by six hours a tick, so that a month passes for housekeeping (at every fourth tick). "
        "Dagster keeps runs and events for ever, so its database grows by the same amount each month; a "
        "tick shared by 20 workspaces (`GSC_WORKSPACES_PER_RUN`) writes the records of one run for all of "
        "them. Without housekeeping, opening a table reads the commits since its last checkpoint, which "
        "Delta writes every hundred commits.",
    )


def _month(folder: Path, server: Server, ticks: int, cleaned: bool) -> Iterator[tuple[str, ...]]:
    lake, home = Lake(str(folder / "lake")), folder / "home"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    start = datetime.now(UTC) - ticks * TICK
    with dg.DagsterInstance.from_config(str(home)) as instance:
        empty = _bytes(home)
        seconds = [_tick(instance, lake, server, folder, start + n * TICK, n, cleaned) for n in range(ticks)]
        sizes = _bytes(home)
    title = "with housekeeping" if cleaned else "without housekeeping"
    for table in TABLES:
        uri = lake.table_uri(table)
        opened = timed(partial(DeltaTable, uri))
        log = list((Path(uri) / "_delta_log").iterdir())
        yield (
            f"`{table.name}`, {title}",
            f"{len(opened.result.file_uris())}",
            f"{len(log)}",
            f"{sum(file.stat().st_size for file in log) / 1024:,.0f} KiB",
            ms(opened.wall),
        )
    few = max(1, ticks // 10)
    yield (
        f"Dagster's files, {title}: {(sizes - empty) / ticks / 1024:,.0f} KiB a tick; a tick's CPU, the "
        f"first {few} idle ones {s(_mean(seconds[1 : few + 1]))}, the last {few} {s(_mean(seconds[-few:]))}",
        "",
        "",
        f"{sizes / 1024:,.0f} KiB",
        "",
    )


def _tick(
    instance: dg.DagsterInstance,
    lake: Lake,
    server: Server,
    folder: Path,
    at: datetime,
    n: int,
    cleaned: bool,
) -> float:
    """The CPU seconds of one run at that time. It opens the tables, as the process of a run does."""
    settings = load_settings(
        lake=lake.uri,
        api_url=server.url,
        api_limit_factor=100,
        state=str(folder / "state.db"),
        audit_log="off",
    )
    listed = tuple(workspaces(1, server.key))
    doubles = {
        "workspaces": _OneWorkspace.of(settings, listed=listed),
        "lake": _FreshLake.of(settings),
        "clock": lambda: at,
    }
    ids = [workspace.id for workspace in listed]
    instance.add_dynamic_partitions(WORKSPACES, ids)
    window = Window.last_complete(14, pacific_today(at))
    asset = searchdata_asset(partitions_definition(settings.start_date, lambda: ids))
    done = timed(
        lambda: dg.materialize(
            [asset],
            instance=instance,
            resources=all_resources(settings, doubles),
            tags={TICK_TAG: at.isoformat(), **run_tags(ids, window)},
        )
    )
    assert done.result.success
    _age(Path(lake.uri), TICK)
    if cleaned and n % 4 == 3:
        compact_and_vacuum(lake, clock=lambda: at)
    return done.cpu


def _age(folder: Path, by: timedelta) -> None:
    """Set the time of every file back."""
    for file in folder.rglob("*"):
        if file.is_file():
            before = file.stat().st_mtime - by.total_seconds()
            os.utime(file, (before, before))


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
