"""Search appearances: the rows, which days are read again, which rows stay; against the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from gsc_pipeline.days import ONE_DAY, month_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import MORE_LEDGER, SEARCH_APPEARANCE
from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.errors import SearchConsoleError, ServiceUnavailableError
from gsc_pipeline.search_console.requests import (
    CUT_ROWS,
    PAGE_ROWS,
    AnalyticsRequest,
    AppearancePages,
    AppearanceTotals,
    DailyTotals,
)
from gsc_pipeline.search_console.search_types import FeedType, QueryType, SearchType
from gsc_pipeline.simulator import Call, Property, SyntheticProperty, visible_facts
from gsc_pipeline.sync.tables.appearance import DAYS, MOST_APPEARANCES, sync_appearance
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.doubles import ScriptedConsole, answer
from gsc_pipeline_tests.replies import FORBIDDEN
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.sync.tables.shared import NOON, PAGE, SITE, TODAY, in_order, rows_of_type
from gsc_pipeline_tests.truth import appearance_truth, url_truth, with_appearance
from gsc_pipeline_tests.world import World, sorted_rows

YESTERDAY = TODAY - ONE_DAY


@dataclass
class Appearances:
    """Answers with these clicks by day and appearance. Days from `incomplete` on are provisional."""

    clicks: dict[date, dict[str, int]]
    incomplete: date = TODAY
    failing: dict[tuple[date, str], SearchConsoleError] = field(default_factory=dict)

    def __call__(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, DailyTotals):
            clicks = {day: 100 + sum(mine.values()) for day, mine in self.clicks.items()}
            rows = [(str(day), n, n * 10, 2.0) for day, n in sorted(clicks.items()) if day in request.window]
            return answer(request.dimensions, rows, self.incomplete)
        assert isinstance(request, AppearanceTotals | AppearancePages)
        mine = self.clicks[request.day]
        if isinstance(request, AppearanceTotals):
            return answer(request.dimensions, [(word, n, n * 10, 2.0) for word, n in mine.items()])
        if (error := self.failing.get((request.day, request.appearance))) is not None:
            raise error
        n = mine[request.appearance]
        return answer(request.dimensions, [(PAGE, n, n * 10, 3.0)])


def sync(
    appearances: Appearances, lake: Lake, acme: Workspace, now: datetime = NOON
) -> tuple[TableReport, Sequence[date]]:
    """A sync, and the days that were read."""
    console = ScriptedConsole(appearances)
    return sync_appearance(acme, console, lake, clock=lambda: now), console.days_read


def held(lake: Lake) -> list[dict[str, Any]]:
    return sorted_rows(lake.read(SEARCH_APPEARANCE))


def test_an_answer_with_more_appearances_than_there_are_is_reported_and_causes_no_call_for_each(
    lake: Lake, acme: Workspace
) -> None:
    many = {f"APPEARANCE_{n}": 1 for n in range(MOST_APPEARANCES + 1)}
    appearances = Appearances({YESTERDAY: many, YESTERDAY - ONE_DAY: {"VIDEO": 4}})
    console = ScriptedConsole(appearances)
    report = sync_appearance(acme, console, lake, clock=lambda: NOON)
    (problem,) = report.problems
    assert problem.days == (YESTERDAY,)
    assert f"the answer names {MOST_APPEARANCES + 1} search appearances" in problem.cause
    assert len([one for _, one, _ in console.asked if isinstance(one, AppearancePages)]) == 1
    assert {row["data_date"] for row in held(lake)} == {YESTERDAY - ONE_DAY}


def test_a_day_has_a_row_for_each_appearance_and_one_for_each_of_its_pages(
    lake: Lake, acme: Workspace
) -> None:
    sync(Appearances({YESTERDAY: {"VIDEO": 4}}), lake, acme)
    shared = {
        "data_date": YESTERDAY,
        "site_url": SITE,
        "search_type": "WEB",
        "search_appearance": "VIDEO",
        "impressions": 40,
        "clicks": 4,
        "is_final": True,
        "workspace": "acme",
        "month": month_of(YESTERDAY),
    }
    assert sorted(held(lake), key=lambda row: row["grain"]) == [
        {**shared, "grain": "page", "url": PAGE, "sum_position": 80},
        {**shared, "grain": "property", "url": None, "sum_position": 40},
    ]


def test_an_unknown_appearance_is_kept_by_its_name(lake: Lake, acme: Workspace) -> None:
    word = "SOMETHING_NEW 'in' 2027"
    sync(Appearances({YESTERDAY: {word: 1}}), lake, acme)
    assert {row["search_appearance"] for row in held(lake)} == {word}


def test_final_days_are_read_once_and_provisional_ones_until_they_are_final(
    lake: Lake, acme: Workspace
) -> None:
    appearances = Appearances({YESTERDAY - ONE_DAY: {"VIDEO": 1}, YESTERDAY: {"VIDEO": 2}}, YESTERDAY)
    assert sync(appearances, lake, acme)[1] == [YESTERDAY, YESTERDAY - ONE_DAY]
    appearances.clicks[YESTERDAY]["VIDEO"] = 3
    report, read = sync(appearances, lake, acme)
    assert (read, report.read, report.unchanged) == ([YESTERDAY], 1, 1)
    assert {row["clicks"] for row in held(lake) if row["data_date"] == YESTERDAY} == {3}
    appearances.incomplete = TODAY
    assert sync(appearances, lake, acme)[1] == [YESTERDAY]
    assert all(row["is_final"] for row in held(lake))
    assert sync(appearances, lake, acme)[1] == []


def test_a_provisional_day_without_appearances_keeps_the_rows_it_had(lake: Lake, acme: Workspace) -> None:
    appearances = Appearances({YESTERDAY: {"VIDEO": 2}}, YESTERDAY)
    sync(appearances, lake, acme)
    before = held(lake)
    appearances.clicks[YESTERDAY] = {}
    report, _ = sync(appearances, lake, acme)
    assert (report.rows, report.problems) == (0, ())
    assert held(lake) == before


@dataclass
class EmptyAtFirst(Appearances):
    """The same, but the first `empty_answers` answers to requests `of` a type are empty."""

    empty_answers: int = 1
    of: type = AppearanceTotals

    @override
    def __call__(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, self.of) and self.empty_answers:
            self.empty_answers -= 1
            return answer(request.dimensions, [])
        return super().__call__(site_url, request, start_row)


@pytest.mark.parametrize(("empty_answers", "clicks"), [(1, {3}), (2, set())])
def test_the_rows_of_a_day_that_became_final_are_deleted_after_two_empty_answers(
    lake: Lake, acme: Workspace, empty_answers: int, clicks: set[int]
) -> None:
    sync(Appearances({YESTERDAY - ONE_DAY: {"VIDEO": 1}, YESTERDAY: {"VIDEO": 2}}, YESTERDAY), lake, acme)
    days = {YESTERDAY - ONE_DAY: {"VIDEO": 1}, YESTERDAY: {"VIDEO": 3}}
    report, _ = sync(EmptyAtFirst(days, empty_answers=empty_answers), lake, acme)
    assert report.problems == ()
    assert {row["clicks"] for row in held(lake) if row["data_date"] == YESTERDAY} == clicks
    assert {row["clicks"] for row in held(lake) if row["data_date"] < YESTERDAY} == {1}


def test_an_appearance_that_disappears_is_removed_with_its_pages(lake: Lake, acme: Workspace) -> None:
    appearances = Appearances({YESTERDAY: {"VIDEO": 2, "REVIEW_SNIPPET": 5}}, YESTERDAY)
    sync(appearances, lake, acme)
    del appearances.clicks[YESTERDAY]["VIDEO"]
    sync(appearances, lake, acme)
    assert {row["search_appearance"] for row in held(lake)} == {"REVIEW_SNIPPET"}


def test_if_one_appearance_of_a_day_fails_the_day_keeps_all_its_old_rows(lake: Lake, acme: Workspace) -> None:
    appearances = Appearances({YESTERDAY: {"VIDEO": 2, "REVIEW_SNIPPET": 5}}, YESTERDAY)
    sync(appearances, lake, acme)
    before = held(lake)
    appearances.clicks[YESTERDAY] = {"VIDEO": 9, "REVIEW_SNIPPET": 9}
    appearances.failing[YESTERDAY, "REVIEW_SNIPPET"] = ServiceUnavailableError("no answer")
    report, _ = sync(appearances, lake, acme)
    (problem,) = report.problems
    assert (problem.site_url, problem.search_type, problem.days) == (SITE, "WEB", (YESTERDAY,))
    assert held(lake) == before
    appearances.failing.clear()
    sync(appearances, lake, acme)
    assert {row["clicks"] for row in held(lake)} == {9}


def test_days_that_left_the_window_keep_their_rows(lake: Lake, acme: Workspace) -> None:
    sync(Appearances({YESTERDAY: {"VIDEO": 2}}), lake, acme)
    before = held(lake)
    assert sync(Appearances({}), lake, acme, NOON + timedelta(days=600))[1] == []
    assert held(lake) == before


def test_an_empty_list_is_requested_again_where_other_days_have_appearances(
    lake: Lake, acme: Workspace
) -> None:
    days = {YESTERDAY - n * ONE_DAY: {"VIDEO": 1} for n in range(3)}
    sync(Appearances({YESTERDAY - 2 * ONE_DAY: {"VIDEO": 1}}), lake, acme)
    report, _ = sync(EmptyAtFirst(days), lake, acme)
    assert (report.read, report.problems) == (2, ())
    assert {row["data_date"] for row in held(lake)} == set(days)


def test_an_empty_list_of_pages_is_requested_again(lake: Lake, acme: Workspace) -> None:
    sync(EmptyAtFirst({YESTERDAY: {"VIDEO": 1}}, of=AppearancePages), lake, acme)
    assert {row["grain"] for row in held(lake)} == {"property", "page"}
    assert sum(lake.read(MORE_LEDGER)["api_calls"].to_pylist()) == 3


def test_a_day_whose_pages_the_api_cut_off_is_truncated(lake: Lake, acme: Workspace) -> None:
    class ManyPages(Appearances):
        @override
        def __call__(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
            if not isinstance(request, AppearancePages) or request.appearance != "VIDEO":
                return super().__call__(site_url, request, start_row)
            numbers = range(start_row, min(CUT_ROWS, start_row + PAGE_ROWS))
            return answer(request.dimensions, [(f"{PAGE}{n}", 0, 1, 2.0) for n in numbers])

    sync(ManyPages({YESTERDAY: {"VIDEO": 1, "FORUMS": 1}, YESTERDAY - ONE_DAY: {"FORUMS": 1}}), lake, acme)
    cut = [row["data_date"] for row in lake.read(MORE_LEDGER).to_pylist() if row["truncated"]]
    assert cut == [YESTERDAY]


COLUMNS = ("data_date", "grain", "search_appearance", "url", "impressions", "clicks", "sum_position")


def truth(
    world: World, prop: Property, search_type: SearchType, days: Iterable[date] | None = None
) -> list[dict[str, Any]]:
    """The expected rows of the days, from the facts without the query code; by default of the window."""
    found: list[dict[str, Any]] = []
    for day in world.last(DAYS) if days is None else days:
        facts = visible_facts(prop, search_type.value, day, world.now)
        if facts is None:
            continue
        totals = appearance_truth(facts).to_pylist()
        found += [{**row, "data_date": day, "grain": "property", "url": None} for row in totals]
        for word in [row["search_appearance"] for row in totals]:
            rows = url_truth(with_appearance(facts, word))
            measures = ("impressions", "clicks", "sum_position")
            by_page = rows.group_by("url").aggregate([(name, "sum") for name in measures])
            for row in by_page.rename_columns(["url", *measures]).to_pylist():
                found.append({**row, "data_date": day, "grain": "page", "search_appearance": word})
    return found


def held_of_type(world: World, search_type: SearchType) -> list[dict[str, Any]]:
    return rows_of_type(world, SEARCH_APPEARANCE, search_type, COLUMNS)


@pytest.mark.parametrize("search_type", rest_in_soak(QueryType), ids=lambda one: one.value)
def test_the_lake_holds_exactly_the_appearances_that_search_console_counts(
    tmp_path: Path, search_type: SearchType
) -> None:
    prop = SyntheticProperty(SITE, rows_a_day=100, plants=False, search_types=[search_type.value])
    with World.serving(tmp_path, [prop]) as world:
        report = world.sync_table(sync_appearance, world.workspace(search_types=(search_type,)))
        assert not report.problems
        expected = truth(world, prop, search_type)
        assert {row["grain"] for row in expected} == {"property", "page"}
        assert in_order(held_of_type(world, search_type)) == in_order(expected)


@pytest.mark.parametrize("search_type", list(FeedType), ids=lambda one: one.value)
def test_a_search_type_without_appearances_costs_a_call_a_day_and_leaves_no_row(
    tmp_path: Path, search_type: FeedType
) -> None:
    prop = SyntheticProperty(SITE, rows_a_day=100, plants=False, search_types=[search_type.value])
    with World.serving(tmp_path, [prop]) as world:
        report = world.sync_table(sync_appearance, world.workspace(search_types=(search_type,)))
        assert (report.rows, report.problems) == (0, ())
        assert report.usage.calls == 1 + report.read
        assert held(world.lake) == []


def test_over_growing_days_the_lake_stays_true_and_settled_days_cost_nothing(tmp_path: Path) -> None:
    prop = SyntheticProperty(SITE, rows_a_day=40, plants=False)
    with World.serving(tmp_path, [prop]) as world:
        workspace = world.workspace()
        first = world.sync_table(sync_appearance, workspace)
        for _ in range(4):
            world.now += ONE_DAY
            report = world.sync_table(sync_appearance, workspace)
            recent = set(world.last(DAYS))
            rows = [row for row in held_of_type(world, QueryType.WEB) if row["data_date"] in recent]
            assert in_order(rows) == in_order(truth(world, prop, QueryType.WEB))
            assert report.read <= 4
            assert report.usage.calls < first.usage.calls / 2


def test_a_property_refused_in_the_middle_does_not_stop_the_others_or_touch_its_rows(world: World) -> None:
    shop = "https://shop.acme.com/"
    workspace = world.workspace(properties=(SITE, shop))
    world.sync_table(sync_appearance, workspace)
    before = held(world.lake)

    def refuse(call: Call) -> Any:
        return FORBIDDEN if call.site_url == SITE and "searchAppearance" in str(call.body) else None

    world.faults.append(refuse)
    world.now += ONE_DAY
    report = world.sync_table(sync_appearance, workspace)
    assert {(problem.site_url, problem.transient) for problem in report.problems} == {(SITE, False)}
    assert report.read > 0
    assert [row for row in held(world.lake) if row["site_url"] == SITE] == [
        row for row in before if row["site_url"] == SITE
    ]
