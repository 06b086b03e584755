"""A refresh replaces the rows of one workspace, and only if something changed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from gsc_pipeline.days import Window, month_of
from gsc_pipeline.insights.refresh import InsightsReport, refresh_insights
from gsc_pipeline.insights.tables import as_table
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    CHANGE_POINTS,
    CONTENT_GROUP_DAYS,
    DAILY_PERFORMANCE,
    INDEX_COVERAGE,
    INSIGHT_REFRESHES,
    INSIGHTS,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
)
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.report.insight_rows import change
from gsc_pipeline_tests.world import World

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
WINDOW = Window(date(2026, 9, 1), date(2026, 11, 21))
PROPERTY = SyntheticProperty("sc-domain:acme.com", rows_a_day=60, search_types=("web", "discover"))


@pytest.fixture
def filled(lake: Lake) -> Lake:
    fill(lake, "acme", PROPERTY, WINDOW, provisional=2)
    return lake


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, acme: Workspace) -> tuple[Lake, InsightsReport]:
    """A lake after its first refresh, and the report of that. Not to be changed."""
    lake = Lake(str(tmp_path_factory.mktemp("refreshed") / "lake"))
    fill(lake, "acme", PROPERTY, WINDOW, provisional=2)
    return lake, refresh_insights(lake, acme, now=NOW)


@pytest.fixture
def refreshed(first: tuple[Lake, InsightsReport], tmp_path: Path) -> Lake:
    """A copy of the lake after its first refresh."""
    shutil.copytree(first[0].uri, tmp_path / "lake")
    return Lake(str(tmp_path / "lake"))


def test_a_second_refresh_changes_nothing(
    first: tuple[Lake, InsightsReport], refreshed: Lake, acme: Workspace
) -> None:
    second = refresh_insights(refreshed, acme, now=NOW + timedelta(hours=6))
    assert (first[1].changed, second.changed) == (True, False)
    assert first[1].rows == second.rows
    (noted,) = refreshed.read(INSIGHT_REFRESHES).to_pylist()
    assert (noted["refreshed_at"], noted["as_of"]) == (NOW, date(2026, 11, 18))


def test_new_data_thresholds_or_brand_terms_cause_a_refresh(refreshed: Lake, acme: Workspace) -> None:
    stricter = Thresholds(striking_impressions=10_000)
    assert refresh_insights(refreshed, replace(acme, thresholds=stricter), now=NOW).changed
    assert refreshed.read(STRIKING_DISTANCE).num_rows == 0
    assert refresh_insights(refreshed, replace(acme, brand_terms=("acme",)), now=NOW).changed
    assert refreshed.read(STRIKING_DISTANCE).num_rows > 0
    fill(refreshed, "acme", PROPERTY, Window(date(2026, 11, 19), date(2026, 11, 21)), provisional=1)
    report = refresh_insights(refreshed, replace(acme, brand_terms=("acme",)), now=NOW)
    assert (report.changed, report.as_of) == (True, date(2026, 11, 19))


def test_a_table_whose_column_had_another_name_is_computed_again(filled: Lake, acme: Workspace) -> None:
    names = ["overlaps" if name == "updates_and_notes" else name for name in CHANGE_POINTS.schema.names]
    row = change(date(2026, 10, 1), updates_and_notes="begins") | {"workspace": "acme", "month": "2026-10"}
    old = pa.Table.from_pylist([row | {"as_of": date(2026, 10, 31)}], schema=CHANGE_POINTS.schema)
    old = old.rename_columns(names)
    filled.append(replace(CHANGE_POINTS, schema=old.schema), old)
    assert filled.read(CHANGE_POINTS)["updates_and_notes"].to_pylist() == [None]
    found = refresh_insights(filled, acme, now=NOW).rows[CHANGE_POINTS.name]
    rows = filled.read(CHANGE_POINTS)
    assert rows.schema.equals(CHANGE_POINTS.schema)
    assert rows.num_rows == found


@pytest.mark.soak
def test_a_refresh_keeps_the_rows_of_other_workspaces(filled: Lake, acme: Workspace) -> None:
    globex = replace(acme, id="globex")
    fill(filled, "globex", SyntheticProperty("sc-domain:globex.com", rows_a_day=60), WINDOW)
    theirs = refresh_insights(filled, globex, now=NOW)
    mine = refresh_insights(filled, acme, now=NOW)
    for table in INSIGHTS:
        rows = filled.read(table).column("workspace").to_pylist()
        assert rows.count("globex") == theirs.rows[table.name]
        assert rows.count("acme") == mine.rows[table.name]
    assert not refresh_insights(filled, globex, now=NOW).changed


@pytest.mark.soak
def test_feeds_have_days_and_pages_but_no_queries_and_no_positions(filled: Lake, acme: Workspace) -> None:
    fill(filled, "acme", PROPERTY, WINDOW, search_types=("discover",))
    refresh_insights(filled, replace(acme, thresholds=Thresholds(significance=0, change_share=0)), now=NOW)
    daily = filled.read(DAILY_PERFORMANCE).to_pandas()
    feed = daily[daily["search_type"] == "DISCOVER"]
    assert len(feed) == len(WINDOW)
    assert feed["position"].isna().all()
    movers = filled.read(WINNERS_AND_LOSERS).to_pandas()
    moved = movers[movers["search_type"] == "DISCOVER"]
    assert set(moved["dimension"]) == {"page"}
    assert moved["position"].isna().all()
    assert set(filled.read(STRIKING_DISTANCE).column("search_type").to_pylist()) == {"WEB"}


def test_an_empty_lake_has_no_insights(lake: Lake, acme: Workspace) -> None:
    report = refresh_insights(lake, acme, now=NOW)
    assert report.as_of is None
    assert set(report.rows.values()) == {0}


@pytest.mark.soak
def test_insights_of_a_real_sync_match_the_ledger(world: World) -> None:
    acme = world.workspace()
    world.sync(acme)
    world.sync_more(acme)
    report = refresh_insights(world.lake, acme, now=world.now)
    assert report.rows[DAILY_PERFORMANCE.name] == 5
    coverage = world.lake.read(INDEX_COVERAGE).to_pandas()
    assert set(coverage["source"]) == {"inspections", "sitemaps"}
    assert coverage["is_problem"].any()
    with_errors = coverage[(coverage["source"] == "sitemaps") & coverage["is_problem"]]
    assert [Path(path).name for path in with_errors["item"]] == ["sitemap-news.xml"]
    assert not refresh_insights(world.lake, acme, now=world.now).changed


def test_rows_that_do_not_fit_the_table_are_rejected(refreshed: Lake) -> None:
    rows = refreshed.read(DAILY_PERFORMANCE).to_pandas()
    twice = rows.iloc[[0, 0]]
    with pytest.raises(ValueError, match="two rows"):
        as_table(DAILY_PERFORMANCE, twice, "acme", month_of="data_date")
    with pytest.raises(ValueError, match="no column clicks"):
        as_table(DAILY_PERFORMANCE, rows.drop(columns="clicks"), "acme", month_of="data_date")
    with pytest.raises(ValueError, match="clicks is missing in"):
        as_table(DAILY_PERFORMANCE, rows.assign(clicks=None), "acme", month_of="data_date")


def test_every_insight_has_the_schema_and_month_of_its_table(refreshed: Lake) -> None:
    for table in INSIGHTS:
        rows = refreshed.read(table)
        assert rows.schema.equals(table.schema)
        day = "data_date" if table in (DAILY_PERFORMANCE, CONTENT_GROUP_DAYS) else "as_of"
        assert rows["month"].to_pylist() == [month_of(one) for one in rows[day].to_pylist()]
        assert pa.types.is_string(rows.schema.field("workspace").type)
