"""Three days of six-hourly ticks over fifty workspaces, with faults: nothing is lost, nothing doubled."""

from __future__ import annotations

import base64
import os
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.jobs import workspaces_of
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, SYNC_RUNS, URL_IMPRESSION
from gsc_pipeline.simulator import (
    Call,
    Property,
    Reply,
    Revised,
    Revision,
    SyntheticProperty,
    google_error,
    site_truth,
    token_error,
    url_truth,
    visible_facts,
)
from gsc_pipeline.sync.standing import read_standing
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.faults.station import Station
from gsc_pipeline_tests.world import World, sorted_rows

pytestmark = pytest.mark.slow

START = datetime(2026, 11, 17, 12, 0, tzinfo=UTC)
TICKS, WORKSPACES, DAYS = 12, 50, 3
DEAD, DEAD_TICKS = "w07", range(4, 8)
FORBIDDEN_TO = "w11"
FORBIDDEN = "https://shop.w11.example/"
UNAVAILABLE = google_error(503, "backendError", "Service unavailable.")
TOO_FAST = google_error(429, "rateLimitExceeded", "Quota exceeded.", "usageLimits")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be had: thousands of small commits are not to wait for a disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(dir=memory))
    yield made
    shutil.rmtree(made)


def make_property(number: int, site_url: str, readers: Sequence[str] | None = None) -> Property:
    """A small property, with data on every third day, of which one in ten is revised when it was final."""
    start = START.date() - 10 * ONE_DAY
    idle = [start + n * ONE_DAY for n in range(20) if (n + number) % 3]
    made = SyntheticProperty(site_url, rows_a_day=8, plants=False, days_without_data=idle, readers=readers)
    if number % 10:
        return made
    late = START + timedelta(hours=40)
    return Revised(made, [Revision(START.date() + n * ONE_DAY, late, 1.5) for n in range(-1, 1)])


def make_properties() -> list[Property]:
    shops = [make_property(n, f"https://shop.w{n:02d}.example/") for n in range(0, WORKSPACES, 10)]
    forbidden = make_property(1, FORBIDDEN, ["somebody@example.com"])
    return [
        *(make_property(n, f"sc-domain:w{n:02d}.example") for n in range(WORKSPACES)),
        *shops,
        forbidden,
    ]


def make_workspaces(world: World) -> list[Workspace]:
    properties: dict[str, list[str]] = {}
    for prop in world.simulator.properties:
        properties.setdefault(prop.site_url.split(".example")[0][-3:], []).append(prop.site_url)
    return [world.workspace(id_, properties=sites) for id_, sites in sorted(properties.items())]


@dataclass
class Faults:
    """What goes wrong at the present tick. Random, from a seed."""

    dice: random.Random
    lock: threading.Lock
    tick: int = 0
    queries: int = 0
    met: int = 0

    def __call__(self, call: Call) -> Reply | None:
        with self.lock:
            reply = self._reply(call)
            self.met += reply is not None
        return reply

    def _reply(self, call: Call) -> Reply | None:
        if call.kind == "token":
            is_dead = self.tick in DEAD_TICKS and f"{DEAD}@" in _claims(call)
            return token_error("invalid_grant", "Token has been expired or revoked.") if is_dead else None
        if self.tick == TICKS - 1:
            return None
        self.queries += 1
        if self.queries % 200 in (0, 1):
            return TOO_FAST
        return UNAVAILABLE if self.dice.random() < 0.03 else None


def _claims(call: Call) -> str:
    claims = str(call.body.get("assertion", "..")).split(".")[1]
    return base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).decode()


@dataclass(frozen=True)
class Size:
    """What the pipeline takes up after a tick."""

    dagster_bytes: int
    lake_files: int
    memory_bytes: int

    @classmethod
    def of(cls, folder: Path) -> Size:
        resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            sum(file.stat().st_size for file in (folder / "dagster").rglob("*") if file.is_file()),
            sum(file.is_file() for file in (folder / "lake").rglob("*")),
            resident_pages * os.sysconf("SC_PAGE_SIZE"),
        )


def assert_copies_are_true(world: World, properties: Sequence[Property], days: Window) -> None:
    for table, make in ((SITE_IMPRESSION, site_truth), (URL_IMPRESSION, url_truth)):
        held: dict[tuple[str, date], list[Any]] = {}
        expected: dict[tuple[str, date], list[Any]] = {}
        names: list[str] = []
        for prop in properties:
            for day in days:
                facts = visible_facts(prop, "web", day, world.now)
                if facts is not None and (rows := make(facts)).num_rows:
                    names = rows.column_names
                    expected[prop.site_url, day] = sorted_rows(rows)
        columns = ["site_url", "data_date", *names]
        for row in world.lake.read(table, columns=columns).to_pylist():
            key = (row.pop("site_url"), row.pop("data_date"))
            held.setdefault(key, []).append(row)
        assert len(expected) > len(properties)
        assert {key: sorted(rows, key=repr) for key, rows in held.items()} == expected


def assert_no_overlap(instance: dg.DagsterInstance) -> int:
    """No two runs that are about one workspace; answers how many runs there were."""
    spans: dict[str, list[tuple[float, float]]] = {}
    records = instance.get_run_records()
    for record in records:
        assert record.start_time is not None
        assert record.end_time is not None
        for workspace in workspaces_of(record.dagster_run.tags):
            spans.setdefault(workspace, []).append((record.start_time, record.end_time))
    for workspace, times in spans.items():
        for (_, ended), (started, _) in pairwise(sorted(times)):
            assert started >= ended, workspace
    return len(records)


@contextmanager
def three_days(folder: Path) -> Iterator[tuple[World, Station]]:
    with (
        World.serving(folder, make_properties(), now=START) as world,
        Station.of(world, make_workspaces(world), workspaces_per_run=10, auto_sync_days=DAYS) as station,
    ):
        yield world, station


def test_three_days_of_faults_lose_no_day_double_no_row_and_leave_only_what_still_fails(
    folder: Path,
) -> None:
    faults = Faults(random.Random(7), threading.Lock())
    sizes = []
    with three_days(folder) as (world, station):
        world.faults.append(faults)
        for faults.tick in range(TICKS):
            ended = station.tick()
            assert not isinstance(ended, str), ended
            assert ended.total_workspaces == WORKSPACES
            failed = {DEAD} if faults.tick in DEAD_TICKS else set()
            assert ended.reasons.keys() >= failed
            sizes.append(Size.of(folder))
            if faults.tick < TICKS - 1:
                world.now += timedelta(hours=6)
        assert faults.met > 20
        assert ended.failures == 0

        days = Window(Window.last_complete(DAYS, START.date()).start, world.today)
        readable = [prop for prop in world.simulator.properties if prop.site_url != FORBIDDEN]
        assert_copies_are_true(world, readable, days)
        ledger = world.lake.read(SYNC_LEDGER, columns=["workspace", "site_url", "data_date"]).to_pylist()
        assert len({tuple(row.values()) for row in ledger}) == len(ledger)
        (standing,) = read_standing(world.lake)
        assert (standing.workspace, standing.site_url) == (FORBIDDEN_TO, FORBIDDEN)
        assert standing.times == TICKS
        assert world.lake.read(SYNC_RUNS).num_rows >= TICKS * WORKSPACES
        assert assert_no_overlap(station.instance) == TICKS * WORKSPACES / 10

    for size in sizes:
        print(size)  # noqa: T201
    first, middle, last = sizes[1], sizes[TICKS // 2], sizes[-1]
    for grown in ("dagster_bytes", "lake_files"):
        early = (getattr(middle, grown) - getattr(first, grown)) / (TICKS // 2 - 1)
        late = (getattr(last, grown) - getattr(middle, grown)) / (TICKS - 1 - TICKS // 2)
        assert late <= early * 1.5, f"{grown} grows faster and faster: {early:.0f}, then {late:.0f} a tick"
    assert last.memory_bytes - middle.memory_bytes < 60_000_000
