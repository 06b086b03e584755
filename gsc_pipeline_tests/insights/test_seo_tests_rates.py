"""How often SEO tests find effects that are not there, and effects that are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.insights.tests import false_alarms, power, results
from gsc_pipeline.insights.placebos import best_after, effective_number, least_history, t_quantile
from gsc_pipeline.insights.seo_tests import Result

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("freedom", "probability", "quantile"),
    [(1, 0.95, 12.7062), (2, 0.95, 4.3027), (5, 0.99, 4.0321), (30, 0.95, 2.0423), (1000, 0.95, 1.9623)],
)
def test_quantiles_are_those_of_students_t(freedom: float, probability: float, quantile: float) -> None:
    assert t_quantile(freedom, probability) == pytest.approx(quantile, rel=1e-3)


def test_overlapping_placebos_count_as_few() -> None:
    assert effective_number(1, 28) == 1
    assert 2 < effective_number(100, 28) < 5
    assert effective_number(400, 28) < effective_number(400, 14) < 20


def test_more_history_allows_longer_tests_and_less_than_needed_none() -> None:
    chosen = [best_after(np.ones(history), history, 365) for history in range(least_history(), 500, 10)]
    assert (chosen[0], chosen[-1]) == (14, 56)
    assert chosen == sorted(chosen)
    assert [best_after(np.ones(458), 458, days) for days in (14, 27, 28, 34, 100)] == [14, 21, 28, 28, 56]
    assert best_after(np.ones(100), 100, 100) == 14


def test_the_documented_rates_are_those_of_the_benchmark() -> None:
    documented = (ROOT / "docs/insights.md").read_text("utf-8").partition("**Error rates**")[2]
    rows = re.findall(r"^\|.*%.*\|$", documented.partition("<!-- columns")[0], re.MULTILINE)
    measured = (ROOT / "benchmarks/INSIGHTS.md").read_text("utf-8")
    assert len(rows) == 14
    assert [row for row in rows if row not in measured] == []


@pytest.mark.soak
@pytest.mark.parametrize(
    ("history", "after", "clicks"),
    [(458, 28, 200), (140, 28, 200), (252, 14, 50), (364, 56, 200), (458, 28, 1000), (458, 56, 20)],
)
def test_at_most_one_in_twenty_tests_without_an_effect_finds_one(
    history: int, after: int, clicks: float
) -> None:
    alarms, moved, unusable = false_alarms(results(history, after, clicks, runs=2000))
    assert alarms <= 0.05
    assert moved <= 0.02
    assert unusable <= 0.05


@pytest.fixture(scope="module")
def with_effect() -> list[Result]:
    """A thousand tests of 28 days with an effect of 15 %."""
    return list(results(458, 28, 200, effect=0.15, runs=1000))


@pytest.mark.soak
def test_four_in_five_effects_of_15_percent_are_found_in_28_days(with_effect: list[Result]) -> None:
    assert power(iter(with_effect)) >= 0.8


@pytest.mark.soak
def test_the_interval_holds_the_true_effect(with_effect: list[Result]) -> None:
    held = np.mean([one.interval[0] <= 0.15 <= one.interval[1] for one in with_effect])
    assert held >= 0.95
    assert np.mean([one.ratio.size for one in with_effect]) == pytest.approx(np.log(1.15), abs=0.01)
