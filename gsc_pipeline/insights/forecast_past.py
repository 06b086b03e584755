"""The past of a series that a forecast is made from, and why it may not be enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from gsc_pipeline.insights.christmas import WORDS as CHRISTMAS
from gsc_pipeline.insights.christmas import change_a_year_before, is_christmas, without_christmas
from gsc_pipeline.insights.daily_series import DailySeries
from gsc_pipeline.insights.rolling_origins import DAYS_AHEAD, MOST_WEEKS

LEAST_DAYS = 56
"""Eight weeks: the fewest final days that a forecast is made from, and what it looks at for gaps."""

LEAST_RECENT_DAYS = 42
LEAST_OF_WEEKDAY = 3
LEAST_SUM = 56
"""The fewest clicks or impressions in the last 56 final days: one a day. Below, only chance is left."""

DARK_DAYS = 7
"""As many final days without any end the forecast of a series that had at least one a day before."""

_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What a forecast may use of a series, and why there is none or what it rests on (`reason`).

    `values` are those of the days up to the one it is made on, with NaN where they do not count. `change` is
    what 28 days ahead differ from the usual by, in logarithms. `expects_none` is true for a forecast of zero.
    """

    series: DailySeries
    back: int
    values: np.ndarray
    change: np.ndarray
    reason: str | None = None
    refused: bool = False
    expects_none: bool = False

    @property
    def made_on(self) -> date:
        """The last day of the past."""
        return self.series.as_of - timedelta(days=self.back)


def past_of(series: DailySeries, back: int) -> Past:
    """The past of the series as it was known `back` days before its end, and whether it is enough."""
    length = max(len(series.values) - back, 0)
    made_on = series.as_of - timedelta(days=back)
    recounted = max((day for day in series.recounted_on if series.first_day < day <= made_on), default=None)
    first_day = recounted or series.first_day
    values = series.values[series.index(first_day) : length]
    past = Past(series, back, values[-MOST_WEEKS * 7 :], np.zeros(DAYS_AHEAD))
    reason = _too_little(past, recounted)
    if reason is not None:
        return replace(past, reason=reason, refused=True)
    dark_since = _dark_since(past)
    if dark_since is not None:
        text = f"no {series.metric} since {dark_since}, so none are expected until they return"
        return replace(past, reason=text, expects_none=True)
    learnt = without_christmas(values, first_day)[-MOST_WEEKS * 7 :]
    reason = _too_few(past) or _only_christmas(learnt)
    if reason is not None:
        return replace(past, reason=reason, refused=True)
    ahead = [made_on + timedelta(days=day) for day in range(1, DAYS_AHEAD + 1)]
    changes = [change_a_year_before(values, first_day, day) if is_christmas(day) else 0.0 for day in ahead]
    change = np.array([one or 0.0 for one in changes])
    return replace(past, values=learnt, change=change, reason=_rests_on(series, made_on, changes))


def _too_little(past: Past, recounted: date | None) -> str | None:
    """Why there are too few final days, or too many gaps; None if neither."""
    known = np.isfinite(past.values)
    if known.sum() < LEAST_DAYS:
        because = f"; numbers count something else since {recounted}" if recounted else ""
        return f"{_so_few(int(known.sum()))}, and {LEAST_DAYS} are needed{because}"
    recent = known[-LEAST_DAYS:]
    if recent.sum() < LEAST_RECENT_DAYS:
        return f"{recent.sum()} of the last {LEAST_DAYS} days are final, {LEAST_RECENT_DAYS} are needed"
    by_weekday = recent.reshape(-1, 7).sum(axis=0)
    rarest = int(by_weekday.argmin())
    if by_weekday[rarest] < LEAST_OF_WEEKDAY:
        name = _WEEKDAYS[(past.made_on.weekday() + 1 + rarest) % 7]
        count = f"{by_weekday[rarest]} of the last {LEAST_DAYS // 7} {name}"
        return f"{count} are final, {LEAST_OF_WEEKDAY} are needed"
    return None


def _dark_since(past: Past) -> date | None:
    """The first of the days without any at the end, if there were never as many and chance is unlikely."""
    counted = np.flatnonzero(past.values > 0)
    if not len(counted):
        return None
    start = int(counted[-1]) + 1
    known = past.values[np.isfinite(past.values)]
    positive = np.flatnonzero(known > 0)
    before, days = known[: positive[-1] + 1], len(known) - 1 - positive[-1]
    longest = int(np.diff(positive).max(initial=1)) - 1
    if days < DARK_DAYS or days <= longest or before.mean() < 1:
        return None
    return past.made_on - timedelta(days=len(past.values) - 1 - start)


def _too_few(past: Past) -> str | None:
    """Why the counts are too small; None if they are not."""
    total = int(past.values[np.isfinite(past.values)][-LEAST_DAYS:].sum())
    if total >= LEAST_SUM:
        return None
    counted = past.series.metric.removesuffix("s") if total == 1 else past.series.metric
    return f"{total} {counted} in the last {LEAST_DAYS} final days, {LEAST_SUM} are needed"


def _only_christmas(learnt: np.ndarray) -> str | None:
    known = np.isfinite(learnt).sum()
    if known >= LEAST_DAYS:
        return None
    return f"{_so_few(int(known), f' outside {CHRISTMAS}')}, and {LEAST_DAYS} are needed"


def _so_few(days: int, which: str = "") -> str:
    if not days:
        return f"no day{which} is final"
    return f"only 1 day{which} is final" if days == 1 else f"only {days} days{which} are final"


def _rests_on(series: DailySeries, made_on: date, changes: Sequence[float | None]) -> str | None:
    """What to know about a forecast; None if there is nothing. A change of None is of a Christmas unknown."""
    notes = []
    if any(changes):
        notes.append(f"{CHRISTMAS} is expected as a year before")
    if None in changes:
        notes.append(f"{CHRISTMAS} is expected as other days, because the year before is unknown")
    later = [day for day in series.recounted_on if made_on < day <= series.as_of]
    if later:
        notes.append(f"numbers count something else since {min(later)}")
    return "; ".join(notes) or None
