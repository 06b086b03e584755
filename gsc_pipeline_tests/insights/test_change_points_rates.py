"""How often change_points is right, on a thousand series of known truth; the docs name the same rates."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.insights.sections import RESULTS, section_of
from gsc_pipeline_tests.insights.change_trials import (
    WITHOUT_CHANGE,
    Trial,
    found_in,
    some_level,
    trials,
    usual,
)

DOCS = Path(__file__).parents[2] / "docs" / "insights.md"


def steps_of_thirty(seed: int, number: int) -> list[Trial]:
    """Steps of 30 %, up and down, at 100 to 20,000 clicks a day."""
    rng = np.random.default_rng(seed)
    every = []
    for at in range(number):
        level = 100 * 200 ** rng.random()
        every += trials(seed + at, 1, level, 0.3 if at % 2 else -0.3)
    return every


def check_steps(every: list[Trial]) -> None:
    found = [one for one in every if one.found]
    assert len(found) >= 0.95 * len(every)
    assert np.mean([abs(one.error) <= 3 for one in found]) >= 0.9
    assert np.mean([one.is_covered for one in found]) >= 0.85


def false_alarms_a_year(name: str, number: int) -> float:
    rng = np.random.default_rng(7)
    every = [WITHOUT_CHANGE[name](rng) for _ in range(number)]
    return sum(len(found_in(values)) for values in every) / sum(len(values) / 365 for values in every)


def test_steps_of_thirty_per_cent_are_found_within_three_days() -> None:
    check_steps(steps_of_thirty(100, 40))


def test_series_without_a_change_have_few() -> None:
    rng = np.random.default_rng(8)
    assert sum(len(found_in(usual(rng))) for _ in range(40)) <= 4


@pytest.mark.soak
def test_a_thousand_steps_are_found_within_three_days() -> None:
    check_steps(steps_of_thirty(10_000, 1000))


@pytest.mark.soak
@pytest.mark.parametrize("name", WITHOUT_CHANGE)
def test_false_alarms_are_rarer_than_one_in_three_years(name: str) -> None:
    assert false_alarms_a_year(name, 300) <= 0.3


@pytest.mark.soak
def test_intervals_hold_the_first_day_as_often_as_they_say() -> None:
    rng = np.random.default_rng(9)
    every: list[Trial] = []
    for at in range(1000):
        size, days = rng.choice([-0.4, -0.3, 0.3, 0.5]), rng.choice([1, 1, 1, 14, 21])
        every += trials(20_000 + at, 1, some_level(rng), size, int(days))
    assert 0.87 <= np.mean([one.is_covered for one in every if one.found]) <= 0.97


CONFIDENCES = (0.8, 0.9, 0.95, 0.99)


@pytest.fixture(scope="module")
def shares() -> dict[float, float]:
    """The share of series without a change in which one is found, by the confidence that it must have.

    A series with gaps has a model of its own, which is kept for the next search: so each is searched with
    all confidences before the next one.
    """
    rng = np.random.default_rng(10)
    every = [make(rng) for make in WITHOUT_CHANGE.values() for _ in range(100)]
    found = [[bool(found_in(values, one, 0.0)) for one in CONFIDENCES] for values in every]
    return dict(zip(CONFIDENCES, np.mean(found, axis=0).tolist(), strict=True))


@pytest.mark.soak
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_confidence_is_one_minus_the_share_of_series_without_a_change(
    shares: dict[float, float], confidence: float
) -> None:
    assert shares[confidence] <= 1.5 * (1 - confidence) + 0.005
    assert shares[confidence] >= 0.4 * (1 - confidence) - 0.005


def test_the_docs_name_the_rates_that_were_measured() -> None:
    measured = section_of(RESULTS.read_text(encoding="utf-8"), "changes").splitlines()
    section = DOCS.read_text(encoding="utf-8").split("\n## change_points\n")[1].split("\n## ")[0]
    marked = re.search(r"<!-- rates of changes -->\n(.*?)<!-- end -->", section, re.DOTALL)
    assert marked is not None
    rows = [line for line in marked[1].splitlines() if line.startswith("|") and "---" not in line]
    assert len(rows) > 10
    assert [row for row in rows if row not in measured] == []
