"""A series without its odd days: gaps filled, single outliers limited, weekdays estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsc_pipeline.insights.daily_series import WEEK
from gsc_pipeline.insights.measures import MAD_TO_DEVIATION

_WEEKS_OF_PATTERN = 9
_MEDIAN_DAYS = 15
_ODD_DEVIATIONS = 4.0
_LEAST_ODD = 0.2
_OFFSET = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Adjusted:
    """The days of a series, ready to be compared; all arrays have one element a day.

    `values` are without gaps: a missing or odd day has the value that its neighbours and its weekday suggest.
    `logs` are their logarithms (of counts, plus a half). `is_known` is false for days without a value of
    their own. Where `is_count`, chance moves values by the square root of what is expected.
    """

    values: np.ndarray
    logs: np.ndarray
    is_known: np.ndarray
    is_count: bool


def adjusted(values: np.ndarray, *, is_count: bool) -> Adjusted:
    """The days of a series; NaN are missing. At least four weeks must be known."""
    offset = _OFFSET if is_count else 0.0
    is_known = ~np.isnan(values)
    logs = _filled(np.log(np.where(is_known, values, 1.0) + offset), is_known)
    weekday = _weekday_pattern(logs)
    level = _running_median(logs - weekday)
    deviation = logs - weekday - level
    chance = 1 / (np.exp(level) + offset) if is_count else np.zeros(len(logs))
    spread = np.sqrt(np.maximum((MAD_TO_DEVIATION * np.median(np.abs(deviation))) ** 2, chance))
    is_odd = np.abs(deviation) > np.maximum(_ODD_DEVIATIONS * spread, _LEAST_ODD)
    estimated = is_odd | ~is_known
    logs = np.where(estimated, level + weekday, logs)
    likely = np.clip(np.exp(logs) - offset, np.nanmin(values), np.nanmax(values))
    whole = np.where(estimated, likely, values)
    return Adjusted(whole, logs, is_known, is_count)


def _moving_mean(days: np.ndarray) -> np.ndarray:
    """The mean of the seven days around each; at the ends, of the first and the last seven."""
    sums = np.concatenate(([0.0], np.cumsum(days)))
    means = (sums[WEEK:] - sums[:-WEEK]) / WEEK
    return np.pad(means, WEEK // 2, mode="edge")


def _filled(logs: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """The logarithms, with missing ones interpolated between days without weekday pattern."""
    if is_known.all():
        return logs
    at = np.arange(len(logs))
    rough = np.interp(at, at[is_known], logs[is_known])
    deviation = rough - _moving_mean(rough)
    weekdays = at % WEEK
    pattern = np.zeros(len(logs))
    for weekday in np.unique(weekdays[is_known]):
        pattern[weekdays == weekday] = np.median(deviation[is_known & (weekdays == weekday)])
    plain = logs - pattern
    result: np.ndarray = np.where(is_known, logs, np.interp(at, at[is_known], plain[is_known]) + pattern)
    return result


def _weekday_pattern(logs: np.ndarray) -> np.ndarray:
    """For each day the median deviation of its weekday from the week around it, over nine weeks."""
    days = len(logs)
    deviation = logs - _moving_mean(logs)
    at = np.arange(days)
    weeks = (days - at % WEEK + WEEK - 1) // WEEK
    wide = min(_WEEKS_OF_PATTERN, (int(weeks.min()) - 1) // 2 * 2 + 1)
    first = np.clip(at // WEEK - wide // 2, 0, weeks - wide)
    around = (first[:, None] + np.arange(wide)) * WEEK + (at % WEEK)[:, None]
    return _medians(deviation[around])


def _running_median(days: np.ndarray) -> np.ndarray:
    half = _MEDIAN_DAYS // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(days, half, mode="reflect"), _MEDIAN_DAYS)
    return _medians(windows)


def _medians(rows: np.ndarray) -> np.ndarray:
    """The median of each row of an odd number of values. To sort short rows is faster than np.median."""
    result: np.ndarray = np.sort(rows, axis=1)[:, rows.shape[1] // 2]
    return result
