"""Days by hour: hours sum to the day, only grow after the day is over, and follow the Pacific clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.simulator import (
    Facts,
    Property,
    Revised,
    Revision,
    Simulator,
    SyntheticProperty,
    visible_facts,
    visible_hours,
)
from gsc_pipeline.simulator.wire.hours import HourlyFacts, hours_of
from gsc_pipeline_tests.simulator.conftest import METRICS, NOON
from gsc_pipeline_tests.simulator.wire import Wire
from gsc_pipeline_tests.truth import hourly_site_truth, hourly_url_truth

ACME = "sc-domain:acme.example"
FINAL, GROWING, TODAY = date(2026, 11, 14), date(2026, 11, 19), date(2026, 11, 20)
SPRING_FORWARD, FALL_BACK = date(2026, 3, 8), date(2026, 11, 1)
HOURLY = {"dataState": "hourly_all", "rowLimit": 25_000}
LABELS = ("query", "page", "country", "device", "appearance")


def hourly(prop: Property, day: date, now: datetime = NOON, search_type: str = "web") -> HourlyFacts:
    hours = visible_hours(prop, search_type, day, now)
    assert hours is not None
    return hours


def cells(facts: Facts | None) -> dict[tuple[int, ...], list[int]]:
    """All metrics by the keys of facts."""
    sums: dict[tuple[int, ...], list[int]] = {}
    if facts is None:
        return sums
    keys = zip(*(getattr(facts, name).tolist() for name in LABELS), strict=True)
    values = zip(*(getattr(facts, name).tolist() for name in METRICS), strict=True)
    for key, row in zip(keys, values, strict=True):
        sums[key] = [old + new for old, new in zip(sums.get(key, [0] * len(row)), row, strict=True)]
    return sums


@pytest.mark.parametrize("day", [FINAL, GROWING, TODAY], ids=["final", "growing", "today"])
@pytest.mark.parametrize("search_type", ["web", "image", "discover", "googleNews"])
def test_the_hours_of_a_day_sum_to_the_day_in_every_fact(
    acme: SyntheticProperty, search_type: str, day: date
) -> None:
    whole = cells(visible_facts(acme, search_type, day, NOON))
    assert cells(hourly(acme, day, search_type=search_type).facts) == whole != {}


def test_the_numbers_of_every_hour_are_consistent(acme: SyntheticProperty) -> None:
    for day in (FINAL, GROWING, TODAY):
        facts = hourly(acme, day).facts
        assert all((getattr(facts, name) >= 0).all() for name in METRICS)
        assert (facts.impressions > 0).all()
        assert (facts.clicks <= facts.impressions).all()
        assert (facts.top_clicks <= facts.top_impressions).all()
        assert (facts.top_clicks <= facts.clicks).all()
        assert (facts.top_impressions <= facts.impressions).all()
        assert (facts.sum_top_position <= facts.sum_position).all()
        assert (facts.sum_top_position[facts.top_impressions == 0] == 0).all()


def test_a_revised_day_has_revised_hours(acme: SyntheticProperty) -> None:
    prop = Revised(acme, [Revision(FINAL, NOON, 0.8), Revision(GROWING, NOON, 1.3)])
    for day in (FINAL, GROWING):
        assert cells(hourly(prop, day).facts) == cells(visible_facts(prop, "web", day, NOON))
        assert cells(hourly(prop, day).facts) != cells(hourly(acme, day).facts)


def sums_by_hour(hours: HourlyFacts) -> np.ndarray[Any, Any]:
    """Clicks and impressions by hour."""
    measures = (getattr(hours.facts, name) for name in ("clicks", "impressions"))
    return np.stack([np.bincount(hours.hour, measure, len(hours.starts)) for measure in measures], axis=1)


def test_no_hour_is_shown_before_it_is_over(acme: SyntheticProperty) -> None:
    midnight = hours_of(GROWING)[0]
    for age in range(3, 30):
        sums = sums_by_hour(hourly(acme, GROWING, midnight + timedelta(hours=age)))
        assert (sums[age:] == 0).all()
        assert (sums[: max(age - 6, 0), 1] > 0).all()


def test_once_the_day_is_over_hours_only_grow(acme: SyntheticProperty) -> None:
    midnight = hours_of(GROWING)[0]
    before = np.zeros((24, 2))
    for age in range(27, 80):
        sums = sums_by_hour(hourly(acme, GROWING, midnight + timedelta(hours=age)))
        assert (sums >= before).all()
        before = sums
    assert (before[:, 1] > 0).all()


def test_hours_differ_in_traffic_but_not_in_click_through_rate(acme: SyntheticProperty) -> None:
    sums = sum(sums_by_hour(hourly(acme, FINAL - back * ONE_DAY)) for back in range(3))
    night, afternoon, evening = (sums[first:last].sum(axis=0) for first, last in ((1, 5), (12, 16), (18, 22)))
    assert night[1] < 0.4 * afternoon[1]
    rates = [clicks / impressions for clicks, impressions in (afternoon, evening, sums.sum(axis=0))]
    assert max(rates) < 1.2 * min(rates)


@pytest.mark.parametrize(
    ("day", "offsets", "number"),
    [
        (FINAL, ("-08:00", "-08:00"), 24),
        (SPRING_FORWARD, ("-08:00", "-07:00"), 23),
        (FALL_BACK, ("-07:00", "-08:00"), 25),
    ],
    ids=["24 hours", "23 hours", "25 hours"],
)
def test_a_day_has_the_hours_of_the_pacific_clock(
    acme: SyntheticProperty, day: date, offsets: tuple[str, str], number: int
) -> None:
    now = datetime(day.year, day.month, day.day, 20, tzinfo=UTC) + timedelta(days=5)
    hours = hours_of(day)
    texts = [hour.isoformat() for hour in hours]
    assert (texts[0], texts[-1]) == (f"{day}T00:00:00{offsets[0]}", f"{day}T23:00:00{offsets[1]}")
    assert len(set(texts)) == len(texts) == number
    assert all(
        after.astimezone(UTC) - before.astimezone(UTC) == timedelta(hours=1)
        for before, after in pairwise(hours)
    )
    with Wire.to(Simulator([acme], clock=lambda: now)) as wire:
        body = {"startDate": str(day), "endDate": str(day), **HOURLY, "dimensions": ["hour"]}
        rows = wire.query(ACME, **body)["rows"]
    assert [row["keys"] for row in rows] == [[text] for text in texts]


def test_the_repeated_hour_is_two_hours() -> None:
    assert [hour.isoformat() for hour in hours_of(FALL_BACK)[1:4]] == [
        "2026-11-01T01:00:00-07:00",
        "2026-11-01T01:00:00-08:00",
        "2026-11-01T02:00:00-08:00",
    ]


def answered(wire: Wire, first: date, last: date, dimensions: list[str], **body: Any) -> dict[Any, Any]:
    range_ = {"startDate": str(first), "endDate": str(last)}
    rows = wire.query(ACME, **range_, **HOURLY, dimensions=dimensions, **body).get("rows", [])
    return {
        tuple(row["keys"]): (
            row["impressions"],
            row["clicks"],
            round((row["position"] - 1) * row["impressions"]) if "position" in row else None,
        )
        for row in rows
    }


def test_by_hour_the_answer_has_the_expected_rows_by_property(wire: Wire, acme: SyntheticProperty) -> None:
    expected = {}
    for day in (FINAL, GROWING):
        for row in hourly_site_truth(hourly(acme, day)).to_pylist():
            assert row["starts_at"] == datetime.fromisoformat(row["hour"])
            expected[(row["hour"],)] = (row["impressions"], row["clicks"], row["sum_top_position"])
    answer = answered(wire, FINAL, FINAL, ["hour"]) | answered(wire, GROWING, GROWING, ["hour"])
    assert answer == expected
    assert len(answer) == 48


@pytest.mark.parametrize("day", [FINAL, TODAY], ids=["final", "today"])
def test_by_page_and_hour_the_answer_has_the_expected_rows_by_page(
    wire: Wire, acme: SyntheticProperty, day: date
) -> None:
    expected = {
        (row["url"], row["hour"]): (row["impressions"], row["clicks"], row["sum_position"])
        for row in hourly_url_truth(hourly(acme, day)).to_pylist()
    }
    assert answered(wire, day, day, ["page", "hour"]) == expected != {}


@pytest.mark.parametrize("by", [["country", "device"], ["query"]], ids=" ".join)
def test_by_hour_and_other_dimensions_the_answer_has_the_expected_rows(
    wire: Wire, acme: SyntheticProperty, by: list[str]
) -> None:
    table = hourly_site_truth(hourly(acme, FINAL), by=by)
    expected = {
        (row["hour"], *(row[name] for name in by)): (
            row["impressions"],
            row["clicks"],
            row["sum_top_position"],
        )
        for row in table.to_pylist()
    }
    assert answered(wire, FINAL, FINAL, ["hour", *by]) == expected != {}


def test_discover_and_google_news_have_hours_without_position(wire: Wire, acme: SyntheticProperty) -> None:
    table = hourly_site_truth(hourly(acme, FINAL, search_type="discover"))
    expected = {(row["hour"],): (row["impressions"], row["clicks"], None) for row in table.to_pylist()}
    assert answered(wire, FINAL, FINAL, ["hour"], type="discover") == expected != {}
    assert table["sum_top_position"].null_count == len(table)


def test_the_hours_of_a_day_on_the_wire_sum_to_the_day(wire: Wire) -> None:
    range_ = {"startDate": "2026-11-14", "endDate": "2026-11-20"}
    hours = wire.query(ACME, **range_, **HOURLY, dimensions=["hour"])["rows"]
    days = wire.query(ACME, **range_, dataState="all", dimensions=["date"])["rows"]
    sums: dict[str, float] = {}
    for row in hours:
        day = row["keys"][0][:10]
        sums[day] = sums.get(day, 0) + row["clicks"]
    assert sums == {row["keys"][0]: row["clicks"] for row in days}
    assert [row["keys"][0] for row in hours] == sorted(row["keys"][0] for row in hours)


def test_only_the_last_ten_days_have_hours(wire: Wire) -> None:
    days = {key[0][:10] for key in answered(wire, date(2026, 10, 1), TODAY, ["hour"])}
    assert days == {str(day) for day in Window.last_complete(10, TODAY + ONE_DAY)}
    assert answered(wire, date(2026, 11, 10), date(2026, 11, 10), ["hour"]) == {}


@pytest.mark.parametrize(
    ("style", "name"), [("discovery", "firstIncompleteHour"), ("guide", "first_incomplete_hour")]
)
def test_the_first_incomplete_hour_is_returned_if_the_range_includes_it(
    acme: SyntheticProperty, style: Any, name: str
) -> None:
    with Wire.to(Simulator([acme], clock=lambda: NOON, metadata_style=style)) as wire:
        range_ = {"startDate": "2026-11-14", **HOURLY, "dimensions": ["hour"]}
        reaching = wire.query(ACME, **range_, endDate="2026-11-18")
        assert reaching["metadata"] == {name: "2026-11-18T00:00:00-08:00"}
        assert "metadata" not in wire.query(ACME, **range_, endDate="2026-11-17")
