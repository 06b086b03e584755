"""Forecasts of four weeks for many daily series at once, each by the method that did better on it so far.

Every week of a series' past is an origin: what each method forecasts from the days up to it is compared with
the four weeks that followed. The parameters, the method and the intervals come from these errors alone. At
each origin parameters are chosen by the errors known by then, so the errors that methods and intervals are
judged by include the harm of a wrong choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsc_pipeline.insights.daily_series import WEEK
from gsc_pipeline.insights.exponential_smoothing import (
    START_WEEKS,
    Parameters,
    States,
    first_days,
    grid,
    smooth,
)
from gsc_pipeline.insights.forecast_intervals import interval, quantile
from gsc_pipeline.insights.measures import MAD_TO_DEVIATION

WEEKS_AHEAD = 4
DAYS_AHEAD = WEEK * WEEKS_AHEAD

MOST_WEEKS = 52
"""Weeks of the past that are used."""

PARAMETERS = grid(
    of_level=(0.05, 0.1, 0.2, 0.4),
    # Without a trend, and with one that halves in a week or in three.
    trends=((0.0, 0.9), (0.05, 0.9), (0.05, 0.97)),
    of_season=(0.05, 0.15),
)

KEPT_PER_WEEK = 0.85
"""The weight of a week's errors against those of the week after it, when parameters and method are chosen."""

NAIVE_IF_BELOW = 0.9
"""The seasonal naive forecast is used where its errors are less than this share of the smoothing's."""

ORIGINS = 26
"""The last origins whose errors make the intervals."""

FAR_OFF = 0.1
"""The least by which a last week that is far off differs from the expected next one, in logarithms."""

LEAST_OF_LAST_WEEK = 4
"""Days of the last week that must be known to call it far off."""

CHANGE_UNSURE = 0.3
"""How much of a known change of single days is added to both sides of their intervals."""

LEAST_SPREAD = 0.02
"""The least usual deviation of a day, so that a series without any is still followed."""

_DEVIATION = MAD_TO_DEVIATION / np.sqrt(2)
"""Scales the median absolute difference of two normal values to a standard deviation."""


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Forecasts of the 28 days after the last; arrays of shape (28, series), the last two (series,).

    A value is below `low` with a probability of 10 %, and above `high` too. `naive` is true where the method
    is seasonal naive, otherwise it is exponential smoothing. `last_week` is the last week against its
    forecast, less 1, where it is far off and the next one is not expected to be like it; otherwise NaN.
    """

    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray
    naive: np.ndarray
    last_week: np.ndarray


def forecast(values: np.ndarray, change: np.ndarray | None = None) -> Forecast:
    """Forecast the series `values` of counts, of shape (days, series); NaN is a missing day.

    All series end on the last row, and have at least eight weeks of known days. Zero is allowed. Works on
    log(1 + value), so that season and trend are multiplicative and no forecast is negative. `change`, of
    shape (28, series), is added to the logarithms of single days; part of it makes their intervals wider.
    """
    logs = np.log1p(_whole_weeks(values))
    spread = _spread(logs)
    origins = _Origins(logs)
    smoothed = origins.smoothed(PARAMETERS, spread)
    naive = np.repeat(_same_weekdays(logs)[:, None], WEEKS_AHEAD, axis=1)
    errors = [origins.errors(one) for one in (smoothed, naive)]
    of_smoothing, of_naive = (origins.recent_mean(np.abs(one)) for one in errors)
    by_naive = (of_naive < NAIVE_IF_BELOW * of_smoothing) & np.isfinite(naive).all(axis=(1, 2))
    chosen = np.where(by_naive[:, None, None], naive, smoothed)
    missed = np.where(by_naive[:, None, None], errors[1], errors[0])
    below, above = (np.repeat(one, WEEK, axis=0) for one in interval(missed[:-1][-ORIGINS:]))
    last_week = _far_off(missed[-2, 0], logs[-1] - chosen[-1, 0], below[0], above[0])
    middle = chosen[-1].reshape(DAYS_AHEAD, -1)
    if change is not None:
        middle = middle + change
        unsure = np.abs(change) * CHANGE_UNSURE
        below, above = below - unsure, above + unsure
    # Errors are about symmetric in logarithms, not in counts: a quarter more is as likely as a fifth less.
    # With the middle instead of the mean, sums over days would come out too low.
    mean = middle + np.minimum(spread**2 / 2, above)
    expected, low, high = (np.maximum(np.expm1(one), 0.0) for one in (mean, middle + below, middle + above))
    return Forecast(expected, low, high, by_naive[-1], last_week)


def _whole_weeks(values: np.ndarray) -> np.ndarray:
    """The last weeks, of shape (weeks, 7, series), filled with NaN at the beginning."""
    weeks = min(-(-len(values) // WEEK), MOST_WEEKS)
    used = values[-weeks * WEEK :]
    missing = np.full((weeks * WEEK - len(used), values.shape[1]), np.nan)
    return np.concatenate([missing, used]).reshape(weeks, WEEK, -1)


def _same_weekdays(logs: np.ndarray) -> np.ndarray:
    """The median of the last four same weekdays before each week, of shape (weeks + 1, 7, series)."""
    weeks, _, series = logs.shape
    before = np.concatenate([np.full((4, WEEK, series), np.nan), logs])
    last_four = np.stack([before[back : back + weeks + 1] for back in range(4)])
    return quantile(last_four, 0.5)


class _Origins:
    """The ends of all weeks of some series as origins; `logs` has the shape (weeks, 7, series).

    Forecasts and errors have the shape (weeks + 1, 4, 7, series): an origin is the number of weeks before it.
    """

    def __init__(self, logs: np.ndarray) -> None:
        self._logs = logs
        self._weeks = len(logs)
        self._filled = np.nan_to_num(logs)
        first = -(-first_days(logs) // WEEK) + START_WEEKS
        self._is_origin = np.arange(self._weeks + 1)[:, None] >= first

    def smoothed(self, parameters: Parameters, spread: np.ndarray) -> np.ndarray:
        """The forecasts by exponential smoothing, from each origin with the best parameters known by then."""
        states = smooth(self._logs, parameters, spread)
        damped = parameters.damped(np.arange(1, DAYS_AHEAD + 1)).reshape(WEEKS_AHEAD, WEEK, -1)
        best = self._losses(states, damped).argmin(axis=1)
        level, trend = (
            np.take_along_axis(of, best[:, None], axis=1)[:, 0] for of in (states.level, states.trend)
        )
        season = np.take_along_axis(states.season, best[:, None, None], axis=2)[:, :, 0]
        # damped[:, :, best] has the shape (4, 7, weeks + 1, series).
        trends = np.moveaxis(damped[:, :, best], 2, 0) * trend[:, None, None]
        result: np.ndarray = level[:, None, None] + trends + season[:, None]
        return result

    def _losses(self, states: States, damped: np.ndarray) -> np.ndarray:
        """The losses of parameters known at each origin, of shape (weeks + 1, parameters, series)."""
        known = np.isfinite(self._logs)
        losses = np.zeros((self._weeks, *states.level.shape[1:]))
        for ahead in range(min(WEEKS_AHEAD, self._weeks)):
            origins = self._weeks - ahead
            for day in range(WEEK):
                error = states.trend[:origins] * damped[ahead, day][:, None]
                error += states.level[:origins]
                error += states.season[:origins, day]
                error -= self._filled[ahead:, day][:, None]
                np.abs(error, out=error)
                error *= (known[ahead:, day] & self._is_origin[:origins])[:, None]
                losses[ahead:] += error
        return _discounted(losses)

    def errors(self, forecasts: np.ndarray) -> np.ndarray:
        """Value minus forecast, in logarithms; NaN where the value is missing or not known yet."""
        errors = np.full(forecasts.shape, np.nan)
        for ahead in range(min(WEEKS_AHEAD, self._weeks)):
            origins = self._weeks - ahead
            errors[:origins, ahead] = self._logs[ahead:] - forecasts[:origins, ahead]
        errors[~np.broadcast_to(self._is_origin[:, None, None], errors.shape)] = np.nan
        return errors

    def recent_mean(self, sizes: np.ndarray) -> np.ndarray:
        """The mean size of errors known at each origin, recent ones first, of shape (weeks + 1, series).

        Infinite where none is known.
        """
        is_known = np.isfinite(sizes)
        sums, counts = np.zeros((2, self._weeks, sizes.shape[-1]))
        for ahead in range(min(WEEKS_AHEAD, self._weeks)):
            origins = self._weeks - ahead
            sums[ahead:] += np.where(is_known, sizes, 0.0)[:origins, ahead].sum(axis=1)
            counts[ahead:] += is_known[:origins, ahead].sum(axis=1)
        sum_, count = _discounted(sums), _discounted(counts)
        return np.where(count > 0, sum_ / np.where(count > 0, count, 1), np.inf)


def _discounted(by_week: np.ndarray) -> np.ndarray:
    """Sums over the weeks before each origin, an earlier week with a smaller weight."""
    result = np.zeros((len(by_week) + 1, *by_week.shape[1:]))
    for week, found in enumerate(by_week):
        np.multiply(result[week], KEPT_PER_WEEK, out=result[week + 1])
        result[week + 1] += found
    return result


def _spread(logs: np.ndarray) -> np.ndarray:
    """The usual deviation of a day of each series, from the differences of days a week apart.

    It is that of the whole past, also when a forecast from an earlier origin is tried: only what counts as an
    odd day or a new level depends on it.
    """
    differences = np.abs(np.diff(logs, axis=0)).reshape(-1, logs.shape[-1])
    usual: np.ndarray = np.fmax(_DEVIATION * quantile(differences, 0.5), LEAST_SPREAD)
    return usual


def _far_off(missed: np.ndarray, next_: np.ndarray, below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """The mean error of a week, as a share, where it is beyond the interval of a day and goes unheeded.

    `missed` are the week's days less their forecast and `next_` less that of the next week, of shape
    (7, series), in logarithms. NaN for other series.
    """
    is_known = np.isfinite(missed).sum(axis=0) >= LEAST_OF_LAST_WEEK
    error, ahead = (_mean_of_known(one) for one in (missed, next_))
    is_below = (error < below) & (ahead < -FAR_OFF)
    is_above = (error > above) & (ahead > FAR_OFF)
    return np.where(is_known & (is_below | is_above), np.expm1(error), np.nan)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    mean: np.ndarray = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean
