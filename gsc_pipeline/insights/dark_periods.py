"""Periods without impressions of a series that had them before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_DAYS = 7
"""The fewest days without impressions."""

_DAYS_BEFORE = 56
_LEAST_BEFORE = 14

_MOST_BEFORE = 0.2
"""The largest share of days without impressions before: a series with more is seldom shown anyway."""


@dataclass(frozen=True, slots=True)
class DarkPeriod:
    """Indices of days: `first` is the first without impressions, `end` the day after the last one.

    `earliest` is the first day that may have been without, where the days before `first` are unknown;
    `earliest_end` the same of `end`. `confidence` is 1 minus the probability of so long a period by chance,
    of a series that has days without impressions as often as this one had before.
    """

    first: int
    end: int
    earliest: int
    earliest_end: int
    confidence: float


def dark_periods(impressions: np.ndarray) -> list[DarkPeriod]:
    """The periods without impressions; NaN is a day of which nothing is known, and interrupts none."""
    known = np.flatnonzero(~np.isnan(impressions))
    is_shown = impressions[known] > 0
    edges = np.flatnonzero(np.diff(np.concatenate(([True], is_shown, [True])).astype("int8")))
    found: list[DarkPeriod] = []
    for first, end in edges.reshape(-1, 2).tolist():
        # Days of an earlier dark period say nothing about how often a day has no impressions.
        since = max(first - _DAYS_BEFORE, 0)
        before = [at for at in range(since, first) if not _is_within(int(known[at]), found)]
        if end - first < LEAST_DAYS or len(before) < _LEAST_BEFORE:
            continue
        usual = (np.count_nonzero(~is_shown[before]) + 1) / (len(before) + 2)
        if usual > _MOST_BEFORE:
            continue
        by_chance = min(len(known) * float(usual) ** (end - first), 1.0)
        ends = int(known[end]) if end < len(known) else len(impressions)
        earliest, last = int(known[first - 1]) + 1, int(known[end - 1])
        found.append(DarkPeriod(int(known[first]), ends, earliest, last + 1, 1 - by_chance))
    return found


def _is_within(day: int, periods: list[DarkPeriod]) -> bool:
    return any(one.first <= day < one.end for one in periods)
