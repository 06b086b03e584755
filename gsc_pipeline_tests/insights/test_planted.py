"""Insights find each case planted in synthetic sites, and nothing in a site without any."""

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
from gsc_pipeline.simulator import PlantedFinding, SyntheticProperty
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.planted import is_lost, is_new, must_be_found
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.world import World

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
    return lambda table: as_typed(lake.read(table, workspace=acme.id).to_pandas())


def as_typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without those by canonical query, which has the same cases."""
    return rows[rows["dimension"] != "canonical_query"] if "dimension" in rows else rows


@pytest.fixture(scope="module")
def planted() -> SyntheticProperty:
    return SyntheticProperty("sc-domain:acme.com", dips=[DIP], hard_texts=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, planted: SyntheticProperty) -> Found:
    return refreshed(tmp_path_factory.mktemp("planted"), workspace("acme"), planted)


def workspace(brand: str) -> Workspace:
    key = ServiceAccountFile(Path("nowhere.json"))
    return Workspace("acme", "Acme", key, None, (QueryType.WEB,), brand_terms=(brand,))


def plants(prop: SyntheticProperty, kind: str) -> list[PlantedFinding]:
    return [plant for plant in prop.plants if plant.pattern == kind and must_be_found(plant, LAST)]


def test_queries_in_striking_distance_are_found_with_their_pages_and_no_others(
    found: Found, planted: SyntheticProperty
) -> None:
    rows = found(STRIKING_DISTANCE)
    there = {(row.query, row.url) for row in rows.itertuples()}
    assert there == {(plant.query, plant.pages[0]) for plant in plants(planted, "striking_distance")}
    assert (rows["potential_clicks"] > 0).all()
    assert not rows["is_brand"].any()
    assert rows["position"].between(4, 20).all()


def test_queries_with_a_ctr_gap_are_found_with_their_pages(found: Found, planted: SyntheticProperty) -> None:
    rows = found(CTR_GAP)
    by_query = dict(zip(rows["query"], rows["url"], strict=True))
    wanted = [*plants(planted, "ctr_gap"), *plants(planted, "mild_ctr_gap")]
    expected = {plant.query: plant.pages[0] for plant in wanted}
    assert expected.items() <= by_query.items()
    # The planted queries raise the curve, so other queries may have small gaps too.
    largest = rows.drop_duplicates("query").head(len(expected))
    assert set(largest["query"]) == set(expected)
    assert (rows["gap_clicks"] > 0).all()
    assert (rows["ctr"] <= rows["expected_ctr"] / 2).all()


def test_cannibalised_queries_are_found_with_both_pages(found: Found, planted: SyntheticProperty) -> None:
    rows = found(CANNIBALISATION)
    there = {(row.query, row.url) for row in rows.itertuples()}
    wanted = plants(planted, "cannibalisation")
    assert there == {(plant.query, page) for plant in wanted for page in plant.pages}
    assert (rows["pages"] == 2).all()
    assert rows["hhi"].between(0.5, 0.6).all()


def test_decaying_pages_are_found_and_are_losers(found: Found, planted: SyntheticProperty) -> None:
    wanted = {plant.pages[0] for plant in plants(planted, "decay")}
    may = {plant.pages[0] for plant in planted.plants if plant.pattern == "decay"}
    rows = found(CONTENT_DECAY)
    previous = rows[rows["compared_with"] == "previous"]
    assert wanted <= set(previous["url"]) <= may
    movers = found(WINNERS_AND_LOSERS)
    pages = movers[(movers["dimension"] == "page") & movers["kind"].isin(("winner", "loser"))]
    assert wanted <= set(pages.loc[pages["kind"] == "loser", "item"])
    assert set(pages["item"]) <= may


def test_new_and_lost_items_are_found_by_query_and_by_page(found: Found, planted: SyntheticProperty) -> None:
    movers = found(WINNERS_AND_LOSERS)
    intermittent = plants(planted, "intermittent")
    for kind, of_kind in (
        ("new", [plant for plant in intermittent if is_new(plant, LAST)]),
        ("lost", [plant for plant in intermittent if is_lost(plant, LAST)]),
    ):
        rows = movers[movers["kind"] == kind]
        there = {(row.dimension, row.item) for row in rows.itertuples()}
        assert there == {("query", one.query) for one in of_kind} | {
            ("page", one.pages[0]) for one in of_kind
        }
        assert of_kind
        shown, not_shown = ("", "_before") if kind == "new" else ("_before", "")
        assert (rows[f"impressions{shown}"] >= 50).all()
        assert (rows[f"impressions{not_shown}"] == 0).all()


def test_a_day_with_hardly_any_impressions_is_the_only_anomaly(found: Found) -> None:
    rows = found(ANOMALIES)
    assert set(rows["data_date"]) == {DIP}
    assert set(rows["metric"]) >= {"clicks", "impressions"}
    assert (rows.loc[rows["metric"] != "position", "robust_z"] < -3.5).all()


def test_each_row_has_the_last_final_day_and_its_month(found: Found) -> None:
    for table in FINDINGS:
        rows = found(table)
        assert set(rows["as_of"]) == {LAST}
        assert set(rows["month"]) == {"2026-11"}
        assert not rows.duplicated([*table.keys]).any()


@pytest.mark.parametrize(
    "site_url",
    rest_in_soak(["sc-domain:plain.example", "https://www.plain.example/", "sc-domain:globex.example"]),
)
@pytest.mark.soak
def test_a_site_without_plants_has_empty_tables(tmp_path: Path, site_url: str) -> None:
    brand = site_url.split(":")[-1].split(".")[-2].strip("/")
    found = refreshed(tmp_path, workspace(brand), SyntheticProperty(site_url, plants=False))
    assert {table.name: len(found(table)) for table in FINDINGS} == {table.name: 0 for table in FINDINGS}


def test_the_parts_of_a_day_add_up_to_its_totals(found: Found) -> None:
    daily = found(DAILY_PERFORMANCE)
    for measure in ("clicks", "impressions"):
        parts = [daily[f"{part}_{measure}"] for part in ("brand", "non_brand", "anonymised")]
        assert (sum(parts) == daily[measure]).all()
        assert all((part > 0).all() for part in parts)
    provisional = set(daily.loc[~daily["is_final"], "data_date"])
    assert provisional == {LAST + ONE_DAY, LAST + 2 * ONE_DAY}


@pytest.mark.soak
def test_each_planted_case_is_found_after_a_real_sync(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=300)
    with World.serving(tmp_path, [prop]) as world:
        acme = replace(world.workspace(), brand_terms=("acme",))
        assert not world.sync(acme, world.last(95)).problems
        as_of = refresh_insights(world.lake, acme, now=world.now).as_of
        assert as_of is not None
        found: Found = lambda table: as_typed(world.lake.read(table).to_pandas())  # noqa: E731
    shown = [plant for plant in prop.plants if must_be_found(plant, as_of)]
    assert {plant.pattern for plant in shown} == {plant.pattern for plant in prop.plants}
    decays, movers = found(CONTENT_DECAY), found(WINNERS_AND_LOSERS)
    there = {
        "striking_distance": set(found(STRIKING_DISTANCE)["query"]),
        "ctr_gap": set(found(CTR_GAP)["query"]),
        "mild_ctr_gap": set(found(CTR_GAP)["query"]),
        "cannibalisation": set(found(CANNIBALISATION)["query"]),
    }
    for plant in shown:
        if plant.pattern == "decay":
            assert plant.pages[0] in set(decays["url"])
        elif plant.pattern == "intermittent":
            kind = "new" if is_new(plant, as_of) else "lost"
            assert {plant.query, plant.pages[0]} <= set(movers.loc[movers["kind"] == kind, "item"])
        else:
            assert plant.query in there[plant.pattern]
    assert set(movers["kind"]) >= {"new", "lost", "loser"}


def test_a_site_with_one_day_has_insights(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    prop = SyntheticProperty("sc-domain:young.example", rows_a_day=200)
    fill(lake, "acme", prop, Window(LAST, LAST + ONE_DAY))
    report = refresh_insights(lake, replace(workspace("young"), id="acme"), now=NOW)
    assert report.rows[DAILY_PERFORMANCE.name] == 1
    assert report.rows[CONTENT_DECAY.name] == report.rows[ANOMALIES.name] == 0
