"""The numbers of a day by the hour: every fact's impressions handed to the hours of its day.

Belongs here: the hours of a Pacific day, and which of them a day's visible numbers fell into. Does not:
how much of a day is visible (`provisional`), grouping by hour (`grouping`).

The hours of a day sum to exactly what the day shows, at any moment and in every column. Each impression
has its hour for good, before the moment it is first shown: so hours only grow, and none shows before it
is over. A day's hours are final when the day is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np

from gsc_pipeline.days import ONE_DAY, PACIFIC, pacific_today
from gsc_pipeline.simulator.facts import Codes, Counts, Facts, Places, Property, Reals
from gsc_pipeline.simulator.hashing import hashed, seed_of, uniform
from gsc_pipeline.simulator.provisional import FIRST_SHOWN, STEP, share_at, starts, visible_share
from gsc_pipeline.simulator.revisions import facts_at
from gsc_pipeline.simulator.scaling import part, scaled, thresholds

DAYS_WITH_HOURS = 10
"""How many days, today included, are told by the hour."""

ONE_HOUR = timedelta(hours=1)

_EARLY = tuple(FIRST_SHOWN + step * STEP for step in range(4))
"""The ages of a day at which more of it is shown while it is not over yet."""

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
    today, share = pacific_today(now), visible_share(day, now)
    shown = prop.days_shown(today)
    if shown is None or day not in shown or day < first_day_with_hours(now) or share == 0.0:
        return None
    final = facts_at(prop, search_type, day, now)
    if final is None:
        return None
    seed = seed_of(prop.site_url)
    visible = final if share == 1.0 else scaled(final, share, seed)
    if visible is None:
        return None
    threshold = thresholds(final, seed)
    seen = np.flatnonzero(part(final.impressions, share, threshold))
    final, threshold = final.take(seen), threshold[seen]
    hours = hours_of(day)
    by_step = [
        np.minimum(part(final.impressions, share_at(day, age), threshold), visible.impressions)
        for age in _EARLY
    ]
    places = _places(
        visible,
        np.diff(np.stack([*by_step, visible.impressions], axis=1), prepend=0),
        np.array([*(age // ONE_HOUR for age in _EARLY), len(hours)]),
        np.cumsum(_BUSY[[hour.hour for hour in hours]]),
        seed_of(prop.site_url, search_type, "hour"),
    )
    return _by_hour(visible, places, hours)


def _places(visible: Facts, units: Counts, limits: Places, busy: Reals, seed: int) -> Places:
    """The hour of each impression, row by row, those shown first first.

    `units` counts each row's impressions by the step that shows them, `limits` how many hours are over
    at each step, `busy` how much is searched up to the end of each hour.
    """
    row, turn = _each(visible.impressions)
    limit = np.repeat(np.tile(limits, len(visible)), units.ravel())
    own = hashed(seed, visible.query, visible.page, visible.country, visible.device, visible.day.toordinal())
    chance = uniform(seed, own[row], turn) * busy[limit - 1]
    return np.searchsorted(busy, chance, side="right")


def _by_hour(visible: Facts, places: Places, hours: tuple[datetime, ...]) -> HourlyFacts:
    """`visible` with each row spread over the hours of its impressions.

    Of every measure the first so many impressions of a row have it, so all keep their order hour by hour.
    """
    shape = (len(visible), len(hours))
    row, turn = _each(visible.impressions)
    cell = row * len(hours) + places

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


def _each(counts: Counts) -> tuple[Places, Places]:
    """For every single unit of `counts` its row, and its turn within the row."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - (np.cumsum(counts) - counts)[row]


def _shared(totals: Counts, by: Counts) -> Counts:
    """Each row's total shared over the hours in proportion to `by`, a (row, hour) table, exactly."""
    up_to = np.cumsum(by, axis=1)
    shared: Counts = np.diff(totals[:, np.newaxis] * up_to // np.maximum(up_to[:, -1:], 1), axis=1, prepend=0)
    return shared
