"""Large properties: their size and shape, and what a request past the cap finds in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from gsc_pipeline.simulator import Facts, FiltersSee, LargeProperty, Simulator
from gsc_pipeline.simulator.facts import ANONYMIZED
from gsc_pipeline_tests.simulator.conftest import METRICS, NOON
from gsc_pipeline_tests.simulator.wire import Wire
from gsc_pipeline_tests.soak import in_soak, rest_in_soak
from gsc_pipeline_tests.truth import answer_truth

DAY = date(2026, 11, 10)
SITE = "sc-domain:large.example"
BY_PAGE = ["page", "query", "country", "device"]
BY_PROPERTY = ["query", "country", "device"]
CAP = 50_000


def day_of(rows_a_day: int, day: date = DAY) -> Facts:
    facts = LargeProperty(SITE, rows_a_day=rows_a_day).facts("web", day)
    assert facts is not None
    return facts


@pytest.mark.parametrize("rows", [60_000, 120_000, in_soak(250_000), in_soak(1_000_000)])
def test_a_day_has_about_the_given_number_of_rows_with_a_query(rows: int) -> None:
    facts = day_of(rows)
    named = facts.take(facts.query != ANONYMIZED)
    assert 0.9 * rows < len(named) < 1.1 * rows
    site = answer_truth(facts, BY_PROPERTY, by_page=False)
    assert CAP < len(site) < len(named)
    for smaller, larger in (
        ("clicks", "impressions"),
        ("top_clicks", "clicks"),
        ("top_impressions", "impressions"),
        ("top_clicks", "top_impressions"),
        ("sum_top_position", "sum_position"),
    ):
        assert (getattr(facts, smaller) <= getattr(facts, larger)).all()
    assert min(getattr(facts, name).min() for name in METRICS) >= 0
    anonymised = facts.impressions[facts.query == ANONYMIZED].sum() / facts.impressions.sum()
    assert 0.3 < anonymised < 0.6


def test_every_day_of_the_week_is_past_the_cap_in_both_tables() -> None:
    prop = LargeProperty(SITE, rows_a_day=60_000)
    for number in range(3, 10):
        facts = prop.facts("web", date(2026, 11, number))
        assert facts is not None
        assert (facts.query != ANONYMIZED).sum() > CAP
        assert len(answer_truth(facts, BY_PROPERTY, by_page=False)) > 0.95 * CAP


def test_the_same_arguments_give_the_same_numbers() -> None:
    one, two, other = day_of(60_000), day_of(60_000), day_of(60_000, date(2026, 11, 11))
    for field in fields(Facts):
        if field.name not in ("day", "search_type", "labels"):
            assert (getattr(one, field.name) == getattr(two, field.name)).all()
    assert len(one) != len(other)
    assert LargeProperty("sc-domain:b.example", rows_a_day=60_000).facts("web", DAY) is not None


def test_traffic_is_zipf_like_in_every_dimension() -> None:
    facts = day_of(120_000)
    rows = Counter[str](facts.labels.country[facts.country].tolist())
    shares = [count / len(facts) for _, count in rows.most_common()]
    assert len(rows) > 100
    assert 0.1 < shares[0] < 0.4
    assert shares[0] > 1.5 * shares[1] > 2 * shares[3]
    devices = np.bincount(facts.device) / len(facts)
    assert devices[1] > devices[0] > 5 * devices[2]
    for codes in (facts.query[facts.query != ANONYMIZED], facts.page):
        by_rows = np.sort(np.bincount(codes))[::-1]
        top = len(by_rows) // 100
        assert 0.25 < by_rows[:top].sum() / by_rows.sum() < 0.8


def test_folders_differ_in_size_and_pages_are_on_two_hosts() -> None:
    facts = day_of(60_000)
    parts = [urlsplit(page) for page in facts.labels.page]
    folders = Counter(part.path.split("/")[1] if part.path.count("/") > 1 else "" for part in parts)
    assert len(facts.labels.page) == len(set(facts.labels.page))
    assert len(folders) > 30
    assert folders.most_common(1)[0][1] > 5 * sorted(folders.values())[len(folders) // 2]
    assert {part.netloc for part in parts} == {"www.large.example", "shop.large.example"}
    assert 0 < folders[""] < 0.05 * len(parts)
    prefix = LargeProperty("https://www.one.example/shop/", rows_a_day=1_000).facts("web", DAY)
    assert prefix is not None
    assert all(page.startswith("https://www.one.example/shop/") for page in prefix.labels.page)


def rows_of(wire: Wire, dimensions: list[str], **body: Any) -> dict[tuple[str, ...], tuple[int, int]]:
    """All rows of an answer, page by page: clicks and impressions by key."""
    rows: dict[tuple[str, ...], tuple[int, int]] = {}
    on_day = {"startDate": str(DAY), "endDate": str(DAY), "rowLimit": 25_000, "dimensions": dimensions}
    while page := wire.query(SITE, **on_day, **body, startRow=len(rows)).get("rows"):
        rows |= {tuple(row["keys"]): (int(row["clicks"]), int(row["impressions"])) for row in page}
    return rows


@pytest.mark.parametrize("filters_see", rest_in_soak(["cut_rows", "every_row"]))
@pytest.mark.parametrize("dimensions", rest_in_soak([BY_PAGE, BY_PROPERTY]), ids=["by page", "by property"])
def test_the_devices_of_a_day_past_the_cap_together_hold_all_rows_or_only_the_cut_ones(
    dimensions: list[str], filters_see: FiltersSee
) -> None:
    prop = LargeProperty(SITE, rows_a_day=60_000, filters_see=filters_see)
    facts = prop.facts("web", DAY)
    assert facts is not None
    truth = {
        tuple(row[name] for name in dimensions): (row["clicks"], row["impressions"])
        for row in answer_truth(facts, dimensions, by_page="page" in dimensions).to_pylist()
    }
    united: dict[tuple[str, ...], tuple[int, int]] = {}
    with Wire.to(Simulator([prop], clock=lambda: NOON)) as wire:
        parent = rows_of(wire, dimensions)
        for device in ("DESKTOP", "MOBILE", "TABLET"):
            one = {"dimension": "device", "operator": "equals", "expression": device}
            leaf = rows_of(wire, dimensions, dimensionFilterGroups=[{"filters": [one]}])
            assert len(leaf) < CAP
            united |= leaf
    assert len(parent) == CAP < len(truth)
    assert parent.items() <= truth.items()
    last = min(clicks for clicks, _ in parent.values())
    assert sum(clicks == last for clicks, _ in truth.values()) > 1_000
    assert any(truth[key][0] == last for key in truth.keys() - parent.keys())
    assert united == (truth if filters_see == "every_row" else parent)
