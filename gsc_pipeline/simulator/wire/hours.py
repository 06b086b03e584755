"""The numbers of a day by hour.

The hours of a day always sum to the numbers that the day shows, in every column, and no hour is shown before
it is over. While a day lasts, its visible numbers are spread over the hours so far, so the numbers of an hour
may fall. Afterwards they only rise, and are final when the day is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np

from gsc_pipeline.days import ONE_DAY, PACIFIC, pacific_today
from gsc_pipeline.simulator.facts import Codes, Counts, Facts, Property
from gsc_pipeline.simulator.hashing import hashed, seed_of, uniform
from gsc_pipeline.simulator.wire.provisional import counted_up_to, starts, visible_facts

DAYS_WITH_HOURS = 10
"""How many days have hours, today included."""

ONE_HOUR = timedelta(hours=1)

_BUSY = np.array(
    [4, 3, 2, 2, 2, 3, 4, 6, 8, 9, 10, 10, 9, 9, 10, 10, 9, 9, 10, 11, 11, 10, 8, 6], dtype=np.float64
)
"""The relative number of searches in each hour of the clock."""


@dataclass(frozen=True, slots=True, eq=False)
class HourlyFacts:
    """The visible numbers of a day by hour: one fact for each fact of the day and hour with impressions.

    `hour` indexes `starts`, the start of each hour in Pacific time, with a time zone: 24 hours, except on two
    days a year.
    """

    facts: Facts
    hour: Codes
    starts: tuple[datetime, ...]


def hours_of(day: date) -> tuple[datetime, ...]:
    """The start of each hour of `day` in Pacific time, with a time zone: 23 or 25 when the clocks change."""
    first, number = starts(day), (starts(day + ONE_DAY) - starts(day)) // ONE_HOUR
    return tuple((first + hour * ONE_HOUR).astimezone(PACIFIC) for hour in range(number))


def first_day_with_hours(now: datetime) -> date:
    """The earliest day with hours at `now`."""
    return pacific_today(now) - (DAYS_WITH_HOURS - 1) * ONE_DAY


def visible_hours(prop: Property, search_type: str, day: date, now: datetime) -> HourlyFacts | None:
    """The hours of `day` that `prop` shows at `now`; None when it shows none.

    Hours are available for ten days. Summed over the hours, each fact equals that of `visible_facts`.
    """
    visible = visible_facts(prop, search_type, day, now)
    if visible is None or day < first_day_with_hours(now):
        return None
    hours = hours_of(day)
    over = min(len(hours), counted_up_to(day, now) // ONE_HOUR)
    return _spread_over_hours(visible, hours, over, seed_of(prop.site_url, search_type, "hour"))


def _spread_over_hours(visible: Facts, hours: tuple[datetime, ...], over: int, seed: int) -> HourlyFacts:
    """`visible` with each fact spread over the first `over` hours by their relative traffic.

    Every impression has an hour, and a metric of n counts the first n impressions of the fact. So clicks ≤
    impressions and property ≤ page in every hour.
    """
    shape = (len(visible), len(hours))
    fact_of = np.repeat(np.arange(len(visible)), visible.impressions)
    number = np.arange(len(fact_of)) - (np.cumsum(visible.impressions) - visible.impressions)[fact_of]
    own = hashed(seed, visible.query, visible.page, visible.country, visible.device, visible.day.toordinal())
    busy = np.cumsum(_BUSY[[hour.hour for hour in hours[:over]]])
    chance = uniform(seed, own[fact_of], number)
    cell = fact_of * len(hours) + np.searchsorted(busy, chance * busy[-1], side="right")

    def by_hour(metric: Counts) -> Counts:
        return np.bincount(cell[number < metric[fact_of]], minlength=shape[0] * shape[1]).reshape(shape)

    impressions, top_impressions = by_hour(visible.impressions), by_hour(visible.top_impressions)
    below = impressions - top_impressions
    at_top = _shared(visible.sum_top_position, top_impressions)
    below_top = _shared(
        visible.sum_position - visible.sum_top_position,
        np.where(below.sum(axis=1, keepdims=True) > 0, below, impressions),
    )
    fact, hour = np.nonzero(impressions)
    spread = replace(
        visible.take(fact),
        clicks=by_hour(visible.clicks)[fact, hour],
        impressions=impressions[fact, hour],
        sum_position=(at_top + below_top)[fact, hour],
        top_clicks=by_hour(visible.top_clicks)[fact, hour],
        top_impressions=top_impressions[fact, hour],
        sum_top_position=at_top[fact, hour],
    )
    return HourlyFacts(spread, hour.astype(np.int32), hours)


def _shared(totals: Counts, by: Counts) -> Counts:
    """Each fact's total shared over the hours in proportion to `by`, a (fact, hour) array. Sums are exact."""
    up_to = np.cumsum(by, axis=1)
    shared: Counts = np.diff(totals[:, np.newaxis] * up_to // np.maximum(up_to[:, -1:], 1), axis=1, prepend=0)
    return shared
