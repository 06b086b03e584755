"""What a month of ticks leaves behind: Dagster's database, Delta's logs and files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
from deltalake import DeltaTable

from benchmarks.measure import Server
from benchmarks.scale.common import Part, Sizes, ms, s, small_server, timed, workspaces
from gsc_pipeline.assets.searchdata import TICK_TAG, searchdata_asset
from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.footprint import reduce_footprint
from gsc_pipeline.jobs import run_tags
from gsc_pipeline.lake.housekeeping import compact_and_vacuum
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, SYNC_RUNS
from gsc_pipeline.partitions import WORKSPACES, partitions_definition
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.settings import load_settings
from gsc_pipeline.wiring import console_opener, sync_options

TICK = timedelta(hours=6)
TABLES = (SYNC_RUNS, SYNC_LEDGER, SITE_IMPRESSION)


def measure(folder: Path, sizes: Sizes) -> Part:
    """The same ticks twice; a day later every fourth, of which the new day is read."""
    reduce_footprint()
    rows = []
    with small_server(folder) as server:
        for tidied in (False, True):
            rows += _month(folder / ("tidied" if tidied else "left"), server, sizes.ticks, tidied)
    return Part(
        f"After {sizes.ticks} ticks of one workspace",
        ("", "files of rows", "log files", "log size", "time to open"),
        tuple(rows),
        "Three properties; a new day is read every fourth tick, the others find nothing. Files are aged by "
        "six hours a tick, so that housekeeping (once every fourth tick) sees a month pass. Dagster keeps "
        "runs and events for ever: its database grows with the ticks, at the same pace each month, and a "
        "tick shared by 20 workspaces (`GSC_WORKSPACES_PER_RUN`) leaves a run's records once for all of "
        "them. Without housekeeping every open of a table reads the commits since its last checkpoint, of "
        "which Delta makes one every hundred commits.",
    )


def _month(folder: Path, server: Server, ticks: int, tidied: bool) -> Iterator[tuple[str, ...]]:
    lake, home = Lake(str(folder / "lake")), folder / "home"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    start = datetime.now(UTC) - ticks * TICK
    with dg.DagsterInstance.from_config(str(home)) as instance:
        empty = _bytes(home)
        seconds = [_tick(instance, lake, server, folder, start + n * TICK, n, tidied) for n in range(ticks)]
        sizes = _bytes(home)
    title = "with housekeeping" if tidied else "without housekeeping"
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
    instance: dg.DagsterInstance, lake: Lake, server: Server, folder: Path, at: datetime, n: int, tidied: bool
) -> float:
    """One run at that moment; CPU seconds. Each opens the tables anew, as a run's own process does."""
    settings = load_settings(
        lake=lake.uri, api_url=server.url, api_limit_factor=100, state=str(folder / "state.db")
    )
    listed = tuple(workspaces(1, server.key))
    pipeline = Pipeline(
        list_workspaces=lambda: listed,
        open_console=console_opener(settings),
        lake=Lake(lake.uri),
        options=sync_options(settings),
        clock=lambda: at,
    )
    ids = [workspace.id for workspace in listed]
    instance.add_dynamic_partitions(WORKSPACES, ids)
    window = Window.last_complete(14, pacific_today(at))
    asset = searchdata_asset(partitions_definition(settings.start_date, lambda: ids))
    done = timed(
        lambda: dg.materialize(
            [asset],
            instance=instance,
            resources={"pipeline": pipeline},
            tags={TICK_TAG: at.isoformat(), **run_tags(ids, window)},
        )
    )
    assert done.result.success
    _age(Path(lake.uri), TICK)
    if tidied and n % 4 == 3:
        compact_and_vacuum(lake, clock=lambda: at)
    return done.cpu


def _age(folder: Path, by: timedelta) -> None:
    """Make every file older, as if the time had passed."""
    for file in folder.rglob("*"):
        if file.is_file():
            before = file.stat().st_mtime - by.total_seconds()
            os.utime(file, (before, before))


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
