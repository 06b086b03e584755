"""Incomplete days: shown a few hours after their start, and growing until two days after their end."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.simulator import (
    Facts,
    Simulator,
    SyntheticProperty,
    first_incomplete_day,
    is_complete,
    visible_facts,
)
from gsc_pipeline_tests.simulator.conftest import METRICS
from gsc_pipeline_tests.simulator.wire import Wire

DAY = date(2026, 11, 18)
MIDNIGHT = datetime(2026, 11, 18, 8, tzinfo=UTC)
SPRING_FORWARD, FALL_BACK = date(2026, 3, 8), date(2026, 11, 1)


def cells(facts: Facts | None) -> dict[tuple[int, ...], list[int]]:
    """All metrics by (query, page, country, device)."""
    if facts is None:
        return {}
    keys = np.stack([facts.query, facts.page, facts.country, facts.device], axis=1).tolist()
    measures = np.stack([getattr(facts, name) for name in METRICS], axis=1).tolist()
    return {tuple(key): values for key, values in zip(keys, measures, strict=True)}


def test_every_fact_of_a_day_grows_until_it_is_final(acme: SyntheticProperty) -> None:
    final = cells(acme.facts("web", DAY))
    before: dict[tuple[int, ...], list[int]] = {}
    sizes = []
    for hour in range(0, 80):
        seen = cells(visible_facts(acme, "web", DAY, MIDNIGHT + timedelta(hours=hour)))
        for key, values in before.items():
            assert all(new >= old for new, old in zip(seen[key], values, strict=True))
        before = seen
        sizes.append(sum(values[1] for values in seen.values()))
    assert sizes[0] == sizes[2] == 0
    assert 0 < sizes[3] < sizes[23] < sizes[47] < sizes[71]
    assert sizes[71] < sizes[72] == sum(values[1] for values in final.values())
    assert before == final


def test_the_numbers_of_incomplete_days_are_consistent(acme: SyntheticProperty) -> None:
    for hour in range(3, 72, 6):
        facts = visible_facts(acme, "web", DAY, MIDNIGHT + timedelta(hours=hour))
        assert facts is not None
        assert (facts.clicks <= facts.impressions).all()
        assert (facts.top_clicks <= facts.top_impressions).all()
        assert (facts.top_clicks <= facts.clicks).all()
        assert (facts.top_impressions <= facts.impressions).all()
        assert (facts.sum_top_position <= facts.sum_position).all()
        assert (facts.impressions > 0).all()
        assert (facts.sum_top_position[facts.top_impressions == 0] == 0).all()


def test_reads_within_minutes_agree(acme: SyntheticProperty) -> None:
    noon = MIDNIGHT + timedelta(hours=12)
    once = visible_facts(acme, "web", DAY, noon)
    again = visible_facts(acme, "web", DAY, noon + timedelta(minutes=20))
    assert cells(once) == cells(again) != {}


@pytest.mark.parametrize(
    "day", [DAY, SPRING_FORWARD, FALL_BACK, SPRING_FORWARD - ONE_DAY, FALL_BACK - ONE_DAY]
)
def test_a_day_is_complete_48_hours_after_its_end_even_when_the_clocks_change(day: date) -> None:
    next_midnight = datetime.combine(day + ONE_DAY, datetime.min.time(), UTC)
    summer = SPRING_FORWARD <= day < FALL_BACK
    ends = next_midnight + timedelta(hours=7 if summer else 8) + timedelta(hours=48)
    assert is_complete(day, ends)
    assert not is_complete(day, ends - timedelta(seconds=1))


def test_the_first_incomplete_day_follows_the_last_complete_one() -> None:
    now = datetime(2026, 10, 28, tzinfo=UTC)
    while now < datetime(2026, 11, 8, tzinfo=UTC):
        first = first_incomplete_day(now)
        assert is_complete(first - ONE_DAY, now)
        assert not is_complete(first, now)
        now += timedelta(hours=1)


def test_on_the_wire_a_day_becomes_final_as_time_passes(acme: SyntheticProperty) -> None:
    now = [MIDNIGHT + timedelta(hours=20)]
    body = {"startDate": "2026-11-18", "endDate": "2026-11-18", "dimensions": ["date"], "dataState": "all"}
    with Wire.to(Simulator([acme], clock=lambda: now[0])) as wire:
        seen = []
        for hours in (0, 12, 24, 24):
            now[0] += timedelta(hours=hours)
            wire.headers = Wire(wire.url).headers
            seen.append(wire.query(acme.site_url, **body)["rows"][0]["impressions"])
    facts = acme.facts("web", DAY)
    assert facts is not None
    assert seen == sorted(set(seen))
    assert seen[-1] == facts.top_impressions.sum()
