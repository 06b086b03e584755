"""Reading one day: paging, repeats, the cap."""

from __future__ import annotations

from datetime import date

import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.requests import (
    DAY_ROWS_CAP,
    PAGE_ROWS,
    AnalyticsRequest,
    DailyTotals,
    PropertyQueries,
)
from gsc_pipeline.search_console.search_types import FeedType, QueryType
from gsc_pipeline.sync.read import DayRead, probe, read_day
from gsc_pipeline_tests.doubles import Row, ScriptedConsole, answer

DAY = date(2026, 11, 20)


def console_with(queries: list[Row], page_rows: list[int]) -> ScriptedConsole:
    """Serves `queries` in pages of the given sizes, whatever was asked for; other grains are empty."""
    starts = [sum(page_rows[:i]) for i in range(len(page_rows) + 1)]

    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if not isinstance(request, PropertyQueries):
            return answer(request.dimensions, [])
        if start_row not in starts:
            raise AssertionError(f"asked to start at row {start_row}, expected one of {starts}")
        page = starts.index(start_row)
        size = page_rows[page] if page < len(page_rows) else 0
        return answer(request.dimensions, queries[start_row : start_row + size])

    return ScriptedConsole(script)


def read(console: ScriptedConsole) -> DayRead:
    return read_day(console, "acme", "sc-domain:acme.com", QueryType.WEB, DAY)


def some(number: int, first: int = 0) -> list[Row]:
    return [(f"query {i}", "usa", "MOBILE", 1, 2, 3.0) for i in range(first, first + number)]


def starts_asked(console: ScriptedConsole) -> list[int]:
    return [start for _, request, start in console.asked if isinstance(request, PropertyQueries)]


def test_a_page_that_is_not_nearly_full_is_the_last() -> None:
    console = console_with(some(22_499), [22_499])
    assert read(console).site_rows.num_rows == 22_499
    assert starts_asked(console) == [0]


@pytest.mark.parametrize("first_page", [PAGE_ROWS, PAGE_ROWS - 1, 22_500])
def test_a_page_nearly_full_is_followed_by_another_from_the_rows_received_on(first_page: int) -> None:
    console = console_with(some(first_page + 40), [first_page, 40])
    assert read(console).site_rows.num_rows == first_page + 40
    assert starts_asked(console) == [0, first_page]


def test_an_empty_page_after_a_full_one_ends_the_read() -> None:
    console = console_with(some(PAGE_ROWS), [PAGE_ROWS])
    found = read(console)
    assert (found.site_rows.num_rows, found.truncated) == (PAGE_ROWS, False)
    assert starts_asked(console) == [0, PAGE_ROWS]


def test_a_row_that_ties_moved_from_one_page_to_the_next_is_kept_once() -> None:
    first = some(PAGE_ROWS)
    console = console_with([*first, first[-1], first[-2], *some(5, first=PAGE_ROWS)], [PAGE_ROWS, 7])
    assert read(console).site_rows.num_rows == PAGE_ROWS + 5


def test_a_day_at_the_cap_is_truncated() -> None:
    console = console_with(some(DAY_ROWS_CAP), [PAGE_ROWS, PAGE_ROWS])
    assert read(console).truncated


def test_every_request_of_a_day_is_for_that_day_alone() -> None:
    console = console_with([], [0])
    read(console)
    assert console.days_read == [DAY]
    assert len(console.asked) == 4


def test_a_feed_is_read_without_queries() -> None:
    console = ScriptedConsole(lambda site_url, request, start_row: answer(request.dimensions, []))
    found = read_day(console, "acme", "sc-domain:acme.com", FeedType.DISCOVER, DAY)
    assert found.api_calls == 2
    assert {dimension for _, request, _ in console.asked for dimension in request.dimensions} == {
        "country",
        "page",
    }


def test_the_probe_is_one_call_over_the_whole_window() -> None:
    window = Window.inclusive(date(2026, 11, 8), date(2026, 11, 21))
    console = ScriptedConsole(
        lambda site_url, request, start_row: answer(("date",), [("2026-11-08", 1, 2, 3.5)], DAY)
    )
    found = probe(console, "sc-domain:acme.com", QueryType.WEB, window)
    assert console.asked == [("sc-domain:acme.com", DailyTotals(QueryType.WEB, window), 0)]
    assert found.first_incomplete == DAY
    assert found.totals[window.start].position == 3.5
