"""The days on which an analysis must find the planted cases of a synthetic property."""

from __future__ import annotations

from datetime import date

from gsc_pipeline.simulator import PlantedFinding
from gsc_pipeline.simulator.synthetic.curves import (
    CYCLE_DAYS,
    DECLINE_DAYS,
    DECLINING_CURVES,
    INTERMITTENT_CURVES,
    VISIBLE_CYCLE_DAYS,
    VISIBLE_DAYS,
    appearance_start,
    decline_start,
)


def must_be_found(finding: PlantedFinding, day: date) -> bool:
    """Whether an analysis of the weeks up to `day` must find it.

    A decaying page declines for 90 days, recovers and stays level for 80; it must be found once it has
    declined for 45 days. On any day, one decaying page of a property must be found. An intermittent query
    must be found while it is new or lost.
    """
    if finding.pattern == "intermittent":
        return is_new(finding, day) or is_lost(finding, day)
    if finding.pattern != "decay":
        return True
    age = _days_declining(finding.curve, day)
    return age is not None and age >= 45


def is_new(finding: PlantedFinding, day: date) -> bool:
    """Whether it has at least 50 impressions in the 28 days up to `day`, and none in the 28 before."""
    age = _days_since_appearing(finding.curve, day)
    return age is not None and 7 <= age < 28


def is_lost(finding: PlantedFinding, day: date) -> bool:
    """Whether it has no impressions in the 28 days up to `day`, and at least 50 in the 28 before."""
    age = _days_since_appearing(finding.curve, day)
    return age is not None and 27 <= age - VISIBLE_DAYS < 48


def _days_declining(curve: int, day: date) -> int | None:
    """For how many days the curve has been declining on `day`; None when it is not."""
    if curve not in DECLINING_CURVES:
        return None
    age = (day.toordinal() - decline_start(curve)) % CYCLE_DAYS
    return age if age < DECLINE_DAYS else None


def _days_since_appearing(curve: int, day: date) -> int | None:
    """How many days before `day` the curve last appeared, from 0 to 119; None for other curves."""
    if curve not in INTERMITTENT_CURVES:
        return None
    return (day.toordinal() - appearance_start(curve)) % VISIBLE_CYCLE_DAYS
