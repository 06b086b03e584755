"""The answers to search analytics requests: facts grouped, sorted, cut into pages and encoded as JSON.

Sorted results are cached, so that the next page of a result is not counted again.
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
from gsc_pipeline.simulator.hashing import hashed, seed_of
from gsc_pipeline.simulator.recent import Recent
from gsc_pipeline.simulator.wire.grouping import (
    Groups,
    code_of,
    counted,
    passing,
    summed,
    texts_of,
    unpacked,
)
from gsc_pipeline.simulator.wire.hours import HourlyFacts, first_day_with_hours, hours_of, visible_hours
from gsc_pipeline.simulator.wire.paging import STEADY_PAGING, Paging
from gsc_pipeline.simulator.wire.provisional import SETTLED, first_incomplete_day, state_of, visible_facts
from gsc_pipeline.simulator.wire.queries import APPEARANCE, MOMENTS, Query, aggregation_of, counts_by_page

MetadataStyle = Literal["discovery", "guide"]
"""The spelling of the first incomplete date: `firstIncompleteDate` or `first_incomplete_date`."""

MOST_ROWS_A_DAY = 50_000
"""The API never returns more for one day and search type of a property, whatever the page of the answer."""

_CACHED_FACTS = 2_000_000
_CACHED_ROWS = 1_000_000
_CACHED_WHOLE_ROWS = 4_000_000
_CACHED_DAYS = 50_000


class _AnswerRow(msgspec.Struct, gc=False):
    keys: tuple[str, ...] | msgspec.UnsetType
    clicks: float
    impressions: float
    ctr: float
    position: float | msgspec.UnsetType


class _Answer(msgspec.Struct):
    rows: list[_AnswerRow] | msgspec.UnsetType
    responseAggregationType: str
    metadata: dict[str, str] | msgspec.UnsetType


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    """All sorted rows of an answer, and the texts of each dimension that unpack their keys."""

    groups: Groups
    texts: tuple[Texts, ...]


class Answers:
    """Answers requests about any property, with a cache of recent results."""

    def __init__(self, metadata_style: MetadataStyle, most_rows_a_day: int) -> None:
        self._style = metadata_style
        self._most_rows_a_day = most_rows_a_day
        self._facts: Recent[Facts | None] = Recent(_CACHED_FACTS, lambda facts: len(facts or ()) + 1)
        self._hours: Recent[HourlyFacts | None] = Recent(
            _CACHED_FACTS, lambda hours: len(hours.facts) + 1 if hours else 1
        )
        self._turns: Counter[tuple[str, Query]] = Counter()
        self._totals: Recent[Groups | None] = Recent(_CACHED_DAYS, lambda total: 1)
        self._whole: Recent[_Result | None] = Recent(_CACHED_WHOLE_ROWS, _rows_kept)
        self._results: Recent[_Result | None] = Recent(_CACHED_ROWS, _rows_kept)

    def clear_caches(self) -> None:
        """Count everything again from now on."""
        for cache in (self._facts, self._hours, self._totals, self._whole, self._results):
            cache.clear()

    def answer(self, prop: Property, query: Query, now: datetime, paging: Paging = STEADY_PAGING) -> bytes:
        """The JSON body of the answer to `query` about `prop` at `now`."""
        days = _days_counted(prop, query, now)
        states = ((day, state_of(prop, day, now)) for day in days)
        unsettled = tuple(state for state in states if state[1] != SETTLED)
        numbers = (prop.site_url, (*days[:1], *days[-1:]), unsettled)

        def whole() -> _Result | None:
            wide = query.without_filters()
            return self._whole.get((numbers, wide), lambda: self._count(prop, wide, days, now))

        key = (numbers, replace(query, row_limit=1, start_row=0))
        result = self._results.get(key, lambda: self._cut(prop, query, whole(), len(days)))
        answer = _Answer(
            rows=_rows(self._page(prop, result, query, paging), query) or msgspec.UNSET,
            responseAggregationType=aggregation_of(query),
            metadata=_metadata(query, now, self._style) or msgspec.UNSET,
        )
        return msgspec.json.encode(answer)

    def _page(self, prop: Property, result: _Result | None, query: Query, paging: Paging) -> _Result | None:
        """The requested page of a result; empty past its end."""
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
        """All rows of a request without filters, sorted by clicks; None when there are none."""
        labels: Labels | None = None
        parts: list[Groups] = []
        moments = _moments(query, days)
        first_hour = 0
        for index, day in enumerate(days):
            if query.data_state == "hourly_all":
                if (hours := self._visible_hours(prop, query, day, now)) is not None:
                    labels = hours.facts.labels
                    parts.append(counted(hours.facts, query, hours.hour + first_hour, len(moments)))
                first_hour += len(hours_of(day))
            elif set(query.dimensions) <= {"date"} and not query.filters:
                totals = self._day_totals(prop, query, day, now)
                if totals is not None:
                    parts.append(replace(totals, key=np.full(1, index if query.dimensions else 0)))
            elif (facts := self._visible(prop, query, day, now)) is not None:
                labels = facts.labels
                parts.append(counted(facts, query, index, len(moments)))
        if not parts:
            return None
        columns = tuple(texts_of(name, labels, moments) for name in query.dimensions)
        groups = summed(parts, prod(len(column) for column in columns))
        return _Result(groups.take(_order(prop, groups)), columns)

    def _cut(self, prop: Property, query: Query, whole: _Result | None, days: int) -> _Result | None:
        """The rows of the answer, sorted, up to the cap: those of `whole` that pass the filters.

        The cap is for each day, but a range grouped or filtered by page or query has one cap for all its
        days. It applies to what passes the filters; where filters see the cut rows only, also before them.
        """
        if whole is None:
            return None
        cap = self._most_rows_a_day * (1 if query.concerns("page") or query.concerns("query") else days)
        groups, columns = whole.groups, whole.texts[: len(query.dimensions)]
        if any(one.dimension != APPEARANCE for one in query.filters):
            if prop.filters_see == "cut_rows":
                groups = groups.take(slice(cap))
            names = query.without_filters().dimensions
            groups = passing(groups, names, whole.texts, query.filters)
            if len(names) > len(columns):
                narrow = replace(groups, key=groups.key // prod(map(len, whole.texts[len(columns) :])))
                groups = summed([narrow], prod(map(len, columns)))
                groups = groups.take(_order(prop, groups))
        if len(groups) > cap:
            # Copied, because a slice would keep all rows in memory.
            groups = groups.take(np.arange(cap))
        when = _when(groups.key, columns, query)
        return _Result(groups if when is None else groups.take(np.argsort(when, kind="stable")), columns)

    def _visible(self, prop: Property, query: Query, day: date, now: datetime) -> Facts | None:
        name = query.search_type.name
        key = (prop.site_url, name, day, state_of(prop, day, now))
        return self._facts.get(key, lambda: visible_facts(prop, name, day, now))

    def _visible_hours(self, prop: Property, query: Query, day: date, now: datetime) -> HourlyFacts | None:
        name = query.search_type.name
        key = (prop.site_url, name, day, state_of(prop, day, now))
        return self._hours.get(key, lambda: visible_hours(prop, name, day, now))

    def _day_totals(self, prop: Property, query: Query, day: date, now: datetime) -> Groups | None:
        """A day's totals as one group, in a separate cache: a year of them is smaller than a day of facts."""

        def count() -> Groups | None:
            facts = visible_facts(prop, query.search_type.name, day, now)
            return None if facts is None else counted(facts, replace(query, dimensions=()), 0, 1)

        by_page = counts_by_page(query)
        key = (prop.site_url, query.search_type.name, by_page, day, state_of(prop, day, now))
        return self._totals.get(key, count)


def _days_counted(prop: Property, query: Query, now: datetime) -> list[date]:
    """The days that an answer counts: requested, shown, and complete unless fresh data is requested."""
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
    """The first incomplete date or hour, where Google returns it."""
    incomplete = first_incomplete_day(now)
    if query.last >= incomplete and query.data_state == "all" and "date" in query.dimensions:
        name = "first_incomplete_date" if style == "guide" else "firstIncompleteDate"
        return {name: incomplete.isoformat()}
    if query.last >= incomplete and query.data_state == "hourly_all":
        name = "first_incomplete_hour" if style == "guide" else "firstIncompleteHour"
        return {name: hours_of(incomplete)[0].isoformat()}
    return {}


def _rows_kept(result: _Result | None) -> int:
    return len(result.groups) if result else 1


def _order(prop: Property, groups: Groups) -> npt.NDArray[np.int64]:
    """The indexes of rows sorted by clicks, ties in a random but fixed order."""
    return np.lexsort((hashed(seed_of(prop.site_url), groups.key), -groups.clicks))


def _ties(result: _Result, query: Query) -> npt.NDArray[np.int64]:
    """For each row of a sorted result, the number of the run of tied rows that it belongs to."""
    differs = np.diff(result.groups.clicks, prepend=-1) != 0
    when = _when(result.groups.key, result.texts, query)
    if when is not None:
        differs |= np.diff(when, prepend=-1) != 0
    return np.cumsum(differs)


def _when(key: Counts, columns: tuple[Texts, ...], query: Query) -> Counts | None:
    """The codes of the dates or hours in packed keys; None when grouped by neither."""
    place = next((place for place, name in enumerate(query.dimensions) if name in MOMENTS), None)
    return None if place is None else code_of(key, columns, place)


def _rows(page: _Result | None, query: Query) -> list[_AnswerRow]:
    """The rows of a page, as they are encoded."""
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
            _AnswerRow,
            keys,
            groups.clicks.astype(np.float64).tolist(),
            groups.impressions.astype(np.float64).tolist(),
            (groups.clicks / groups.impressions).tolist(),
            positions,
        )
    )
