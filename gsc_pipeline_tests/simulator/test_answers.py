"""The rows of an answer: sums, order, paging, filters, the cap, and which days are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.simulator import Facts, Simulator, SyntheticProperty
from gsc_pipeline.simulator.facts import ANONYMIZED
from gsc_pipeline.simulator.wire.answers import MOST_ROWS_A_DAY
from gsc_pipeline_tests.simulator.conftest import NOON
from gsc_pipeline_tests.simulator.wire import Wire
from gsc_pipeline_tests.truth import site_truth, url_truth

ACME = "sc-domain:acme.example"
DAY = date(2026, 11, 10)
ON_DAY = {"startDate": "2026-11-10", "endDate": "2026-11-10", "rowLimit": 25_000}
Key = tuple[str, ...]
Sums = tuple[int, int, int]


def answered(answer: dict[str, Any]) -> dict[Key, Sums]:
    """Rows by key: clicks, impressions, zero-based position sum."""
    rows = answer.get("rows", [])
    sums = {
        tuple(row["keys"]): (
            int(row["clicks"]),
            int(row["impressions"]),
            round((row["position"] - 1) * row["impressions"]),
        )
        for row in rows
    }
    assert len(sums) == len(rows)
    return sums


def true(
    facts: Facts, dimensions: list[str], *, by_page: bool, keep: Callable[[Key], bool] = bool
) -> dict[Key, Sums]:
    """The same, computed from each fact; `keep` filters by (query, page, country, device)."""
    labels = facts.labels
    prefix = "" if by_page else "top_"
    names = (f"{prefix}clicks", f"{prefix}impressions", "sum_position" if by_page else "sum_top_position")
    measures = [getattr(facts, name).tolist() for name in names]
    sums: dict[Key, Sums] = {}
    for place in range(len(facts)):
        query = "" if facts.query[place] == ANONYMIZED else labels.query[facts.query[place]]
        row = {
            "query": query,
            "page": labels.page[facts.page[place]],
            "country": labels.country[facts.country[place]],
            "device": labels.device[facts.device[place]],
        }
        if not measures[1][place] or ("query" in dimensions and not query) or not keep(tuple(row.values())):
            continue
        key = tuple(row[name] for name in dimensions)
        before = sums.get(key, (0, 0, 0))
        sums[key] = (
            before[0] + measures[0][place],
            before[1] + measures[1][place],
            before[2] + measures[2][place],
        )
    return sums


@pytest.fixture(scope="module")
def facts(acme: SyntheticProperty) -> Facts:
    found = acme.facts("web", DAY)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "dimensions",
    [["country"], ["device", "country"], ["query"], ["query", "country", "device"], ["country", "query"]],
    ids=" ".join,
)
def test_without_page_rows_are_counted_by_property(wire: Wire, facts: Facts, dimensions: list[str]) -> None:
    answer = wire.query(ACME, **ON_DAY, dimensions=dimensions)
    assert answer["responseAggregationType"] == "byProperty"
    assert answered(answer) == true(facts, dimensions, by_page=False)


@pytest.mark.parametrize(
    "dimensions", [["page"], ["page", "query"], ["query", "page", "country", "device"]], ids=" ".join
)
def test_with_page_rows_are_counted_by_page(wire: Wire, facts: Facts, dimensions: list[str]) -> None:
    answer = wire.query(ACME, **ON_DAY, dimensions=dimensions)
    assert answer["responseAggregationType"] == "byPage"
    assert answered(answer) == true(facts, dimensions, by_page=True)


def test_by_page_can_be_requested_without_the_page_dimension(wire: Wire, facts: Facts) -> None:
    answer = wire.query(ACME, **ON_DAY, dimensions=["country"], aggregationType="byPage")
    assert answered(answer) == true(facts, ["country"], by_page=True)


def test_with_a_filter_by_page_rows_are_counted_by_page(wire: Wire, facts: Facts) -> None:
    home = "https://www.acme.example/"
    answer = wire.query(ACME, **ON_DAY, dimensions=["country"], **where("page", "equals", home))
    assert answer["responseAggregationType"] == "byPage"
    assert answered(answer) == true(facts, ["country"], by_page=True, keep=lambda row: row[1] == home)


def where(dimension: str, operator: str, expression: str) -> dict[str, Any]:
    filters = [{"dimension": dimension, "operator": operator, "expression": expression}]
    return {"dimensionFilterGroups": [{"groupType": "and", "filters": filters}]}


@pytest.mark.parametrize(
    ("operator", "expression", "passes"),
    [
        ("equals", "acme", lambda query: query == "acme"),
        ("notEquals", "acme", lambda query: query != "acme"),
        ("contains", "TENT", lambda query: "tent" in query),
        ("notContains", "tent", lambda query: "tent" not in query),
        ("includingRegex", "^(best|cheap) ", lambda query: query.startswith(("best ", "cheap "))),
        ("excludingRegex", "mug|acme", lambda query: "mug" not in query and "acme" not in query),
    ],
)
def test_each_operator_filters_queries_and_excludes_anonymised_ones(
    wire: Wire, facts: Facts, operator: str, expression: str, passes: Callable[[str], bool]
) -> None:
    answer = wire.query(ACME, **ON_DAY, dimensions=["device"], **where("query", operator, expression))
    expected = true(facts, ["device"], by_page=False, keep=lambda row: bool(row[0]) and passes(row[0]))
    assert expected
    assert answered(answer) == expected


def test_all_filters_of_all_groups_must_hold(wire: Wire, facts: Facts) -> None:
    groups = [
        {"filters": [{"dimension": "country", "expression": "usa"}]},
        {"filters": [{"dimension": "device", "operator": "equals", "expression": "mobile"}]},
    ]
    answer = wire.query(ACME, **ON_DAY, dimensions=["country", "device"], dimensionFilterGroups=groups)
    assert list(answered(answer)) == [("usa", "MOBILE")]
    assert answered(answer) == true(
        facts, ["country", "device"], by_page=False, keep=lambda row: row[2:] == ("usa", "MOBILE")
    )


def test_numbers_are_floats_and_rates_are_computed_from_them(wire: Wire) -> None:
    raw = wire.post_query(ACME, **ON_DAY, dimensions=["query"]).data
    assert b'"clicks":0.0' in raw
    for row in wire.query(ACME, **ON_DAY, dimensions=["query"])["rows"]:
        assert list(row) == ["keys", "clicks", "impressions", "ctr", "position"]
        assert row["ctr"] == row["clicks"] / row["impressions"]
        assert row["position"] >= 1


def test_without_dimensions_there_is_one_row_without_keys(wire: Wire, facts: Facts) -> None:
    answer = wire.query(ACME, **ON_DAY)
    (row,) = answer["rows"]
    assert "keys" not in row
    assert row["clicks"] == facts.top_clicks.sum()
    assert row["impressions"] == facts.top_impressions.sum()
    assert round((row["position"] - 1) * row["impressions"]) == facts.sum_top_position.sum()


def test_an_empty_answer_has_no_rows_key(wire: Wire) -> None:
    answer = wire.query(ACME, startDate="2020-01-01", endDate="2020-01-31", dimensions=["date"])
    assert answer == {"responseAggregationType": "byProperty"}


def test_rows_are_sorted_by_clicks_in_the_same_order_every_time(wire: Wire) -> None:
    first = wire.query(ACME, **ON_DAY, dimensions=["query", "page"])["rows"]
    clicks = [row["clicks"] for row in first]
    assert clicks == sorted(clicks, reverse=True)
    assert wire.query(ACME, **ON_DAY, dimensions=["query", "page"])["rows"] == first


def test_ties_are_not_ordered_by_name(wire: Wire) -> None:
    rows = wire.query(ACME, **ON_DAY, dimensions=["query"])["rows"]
    tied = [row["keys"] for row in rows if row["clicks"] == 0]
    assert len(tied) > 100
    assert tied != sorted(tied)


def test_grouped_by_date_rows_are_sorted_by_date(wire: Wire, acme: SyntheticProperty) -> None:
    window = {"startDate": "2026-11-01", "endDate": "2026-11-10", "rowLimit": 25_000}
    rows = wire.query(ACME, **window, dimensions=["date"])["rows"]
    assert [row["keys"] for row in rows] == [[f"2026-11-{day:02}"] for day in range(1, 11)]
    for row in rows:
        day = acme.facts("web", date.fromisoformat(row["keys"][0]))
        assert day is not None
        assert row["clicks"] == day.top_clicks.sum()
    both = wire.query(ACME, **window, dimensions=["country", "date"])["rows"]
    dates = [row["keys"][1] for row in both]
    assert dates == sorted(dates)


def test_pages_of_an_answer_have_no_gap_and_no_overlap(wire: Wire) -> None:
    whole = wire.query(ACME, **ON_DAY, dimensions=["query", "page"])["rows"]
    pages = []
    for start in range(0, len(whole) + 300, 300):
        paged = {**ON_DAY, "rowLimit": 300, "startRow": start, "dimensions": ["query", "page"]}
        pages += wire.query(ACME, **paged).get("rows", [])
    assert pages == whole
    assert "rows" not in wire.query(ACME, **{**ON_DAY, "startRow": len(whole)}, dimensions=["query", "page"])


def test_the_default_row_limit_is_1_000(wire: Wire) -> None:
    body = {"startDate": "2026-11-10", "endDate": "2026-11-10", "dimensions": ["query", "page", "country"]}
    assert len(wire.query(ACME, **body)["rows"]) == 1_000


def test_discover_and_google_news_have_no_position_and_count_by_page(
    wire: Wire, acme: SyntheticProperty
) -> None:
    for name, dimensions in (("discover", ["country"]), ("googleNews", ["country", "device"])):
        answer = wire.query(ACME, **ON_DAY, type=name, dimensions=dimensions)
        facts = acme.facts(name, DAY)
        assert facts is not None
        assert answer["responseAggregationType"] == "byPage"
        assert all("position" not in row for row in answer["rows"])
        assert sum(row["impressions"] for row in answer["rows"]) == facts.impressions.sum()


@pytest.fixture(scope="module")
def large() -> SyntheticProperty:
    return SyntheticProperty("https://www.large.example/", rows_a_day=80_000, plants=False)


@pytest.fixture(scope="module")
def large_wire(large: SyntheticProperty) -> Iterator[Wire]:
    with Wire.to(Simulator([large], clock=lambda: NOON)) as wire:
        yield wire


def test_the_50_000_rows_of_a_day_with_most_clicks_are_returned(
    large_wire: Wire, large: SyntheticProperty
) -> None:
    facts = large.facts("web", DAY)
    assert facts is not None
    dimensions = ["query", "page", "country", "device"]
    clicks = sorted(facts.clicks[facts.query != ANONYMIZED].tolist(), reverse=True)
    assert len(clicks) > MOST_ROWS_A_DAY == 50_000
    rows = []
    for start in (0, 25_000, 50_000, 75_000):
        body = {**ON_DAY, "startRow": start, "dimensions": dimensions}
        rows.append(large_wire.query(large.site_url, **body).get("rows", []))
    assert [len(page) for page in rows] == [25_000, 25_000, 0, 0]
    keys = {tuple(row["keys"]) for page in rows for row in page}
    assert len(keys) == 50_000
    assert [row["clicks"] for page in rows for row in page] == clicks[:50_000]


def test_a_range_of_days_by_page_or_query_has_one_cap(large_wire: Wire, large: SyntheticProperty) -> None:
    body = {"startDate": "2026-11-01", "endDate": "2026-11-10", "rowLimit": 25_000}
    dimensions = ["date", "query", "page", "country", "device"]
    rows: list[dict[str, Any]] = []
    for start in (0, 25_000, 50_000):
        found = large_wire.query(large.site_url, **body, startRow=start, dimensions=dimensions)
        rows += found.get("rows", [])
    assert len(rows) == 50_000
    by_date = large_wire.query(large.site_url, **body, dimensions=["date"])["rows"]
    assert sum(row["clicks"] for row in rows) < sum(row["clicks"] for row in by_date)


def answer_at(
    now: datetime, prop: SyntheticProperty, style: Any = "discovery", **body: Any
) -> dict[str, Any]:
    with Wire.to(Simulator([prop], clock=lambda: now, metadata_style=style)) as wire:
        return wire.query(prop.site_url, **body)


def test_final_data_ends_before_the_first_incomplete_day(wire: Wire) -> None:
    body = {"startDate": "2026-11-14", "endDate": "2026-11-25", "dimensions": ["date"]}
    final = [row["keys"][0] for row in wire.query(ACME, **body)["rows"]]
    everything = wire.query(ACME, **body, dataState="all")
    assert final == ["2026-11-14", "2026-11-15", "2026-11-16", "2026-11-17"]
    assert [row["keys"][0] for row in everything["rows"]] == [
        *final,
        "2026-11-18",
        "2026-11-19",
        "2026-11-20",
    ]
    assert everything["metadata"] == {"firstIncompleteDate": "2026-11-18"}


def test_the_guides_spelling_of_the_first_incomplete_date_can_be_chosen(acme: SyntheticProperty) -> None:
    body = {"startDate": "2026-11-14", "endDate": "2026-11-20", "dimensions": ["date"], "dataState": "all"}
    assert answer_at(NOON, acme, "guide", **body)["metadata"] == {"first_incomplete_date": "2026-11-18"}


@pytest.mark.parametrize(
    "body",
    [
        {"endDate": "2026-11-20", "dimensions": ["date"]},
        {"endDate": "2026-11-20", "dimensions": ["country"], "dataState": "all"},
        {"endDate": "2026-11-17", "dimensions": ["date"], "dataState": "all"},
    ],
    ids=["final only", "not by date", "range ends before"],
)
def test_otherwise_there_is_no_metadata(wire: Wire, body: dict[str, Any]) -> None:
    assert "metadata" not in wire.query(ACME, startDate="2026-11-14", **body)


def test_history_reaches_back_16_months(wire: Wire) -> None:
    rows = wire.query(ACME, startDate="2024-01-01", endDate="2026-11-20", dimensions=["date"])["rows"]
    assert rows[0]["keys"] == ["2025-07-20"]


def test_days_without_data_are_missing_not_zero() -> None:
    gap = date(2026, 11, 5)
    prop = SyntheticProperty("sc-domain:gap.example", rows_a_day=50, days_without_data=[gap])
    body = {"startDate": "2026-11-04", "endDate": "2026-11-06", "dimensions": ["date"]}
    rows = answer_at(NOON, prop, **body)["rows"]
    assert [row["keys"][0] for row in rows] == ["2026-11-04", "2026-11-06"]
    empty = SyntheticProperty("sc-domain:empty.example", rows_a_day=0)
    assert "rows" not in answer_at(NOON, empty, **body)


def test_the_expected_rows_of_the_tables_are_those_of_the_api(wire: Wire, facts: Facts) -> None:
    site, url = site_truth(facts), url_truth(facts)
    dimensions = ["query", "country", "device"]
    for table, by, name in (
        (site, dimensions, "sum_top_position"),
        (url, ["page", *dimensions], "sum_position"),
    ):
        without = [column for column in by if column != "query"]
        measures = ("clicks", "impressions", name)
        named: dict[Key, Sums] = {}
        totals: dict[Key, Sums] = {}
        for row in table.to_pylist():
            row["page"] = row.get("url")
            sums = tuple(row[measure] for measure in measures)
            assert row["is_anonymized_query"] == (row["query"] == "")
            if row["query"]:
                named[tuple(row[column] for column in by)] = sums
            key = tuple(row[column] for column in without)
            old = totals.get(key, (0, 0, 0))
            totals[key] = (old[0] + sums[0], old[1] + sums[1], old[2] + sums[2])
        assert answered(wire.query(ACME, **ON_DAY, dimensions=by)) == named
        assert answered(wire.query(ACME, **ON_DAY, dimensions=without)) == totals


def test_expected_rows_of_types_counted_by_page_are_null_where_google_returns_nothing(
    acme: SyntheticProperty,
) -> None:
    facts = acme.facts("discover", DAY)
    assert facts is not None
    table = site_truth(facts)
    assert table["device"].null_count == table["sum_top_position"].null_count == len(table) > 0
    assert set(table["query"].to_pylist()) == {""}
    assert set(table["is_anonymized_query"].to_pylist()) == {False}
    assert sum(table["impressions"].to_pylist()) == facts.impressions.sum()
    assert len(set(table["country"].to_pylist())) == len(table)


def test_replacing_a_property_changes_its_numbers_at_once(acme: SyntheticProperty) -> None:
    day = {"startDate": "2026-11-10", "endDate": "2026-11-10"}
    simulator = Simulator([acme], clock=lambda: NOON)
    with Wire.to(simulator) as wire:
        before = wire.query(ACME, **day)
        simulator.put(SyntheticProperty(ACME, rows_a_day=100))
        after = wire.query(ACME, **day)
    assert before["rows"][0]["clicks"] > after["rows"][0]["clicks"]


def test_days_after_today_are_never_returned(acme: SyntheticProperty) -> None:
    tomorrow = (NOON + timedelta(days=1)).date() + ONE_DAY
    body = {"startDate": NOON.date().isoformat(), "endDate": tomorrow.isoformat(), "dataState": "all"}
    rows = answer_at(NOON, acme, **body, dimensions=["date"])["rows"]
    assert [row["keys"][0] for row in rows] == ["2026-11-20"]


def test_hard_texts_are_unchanged_on_the_wire() -> None:
    prop = SyntheticProperty("sc-domain:hard.example", rows_a_day=200, hard_texts=True)
    facts = prop.facts("web", DAY)
    assert facts is not None
    answer = answer_at(NOON, prop, **ON_DAY, dimensions=["query", "page"])
    assert answered(answer) == true(facts, ["query", "page"], by_page=True)
    assert {"NaN", "two\nlines", "🏕️"} <= {row["keys"][0] for row in answer["rows"]}
