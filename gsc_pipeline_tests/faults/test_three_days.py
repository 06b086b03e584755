"""Three days of six-hourly ticks over fifty workspaces, with faults: nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, SYNC_RUNS, TABLES, URL_IMPRESSION
from gsc_pipeline.simulator import (
    Call,
    Property,
    Reply,
    Revised,
    Revision,
    SyntheticProperty,
    google_error,
    token_error,
    visible_facts,
)
from gsc_pipeline.sync.failures import read_standing
from gsc_pipeline_tests.faults.plant import Plant, Span
from gsc_pipeline_tests.truth import site_truth, url_truth
from gsc_pipeline_tests.world import World, asks_token_for, sorted_rows

pytestmark = [pytest.mark.slow, pytest.mark.soak]

START = datetime(2026, 11, 17, 12, 0, tzinfo=UTC)
SIX_HOURS = timedelta(hours=6)
TICKS, WORKSPACES, DAYS, PER_RUN = 12, 50, 3, 25
RUN_KILLED, DAEMON_KILLED = 2, 5
DEAD, DEAD_TICKS = "w07", range(4, 8)
FORBIDDEN_TO = "w11"
FORBIDDEN = "https://shop.w11.example/"
UNAVAILABLE = google_error(503, "backendError", "Service unavailable.")
TOO_FAST = google_error(429, "rateLimitExceeded", "Quota exceeded.", "usageLimits")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where possible, so that thousands of small commits do not wait for a disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(dir=memory))
    yield made
    shutil.rmtree(made)


def make_property(number: int, site_url: str, readers: Sequence[str] | None = None) -> Property:
    """A small property. A few have data each day, partly revised late; the others have data rarely."""
    start = START.date() - 10 * ONE_DAY
    is_busy = number % 12 == 0
    idle = [] if is_busy else [start + n * ONE_DAY for n in range(20) if (n + number) % 32]
    made = SyntheticProperty(site_url, rows_a_day=8, plants=False, days_without_data=idle, readers=readers)
    if not is_busy:
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


def make_workspaces(world: World) -> list[dict[str, Any]]:
    """Each with the properties whose addresses contain its id."""
    properties: dict[str, list[str]] = {}
    for prop in world.simulator.properties:
        properties.setdefault(prop.site_url.split(".example")[0][-3:], []).append(prop.site_url)
    return [{"id": id_, "properties": sites} for id_, sites in sorted(properties.items())]


@dataclass
class Faults:
    """The faults of the current tick, random from a seed."""

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
            is_dead = self.tick in DEAD_TICKS and asks_token_for(DEAD, call)
            return token_error("invalid_grant", "Token has been expired or revoked.") if is_dead else None
        if self.tick == TICKS - 1:
            return None
        self.queries += 1
        if self.queries % 200 in (0, 1):
            return TOO_FAST
        return UNAVAILABLE if self.dice.random() < 0.03 else None


@dataclass(frozen=True)
class Size:
    """Disk space and memory of the pipeline after a tick."""

    database_bytes: int
    lake_files: int
    memory_bytes: int

    @classmethod
    def of(cls, plant: Plant) -> Size:
        home = plant.world.folder / "dagster"
        return cls(
            sum(file.stat().st_size for file in home.rglob("*") if file.is_file()),
            sum(len(plant.world.lake.local_files(table).paths) for table in TABLES),
            plant.resident_bytes(),
        )


def assert_copies_are_true(
    world: World, properties: Sequence[Property], days: Window, *, except_for: tuple[str, date] | None = None
) -> None:
    """Assert that both tables hold exactly the properties' rows, except for one property's day."""
    for table, make in ((SITE_IMPRESSION, site_truth), (URL_IMPRESSION, url_truth)):
        held: dict[tuple[str, date], list[Any]] = {}
        expected: dict[tuple[str, date], list[Any]] = {}
        names: list[str] = []
        for prop in properties:
            for day in days:
                facts = visible_facts(prop, "web", day, world.now)
                if (prop.site_url, day) == except_for or facts is None:
                    continue
                if (rows := make(facts)).num_rows:
                    names = rows.column_names
                    expected[prop.site_url, day] = sorted_rows(rows)
        columns = ["site_url", "data_date", *names]
        for row in world.lake.read(table, columns=columns).to_pylist():
            key = (row.pop("site_url"), row.pop("data_date"))
            held.setdefault(key, []).append(row)
        assert {key: sorted(rows, key=repr) for key, rows in held.items()} == expected


def assert_no_overlap(spans: Collection[Span]) -> None:
    """Assert that no two runs of a job overlap for a workspace."""
    of_one: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        of_one.setdefault((span.job, span.workspace), []).append(span)
    for its_spans in of_one.values():
        for earlier, later in pairwise(sorted(its_spans, key=lambda span: span.started)):
            assert later.started >= earlier.ended, (earlier, later)


@contextmanager
def three_days(folder: Path) -> Iterator[tuple[World, Plant]]:
    with World.serving(folder, make_properties(), now=START) as world:
        environment = {
            **world.environment(*make_workspaces(world)),
            "GSC_AUTO_SYNC_ENABLED": "true",
            "GSC_AUTO_SYNC_DAYS": str(DAYS),
            "GSC_WORKSPACES_PER_RUN": str(PER_RUN),
            "GSC_KEEP_RUNS_DAYS": "1",
            "GSC_CHECKS_CRON": "@monthly",
        }
        with Plant.running(world, environment, START) as plant:
            yield world, plant


def test_three_days_of_faults_lose_no_day_double_no_row_and_leave_only_what_still_fails(
    folder: Path,
) -> None:
    faults = Faults(random.Random(7), threading.Lock())
    sizes = []
    with three_days(folder) as (world, plant):
        world.faults.append(faults)
        for faults.tick in range(TICKS):
            due = START + faults.tick * SIX_HOURS
            if due.hour == 6:
                plant.fire_and_finish(due.replace(hour=1, minute=30), "gsc_housekeeping")
            plant.fire(due)
            if faults.tick == RUN_KILLED:
                plant.kill_a_run()
            if faults.tick == DAEMON_KILLED:
                plant.replace_killed_daemon()
            plant.settle(due)
            sizes.append(Size.of(plant))
            outcomes = {one.workspace: one.outcome for one in plant.outcomes(due)}
            assert len(outcomes) == WORKSPACES
            assert (outcomes[DEAD] == "complete") == (faults.tick not in DEAD_TICKS)

        assert faults.met > 20
        days = Window(Window.last_complete(DAYS, START.date()).start, world.today)
        readable = [prop for prop in world.simulator.properties if prop.site_url != FORBIDDEN]
        assert_copies_are_true(world, readable, days)
        assert world.lake.read(SITE_IMPRESSION).num_rows > 300
        ledger = world.lake.read(SYNC_LEDGER, columns=["site_url", "data_date"]).to_pylist()
        assert len({tuple(row.values()) for row in ledger}) == len(ledger)
        (standing,) = read_standing(world.lake)
        assert (standing.workspace, standing.site_url) == (FORBIDDEN_TO, FORBIDDEN)
        assert standing.times >= TICKS
        assert world.lake.read(SYNC_RUNS).num_rows >= TICKS * WORKSPACES
        assert_no_overlap(plant.spans)

    # A hundred kilobytes a run would be more.
    assert sizes[-1].memory_bytes < sizes[3].memory_bytes + 60_000_000, sizes
    # Ticks after a night's housekeeping. Before the second night no run is old enough to be deleted.
    for morning in (7, 11):
        before, after = sizes[morning - 1], sizes[morning]
        assert after.database_bytes < before.database_bytes, sizes
        assert after.lake_files < before.lake_files, sizes
