from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.days import Window
from gsc_pipeline.search_console.requests import (
    AnalyticsRequest,
    AppearancePages,
    AppearanceTotals,
    DailyTotals,
    HourlyPages,
    HourlyTotals,
    PageQueries,
    PageTotals,
    PropertyQueries,
    PropertyTotals,
    request_body,
)
from gsc_pipeline.search_console.search_types import (
    SEARCH_TYPES,
    FeedType,
    QueryType,
    SearchType,
    search_type_from_wire,
)
from gsc_pipeline.simulator.wire.queries import parse_query

DAY = date(2026, 11, 20)


def body_of(request: AnalyticsRequest) -> dict[str, Any]:
    """The parts of a body that do not depend only on the day."""
    body = request_body(request)
    return {name: body[name] for name in ("type", "dimensions", "aggregationType")}


def requests_for(search_type: SearchType) -> list[AnalyticsRequest]:
    """All requests that can be written for a search type."""
    week = Window.last_complete(7, DAY)
    requests: list[AnalyticsRequest] = [
        DailyTotals(search_type, week),
        PropertyTotals(search_type, DAY),
        PageTotals(search_type, DAY),
    ]
    if isinstance(search_type, QueryType):
        requests += [PropertyQueries(search_type, DAY), PageQueries(search_type, DAY)]
    return requests


def requests_beside_the_main_tables(search_type: SearchType) -> list[AnalyticsRequest]:
    return [
        HourlyTotals(search_type, Window.last_complete(10, DAY)),
        HourlyPages(search_type, DAY),
        AppearanceTotals(search_type, DAY),
        AppearancePages(search_type, "VIDEO", DAY),
    ]


def test_a_body_contains_every_field_and_relies_on_no_default() -> None:
    assert request_body(PageQueries(QueryType.WEB, DAY), start_row=25_000) == {
        "startDate": "2026-11-20",
        "endDate": "2026-11-20",
        "type": "web",
        "dimensions": ["page", "query", "country", "device"],
        "aggregationType": "byPage",
        "dataState": "all",
        "rowLimit": 25_000,
        "startRow": 25_000,
    }


@pytest.mark.parametrize("search_type", list(QueryType))
def test_search_types_with_queries_are_requested_by_property_and_by_page(search_type: QueryType) -> None:
    by_property = {"type": search_type.value, "aggregationType": "byProperty"}
    by_page = {"type": search_type.value, "aggregationType": "byPage"}

    assert [body_of(request) for request in requests_for(search_type)] == [
        by_property | {"dimensions": ["date"]},
        by_property | {"dimensions": ["country", "device"]},
        by_page | {"dimensions": ["page", "country", "device"]},
        by_property | {"dimensions": ["query", "country", "device"]},
        by_page | {"dimensions": ["page", "query", "country", "device"]},
    ]


def test_discover_is_never_requested_by_device_by_query_or_by_property() -> None:
    assert [body_of(request) for request in requests_for(FeedType.DISCOVER)] == [
        {"type": "discover", "aggregationType": "auto", "dimensions": ["date"]},
        {"type": "discover", "aggregationType": "auto", "dimensions": ["country"]},
        {"type": "discover", "aggregationType": "byPage", "dimensions": ["page", "country"]},
    ]


def test_google_news_is_requested_by_device_and_never_by_query_or_by_property() -> None:
    assert [body_of(request) for request in requests_for(FeedType.GOOGLE_NEWS)] == [
        {"type": "googleNews", "aggregationType": "auto", "dimensions": ["date"]},
        {"type": "googleNews", "aggregationType": "auto", "dimensions": ["country", "device"]},
        {"type": "googleNews", "aggregationType": "byPage", "dimensions": ["page", "country", "device"]},
    ]


@pytest.mark.parametrize("search_type", SEARCH_TYPES)
def test_only_hourly_requests_use_the_hourly_data_state(
    search_type: SearchType,
) -> None:
    for request in requests_for(search_type) + requests_beside_the_main_tables(search_type):
        body = request_body(request)

        assert (body["dataState"] == "hourly_all") == ("hour" in body["dimensions"])


def test_a_window_of_hours_ends_on_its_last_day() -> None:
    body = request_body(HourlyTotals(QueryType.WEB, Window.inclusive(date(2026, 11, 11), DAY)))

    assert (body["startDate"], body["endDate"]) == ("2026-11-11", "2026-11-20")


def test_appearances_are_requested_alone_and_then_as_a_filter() -> None:
    assert "dimensionFilterGroups" not in request_body(AppearanceTotals(QueryType.WEB, DAY))
    assert body_of(AppearanceTotals(QueryType.WEB, DAY)) == {
        "type": "web",
        "aggregationType": "auto",
        "dimensions": ["searchAppearance"],
    }
    pages = request_body(AppearancePages(QueryType.WEB, "RECIPE_FEATURE", DAY))
    assert (pages["dimensions"], pages["aggregationType"]) == (["page"], "byPage")
    assert pages["dimensionFilterGroups"] == [
        {
            "groupType": "and",
            "filters": [
                {"dimension": "searchAppearance", "operator": "equals", "expression": "RECIPE_FEATURE"}
            ],
        }
    ]


@pytest.mark.parametrize("search_type", SEARCH_TYPES)
def test_the_api_accepts_every_request_that_can_be_written(search_type: SearchType) -> None:
    for request in requests_for(search_type) + requests_beside_the_main_tables(search_type):
        read = parse_query(request_body(request, start_row=50_000))

        assert read.dimensions == request.dimensions
        assert read.search_type.name == search_type.value


@pytest.mark.parametrize("search_type", SEARCH_TYPES)
def test_a_request_for_one_day_starts_and_ends_on_it(search_type: SearchType) -> None:
    for request in requests_for(search_type)[1:] + requests_beside_the_main_tables(search_type)[1:]:
        body = request_body(request)

        assert (body["startDate"], body["endDate"]) == ("2026-11-20", "2026-11-20")


@given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), st.integers(1, 500))
def test_the_end_date_in_the_body_is_the_last_day_of_the_window(start: date, length: int) -> None:
    body = request_body(DailyTotals(QueryType.WEB, Window(start, start + timedelta(days=length))))

    assert date.fromisoformat(body["startDate"]) == start
    assert date.fromisoformat(body["endDate"]) == start + timedelta(days=length - 1)


@pytest.mark.soak
def test_a_grain_with_query_cannot_be_written_for_a_feed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from datetime import date\n"
        "from gsc_pipeline.search_console.requests import PageQueries, PropertyQueries, PropertyTotals\n"
        "from gsc_pipeline.search_console.search_types import FeedType, QueryType\n"
        "day = date(2026, 11, 20)\n"
        "PropertyQueries(QueryType.WEB, day)\n"
        "PropertyTotals(FeedType.DISCOVER, day)\n"
        "PropertyQueries(FeedType.DISCOVER, day)\n"
        "PageQueries(FeedType.GOOGLE_NEWS, day)\n"
    )

    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", program],
        capture_output=True,
        text=True,
        check=False,
    )

    refused = [line.split(":")[1] for line in checked.stdout.splitlines() if "incompatible type" in line]
    assert refused == ["7", "8"], checked.stdout + checked.stderr


def test_every_search_type_is_found_by_its_api_name() -> None:
    words = ["web", "image", "video", "news", "discover", "googleNews"]

    assert [search_type_from_wire(word) for word in words] == list(SEARCH_TYPES)
    with pytest.raises(ValueError, match="'WEB' is not a search type"):
        search_type_from_wire("WEB")
