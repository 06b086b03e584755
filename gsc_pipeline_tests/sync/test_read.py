"""Reads of one day: paging, repeated rows, the cap."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest
from hypothesis import strategies as st

from gsc_pipeline.days import Window
from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.errors import IllegalRequestError, ServiceUnavailableError
from gsc_pipeline.search_console.requests import (
    CUT_ROWS,
    DAY_ROWS_CAP,
    PAGE_ROWS,
    AnalyticsRequest,
    DailyTotals,
    PageQueries,
    PageTotals,
    PropertyQueries,
    PropertyTotals,
)
from gsc_pipeline.search_console.search_types import FeedType, QueryType, SearchType
from gsc_pipeline.sync.cut_days import CutDays, PastCapOptions
from gsc_pipeline.sync.ledger import DayTotals, Status
from gsc_pipeline.sync.read import DayRead, DayReader, OptionalDevice, has_truncated, probe
from gsc_pipeline_tests.doubles import Row, ScriptedConsole, answer
from gsc_pipeline_tests.soak import any_of

DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


NOTHING = DayTotals()


def whole(queries: list[Row]) -> tuple[int, int]:
    """Clicks and impressions of rows, each key once."""
    rows = {row[:-3]: row for row in queries}.values()
    return sum(int(row[-3] or 0) for row in rows), sum(int(row[-2] or 0) for row in rows)


def totals(request: PropertyTotals | PageTotals, queries: list[Row]) -> Answer:
    """The grain without query of such rows."""
    page = ("https://acme.com/",) if "page" in request.dimensions else ()
    return answer(request.dimensions, [(*page, "usa", "MOBILE", *whole(queries), 3.0)] if queries else [])


def pages_of(request: AnalyticsRequest, queries: int) -> Answer:
    """One page with all of that many queries, of which it names none."""
    if isinstance(request, PageTotals):
        return totals(request, some(queries))
    return answer(request.dimensions, [])


def console_with(queries: list[Row], page_rows: list[int]) -> ScriptedConsole:
    """Serves `queries` in pages of the given sizes, whatever was asked for; there are no pages' rows."""
    starts = [sum(page_rows[:i]) for i in range(len(page_rows) + 1)]

    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, PropertyTotals | PageTotals):
            return totals(request, queries)
        if not isinstance(request, PropertyQueries):
            return answer(request.dimensions, [])
        if start_row not in starts:
            raise AssertionError(f"asked to start at row {start_row}, expected one of {starts}")
        page = starts.index(start_row)
        size = page_rows[page] if page < len(page_rows) else 0
        return answer(request.dimensions, queries[start_row : start_row + size])

    return ScriptedConsole(script)


def read_from(
    console: ScriptedConsole, expected: DayTotals, search_type: SearchType = QueryType.WEB
) -> DayRead:
    with ThreadPoolExecutor(1) as executor:
        reader = DayReader(
            console,
            "acme",
            "sc-domain:acme.com",
            search_type,
            executor=executor,
            device=OptionalDevice(),
        )
        return reader.start(DAY, expected).result()


def read(console: ScriptedConsole, queries: list[Row]) -> DayRead:
    return read_from(console, DayTotals(*whole(queries)))


def some(number: int, first: int = 0) -> list[Row]:
    return [(f"query {i}", "usa", "MOBILE", 1, 2, 3.0) for i in range(first, first + number)]


def starts_asked(console: ScriptedConsole) -> list[int]:
    return [start for _, request, start in console.asked if isinstance(request, PropertyQueries)]


def test_a_page_that_is_not_nearly_full_is_the_last() -> None:
    console = console_with(some(22_499), [22_499])
    assert read(console, some(22_499)).site_rows.num_rows == 22_499
    assert starts_asked(console) == [0]


@pytest.mark.parametrize("first_page", [PAGE_ROWS, PAGE_ROWS - 1, 22_500])
def test_after_a_nearly_full_page_the_next_starts_at_the_rows_received(first_page: int) -> None:
    console = console_with(some(first_page + 40), [first_page, 40])
    assert read(console, some(first_page + 40)).site_rows.num_rows == first_page + 40
    assert starts_asked(console) == [0, first_page]


def test_two_empty_answers_after_a_full_page_end_the_read() -> None:
    console = console_with(some(PAGE_ROWS), [PAGE_ROWS])
    found = read(console, some(PAGE_ROWS))
    assert (found.site_rows.num_rows, found.truncated) == (PAGE_ROWS, False)
    assert starts_asked(console) == [0, PAGE_ROWS, PAGE_ROWS]


@any_of(
    few=4, many=20, sizes=st.lists(st.integers(22_500, PAGE_ROWS), max_size=3), last=st.integers(0, 22_499)
)
def test_pages_of_any_size_are_read_completely_each_from_the_end_of_the_last(
    sizes: list[int], last: int
) -> None:
    queries = some(sum(sizes) + last)
    console = console_with(queries, [*sizes, last])
    found = read(console, queries)
    assert found.site_rows.num_rows == len(queries)
    starts = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    is_asked_again = sizes and not last and len(queries) < CUT_ROWS
    assert starts_asked(console) == [*starts, *starts[-1:] * bool(is_asked_again)]


def test_rows_that_moved_between_pages_are_kept_once_and_a_second_read_finds_the_missed_ones() -> None:
    every = some(PAGE_ROWS + 5)
    # During the first read two rows move between pages: they are received twice, two others are missed.
    slipped = [*every[:PAGE_ROWS], *every[PAGE_ROWS - 2 : PAGE_ROWS], *every[PAGE_ROWS + 2 :]]
    reads = [slipped, every]

    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, PropertyTotals | PageTotals):
            return totals(request, every)
        if not isinstance(request, PropertyQueries):
            return answer(request.dimensions, [])
        rows = reads[0] if start_row == 0 else reads.pop(0)
        return answer(request.dimensions, rows[start_row : start_row + PAGE_ROWS])

    found = read(ScriptedConsole(script), every)
    assert sorted(found.site_rows["query"].to_pylist()) == sorted(str(row[0]) for row in every)


def moving(every: list[Row], reads: list[list[Row]]) -> ScriptedConsole:
    """Serves `reads` as the queries by property, one after the other, of a day whose queries are `every`."""

    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, PropertyTotals | PageTotals):
            return totals(request, every)
        if not isinstance(request, PropertyQueries):
            return answer(request.dimensions, [])
        rows = reads[0] if start_row == 0 else reads.pop(0)
        return answer(request.dimensions, rows[start_row : start_row + PAGE_ROWS])

    return ScriptedConsole(script)


def test_rows_that_a_second_read_misses_are_taken_from_the_first() -> None:
    every = some(PAGE_ROWS + 3)
    first = [*every[:PAGE_ROWS], every[0], *every[PAGE_ROWS + 1 :]]
    second = [*every[:PAGE_ROWS], every[1], every[PAGE_ROWS], every[PAGE_ROWS + 2]]
    found = read(moving(every, [first, second]), every)
    assert found.site_rows.num_rows == len(every)
    assert (found.adds_up, found.truncated) == (True, False)


def test_rows_that_both_reads_miss_are_not_taken_for_anonymised_queries() -> None:
    every = some(PAGE_ROWS + 3)
    first = [*every[:PAGE_ROWS], every[0], *every[PAGE_ROWS + 1 :]]
    second = [*every[:PAGE_ROWS], every[1], *every[PAGE_ROWS + 1 :]]
    found = read(moving(every, [first, second]), every)
    assert (found.adds_up, found.truncated) == (False, True)
    record = found.record(Status.FINAL, DayTotals(*whole(every)), "", before=None, now=NOW, run_id="r")
    assert (record.cut_clicks, record.cut_impressions) == (1, 2)
    assert record.anonymised_impressions == 0


CELLS = [(country, device) for country in ("usa", "fra") for device in ("MOBILE", "DESKTOP")]


def test_a_cut_day_whose_ties_always_move_is_completed_by_parts_whose_ties_move_too() -> None:
    # Each answer of two pages has the last row of its first page again, in the place of its last row.
    every: list[Row] = [(f"query {i}", *CELLS[i % 4], 1, 2, 3.0) for i in range(DAY_ROWS_CAP + 10)]

    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, PropertyTotals | PageTotals):
            page = (PAGE,) if isinstance(request, PageTotals) else ()
            cells = [
                (*page, *cell, *whole([row for row in every if row[1:3] == cell]), 3.0) for cell in CELLS
            ]
            return answer(request.dimensions, cells)
        if not isinstance(request, PropertyQueries):
            return answer(request.dimensions, [])
        rows = every
        for one in request.filters:
            place = 1 if one.dimension == "country" else 2
            rows = [row for row in rows if (row[place] == one.value) is not one.is_excluded]
        rows = rows[:DAY_ROWS_CAP]
        if len(rows) > PAGE_ROWS:
            rows = [*rows[:PAGE_ROWS], rows[PAGE_ROWS - 1], *rows[PAGE_ROWS:-1]]
        return answer(request.dimensions, rows[start_row : start_row + PAGE_ROWS])

    of = "sc-domain:acme.com", "WEB"
    days = CutDays(PastCapOptions(), lambda: {}, of=of, now=NOW, at_once=1)
    with ThreadPoolExecutor(1) as executor:
        reader = DayReader(
            ScriptedConsole(script),
            "acme",
            of[0],
            QueryType.WEB,
            executor=executor,
            device=OptionalDevice(),
            cut_days=days,
        )
        found = reader.start(DAY, DayTotals(*whole(every)), is_final=True).result()
    assert found.adds_up
    assert not has_truncated(found.site_rows)
    assert sorted(found.site_rows["query"].to_pylist()) == sorted(str(row[0]) for row in every)


def test_a_day_that_changed_during_the_read_is_read_exactly_once_more() -> None:
    console = console_with(some(10), [10])
    found = read_from(console, DayTotals(clicks=9, impressions=20))
    assert found.api_calls == 8
    assert found.site_rows.num_rows == 10


def test_a_day_that_still_does_not_add_up_is_marked() -> None:
    assert not read_from(console_with(some(10), [10]), DayTotals(clicks=9, impressions=20)).adds_up
    assert read(console_with(some(10), [10]), some(10)).adds_up


PAGE = "https://acme.com/"


@pytest.mark.parametrize(
    ("by_query", "by_page", "is_part"),
    [
        (("shoes", "usa", "MOBILE"), (PAGE, "shoes", "usa", "MOBILE"), True),
        (("shoes", "usa", "mobile"), (PAGE, "shoes", "usa", "MOBILE"), False),
        (("shoes", "fra", "MOBILE"), (PAGE, "shoes", "usa", "MOBILE"), False),
        (("shoes", "usa", "MOBILE"), ("shoes", PAGE, "usa", "MOBILE"), False),
        (("shoes", "usa", "MOBILE"), (PAGE, "shoes", "usa", "mobile"), False),
    ],
    ids=["true", "device", "country", "page and query swapped", "device by page"],
)
def test_rows_with_a_query_that_are_no_part_of_the_totals_do_not_add_up(
    by_query: tuple[str, ...], by_page: tuple[str, ...], is_part: bool
) -> None:
    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, PropertyTotals | PageTotals):
            return totals(request, some(10))
        keys = by_query if isinstance(request, PropertyQueries) else by_page
        return answer(request.dimensions, [(*keys, 1, 2, 3.0)])

    found = read(ScriptedConsole(script), some(10))
    assert (found.adds_up, found.api_calls) == (is_part, 4 if is_part else 8)


def test_an_answer_without_rows_of_a_day_with_data_is_a_failure_and_not_an_empty_day() -> None:
    console = ScriptedConsole(lambda site_url, request, start_row: answer(request.dimensions, []))
    with pytest.raises(ServiceUnavailableError, match=r"no rows of .*, which has 20 impressions"):
        read_from(console, DayTotals(clicks=9, impressions=20))


@pytest.mark.parametrize("emptied", [PropertyQueries, PageQueries])
def test_queries_that_only_the_first_of_two_reads_had_are_lost_and_not_anonymised(
    emptied: type[AnalyticsRequest],
) -> None:
    asked: list[type[AnalyticsRequest]] = []

    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        asked.append(type(request))
        if isinstance(request, PropertyTotals | PageTotals):
            # The first totals by property lack rows, so the day is read again.
            is_wrong = isinstance(request, PropertyTotals) and asked.count(PropertyTotals) == 1
            return totals(request, some(9 if is_wrong else 10))
        if isinstance(request, emptied) and asked.count(emptied) > 1:
            return answer(request.dimensions, [])
        page = (PAGE,) if isinstance(request, PageQueries) else ()
        return answer(request.dimensions, [(*page, *row) for row in some(10)])

    found = read_from(ScriptedConsole(script), DayTotals(10, 20))
    assert (found.api_calls, found.adds_up, found.lost_queries) == (8, True, True)


def test_a_day_that_adds_up_is_read_once() -> None:
    console = console_with(some(10), [10])
    assert read(console, some(10)).api_calls == 4


@pytest.mark.parametrize(
    ("named", "of", "is_cut"),
    [
        (CUT_ROWS, CUT_ROWS + 3, True),
        (CUT_ROWS - 1, CUT_ROWS + 3, False),
        # Nothing is left that could have been cut off.
        (DAY_ROWS_CAP, DAY_ROWS_CAP, False),
    ],
)
def test_what_the_named_queries_of_an_answer_at_the_cap_lack_is_cut_and_not_anonymised(
    named: int, of: int, is_cut: bool
) -> None:
    expected = DayTotals(*whole(some(of)))

    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, PropertyTotals):
            return totals(request, some(of))
        if isinstance(request, PropertyQueries):
            return answer(request.dimensions, some(named)[start_row : start_row + PAGE_ROWS])
        return pages_of(request, of)

    found = read_from(ScriptedConsole(script), expected)
    assert found.truncated is is_cut
    record = found.record(Status.FINAL, expected, "", before=None, now=NOW, run_id="r")
    rest = (of - named, 2 * (of - named))
    cut, anonymised = (rest, (0, 0)) if is_cut else ((0, 0), rest)
    assert (record.cut_clicks, record.cut_impressions) == cut
    assert (record.anonymised_clicks, record.anonymised_impressions) == anonymised


def test_a_day_whose_list_of_pages_is_cut_is_truncated() -> None:
    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, PropertyTotals):
            return totals(request, some(10))
        if isinstance(request, PropertyQueries):
            return answer(request.dimensions, some(10))
        rows = [(f"https://acme.com/{i}", "usa", "MOBILE", 1, 2, 3.0) for i in range(DAY_ROWS_CAP)]
        if isinstance(request, PageTotals):
            return answer(request.dimensions, rows[start_row : start_row + PAGE_ROWS])
        return answer(request.dimensions, [])

    found = read_from(ScriptedConsole(script), DayTotals(10, 20))
    assert found.truncated
    assert found.record(Status.FINAL, DayTotals(10, 20), "", before=None, now=NOW, run_id="").cut_clicks == 0


def test_every_request_of_a_day_is_for_that_day_alone() -> None:
    console = console_with([], [0])
    read_from(console, NOTHING)
    assert console.days_read == [DAY]
    assert len(console.asked) == 4


def test_a_feed_is_read_without_queries() -> None:
    console = ScriptedConsole(lambda site_url, request, start_row: answer(request.dimensions, []))
    assert read_from(console, NOTHING, FeedType.DISCOVER).api_calls == 2
    assert {dimension for _, request, _ in console.asked for dimension in request.dimensions} == {
        "country",
        "page",
    }


def test_google_news_is_read_without_device_after_one_refusal() -> None:
    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if "device" in request.dimensions:
            raise IllegalRequestError("device is not taken")
        keys = ("https://acme.com/", "usa") if "page" in request.dimensions else ("usa",)
        return answer(request.dimensions, [(*keys, 3, 10, None)])

    console = ScriptedConsole(script)
    found = read_from(console, DayTotals(3, 10), FeedType.GOOGLE_NEWS)
    assert found.site_rows["device"].to_pylist() == [None]
    assert found.url_rows["clicks"].to_pylist() == [3]
    refused = [request for _, request, _ in console.asked if "device" in request.dimensions]
    assert len(refused) == 1


def test_google_news_is_read_by_device_if_the_api_accepts_it() -> None:
    console = ScriptedConsole(lambda site_url, request, start_row: answer(request.dimensions, []))
    read_from(console, NOTHING, FeedType.GOOGLE_NEWS)
    assert all("device" in request.dimensions for _, request, _ in console.asked)


def test_a_request_that_is_illegal_for_another_reason_is_not_hidden() -> None:
    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        raise IllegalRequestError("wrong altogether")

    with pytest.raises(IllegalRequestError, match="wrong altogether"):
        read_from(ScriptedConsole(script), NOTHING, FeedType.GOOGLE_NEWS)


def test_the_probe_is_one_call_over_the_whole_window() -> None:
    window = Window.inclusive(date(2026, 11, 8), date(2026, 11, 21))
    console = ScriptedConsole(
        lambda site_url, request, start_row: answer(("date",), [("2026-11-08", 1, 2, 3.5)], DAY)
    )
    found = probe(console, "sc-domain:acme.com", QueryType.WEB, window)
    assert console.asked == [("sc-domain:acme.com", DailyTotals(QueryType.WEB, window), 0)]
    assert found.first_incomplete == DAY
    assert found.totals[window.start].position == 3.5
