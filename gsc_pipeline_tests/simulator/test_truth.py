"""The expected rows of the two tables, for every search type, against the answers on the wire."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from gsc_pipeline.simulator import Simulator, SyntheticProperty, visible_facts
from gsc_pipeline_tests.simulator.conftest import NOON
from gsc_pipeline_tests.simulator.wire import Wire
from gsc_pipeline_tests.truth import site_truth, url_truth

QUERIED = ["web", "image", "video", "news"]
FEEDS = ["discover", "googleNews"]
DAYS = [date(2026, 11, 10), date(2026, 11, 19)]
"""A final day and one that still grows."""

Values = tuple[Any, ...]


def on(day: date, search_type: str, **body: Any) -> dict[str, Any]:
    both = {"startDate": day.isoformat(), "endDate": day.isoformat()}
    return {**both, "type": search_type, "dataState": "all", "rowLimit": 25_000, **body}


def answered(wire: Wire, prop: SyntheticProperty, body: dict[str, Any]) -> dict[Values, Values]:
    """Rows by key: clicks, impressions, zero-based position sum or None."""
    rows = wire.query(prop.site_url, **body).get("rows", [])
    return {
        tuple(row["keys"]): (
            int(row["clicks"]),
            int(row["impressions"]),
            round((row["position"] - 1) * row["impressions"]) if "position" in row else None,
        )
        for row in rows
    }


def expected(table: pa.Table, keys: list[str], *, named: bool) -> dict[Values, Values]:
    """The sums of the table's rows by these columns; with `named`, without anonymised rows."""
    sums: dict[Values, Values] = {}
    for row in table.to_pylist():
        if named and not row["query"]:
            continue
        key = tuple(row[name] for name in keys)
        clicks, impressions, position = sums.get(key, (0, 0, 0))
        more = row["sum_position" if "url" in row else "sum_top_position"]
        sums[key] = (
            clicks + row["clicks"],
            impressions + row["impressions"],
            None if more is None else position + more,
        )
    return sums


@pytest.mark.parametrize("day", DAYS, ids=str)
@pytest.mark.parametrize("search_type", QUERIED)
def test_answers_for_types_with_queries_are_the_expected_rows(
    wire: Wire, acme: SyntheticProperty, search_type: str, day: date
) -> None:
    facts = visible_facts(acme, search_type, day, NOON)
    assert facts is not None
    for table, first in ((site_truth(facts), []), (url_truth(facts), ["url"])):
        for named in (True, False):
            keys = [*first, *(["query"] if named else []), "country", "device"]
            dimensions = ["page" if key == "url" else key for key in keys]
            answer = answered(wire, acme, on(day, search_type, dimensions=dimensions))
            assert answer == expected(table, keys, named=named) != {}
        anonymised = [row["query"] for row in table.to_pylist() if row["is_anonymized_query"]]
        assert set(anonymised) == {""}


@pytest.mark.parametrize("day", DAYS, ids=str)
@pytest.mark.parametrize("search_type", FEEDS)
def test_discover_and_google_news_count_by_page_without_query_and_position(
    wire: Wire, acme: SyntheticProperty, search_type: str, day: date
) -> None:
    facts = visible_facts(acme, search_type, day, NOON)
    assert facts is not None
    where = ["country"] if search_type == "discover" else ["country", "device"]
    for table, first in ((site_truth(facts), []), (url_truth(facts), ["url"])):
        dimensions = ["page" if key == "url" else key for key in [*first, *where]]
        answer = answered(wire, acme, on(day, search_type, dimensions=dimensions))
        assert answer == expected(table, [*first, *where], named=False) != {}
        assert len(answer) == len(table)
        assert set(table["query"].to_pylist()) == {""}
        assert set(table["is_anonymized_query"].to_pylist()) == {False}
        assert table[-1].null_count == len(table)
        assert table["device"].null_count == (len(table) if search_type == "discover" else 0)


def test_if_google_news_refuses_device_rows_are_by_country(acme: SyntheticProperty) -> None:
    day = DAYS[0]
    facts = visible_facts(acme, "googleNews", day, NOON)
    assert facts is not None
    table = url_truth(facts, with_device=False)
    with Wire.to(Simulator([acme], clock=lambda: NOON, google_news_device=False)) as wire:
        filters = [{"dimension": "device", "expression": "MOBILE"}]
        for body in (
            {"dimensions": ["country", "device"]},
            {"dimensions": ["page", "country", "device"]},
            {"dimensions": ["page"], "dimensionFilterGroups": [{"filters": filters}]},
        ):
            refusal = wire.post_query(acme.site_url, **on(day, "googleNews", **body))
            assert (refusal.status, refusal.json()["error"]["errors"][0]["reason"]) == (
                400,
                "invalidParameter",
            )
            assert "device" in refusal.json()["error"]["message"]
        answer = answered(wire, acme, on(day, "googleNews", dimensions=["page", "country"]))
        assert wire.query(acme.site_url, **on(day, "web", dimensions=["device"]))["rows"]
    assert answer == expected(table, ["url", "country"], named=False)
    assert len(answer) == len(table) < len(url_truth(facts))
    assert table["device"].null_count == len(table)
    site = site_truth(facts, with_device=False)
    assert Counter(site["country"].to_pylist()).most_common(1)[0][1] == 1
    assert sum(site["clicks"].to_pylist()) == sum(table["clicks"].to_pylist()) == facts.clicks.sum()
