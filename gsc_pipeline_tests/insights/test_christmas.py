"""Days of Christmas say nothing about others, and are expected as a year before."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from gsc_pipeline.insights.christmas import change_a_year_before, is_christmas, without_christmas

FIRST = date(2025, 10, 1)


def usual(days: int) -> np.ndarray:
    """A business: 100 on weekdays and 40 on weekends, from 2025-10-01, a Wednesday."""
    weekday = (FIRST.weekday() + np.arange(days)) % 7
    return np.where(weekday < 5, 100.0, 40.0)


def test_christmas_is_left_out_in_every_year() -> None:
    values = without_christmas(np.ones(500), FIRST)
    for index, value in enumerate(values):
        assert np.isnan(value) == is_christmas(FIRST + timedelta(days=index))
    assert np.isnan(values).sum() == 18 * 2
    assert [is_christmas(day) for day in (date(2025, 12, 19), date(2025, 12, 20), date(2026, 1, 6))] == [
        False,
        True,
        True,
    ]
    assert not is_christmas(date(2026, 1, 7))


@pytest.mark.parametrize("day", [date(2026, 12, 25), date(2027, 1, 1)])
def test_a_day_is_expected_to_differ_as_its_counterpart_did(day: date) -> None:
    values = usual(450)
    place = (day.replace(year=day.year - 1) - FIRST).days
    # Christmas 2025 was a Thursday, New Year's Day 2026 too.
    values[place] = 30.0
    change = change_a_year_before(values, FIRST, day)
    assert change == pytest.approx(np.log(31 / 101), rel=0.05)


def test_a_usual_day_is_expected_as_usual() -> None:
    values = usual(450)
    assert change_a_year_before(values, FIRST, date(2026, 12, 27)) == pytest.approx(0)


def test_chance_is_no_change() -> None:
    values = np.random.default_rng(1).poisson(usual(450) / 10).astype("float64")
    changes = [change_a_year_before(values, FIRST, date(2026, 12, day)) for day in range(20, 32)]
    assert np.abs(np.array(changes, dtype=float)).mean() < 0.25


def test_nothing_is_known_without_the_year_before() -> None:
    values = usual(450)
    assert change_a_year_before(values[:60], FIRST, date(2025, 12, 25)) is None
    assert change_a_year_before(values[70:], FIRST + timedelta(days=70), date(2026, 12, 25)) is None
    values[(date(2025, 12, 25) - FIRST).days] = np.nan
    assert change_a_year_before(values, FIRST, date(2026, 12, 25)) is None
