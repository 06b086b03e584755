"""When a day's numbers are shown, and how they grow until the day is final.

Belongs here: incomplete days, the share of them that is visible at a moment. Does not: final numbers
and their revisions (`revisions`), or how a request names the days it wants (`queries`).

A day appears `FIRST_SHOWN` after it starts and is complete `COMPLETE_AFTER` after it ended. In between
a growing share of it is visible; the share moves in steps of `STEP`, so two reads minutes apart agree.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from gsc_pipeline.days import ONE_DAY, PACIFIC, pacific_today
from gsc_pipeline.simulator.facts import Facts, Property
from gsc_pipeline.simulator.hashing import seed_of
from gsc_pipeline.simulator.revisions import factor_at, facts_at
from gsc_pipeline.simulator.scaling import scaled

FIRST_SHOWN = timedelta(hours=3)
COMPLETE_AFTER = timedelta(hours=48)
STEP = timedelta(hours=6)

SETTLED = (1.0, 1.0)
"""The state of a day that is complete and was not revised."""


def is_complete(day: date, now: datetime) -> bool:
    """Whether the numbers of `day` no longer grow at the moment `now`."""
    return now >= starts(day + ONE_DAY) + COMPLETE_AFTER


def first_incomplete_day(now: datetime) -> date:
    """The earliest day whose numbers still grow at the moment `now`."""
    day = pacific_today(now) - 5 * ONE_DAY
    while is_complete(day, now):
        day += ONE_DAY
    return day


def visible_share(day: date, now: datetime) -> float:
    """How much of `day` is visible at `now`: 0 before it is shown, 1 when complete, never shrinking."""
    if is_complete(day, now):
        return 1.0
    age = counted_up_to(day, now)
    if age < FIRST_SHOWN:
        return 0.0
    elapsed = age / (starts(day + ONE_DAY) + COMPLETE_AFTER - starts(day))
    return 1.0 - (1.0 - elapsed) ** 2


def counted_up_to(day: date, now: datetime) -> timedelta:
    """How old `day` was at the last step up to `now`: what is visible of it is from before."""
    return FIRST_SHOWN + STEP * ((now - starts(day) - FIRST_SHOWN) // STEP)


def visible_facts(prop: Property, search_type: str, day: date, now: datetime) -> Facts | None:
    """What `prop` shows of `day` at the moment `now`: its final numbers once complete, a part before.

    Of several revisions of the day the latest by then counts. None when the day is not shown or has
    nothing to show.
    """
    shown = prop.days_shown(pacific_today(now))
    share = visible_share(day, now)
    if shown is None or day not in shown or share == 0.0:
        return None
    facts = facts_at(prop, search_type, day, now)
    return facts if facts is None or share == 1.0 else scaled(facts, share, seed_of(prop.site_url))


def state_of(prop: Property, day: date, now: datetime) -> tuple[float, float]:
    """What decides the numbers shown of `day`: moments with the same state show the same numbers."""
    return visible_share(day, now), factor_at(prop, day, now)


def starts(day: date) -> datetime:
    """The moment `day` begins in California, in UTC."""
    # In UTC, because two moments of one zone subtract by the wall clock, blind to summer time.
    return datetime.combine(day, time(), PACIFIC).astimezone(UTC)
