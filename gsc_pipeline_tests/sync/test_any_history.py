"""Any sequence of new days, growth, revisions, failing calls and crashes at any write.

A sync that completes leaves a lake equal to the truth. One that does not never loses or doubles a row.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION, TableSpec
from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.errors import ServiceUnavailableError
from gsc_pipeline.search_console.requests import AnalyticsRequest, DailyTotals
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.doubles import ScriptedConsole, answer

ACME = Workspace("acme", "Acme", ServiceAccountFile(Path("none")), ("sc-domain:acme.com",), (QueryType.WEB,))
WINDOW_DAYS = 5
FINAL_AFTER = 2

Numbers = Mapping[str, int]
"""Clicks by query; the empty query is the anonymised part. Each click has two impressions at position 3."""

queries = st.sampled_from(["", "shoes", "boots", "null"])
numbers = st.dictionaries(queries, st.integers(1, 9), max_size=3)
some_numbers = st.dictionaries(queries, st.integers(1, 9), min_size=1, max_size=3)


class PowerCut(BaseException):
    """The process is killed: no code may catch this."""


class FragileLake(Lake):
    """A lake that crashes before or after the Nth write."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.writes_left = -1
        self.before = True
        self.is_dead = False

    @override
    def _write(self, table: TableSpec, rows: pa.Table, *how: Any) -> int:
        self.writes_left -= 1
        if self.is_dead or (self.writes_left == 0 and self.before):
            self.is_dead = True
            raise PowerCut
        version = super()._write(table, rows, *how)
        if self.writes_left == 0:
            self.is_dead = True
            raise PowerCut
        return version


@dataclass
class Google:
    """The truth: each day's numbers, which days are incomplete, and calls that fail."""

    today: date = date(2026, 11, 10)
    days: dict[date, Numbers] = field(default_factory=dict)
    fails: list[bool] = field(default_factory=list)

    def move(self, day: date, data: Numbers) -> None:
        """Change a day so that its totals differ: a sync cannot see other queries with the same totals."""
        if sum(data.values()) != sum(self.days[day].values()):
            self.days[day] = data

    def answer(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if self.fails and self.fails.pop(0):
            raise ServiceUnavailableError("down")
        if isinstance(request, DailyTotals):
            rows = [
                (str(day), *wire(sum(self.days[day].values()))) for day in sorted(self.days) if self.days[day]
            ]
            rows = [row for row in rows if date.fromisoformat(str(row[0])) in request.window]
            return answer(("date",), rows, first_incomplete=self.today - FINAL_AFTER * ONE_DAY)
        clicks = dict(self.days.get(request.day, {}))
        if "query" not in request.dimensions:
            clicks = {"": sum(clicks.values())} if clicks else {}
        else:
            clicks.pop("", None)
        keys = {"page": "https://acme.com/", "country": "usa", "device": "MOBILE"}
        return answer(
            request.dimensions,
            [
                (*({**keys, "query": query}[name] for name in request.dimensions), *wire(number))
                for query, number in clicks.items()
            ],
        )


def wire(clicks: int) -> tuple[int, int, float]:
    return clicks, 2 * clicks, 3.0


class AnyHistory(RuleBasedStateMachine):
    """Days pass and change; syncs complete, fail or crash."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.lake = FragileLake(str(Path(self.folder.name) / "lake"))
        self.google = Google()
        self.a_day_passes({"": 1, "shoes": 2})
        self.hours = 0

    @override
    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(data=some_numbers)
    def a_day_passes(self, data: Numbers) -> None:
        self.google.days[self.google.today] = data
        self.google.today += ONE_DAY

    @rule(ago=st.integers(1, WINDOW_DAYS), data=numbers)
    def a_day_moves(self, ago: int, data: Numbers) -> None:
        day = self.google.today - ago * ONE_DAY
        is_final = ago > FINAL_AFTER
        # An incomplete day that one answer does not show keeps its rows until it is known to be empty.
        if day in self.google.days and (data or is_final):
            self.google.move(day, data)

    @rule(full=st.booleans())
    def a_sync_gets_through(self, full: bool) -> None:
        self.google.fails = []
        report = self.sync(full)
        assert not report.problems
        window = self.window()
        expected = {
            (day, query): clicks
            for day, clicks_by_query in self.google.days.items()
            if day in window
            for query, clicks in clicks_by_query.items()
        }
        for table in (SITE_IMPRESSION, URL_IMPRESSION):
            assert {key: c for key, c in self.held(table).items() if key[0] in window} == expected

    @rule(fails=st.lists(st.booleans(), min_size=1, max_size=12))
    def a_sync_meets_failing_calls(self, fails: list[bool]) -> None:
        self.google.fails = fails
        self.sync(full=False)

    @rule(writes=st.integers(1, 5), before=st.booleans(), full=st.booleans())
    def a_sync_is_cut_off_and_the_next_gets_through(self, writes: int, before: bool, full: bool) -> None:
        self.google.fails = []
        self.lake.writes_left, self.lake.before = writes, before
        with contextlib.suppress(PowerCut):
            self.sync(full)
        self.lake.writes_left, self.lake.is_dead = -1, False
        self.a_sync_gets_through(full=False)

    @invariant()
    def no_key_has_two_rows(self) -> None:
        if hasattr(self, "lake"):
            for table in (SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER):
                rows = self.lake.read(table, columns=list(table.keys)).to_pylist()
                keys = [tuple(row.values()) for row in rows]
                assert len(keys) == len(set(keys))

    def window(self) -> Window:
        return Window.last_complete(WINDOW_DAYS, self.google.today)

    def sync(self, full: bool) -> Any:
        self.hours += 6
        moment = datetime(2026, 11, 30, 12, tzinfo=UTC) + timedelta(hours=self.hours)
        return sync_workspace(
            ACME,
            self.window(),
            ScriptedConsole(self.google.answer),
            self.lake,
            options=SyncOptions(full=full, concurrency=2, commit_rows=3),
            clock=lambda: moment,
        )

    def held(self, table: TableSpec) -> dict[tuple[date, str], int]:
        rows = self.lake.read(table).to_pylist()
        return {(row["data_date"], row["query"]): row["clicks"] for row in rows}


class TestAnyHistory(AnyHistory.TestCase):  # type: ignore[misc]
    settings = settings(max_examples=4, stateful_step_count=12)


@pytest.mark.soak
class TestAnyHistoryAtLength(AnyHistory.TestCase):  # type: ignore[misc]
    settings = settings(max_examples=40, stateful_step_count=12)
