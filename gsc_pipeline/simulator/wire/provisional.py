"""Incomplete days: which days are shown at a moment, and how their numbers grow until they are final.

A day is shown from `FIRST_SHOWN` after its start and complete `COMPLETE_AFTER` after its end. In between, a
growing share of it is visible. The share changes in steps of `STEP`, so reads within a step agree.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from gsc_pipeline.days import ONE_DAY, PACIFIC, pacific_today
from gsc_pipeline.simulator.facts import Facts, Property
from gsc_pipeline.simulator.hashing import seed_of
from gsc_pipeline.simulator.scaling import scaled
from gsc_pipeline.simulator.wire.revisions import factor_at, facts_at

FIRST_SHOWN = timedelta(hours=3)
COMPLETE_AFTER = timedelta(hours=48)
STEP = timedelta(hours=6)

SETTLED = (1.0, 1.0)
"""The state of a day that is complete and not revised."""


def is_complete(day: date, now: datetime) -> bool:
    """Whether the numbers of `day` no longer grow at `now`."""
    return now >= starts(day + ONE_DAY) + COMPLETE_AFTER


def first_incomplete_day(now: datetime) -> date:
    """The earliest day whose numbers still grow at `now`."""
    day = pacific_today(now) - 5 * ONE_DAY
    while is_complete(day, now):
        day += ONE_DAY
    return day


def visible_share(day: date, now: datetime) -> float:
    """The share of `day` that is visible at `now`: 0 before it is shown, 1 when complete. It never falls."""
    if is_complete(day, now):
        return 1.0
    age = counted_up_to(day, now)
    if age < FIRST_SHOWN:
        return 0.0
    elapsed = age / (starts(day + ONE_DAY) + COMPLETE_AFTER - starts(day))
    return 1.0 - (1.0 - elapsed) ** 2


def counted_up_to(day: date, now: datetime) -> timedelta:
    """The age of `day` at the last step up to `now`. Later searches are not visible yet."""
    return FIRST_SHOWN + STEP * ((now - starts(day) - FIRST_SHOWN) // STEP)


def visible_facts(prop: Property, search_type: str, day: date, now: datetime) -> Facts | None:
    """The facts of `day` that `prop` shows at `now`: a share of them until the day is complete.

    The latest revision up to `now` applies. None when the day is not shown or has no data.
    """
    shown = prop.days_shown(pacific_today(now))
    share = visible_share(day, now)
    if shown is None or day not in shown or share == 0.0:
        return None
    facts = facts_at(prop, search_type, day, now)
    return facts if facts is None or share == 1.0 else scaled(facts, share, seed_of(prop.site_url))


def state_of(prop: Property, day: date, now: datetime) -> tuple[float, float]:
    """The visible share and the revision of `day` at `now`. Equal states have equal numbers."""
    return visible_share(day, now), factor_at(prop, day, now)


def starts(day: date) -> datetime:
    """The start of `day` in Pacific time, in UTC."""
    # In UTC, because Python subtracts times of one zone by the wall clock, without daylight saving time.
    return datetime.combine(day, time(), PACIFIC).astimezone(UTC)
