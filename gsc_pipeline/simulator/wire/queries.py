"""Search analytics requests: parsing, defaults, and what the API refuses."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.simulator.facts import SEARCH_TYPES, SearchType

MOST_ROWS_AN_ANSWER = 25_000
DEFAULT_ROWS_AN_ANSWER = 1_000
LONGEST_EXPRESSION = 4_096
"""The most characters of a filter's expression."""

_FIELDS = frozenset(
    {
        "startDate",
        "endDate",
        "dimensions",
        "type",
        "searchType",
        "dimensionFilterGroups",
        "aggregationType",
        "rowLimit",
        "startRow",
        "dataState",
    }
)
APPEARANCE = "searchAppearance"
_DIMENSIONS = ("date", "hour", "query", "page", "country", "device", APPEARANCE)
MOMENTS = ("date", "hour")
"""The dimensions of time. A request has at most one of them."""

_OPERATORS = ("equals", "notEquals", "contains", "notContains", "includingRegex", "excludingRegex")
_AGGREGATIONS = ("auto", "byProperty", "byPage", "byNewsShowcasePanel")
_DATA_STATES = ("final", "all", "hourly_all")


class Refusal(Exception):
    """The request is not valid. The reply is 400 with this message; `location` names the field."""

    def __init__(self, message: str, location: str) -> None:
        super().__init__(message)
        self.message = message
        self.location = location


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on the value of a dimension. All conditions of a request must hold."""

    dimension: str
    operator: str
    expression: str


@dataclass(frozen=True, slots=True)
class Query:
    """A valid request. `first` and `last` are both inclusive, as on the wire."""

    first: date
    last: date
    dimensions: tuple[str, ...]
    search_type: SearchType
    filters: tuple[Filter, ...]
    aggregation: str
    data_state: str
    row_limit: int
    start_row: int

    def concerns(self, dimension: str) -> bool:
        """Whether the request groups or filters by `dimension`."""
        return dimension in self.dimensions or any(one.dimension == dimension for one in self.filters)

    def without_filters(self) -> Query:
        """The request for the rows that the filters choose from, whatever the page.

        It is grouped by the filtered dimensions too. A filter by searchAppearance stays, because a row has
        any number of appearances.
        """
        filtered = (one.dimension for one in self.filters if one.dimension != APPEARANCE)
        return replace(
            self,
            dimensions=tuple(dict.fromkeys((*self.dimensions, *filtered))),
            filters=tuple(one for one in self.filters if one.dimension == APPEARANCE),
            row_limit=1,
            start_row=0,
        )


def parse_query(body: object, *, google_news_device: bool = True) -> Query:
    """The request in the decoded JSON `body`. Raises Refusal if Google would refuse it.

    Google's pages disagree whether googleNews has the device dimension: `google_news_device` decides.
    """
    body = known_fields(body, _FIELDS)
    query = Query(
        first=_day(body, "startDate"),
        last=_day(body, "endDate"),
        dimensions=tuple(_choice(_DIMENSIONS, one, "dimensions") for one in _list(body, "dimensions")),
        search_type=_search_type(body, google_news_device),
        filters=tuple(_filters(body)),
        aggregation=_choice(_AGGREGATIONS, body.get("aggregationType", "auto"), "aggregationType"),
        data_state=_choice(_DATA_STATES, body.get("dataState", "final"), "dataState"),
        row_limit=_whole(body, "rowLimit", DEFAULT_ROWS_AN_ANSWER, 1, MOST_ROWS_AN_ANSWER),
        start_row=_whole(body, "startRow", 0, 0, 2**31 - 1),
    )
    _refuse_contradictions(query)
    return query


def known_fields(body: object, known: Collection[str]) -> Mapping[str, Any]:
    """The decoded JSON `body`. Raises Refusal if it is not an object, or has a field that is not `known`."""
    if not isinstance(body, Mapping):
        raise Refusal("Invalid JSON payload received. An object was expected.", "body")
    for name in body:
        if name not in known:
            raise Refusal(
                f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.', str(name)
            )
    return body


def counts_by_page(query: Query) -> bool:
    """Whether each page of a search counts, instead of the property once.

    Search appearances belong to pages, so they are counted by page unless byProperty is requested.
    """
    if query.aggregation == "byProperty":
        return False
    return (
        query.aggregation == "byPage"
        or query.concerns("page")
        or query.concerns("searchAppearance")
        or query.search_type.counts_by_page_only
    )


def aggregation_of(query: Query) -> str:
    """The aggregation type of the answer."""
    if query.aggregation != "auto":
        return query.aggregation
    return "byPage" if counts_by_page(query) else "byProperty"


def _refuse_contradictions(query: Query) -> None:
    search_type = query.search_type
    if query.first > query.last:
        raise Refusal("Start date must not be after the end date.", "startDate")
    if len(set(query.dimensions)) < len(query.dimensions):
        raise Refusal("A dimension may be given only once.", "dimensions")
    if "searchAppearance" in query.dimensions and len(query.dimensions) > 1:
        raise Refusal("searchAppearance cannot be combined with other dimensions.", "dimensions")
    if "date" in query.dimensions and "hour" in query.dimensions:
        raise Refusal("date and hour cannot both be dimensions.", "dimensions")
    if ("hour" in query.dimensions) != (query.data_state == "hourly_all"):
        raise Refusal("The hour dimension and dataState hourly_all require each other.", "dataState")
    if query.concerns("query") and not search_type.has_query:
        raise Refusal(
            f"The query dimension is not available for search type {search_type.name}.", "dimensions"
        )
    if query.concerns("device") and not search_type.has_device:
        raise Refusal(
            f"The device dimension is not available for search type {search_type.name}.", "dimensions"
        )
    if query.aggregation == "byProperty":
        if query.concerns("page"):
            raise Refusal("Grouped or filtered by page, byProperty is not possible.", "aggregationType")
        if search_type.counts_by_page_only:
            raise Refusal(
                f"byProperty is not possible for search type {search_type.name}.", "aggregationType"
            )
    if query.aggregation == "byNewsShowcasePanel" and not (
        search_type.counts_by_page_only
        and any(
            one.dimension == "searchAppearance" and one.expression == "NEWS_SHOWCASE" for one in query.filters
        )
        and not query.concerns("page")
    ):
        raise Refusal(
            "byNewsShowcasePanel needs the NEWS_SHOWCASE search appearance as a filter, type discover or "
            "googleNews, and no page.",
            "aggregationType",
        )


def _day(body: Mapping[str, Any], name: str) -> date:
    value = body.get(name)
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise Refusal(f"Invalid value at '{name}': {value!r} is not a date in YYYY-MM-DD format.", name)


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    value = body.get(name, [])
    if not isinstance(value, list):
        raise Refusal(f"Invalid value at '{name}': a list was expected.", name)
    return value


def _whole(body: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refusal(f"Invalid value at '{name}': {value!r} is not a number from {least} to {most}.", name)
    return value


def _choice(choices: tuple[str, ...], value: object, name: str) -> str:
    """The choice that `value` names, in the spelling of the guide (`byPage`) or the discovery document."""
    for choice in choices:
        if isinstance(value, str) and value in (choice, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", choice).upper()):
            return choice
    raise Refusal(f"Invalid value at '{name}': {value!r} is none of {', '.join(choices)}.", name)


def _search_type(body: Mapping[str, Any], google_news_device: bool) -> SearchType:
    name = "type" if "type" in body else "searchType"
    search_type = SEARCH_TYPES[_choice(tuple(SEARCH_TYPES), body.get(name, "web"), name)]
    if search_type.name == "googleNews" and not google_news_device:
        return replace(search_type, has_device=False)
    return search_type


def _filters(body: Mapping[str, Any]) -> list[Filter]:
    where = "dimensionFilterGroups"
    found = []
    for group in _list(body, where):
        if not isinstance(group, Mapping):
            raise Refusal(f"Invalid value at '{where}': an object was expected.", where)
        if str(group.get("groupType", "and")).lower() != "and":
            raise Refusal("Only groupType 'and' is supported.", where)
        for one in _list(group, "filters"):
            found.append(_filter(one, where))
    return found


def _filter(one: object, where: str) -> Filter:
    if not isinstance(one, Mapping) or not isinstance(one.get("expression"), str):
        raise Refusal("A filter needs a dimension and an expression.", where)
    made = Filter(
        _choice(_DIMENSIONS, one.get("dimension"), where),
        _choice(_OPERATORS, one.get("operator", "equals"), where),
        one["expression"],
    )
    if made.dimension in MOMENTS:
        raise Refusal(f"It is not possible to filter by {made.dimension}.", where)
    if len(made.expression) > LONGEST_EXPRESSION:
        raise Refusal(
            f"The expression of a filter has at most {LONGEST_EXPRESSION} characters, not "
            f"{len(made.expression)}.",
            where,
        )
    if made.operator in ("includingRegex", "excludingRegex"):
        try:
            # Arrow's regular expressions are RE2's, as Google's are.
            pc.match_substring_regex(pa.array([""]), made.expression)
        except pa.ArrowInvalid as error:
            raise Refusal(str(error), where) from error
    return made
