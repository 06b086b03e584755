"""Answering a search analytics request: facts filtered, grouped, sorted, cut and written as JSON.

Belongs here: the meaning of a legal request. Does not: what is legal (`queries`), what is visible yet
(`provisional`), how pages misbehave (`paging`).

Everything is counted on integer codes; texts are looked up for the rows of one answer only. A sorted
result is remembered, so the next page of it costs no second count.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import repeat
from math import prod
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from gsc_pipeline.days import ONE_DAY, Window, pacific_today
from gsc_pipeline.simulator.facts import ANONYMIZED, Codes, Counts, Facts, Labels, Property, Texts, texts
from gsc_pipeline.simulator.hashing import hashed, seed_of
from gsc_pipeline.simulator.paging import STEADY_PAGING, Paging
from gsc_pipeline.simulator.provisional import SETTLED, first_incomplete_day, state_of, visible_facts
from gsc_pipeline.simulator.queries import Filter, Query, counts_by_page
from gsc_pipeline.simulator.recent import Recent

MetadataStyle = Literal["discovery", "guide"]
"""How the first incomplete date is spelled: `firstIncompleteDate` or `first_incomplete_date`."""

MOST_ROWS_A_DAY = 50_000
"""More are never told, for one day and search type of a property."""

_REMEMBERED_FACTS = 2_000_000
_REMEMBERED_ROWS = 1_000_000
_REMEMBERED_DAYS = 50_000
_DENSE = 2**20

Bools = npt.NDArray[np.bool_]


class _Row(msgspec.Struct, gc=False):
    keys: tuple[str, ...] | msgspec.UnsetType
    clicks: float
    impressions: float
    ctr: float
    position: float | msgspec.UnsetType


class _Answer(msgspec.Struct):
    rows: list[_Row] | msgspec.UnsetType
    responseAggregationType: str
    metadata: dict[str, str] | msgspec.UnsetType


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Sums by group. `key` packs the codes of the request's dimensions into one number."""

    key: Counts
    clicks: Counts
    impressions: Counts
    sum_position: Counts

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: npt.NDArray[Any] | slice) -> _Groups:
        return _Groups(self.key[rows], self.clicks[rows], self.impressions[rows], self.sum_position[rows])


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    """All rows of an answer in their order, and the texts of each dimension to unpack keys with."""

    groups: _Groups
    texts: tuple[Texts, ...]


class Answers:
    """Answers requests about any property; remembers what it counted last."""

    def __init__(self, metadata_style: MetadataStyle) -> None:
        self._date_name = "first_incomplete_date" if metadata_style == "guide" else "firstIncompleteDate"
        self._facts: Recent[Facts | None] = Recent(_REMEMBERED_FACTS, lambda facts: len(facts or ()) + 1)
        self._turns: Counter[tuple[str, Query]] = Counter()
        self._totals: Recent[_Groups | None] = Recent(_REMEMBERED_DAYS, lambda total: 1)
        self._results: Recent[_Result | None] = Recent(
            _REMEMBERED_ROWS, lambda result: len(result.groups) if result else 1
        )

    def forget(self) -> None:
        """Count everything anew from now on."""
        for memory in (self._facts, self._totals, self._results):
            memory.clear()

    def answer(self, prop: Property, query: Query, now: datetime, paging: Paging = STEADY_PAGING) -> bytes:
        """The JSON body that answers `query` about `prop` at the moment `now`."""
        days = _days_told(prop, query, now)
        states = ((day, state_of(prop, day, now)) for day in days)
        moving = tuple(state for state in states if state[1] != SETTLED)
        whole = replace(query, row_limit=1, start_row=0)
        key = (prop.site_url, whole, (*days[:1], *days[-1:]), moving)
        result = self._results.get(key, lambda: self._count(prop, query, days, now))
        incomplete = first_incomplete_day(now)
        told = query.data_state == "all" and "date" in query.dimensions and query.last >= incomplete
        answer = _Answer(
            rows=_rows(self._page(prop, result, query, paging), query) or msgspec.UNSET,
            responseAggregationType="byPage" if counts_by_page(query) else "byProperty",
            metadata={self._date_name: incomplete.isoformat()} if told else msgspec.UNSET,
        )
        return msgspec.json.encode(answer)

    def _page(self, prop: Property, result: _Result | None, query: Query, paging: Paging) -> _Result | None:
        """The asked-for page of a result; empty past its end."""
        if result is None:
            return None
        size, groups = query.row_limit, result.groups
        if paging != STEADY_PAGING:
            whole = replace(query, row_limit=1, start_row=0)
            self._turns[prop.site_url, whole] += 1
            turn, seed = self._turns[prop.site_url, whole], seed_of(prop.site_url, repr(whole))
            if query.start_row + size < len(groups):
                size = paging.page_size(size, seed, turn)
            order = paging.order(_ties(result, query), groups.key, seed, turn)
            groups = groups if order is None else groups.take(order)
        return _Result(groups.take(slice(query.start_row, query.start_row + size)), result.texts)

    def _count(self, prop: Property, query: Query, days: list[date], now: datetime) -> _Result | None:
        """All rows of the answer, sorted, up to the cap; None when there are none."""
        labels: Labels | None = None
        parts: list[_Groups] = []
        for place, day in enumerate(days):
            if set(query.dimensions) <= {"date"} and not query.filters:
                totals = self._day_totals(prop, query, day, now)
                if totals is not None:
                    parts.append(replace(totals, key=np.full(1, place if query.dimensions else 0)))
            elif (facts := self._visible(prop, query, day, now)) is not None:
                labels = facts.labels
                parts.append(_counted(facts, query, place, len(days)))
        if not parts:
            return None
        columns = tuple(_texts_of(name, labels, days) for name in query.dimensions)
        groups = _summed(parts, prod(len(column) for column in columns))
        return _Result(groups.take(_order(prop, groups, columns, query, len(days))), columns)

    def _visible(self, prop: Property, query: Query, day: date, now: datetime) -> Facts | None:
        name = query.search_type.name
        key = (prop.site_url, name, day, state_of(prop, day, now))
        return self._facts.get(key, lambda: visible_facts(prop, name, day, now))

    def _day_totals(self, prop: Property, query: Query, day: date, now: datetime) -> _Groups | None:
        """A day's totals as one group. Remembered apart: a year of them weighs less than a day's facts."""

        def count() -> _Groups | None:
            facts = visible_facts(prop, query.search_type.name, day, now)
            return None if facts is None else _counted(facts, replace(query, dimensions=()), 0, 1)

        by_page = counts_by_page(query)
        key = (prop.site_url, query.search_type.name, by_page, day, state_of(prop, day, now))
        return self._totals.get(key, count)


def _days_told(prop: Property, query: Query, now: datetime) -> list[date]:
    """The days an answer counts: asked for, shown, and complete unless the request wants all."""
    shown = prop.days_shown(pacific_today(now))
    if shown is None or query.data_state == "hourly_all" or query.concerns("searchAppearance"):
        return []
    first, last = max(query.first, shown.start), min(query.last, shown.last)
    if query.data_state == "final":
        last = min(last, first_incomplete_day(now) - ONE_DAY)
    return list(Window.inclusive(first, last)) if first <= last else []


def _counted(facts: Facts, query: Query, place: int, days: int) -> _Groups:
    """One day's facts, filtered and summed by the request's dimensions; `place` is the day's code."""
    kept = np.ones(len(facts), dtype=bool)
    if query.concerns("query"):
        kept &= facts.query != ANONYMIZED
    for one in query.filters:
        kept &= _matches(one, _texts_of(one.dimension, facts.labels, []))[_codes_of(one.dimension, facts)]
    by_page = counts_by_page(query)
    impressions = facts.impressions if by_page else facts.top_impressions
    kept &= impressions > 0
    key = np.zeros(np.count_nonzero(kept), dtype=np.int64)
    size = 1
    for name in query.dimensions:
        codes = place if name == "date" else _codes_of(name, facts)[kept]
        options = days if name == "date" else len(_texts_of(name, facts.labels, []))
        key = key * options + codes
        size *= options
    clicks = facts.clicks if by_page else facts.top_clicks
    sum_position = facts.sum_position if by_page else facts.sum_top_position
    return _summed([_Groups(key, clicks[kept], impressions[kept], sum_position[kept])], size)


def _summed(parts: list[_Groups], size: int) -> _Groups:
    """`parts` with equal keys added up; keys are below `size`."""
    key, *sums = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("key", "clicks", "impressions", "sum_position")
    )
    if size <= _DENSE:
        dense = [np.bincount(key, column, size).astype(np.int64) for column in sums]
        found = np.flatnonzero(dense[1])
        return _Groups(found, *(column[found] for column in dense))
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])[: len(key)])
    return _Groups(key[starts], *(np.add.reduceat(column[order], starts) for column in sums))


def _order(
    prop: Property, groups: _Groups, columns: tuple[Texts, ...], query: Query, days: int
) -> npt.NDArray[np.int64]:
    """The places of the rows that are told, in their order.

    By clicks, ties at random but always alike; by date first when grouped by it. The cap holds for a
    day; a range grouped or filtered by page or query has one cap for all its days, so it loses rows.
    """
    cap = MOST_ROWS_A_DAY * (1 if query.concerns("page") or query.concerns("query") else days)
    order = np.lexsort((hashed(seed_of(prop.site_url), groups.key), -groups.clicks))[:cap]
    if "date" in query.dimensions:
        dates = _unpacked(groups.key[order], columns)[query.dimensions.index("date")]
        order = order[np.argsort(dates, kind="stable")]
    return order


def _ties(result: _Result, query: Query) -> npt.NDArray[np.int64]:
    """For each row of a sorted result the number of the run of tied rows that it is in."""
    differs = np.diff(result.groups.clicks, prepend=-1) != 0
    if "date" in query.dimensions:
        dates = _unpacked(result.groups.key, result.texts)[query.dimensions.index("date")]
        differs |= np.diff(dates, prepend=-1) != 0
    return np.cumsum(differs)


def _rows(page: _Result | None, query: Query) -> list[_Row]:
    """The rows of a page as they are written."""
    if page is None:
        return []
    groups = page.groups
    keys: Iterable[tuple[str, ...] | msgspec.UnsetType] = repeat(msgspec.UNSET)
    if page.texts:
        codes = _unpacked(groups.key, page.texts)
        columns = (column[code].tolist() for column, code in zip(page.texts, codes, strict=True))
        keys = zip(*columns, strict=True)
    positions: Iterable[float | msgspec.UnsetType] = repeat(msgspec.UNSET)
    if query.search_type.has_position:
        positions = (groups.sum_position / groups.impressions + 1).tolist()
    return list(
        map(
            _Row,
            keys,
            groups.clicks.astype(np.float64).tolist(),
            groups.impressions.astype(np.float64).tolist(),
            (groups.clicks / groups.impressions).tolist(),
            positions,
        )
    )


def _unpacked(key: Counts, columns: tuple[Texts, ...]) -> list[Counts]:
    """The code of each dimension, out of packed keys."""
    codes = []
    for column in reversed(columns):
        key, code = np.divmod(key, len(column))
        codes.append(code)
    return codes[::-1]


def _texts_of(dimension: str, labels: Labels | None, days: list[date]) -> Texts:
    if dimension == "date":
        return texts([day.isoformat() for day in days])
    column: Texts = getattr(labels, dimension)
    return column


def _codes_of(dimension: str, facts: Facts) -> Codes:
    codes: Codes = getattr(facts, dimension)
    return codes


def _matches(one: Filter, values: Texts) -> Bools:
    """Which of `values` pass the filter.

    `equals` minds the case of queries and pages, `contains` never does, regular expressions match
    anywhere and mind case: as Google documents them.
    """
    wanted = one.expression
    if one.operator in ("equals", "notEquals") and one.dimension in ("query", "page"):
        found = [value == wanted for value in values]
    elif one.operator in ("equals", "notEquals"):
        found = [value.lower() == wanted.lower() for value in values]
    elif one.operator in ("contains", "notContains"):
        found = [wanted.lower() in value.lower() for value in values]
    else:
        pattern = re.compile(wanted)
        found = [pattern.search(value) is not None for value in values]
    negative = one.operator in ("notEquals", "notContains", "excludingRegex")
    return np.array([passes != negative for passes in found], dtype=bool)
