"""Hours: the rows, which days are read, which rows stay; against the simulator's truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from gsc_pipeline.days import ONE_DAY, PACIFIC, pacific_today
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.quality import RULES, evaluate
from gsc_pipeline.lake.schemas import MORE_LEDGER, SEARCHDATA_HOURLY
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.monitoring.status import TruncatedDays, workspace_state
from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    LoadQuotaError,
    PropertyForbiddenError,
    SearchConsoleError,
    ServiceUnavailableError,
)
from gsc_pipeline.search_console.requests import (
    CUT_ROWS,
    PAGE_ROWS,
    AnalyticsRequest,
    HourlyPages,
    HourlyTotals,
)
from gsc_pipeline.search_console.search_types import SEARCH_TYPES, SearchType
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty, google_error, visible_hours
from gsc_pipeline.sync.tables.hourly import DAYS, sync_hourly
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline.sync.verify import verify
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.doubles import ChangedMeanwhile, ScriptedConsole, answer
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.sync.tables.shared import NOON, PAGE, SITE, TODAY, in_order, is_stopped, rows_of_type
from gsc_pipeline_tests.truth import hourly_site_truth, hourly_url_truth
from gsc_pipeline_tests.world import World, sorted_rows


def hour_of(day: date, hour: int) -> str:
    return datetime.combine(day, datetime.min.time(), PACIFIC).replace(hour=hour).isoformat()


@dataclass
class Hours:
    """Answers with these clicks by hour. Hours from `incomplete` on are incomplete."""

    clicks: dict[str, int] = field(default_factory=dict)
    incomplete: datetime | None = None
    failing: dict[date, SearchConsoleError] = field(default_factory=dict)
    without_pages: set[date] = field(default_factory=set)

    def __call__(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        assert isinstance(request, HourlyTotals | HourlyPages)
        if isinstance(request, HourlyTotals):
            rows = [(hour, clicks, clicks * 10, 2.0) for hour, clicks in self.clicks.items()]
            return answer(request.dimensions, rows, first_incomplete_hour=self.incomplete)
        if request.day in self.failing:
            raise self.failing[request.day]
        if request.day in self.without_pages:
            return answer(request.dimensions, [])
        mine = {hour: n for hour, n in self.clicks.items() if hour.startswith(str(request.day))}
        return answer(request.dimensions, [(hour, PAGE, n, n * 10, 3.0) for hour, n in mine.items()])


def sync(
    hours: Hours, lake: Lake, acme: Workspace, now: datetime = NOON
) -> tuple[TableReport, Sequence[date]]:
    """A sync, and the days that were read by page."""
    console = ScriptedConsole(hours)
    return sync_hourly(acme, console, lake, clock=lambda: now), console.days_read


def held(lake: Lake, *columns: str) -> list[dict[str, Any]]:
    return sorted_rows(lake.read(SEARCHDATA_HOURLY, columns=list(columns) or None))


def three_days() -> Hours:
    days = [TODAY - n * ONE_DAY for n in range(3)]
    return Hours({hour_of(day, 7): 5 for day in days}, datetime.fromisoformat(hour_of(TODAY, 0)))


def test_an_hour_has_a_start_a_pacific_day_and_an_hour_of_that_day_at_both_grains(
    lake: Lake, acme: Workspace
) -> None:
    sync(Hours({"2026-11-20T23:00:00-08:00": 4}), lake, acme)
    shared = {
        "data_date": date(2026, 11, 20),
        "hour": 23,
        "hour_start": datetime(2026, 11, 21, 7, tzinfo=UTC),
        "site_url": SITE,
        "search_type": "WEB",
        "impressions": 40,
        "clicks": 4,
        "is_complete": True,
        "workspace": "acme",
        "month": "2026-11",
    }
    by_page = {**shared, "grain": "page", "url": PAGE, "sum_position": 80}
    by_property = {**shared, "grain": "property", "url": None, "sum_position": 40}
    assert sorted(held(lake), key=lambda row: row["grain"]) == [by_page, by_property]


def test_a_verification_beside_a_sync_of_hours_finds_nothing(lake: Lake, acme: Workspace) -> None:
    hours = three_days()
    sync(hours, lake, acme)
    hours.clicks[hour_of(TODAY, 8)] = 5
    read: list[date] = []
    watched = ChangedMeanwhile(
        lake.uri, MORE_LEDGER, SEARCHDATA_HOURLY, lambda: read.extend(sync(hours, lake, acme)[1])
    )
    assert verify(watched).findings() == []
    assert read == [TODAY]


def test_a_day_without_hours_is_found_although_a_sync_changes_its_record_meanwhile(
    lake: Lake, acme: Workspace
) -> None:
    """The two comparisons find other numbers of the day."""
    hours = three_days()
    sync(hours, lake, acme)
    hours.clicks[hour_of(TODAY, 8)] = 5

    def change() -> None:
        sync(hours, lake, acme)
        lost = Target("acme", SITE, "WEB", (TODAY,))
        lake.replace(SEARCHDATA_HOURLY, lost, SEARCHDATA_HOURLY.schema.empty_table())

    watched = ChangedMeanwhile(lake.uri, MORE_LEDGER, SEARCHDATA_HOURLY, change)
    assert [(one.day, one.rows) for one in verify(watched).others] == [(TODAY, 0)]


@settings(max_examples=20, deadline=None)
@example(moment=datetime(2026, 11, 1, 8))
@given(moment=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)))
def test_every_hour_keeps_its_start_in_summer_and_winter(
    tmp_path_factory: pytest.TempPathFactory, moment: datetime
) -> None:
    moment = moment.replace(minute=0, second=0, microsecond=0, tzinfo=UTC).astimezone(PACIFIC)
    lake, hours = Lake(str(tmp_path_factory.mktemp("lake"))), Hours({moment.isoformat(): 1})
    workspace = Workspace("acme", "", None, (SITE,), (SEARCH_TYPES[0],))  # type: ignore[arg-type]
    sync(hours, lake, workspace, moment)
    for row in held(lake):
        # Python takes two times of different zones for unequal in the hour that the clock repeats.
        start = moment.astimezone(UTC)
        assert (row["hour_start"], row["hour"], row["data_date"]) == (start, moment.hour, moment.date())


def test_the_hour_that_comes_twice_when_clocks_go_back_is_two_rows(lake: Lake, acme: Workspace) -> None:
    twice = ["2026-11-01T01:00:00-07:00", "2026-11-01T01:00:00-08:00"]
    now = datetime(2026, 11, 2, 20, tzinfo=UTC)
    sync(Hours(dict.fromkeys(twice, 3)), lake, acme, now)
    rows = [row for row in held(lake) if row["grain"] == "property"]
    assert [row["hour"] for row in rows] == [1, 1]
    assert len({row["hour_start"] for row in rows}) == 2


def test_days_that_are_complete_and_unchanged_are_not_read_again(lake: Lake, acme: Workspace) -> None:
    hours = three_days()
    report, read = sync(hours, lake, acme)
    assert (report.read, report.unchanged, report.rows) == (3, 0, 6)
    assert read == [TODAY - n * ONE_DAY for n in range(3)]
    before = held(lake)
    report, read = sync(hours, lake, acme)
    assert (report.read, report.unchanged, report.usage.calls) == (1, 2, 2)
    assert read == [TODAY]
    assert held(lake) == before


def test_a_day_is_read_once_more_when_its_last_hour_is_complete(lake: Lake, acme: Workspace) -> None:
    hours = three_days()
    sync(hours, lake, acme)
    hours.incomplete = None
    assert sync(hours, lake, acme)[1] == [TODAY]
    assert all(row["is_complete"] for row in held(lake))
    assert sync(hours, lake, acme)[1] == []


def test_a_day_with_a_changed_complete_hour_is_replaced_as_a_whole(lake: Lake, acme: Workspace) -> None:
    hours, moved = three_days(), TODAY - 2 * ONE_DAY
    sync(hours, lake, acme)
    del hours.clicks[hour_of(moved, 7)]
    hours.clicks[hour_of(moved, 9)] = 8
    assert moved in sync(hours, lake, acme)[1]
    rows = [row for row in held(lake) if row["data_date"] == moved]
    assert {(row["grain"], row["hour"], row["clicks"]) for row in rows} == {
        ("property", 9, 8),
        ("page", 9, 8),
    }


def test_days_that_are_no_longer_shown_keep_their_rows(lake: Lake, acme: Workspace) -> None:
    sync(three_days(), lake, acme)
    before = held(lake)
    later = NOON + timedelta(days=30)
    report, read = sync(Hours(), lake, acme, later)
    assert (report.read, report.unchanged, read) == (0, 0, [])
    assert held(lake) == before


def test_a_failed_day_keeps_its_rows_is_reported_and_is_read_by_the_next_sync(
    lake: Lake, acme: Workspace
) -> None:
    hours = three_days()
    sync(hours, lake, acme)
    before = held(lake)
    bad, good = TODAY - ONE_DAY, TODAY - 2 * ONE_DAY
    hours.clicks[hour_of(bad, 7)] = hours.clicks[hour_of(good, 7)] = 6
    hours.failing[bad] = ServiceUnavailableError("no answer")
    report, _ = sync(hours, lake, acme)
    (problem,) = report.problems
    assert (problem.site_url, problem.search_type, problem.days) == (SITE, "WEB", (bad,))
    assert problem.transient
    assert [row for row in held(lake) if row["data_date"] == bad] == [
        row for row in before if row["data_date"] == bad
    ]
    assert {row["clicks"] for row in held(lake) if row["data_date"] == good} == {6}
    hours.failing.clear()
    assert bad in sync(hours, lake, acme)[1]


def test_an_answer_without_a_page_of_a_day_with_data_is_a_problem_and_deletes_nothing(
    lake: Lake, acme: Workspace
) -> None:
    hours = three_days()
    sync(hours, lake, acme)
    before = held(lake)
    hours.without_pages.add(TODAY)
    report, _ = sync(hours, lake, acme)
    (problem,) = report.problems
    assert (problem.days, problem.transient) == ((TODAY,), True)
    assert held(lake) == before


def test_after_several_failed_days_in_a_row_the_rest_is_skipped(lake: Lake, acme: Workspace) -> None:
    days = [TODAY - n * ONE_DAY for n in range(DAYS)]
    hours = Hours(
        {hour_of(day, 7): 1 for day in days}, None, dict.fromkeys(days, ServiceUnavailableError("no answer"))
    )
    report, read = sync(hours, lake, acme)
    assert len(read) == len(report.problems) == 3
    assert report.read == 0


@pytest.mark.parametrize("error", [ServiceUnavailableError("503"), PropertyForbiddenError("403")], ids=str)
def test_days_that_always_fail_keep_no_other_day_from_being_read(
    lake: Lake, acme: Workspace, error: SearchConsoleError
) -> None:
    days = [TODAY - n * ONE_DAY for n in range(DAYS)]
    hours = Hours({hour_of(day, 7): 1 for day in days}, None, dict.fromkeys(days[:3], error))
    for _ in range(200):
        report, _read = sync(hours, lake, acme)
        if {row["data_date"] for row in held(lake)} == {*days[3:]}:
            break
    assert {row["data_date"] for row in held(lake)} == {*days[3:]}
    assert {problem.days for problem in report.problems} <= {(day,) for day in days[:3]}


def test_a_refusal_of_a_day_fails_the_day_and_no_other(lake: Lake, acme: Workspace) -> None:
    hours = three_days()
    hours.failing[TODAY - ONE_DAY] = PropertyForbiddenError("403")
    report, read = sync(hours, lake, acme)
    assert read == [TODAY - n * ONE_DAY for n in range(3)]
    assert report.read == 2
    assert not report.is_worth_retrying
    assert not is_stopped(report)


@pytest.mark.parametrize("error", [LoadQuotaError("429"), CredentialUnusableError("revoked")], ids=str)
def test_an_error_of_all_days_during_a_sync_keeps_the_days_before_it(
    lake: Lake, acme: Workspace, error: SearchConsoleError
) -> None:
    hours = three_days()
    hours.failing[TODAY - ONE_DAY] = error
    report, read = sync(hours, lake, acme)
    assert read == [TODAY, TODAY - ONE_DAY]
    assert report.read == 1
    assert len(report.problems) == 1


class ManyPages(Hours):
    """Each day has this many rows by hour and page, with one impression each."""

    rows = 0

    @override
    def __call__(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, HourlyTotals):
            return super().__call__(site_url, request, start_row)
        numbers = range(start_row, min(self.rows, start_row + PAGE_ROWS))
        hour = hour_of(request.day, 7)
        return answer(request.dimensions, [(hour, f"{PAGE}{n}", 0, 1, 2.0) for n in numbers])


@pytest.mark.parametrize(("rows", "is_cut"), [(CUT_ROWS, True), (CUT_ROWS - 1, False)])
def test_a_day_of_hours_that_the_api_cut_off_is_truncated_in_the_ledger_the_check_and_the_state(
    lake: Lake, acme: Workspace, rows: int, is_cut: bool
) -> None:
    day = TODAY - ONE_DAY
    hours = ManyPages({hour_of(day, 7): 5})
    hours.rows = rows
    report, _ = sync(hours, lake, acme)
    assert (report.rows, report.problems) == (rows + 1, ())
    (record,) = lake.read(MORE_LEDGER).to_pylist()
    assert (record["table_name"], record["data_date"]) == (SEARCHDATA_HOURLY.name, day)
    assert (record["site_rows"], record["url_rows"], record["truncated"]) == (1, rows, is_cut)
    assert (record["status"], record["clicks"], record["impressions"]) == ("final", 5, 50)
    verdicts = evaluate(RULES, lake, ["acme"], now=NOON)
    cut = {(one.rule.name, one.rule.table): one.violations for one in verdicts if one.violations}
    offence = ("acme", SITE, "WEB", 1, day, day)
    assert cut == ({("no_truncated_days", SEARCHDATA_HOURLY.name): (offence,)} if is_cut else {})
    state = workspace_state(acme, lake)
    expected = (TruncatedDays(SEARCHDATA_HOURLY.name, SITE, "WEB", 1, day, day),) if is_cut else ()
    assert state.truncated_more == expected
    # The table's own hours decide whether a day is read again.
    assert sync(hours, lake, acme)[0].unchanged == 1


def test_pages_that_moved_between_two_answers_are_found_by_a_second_read(lake: Lake, acme: Workspace) -> None:
    day, rows = TODAY - ONE_DAY, PAGE_ROWS + 2
    starts: list[int] = []

    def script(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        hour = hour_of(day, 7)
        if isinstance(request, HourlyTotals):
            return answer(request.dimensions, [(hour, 5, 50, 2.0)])
        starts.append(start_row)
        # In the first read the last two rows come with the first page, and two others with the second.
        moved = range(rows - 2, rows) if starts == [0] else range(0)
        numbers = [*moved, *range(start_row, min(rows, start_row + PAGE_ROWS) - len(moved))]
        return answer(request.dimensions, [(hour, f"{PAGE}{n}", 0, 1, 2.0) for n in numbers])

    report = sync_hourly(acme, ScriptedConsole(script), lake, clock=lambda: NOON)
    assert starts == [0, PAGE_ROWS] * 2
    assert (report.rows, report.problems) == (rows + 1, ())
    (record,) = lake.read(MORE_LEDGER).to_pylist()
    assert (record["url_rows"], record["truncated"], record["api_calls"]) == (rows, False, 4)


def test_full_reads_complete_hours_again(lake: Lake, acme: Workspace) -> None:
    hours = Hours({hour_of(TODAY - ONE_DAY, 7): 5})
    sync(hours, lake, acme)
    report = sync_hourly(acme, ScriptedConsole(hours), lake, full=True, clock=lambda: NOON)
    assert (report.read, report.unchanged) == (1, 0)


def truth(world: World, search_type: SearchType, days: Sequence[date]) -> list[dict[str, Any]]:
    """The expected rows of these days, from the facts without the query code."""
    (prop,) = world.simulator.properties
    found = []
    for day in days:
        hours = visible_hours(prop, search_type.value, day, world.now)
        if hours is None:
            continue
        by_property = hourly_site_truth(hours).rename_columns(
            ["hour", "hour_start", "impressions", "clicks", "sum_position"]
        )
        by_page = hourly_url_truth(hours).rename_columns(
            ["hour", "hour_start", "url", "impressions", "clicks", "sum_position"]
        )
        for grain, table in (("property", by_property), ("page", by_page)):
            for row in table.to_pylist():
                found.append(
                    {
                        **row,
                        "url": row.get("url"),
                        "hour": datetime.fromisoformat(row["hour"]).hour,
                        "data_date": day,
                        "grain": grain,
                    }
                )
    return found


COLUMNS = ("hour", "hour_start", "url", "impressions", "clicks", "sum_position", "data_date", "grain")


def held_of_type(world: World, search_type: SearchType) -> list[dict[str, Any]]:
    return rows_of_type(world, SEARCHDATA_HOURLY, search_type, COLUMNS)


@pytest.mark.parametrize("search_type", rest_in_soak(SEARCH_TYPES), ids=lambda one: one.value)
def test_the_lake_holds_exactly_the_hours_that_search_console_counts(
    tmp_path: Path, search_type: SearchType
) -> None:
    prop = SyntheticProperty(SITE, rows_a_day=100, plants=False, search_types=[search_type.value])
    with World.serving(tmp_path, [prop]) as world:
        report = world.sync_table(sync_hourly, world.workspace(search_types=(search_type,)))
        assert not report.problems
        expected = truth(world, search_type, [world.today - n * ONE_DAY for n in range(DAYS)])
        assert len({row["data_date"] for row in expected}) >= DAYS - 1
        assert in_order(held_of_type(world, search_type)) == in_order(expected)


def test_over_days_of_growing_hours_the_lake_stays_true_and_older_days_stay(tmp_path: Path) -> None:
    prop = SyntheticProperty(SITE, rows_a_day=40, plants=False)
    with World.serving(tmp_path, [prop]) as world:
        workspace = world.workspace()
        first_day = world.today - (DAYS - 1) * ONE_DAY
        calls = [world.sync_table(sync_hourly, workspace).usage.calls]
        before = [row for row in held_of_type(world, SEARCH_TYPES[0]) if row["data_date"] == first_day]
        for _ in range(6):
            world.now += timedelta(hours=18)
            calls.append(world.sync_table(sync_hourly, workspace).usage.calls)
            recent = [world.today - n * ONE_DAY for n in range(DAYS)]
            rows = [row for row in held_of_type(world, SEARCH_TYPES[0]) if row["data_date"] in recent]
            assert in_order(rows) == in_order(truth(world, SEARCH_TYPES[0], recent))
        assert first_day < recent[-1]
        after = [row for row in held_of_type(world, SEARCH_TYPES[0]) if row["data_date"] == first_day]
        assert in_order(after) == in_order(before)
        assert calls[0] >= DAYS
        assert max(calls[1:]) <= 1 + 5


def test_a_refused_property_does_not_stop_the_others(world: World) -> None:
    report = world.sync_table(sync_hourly, world.workspace(properties=("sc-domain:other.com", SITE)))
    (problem,) = report.problems
    assert problem.site_url == "sc-domain:other.com"
    assert report.read > 0
    assert report.properties == 2


def test_a_dead_credential_stops_the_workspace_and_changes_nothing(world: World) -> None:
    workspace = world.workspace(properties=(SITE, "https://shop.acme.com/"))
    world.sync_table(sync_hourly, workspace)
    before = held_of_type(world, SEARCH_TYPES[0])
    disabled = google_error(403, "accessNotConfigured", "API disabled.", "usageLimits")
    world.faults.append(lambda call: disabled if call.kind == "query" else None)
    asked = len(world.queries())
    report = world.sync_table(sync_hourly, workspace)
    assert is_stopped(report)
    assert len(world.queries()) == asked + 1
    assert in_order(held_of_type(world, SEARCH_TYPES[0])) == in_order(before)


def test_the_pacific_day_decides_which_ten_days_are_requested(world: World) -> None:
    world.now = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
    assert pacific_today(world.now) == date(2026, 11, 20)
    world.sync_table(sync_hourly, world.workspace())
    asked = world.queries()[0].body
    assert (asked["startDate"], asked["endDate"]) == ("2026-11-11", "2026-11-20")
    assert (asked["dataState"], asked["dimensions"]) == ("hourly_all", ["hour"])


def test_hours_of_another_day_fail_the_day_and_no_other(world: World) -> None:
    workspace, days = world.workspace(), [world.today - n * ONE_DAY for n in range(DAYS)]
    bad_day = days[3]

    def hours_of_the_day_before(call: Call) -> Reply | None:
        if call.kind != "query" or (call.body["startDate"], call.body["endDate"]) != (str(bad_day),) * 2:
            return None
        body = {**call.body, **dict.fromkeys(("startDate", "endDate"), str(days[4]))}
        return world.simulator.true_answer(replace(call, body=body))

    world.faults.append(hours_of_the_day_before)
    report = world.sync_table(sync_hourly, workspace)
    (problem,) = report.problems
    assert (problem.site_url, problem.days) == (SITE, (bad_day,))
    assert f"its hour is outside {bad_day}" in problem.cause
    read = [row["data_date"] for row in held_of_type(world, SEARCH_TYPES[0])]
    world.faults.clear()
    assert not world.sync_table(sync_hourly, workspace).problems
    healed = [row["data_date"] for row in held_of_type(world, SEARCH_TYPES[0])]
    assert sorted(read) == sorted(day for day in healed if day != bad_day)
    assert set(healed) == set(days)
