"""The smoothing is that of statsmodels, and does what it says with gaps, odd days, new levels and returns."""

from __future__ import annotations

import numpy as np
import pytest

from gsc_pipeline.insights.exponential_smoothing import Parameters, States, first_days, grid, smooth
from gsc_pipeline.insights.rolling_origins import PARAMETERS
from gsc_pipeline_tests.insights.series import counts, expected_level

WEEKS = 20


def weeks_of(values: np.ndarray) -> np.ndarray:
    """Series of shape (days, series) or (days,) as (weeks, 7, series)."""
    return values.reshape(-1, 7, values.shape[1] if values.ndim == 2 else 1)


def logs(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = [counts(rng, expected_level(rng, WEEKS * 7, level)) for level in np.geomspace(20, 9000, 3)]
    return np.log1p(np.stack(values, axis=1))


def one(level: float, trend: float, season: float, damping: float) -> Parameters:
    return Parameters(*(np.array([value]) for value in (level, trend, season, damping)))


def next_week(states: States, week: int, series: int = 0) -> np.ndarray:
    """What is expected of a week without a trend, from the state before it."""
    expected: np.ndarray = states.level[week, 0, series] + states.season[week, :, 0, series]
    return expected


@pytest.mark.parametrize("at", range(0, len(PARAMETERS), 5))
def test_states_are_those_of_statsmodels(at: int) -> None:
    # Every process of `make test` imports this module, and statsmodels takes a second.
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    series = logs(1)
    ours = smooth(weeks_of(series), PARAMETERS)
    season = ours.season[0, :, at]
    for column in range(series.shape[1]):
        model = ETSModel(
            series[:, column],
            error="add",
            trend="add",
            damped_trend=True,
            seasonal="add",
            seasonal_periods=7,
            initialization_method="known",
            initial_level=ours.level[0, at, column],
            initial_trend=0.0,
            initial_seasonal=season[:, column],
        )
        sets = {
            "smoothing_level": PARAMETERS.of_level[at],
            "smoothing_trend": PARAMETERS.of_trend[at],
            "smoothing_seasonal": PARAMETERS.of_season[at],
            "damping_trend": PARAMETERS.damping[at],
        }
        theirs = model.smooth([sets[name] for name in model.param_names])
        week_ends = slice(6, None, 7)
        np.testing.assert_allclose(ours.level[1:, at, column], theirs.level[week_ends], rtol=0, atol=1e-9)
        np.testing.assert_allclose(ours.trend[1:, at, column], theirs.slope[week_ends], rtol=0, atol=1e-9)
        seasons = ours.season[1:, :, at, column].ravel()
        np.testing.assert_allclose(seasons, theirs.season, rtol=0, atol=1e-9)
        damped = PARAMETERS.damped(np.arange(1, 29))[:, at]
        ahead = ours.level[-1, at, column] + ours.trend[-1, at, column] * damped
        ahead += np.tile(ours.season[-1, :, at, column], 4)
        np.testing.assert_allclose(ahead, theirs.forecast(28), rtol=0, atol=1e-9)


def test_a_missing_day_is_one_that_came_as_expected() -> None:
    series = logs(2)
    expected = smooth(weeks_of(series), PARAMETERS)
    at = 7
    # The first day of week 10, as each set of parameters expects it.
    as_expected = (
        expected.level[10] + PARAMETERS.damping[:, None] * expected.trend[10] + expected.season[10, 0]
    )
    filled, missing = (np.repeat(series[:, :1], 1, axis=1) for _ in range(2))
    filled[70], missing[70] = as_expected[at, 0], np.nan
    for name in ("level", "trend"):
        states = [
            getattr(smooth(weeks_of(values), PARAMETERS), name)[11:, at] for values in (filled, missing)
        ]
        np.testing.assert_allclose(*states, rtol=0, atol=1e-12)


def test_days_before_the_first_change_nothing() -> None:
    series = logs(3)
    padded = np.concatenate([np.full((14, 3), np.nan), series])
    assert first_days(weeks_of(padded)).tolist() == [14, 14, 14]
    spread = np.full(3, 0.1)
    ours, later = (smooth(weeks_of(values), PARAMETERS, spread) for values in (series, padded))
    np.testing.assert_allclose(ours.level, later.level[2:], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.season, later.season[2:], rtol=0, atol=1e-12)


def test_each_series_is_smoothed_alone() -> None:
    series, spread = logs(4), np.array([0.3, 0.1, 0.1])
    together = smooth(weeks_of(series), PARAMETERS, spread)
    for column in range(3):
        alone = smooth(weeks_of(series[:, [column]]), PARAMETERS, spread[[column]])
        np.testing.assert_allclose(together.level[:, :, [column]], alone.level, rtol=0, atol=1e-12)


def test_an_odd_day_moves_the_level_little() -> None:
    series = np.full(WEEKS * 7, 5.0)
    series[100] = 0.0
    states = smooth(weeks_of(series), one(0.2, 0.0, 0.0, 0.9), np.array([0.05]))
    assert states.level[15, 0, 0] == pytest.approx(5.0, abs=0.2 * 3 * 0.05)


@pytest.mark.parametrize("size", [-0.5, 0.4])
def test_a_new_level_is_adopted_after_two_weeks(size: float) -> None:
    series = logs(5)[:, 2]
    series[70:] += size
    states = smooth(weeks_of(series), one(0.05, 0.0, 0.1, 0.9), np.array([0.1]))
    before, after = (next_week(states, week).mean() for week in (10, 12))
    assert after - before == pytest.approx(size, abs=0.12)


def test_one_week_is_no_new_level_and_a_level_that_was_left_is_restored_after_a_week() -> None:
    quiet = logs(6)[:, 2]
    parameters, spread = one(0.05, 0.0, 0.1, 0.9), np.array([0.1])
    usual = smooth(weeks_of(quiet), parameters, spread)
    for weeks, tolerance in ((1, 0.15), (2, 0.1), (4, 0.1)):
        dipped = quiet.copy()
        dipped[70 : 70 + 7 * weeks] -= 0.7
        states = smooth(weeks_of(dipped), parameters, spread)
        back = 11 + weeks
        assert next_week(states, back).mean() == pytest.approx(next_week(usual, back).mean(), abs=tolerance)


def test_a_grid_has_all_combinations() -> None:
    sets = grid((0.1, 0.2), ((0.0, 0.9), (0.1, 0.97)), (0.05,))
    assert len(sets) == 4
    assert sets.of_trend.tolist() == pytest.approx([0.0, 0.01, 0.0, 0.02])
    assert sets.of_season.tolist() == pytest.approx([0.045, 0.045, 0.04, 0.04])
    assert sets.damped(np.array([1, 2]))[:, 1].tolist() == pytest.approx([0.97, 0.97 + 0.97**2])
