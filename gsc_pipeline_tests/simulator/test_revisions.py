"""Late revisions: final days that change later, on the wire and in the facts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.simulator import (
    Facts,
    ReplayedProperty,
    Revised,
    Revision,
    Simulator,
    SimulatorError,
    SyntheticProperty,
    visible_facts,
)
from gsc_pipeline_tests.simulator.conftest import EXAMPLE_EXPORT, METRICS, NOON
from gsc_pipeline_tests.simulator.wire import Wire
from gsc_pipeline_tests.truth import site_truth

DAY = date(2026, 11, 10)
SOON, LATER = NOON + timedelta(hours=1), NOON + timedelta(hours=30)


def revised(prop: SyntheticProperty, *factors: float) -> Revised:
    return Revised(
        prop, [Revision(DAY, at, factor) for at, factor in zip((SOON, LATER), factors, strict=False)]
    )


def seen(prop: Revised, now: datetime, search_type: str = "web", day: date = DAY) -> Facts:
    facts = visible_facts(prop, search_type, day, now)
    assert facts is not None
    return facts


@pytest.mark.parametrize("search_type", ["web", "image", "video", "news", "discover", "googleNews"])
@pytest.mark.parametrize("factor", [0.3, 0.97, 1.04, 2.5])
def test_a_revised_day_is_scaled_and_every_fact_stays_consistent(
    acme: SyntheticProperty, search_type: str, factor: float
) -> None:
    facts = seen(revised(acme, factor), SOON, search_type)
    before = acme.facts(search_type, DAY)
    assert before is not None
    assert all((getattr(facts, name) >= 0).all() for name in METRICS)
    assert (facts.impressions > 0).all()
    assert (facts.clicks <= facts.impressions).all()
    assert (facts.top_clicks <= facts.top_impressions).all()
    assert (facts.top_clicks <= facts.clicks).all()
    assert (facts.top_impressions <= facts.impressions).all()
    assert (facts.sum_top_position <= facts.sum_position).all()
    assert (facts.sum_top_position[facts.top_impressions == 0] == 0).all()
    rounding = 2 * len(before) ** 0.5
    assert facts.impressions.sum() == pytest.approx(factor * before.impressions.sum(), abs=rounding)


def test_a_revision_applies_from_its_time_on_and_the_latest_one_wins(acme: SyntheticProperty) -> None:
    prop = revised(acme, 1.5, 0.5)
    first = seen(prop, SOON - timedelta(seconds=1)).impressions.sum()
    second, third = (seen(prop, now).impressions.sum() for now in (SOON, LATER))
    assert second == pytest.approx(1.5 * first, rel=0.02)
    assert third == pytest.approx(0.5 * first, rel=0.02)
    assert seen(prop, LATER, day=DAY - ONE_DAY).impressions.sum() == (
        seen(prop, NOON, day=DAY - ONE_DAY).impressions.sum()
    )


def test_a_day_revised_to_zero_has_no_data(acme: SyntheticProperty) -> None:
    assert visible_facts(revised(acme, 0.0), "web", DAY, SOON) is None


def test_on_the_wire_a_revision_applies_from_its_time_on(acme: SyntheticProperty) -> None:
    now = [NOON]
    prop = revised(acme, 1.1, 0.0)
    range_ = {"startDate": "2026-11-08", "endDate": "2026-11-12", "dimensions": ["date"], "dataState": "all"}
    table = {"startDate": "2026-11-10", "endDate": "2026-11-10", "dimensions": ["country", "device"]}
    with Wire.to(Simulator([prop], clock=lambda: now[0])) as wire:
        before = wire.query(acme.site_url, **range_)["rows"]
        wire.query(acme.site_url, **table)
        now[0] = SOON
        wire.headers = Wire(wire.url).headers
        after = wire.query(acme.site_url, **range_)["rows"]
        rows = wire.query(acme.site_url, **table)["rows"]
        now[0] = LATER
        wire.headers = Wire(wire.url).headers
        gone = wire.query(acme.site_url, **range_)["rows"]
        assert "rows" not in wire.query(acme.site_url, **table)
    revised_facts = seen(prop, SOON)
    changed = [new["keys"][0] for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [str(DAY)]
    assert after[2]["impressions"] == revised_facts.top_impressions.sum() > before[2]["impressions"]
    expected: dict[tuple[str, str], int] = {}
    for row in site_truth(revised_facts).to_pylist():
        key = (row["country"], row["device"])
        expected[key] = expected.get(key, 0) + row["impressions"]
    assert {tuple(row["keys"]): row["impressions"] for row in rows} == expected
    assert [row["keys"][0] for row in gone] == ["2026-11-08", "2026-11-09", "2026-11-11", "2026-11-12"]


def test_an_incomplete_day_can_be_revised(acme: SyntheticProperty) -> None:
    young = date(2026, 11, 19)
    prop = Revised(acme, [Revision(young, SOON, 2.0)])
    before, after = (
        seen(prop, at, day=young).impressions.sum() for at in (SOON - timedelta(seconds=1), SOON)
    )
    assert after == pytest.approx(2 * before, rel=0.05)


def test_any_property_can_be_revised() -> None:
    day = date(2026, 10, 5)
    original = ReplayedProperty.from_export(EXAMPLE_EXPORT, readers=["a@b.example"])
    prop = Revised(original, [Revision(day, NOON, 0.5)])
    assert (prop.site_url, prop.readers, prop.permission_level) == (
        original.site_url,
        original.readers,
        original.permission_level,
    )
    assert prop.days_shown(NOON.date()) == original.days_shown(NOON.date())
    whole = original.facts("web", day)
    assert whole is not None
    assert seen(prop, NOON, day=day).clicks.sum() == pytest.approx(whole.clicks.sum() / 2, rel=0.1)


def test_an_invalid_revision_is_an_error() -> None:
    with pytest.raises(SimulatorError, match="time zone"):
        Revision(DAY, datetime(2026, 11, 20), 1.1)
    with pytest.raises(SimulatorError, match="negative"):
        Revision(DAY, datetime(2026, 11, 20, tzinfo=UTC), -0.1)
