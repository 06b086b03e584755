"""Wrong answers and damage that once lost rows, or made wrong rows final, without a report."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.maintenance import compact_and_vacuum
from gsc_pipeline.lake.schemas import (
    PROPERTIES,
    SITE_IMPRESSION,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    URL_IMPRESSION,
    TableSpec,
)
from gsc_pipeline.monitoring.status import workspace_states
from gsc_pipeline.search_console.breakers import Circuit, SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.guards import Guards
from gsc_pipeline.search_console.requests import PAGE_ROWS
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.simulator import Call, Reply, Revised, Revision, SyntheticProperty
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.decide import QUERIES_KEPT
from gsc_pipeline.sync.failures import StandingFailure, read_standing
from gsc_pipeline.sync.ledger import DayRecord, Status
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.report import DayResult, SyncReport, SyncSummary
from gsc_pipeline.sync.sync_all import SyncFatalError, sync_all
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.mutations import true_body
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.world import World, contents, read_ledger

DOMAIN, SHOP = "sc-domain:acme.com", "https://shop.acme.com/"
BOTH = (DOMAIN, SHOP)
LARGE = (SITE_IMPRESSION, URL_IMPRESSION)
GRAINS = {
    "totals by property": ["country", "device"],
    "totals by page": ["page", "country", "device"],
    "queries by property": ["query", "country", "device"],
    "queries by page": ["page", "query", "country", "device"],
}
WITH_QUERIES = [name for name in GRAINS if "queries" in name]


def small(site_url: str, size: int = 40, **more: Any) -> SyntheticProperty:
    return SyntheticProperty(site_url, rows_a_day=size, plants=False, **more)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.serving(tmp_path, [small(DOMAIN), small(SHOP)]) as world:
        yield world


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        yield store


def rows(world: World, *, workspace: str = "acme") -> list[list[dict[str, Any]]]:
    """The rows of both large tables of one workspace."""
    held = contents(world.lake)
    return [[row for row in held[table.name] if row["workspace"] == workspace] for table in LARGE]


def record(world: World, day: date, site_url: str = DOMAIN) -> DayRecord:
    return read_ledger(world.lake, "acme", Window.inclusive(day, day))[(site_url, "WEB")][day]


def standing(world: World, site_url: str = DOMAIN) -> StandingFailure:
    (failure,) = [one for one in read_standing(world.lake, "acme") if one.site_url == site_url]
    return failure


def everyone(world: World, *workspaces: Workspace, window: Window | None = None) -> SyncSummary:
    return sync_all(
        workspaces, window or world.last(5), world.open_console, world.lake, clock=lambda: world.now
    )


def is_probe(call: Call) -> bool:
    return call.kind == "query" and call.body["dimensions"] == ["date"]


def reads(world: World, day: date, since: int = 0) -> list[Call]:
    """The calls for one day alone, at any grain."""
    calls = [call for call in world.queries()[since:] if not is_probe(call)]
    return [call for call in calls if call.body["startDate"] == str(day)]


def in_grain(
    dimensions: list[str], day: date, reply: Callable[[Call], Reply], *, site_url: str = DOMAIN
) -> Callable[[Call], Reply | None]:
    """A fault in the answers of one property's day at this grain."""

    def fault(call: Call) -> Reply | None:
        is_meant = call.kind == "query" and call.site_url == site_url
        is_meant = is_meant and call.body["dimensions"] == dimensions and call.body["startDate"] == str(day)
        return reply(call) if is_meant else None

    return fault


def true_answer(world: World, call: Call) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(true_body(world.simulator.true_answer(call)))
    return answer


def data_file(world: World, table: TableSpec, **where: str) -> Path:
    """The newest data file in the table's log with these partition values."""
    uris = DeltaTable(world.lake.table_uri(table)).file_uris()
    parts = [f"{name}={value}/" for name, value in where.items()]
    return Path([uri for uri in sorted(uris) if all(part in uri for part in parts)][-1])


def all_files(world: World) -> set[Path]:
    return {path for path in Path(world.lake.uri).rglob("*") if path.is_file()}


# A table's log, or its newest commit, is missing.


@pytest.mark.parametrize("table", LARGE, ids=lambda table: table.name)
def test_a_table_without_its_log_is_not_created_again_and_the_error_says_how_to_restore_it(
    world: World, table: TableSpec
) -> None:
    acme = world.workspace()
    world.sync(acme)
    shutil.rmtree(Path(world.lake.table_uri(table)) / "_delta_log")
    world.lake = Lake(world.lake.uri)
    left = {file for file in all_files(world) if table.name in file.parts}
    with pytest.raises(SyncFatalError, match=r"has files but no log\. Restore _delta_log from a backup"):
        everyone(world, acme)
    assert not (Path(world.lake.table_uri(table)) / "_delta_log").exists()
    done = {one.table: one for one in compact_and_vacuum(world.lake, retention_hours=0)}
    assert {file for file in all_files(world) if table.name in file.parts} == left
    assert all(done[name].files_deleted == 0 for name in done if name in [one.name for one in LARGE])


@pytest.mark.parametrize("table", [*LARGE, SYNC_LEDGER], ids=lambda table: table.name)
def test_a_lost_table_is_reported_before_any_call_is_sent(world: World, table: TableSpec) -> None:
    acme = world.workspace()
    world.sync(acme)
    shutil.rmtree(world.lake.table_uri(table))
    world.lake = Lake(world.lake.uri)
    calls = len(world.queries())
    with pytest.raises(SyncFatalError, match=f"{table.name} is missing although .*gsc verify --repair"):
        everyone(world, acme)
    assert len(world.queries()) == calls


def without_newest_commit(world: World, table: TableSpec) -> None:
    log = Path(world.lake.table_uri(table)) / "_delta_log"
    max(log.glob("*.json")).unlink()
    world.lake = Lake(world.lake.uri)


def test_a_table_one_commit_behind_its_ledger_gets_the_days_of_that_commit_again(world: World) -> None:
    acme = world.workspace()
    world.sync(acme, world.last(2))
    newest = world.last(5)
    world.sync(acme, Window(newest.start, newest.start + 3 * ONE_DAY))
    before = contents(world.lake)
    without_newest_commit(world, URL_IMPRESSION)
    assert contents(world.lake) != before
    report = world.sync(acme, world.last(2))
    assert {day.day for day in report.days if day.result is DayResult.READ} == set(
        Window(newest.start, newest.start + 3 * ONE_DAY)
    )
    after = contents(world.lake)
    assert [after[table.name] for table in LARGE] == [before[table.name] for table in LARGE]
    assert_lake_is_true(world, list(world.last(5)), site_urls=[DOMAIN])
    assert not read_standing(world.lake, "acme")


def test_lost_rows_that_search_console_no_longer_shows_are_a_standing_failure_with_a_next_step(
    world: World,
) -> None:
    acme = world.workspace()
    lost = list(world.last(3))
    world.sync(acme, world.last(3))
    without_newest_commit(world, URL_IMPRESSION)
    world.now += 18 * 31 * ONE_DAY
    for times in (1, 2):
        report = world.sync(acme, world.last(1))
        (problem,) = [one for one in report.problems if one.days]
        assert problem.days == tuple(lost)
        assert "no longer shows the day" in problem.cause
        failure = standing(world)
        assert (failure.first_day, failure.last_day, failure.times) == (lost[0], lost[-1], times)
        assert "restore the lake from a backup" in failure.next_step
    assert {record(world, day).status for day in lost} == {Status.FAILED}


# The probe shows fewer days than before.


def test_a_probe_that_shows_only_the_newest_of_many_days_removes_no_rows_and_reports_the_others(
    world: World,
) -> None:
    acme = world.workspace()
    world.now += 5 * ONE_DAY
    held = world.last(41)
    middle = held.start + 21 * ONE_DAY
    # Windows as short as these are written in one commit.
    for window in (Window(held.start, middle), Window(middle, held.end)):
        world.sync(acme, window)
    world.now += 8 * ONE_DAY
    world.sync(acme, held)
    before, asked = contents(world.lake), len(world.queries())

    def only_the_newest(call: Call) -> Reply | None:
        if not is_probe(call):
            return None
        answer = true_answer(world, call)
        return Reply(200, {**answer, "rows": answer["rows"][-1:]})

    world.faults.append(only_the_newest)
    report = world.sync(acme, held)
    (problem,) = report.problems
    assert (problem.site_url, set(problem.days)) == (DOMAIN, set(held) - {held.last})
    assert "have no data of these days" in problem.cause
    assert report.count(DayResult.EMPTY) == 0
    assert contents(world.lake) == before
    assert len(world.queries()) == asked + 2


def test_a_probe_of_other_days_claims_nothing_about_days_that_were_never_read(world: World) -> None:
    def of_the_month_before(call: Call) -> Reply | None:
        if not is_probe(call):
            return None
        answer = true_answer(world, call)
        for row in answer["rows"]:
            row["keys"] = [str(date.fromisoformat(row["keys"][0]) - 30 * ONE_DAY)]
        return Reply(200, answer)

    world.faults.append(of_the_month_before)
    report = world.sync(world.workspace())
    (problem,) = report.problems
    assert (problem.site_url, set(problem.days)) == (DOMAIN, set(world.last(5)))
    assert f"its date is outside {world.last(5)}" in problem.cause
    assert {record(world, day).status for day in world.last(5)} == {Status.FAILED}


def test_rows_of_days_without_data_are_removed_after_a_second_call_confirms_it(
    tmp_path: Path,
) -> None:
    days = list(Window(date(2026, 11, 10), date(2026, 11, 16)))
    gone = days[1:3]
    later = datetime(2026, 11, 21, 20, 30, tzinfo=UTC)
    prop = Revised(small(DOMAIN), [Revision(day, later, 0.0) for day in gone])
    with World.serving(tmp_path, [prop]) as world:
        acme, window = world.workspace(), Window.inclusive(days[0], days[-1])
        world.sync(acme, window)
        assert all(record(world, day).site_rows for day in gone)
        world.now = later
        asked = len(world.queries())
        report = world.sync(acme, window)
        assert not report.problems
        assert [day.day for day in report.days if day.result is DayResult.EMPTY] == sorted(gone, reverse=True)
        for day in gone:
            (call,) = reads(world, day, asked)
            assert call.body["dimensions"] == GRAINS["totals by property"]
            assert (record(world, day).status, record(world, day).site_rows) == (Status.EMPTY, 0)
        assert len(world.queries()) == asked + 1 + len(gone)
        assert_lake_is_true(world, [day for day in days if day not in gone])
        for table in LARGE:
            assert world.lake.read(table, where=pc.field("data_date").isin(gone)).num_rows == 0
        assert world.sync(acme, window).usage.calls == 1


# Lists of queries that are wrong or have become empty.

NO_LISTS: dict[str, dict[str, Any]] = {
    "an error": {"error": {"code": 403, "message": "Forbidden", "status": "PERMISSION_DENIED"}},
    "an empty object": {},
}


@pytest.mark.parametrize("grain", WITH_QUERIES)
@pytest.mark.parametrize("body", rest_in_soak(NO_LISTS.values()), ids=NO_LISTS)
def test_a_wrong_list_of_queries_keeps_the_days_rows_is_reported_and_is_read_by_the_next_sync(
    world: World, grain: str, body: dict[str, Any]
) -> None:
    acme, day = world.workspace(), world.last(4).start
    world.sync(acme)
    before = rows(world)
    world.faults.append(in_grain(GRAINS[grain], day, lambda call: Reply(200, body)))
    report = world.sync(acme, options=SyncOptions(full=True))
    (problem,) = report.problems
    assert (problem.site_url, problem.days) == (DOMAIN, (day,))
    assert rows(world) == before
    assert record(world, day).status is Status.FAILED
    world.faults.clear()
    again = world.sync(acme)
    assert [one.day for one in again.days if one.result is DayResult.READ] == [day]
    assert not again.problems
    assert_lake_is_true(world, list(world.last(5)), site_urls=[DOMAIN])


@pytest.mark.parametrize("grain", WITH_QUERIES)
@pytest.mark.parametrize("body", rest_in_soak(NO_LISTS.values(), first=3), ids=NO_LISTS)
@pytest.mark.soak
def test_a_wrong_list_of_queries_does_not_make_a_day_final_whose_queries_are_all_anonymised(
    world: World, grain: str, body: dict[str, Any]
) -> None:
    acme, day = world.workspace(), world.last(5).start
    world.faults.append(in_grain(GRAINS[grain], day, lambda call: Reply(200, body)))
    report = world.sync(acme)
    (problem,) = report.problems
    assert problem.days == (day,)
    assert record(world, day).status is Status.FAILED
    assert not any(row["data_date"] == day for table in rows(world) for row in table)
    world.faults.clear()
    world.sync(acme)
    assert record(world, day).status is Status.FINAL
    assert_lake_is_true(world, list(world.last(5)), site_urls=[DOMAIN])


@pytest.mark.parametrize("grain", WITH_QUERIES)
def test_a_list_of_queries_that_became_empty_is_read_again_and_leaves_the_day_provisional(
    world: World, grain: str
) -> None:
    acme, day = world.workspace(), world.last(5).start
    world.sync(acme)
    assert record(world, day).status is Status.FINAL
    empty = Reply(200, {"responseAggregationType": "byPage" if "page" in grain else "byProperty"})
    world.faults.append(in_grain(GRAINS[grain], day, lambda call: empty))
    asked = len(world.queries())
    world.sync(acme, options=SyncOptions(full=True))
    assert sum(call.body["dimensions"] == GRAINS[grain] for call in reads(world, day, asked)) == 2
    assert (record(world, day).status, record(world, day).reason) == (Status.PROVISIONAL, QUERIES_KEPT)
    world.faults.clear()
    again = world.sync(acme)
    assert [one.day for one in again.days if one.result is DayResult.READ] == [day]
    assert record(world, day).status is Status.FINAL
    assert_lake_is_true(world, list(world.last(5)), site_urls=[DOMAIN])


# Impossible numbers.

NUMBERS: dict[str, tuple[str, str, str]] = {
    "negative": ("clicks", "-1", "clicks -1 is not a count"),
    "a fraction": ("impressions", "0.5", "impressions 0.5 is not a count"),
    "past what a count can be": ("impressions", "9.2e18", "impressions 9.2e+18 is not a count"),
    "past what a float can be": ("impressions", "1e300", "impressions 1e+300 is not a count"),
    "not a number": ("clicks", "NaN", "clicks nan is not a count"),
    "endless": ("impressions", "Infinity", "impressions inf is not a count"),
    "a text": ("clicks", '"12"', "clicks"),
    "missing": ("clicks", "null", "no clicks"),
    "more than were shown": ("clicks", "1000000", "clicks 1000000 is more than its impressions"),
    "a position before the first": ("position", "0.5", "position 0.5 is not between"),
    "a position past every list": ("position", "1e300", "position 1e+300 is not between"),
}


def with_number(world: World, name: str, value: str) -> Callable[[Call], Reply]:
    """The true answer with another value, as JSON text, in its first row."""

    def reply(call: Call) -> Reply:
        answer = true_answer(world, call)
        answer["rows"][0][name] = "here"
        return Reply(200, json.dumps(answer).replace('"here"', value).encode())

    return reply


def guarded(world: World, store: Store) -> Callable[[Workspace], HttpSearchConsole]:
    """Opens live clients that share a circuit breaker, without real waits."""
    return lambda workspace: HttpSearchConsole(
        workspace.credentials,
        base_url=world.url,
        retry=RetryPolicy(attempts=3, sleep=world.waits.append),
        guards=Guards(breaker=SharedBreaker(store, world.url, clock=lambda: world.now)),
        clock=lambda: world.now,
    )


@pytest.mark.parametrize(("name", "value", "said"), rest_in_soak(NUMBERS.values()), ids=NUMBERS)
def test_an_impossible_number_is_reported_and_fails_one_day_of_one_property(
    world: World, store: Store, name: str, value: str, said: str
) -> None:
    acme = world.workspace(properties=BOTH)
    globex, initech = world.workspace("globex", properties=BOTH), world.workspace("initech", properties=BOTH)
    day = world.last(3).start
    wrong = [
        in_grain(dimensions, day, with_number(world, name, value))
        for grain, dimensions in GRAINS.items()
        if "page" in grain
    ]
    world.faults = [
        lambda call: next(
            (reply for one in wrong if call.subject == "acme@example.com" and (reply := one(call))), None
        )
    ]
    summary = sync_all(
        [acme, globex, initech], world.last(5), guarded(world, store), world.lake, clock=lambda: world.now
    )
    assert not summary.failures
    (mine,), others = summary.partial, summary.successes
    (problem,) = mine.problems
    assert (problem.site_url, problem.search_type, problem.days) == (DOMAIN, "WEB", (day,))
    assert said in problem.cause
    assert value == '"12"' or f"by {', '.join(GRAINS['totals by page'])}" in problem.cause
    assert mine.count(DayResult.READ) == 9
    for report in others:
        assert (report.problems, report.count(DayResult.READ)) == ((), 10)
    assert SharedBreaker(store, world.url, clock=lambda: world.now).state().state is Circuit.CLOSED
    assert record(world, day).status is Status.FAILED
    assert_only_is_missing(world, day)


def assert_only_is_missing(world: World, day: date) -> None:
    """Of acme both tables hold what they hold of globex, but for the domain property's day."""
    for mine, theirs in zip(rows(world), rows(world, workspace="globex"), strict=True):
        expected = [
            {**row, "workspace": "acme"}
            for row in theirs
            if (row["site_url"], row["data_date"]) != (DOMAIN, day)
        ]
        assert mine == expected


@pytest.mark.parametrize("where", ["the probe", *GRAINS])
@pytest.mark.soak
def test_an_infinite_position_in_one_property_does_not_affect_the_others(world: World, where: str) -> None:
    acme, window = world.workspace(properties=BOTH), world.last(5)
    dimensions = GRAINS.get(where, ["date"])
    world.faults = [
        in_grain(dimensions, day, with_number(world, "position", "1e300"))
        for day in (window if where in GRAINS else [window.start])
    ]
    report = world.sync(acme)
    assert {problem.site_url for problem in report.problems} == {DOMAIN}
    assert all("position 1e+300" in problem.cause for problem in report.problems)
    done = {day.day for day in report.days if day.site_url == SHOP and day.result is DayResult.READ}
    assert done == set(window)
    world.faults = []
    assert not world.sync(acme).problems
    assert_lake_is_true(world, list(window))


# Endless pages.


@pytest.mark.parametrize("are_the_same", [True, False], ids=["the same page", "ever other pages"])
@pytest.mark.soak
def test_pages_that_never_end_are_an_error_and_write_nothing_past_the_cap(
    world: World, are_the_same: bool
) -> None:
    acme, day = world.workspace(), world.last(2).start
    world.sync(acme, world.last(2))
    before = rows(world)

    def full_page(call: Call) -> Reply:
        first = 0 if are_the_same else call.body["startRow"]
        row = {"clicks": 0, "impressions": 1, "position": 1.0}
        numbers = range(first, first + PAGE_ROWS)
        listed = [{"keys": [f"query {number}", "usa", "MOBILE"], **row} for number in numbers]
        return Reply(200, {"rows": listed, "responseAggregationType": "byProperty"})

    world.faults.append(in_grain(GRAINS["queries by property"], day, full_page))
    asked = len(world.queries())
    report = world.sync(acme, world.last(2), options=SyncOptions(full=True))
    (problem,) = report.problems
    assert problem.days == (day,)
    assert "does not end" in problem.cause
    calls = [
        call for call in reads(world, day, asked) if call.body["dimensions"] == GRAINS["queries by property"]
    ]
    assert [call.body["startRow"] for call in calls] == [n * PAGE_ROWS for n in range(4)]
    assert rows(world) == before
    assert (record(world, day).status, record(world, day).truncated) == (Status.FAILED, False)


# A damaged file.


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def delete(file: Path) -> None:
    file.unlink()


HARM = pytest.mark.parametrize("harm", rest_in_soak([cut, delete]), ids=lambda harm: harm.__name__)


@pytest.fixture
def new_month(tmp_path: Path) -> Iterator[World]:
    """A world on the 4th, so that a week of days covers two months."""
    now = datetime(2026, 11, 4, 20, 0, tzinfo=UTC)
    with World.serving(tmp_path, [small(DOMAIN), small(SHOP)], now=now) as world:
        yield world


@HARM
@pytest.mark.parametrize("table", rest_in_soak(LARGE), ids=lambda table: table.name)
def test_a_damaged_file_of_a_large_table_stops_a_month_of_its_workspace_and_is_reported(
    new_month: World, table: TableSpec, harm: Callable[[Path], None]
) -> None:
    world, window = new_month, new_month.last(7)
    acme, globex = world.workspace(properties=BOTH), world.workspace("globex", properties=BOTH)
    everyone(world, acme, globex, window=window)
    file = data_file(world, table, workspace="acme", month="2026-11")
    harm(file)
    for url in BOTH:
        world.simulator.put(small(url, 55))
    world.lake = Lake(world.lake.uri)
    summary = everyone(world, acme, globex, window=window)
    assert not summary.failures
    (mine,), (theirs,) = summary.partial, summary.successes
    assert not theirs.problems
    assert theirs.count(DayResult.READ) == 14
    read = {(one.site_url, one.day) for one in mine.days if one.result is DayResult.READ}
    assert {(url, day) for url in BOTH for day in window if day.month == 10} <= read
    assert {one.day.month for one in mine.days if one.result is DayResult.FAILED} == {11}
    assert file.name in mine.reason
    failures = read_standing(world.lake, "acme")
    assert failures
    for failure in failures:
        assert file.name in failure.cause
        assert "gsc verify acme --repair" in f"{failure.cause} {failure.next_step}"
    healthy, whole = workspace_states([globex, acme], world.lake)
    assert (healthy.damaged, whole.damaged) == ((), ())
    assert whole.failures == tuple(failures)


@HARM
def test_the_status_of_workspaces_names_a_damaged_file_and_shows_what_the_others_hold(
    world: World, harm: Callable[[Path], None]
) -> None:
    acme, globex = world.workspace(), world.workspace("globex")
    everyone(world, acme, globex)
    whole = workspace_states([acme, globex], world.lake)
    file = data_file(world, SYNC_LEDGER, workspace="acme")
    harm(file)
    world.lake = Lake(world.lake.uri)
    mine, theirs = workspace_states([acme, globex], world.lake)
    assert theirs == whole[1]
    (told,) = mine.damaged
    assert file.name in told
    assert "gsc verify acme --repair" in told
    assert (mine.final, mine.last_good_sync) == (0, whole[0].last_good_sync)
    assert json.loads(json.dumps(mine.as_json()))["damaged"] == [told]


@HARM
@pytest.mark.parametrize("table", [SYNC_RUNS, STANDING_FAILURES], ids=lambda table: table.name)
def test_a_damaged_sync_runs_leaves_the_days_in_the_status_of_workspaces(
    world: World, table: TableSpec, harm: Callable[[Path], None]
) -> None:
    acme, globex = world.workspace(properties=("sc-domain:none.com", DOMAIN)), world.workspace("globex")
    everyone(world, acme, globex)
    whole = workspace_states([acme, globex], world.lake)
    file = data_file(world, table)
    harm(file)
    world.lake = Lake(world.lake.uri)
    states = workspace_states([acme, globex], world.lake)
    assert [state.final for state in states] == [state.final for state in whole]
    assert file.name in states[0].damaged[0]


def test_a_damaged_ledger_of_one_workspace_does_not_stop_the_other(world: World) -> None:
    acme, globex = world.workspace(), world.workspace("globex")
    everyone(world, acme, globex)
    file = data_file(world, SYNC_LEDGER, workspace="acme")
    cut(file)
    world.lake = Lake(world.lake.uri)
    summary = everyone(world, acme, globex)
    assert [report.workspace for report in summary.successes] == ["globex"]
    assert file.name in summary.failures[0].reason
    (failure,) = read_standing(world.lake, "acme")
    assert file.name in failure.cause
    with pytest.raises(DamagedError, match=file.name):
        read_ledger(world.lake, "acme", world.last(5))


# Incomplete lists of properties.

NO_LIST: dict[str, dict[str, Any]] = {
    "an error": {"error": {"code": 403, "message": "Forbidden"}},
    "another list": {"siteEntry": {"siteUrl": DOMAIN}},
    "an empty list": {},
}


@pytest.mark.parametrize("body", rest_in_soak(NO_LIST.values(), first=2), ids=NO_LIST)
def test_a_wrong_list_of_properties_loses_none(world: World, body: dict[str, Any]) -> None:
    acme = world.workspace(properties=None)
    world.sync(acme)
    before, known = rows(world), world.lake.read(PROPERTIES).num_rows
    world.faults.append(lambda call: Reply(200, body) if call.kind == "sites" else None)
    report = world.sync(acme)
    assert report.outcome is Outcome.FAILED
    assert rows(world) == before
    assert world.lake.read(PROPERTIES).num_rows == known
    assert read_standing(world.lake, "acme")
    world.faults.clear()
    assert not world.sync(acme).problems
    assert not read_standing(world.lake, "acme")


def test_a_property_that_leaves_the_list_is_reported_until_it_is_back(world: World) -> None:
    acme = world.workspace(properties=None)
    world.sync(acme)
    before = rows(world)
    world.simulator.put(small(SHOP, readers={"somebody@else.com"}))
    for times in (1, 2, 3):
        report: SyncReport = world.sync(acme)
        (problem,) = report.problems
        assert (problem.site_url, problem.cause) == (
            SHOP,
            "no longer among the properties that the credential may read",
        )
        assert problem.next_step
        (state,) = workspace_states([acme], world.lake)
        (failure,) = state.failures
        assert (failure.site_url, failure.times) == (SHOP, times)
    assert rows(world) == before
    listed = dataclasses.replace(acme, properties=(DOMAIN,))
    (state,) = workspace_states([listed], world.lake)
    assert not state.failures
    world.simulator.put(small(SHOP))
    assert not world.sync(acme).problems
    assert not read_standing(world.lake, "acme")
