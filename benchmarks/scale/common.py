"""What the parts share: sizes, results, timers, and synthetic workspaces on a server."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import Server, serving
from benchmarks.scale.filling import ROWS_SERVED, SITES, workspace_id
from gsc_pipeline.days import pacific_today
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.workspaces.registry import Workspace


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of the parts. `sample` is the number of timed syncs of an idle tick."""

    workspaces: int = 1_000
    months: int = 16
    idle: tuple[int, ...] = (1, 10, 100, 1_000)
    sample: int = 100
    shared: tuple[int, ...] = (1, 5, 20)
    lake_workspaces: int = 20
    lake_rows_a_day: int = 1_033
    writers: int = 6
    commits: int = 20
    at_once: tuple[int, ...] = (1, 4, 16, 50)
    commits_at_once: int = 64
    ticks: int = 40
    old_runs: int = 10_000


FULL = Sizes(lake_workspaces=100, ticks=120)
TINY = Sizes(
    workspaces=6,
    months=2,
    idle=(1, 2),
    sample=2,
    shared=(1,),
    lake_workspaces=1,
    lake_rows_a_day=30,
    writers=2,
    commits=2,
    at_once=(1, 2),
    commits_at_once=4,
    ticks=4,
    old_runs=40,
)


@dataclass(frozen=True, slots=True)
class Part:
    """The result of a part: a table, and what it means."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall and CPU seconds of a function, the peak memory of its process, and its result."""

    wall: float
    cpu: float
    peak_mib: float
    result: Any = None


def timed(work: Callable[[], Any]) -> Timing:
    """Call a function and measure it."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Timing(time.perf_counter() - wall, time.process_time() - cpu, _peak_mib(), result)


def in_a_process(work: Callable[..., Any], *arguments: Any) -> Timing:
    """The same in a process of its own. Its start and imports are not measured."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (work, arguments))


def _timed(work: Callable[..., Any], arguments: Sequence[Any]) -> Timing:
    # Imported when first used. No part measures that.
    import duckdb  # noqa: F401
    import pyarrow.dataset  # noqa: F401

    return timed(lambda: work(*arguments))


def _peak_mib() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def today() -> date:
    """The Pacific day."""
    return pacific_today(datetime.now(UTC))


def workspaces(count: int, key: Path) -> list[Workspace]:
    """Workspaces with three properties each."""
    return [
        Workspace(
            id=workspace_id(number),
            name=workspace_id(number),
            credentials=ServiceAccountFile(key),
            properties=SITES,
            search_types=(QueryType.WEB,),
        )
        for number in range(count)
    ]


def write_workspaces_file(folder: Path, count: int) -> Path:
    """Write the same workspaces to a workspaces file. The key is expected in the same folder."""
    entries = [
        {
            "id": workspace_id(number),
            "properties": list(SITES),
            "credentials": {"service_account_file": "key.json"},
        }
        for number in range(count)
    ]
    file = folder / "workspaces.yaml"
    file.write_text(yaml.safe_dump({"workspaces": entries}), encoding="utf-8")
    return file


@contextmanager
def small_server(folder: Path) -> Iterator[Server]:
    """A server with a small property, of which idle ticks read the totals only."""
    with serving(folder, rows=ROWS_SERVED, sites=SITES) as server:
        yield server


def ms(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1000:,.1f} ms"


def s(seconds: float) -> str:
    """Seconds."""
    return f"{seconds:,.2f} s"


def mib(size: float) -> str:
    """Mebibytes."""
    return f"{size:,.0f} MiB"
