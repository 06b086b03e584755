"""Four of five values are within the intervals, and the error is smaller than that of a naive forecast."""

from __future__ import annotations

import numpy as np
import pytest

from gsc_pipeline.insights.rolling_origins import DAYS_AHEAD, forecast
from gsc_pipeline_tests.insights.backtests import (
    REAL_EXPORT,
    Outcome,
    backtest,
    made,
    real,
    stacked,
    synthetic,
)

WEEK_OF_HUNDRED = np.array([120.0, 120, 110, 100, 90, 80, 80])


def is_calibrated(outcome: Outcome, least: float = 0.7, most: float = 0.9) -> bool:
    return least <= outcome.coverage.mean() <= most


def test_intervals_cover_and_the_error_beats_both_naive_forecasts() -> None:
    outcome = backtest(synthetic(210, seed=11))
    assert is_calibrated(outcome)
    assert outcome.below.mean() == pytest.approx(1 - outcome.coverage.mean() - outcome.below.mean(), abs=0.08)
    assert outcome.error.mean() < 0.9 * outcome.naive_error.mean()
    assert outcome.error.mean() < 0.9 * outcome.median_error.mean()
    assert abs(np.median(outcome.bias)) < 0.02


@pytest.mark.soak
def test_a_thousand_series() -> None:
    outcome = backtest(synthetic(1000, seed=12, missing=0.03))
    assert is_calibrated(outcome)
    assert outcome.error.mean() < 0.9 * min(outcome.naive_error.mean(), outcome.median_error.mean())
    for kind in {case.kind for case in outcome.cases}:
        of_kind = outcome.of(lambda case, kind=kind: case.kind == kind)
        assert is_calibrated(of_kind, most=0.96), kind
        assert of_kind.error.mean() < of_kind.naive_error.mean(), kind
    for least, most in ((20, 60), (60, 300), (300, 2000), (2000, 20_000)):
        of_level = outcome.of(lambda case, least=least, most=most: least <= case.level < most)
        assert is_calibrated(of_level), least
        assert of_level.error.mean() < of_level.naive_error.mean(), least


@pytest.mark.parametrize("metric", ["clicks", "impressions"])
def test_a_real_half_year(metric: str) -> None:
    if not REAL_EXPORT.is_dir():
        pytest.skip("the real export is not on this machine (../shared/data/search-console-export)")
    outcome = backtest(real()).of(lambda case: case.kind == metric)
    assert len(outcome.cases) == 34
    assert is_calibrated(outcome)
    assert outcome.error.mean() < 0.9 * outcome.naive_error.mean()
    assert outcome.error.mean() < outcome.median_error.mean()


@pytest.mark.parametrize("days", [56, 70])
def test_few_weeks_make_wide_intervals(days: int) -> None:
    outcome = backtest(synthetic(100, seed=13, kinds=("flat", "trend"), days=(days, days)))
    assert is_calibrated(outcome, most=0.95)
    assert outcome.error.mean() < outcome.naive_error.mean()


def test_a_step_two_weeks_ago_is_followed() -> None:
    outcome = backtest(synthetic(100, seed=14, kinds=("step two weeks ago",)))
    assert is_calibrated(outcome, most=0.95)
    assert outcome.error.mean() < 0.85 * outcome.naive_error.mean()
    assert np.abs(outcome.bias).mean() < 0.1


def test_holidays_that_are_over_are_forgotten() -> None:
    outcome = backtest(synthetic(100, seed=15, kinds=("holidays a month ago",)))
    assert is_calibrated(outcome, most=0.96)
    assert np.abs(outcome.bias).mean() < 0.1


def test_a_steep_trend_goes_on_for_a_while() -> None:
    outcome = backtest(synthetic(100, seed=16, kinds=("steep trend",)))
    assert is_calibrated(outcome)
    assert outcome.error.mean() < 0.85 * outcome.naive_error.mean()


def test_a_few_clicks_a_day() -> None:
    outcome = backtest(synthetic(100, seed=17, kinds=("flat",), levels=(1.5, 20)))
    assert is_calibrated(outcome)
    assert outcome.error.mean() < 0.9 * outcome.naive_error.mean()
    assert abs(np.median(outcome.bias)) < 0.06


def test_missing_days_are_not_zeros() -> None:
    with_gaps = synthetic(60, seed=18, kinds=("flat",), missing=0.15)
    outcome = backtest(with_gaps)
    assert is_calibrated(outcome)
    assert abs(np.median(outcome.bias)) < 0.02


def test_a_constant_week_is_repeated() -> None:
    ours = forecast(np.tile(WEEK_OF_HUNDRED, 20)[:, None])
    for values in (ours.expected, ours.low, ours.high):
        np.testing.assert_allclose(values[:, 0], np.tile(WEEK_OF_HUNDRED, 4), rtol=1e-6)


def test_zeros_stay_zero() -> None:
    ours = forecast(np.zeros((100, 1)))
    assert not ours.expected.any()
    assert not ours.low.any()
    assert not ours.high.any()


def test_a_weekday_without_any_clicks_stays_without() -> None:
    rng = np.random.default_rng(19)
    values = rng.poisson(np.tile([50.0, 50, 50, 50, 50, 10, 0], 30)).astype("float64")
    ours = forecast(values[:, None])
    assert (ours.expected[6::7] < 0.2).all()
    assert ours.expected[:5].mean() == pytest.approx(50, rel=0.1)


def test_growth_is_no_reason_for_a_negative_or_unordered_forecast() -> None:
    days = np.arange(150)
    extremes = [
        np.exp(days / 10),
        1e6 * np.exp(-days / 10),
        np.where(days < 75, 1e7, 0.0),
        np.where(days < 140, 0.0, 1e6),
        np.where(days % 7 == 3, 1e5, 0.0),
        np.where(days % 50 == 0, 1e5, 1.0),
        np.random.default_rng(20).pareto(0.5, 150) * 100,
    ]
    ours = forecast(np.stack(extremes, axis=1))
    assert np.isfinite(ours.high).all()
    assert (ours.low >= 0).all()
    assert (ours.low <= ours.expected).all()
    assert (ours.expected <= ours.high).all()


def test_far_days_are_less_certain_than_near_ones() -> None:
    ours = made(synthetic(60, seed=21, kinds=("trend",)))
    width = np.log((ours.high + 1) / (ours.low + 1)).mean(axis=1)
    assert width[-7:].mean() > 1.05 * width[:7].mean()


def test_intervals_follow_the_asymmetry_of_errors() -> None:
    rng = np.random.default_rng(22)
    values = 1000 * np.exp(-rng.exponential(0.3, (365, 20)))
    ours = forecast(values)
    below, above = np.log(ours.expected / ours.low), np.log(ours.high / ours.expected)
    assert (below > 1.3 * above).mean() > 0.9


def test_the_seasonal_naive_forecast_is_used_where_it_did_better() -> None:
    # The weekly pattern was reversed two months ago: smoothing takes longer to learn it than four weeks.
    rng = np.random.default_rng(23)
    steady = (
        1000
        * np.tile([1.4, 1.3, 1.2, 1.1, 1.0, 0.3, 0.2], 52)[:, None]
        * np.exp(rng.normal(0, 0.1, (364, 20)))
    )
    reversed_ = np.concatenate([steady[:308], steady[308:].reshape(8, 7, 20)[:, ::-1].reshape(56, 20)])
    assert forecast(reversed_).naive.mean() > 0.9
    assert not forecast(steady).naive.any()


def test_a_series_is_forecast_alike_alone_and_with_others() -> None:
    cases = synthetic(7, seed=24, missing=0.02)
    together = made(cases)
    for column, case in enumerate(cases):
        alone = forecast(stacked([case.past]))
        np.testing.assert_allclose(alone.high[:, 0], together.high[:, column], rtol=1e-9)


def test_a_year_is_used() -> None:
    (case,) = synthetic(1, seed=25, kinds=("flat",), days=(480, 480))
    whole, last = (forecast(case.past[-days:, None]) for days in (480, 364))
    np.testing.assert_array_equal(whole.expected, last.expected)


def test_a_known_change_of_single_days_is_expected_and_less_certain() -> None:
    (case,) = synthetic(1, seed=26, kinds=("flat",))
    change = np.zeros((DAYS_AHEAD, 1))
    change[5] = np.log(0.5)
    usual, changed = forecast(case.past[:, None]), forecast(case.past[:, None], change)
    assert changed.expected[5, 0] == pytest.approx(usual.expected[5, 0] / 2, rel=0.05)
    assert changed.high[5] / changed.low[5] > usual.high[5] / usual.low[5]
    np.testing.assert_array_equal(changed.high[6:], usual.high[6:])
