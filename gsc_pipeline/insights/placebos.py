"""Compares two series around a day, and with every earlier day on which nothing was changed (placebos)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np

BEFORE = 56
"""Days before a start that it is compared with."""

AFTER = tuple(range(14, BEFORE + 1, 7))
"""Days since a start that may be compared: whole weeks."""

LEAST_PLACEBOS = 3.0
"""The fewest placebos, counted as if they did not overlap."""

_LEAST_KNOWN = 0.75
"""The share of a window's days that must be known."""

_SLOW = 0.8
"""How much of the differences between windows is slow drift, and not noise of single days.

Drift makes overlapping placebos more alike, so their effective number smaller. With 0.6, more than 5 % of
starts without an effect were called effects in `benchmarks/INSIGHTS.md`; with 1, fewer effects were found.
"""

_ANGLES = np.linspace(0, np.pi / 2, 20_001)


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Means of a day in all windows of `days` days; index 0 is the window that begins on the first day.

    Each weekday counts equally, whatever days are missing. `log` is NaN for a window without enough days or
    without a count. `chance` is the variance of `log` by the chance of counting alone.
    """

    log: np.ndarray
    chance: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, days: int) -> Self:
        """The windows of the series, in which NaN is a missing day."""
        is_weekday = np.arange(len(values)) % 7 == np.arange(7)[:, None]
        sums = _sums(np.nan_to_num(values) * is_weekday, days)
        known = _sums(~np.isnan(values) * is_weekday, days)
        is_good = (
            (known > 0).all(axis=0) & (known.sum(axis=0) >= _LEAST_KNOWN * days) & (sums.sum(axis=0) > 0)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            level = (sums / known).mean(axis=0)
            chance = (sums / known**2).sum(axis=0) / 49 / level**2
            log = np.log(level)
        return cls(np.where(is_good, log, np.nan), np.where(is_good, chance, np.nan))


def _sums(values: np.ndarray, days: int) -> np.ndarray:
    """For each row, the sums over `days` consecutive columns."""
    total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    summed: np.ndarray = total[:, days:] - total[:, :-days]
    return summed


@dataclass(frozen=True, slots=True)
class RatioChange:
    """A change of a logarithm at a start, judged by the same changes at earlier starts without a change.

    `spread` is its standard deviation by chance, `placebos` the earlier starts, `effective` their number if
    they did not overlap.
    """

    size: float
    spread: float
    placebos: int
    effective: float

    def margin(self, probability: float) -> float:
        """Changes by chance alone are smaller than this, in both directions, with the probability."""
        return self.spread * t_quantile(self.effective, probability)


def change_at(sizes: np.ndarray, chances: np.ndarray, start: int, after: int) -> RatioChange:
    """The change at index `start`, judged by all changes whose windows end before it.

    `sizes` holds the change at each start, `chances` its variance by counting; NaN where it is unknown. The
    mean of the placebos is taken to be zero, so that a trend of the ratio widens the interval. The part of
    their variance that counting does not explain is added to the counting variance of the start itself, which
    may have more or fewer clicks than its placebos.
    """
    earlier = slice(0, max(start - after + 1, 0))
    is_known = ~np.isnan(sizes[earlier])
    sizes_before, chances_before = sizes[earlier][is_known], chances[earlier][is_known]
    number = len(sizes_before)
    effective = effective_number(number, after) if number else 0.0
    other = max(float(np.mean(sizes_before**2) - np.mean(chances_before)), 0.0) if number else math.nan
    return RatioChange(float(sizes[start]), math.sqrt(other + float(chances[start])), number, effective)


def effective_number(placebos: int, after: int) -> float:
    """How many windows that do not overlap tell as much about the spread as so many consecutive ones."""
    alike = _likeness(after)
    share = np.clip(1 - np.arange(1, len(alike)) / placebos, 0, None)
    return float(placebos / (1 + 2 * np.sum(share * alike[1:] ** 2)))


def best_after(values: np.ndarray, start: int, days: int) -> int:
    """How many of the `days` since the index `start` to compare: those that make the narrowest interval.

    With more days there is less noise, but fewer placebos fit before the start. Only which days are known
    matters, not what they show, so nothing is chosen by its result.
    """
    known = np.where(np.isnan(values[:start]), np.nan, 1.0)
    expected = {}
    for after in AFTER:
        placebos = _placebos_in(known, after)
        if after <= days and placebos and effective_number(placebos, after) >= LEAST_PLACEBOS:
            freedom = effective_number(placebos, after)
            expected[after] = math.sqrt(1 / after + 1 / BEFORE) * t_quantile(freedom, 0.95)
    return min(expected, key=expected.__getitem__) if expected else AFTER[0]


@cache
def least_history() -> int:
    """The fewest days before a start with enough placebos."""
    shortest = AFTER[0]
    placebos = next(n for n in range(1, 10_000) if effective_number(n, shortest) >= LEAST_PLACEBOS)
    return BEFORE + shortest + placebos - 1


def t_quantile(freedom: float, probability: float) -> float:
    """The quantile of Student's t distribution: its amount is smaller than this with the probability."""
    # The density of the angle whose tangent is t / sqrt(freedom).
    density = np.cos(_ANGLES) ** max(freedom - 1, 0)
    mass = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    angle = np.interp(probability * mass[-1], mass, _ANGLES)
    return math.sqrt(freedom) * math.tan(angle)


def _placebos_in(history: np.ndarray, after: int) -> int:
    """The starts in the history with whole windows on both sides."""
    starts = len(history) - BEFORE - after + 1
    if starts < 1:
        return 0
    before, since = (Windows.of(history, days).log for days in (BEFORE, after))
    return int((~np.isnan(before[:starts] + since[BEFORE:])).sum())


@cache
def _likeness(after: int) -> np.ndarray:
    """The correlation of two changes by the days between their starts."""
    weights = np.concatenate([np.full(BEFORE, -1 / BEFORE), np.full(after, 1 / after)])
    return (1 - _SLOW) * _correlation(weights) + _SLOW * _correlation(np.cumsum(weights))


def _correlation(weights: np.ndarray) -> np.ndarray:
    products = np.correlate(weights, weights, "full")[len(weights) - 1 :]
    correlation: np.ndarray = products / products[0]
    return correlation
