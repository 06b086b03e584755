"""Paging of the answers that have a page grain."""

from __future__ import annotations

from datetime import date

import pytest

from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.errors import WrongAnswerError
from gsc_pipeline.search_console.requests import PAGE_ROWS, AnalyticsRequest, HourlyPages
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.sync.paging import read_pages, read_pages_twice_if_moved
from gsc_pipeline_tests.doubles import ScriptedConsole, answer

REQUEST = HourlyPages(QueryType.WEB, date(2026, 11, 20))
HOUR = "2026-11-20T07:00:00-08:00"


def console(*pages: range) -> ScriptedConsole:
    """Answers with these pages' numbers, one range after another, then with nothing."""
    left = list(pages)

    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        numbers = left.pop(0) if left else range(0)
        return answer(request.dimensions, [(HOUR, f"page {n}", n, n, 1.0) for n in numbers])

    return ScriptedConsole(script)


@pytest.mark.parametrize(
    ("pages", "starts"),
    [
        ([range(10)], [0]),
        ([range(PAGE_ROWS), range(PAGE_ROWS, PAGE_ROWS + 5)], [0, PAGE_ROWS]),
        ([range(23_000), range(23_000, 46_000)], [0, 23_000, 46_000, 46_000]),
        ([range(PAGE_ROWS)], [0, PAGE_ROWS, PAGE_ROWS]),
        ([range(PAGE_ROWS), range(PAGE_ROWS, 2 * PAGE_ROWS)], [0, PAGE_ROWS, 2 * PAGE_ROWS]),
        (
            [range(n * PAGE_ROWS, (n + 1) * PAGE_ROWS) for n in range(3)] + [range(75_000, 75_001)],
            [0, PAGE_ROWS, 2 * PAGE_ROWS, 3 * PAGE_ROWS],
        ),
        ([range(0)], [0]),
    ],
    ids=[
        "one short",
        "a full one",
        "nearly full ones",
        "exactly full",
        "at the cap",
        "as many as are read",
        "nothing",
    ],
)
def test_pages_are_read_until_one_is_short_and_start_where_the_last_ended(
    pages: list[range], starts: list[int]
) -> None:
    double = console(*pages)
    rows = read_pages(double, "a", REQUEST).rows
    assert [start for _, _, start in double.asked] == starts
    assert sorted(rows["clicks"].to_pylist()) == [n for page in pages for n in page]


def test_rows_received_on_two_pages_are_kept_once() -> None:
    rows = read_pages(console(range(24_000), range(23_990, 24_010)), "a", REQUEST).rows
    assert sorted(rows["clicks"].to_pylist()) == list(range(24_010))
    assert rows.column_names == ["hour", "page", "clicks", "impressions", "position"]


def test_one_empty_page_does_not_end_an_answer_that_goes_on() -> None:
    double = console(range(PAGE_ROWS), range(0), range(PAGE_ROWS, PAGE_ROWS + 7))
    found = read_pages(double, "a", REQUEST)
    assert sorted(found.rows["clicks"].to_pylist()) == list(range(PAGE_ROWS + 7))
    assert (found.received, found.api_calls) == (PAGE_ROWS + 7, 3)


def test_pages_that_never_end_are_read_up_to_the_most() -> None:
    same_page = range(PAGE_ROWS - 1_000)
    double = console(*[same_page] * 9)

    with pytest.raises(WrongAnswerError) as caught:
        read_pages(double, "a", REQUEST)

    assert len(double.asked) == 4
    assert caught.value.cause == (
        "the answer by hour, page does not end: 96000 rows on 4 pages, and the last is still full "
        "(GSC_API_PAGES)"
    )


def test_the_most_pages_are_those_of_the_console() -> None:
    double = console(*[range(PAGE_ROWS)] * 9)
    double.most_pages = 2

    with pytest.raises(WrongAnswerError, match="50000 rows on 2 pages"):
        read_pages(double, "a", REQUEST)


SLIPPED = [range(24_000), range(23_999, 24_005)]
"""Two pages whose rows moved: one was received twice, and another is missing."""


@pytest.mark.parametrize(
    ("again", "rows", "is_cut"),
    [
        ([range(24_000), range(24_000, 24_007)], 24_007, False),
        ([range(1, 24_001), range(24_000, 24_006)], 24_006, False),
        (SLIPPED, 24_005, True),
    ],
    ids=["the second read is whole", "each misses another row", "both miss a row"],
)
def test_an_answer_whose_rows_moved_is_read_once_more_and_what_is_missing_is_cut(
    again: list[range], rows: int, is_cut: bool
) -> None:
    found = read_pages_twice_if_moved(console(*SLIPPED, *again), "a", REQUEST)
    assert sorted(found.rows["clicks"].to_pylist()) == list(range(rows))
    assert (found.is_cut, found.api_calls) == (is_cut, 4)


def test_an_answer_whose_rows_are_unique_is_read_once() -> None:
    found = read_pages_twice_if_moved(console(range(24_000), range(24_000, 24_007)), "a", REQUEST)
    assert (found.is_cut, found.api_calls) == (False, 2)
