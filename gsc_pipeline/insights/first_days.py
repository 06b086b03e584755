"""The first day of a change of level: whether it is a step or a slope, its most likely day, an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsc_pipeline.insights.adjusted import Adjusted
from gsc_pipeline.insights.daily_series import WEEK
from gsc_pipeline.insights.weekly_model import Shape

SLOPE_DAYS = (10, 14, 21, 28, 42)
"""Days that a slope may take. What takes a week or less is a step."""

_LONGEST = {1: 28, 14: 42, 28: 42}
"""The longest slope that is tried, by the days of the shape that the weeks show."""

COVERAGE = 0.9
"""The probability that the first day is in its interval."""

LEAST_DAYS = 7
"""The fewest known days before and after the first day."""

_AROUND = 42
_STEP_WITHIN = 10
_SLOPE_WITHIN = 28

_STEPS = 0.75
"""The share of steps among changes that is assumed before a series is seen."""

_LEAST_NOISE = 0.02

_LINE = 0.15
"""The usual rise or fall of the logarithm over the days around a change, beside it."""


@dataclass(frozen=True, slots=True)
class FirstDay:
    """The most likely shape of a change, and the indices between which its first day lies."""

    shape: Shape
    earliest: int
    latest: int


def first_day(series: Adjusted, rough: Shape, after: int, before: int) -> FirstDay:
    """Places a change, of which weeks show `rough`, on a day.

    The level must not change otherwise from the index `after` to the index before `before`. Each day near it,
    as a step and as slopes of several lengths, gets a likelihood from the noise of the days around. The
    interval covers all of them, so it is wide where a step is hard to distinguish from a slope.
    """
    known = np.flatnonzero(series.is_known[:before])
    known = known[known >= after]
    from_, to = np.searchsorted(known, [rough.start, rough.end])
    days = known[max(from_ - _AROUND, 0) : to + _AROUND]
    if len(days) <= 2 * LEAST_DAYS + WEEK:
        return _unplaced(series, rough)
    first, last = int(days[LEAST_DAYS]), int(days[-LEAST_DAYS])
    middle = (rough.start + rough.end + 1) // 2
    starts = range(max(middle - _STEP_WITHIN, first), min(middle + _STEP_WITHIN, last) + 1)
    begins = range(max(rough.start - _SLOPE_WITHIN, first), min(rough.start + _SLOPE_WITHIN // 2, last) + 1)
    steps = [Shape(start) for start in starts if series.is_known[start]]
    slopes = [
        Shape(start, takes)
        for takes in SLOPE_DAYS
        for start in begins
        if takes <= _LONGEST[rough.days] and series.is_known[start] and start + takes - 1 <= last
    ]
    if not steps:
        return _unplaced(series, rough)
    every = [*steps, *slopes]
    likelihood = _log_likelihood(series, days, every)
    is_step = np.arange(len(every)) < len(steps)
    prior = np.where(is_step, _STEPS / len(steps), (1 - _STEPS) / max(len(slopes), 1))
    weight = prior * np.exp(likelihood - likelihood.max())
    likelier = is_step if 2 * weight[is_step].sum() >= weight.sum() else ~is_step
    best = every[int(np.argmax(weight * likelier))]
    earliest, latest = _interval(np.array([one.start for one in every]), weight)
    first_known = _known_before(series, min(earliest, best.start))
    return FirstDay(best, first_known, _known_after(series, max(latest, best.start)))


def _unplaced(series: Adjusted, rough: Shape) -> FirstDay:
    """A change with too few known days around it to say more than its week."""
    start = _known_after(series, rough.start)
    earliest = _known_before(series, max(rough.start - WEEK, 0))
    latest = _known_after(series, min(rough.start + WEEK, len(series.values) - 1))
    return FirstDay(Shape(start, rough.days), earliest, max(latest, start))


def _interval(starts: np.ndarray, weight: np.ndarray) -> tuple[int, int]:
    in_order = np.argsort(starts, kind="stable")
    share = np.cumsum(weight[in_order]) / weight.sum()
    outside = (1 - COVERAGE) / 2
    first, last = np.searchsorted(share, [outside, 1 - outside])
    return int(starts[in_order][first]), int(starts[in_order][last])


def _log_likelihood(series: Adjusted, days: np.ndarray, shapes: list[Shape]) -> np.ndarray:
    """The log-likelihood of each shape, added to a straight line and a weekly pattern.

    The noise of a day is correlated with that of the day before.
    """
    logs = series.logs[days]
    weekday = days[:, None] % WEEK == np.arange(WEEK)
    beside = np.column_stack([weekday, (days - days[0]) / len(days)]).astype("float64")
    starts = np.array([one.start for one in shapes])
    takes = np.array([one.days for one in shapes])
    columns = np.clip((days[:, None] - starts + 1) / takes, 0.0, 1.0)
    both = np.column_stack([beside, logs, columns])
    # One more observation: the line hardly rises. Otherwise a slope and a line that falls would fit a step.
    level_line = np.zeros((1, both.shape[1]))
    level_line[0, WEEK] = 1 / _LINE
    spread, correlation = np.full(len(days), 0.1), 0.3
    for _ in range(2):
        white = np.vstack([_whitened(both, spread, correlation), level_line])
        basis = np.linalg.qr(white[:, : WEEK + 1])[0]
        left = white[:, WEEK + 1 :]
        left = left - basis @ (basis.T @ left)
        y, shape = left[:, 0], left[:, 1:]
        lengths = np.maximum((shape**2).sum(axis=0), 1e-9)
        gain = (y @ shape) ** 2 / lengths
        best = int(np.argmax(gain))
        variance = max(float(y @ y - gain[best]) / max(len(days) - WEEK - 2, 1), 1e-12)
        fitted = np.column_stack([beside, columns[:, best]])
        fitted_white = np.column_stack([white[:, : WEEK + 1], white[:, WEEK + 2 + best]])
        size = np.linalg.lstsq(fitted_white, white[:, WEEK + 1], rcond=None)[0]
        rest = logs - fitted @ size
        chance = 1 / (np.exp(logs - rest) + 1) if series.is_count else np.zeros(len(days))
        spread = np.sqrt(max(float((rest**2 - chance).mean()), _LEAST_NOISE**2) + chance)
        even = rest / spread
        correlation = float(np.clip((even[1:] * even[:-1]).mean() / (even**2).mean(), 0.0, 0.8))
    result: np.ndarray = gain / (2 * variance) - np.log(lengths) / 2
    return result


def _whitened(columns: np.ndarray, spread: np.ndarray, correlation: float) -> np.ndarray:
    even = columns / spread[:, None]
    white: np.ndarray = even.copy()
    white[1:] = (even[1:] - correlation * even[:-1]) / np.sqrt(1 - correlation**2)
    return white


def _known_before(series: Adjusted, day: int) -> int:
    """The day, or the first of the unknown days before it."""
    while day > 0 and not series.is_known[day - 1]:
        day -= 1
    return day


def _known_after(series: Adjusted, day: int) -> int:
    """The day, or the next known one."""
    while day < len(series.is_known) - 1 and not series.is_known[day]:
        day += 1
    return day
