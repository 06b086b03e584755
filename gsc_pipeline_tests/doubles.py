"""Doubles for unit tests, such as a Search Console that answers from a script and records the requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from typing_extensions import override

from gsc_pipeline.lake.lake import CommitGuard, Lake, LakeError
from gsc_pipeline.lake.schemas import SYNC_RUNS, TableSpec
from gsc_pipeline.search_console.answers import Answer, Site
from gsc_pipeline.search_console.client import SearchConsole, Usage
from gsc_pipeline.search_console.inspections import Inspection
from gsc_pipeline.search_console.requests import AnalyticsRequest, DailyTotals, HourlyTotals
from gsc_pipeline.search_console.rows import METRICS
from gsc_pipeline.search_console.sitemaps import Sitemap
from gsc_pipeline.sync.telemetry import Telemetry

Row = tuple[str | int | float | None, ...]


def answer(
    dimensions: Sequence[str],
    rows: Iterable[Row],
    first_incomplete: date | None = None,
    first_incomplete_hour: datetime | None = None,
) -> Answer:
    """An answer grouped by `dimensions`; a row is its keys, then clicks, impressions, position."""
    fields = [pa.field(name, pa.string(), nullable=False) for name in dimensions] + list(METRICS)
    columns = list(zip(*rows, strict=True)) or [[] for _ in fields]
    arrays = [pa.array(column, one.type) for column, one in zip(columns, fields, strict=True)]
    return Answer(pa.table(arrays, schema=pa.schema(fields)), first_incomplete, first_incomplete_hour)


def unscripted(*asked: object) -> Any:
    """Fails a test that sends a request for which it has no answer."""
    raise AssertionError(f"not in the script: {asked}")


@dataclass
class ScriptedConsole(SearchConsole):
    """Answers by calling a function; raises what that raises.

    `script(site_url, request, start_row)` answers queries, `sitemap_script(site_url)` lists of sitemaps,
    `inspection_script(site_url, url)` inspections. `asked` and `inspected` record what was asked.
    """

    script: Callable[[str, AnalyticsRequest, int], Answer] = unscripted
    readable: tuple[Site, ...] = ()
    sitemap_script: Callable[[str], list[Sitemap]] = unscripted
    inspection_script: Callable[[str, str], Inspection] = unscripted
    asked: list[tuple[str, AnalyticsRequest, int]] = field(default_factory=list)
    inspected: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @override
    def sites(self) -> list[Site]:
        return list(self.readable)

    @override
    def sitemaps(self, site_url: str) -> list[Sitemap]:
        return self.sitemap_script(site_url)

    @override
    def inspect(self, site_url: str, url: str) -> Inspection:
        with self.lock:
            self.inspected.append((site_url, url))
        return self.inspection_script(site_url, url)

    @override
    def query(self, site_url: str, request: AnalyticsRequest, *, start_row: int = 0) -> Answer:
        with self.lock:
            self.asked.append((site_url, request, start_row))
        return self.script(site_url, request, start_row)

    @override
    def usage(self) -> Usage:
        return Usage(calls=len(self.asked) + len(self.inspected))

    @override
    def close(self) -> None:
        pass

    @property
    def days_read(self) -> list[date]:
        """The days asked for at any grain, in order, each once."""
        probes = DailyTotals | HourlyTotals
        days = [request.day for _, request, _ in self.asked if not isinstance(request, probes)]
        return list(dict.fromkeys(days))


class FailingLake(Lake):
    """Fails appends to `sync_runs` `before` or `after` they are done, the first `times` times."""

    def __init__(self, uri: str, times: int, when: str) -> None:
        super().__init__(uri)
        self.times, self.when = times, when

    @override
    def for_run(self, run_id: str) -> Lake:
        # The failures of all runs are counted here.
        return self

    @override
    def append(self, table: TableSpec, rows: pa.Table, guard: CommitGuard | None = None) -> int:
        if table is not SYNC_RUNS or not self.times:
            return super().append(table, rows, guard)
        self.times -= 1
        if self.when == "after":
            super().append(table, rows, guard)
        raise LakeError("cannot write sync_runs: the bucket is gone")


class ChangedMeanwhile(Lake):
    """Another process changes the lake when a ledger has just been read, and its table not yet. Once."""

    def __init__(self, uri: str, ledger: TableSpec, table: TableSpec, change: Callable[[], object]) -> None:
        super().__init__(uri)
        self._ledger, self._table, self._change = ledger, table, change
        self._last_opened = ""

    @override
    def open(self, table: TableSpec) -> DeltaTable:
        if table is self._table and self._last_opened == self._ledger.name:
            change, self._change = self._change, lambda: None
            change()
        self._last_opened = table.name
        return super().open(table)


@dataclass
class RecordingTelemetry(Telemetry):
    """Records the events in order."""

    emitted: list[tuple[str, dict[str, float], dict[str, Any]]] = field(default_factory=list)

    @override
    def emit(self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        self.emitted.append((event, dict(measurements), dict(metadata)))

    @property
    def names(self) -> list[str]:
        """The events' names, in order."""
        return [name for name, _, _ in self.emitted]
