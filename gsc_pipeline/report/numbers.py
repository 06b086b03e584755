"""How the pages write numbers: counts, rates, positions and changes. A missing value is a dash."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

LEVEL = 0.005
"""A smaller change rounds to 0% and is neither good nor bad."""

_SMALLEST_PERCENT = 0.001
"""A smaller rate than this, other than zero, is written as less than it."""


def is_missing(value: Any) -> bool:
    """Whether there is no value: None, NA or NaN."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def count(value: Any) -> str:
    """A whole number: 12,345."""
    return "–" if is_missing(value) else f"{round(value):,}".replace("-", "−")


def amount(value: Any, of: str) -> str:
    """A whole number of clicks or impressions, or of another noun in the plural: 12 clicks, 1 click."""
    return with_noun(count(value), of)


def with_noun(number: str, of: str) -> str:
    """The written number before the noun: that in the plural, or in the singular of one."""
    return f"{number} {of.removesuffix('s') if number == '1' else of}"


def decimal(value: Any, places: int = 1) -> str:
    """A number with decimals: 7.5."""
    return "–" if is_missing(value) else f"{value:,.{places}f}".replace("-", "−")


def level(value: Any) -> str:
    """A mean of a day: 1,234 or, below 100, 7.5."""
    return count(value) if is_missing(value) or value >= 100 else decimal(value)


def share(value: Any, places: int = 1) -> str:
    """A rate in percent: 15.1%. Below one percent it has two significant digits: 0.35%, 0.024%."""
    if is_missing(value):
        return "–"
    percent = 100 * float(value)
    if 0 < percent < _SMALLEST_PERCENT:
        return f"<{_SMALLEST_PERCENT}%"
    # The exponent of the rounded rate: 0.0996% has that of 0.10%.
    exponent = int(f"{percent:.1e}".partition("e")[2]) if percent else 0
    return f"{percent:.{places if exponent >= 0 else 1 - exponent}f}%"


def signed(value: Any) -> str:
    """A change in percent, with its sign: +12%, −3%; 0% if it rounds to that."""
    if is_missing(value):
        return "–"
    return "0%" if abs(value) < LEVEL else f"{value:+,.0%}".replace("-", "−")


def mood(change: float | None) -> str:
    """The CSS class of a change of clicks or impressions: good, bad, or none if it is level or unknown."""
    if change is None or is_missing(change) or abs(change) < LEVEL:
        return ""
    return "good" if change > 0 else "bad"
