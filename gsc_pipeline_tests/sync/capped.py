"""A small Search Console whose answers are cut at a few rows, with filters, in plain Python."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from typing_extensions import override

from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.requests import (
    AnalyticsRequest,
    CellFilter,
    CutRequest,
    DailyTotals,
    PageFilter,
)
from gsc_pipeline.sync.ledger import DayTotals
from gsc_pipeline_tests.doubles import ScriptedConsole, answer


@dataclass(frozen=True)
class Fact:
    """Clicks and impressions of one page, query (None if anonymised), country and device."""

    page: str
    query: str | None
    country: str
    device: str
    clicks: int
    impressions: int

    def value(self, dimension: str) -> str:
        return str(getattr(self, dimension))


def totals_of(facts: Iterable[Fact]) -> DayTotals:
    known = list(facts)
    return DayTotals(sum(one.clicks for one in known), sum(one.impressions for one in known))


@dataclass
class CappedConsole(ScriptedConsole):
    """Counts every fact by page and by property alike. Rows with equal clicks come in an order that changes.

    `before_call(number)` may change the facts before a call, or raise what the call raises.
    """

    facts: list[Fact] = field(default_factory=list)
    cap: int = 10
    filters_see: Literal["every_row", "cut_rows"] = "every_row"
    before_call: Callable[[int], None] = lambda number: None

    @override
    def query(self, site_url: str, request: AnalyticsRequest, *, start_row: int = 0) -> Answer:
        with self.lock:
            self.asked.append((site_url, request, start_row))
            number = len(self.asked)
            self.before_call(number)
            facts = list(self.facts)
        assert start_row == 0
        assert not isinstance(request, DailyTotals)
        filters = request.filters if isinstance(request, CutRequest) else ()
        if self.filters_see == "every_row":
            facts = [one for one in facts if all(_keeps(filter_, one.value) for filter_ in filters)]
            return answer(request.dimensions, self._grouped(request, facts, number))
        rows = self._grouped(request, facts, 0)
        place = {name: i for i, name in enumerate(request.dimensions)}
        return answer(
            request.dimensions,
            [row for row in rows if all(_keeps(one, lambda name: row[place[name]]) for one in filters)],  # noqa: B023
        )

    def _grouped(
        self, request: AnalyticsRequest, facts: list[Fact], number: int
    ) -> list[tuple[str | int | float, ...]]:
        sums: dict[tuple[str, ...], tuple[int, int]] = {}
        for one in facts:
            if "query" in request.dimensions and one.query is None:
                continue
            key = tuple(one.value(name) for name in request.dimensions)
            clicks, impressions = sums.get(key, (0, 0))
            sums[key] = clicks + one.clicks, impressions + one.impressions
        shuffled = sorted(sums)
        random.Random(number).shuffle(shuffled)
        ordered = sorted(shuffled, key=lambda key: -sums[key][0])
        most = self.cap if {"page", "query"} & set(request.dimensions) else len(ordered)
        return [(*key, *sums[key], 1.0) for key in ordered[:most]]


def _keeps(one: CellFilter | PageFilter, value: Callable[[str], object]) -> bool:
    if isinstance(one, PageFilter):
        found = re.search(one.pattern, str(value("page"))) is not None
    else:
        found = value(one.dimension) == one.value
    return found is not one.is_excluded


def changed(fact: Fact, more: int = 1) -> Fact:
    """The same fact with more impressions."""
    return replace(fact, impressions=fact.impressions + more)
