"""Synthetic daily series with a known truth: weekly pattern, trend, drift, correlated noise, odd days.

The noise is that of a real site's half year: around its weekdays the logarithm of clicks deviates by 0.04 to
0.10, correlated by 0.3 from day to day, and fortnights drift by a few per cent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Noise:
    """How a series deviates from its weekly pattern and trend; all but the last two are in logarithms."""

    daily: float = 0.06
    correlation: float = 0.35
    drift: float = 0.003
    odd_days: float = 0.015
    odd_size: float = 0.35


REAL = Noise()


def weekly_pattern(rng: np.random.Generator) -> np.ndarray:
    """Factors of the weekdays, Monday first, with a mean of 1: of a business, of a hobby, or nearly flat."""
    weekend = rng.choice([0.4, 0.85, 1.25])
    factors = np.array([1.05, 1.05, 1.03, 1.0, 0.92, weekend, weekend]) * rng.normal(1, 0.02, 7)
    pattern: np.ndarray = factors / factors.mean()
    return pattern


def expected_level(
    rng: np.random.Generator, days: int, level: float, *, yearly_growth: float = 0.0, noise: Noise = REAL
) -> np.ndarray:
    """The level of each day without weekdays: a trend, and a drift as a random walk."""
    trend = np.log1p(yearly_growth) * np.arange(days) / 365
    walk = np.cumsum(rng.normal(0, noise.drift, days))
    result: np.ndarray = level * np.exp(trend + walk)
    return result


def counts(rng: np.random.Generator, expected: np.ndarray, *, noise: Noise = REAL) -> np.ndarray:
    """Whole numbers around `expected`, whose first day is a Monday without weekly pattern of its own.

    Adds the weekly pattern, correlated noise, odd days and the chance of counting.
    """
    days = len(expected)
    deviation = np.empty(days)
    innovations = rng.normal(0, noise.daily * np.sqrt(1 - noise.correlation**2), days)
    deviation[0] = rng.normal(0, noise.daily)
    for day in range(1, days):
        deviation[day] = noise.correlation * deviation[day - 1] + innovations[day]
    odd = rng.random(days) < noise.odd_days
    deviation[odd] += rng.uniform(-noise.odd_size, noise.odd_size / 2, int(odd.sum()))
    rates = expected * weekly_pattern(rng)[np.arange(days) % 7] * np.exp(deviation)
    found: np.ndarray = rng.poisson(rates).astype("float64")
    return found


def with_step(expected: np.ndarray, day: int, size: float) -> np.ndarray:
    """`expected`, times 1 + `size` from the day on."""
    factor = np.where(np.arange(len(expected)) >= day, 1 + size, 1.0)
    result: np.ndarray = expected * factor
    return result


def with_slope(expected: np.ndarray, day: int, days: int, size: float) -> np.ndarray:
    """`expected`, reaching 1 + `size` times its level over `days` days from the day on."""
    share = np.clip((np.arange(len(expected)) - day) / days, 0, 1)
    result: np.ndarray = expected * np.exp(share * np.log1p(size))
    return result
