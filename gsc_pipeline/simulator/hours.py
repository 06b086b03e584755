"""The numbers of a day by the hour: every fact's impressions handed to the hours of its day.

Belongs here: the hours of a Pacific day, and which of them a day's visible numbers fell into. Does not:
how much of a day is visible (`provisional`), grouping by hour (`grouping`).

The hours of a day sum to exactly what the day shows, at any moment and in every column, and none shows
before it is over. While a day lasts, what is visible of it is spread over the hours so far, so an hour may
shrink; afterwards hours only grow, and are final when the day is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np

from gsc_pipeline.days import ONE_DAY, PACIFIC, pacific_today
from gsc_pipeline.simulator.facts import Codes, Counts, Facts, Property
from gsc_pipeline.simulator.hashing import hashed, seed_of, uniform
from gsc_pipeline.simulator.provisional import counted_up_to, starts, visible_facts

DAYS_WITH_HOURS = 10
"""How many days, today included, are told by the hour."""

ONE_HOUR = timedelta(hours=1)

_BUSY = np.array(
    [4, 3, 2, 2, 2, 3, 4, 6, 8, 9, 10, 10, 9, 9, 10, 10, 9, 9, 10, 11, 11, 10, 8, 6], dtype=np.float64
)
"""How much is searched in each hour of the clock."""


@dataclass(frozen=True, slots=True, eq=False)
class HourlyFacts:
    """What is visible of a day by the hour: a row for each fact and each hour it was shown in.

    `hour` indexes `starts`, the beginnings of the day's hours, aware and Pacific: 24 but for two days a
    year.
    """

    facts: Facts
    hour: Codes
    starts: tuple[datetime, ...]


def hours_of(day: date) -> tuple[datetime, ...]:
    """The beginnings of the hours of `day`, aware, in Pacific time: 23 or 25 when the clocks change."""
    first, number = starts(day), (starts(day + ONE_DAY) - starts(day)) // ONE_HOUR
    return tuple((first + hour * ONE_HOUR).astimezone(PACIFIC) for hour in range(number))


def first_day_with_hours(now: datetime) -> date:
    """The earliest day that is told by the hour at the moment `now`."""
    return pacific_today(now) - (DAYS_WITH_HOURS - 1) * ONE_DAY


def visible_hours(prop: Property, search_type: str, day: date, now: datetime) -> HourlyFacts | None:
    """What `prop` shows of the hours of `day` at the moment `now`; None when nothing.

    Hours are kept for ten days. Summed over the hours it is `visible_facts`, row by row.
    """
    visible = visible_facts(prop, search_type, day, now)
    if visible is None or day < first_day_with_hours(now):
        return None
    hours = hours_of(day)
    over = min(len(hours), counted_up_to(day, now) // ONE_HOUR)
    return _by_hour(visible, hours, over, seed_of(prop.site_url, search_type, "hour"))


def _by_hour(visible: Facts, hours: tuple[datetime, ...], over: int, seed: int) -> HourlyFacts:
    """`visible` with each row spread over the first `over` hours, as busy as they are.

    Every single impression has an hour, and of each measure the first so many impressions of a row have
    it: so all measures keep their order hour by hour.
    """
    shape = (len(visible), len(hours))
    row = np.repeat(np.arange(len(visible)), visible.impressions)
    turn = np.arange(len(row)) - (np.cumsum(visible.impressions) - visible.impressions)[row]
    own = hashed(seed, visible.query, visible.page, visible.country, visible.device, visible.day.toordinal())
    busy = np.cumsum(_BUSY[[hour.hour for hour in hours[:over]]])
    cell = row * len(hours) + np.searchsorted(busy, uniform(seed, own[row], turn) * busy[-1], side="right")

    def counted(measure: Counts) -> Counts:
        return np.bincount(cell[turn < measure[row]], minlength=shape[0] * shape[1]).reshape(shape)

    impressions, top_impressions = counted(visible.impressions), counted(visible.top_impressions)
    below = impressions - top_impressions
    at_top = _shared(visible.sum_top_position, top_impressions)
    below_top = _shared(
        visible.sum_position - visible.sum_top_position,
        np.where(below.sum(axis=1, keepdims=True) > 0, below, impressions),
    )
    fact, hour = np.nonzero(impressions)
    spread = replace(
        visible.take(fact),
        clicks=counted(visible.clicks)[fact, hour],
        impressions=impressions[fact, hour],
        sum_position=(at_top + below_top)[fact, hour],
        top_clicks=counted(visible.top_clicks)[fact, hour],
        top_impressions=top_impressions[fact, hour],
        sum_top_position=at_top[fact, hour],
    )
    return HourlyFacts(spread, hour.astype(np.int32), hours)


def _shared(totals: Counts, by: Counts) -> Counts:
    """Each row's total shared over the hours in proportion to `by`, a (row, hour) table, exactly."""
    up_to = np.cumsum(by, axis=1)
    shared: Counts = np.diff(totals[:, np.newaxis] * up_to // np.maximum(up_to[:, -1:], 1), axis=1, prepend=0)
    return shared
