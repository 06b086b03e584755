"""Christmas in daily series: days that say nothing about other days, and what they were a year before."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from gsc_pipeline.insights.measures import MAD_TO_DEVIATION

WORDS = "20 December to 6 January"

_FOUND_EARLY = timedelta(days=5)
"""A change of Christmas may be placed so many days before it."""

_USUAL_DAYS = 28
"""Days before 20 December that the days of Christmas are compared with."""

_LEAST_SPREAD = 0.1
_CHANCE = 2.0
"""A change of so many spreads is halved, because chance alone makes such a one."""


def is_christmas(day: date) -> bool:
    """Whether the day is one from 20 December to 6 January."""
    return (day.month == 12 and day.day >= 20) or (day.month == 1 and day.day <= 6)


def may_be_christmas(day: date) -> bool:
    """Whether a change that begins on the day may be one of Christmas: 15 December to 6 January."""
    return is_christmas(day) or is_christmas(day + _FOUND_EARLY)


def covers_christmas(first: date, last: date) -> bool:
    """Whether 25 December is one of the days."""
    return first <= date(first.year, 12, 25) <= last


def without_christmas(values: np.ndarray, first_day: date) -> np.ndarray:
    """A copy of the values of consecutive days with NaN at Christmas."""
    days = np.datetime64(first_day, "D") + np.arange(len(values), dtype="timedelta64[D]")
    # Of each year: 20 December to 31 December, and 1 January to 6 January.
    years = days.astype("datetime64[Y]")
    to_new_year = ((years + np.timedelta64(1, "Y")).astype("datetime64[D]") - days).astype("int64")
    since_new_year = (days - years.astype("datetime64[D]")).astype("int64")
    result: np.ndarray = np.where((to_new_year <= 12) | (since_new_year < 6), np.nan, values)
    return result


def change_a_year_before(values: np.ndarray, first_day: date, day: date) -> float | None:
    """How much the day's counterpart differed from the usual, in logarithms: log(1 + value) minus the usual.

    The counterpart of a day of Christmas is the same date a year before, and the usual the median of its
    weekday in the four weeks before that 20 December. A change that is small beside the usual spread of those
    weeks is reduced, because it may be chance. None where a value is missing.
    """
    counterpart = day.replace(year=day.year - 1)
    start = date(counterpart.year - (counterpart.month == 1), 12, 20) - timedelta(days=_USUAL_DAYS)
    at, place = (start - first_day).days, (counterpart - first_day).days
    if at < 0 or place >= len(values) or not np.isfinite(values[place]):
        return None
    usual = np.log1p(values[at : at + _USUAL_DAYS]).reshape(-1, 7)
    if np.isnan(usual).any(axis=1).all() or not np.isfinite(usual).any(axis=0).all():
        return None
    by_weekday = np.nanmedian(usual, axis=0)
    spread = max(MAD_TO_DEVIATION * float(np.nanmedian(np.abs(usual - by_weekday))), _LEAST_SPREAD)
    change = float(np.log1p(values[place]) - by_weekday[(counterpart - start).days % 7])
    return change**3 / (change**2 + (_CHANCE * spread) ** 2)
