"""The searchAnalytics requests that the API accepts, as types that cannot express an illegal combination.

A request says what it is for: a window's daily totals, or one day's rows at a grain. Its dimensions (in the
order of the rows' keys), aggregation and data state follow from its type and its search type.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Literal

from gsc_pipeline.days import Window
from gsc_pipeline.search_console.search_types import FeedType, QueryType, SearchType

PAGE_ROWS = 25_000
"""Rows per page, the most that the API allows."""

DAY_ROWS_CAP = 50_000
"""The most rows that the API gives per day, search type and property, those with the most clicks first."""

CUT_ROWS = 49_900
"""An answer of at least this many rows counts as cut: the API's cap is not met to the row."""

EXPRESSION_CHARACTERS = 4_096
"""The longest expression of a filter that the API accepts."""


@dataclass(frozen=True, slots=True)
class CellFilter:
    """Keeps the rows of one country or device; with `is_excluded`, the rows of all others.

    `value` is spelled as in the answers, since the API compares upper and lower case.
    """

    dimension: Literal["country", "device"]
    value: str
    is_excluded: bool = False

    def as_json(self) -> dict[str, str]:
        """As the API spells it."""
        operator = "notEquals" if self.is_excluded else "equals"
        return {"dimension": self.dimension, "operator": operator, "expression": self.value}


@dataclass(frozen=True, slots=True)
class PageFilter:
    """Keeps the pages whose URL has a match of `pattern` (RE2); with `is_excluded`, all others."""

    pattern: str
    is_excluded: bool = False

    def as_json(self) -> dict[str, str]:
        """As the API spells it."""
        operator = "excludingRegex" if self.is_excluded else "includingRegex"
        return {"dimension": "page", "operator": operator, "expression": self.pattern}


CellFilters = tuple[CellFilter, ...]
PageFilters = tuple[CellFilter | PageFilter, ...]
"""Filters that all have to hold. The API refuses a filter by page when it counts by property."""


@dataclass(frozen=True, slots=True)
class DailyTotals:
    """The probe: each day's totals of the property over a window, incomplete days included."""

    dimensions: ClassVar[tuple[str, ...]] = ("date",)

    search_type: SearchType
    window: Window


@dataclass(frozen=True, slots=True)
class PropertyTotals:
    """One day by country and device, aggregated by property; by page for feeds.

    `with_device` matters only for googleNews: sources disagree on whether the API accepts device there.
    """

    search_type: SearchType
    day: date
    with_device: bool = True

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of the rows, in the order of their keys."""
        return _country_and_device(self.search_type, self.with_device)


@dataclass(frozen=True, slots=True)
class PropertyQueries:
    """One day by query, country and device, aggregated by property. Has no anonymised queries."""

    search_type: QueryType
    day: date
    filters: CellFilters = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of the rows, in the order of their keys."""
        return ("query", *_country_and_device(self.search_type))


@dataclass(frozen=True, slots=True)
class PageTotals:
    """One day by page, country and device, aggregated by page. `with_device` as in PropertyTotals."""

    search_type: SearchType
    day: date
    with_device: bool = True
    filters: PageFilters = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of the rows, in the order of their keys."""
        return ("page", *_country_and_device(self.search_type, self.with_device))


@dataclass(frozen=True, slots=True)
class PageQueries:
    """One day by page, query, country and device, aggregated by page. Has no anonymised queries."""

    search_type: QueryType
    day: date
    filters: PageFilters = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of the rows, in the order of their keys."""
        return ("page", "query", *_country_and_device(self.search_type))


@dataclass(frozen=True, slots=True)
class CellTotals:
    """One day by country and device, aggregated by page: the sums of PageTotals, which may be cut."""

    search_type: QueryType
    day: date

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of the rows, in the order of their keys."""
        return _country_and_device(self.search_type)


@dataclass(frozen=True, slots=True)
class HourlyTotals:
    """Each hour's totals of the property over a window within the last ten days, today included."""

    dimensions: ClassVar[tuple[str, ...]] = ("hour",)

    search_type: SearchType
    window: Window


@dataclass(frozen=True, slots=True)
class HourlyPages:
    """One of the last ten days by hour and page, aggregated by page."""

    dimensions: ClassVar[tuple[str, ...]] = ("hour", "page")

    search_type: SearchType
    day: date


@dataclass(frozen=True, slots=True)
class AppearanceTotals:
    """One day by search appearance. The API accepts no other dimension beside it."""

    dimensions: ClassVar[tuple[str, ...]] = ("searchAppearance",)

    search_type: SearchType
    day: date


@dataclass(frozen=True, slots=True)
class AppearancePages:
    """One day's results of one search appearance by page, aggregated by page.

    `appearance` is a value from the answer to AppearanceTotals.
    """

    dimensions: ClassVar[tuple[str, ...]] = ("page",)

    search_type: SearchType
    appearance: str
    day: date


DayRequest = PropertyTotals | PropertyQueries | PageTotals | PageQueries | CellTotals
CutRequest = PropertyQueries | PageTotals | PageQueries
"""Requests whose answer may be cut, and which can be asked again in parts, by filters."""
HourlyRequest = HourlyTotals | HourlyPages
AppearanceRequest = AppearanceTotals | AppearancePages
AnalyticsRequest = DailyTotals | DayRequest | HourlyRequest | AppearanceRequest


def window_of(request: AnalyticsRequest) -> Window:
    """The days that `request` is for."""
    if isinstance(request, DailyTotals | HourlyTotals):
        return request.window
    return Window.inclusive(request.day, request.day)


def request_body(request: AnalyticsRequest, *, start_row: int = 0) -> dict[str, Any]:
    """The JSON body for `request`, starting at row `start_row`.

    The only place that converts a closed-open window to the API's inclusive `endDate`.
    """
    window = window_of(request)
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
    if isinstance(request, PageTotals | PageQueries | CellTotals | HourlyPages | AppearancePages):
        return "byPage"
    # The API refuses byProperty for feeds; auto aggregates them by page. For appearances, auto is what Search
    # Console's own report uses.
    is_auto = isinstance(request, AppearanceTotals) or isinstance(request.search_type, FeedType)
    return "auto" if is_auto else "byProperty"


def _filters(request: AnalyticsRequest) -> dict[str, Any]:
    if isinstance(request, AppearancePages):
        appearance = {"dimension": "searchAppearance", "operator": "equals", "expression": request.appearance}
        filters = [appearance]
    elif isinstance(request, CutRequest):
        filters = [one.as_json() for one in request.filters]
    else:
        filters = []
    return {"dimensionFilterGroups": [{"groupType": "and", "filters": filters}]} if filters else {}


def _country_and_device(search_type: SearchType, with_device: bool = True) -> tuple[str, ...]:
    has_device = search_type.has_device and (with_device or search_type is not FeedType.GOOGLE_NEWS)
    return ("country", "device") if has_device else ("country",)
