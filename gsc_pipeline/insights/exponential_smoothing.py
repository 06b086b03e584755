"""Exponential smoothing of many daily series at once, with each of a few sets of parameters.

The model is that of Holt and Winters with a damped trend and a weekly season, all three additive:

    error   = value − (level + damping × trend + season of the weekday)
    level  ← level + damping × trend + of_level × error
    trend  ← damping × trend + of_trend × error
    season ← season of the weekday + of_season × error

A pass over the days gives the state at the end of every week, from which each week can be forecast as if
the later ones were not known yet. Arrays are ordered week, weekday, parameters, series, so that each step is
a few operations on a whole (parameters, series) array. Weeks end on the weekday of the last day.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from gsc_pipeline.insights.daily_series import WEEK

START_WEEKS = 4
"""The first weeks of a series, which the initial level and season are averaged from."""

CLIPPED_BEYOND = 3.0
"""Errors count at most this many spreads, so that an odd day moves the level little."""

SHIFTED_BEYOND = 2.0
"""Two weeks that both miss by this many spreads, in the same direction, are a new level."""

RETURNS_WITHIN = 8
"""Weeks in which a series may return to the level that it left."""

BACK_WITHIN = 1.5
"""It has returned with a week whose mean is within so many spreads of that level."""


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """Sets of smoothing parameters; each array has the shape (parameters,)."""

    of_level: np.ndarray
    of_trend: np.ndarray
    of_season: np.ndarray
    damping: np.ndarray

    def __len__(self) -> int:
        return len(self.of_level)

    def damped(self, days: np.ndarray) -> np.ndarray:
        """The sum damping + damping² + … up to each number of days; shape (days, parameters)."""
        powers = self.damping ** np.arange(1, int(days.max()) + 1)[:, None]
        sums: np.ndarray = powers.cumsum(axis=0)[days - 1]
        return sums


def grid(
    of_level: tuple[float, ...], trends: tuple[tuple[float, float], ...], of_season: tuple[float, ...]
) -> Parameters:
    """All combinations. A trend is its smoothing, as a share of the level's, and its damping.

    The season's smoothing is given as a share of what the level leaves.
    """
    sets = [
        (level, share * level, season * (1 - level), damping)
        for level, (share, damping), season in product(of_level, trends, of_season)
    ]
    return Parameters(*np.array(sets).T)


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """The state at the end of each week, from before the first.

    `level` and `trend` have the shape (weeks + 1, parameters, series), `season` (weeks + 1, 7, parameters,
    series).
    """

    level: np.ndarray
    trend: np.ndarray
    season: np.ndarray


def first_days(values: np.ndarray) -> np.ndarray:
    """The index of the first known day of each series; the number of days where there is none."""
    days = values.reshape(-1, values.shape[-1])
    known = np.isfinite(days)
    result: np.ndarray = np.where(known.any(axis=0), known.argmax(axis=0), len(days))
    return result


def smooth(values: np.ndarray, parameters: Parameters, spread: np.ndarray | None = None) -> States:
    """The states of the series `values`, of shape (weeks, 7, series), with each set of parameters.

    NaN is a missing day: the trend goes on, and nothing is learnt. `spread` (series,) is the usual deviation
    of a day; errors beyond three spreads are cut to three, and a new level of two weeks is adopted. Without
    `spread`, the recursion is the plain one.
    """
    weeks, _, series = values.shape
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    initial_level, initial_season = _initial(values)
    level = np.repeat(initial_level[None], len(parameters), axis=0)
    trend = np.zeros((len(parameters), series))
    season = np.repeat(initial_season[:, None], len(parameters), axis=1)
    states = States(
        np.empty((weeks + 1, *level.shape)),
        np.empty((weeks + 1, *level.shape)),
        np.empty((weeks + 1, *season.shape)),
    )
    of_level, of_trend, of_season, damping = (
        one[:, None]
        for one in (parameters.of_level, parameters.of_trend, parameters.of_season, parameters.damping)
    )
    most = None if spread is None else CLIPPED_BEYOND * spread
    shifts = None if spread is None else _Shifts(values, parameters, spread)
    error, step = np.empty_like(level), np.empty_like(level)
    for week in range(weeks + 1):
        if shifts is not None:
            shifts.adopt(week, states, level, trend, season)
        states.level[week], states.trend[week], states.season[week] = level, trend, season
        for day in range(WEEK if week < weeks else 0):
            trend *= damping
            level += trend
            np.subtract(filled[week, day], level, out=error)
            error -= season[day]
            error *= known[week, day]
            if most is not None:
                np.clip(error, -most, most, out=error)
            level += np.multiply(of_level, error, out=step)
            trend += np.multiply(of_trend, error, out=step)
            season[day] += np.multiply(of_season, error, out=step)
    return states


def _initial(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level (series,) and season (7, series) of the first weeks of each series."""
    age = np.arange(values[..., 0].size).reshape(*values.shape[:2], 1) - first_days(values)
    early = np.isfinite(values) & (age < WEEK * START_WEEKS)
    count = early.sum(axis=0)
    mean = np.where(early, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    level = mean.sum(axis=0) / np.maximum((count > 0).sum(axis=0), 1)
    return level, np.where(count > 0, mean - level, 0.0)


class _Shifts:
    """Finds new levels, and adopts them, at the end of each week.

    A slow level takes weeks to follow a step. Where each of the last two weeks misses what was forecast
    before both by more than SHIFTED_BEYOND spreads, in the same direction, the level moves by what they miss,
    and trend and season are again those of before. A week that is unlike the others is not enough.

    Where a week within RETURNS_WITHIN weeks is again on the level of before, that one is restored: the weeks
    between were holidays or an outage.
    """

    def __init__(self, values: np.ndarray, parameters: Parameters, spread: np.ndarray) -> None:
        self._known = np.isfinite(values).astype("float64")
        self._sums = np.where(np.isfinite(values), values, 0.0).sum(axis=1)
        self._counts = self._known.sum(axis=1)
        self._damped = parameters.damped(np.arange(1, 2 * WEEK + 1)).reshape(2, WEEK, -1)
        self._damping = parameters.damping[:, None]
        self._spread = spread
        # Not before two weeks after those that the initial state is made from.
        self._from = -(-first_days(values) // WEEK) + START_WEEKS + 2
        shape = (len(parameters), values.shape[-1])
        self._left = np.zeros(shape)
        self._left_season = np.zeros((WEEK, *shape))
        self._left_in = np.full(shape, -RETURNS_WITHIN - 1)

    def adopt(
        self, week: int, states: States, level: np.ndarray, trend: np.ndarray, season: np.ndarray
    ) -> None:
        """Change the state at the end of the week before `week`, in place, where the level is new."""
        if not (week >= self._from).any():
            return
        self._return(week, states, level, trend, season)
        before = week - 2
        first, second = (self._missed(before + ahead, ahead, before, states) for ahead in (0, 1))
        least = SHIFTED_BEYOND * self._spread
        is_new = (np.minimum(first, second) > least) | (np.maximum(first, second) < -least)
        is_new &= week >= self._from
        if not is_new.any():
            return
        counts = self._counts[before:week]
        moved = (first * counts[0] + second * counts[1]) / np.maximum(counts.sum(axis=0), 1)
        # The second week of a new level is found twice: by the state before the first, and by the one after.
        is_left = is_new & (week - self._left_in > 2)
        np.copyto(self._left, states.level[before], where=is_left)
        np.copyto(self._left_season, states.season[before], where=is_left)
        np.copyto(self._left_in, week, where=is_left)
        went_on = states.level[before] + states.trend[before] * self._damped[1, -1][:, None]
        np.copyto(level, went_on + moved, where=is_new)
        np.copyto(trend, states.trend[before] * self._damping ** (2 * WEEK), where=is_new)
        np.copyto(season, states.season[before], where=is_new)

    def _return(
        self, week: int, states: States, level: np.ndarray, trend: np.ndarray, season: np.ndarray
    ) -> None:
        """Restore the level that was left, where the last week is on it again."""
        recent = week - self._left_in <= RETURNS_WITHIN
        if not recent.any():
            return
        known, count = self._known[week - 1], self._counts[week - 1]
        expected = count * self._left + np.einsum("dps,ds->ps", self._left_season, known)
        from_left = np.abs(self._sums[week - 1] - expected) / np.maximum(count, 1)
        from_new = np.abs(self._missed(week - 1, 0, week - 1, states))
        is_back = (
            recent
            & (count > 0)
            & (from_left < BACK_WITHIN * self._spread)
            & (from_new > SHIFTED_BEYOND * self._spread)
        )
        np.copyto(level, self._left, where=is_back)
        np.copyto(trend, 0.0, where=is_back)
        np.copyto(season, self._left_season, where=is_back)
        np.copyto(self._left_in, -RETURNS_WITHIN - 1, where=is_back)

    def _missed(self, week: int, ahead: int, before: int, states: States) -> np.ndarray:
        """The mean error of a week's known days, from the state `before`; zero without known days."""
        known, count = self._known[week], self._counts[week]
        trend = states.trend[before] * np.einsum("dp,ds->ps", self._damped[ahead], known)
        season = np.einsum("dps,ds->ps", states.season[before], known)
        missed = self._sums[week] - count * states.level[before] - trend - season
        result: np.ndarray = missed / np.maximum(count, 1)
        return result
