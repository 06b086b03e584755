"""Search appearances, as the only dimension and as a filter with other dimensions."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.simulator import Facts, ReplayedProperty, SyntheticProperty
from gsc_pipeline_tests.simulator.conftest import EXAMPLE_EXPORT, REAL_EXPORT
from gsc_pipeline_tests.simulator.wire import Wire
from gsc_pipeline_tests.truth import appearance_truth, site_truth, url_truth, with_appearance

ACME = "sc-domain:acme.example"
DAY = date(2026, 11, 10)
ON_DAY = {"startDate": "2026-11-10", "endDate": "2026-11-10", "rowLimit": 25_000}
WORDS = {"PRODUCT_SNIPPETS", "REVIEW_SNIPPET", "TRANSLATED_RESULT", "VIDEO"}


@pytest.fixture(scope="module")
def facts(acme: SyntheticProperty) -> Facts:
    found = acme.facts("web", DAY)
    assert found is not None
    return found


def having(operator: str, expression: str) -> dict[str, Any]:
    filters = [{"dimension": "searchAppearance", "operator": operator, "expression": expression}]
    return {"dimensionFilterGroups": [{"filters": filters}]}


def answered(wire: Wire, **body: Any) -> dict[Any, Any]:
    rows = wire.query(ACME, **ON_DAY, **body).get("rows", [])
    return {
        tuple(row["keys"]): (
            row["impressions"],
            row["clicks"],
            round((row["position"] - 1) * row["impressions"]),
        )
        for row in rows
    }


def test_grouped_by_appearance_rows_are_counted_by_page(wire: Wire, facts: Facts) -> None:
    table = appearance_truth(facts)
    expected = {
        (row["search_appearance"],): (row["impressions"], row["clicks"], row["sum_position"])
        for row in table.to_pylist()
    }
    assert set(table["search_appearance"].to_pylist()) == WORDS
    assert answered(wire, dimensions=["searchAppearance"]) == expected
    answer = wire.query(ACME, **ON_DAY, dimensions=["searchAppearance"])
    assert answer["responseAggregationType"] == "byPage"


def test_a_fact_may_have_several_appearances_and_some_have_none(facts: Facts) -> None:
    number = facts.appearances().sum(axis=1)
    assert {0, 1, 2} <= set(number.tolist())


@pytest.mark.parametrize("word", sorted(WORDS))
def test_a_filter_by_appearance_returns_the_rows_that_have_it(wire: Wire, facts: Facts, word: str) -> None:
    expected: dict[Any, Any] = {}
    for row in url_truth(with_appearance(facts, word)).to_pylist():
        key = (row["url"], row["country"], row["device"])
        old = expected.get(key, (0, 0, 0))
        more = (row["impressions"], row["clicks"], row["sum_position"])
        expected[key] = tuple(one + other for one, other in zip(old, more, strict=True))
    body = {"dimensions": ["page", "country", "device"], **having("equals", word)}
    assert answered(wire, **body) == expected != {}


def test_a_filter_by_appearance_counts_by_page_without_the_page_dimension(wire: Wire, facts: Facts) -> None:
    few = with_appearance(facts, "VIDEO")
    answer = answered(wire, dimensions=["date"], **having("equals", "VIDEO"))
    assert answer == {("2026-11-10",): (few.impressions.sum(), few.clicks.sum(), few.sum_position.sum())}
    rows = answered(wire, dimensions=["query"], **having("equals", "VIDEO"))
    assert set(rows) == {(row["query"],) for row in url_truth(few).to_pylist() if row["query"]}
    by_property = answered(
        wire, dimensions=["date"], aggregationType="byProperty", **having("equals", "VIDEO")
    )
    assert by_property["2026-11-10",][0] == sum(site_truth(few)["impressions"].to_pylist())


def test_a_negative_filter_excludes_facts_that_have_the_appearance_among_others(
    wire: Wire, facts: Facts
) -> None:
    bit = facts.labels.appearance.tolist().index("PRODUCT_SNIPPETS")
    without = facts.take(~facts.appearances()[:, bit])
    answer = answered(wire, dimensions=["date"], **having("notEquals", "PRODUCT_SNIPPETS"))
    assert answer["2026-11-10",][0] == without.impressions.sum()


def test_a_filter_by_an_unknown_appearance_has_an_empty_answer(wire: Wire) -> None:
    assert answered(wire, dimensions=["page"], **having("equals", "RECIPE_FEATURE")) == {}


def test_discover_and_google_news_have_no_appearances(wire: Wire, acme: SyntheticProperty) -> None:
    facts = acme.facts("discover", DAY)
    assert facts is not None
    assert len(appearance_truth(facts)) == 0
    assert answered(wire, type="discover", dimensions=["searchAppearance"]) == {}


def replayed(folder: Path) -> tuple[ReplayedProperty, list[Facts]]:
    prop = ReplayedProperty.from_export(folder)
    shown = prop.days_shown(date(2100, 1, 1)) or Window.last_complete(1, DAY)
    return prop, [facts for day in shown if (facts := prop.facts("web", day)) is not None]


def test_a_replay_has_about_the_appearances_of_its_export(tmp_path: Path) -> None:
    for file in EXAMPLE_EXPORT.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    lines = [
        "Search Appearance,Clicks,Impressions,CTR,Position",
        "Product snippets,1500,37000,4%,2",
        "Review snippet,90,6000,1.5%,3",
        "Something new,9,90,10%,3",
        "Videos,10,1000,1%,3",
    ]
    (tmp_path / "Search appearance.csv").write_text("\n".join(lines), encoding="utf-8")
    _, many = replayed(tmp_path)
    sums = dict.fromkeys(("PRODUCT_SNIPPETS", "REVIEW_SNIPPET", "VIDEO"), 0)
    assert set(many[0].labels.appearance) == set(sums)
    for facts in many:
        for row in appearance_truth(facts).to_pylist():
            sums[row["search_appearance"]] += row["impressions"]
    assert 34_000 < sums["PRODUCT_SNIPPETS"] < 40_000
    assert 5_000 < sums["REVIEW_SNIPPET"] < 7_000
    assert 700 < sums["VIDEO"] < 1_300
    _, others = replayed(EXAMPLE_EXPORT)
    assert len(others[0].labels.appearance) == 0
    assert others[0].impressions.tolist() == many[0].impressions.tolist()


@pytest.mark.soak
def test_the_real_export_has_appearances() -> None:
    if not REAL_EXPORT.is_dir():
        pytest.skip("the real export is not on this machine (../shared/data/search-console-export)")
    prop = ReplayedProperty.from_export(REAL_EXPORT)
    facts = prop.facts("web", date(2024, 10, 1))
    assert facts is not None
    assert set(appearance_truth(facts)["search_appearance"].to_pylist()) <= WORDS
    assert facts.labels.appearance.tolist() == [
        "PRODUCT_SNIPPETS",
        "REVIEW_SNIPPET",
        "TRANSLATED_RESULT",
        "VIDEO",
    ]
