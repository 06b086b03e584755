"""Two syncs of one workspace, interleaved step by step and killed at any step, while the truth changes.

A reader never sees a final day whose rows and ledger disagree, and one more undisturbed sync ends in a lake
equal to the truth. A step is a call, a snapshot, a check of the mark, or a commit.
"""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.lake.agreement import disagreements
from gsc_pipeline.lake.lake import CommitGuard, Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION, TableSpec
from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.requests import AnalyticsRequest
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline_tests.doubles import ScriptedConsole
from gsc_pipeline_tests.sync.test_any_history import ACME, Google, Numbers, some_numbers
from gsc_pipeline_tests.waiting import HANG_SECONDS

DAYS = 2
NAMES = ("first", "second")


class Killed(BaseException):
    """The process is killed: no code may catch this."""


class SteppedSync:
    """A sync in its own thread that advances one step at a time."""

    def __init__(self, google: Google, uri: str, now: datetime) -> None:
        self._google, self._uri, self._now = google, uri, now
        self._go: queue.Queue[bool] = queue.Queue()
        self._paused: queue.Queue[bool] = queue.Queue()
        self._is_killed = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.is_running = self._paused.get(timeout=HANG_SECONDS)

    def step(self) -> None:
        self._go.put(True)
        self.is_running = self._paused.get(timeout=HANG_SECONDS)

    def kill(self) -> None:
        self._go.put(False)
        self.is_running = self._paused.get(timeout=HANG_SECONDS)
        assert not self.is_running

    def pause(self) -> None:
        """Called by the sync before each step. Ends the sync if it was killed."""
        if not self._is_killed:
            self._paused.put(True)
            self._is_killed = not self._go.get(timeout=HANG_SECONDS)
        if self._is_killed:
            raise Killed

    def _run(self) -> None:
        try:
            sync_workspace(
                ACME,
                Window.last_complete(DAYS, self._google.today),
                ScriptedConsole(self._answer),
                SteppedLake(self._uri, self),
                options=SyncOptions(concurrency=1, commit_rows=3),
                clock=lambda: self._now,
            )
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001
            self.error = error
        self._paused.put(False)

    def _answer(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        self.pause()
        return self._google.answer(site_url, request, start_row)


class SteppedLake(Lake):
    """Pauses before each read of the ledger, each snapshot, each check and each commit."""

    def __init__(self, uri: str, sync: SteppedSync) -> None:
        super().__init__(uri)
        self._sync = sync

    @override
    def read(self, table: TableSpec, **how: Any) -> pa.Table:  # type: ignore[override]
        if table is SYNC_LEDGER:
            self._sync.pause()
        return super().read(table, **how)

    @override
    def _write(self, table: TableSpec, rows: pa.Table, guard: CommitGuard | None, how: dict[str, Any]) -> int:
        self._sync.pause()
        if guard is not None:
            inner = guard.check

            def check(snapshot: DeltaTable) -> None:
                self._sync.pause()
                inner(snapshot)
                self._sync.pause()

            guard = replace(guard, check=check)
        version = super()._write(table, rows, guard, how)
        self._sync.pause()
        return version


class Interleaved(RuleBasedStateMachine):
    """Two syncs advance in turns; the truth changes; each may be killed and restarted."""

    @initialize(days=st.lists(some_numbers, min_size=4, max_size=4))
    def begin(self, days: list[Numbers]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.uri = str(Path(self.folder.name) / "lake")
        self.google = Google()
        for numbers in days:
            self.google.days[self.google.today] = numbers
            self.google.today += ONE_DAY
        self.syncs: dict[str, SteppedSync] = {}
        self.hours = 0
        self.checked: object = None

    @rule(name=st.sampled_from(NAMES), steps=st.integers(1, 12))
    def go_on(self, name: str, steps: int) -> None:
        for _ in range(steps):
            sync = self.syncs.get(name)
            if sync is None or not sync.is_running:
                self.hours += 1
                now = datetime(2026, 11, 30, tzinfo=UTC) + timedelta(hours=self.hours)
                self.syncs[name] = SteppedSync(self.google, self.uri, now)
            else:
                sync.step()
                assert sync.error is None
            self.every_final_day_agrees_with_its_rows()

    @rule(name=st.sampled_from(NAMES))
    def kill(self, name: str) -> None:
        if (sync := self.syncs.pop(name, None)) and sync.is_running:
            sync.kill()

    @rule(ago=st.integers(1, DAYS), numbers=some_numbers)
    def a_day_moves(self, ago: int, numbers: Numbers) -> None:
        self.google.move(self.google.today - ago * ONE_DAY, numbers)

    @invariant()
    def every_final_day_agrees_with_its_rows(self) -> None:
        if not hasattr(self, "uri"):
            return
        lake = Lake(self.uri)
        site, url = held(lake, SITE_IMPRESSION), held(lake, URL_IMPRESSION)
        for row in lake.read(SYNC_LEDGER).to_pylist():
            if row["status"] == "final":
                day = row["data_date"]
                assert (row["clicks"], row["site_rows"]) == site.get(day), f"{day}: site rows disagree"
                assert (row["clicks"], row["url_rows"]) == url.get(day), f"{day}: URL rows disagree"

    @override
    def teardown(self) -> None:
        if not hasattr(self, "uri"):
            return
        for sync in self.syncs.values():
            if sync.is_running:
                sync.kill()
        lake = Lake(self.uri)
        now = datetime(2026, 12, 31, tzinfo=UTC)
        window = Window.last_complete(DAYS, self.google.today)
        report = sync_workspace(ACME, window, ScriptedConsole(self.google.answer), lake, clock=lambda: now)
        assert not report.problems
        truth = {day: numbers for day, numbers in self.google.days.items() if day in window}
        for table in (SITE_IMPRESSION, URL_IMPRESSION):
            assert rows_by_day(lake, table) == truth
        assert "writing" not in lake.read(SYNC_LEDGER)["status"].to_pylist()
        assert disagreements(lake) == []
        self.folder.cleanup()


def held(lake: Lake, table: TableSpec) -> dict[date, tuple[int, int]]:
    days: dict[date, tuple[int, int]] = {}
    for row in lake.read(table, columns=["data_date", "clicks"]).to_pylist():
        clicks, rows = days.get(row["data_date"], (0, 0))
        days[row["data_date"]] = clicks + row["clicks"], rows + 1
    return days


def rows_by_day(lake: Lake, table: TableSpec) -> Mapping[date, Numbers]:
    days: dict[date, dict[str, int]] = {}
    for row in lake.read(table, columns=["data_date", "query", "clicks"]).to_pylist():
        days.setdefault(row["data_date"], {})[row["query"]] = row["clicks"]
    return days


class TestInterleaved(Interleaved.TestCase):  # type: ignore[misc]
    settings = settings(max_examples=2, stateful_step_count=20)


@pytest.mark.soak
class TestInterleavedAtLength(Interleaved.TestCase):  # type: ignore[misc]
    settings = settings(max_examples=30, stateful_step_count=20)
