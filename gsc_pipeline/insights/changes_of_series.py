"""The changes of one series: found in weeks, placed on days, without what returns and what is too young."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gsc_pipeline.insights.adjusted import Adjusted, adjusted
from gsc_pipeline.insights.christmas import covers_christmas, may_be_christmas
from gsc_pipeline.insights.daily_series import WEEK, DailySeries
from gsc_pipeline.insights.first_days import FirstDay, first_day
from gsc_pipeline.insights.level_changes import LevelChange, confidence_of, level_changes, z_of

LEAST_DAYS = 8 * WEEK
"""The fewest known days of a series; a shorter one has no changes."""

LONG_AFTER = 14
"""With fewer known days after it, a change counts only if it is twice as large as the smallest one."""

_LEVEL_DAYS = 28
_EXCURSION_DAYS = 17
_CHRISTMAS_DAYS = 28
_RETURNED = 1 / 3


@dataclass(frozen=True, slots=True)
class SeriesChange:
    """A change of a series; days are indices, `end` is the first day with the whole of the change."""

    first: int
    end: int
    earliest: int
    latest: int
    before: float
    after: float
    confidence: float


def changes_of(series: DailySeries, least_confidence: float, least_share: float) -> list[SeriesChange]:
    """The changes with at least this confidence and relative size, in the order of their days."""
    if np.count_nonzero(~np.isnan(series.values)) < LEAST_DAYS:
        return []
    is_count = series.metric != "position"
    days = adjusted(series.values, is_count=is_count)
    length = len(days.values)
    recounted = [at for at in map(series.index, series.recounted_on) if 0 < at < length]
    found = level_changes(days, recounted, z_of(least_confidence, length))
    changes = [
        SeriesChange(
            one.shape.start, one.shape.end, one.earliest, one.latest, *levels, confidence_of(change.z, length)
        )
        for change, one, levels in _with_levels(days, found, recounted)
    ]
    lasting = _without_excursions(series, changes)
    return [one for one in lasting if _is_enough(series, one, least_share)]


def _placed(days: Adjusted, found: Sequence[LevelChange], recounted: Sequence[int]) -> list[FirstDay]:
    """Each change on its first day, one after another: the earlier ones on theirs, the later near theirs."""
    placed: list[FirstDay] = []
    for at, one in enumerate(found):
        ends = [*recounted, *(other.shape.end for other in placed)]
        starts = [*recounted, *(other.shape.start for other in found[at + 1 :])]
        after = max((day for day in ends if day <= one.shape.start), default=0)
        before = min((day for day in starts if day > one.shape.start), default=len(days.values))
        placed.append(first_day(days, one.shape, after, before))
    return placed


def _with_levels(
    days: Adjusted, found: Sequence[LevelChange], recounted: Sequence[int]
) -> list[tuple[LevelChange, FirstDay, tuple[float, float]]]:
    """Each change with its first day and its levels before and after.

    Of changes within days of which nothing is known, which have the same first known day, the largest stays.
    A change without a week of known days on both sides is left out.
    """
    largest: dict[int, tuple[LevelChange, FirstDay]] = {}
    for change, one in zip(found, _placed(days, found, recounted), strict=True):
        other = largest.get(one.shape.start)
        if other is None or abs(change.z) > abs(other[0].z):
            largest[one.shape.start] = (change, one)
    kept = [largest[start] for start in sorted(largest)]
    while True:
        levels = _levels(days, [one for _change, one in kept], recounted)
        if None not in levels:
            break
        del kept[levels.index(None)]
    return [(*pair, level) for pair, level in zip(kept, levels, strict=True) if level is not None]


def _levels(
    days: Adjusted, placed: Sequence[FirstDay], recounted: Sequence[int]
) -> list[tuple[float, float] | None]:
    """The level before and after each change, back to the change before and up to the next one.

    None where less than a week of days is known on one side.
    """
    levels: list[tuple[float, float] | None] = []
    edges = [0, *recounted, len(days.values)]
    for at, one in enumerate(placed):
        ends = [*edges, *(other.shape.end for other in placed[:at])]
        starts = [*edges, *(other.shape.start for other in placed[at + 1 :])]
        first = max(day for day in ends if day < one.shape.start)
        # A slope may go on beyond the last day.
        last = min((day for day in starts if day > one.shape.end), default=len(days.values))
        before = np.flatnonzero(days.is_known[first : one.shape.start]) + first
        after = np.flatnonzero(days.is_known[one.shape.end : last]) + one.shape.end
        if min(len(before), len(after)) < WEEK:
            levels.append(None)
            continue
        levels.append((_level(days, before[-_LEVEL_DAYS:]), _level(days, after[:_LEVEL_DAYS])))
    return levels


def _level(days: Adjusted, of: np.ndarray) -> float:
    """The mean of these days; each weekday counts once if there is a day of each."""
    values, weekday = days.values[of], of % WEEK
    number = np.bincount(weekday, minlength=WEEK)
    if number.min() == 0:
        return float(values.mean())
    return float((np.bincount(weekday, values, minlength=WEEK) / number).mean())


def _without_excursions(series: DailySeries, changes: Sequence[SeriesChange]) -> list[SeriesChange]:
    """The changes without pairs of which the second soon undoes the first."""
    kept = list(changes)
    for one, other in pairwise(changes):
        is_christmas = covers_christmas(series.day(one.first), series.day(other.first))
        longest = _CHRISTMAS_DAYS if is_christmas else _EXCURSION_DAYS
        returned = abs(other.after - one.before) <= _RETURNED * abs(one.after - one.before)
        if one in kept and returned and other.first - one.first <= longest:
            kept = [each for each in kept if each not in (one, other)]
    return kept


def _is_enough(series: DailySeries, one: SeriesChange, least_share: float) -> bool:
    """Whether the change is large enough for the days that have passed since."""
    days_after = np.count_nonzero(~np.isnan(series.values[one.first :]))
    if days_after < (_CHRISTMAS_DAYS if may_be_christmas(series.day(one.first)) else WEEK):
        return False
    wanted = least_share if days_after >= LONG_AFTER else 2 * least_share
    return abs(one.after - one.before) >= wanted * one.before
