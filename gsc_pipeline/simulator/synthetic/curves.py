"""How the traffic of synthetic properties changes over time: weekdays, seasons, trends and declines."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np

from gsc_pipeline.simulator.facts import Reals
from gsc_pipeline.simulator.hashing import seed_of, uniform

FIRST_DAY = date(2012, 1, 1)
LAST_DAY = date(2059, 12, 31)

STEADY = 0
"""The curve without a decline or a gap."""

DECLINING_CURVES = range(1, 5)
"""These decline for 90 days, recover within 10 and stay level for 80. They are 45 days apart, so on any day
one of them has been declining for 45 to 90 days."""
CYCLE_DAYS = 180
DECLINE_DAYS = 90
_RECOVERY_DAYS = 10
_LOWEST = 0.15

INTERMITTENT_CURVES = range(5, 11)
"""These have traffic for 60 days and none for the next 60. They are 20 days apart, so on any day one of them
has appeared within the last four weeks, and one has disappeared."""
VISIBLE_DAYS, VISIBLE_CYCLE_DAYS = 60, 120

_WEEKS = (
    (1.08, 1.10, 1.09, 1.06, 0.98, 0.82, 0.87),
    (1.16, 1.18, 1.17, 1.14, 1.02, 0.62, 0.71),
    (0.92, 0.90, 0.93, 0.96, 1.04, 1.16, 1.09),
    (1.00, 1.02, 1.01, 1.00, 0.99, 0.97, 1.01),
)
"""Monday to Sunday: mixed, an office's tool, a weekend hobby, nearly flat."""

SHAPES = 16
FLAT_SHAPE = 3
"""A shape whose weekdays differ least."""


@lru_cache(maxsize=SHAPES)
def cumulative(shape: int) -> Reals:
    """The traffic of one of `SHAPES` shapes before each day since `FIRST_DAY`: a (curve, day) array.

    The traffic of a day is the difference of two neighbours, about 1 on average. Properties share the
    arrays, since there may be thousands of properties.
    """
    ordinal = np.arange(FIRST_DAY.toordinal(), LAST_DAY.toordinal() + 1)
    seed = seed_of("curve", str(shape))
    week = np.array(_WEEKS[shape % len(_WEEKS)])[(ordinal + 6) % 7]
    season = 1 + 0.05 * np.cos(2 * np.pi * (ordinal / 365.25 + uniform(seed, 1)))
    trend = 1 + 0.08 * np.sin(2 * np.pi * (ordinal / 1100 + uniform(seed, 2)))
    noise = 0.95 + 0.1 * uniform(seed, ordinal)
    steady = week * season * trend * noise
    daily = [
        steady,
        *(steady * _level((ordinal - decline_start(curve)) % CYCLE_DAYS) for curve in DECLINING_CURVES),
        *(
            steady * ((ordinal - appearance_start(curve)) % VISIBLE_CYCLE_DAYS < VISIBLE_DAYS)
            for curve in INTERMITTENT_CURVES
        ),
    ]
    return np.concatenate([np.zeros((len(daily), 1)), np.cumsum(daily, axis=1)], axis=1)


def decline_start(curve: int) -> int:
    """The ordinal of a day on which the declining curve begins to decline, modulo `CYCLE_DAYS`."""
    return curve * CYCLE_DAYS // len(DECLINING_CURVES)


def appearance_start(curve: int) -> int:
    """The ordinal of a day on which the intermittent curve appears, modulo `VISIBLE_CYCLE_DAYS`."""
    return INTERMITTENT_CURVES.index(curve) * VISIBLE_CYCLE_DAYS // len(INTERMITTENT_CURVES)


def _level(age: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Reals:
    """The level of a declining curve, from its days since the decline began."""
    declining = _LOWEST ** (age / DECLINE_DAYS)
    recovering = _LOWEST + (1 - _LOWEST) * np.clip((age - DECLINE_DAYS) / _RECOVERY_DAYS, 0, 1)
    return np.where(age < DECLINE_DAYS, declining, recovering)
