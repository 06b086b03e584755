"""A sync over the real wire against the simulator's own truth, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION, TableSpec
from gsc_pipeline.simulator import (
    Property,
    SyntheticProperty,
    is_complete,
    site_truth,
    url_truth,
    visible_facts,
)
from gsc_pipeline.sync.property import SyncOptions
from gsc_pipeline.sync.report import Outcome
from gsc_pipeline_tests.world import World, contents, sorted_rows


def truth(world: World, prop: Property, days: list[date]) -> Mapping[str, list[dict[str, Any]]]:
    """What both tables must hold of these days, made from the facts without the query code."""
    found: dict[str, list[dict[str, Any]]] = {SITE_IMPRESSION.name: [], URL_IMPRESSION.name: []}
    for day in days:
        facts = visible_facts(prop, "web", day, world.now)
        if facts is None:
            continue
        for name, rows in (
            (SITE_IMPRESSION.name, site_truth(facts)),
            (URL_IMPRESSION.name, url_truth(facts)),
        ):
            found[name] += [{"data_date": day, **row} for row in rows.to_pylist()]
    return found


def held(
    world: World, table: TableSpec, site_url: str, days: list[date], like: pa.Schema
) -> list[dict[str, Any]]:
    where = (ds.field("site_url") == site_url) & ds.field("data_date").isin(days)
    return sorted_rows(world.lake.read(table, columns=["data_date", *like.names], where=where))


def assert_lake_is_true(world: World, days: list[date]) -> None:
    for prop in world.simulator.properties:
        facts = prop.facts("web", days[0])
        assert facts is not None
        expected = truth(world, prop, days)
        for table, like in (
            (SITE_IMPRESSION, site_truth(facts).schema),
            (URL_IMPRESSION, url_truth(facts).schema),
        ):
            rows = sorted(expected[table.name], key=repr)
            assert rows, "the simulator shows nothing, so nothing would be compared"
            assert held(world, table, prop.site_url, days, like) == rows


def test_the_lake_holds_exactly_what_search_console_counts(world: World) -> None:
    workspace = world.workspace(properties=("sc-domain:acme.com", "https://shop.acme.com/"))
    report = world.sync(workspace)
    assert report.count(Outcome.READ) == 10
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
    assert (report.count(Outcome.UNCHANGED), report.rows) == (10, 0)
    assert contents(world.lake) == before


def test_days_that_grow_are_read_until_final_and_then_left_alone(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=200)
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
        read_again = [day for day in report.days if day.outcome is Outcome.READ]
        assert first_day in [day.day for day in read_again]
        world.now += timedelta(minutes=30)
        later = {day.day: day.outcome for day in world.sync(workspace).days}
        assert later[first_day] is Outcome.UNCHANGED


def test_a_full_sync_reads_every_day_and_changes_nothing(world: World) -> None:
    workspace = world.workspace()
    world.sync(workspace)
    before = contents(world.lake)
    report = world.sync(workspace, options=SyncOptions(full=True))
    assert report.count(Outcome.READ) == 5
    after = contents(world.lake)
    assert after[SITE_IMPRESSION.name] == before[SITE_IMPRESSION.name]
    assert after[URL_IMPRESSION.name] == before[URL_IMPRESSION.name]


def test_a_day_without_data_is_known_to_be_empty(tmp_path: Path) -> None:
    holiday = date(2026, 11, 16)
    prop = SyntheticProperty("sc-domain:acme.com", days_without_data=[holiday])
    with World.serving(tmp_path, [prop]) as world:
        report = world.sync(world.workspace(), world.last(6))
        (empty,) = [day for day in report.days if day.outcome is Outcome.EMPTY]
        assert (empty.day, empty.status.value) == (holiday, "empty")
        assert world.sync(world.workspace(), world.last(6)).count(Outcome.UNCHANGED) == 6


def test_small_commits_make_the_same_lake_as_one_large_commit(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=300)
    with World.serving(tmp_path, [prop]) as world:
        world.sync(world.workspace(), options=SyncOptions(commit_rows=1, concurrency=1))
        assert_lake_is_true(world, list(world.last(5)))


def test_a_revision_of_a_final_day_is_seen_and_read(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=200)
    with World.serving(tmp_path, [prop]) as world:
        world.sync(world.workspace())
        revised = SyntheticProperty("sc-domain:acme.com", rows_a_day=210)
        world.simulator.put(revised)
        report = world.sync(world.workspace())
        assert report.count(Outcome.READ) == 5
        final = [day for day in report.days if day.day < world.today - 3 * ONE_DAY]
        assert all("totals moved" in day.reason for day in final)
        assert_lake_is_true(world, list(world.last(5)))
