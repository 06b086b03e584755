"""How the traffic of made-up properties moves through time.

Belongs here: the shape of weeks, seasons, trends and declines, summed so that any two days can be
compared at once. Does not: how much traffic there is (`cells`).
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np

from gsc_pipeline.simulator.facts import Reals
from gsc_pipeline.simulator.hashing import seed_of, uniform

FIRST_DAY = date(2012, 1, 1)
LAST_DAY = date(2059, 12, 31)

STEADY = 0
"""The curve of everything that does not decline."""

CYCLE = 180
DECLINE = 90
RECOVERY = 10
LEFT_OVER = 0.15
DECLINING_CURVES = 4
"""Curves 1 to 4 decline over 90 days, recover and stay, by turns: on any day one of them has been
declining for 45 to 90 days, so there is always a decline to be found whatever day it is."""

SHOWN_DAYS, _AROUND = 60, 120
COMING_CURVES = 6
FIRST_COMING = 1 + DECLINING_CURVES
"""Six more curves are there for 60 days and nowhere for the next 60, 20 days apart: on any day one of them
has come within the last four weeks, and one has gone."""

_WEEKS = (
    (1.08, 1.10, 1.09, 1.06, 0.98, 0.82, 0.87),
    (1.16, 1.18, 1.17, 1.14, 1.02, 0.62, 0.71),
    (0.92, 0.90, 0.93, 0.96, 1.04, 1.16, 1.09),
    (1.00, 1.02, 1.01, 1.00, 0.99, 0.97, 1.01),
)
"""Monday to Sunday: mixed, an office's tool, a weekend hobby, nearly flat."""

SHAPES = 16


@lru_cache(maxsize=SHAPES)
def cumulative(shape: int) -> Reals:
    """The traffic of one of `SHAPES` shapes before each day since `FIRST_DAY`: (curve, day) array.

    A day's traffic is the difference of two neighbours and about 1 on average. Shared by properties,
    since there may be thousands of them.
    """
    ordinal = np.arange(FIRST_DAY.toordinal(), LAST_DAY.toordinal() + 1)
    seed = seed_of("curve", str(shape))
    week = np.array(_WEEKS[shape % len(_WEEKS)])[(ordinal + 6) % 7]
    season = 1 + 0.05 * np.cos(2 * np.pi * (ordinal / 365.25 + uniform(seed, 1)))
    trend = 1 + 0.08 * np.sin(2 * np.pi * (ordinal / 1100 + uniform(seed, 2)))
    chance = 0.95 + 0.1 * uniform(seed, ordinal)
    steady = week * season * trend * chance
    daily = [
        steady,
        *(steady * _level(ordinal, curve) for curve in range(1, FIRST_COMING)),
        *(steady * ((ordinal - _came(curve)) % _AROUND < SHOWN_DAYS) for curve in coming_curves()),
    ]
    return np.concatenate([np.zeros((len(daily), 1)), np.cumsum(daily, axis=1)], axis=1)


def days_declining(curve: int, day: date) -> int | None:
    """For how many days the curve has been declining on `day`; None when it is not."""
    age = (day.toordinal() - _offset(curve)) % CYCLE
    return age if curve != STEADY and age < DECLINE else None


def coming_curves() -> range:
    """The curves of what comes and goes."""
    return range(FIRST_COMING, FIRST_COMING + COMING_CURVES)


def days_since_coming(curve: int, day: date) -> int | None:
    """How many days before `day` the curve came last, from 0 to 119; None for one that never goes.

    It was there for the first SHOWN_DAYS of them.
    """
    return (day.toordinal() - _came(curve)) % _AROUND if curve in coming_curves() else None


def _level(ordinal: np.ndarray[tuple[int], np.dtype[np.int64]], curve: int) -> Reals:
    age = (ordinal - _offset(curve)) % CYCLE
    declining = LEFT_OVER ** (age / DECLINE)
    recovering = LEFT_OVER + (1 - LEFT_OVER) * np.clip((age - DECLINE) / RECOVERY, 0, 1)
    return np.where(age < DECLINE, declining, recovering)


def _offset(curve: int) -> int:
    return curve * CYCLE // DECLINING_CURVES


def _came(curve: int) -> int:
    return (curve - FIRST_COMING) * _AROUND // COMING_CURVES
