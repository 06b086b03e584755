"""The legal searchAnalytics requests, as types that cannot express an illegal combination.

A request names what is wanted (a window's daily totals, one day's rows at a grain); dimensions,
aggregation and data state follow from its type and its search type, so none of the combinations that the
API refuses with 400 can be written down. Does not belong here: sending (`client`), paging (`sync.read`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from gsc_pipeline.days import Window
from gsc_pipeline.search_console.search_types import FeedType, QueryType, SearchType

PAGE_ROWS = 25_000
"""Rows asked for at once, the most the API allows."""

DAY_ROWS_CAP = 50_000
"""Rows the API exposes per day, search type and property, by clicks; what lies beyond is not to be had."""


@dataclass(frozen=True, slots=True)
class DailyTotals:
    """Each day's totals for the whole property over a window, incomplete days included: the probe."""

    search_type: SearchType
    window: Window

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What the rows are grouped by, in the order of their keys."""
        return ("date",)


@dataclass(frozen=True, slots=True)
class PropertyTotals:
    """One day by country and device, counted by property. Feeds are answered by page only.

    `with_device` only matters for googleNews, for which sources disagree whether device is taken.
    """

    search_type: SearchType
    day: date
    with_device: bool = True

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What the rows are grouped by, in the order of their keys."""
        return _country_and_device(self.search_type, self.with_device)


@dataclass(frozen=True, slots=True)
class PropertyQueries:
    """One day by query, country and device, counted by property. Leaves anonymised queries out."""

    search_type: QueryType
    day: date

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What the rows are grouped by, in the order of their keys."""
        return ("query", *_country_and_device(self.search_type))


@dataclass(frozen=True, slots=True)
class PageTotals:
    """One day by page, country and device, counted by page. `with_device` as in PropertyTotals."""

    search_type: SearchType
    day: date
    with_device: bool = True

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What the rows are grouped by, in the order of their keys."""
        return ("page", *_country_and_device(self.search_type, self.with_device))


@dataclass(frozen=True, slots=True)
class PageQueries:
    """One day by page, query, country and device, counted by page. Leaves anonymised queries out."""

    search_type: QueryType
    day: date

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What the rows are grouped by, in the order of their keys."""
        return ("page", "query", *_country_and_device(self.search_type))


@dataclass(frozen=True, slots=True)
class HourlyTotals:
    """Each hour's totals for the whole property over a window of the last ten days, today included."""

    search_type: SearchType
    window: Window

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What the rows are grouped by, in the order of their keys."""
        return ("hour",)


@dataclass(frozen=True, slots=True)
class HourlyPages:
    """One day by hour and page, counted by page; one of the last ten days."""

    search_type: SearchType
    day: date

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What the rows are grouped by, in the order of their keys."""
        return ("hour", "page")


@dataclass(frozen=True, slots=True)
class AppearanceTotals:
    """One day by search appearance, which the API groups by alone."""

    search_type: SearchType
    day: date

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What the rows are grouped by, in the order of their keys."""
        return ("searchAppearance",)


@dataclass(frozen=True, slots=True)
class AppearancePages:
    """One day's results of one search appearance by page, counted by page.

    `appearance` is a word that AppearanceTotals answered.
    """

    search_type: SearchType
    appearance: str
    day: date

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What the rows are grouped by, in the order of their keys."""
        return ("page",)


DayRequest = PropertyTotals | PropertyQueries | PageTotals | PageQueries
HourlyRequest = HourlyTotals | HourlyPages
AppearanceRequest = AppearanceTotals | AppearancePages
AnalyticsRequest = DailyTotals | DayRequest | HourlyRequest | AppearanceRequest


def request_body(request: AnalyticsRequest, *, start_row: int = 0) -> dict[str, Any]:
    """The JSON body the API takes for `request`, from row `start_row` on.

    The one place that turns a closed-open window into the API's inclusive `endDate`.
    """
    window = (
        request.window
        if isinstance(request, DailyTotals | HourlyTotals)
        else Window.inclusive(request.day, request.day)
    )
    return {
        "startDate": window.start.isoformat(),
        "endDate": window.last.isoformat(),
        "type": request.search_type.value,
        "dimensions": list(request.dimensions),
        "aggregationType": _aggregation(request),
        "dataState": "hourly_all" if isinstance(request, HourlyRequest) else "all",
        "rowLimit": PAGE_ROWS,
        "startRow": start_row,
        **_filters(request),
    }


def _aggregation(request: AnalyticsRequest) -> str:
    if isinstance(request, PageTotals | PageQueries | HourlyPages | AppearancePages):
        return "byPage"
    # byProperty is refused for feeds; auto gives them what they have, by page. Appearances are counted
    # as Search Console's own report counts them.
    is_auto = isinstance(request, AppearanceTotals) or isinstance(request.search_type, FeedType)
    return "auto" if is_auto else "byProperty"


def _filters(request: AnalyticsRequest) -> dict[str, Any]:
    if not isinstance(request, AppearancePages):
        return {}
    of_appearance = {
        "dimension": "searchAppearance",
        "operator": "equals",
        "expression": request.appearance,
    }
    return {"dimensionFilterGroups": [{"groupType": "and", "filters": [of_appearance]}]}


def _country_and_device(search_type: SearchType, with_device: bool = True) -> tuple[str, ...]:
    optional = search_type is FeedType.GOOGLE_NEWS
    has_device = search_type.has_device and (with_device or not optional)
    return ("country", "device") if has_device else ("country",)
