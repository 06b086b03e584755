"""A hand-written Search Console for unit tests: it answers from a script and records what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
from typing_extensions import override

from gsc_pipeline.search_console.answers import METRICS, Answer, Site
from gsc_pipeline.search_console.client import SearchConsole, Usage
from gsc_pipeline.search_console.requests import AnalyticsRequest, DailyTotals

Row = tuple[str | int | float | None, ...]


def answer(dimensions: Sequence[str], rows: Iterable[Row], first_incomplete: date | None = None) -> Answer:
    """An answer grouped by `dimensions`; a row is its keys, then clicks, impressions, position."""
    fields = [pa.field(name, pa.string(), nullable=False) for name in dimensions] + list(METRICS)
    columns = list(zip(*rows, strict=True)) or [[] for _ in fields]
    arrays = [pa.array(column, one.type) for column, one in zip(columns, fields, strict=True)]
    return Answer(pa.table(arrays, schema=pa.schema(fields)), first_incomplete)


@dataclass
class ScriptedConsole(SearchConsole):
    """Answers every request by calling `script(site_url, request, start_row)`; raises what it raises."""

    script: Callable[[str, AnalyticsRequest, int], Answer]
    readable: tuple[Site, ...] = ()
    asked: list[tuple[str, AnalyticsRequest, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @override
    def sites(self) -> list[Site]:
        return list(self.readable)

    @override
    def query(self, site_url: str, request: AnalyticsRequest, *, start_row: int = 0) -> Answer:
        with self.lock:
            self.asked.append((site_url, request, start_row))
        return self.script(site_url, request, start_row)

    @override
    def usage(self) -> Usage:
        return Usage(calls=len(self.asked))

    @override
    def close(self) -> None:
        pass

    @property
    def days_read(self) -> list[date]:
        """The days asked for at any grain, in order, each once."""
        days = [request.day for _, request, _ in self.asked if not isinstance(request, DailyTotals)]
        return list(dict.fromkeys(days))
