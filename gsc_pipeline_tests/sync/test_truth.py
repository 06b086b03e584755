"""A sync over the real wire against the simulator's own truth, row by row."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.lake.schemas import REVISIONS, SITE_IMPRESSION, SYNC_LEDGER, SYNC_RUNS, URL_IMPRESSION
from gsc_pipeline.search_console.search_types import SEARCH_TYPES, FeedType, QueryType, SearchType
from gsc_pipeline.simulator import (
    Call,
    Paging,
    Property,
    Reply,
    Revised,
    Revision,
    SyntheticProperty,
    is_complete,
    visible_facts,
)
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.report import DayResult, SyncReport
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.soak import in_soak, rest_in_soak
from gsc_pipeline_tests.truth import site_truth, url_truth
from gsc_pipeline_tests.world import World, contents, sorted_rows


def truth(world: World, prop: Property, kind: SearchType, days: list[date]) -> Mapping[str, pa.Table]:
    """The expected rows of both tables for these days, from the facts without the query code."""
    seen = {day: visible_facts(prop, kind.value, day, world.now) for day in days}
    return {
        table.name: pa.concat_tables(
            rows.append_column("data_date", pa.repeat(pa.scalar(day), rows.num_rows))
            for day, facts in seen.items()
            if facts is not None
            for rows in [make(facts)]
        )
        for table, make in ((SITE_IMPRESSION, site_truth), (URL_IMPRESSION, url_truth))
    }


def assert_lake_is_true(
    world: World,
    days: list[date],
    kind: SearchType = QueryType.WEB,
    *,
    site_urls: Collection[str] | None = None,
) -> None:
    """Checks all properties of the simulator, or these."""
    for prop in world.simulator.properties:
        if site_urls is not None and prop.site_url not in site_urls:
            continue
        for name, expected in truth(world, prop, kind, days).items():
            table = {SITE_IMPRESSION.name: SITE_IMPRESSION, URL_IMPRESSION.name: URL_IMPRESSION}[name]
            assert expected.num_rows, "the simulator shows nothing, so nothing would be compared"
            where = (
                (ds.field("site_url") == prop.site_url)
                & (ds.field("search_type") == kind.name)
                & ds.field("data_date").isin(days)
            )
            held = world.lake.read(table, columns=expected.column_names, where=where)
            assert sorted_rows(held) == sorted_rows(expected)


def test_the_lake_holds_exactly_what_search_console_counts(world: World) -> None:
    workspace = world.workspace(properties=("sc-domain:acme.com", "https://shop.acme.com/"))
    report = world.sync(workspace)
    assert report.count(DayResult.READ) == 10
    assert not report.problems
    assert_lake_is_true(world, list(world.last(5)))


def test_a_second_sync_of_the_same_numbers_costs_one_call_per_property_and_writes_no_rows(
    world: World,
) -> None:
    workspace = world.workspace(properties=("sc-domain:acme.com", "https://shop.acme.com/"))
    world.sync(workspace)
    before = contents(world.lake)
    world.now += timedelta(minutes=5)
    report = world.sync(workspace)
    assert report.usage.calls == 2
    assert (report.count(DayResult.UNCHANGED), report.rows) == (10, 0)
    assert contents(world.lake) == before


def test_days_that_grow_are_read_until_final_and_not_after(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=100, plants=False)
    with World.serving(tmp_path, [prop]) as world:
        workspace = world.workspace()
        first_day = world.last(1).start
        for _ in range(20):
            report = world.sync(workspace)
            assert not report.problems
            assert_lake_is_true(world, list(report.window))
            if is_complete(first_day, world.now):
                break
            world.now += timedelta(hours=6)
        else:
            raise AssertionError("the day never became final")
        read_again = [day for day in report.days if day.result is DayResult.READ]
        assert first_day in [day.day for day in read_again]
        world.now += timedelta(minutes=30)
        later = {day.day: day.result for day in world.sync(workspace).days}
        assert later[first_day] is DayResult.UNCHANGED


def test_a_full_sync_reads_every_day_and_changes_nothing(world: World) -> None:
    workspace = world.workspace()
    world.sync(workspace)
    before = contents(world.lake)
    report = world.sync(workspace, options=SyncOptions(full=True))
    assert report.count(DayResult.READ) == 5
    after = contents(world.lake)
    assert after[SITE_IMPRESSION.name] == before[SITE_IMPRESSION.name]
    assert after[URL_IMPRESSION.name] == before[URL_IMPRESSION.name]


def test_a_day_without_data_is_recorded_as_empty(tmp_path: Path) -> None:
    holiday = date(2026, 11, 16)
    prop = SyntheticProperty("sc-domain:acme.com", days_without_data=[holiday])
    with World.serving(tmp_path, [prop]) as world:
        report = world.sync(world.workspace(), world.last(6))
        (empty,) = [day for day in report.days if day.result is DayResult.EMPTY]
        assert (empty.day, empty.record.status.value) == (holiday, "empty")
        assert world.sync(world.workspace(), world.last(6)).count(DayResult.UNCHANGED) == 6


def test_small_commits_make_the_same_lake_as_one_large_commit(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=300)
    with World.serving(tmp_path, [prop]) as world:
        world.sync(world.workspace(), options=SyncOptions(commit_rows=1, concurrency=1))
        assert_lake_is_true(world, list(world.last(5)))


def test_a_revision_of_a_final_day_is_seen_and_read(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=100, plants=False)
    with World.serving(tmp_path, [prop]) as world:
        world.sync(world.workspace())
        revised = SyntheticProperty("sc-domain:acme.com", rows_a_day=110, plants=False)
        world.simulator.put(revised)
        report = world.sync(world.workspace())
        assert report.count(DayResult.READ) == 5
        final = [day for day in report.days if day.day < world.today - 3 * ONE_DAY]
        assert all("totals changed" in day.record.reason for day in final)
        assert_lake_is_true(world, list(world.last(5)))


@pytest.mark.parametrize("kind", rest_in_soak(SEARCH_TYPES), ids=lambda kind: kind.value)
def test_every_search_type_arrives_exactly_as_counted(tmp_path: Path, kind: SearchType) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=100, plants=False, search_types=[kind.value])
    with World.serving(tmp_path, [prop]) as world:
        report = world.sync(world.workspace(search_types=[kind]))
        assert (report.count(DayResult.READ), report.problems) == (5, ())
        assert_lake_is_true(world, list(world.last(5)), kind)


def test_all_search_types_of_a_property_live_side_by_side(tmp_path: Path) -> None:
    names = [kind.value for kind in SEARCH_TYPES]
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=60, plants=False, search_types=names)
    with World.serving(tmp_path, [prop]) as world:
        workspace = world.workspace(search_types=SEARCH_TYPES)
        world.sync(workspace, world.last(2))
        for kind in SEARCH_TYPES:
            assert_lake_is_true(world, list(world.last(2)), kind)
        assert world.sync(workspace, world.last(2)).usage.calls == len(SEARCH_TYPES)


def test_google_news_without_device_is_exact_too_and_refused_once_a_sync(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=100, search_types=["googleNews"])
    with World.serving(tmp_path, [prop], google_news_device=False) as world:
        world.sync(world.workspace(search_types=[FeedType.GOOGLE_NEWS]))
        facts = visible_facts(prop, "googleNews", world.last(1).start, world.now)
        assert facts is not None
        held = world.lake.read(SITE_IMPRESSION, where=ds.field("data_date") == world.last(1).start)
        expected = site_truth(facts, with_device=False)
        assert sorted_rows(held.select(expected.column_names)) == sorted_rows(expected)
        refused = [call for call in world.queries() if "device" in call.body["dimensions"]]
        assert len(refused) == 1


@pytest.mark.parametrize(
    ("paging", "is_read_again"),
    [in_soak((Paging(short_pages=0.09), False)), (Paging(short_pages=0.05, unstable_ties=0.1), True)],
    ids=["short pages", "ties that change their order"],
)
def test_no_page_size_or_order_loses_or_doubles_rows(
    tmp_path: Path, paging: Paging, is_read_again: bool
) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=40_000, plants=False)
    with World.serving(tmp_path, [prop], paging=paging) as world:
        day = world.today - 4 * ONE_DAY
        report = world.sync(world.workspace(), Window(day, day + ONE_DAY))
        assert report.days[0].record.site_rows > 25_000
        assert (report.days[0].api_calls > 6) is is_read_again
        assert_lake_is_true(world, [day])


def fortnight_of_ticks(world: World, workspace: Workspace) -> list[SyncReport]:
    """A sync of the last 14 days every six hours, for 14 days."""
    reports = []
    for _ in range(14 * 4):
        reports.append(world.sync(workspace, world.last(14)))
        world.now += timedelta(hours=6)
    return reports


@pytest.mark.soak
def test_a_fortnight_of_ticks_with_late_revisions_ends_in_the_truth_at_a_quarter_of_the_calls(
    tmp_path: Path,
) -> None:
    start = datetime(2026, 11, 2, 14, 0, tzinfo=UTC)
    revisions = [
        Revision(date(2026, 10, 25), start + timedelta(days=1), 1.2),
        Revision(date(2026, 10, 28), start + timedelta(days=5), 0.7),
        Revision(date(2026, 10, 30), start + timedelta(days=9), 0.0),
        Revision(date(2026, 11, 3), start + timedelta(days=11), 1.05),
    ]
    prop = Revised(SyntheticProperty("sc-domain:acme.com", rows_a_day=60, plants=False), revisions)
    with World.serving(tmp_path, [prop], now=start) as world:
        reports = fortnight_of_ticks(world, world.workspace())
        assert not any(report.problems for report in reports)
        last = reports[-1].window
        world.now -= timedelta(hours=6)
        vanished = date(2026, 10, 30)
        assert_lake_is_true(world, [day for day in last if day != vanished])
        runs = world.lake.read(SYNC_RUNS)
        calls = sum(runs["calls"].to_pylist())
        full = sum(1 + 4 * len(report.window) for report in reports)
        assert calls <= full / 4, f"{calls} calls, {full} for full reads"
        moved = {row["data_date"] for row in world.lake.read(REVISIONS).to_pylist()}
        assert moved == {revision.day for revision in revisions}
        ledger = world.lake.read(SYNC_LEDGER)
        assert sorted(ledger["data_date"].to_pylist()) == list(Window(reports[0].window.start, last.end))


ODD_QUERIES = [
    "null",
    "NaN",
    "1e5",
    "123",
    "",
    "🦄 emoji",
    'say "cheese"',
    "two\nlines",
    "a\tb",
    "\\",
    "'; --",
    "long " * 5_000,
    "half of a pair \ud83d",
]
ODD_URL = "https://acme.com/" + "x" * 1_983


def test_odd_texts_arrive_in_the_lake_as_they_were(world: World, caplog: pytest.LogCaptureFixture) -> None:
    day = world.last(1).start

    def fault(call: Call) -> Reply | None:
        if call.kind != "query" or call.body["startDate"] != str(day) or call.body["startRow"]:
            return None
        keys = {"date": [str(day)], "query": ODD_QUERIES, "page": [ODD_URL]}
        values = [
            keys.get(name, ["usa"] if name == "country" else ["MOBILE"]) for name in call.body["dimensions"]
        ]
        share = len(ODD_QUERIES) if "query" not in call.body["dimensions"] else 1
        rows = [
            {"keys": list(key), "clicks": 2.0 * share, "impressions": 4.0 * share, "position": 1.5}
            for key in itertools.product(*values)
        ]
        return Reply(200, json.dumps({"rows": rows, "responseAggregationType": "byProperty"}).encode())

    world.faults.append(fault)
    with caplog.at_level(logging.WARNING):
        report = world.sync(world.workspace(), Window(day, day + ONE_DAY))
    assert not report.problems
    warnings = {one.getMessage() for one in caplog.records if "surrogate" in one.getMessage()}
    assert any(
        f"sc-domain:acme.com: the answer by query, country, device for {day}" in one for one in warnings
    )
    texts = sorted(text.replace("\ud83d", r"\ud83d") for text in ODD_QUERIES)
    site, url = world.lake.read(SITE_IMPRESSION), world.lake.read(URL_IMPRESSION)
    assert sorted(site["query"].to_pylist()) == texts
    assert not any(site["is_anonymized_query"].to_pylist())
    assert set(url["url"].to_pylist()) == {ODD_URL}
    assert sorted(url["query"].to_pylist()) == texts
