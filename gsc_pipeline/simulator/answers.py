"""Answering a search analytics request: facts counted, sorted, cut and written as JSON.

Belongs here: the days and rows of a legal request. Does not: what is legal (`queries`), what is visible
yet (`provisional`, `hours`), how facts become groups (`grouping`), how pages misbehave (`paging`).

A sorted result is remembered, so the next page of it costs no second count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import repeat
from math import prod
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from gsc_pipeline.days import ONE_DAY, Window, pacific_today
from gsc_pipeline.simulator.facts import Counts, Facts, Labels, Property, Texts, texts
from gsc_pipeline.simulator.grouping import Groups, counted, summed, texts_of, unpacked
from gsc_pipeline.simulator.hashing import hashed, seed_of
from gsc_pipeline.simulator.hours import HourlyFacts, first_day_with_hours, hours_of, visible_hours
from gsc_pipeline.simulator.paging import STEADY_PAGING, Paging
from gsc_pipeline.simulator.provisional import SETTLED, first_incomplete_day, state_of, visible_facts
from gsc_pipeline.simulator.queries import MOMENTS, Query, aggregation_told, counts_by_page
from gsc_pipeline.simulator.recent import Recent

MetadataStyle = Literal["discovery", "guide"]
"""How the first incomplete date or hour is spelled: `firstIncompleteDate` or `first_incomplete_date`."""

MOST_ROWS_A_DAY = 50_000
"""More are never told, for one day and search type of a property."""

_REMEMBERED_FACTS = 2_000_000
_REMEMBERED_ROWS = 1_000_000
_REMEMBERED_DAYS = 50_000


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
class _Result:
    """All rows of an answer in their order, and the texts of each dimension to unpack keys with."""

    groups: Groups
    texts: tuple[Texts, ...]


class Answers:
    """Answers requests about any property; remembers what it counted last."""

    def __init__(self, metadata_style: MetadataStyle) -> None:
        self._style = metadata_style
        self._facts: Recent[Facts | None] = Recent(_REMEMBERED_FACTS, lambda facts: len(facts or ()) + 1)
        self._hours: Recent[HourlyFacts | None] = Recent(
            _REMEMBERED_FACTS, lambda hours: len(hours.facts) + 1 if hours else 1
        )
        self._turns: Counter[tuple[str, Query]] = Counter()
        self._totals: Recent[Groups | None] = Recent(_REMEMBERED_DAYS, lambda total: 1)
        self._results: Recent[_Result | None] = Recent(
            _REMEMBERED_ROWS, lambda result: len(result.groups) if result else 1
        )

    def forget(self) -> None:
        """Count everything anew from now on."""
        for memory in (self._facts, self._hours, self._totals, self._results):
            memory.clear()

    def answer(self, prop: Property, query: Query, now: datetime, paging: Paging = STEADY_PAGING) -> bytes:
        """The JSON body that answers `query` about `prop` at the moment `now`."""
        days = _days_told(prop, query, now)
        states = ((day, state_of(prop, day, now)) for day in days)
        moving = tuple(state for state in states if state[1] != SETTLED)
        whole = replace(query, row_limit=1, start_row=0)
        key = (prop.site_url, whole, (*days[:1], *days[-1:]), moving)
        result = self._results.get(key, lambda: self._count(prop, query, days, now))
        answer = _Answer(
            rows=_rows(self._page(prop, result, query, paging), query) or msgspec.UNSET,
            responseAggregationType=aggregation_told(query),
            metadata=_metadata(query, now, self._style) or msgspec.UNSET,
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
        parts: list[Groups] = []
        moments = _moments(query, days)
        first_hour = 0
        for place, day in enumerate(days):
            if query.data_state == "hourly_all":
                if (hours := self._visible_hours(prop, query, day, now)) is not None:
                    labels = hours.facts.labels
                    parts.append(counted(hours.facts, query, hours.hour + first_hour, len(moments)))
                first_hour += len(hours_of(day))
            elif set(query.dimensions) <= {"date"} and not query.filters:
                totals = self._day_totals(prop, query, day, now)
                if totals is not None:
                    parts.append(replace(totals, key=np.full(1, place if query.dimensions else 0)))
            elif (facts := self._visible(prop, query, day, now)) is not None:
                labels = facts.labels
                parts.append(counted(facts, query, place, len(moments)))
        if not parts:
            return None
        columns = tuple(texts_of(name, labels, moments) for name in query.dimensions)
        groups = summed(parts, prod(len(column) for column in columns))
        return _Result(groups.take(_order(prop, groups, columns, query, len(days))), columns)

    def _visible(self, prop: Property, query: Query, day: date, now: datetime) -> Facts | None:
        name = query.search_type.name
        key = (prop.site_url, name, day, state_of(prop, day, now))
        return self._facts.get(key, lambda: visible_facts(prop, name, day, now))

    def _visible_hours(self, prop: Property, query: Query, day: date, now: datetime) -> HourlyFacts | None:
        name = query.search_type.name
        key = (prop.site_url, name, day, state_of(prop, day, now))
        return self._hours.get(key, lambda: visible_hours(prop, name, day, now))

    def _day_totals(self, prop: Property, query: Query, day: date, now: datetime) -> Groups | None:
        """A day's totals as one group. Remembered apart: a year of them weighs less than a day's facts."""

        def count() -> Groups | None:
            facts = visible_facts(prop, query.search_type.name, day, now)
            return None if facts is None else counted(facts, replace(query, dimensions=()), 0, 1)

        by_page = counts_by_page(query)
        key = (prop.site_url, query.search_type.name, by_page, day, state_of(prop, day, now))
        return self._totals.get(key, count)


def _days_told(prop: Property, query: Query, now: datetime) -> list[date]:
    """The days an answer counts: asked for, shown, and complete unless the request wants all."""
    shown = prop.days_shown(pacific_today(now))
    if shown is None:
        return []
    first, last = max(query.first, shown.start), min(query.last, shown.last)
    if query.data_state == "final":
        last = min(last, first_incomplete_day(now) - ONE_DAY)
    elif query.data_state == "hourly_all":
        first = max(first, first_day_with_hours(now))
    return list(Window.inclusive(first, last)) if first <= last else []


def _moments(query: Query, days: list[date]) -> Texts:
    """The texts of the days, or hours, that a request counts."""
    if query.data_state == "hourly_all":
        return texts([hour.isoformat() for day in days for hour in hours_of(day)])
    return texts([day.isoformat() for day in days])


def _metadata(query: Query, now: datetime, style: MetadataStyle) -> dict[str, str]:
    """From when on numbers may still change, where Google tells it."""
    incomplete = first_incomplete_day(now)
    if query.last >= incomplete and query.data_state == "all" and "date" in query.dimensions:
        name = "first_incomplete_date" if style == "guide" else "firstIncompleteDate"
        return {name: incomplete.isoformat()}
    if query.last >= incomplete and query.data_state == "hourly_all":
        name = "first_incomplete_hour" if style == "guide" else "firstIncompleteHour"
        return {name: hours_of(incomplete)[0].isoformat()}
    return {}


def _order(
    prop: Property, groups: Groups, columns: tuple[Texts, ...], query: Query, days: int
) -> npt.NDArray[np.int64]:
    """The places of the rows that are told, in their order.

    By clicks, ties at random but always alike; by date or hour first when grouped by it. The cap holds for a
    day; a range grouped or filtered by page or query has one cap for all its days, so it loses rows.
    """
    cap = MOST_ROWS_A_DAY * (1 if query.concerns("page") or query.concerns("query") else days)
    order = np.lexsort((hashed(seed_of(prop.site_url), groups.key), -groups.clicks))[:cap]
    when = _when(groups.key[order], columns, query)
    return order if when is None else order[np.argsort(when, kind="stable")]


def _ties(result: _Result, query: Query) -> npt.NDArray[np.int64]:
    """For each row of a sorted result the number of the run of tied rows that it is in."""
    differs = np.diff(result.groups.clicks, prepend=-1) != 0
    when = _when(result.groups.key, result.texts, query)
    if when is not None:
        differs |= np.diff(when, prepend=-1) != 0
    return np.cumsum(differs)


def _when(key: Counts, columns: tuple[Texts, ...], query: Query) -> Counts | None:
    """The codes of the dates or hours in packed keys; None when grouped by neither."""
    place = next((place for place, name in enumerate(query.dimensions) if name in MOMENTS), None)
    return None if place is None else unpacked(key, columns)[place]


def _rows(page: _Result | None, query: Query) -> list[_Row]:
    """The rows of a page as they are written."""
    if page is None:
        return []
    groups = page.groups
    keys: Iterable[tuple[str, ...] | msgspec.UnsetType] = repeat(msgspec.UNSET)
    if page.texts:
        codes = unpacked(groups.key, page.texts)
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
