"""Filters: each operator, and what they are applied to where the cap cuts an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from gsc_pipeline.simulator import (
    Facts,
    FiltersSee,
    ReplayedProperty,
    Revised,
    Revision,
    Simulator,
    SyntheticProperty,
)
from gsc_pipeline_tests.simulator.conftest import EXAMPLE_EXPORT, NOON
from gsc_pipeline_tests.simulator.wire import Wire
from gsc_pipeline_tests.truth import answer_truth, with_appearance

DAY = date(2026, 11, 10)
ON_DAY = {"startDate": "2026-11-10", "endDate": "2026-11-10", "rowLimit": 25_000}
BY_PAGE = ["page", "query", "country", "device"]
BY_PROPERTY = ["query", "country", "device"]
CAP = 600
BEHAVIOURS: tuple[FiltersSee, ...] = ("every_row", "cut_rows")

Key = tuple[str, ...]
Rows = dict[Key, tuple[int, int, int]]
Condition = tuple[str, str, str]


def named(filters_see: FiltersSee) -> SyntheticProperty:
    """The same property, but for what its filters see."""
    return SyntheticProperty("sc-domain:acme.example", rows_a_day=1_500, filters_see=filters_see)


@pytest.fixture(scope="module", params=BEHAVIOURS)
def filters_see(request: pytest.FixtureRequest) -> FiltersSee:
    behaviour: FiltersSee = request.param
    return behaviour


@pytest.fixture(scope="module")
def prop(filters_see: FiltersSee) -> SyntheticProperty:
    return named(filters_see)


@pytest.fixture(scope="module")
def capped(prop: SyntheticProperty) -> Iterator[Wire]:
    """The property with a cap of 600 rows a day."""
    with Wire.to(Simulator([prop], clock=lambda: NOON, most_rows_a_day=CAP)) as wire:
        yield wire


@pytest.fixture(scope="module")
def facts(prop: SyntheticProperty) -> Facts:
    found = prop.facts("web", DAY)
    assert found is not None
    return found


def where(*conditions: Condition) -> dict[str, Any]:
    names = ("dimension", "operator", "expression")
    filters = [dict(zip(names, condition, strict=True)) for condition in conditions]
    return {"dimensionFilterGroups": [{"groupType": "and", "filters": filters}]}


def answered(wire: Wire, dimensions: Sequence[str], *conditions: Condition, **body: Any) -> Rows:
    """Rows by key: clicks, impressions, zero-based position sum."""
    body = {**ON_DAY, "dimensions": list(dimensions), **where(*conditions), **body}
    rows = wire.query("sc-domain:acme.example", **body).get("rows", [])
    return {
        tuple(row["keys"]): (
            int(row["clicks"]),
            int(row["impressions"]),
            round((row["position"] - 1) * row["impressions"]),
        )
        for row in rows
    }


def true(facts: Facts, dimensions: Sequence[str], *, by_page: bool = True) -> Rows:
    """All rows of the day, without a cap."""
    return as_rows(answer_truth(facts, dimensions, by_page=by_page), dimensions)


def as_rows(table: pa.Table, dimensions: Sequence[str]) -> Rows:
    return {
        tuple(row[name] for name in dimensions): (row["clicks"], row["impressions"], row["sum_position"])
        for row in table.to_pylist()
    }


def matches(operator: str, value: str, expression: str) -> bool:
    tests: dict[str, Callable[[], bool]] = {
        "equals": lambda: value == expression,
        "contains": lambda: expression.lower() in value.lower(),
        "Regex": lambda: re.search(expression, value) is not None,
    }
    test = next(name for name in tests if name.lower() in operator.lower())
    return tests[test]() != operator.startswith(("not", "excluding"))


def keep(rows: Rows, dimensions: Sequence[str], *conditions: Condition) -> Rows:
    """The rows whose keys pass all conditions."""
    return {
        key: numbers
        for key, numbers in rows.items()
        if all(
            matches(operator, key[list(dimensions).index(name)], text) for name, operator, text in conditions
        )
    }


def summed(rows: Rows, places: Sequence[int]) -> Rows:
    sums: Rows = {}
    for key, numbers in rows.items():
        short = tuple(key[place] for place in places)
        old = sums.get(short, (0, 0, 0))
        sums[short] = (old[0] + numbers[0], old[1] + numbers[1], old[2] + numbers[2])
    return sums


def has_most_clicks(rows: Rows, among: Rows) -> bool:
    """Whether none of `among` that is left out has more clicks than a row."""
    left_out = [among[key][0] for key in among.keys() - rows.keys()]
    return not rows or not left_out or max(left_out) <= min(clicks for clicks, *_ in rows.values())


OPERATORS = ("equals", "notEquals", "contains", "notContains", "includingRegex", "excludingRegex")
EXPRESSIONS = {
    "country": ("usa", "u", "^(usa|gbr)$"),
    "device": ("MOBILE", "tab", "^(DESKTOP|TABLET)$"),
    "page": ("https://www.acme.example/", "/PRODUCTS/", r"^https://www\.acme\.example/guides(/|$|\?|#)"),
    "query": ("acme", "Tent", "^(best|cheap) "),
}
"""For each dimension, an expression for equals, contains and regular expressions."""


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dimension", EXPRESSIONS)
def test_each_operator_filters_each_dimension_after_or_before_the_cap(
    capped: Wire, facts: Facts, filters_see: FiltersSee, dimension: str, operator: str
) -> None:
    condition = (dimension, operator, EXPRESSIONS[dimension][OPERATORS.index(operator) // 2])
    rows = answered(capped, BY_PAGE, condition)
    passing = keep(true(facts, BY_PAGE), BY_PAGE, condition)
    assert passing
    if filters_see == "cut_rows":
        passing = keep(answered(capped, BY_PAGE), BY_PAGE, condition)
    assert len(rows) == min(CAP, len(passing))
    assert rows.items() <= passing.items()
    assert has_most_clicks(rows, passing)


def test_a_filter_reaches_rows_past_the_cap_only_where_filters_see_every_row(
    capped: Wire, facts: Facts, filters_see: FiltersSee
) -> None:
    for dimensions, by_page in ((BY_PAGE, True), (BY_PROPERTY, False)):
        parent = answered(capped, dimensions)
        whole = true(facts, dimensions, by_page=by_page)
        assert len(parent) == CAP < len(whole)
        leaf = answered(capped, dimensions, ("device", "equals", "DESKTOP"))
        new = leaf.keys() - parent.keys()
        assert bool(new) == (filters_see == "every_row")
        small = answered(capped, dimensions, ("device", "equals", "TABLET"))
        of_tablets = keep(whole, dimensions, ("device", "equals", "TABLET"))
        assert len(of_tablets) < CAP
        assert (small == of_tablets) == (filters_see == "every_row")


def test_an_and_group_of_several_filters_leaves_what_passes_all(
    capped: Wire, facts: Facts, filters_see: FiltersSee
) -> None:
    conditions: list[Condition] = [
        ("device", "equals", "MOBILE"),
        *(("country", "notEquals", country) for country in ("usa", "gbr", "deu")),
        ("page", "excludingRegex", r"^https://www\.acme\.example/(blog|help)(/|$|\?|#)"),
    ]
    source = true(facts, BY_PAGE) if filters_see == "every_row" else answered(capped, BY_PAGE)
    expected = keep(source, BY_PAGE, *conditions)
    assert 0 < len(expected) < CAP
    assert answered(capped, BY_PAGE, *conditions) == expected


def test_a_filter_by_a_dimension_that_is_not_grouped_by(
    capped: Wire, facts: Facts, filters_see: FiltersSee
) -> None:
    condition = ("page", "contains", "/guides/")
    wide = ["country", "device", "page"]
    rows = answered(capped, ["country", "device"], condition)
    all_rows = summed(keep(true(facts, wide), wide, condition), (0, 1))
    if filters_see == "every_row":
        assert rows == all_rows
    else:
        assert rows == summed(keep(answered(capped, wide), wide, condition), (0, 1))
        assert sum(n for _, n, _ in rows.values()) < sum(n for _, n, _ in all_rows.values())


def test_totals_without_query_and_page_are_whole_for_every_filter(capped: Wire, facts: Facts) -> None:
    dimensions = ["country", "device"]
    for aggregation in ("byProperty", "byPage"):
        whole = true(facts, dimensions, by_page=aggregation == "byPage")
        for condition in (("device", "equals", "MOBILE"), ("country", "notEquals", "usa")):
            rows = answered(capped, dimensions, condition, aggregationType=aggregation)
            assert rows == keep(whole, dimensions, condition) != {}


def test_a_filter_by_query_drops_anonymised_rows(capped: Wire, facts: Facts, filters_see: FiltersSee) -> None:
    named_clicks = sum(clicks for clicks, *_ in true(facts, ["query"], by_page=False).values())
    totals = answered(capped, ["device"], aggregationType="byProperty")
    filtered = answered(capped, ["device"], ("query", "includingRegex", ""), aggregationType="byProperty")
    kept = sum(clicks for clicks, *_ in filtered.values())
    assert kept == named_clicks if filters_see == "every_row" else 0 < kept <= named_clicks
    assert named_clicks < sum(clicks for clicks, *_ in totals.values()) == facts.top_clicks.sum()


def test_the_same_request_cuts_the_same_ties_and_pages_never_overlap(capped: Wire, facts: Facts) -> None:
    condition = ("device", "equals", "MOBILE")
    whole = answered(capped, BY_PAGE, condition)
    pages = [answered(capped, BY_PAGE, condition, rowLimit=70, startRow=start) for start in range(0, 700, 70)]
    assert [key for page in pages for key in page] == list(whole)
    clicks = sorted((numbers[0] for numbers in true(facts, BY_PAGE).values()), reverse=True)
    assert clicks[CAP - 1] == clicks[CAP]


def test_a_range_of_days_has_one_cap_before_or_after_the_filter(
    capped: Wire, filters_see: FiltersSee
) -> None:
    days = {"startDate": "2026-11-09", "endDate": "2026-11-10"}
    dimensions = ["date", "query", "country", "device"]
    parent = answered(capped, dimensions, **days)
    leaf = answered(capped, dimensions, ("device", "equals", "MOBILE"), **days)
    assert len(parent) == CAP
    assert {key[0] for key in leaf} == {"2026-11-09", "2026-11-10"}
    assert list(leaf) == sorted(leaf, key=lambda key: key[0])
    if filters_see == "cut_rows":
        assert leaf == keep(parent, dimensions, ("device", "equals", "MOBILE"))
    else:
        assert len(leaf) == CAP


def test_a_filter_by_search_appearance_applies_before_the_cap(capped: Wire, facts: Facts) -> None:
    shown = true(with_appearance(facts, "VIDEO"), ["query", "page"])
    assert 0 < len(shown) < CAP
    assert answered(capped, ["query", "page"], ("searchAppearance", "equals", "VIDEO")) == shown


@pytest.mark.parametrize("dimension", EXPRESSIONS)
def test_equals_is_case_sensitive_for_queries_and_pages_and_contains_never_is(
    capped: Wire, dimension: str
) -> None:
    dimensions = ["page", "country"] if dimension == "page" else ["query", "country", "device"]
    expression = EXPRESSIONS[dimension][0]
    same, swapped = (
        answered(capped, dimensions, (dimension, "equals", text))
        for text in (expression, expression.swapcase())
    )
    assert same
    assert (swapped == same) == (dimension in ("country", "device"))
    holding, swapped_holding = (
        answered(capped, dimensions, (dimension, "contains", text))
        for text in (expression, expression.swapcase())
    )
    assert holding == swapped_holding != {}


@pytest.mark.parametrize("filters_see", BEHAVIOURS)
def test_revised_and_replayed_properties_have_the_behaviour_too(filters_see: FiltersSee) -> None:
    revised = Revised(named(filters_see), [Revision(DAY, NOON, 1.5)])
    replayed = ReplayedProperty.from_export(EXAMPLE_EXPORT, until=DAY, filters_see=filters_see)
    simulator = Simulator([revised, replayed], clock=lambda: NOON, most_rows_a_day=50)
    with Wire.to(simulator) as wire:
        for prop in simulator.properties:
            shown = prop.days_shown(NOON.date())
            assert shown is not None
            day = {"startDate": str(min(shown.last, DAY)), "endDate": str(min(shown.last, DAY))}
            body = {**day, "rowLimit": 25_000, "dimensions": BY_PAGE}
            parent, leaf = (
                {tuple(row["keys"]) for row in wire.query(prop.site_url, **body, **more)["rows"]}
                for more in ({}, where(("device", "equals", "DESKTOP")))
            )
            assert len(parent) == 50
            assert (leaf <= parent) == (filters_see == "cut_rows")


def test_replacing_a_property_changes_what_its_filters_see() -> None:
    simulator = Simulator([named("every_row")], clock=lambda: NOON, most_rows_a_day=CAP)
    with Wire.to(simulator) as wire:
        parent = answered(wire, BY_PAGE)
        before = answered(wire, BY_PAGE, ("device", "equals", "MOBILE"))
        simulator.put(named("cut_rows"))
        after = answered(wire, BY_PAGE, ("device", "equals", "MOBILE"))
    assert len(before) == CAP
    assert after == keep(parent, BY_PAGE, ("device", "equals", "MOBILE"))
