"""On made-up sites each planted case is found and named; a site without any has empty tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    ANOMALIES,
    CANNIBALISATION,
    CONTENT_DECAY,
    CTR_GAP,
    DAILY_PERFORMANCE,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.simulator import Plant, SyntheticProperty
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.insights.filling import fill

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
LAST = date(2026, 11, 18)
WINDOW = Window(date(2026, 8, 16), date(2026, 11, 21))
YEAR_BEFORE = Window(date(2025, 10, 20), date(2025, 11, 25))
DIP = date(2026, 11, 10)
FINDINGS = (CTR_GAP, STRIKING_DISTANCE, CANNIBALISATION, CONTENT_DECAY, WINNERS_AND_LOSERS, ANOMALIES)

Found = Callable[[TableSpec], pd.DataFrame]


def refreshed(folder: Path, acme: Workspace, prop: SyntheticProperty) -> Found:
    lake = Lake(str(folder / "lake"))
    fill(lake, acme.id, prop, YEAR_BEFORE)
    fill(lake, acme.id, prop, WINDOW, provisional=2)
    report = refresh_insights(lake, acme, now=NOW)
    assert report.as_of == LAST
    assert report.rows[DAILY_PERFORMANCE.name] == len(WINDOW) + len(YEAR_BEFORE)
    return lambda table: lake.read(table, workspace=acme.id).to_pandas()


@pytest.fixture(scope="module")
def planted() -> SyntheticProperty:
    return SyntheticProperty("sc-domain:acme.com", dips=[DIP], hard_texts=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, planted: SyntheticProperty) -> Found:
    return refreshed(tmp_path_factory.mktemp("planted"), workspace("acme"), planted)


def workspace(brand: str) -> Workspace:
    key = ServiceAccountFile(Path("nowhere.json"))
    return Workspace("acme", "Acme", key, None, (QueryType.WEB,), brand_terms=(brand,))


def plants(prop: SyntheticProperty, kind: str) -> list[Plant]:
    return [plant for plant in prop.plants if plant.kind == kind and plant.shows_on(LAST)]


def test_queries_in_striking_distance_are_found_with_their_pages_and_no_others(
    found: Found, planted: SyntheticProperty
) -> None:
    rows = found(STRIKING_DISTANCE)
    there = {(row.query, row.url) for row in rows.itertuples()}
    assert there == {(plant.query, plant.pages[0]) for plant in plants(planted, "striking_distance")}
    assert (rows["potential_clicks"] > 0).all()
    assert not rows["is_brand"].any()
    assert rows["position"].between(4, 20).all()


def test_queries_at_a_ctr_gap_are_found_with_their_pages(found: Found, planted: SyntheticProperty) -> None:
    rows = found(CTR_GAP)
    by_query = dict(zip(rows["query"], rows["url"], strict=True))
    expected = {plant.query: plant.pages[0] for plant in plants(planted, "ctr_gap")}
    assert expected.items() <= by_query.items()
    # A query in striking distance is planted with few clicks for its place: the only others there may be.
    assert set(by_query) - set(expected) <= {p.query for p in plants(planted, "striking_distance")}
    assert rows.iloc[0]["query"] in expected
    assert (rows["gap_clicks"] > 0).all()
    assert (rows["ctr"] < rows["expected_ctr"] / 2).all()


def test_cannibalised_queries_are_found_with_both_pages(found: Found, planted: SyntheticProperty) -> None:
    rows = found(CANNIBALISATION)
    there = {(row.query, row.url) for row in rows.itertuples()}
    wanted = plants(planted, "cannibalisation")
    assert there == {(plant.query, page) for plant in wanted for page in plant.pages}
    assert (rows["pages"] == 2).all()
    assert rows["hhi"].between(0.5, 0.6).all()


def test_decaying_pages_are_found_among_the_losers_too(found: Found, planted: SyntheticProperty) -> None:
    wanted = {plant.pages[0] for plant in plants(planted, "decay")}
    may = {plant.pages[0] for plant in planted.plants if plant.kind == "decay"}
    rows = found(CONTENT_DECAY)
    previous = rows[rows["compared_with"] == "previous"]
    assert wanted <= set(previous["url"]) <= may
    movers = found(WINNERS_AND_LOSERS)
    pages = movers[movers["dimension"] == "page"]
    assert wanted <= set(pages.loc[pages["kind"] == "loser", "item"])
    assert set(pages["item"]) <= may


def test_a_day_on_which_the_site_was_hardly_seen_is_an_anomaly_and_no_other(found: Found) -> None:
    rows = found(ANOMALIES)
    assert set(rows["data_date"]) == {DIP}
    assert set(rows["metric"]) >= {"clicks", "impressions"}
    assert (rows.loc[rows["metric"] != "position", "robust_z"] < -3.5).all()


def test_each_row_says_until_when_it_looked(found: Found) -> None:
    for table in FINDINGS:
        rows = found(table)
        assert set(rows["as_of"]) == {LAST}
        assert set(rows["month"]) == {"2026-11"}
        assert not rows.duplicated([*table.keys]).any()


@pytest.mark.parametrize("site_url", ["sc-domain:plain.example", "https://www.plain.example/"])
def test_a_site_without_plants_has_empty_tables(tmp_path: Path, site_url: str) -> None:
    found = refreshed(tmp_path, workspace("plain"), SyntheticProperty(site_url, plants=False))
    assert {table.name: len(found(table)) for table in FINDINGS} == {table.name: 0 for table in FINDINGS}


def test_the_parts_of_a_day_sum_to_its_true_totals(found: Found) -> None:
    daily = found(DAILY_PERFORMANCE)
    for measure in ("clicks", "impressions"):
        parts = [daily[f"{part}_{measure}"] for part in ("brand", "non_brand", "anonymised")]
        assert (sum(parts) == daily[measure]).all()
        assert all((part > 0).all() for part in parts)
    provisional = set(daily.loc[~daily["is_final"], "data_date"])
    assert provisional == {LAST + ONE_DAY, LAST + 2 * ONE_DAY}


def test_a_young_site_has_tables_too(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    prop = SyntheticProperty("sc-domain:young.example", rows_a_day=200)
    fill(lake, "acme", prop, Window(LAST, LAST + ONE_DAY))
    report = refresh_insights(lake, replace(workspace("young"), id="acme"), now=NOW)
    assert report.rows[DAILY_PERFORMANCE.name] == 1
    assert report.rows[CONTENT_DECAY.name] == report.rows[ANOMALIES.name] == 0
