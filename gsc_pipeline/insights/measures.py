"""Ratios, average positions and changes, computed from columns of a frame."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

SERIES = ["site_url", "search_type"]
"""Nothing is summed across these: properties may overlap, and search types count differently."""

GROUPED = [*SERIES, "content_group"]
"""A series by content group; the group `all` is the whole property."""

LEAST_SHOWN = 50
"""Impressions of a day from which its average position says something: that of fewer is mostly chance."""

MAD_TO_DEVIATION = 1.4826
"""Scales a median absolute deviation to a standard deviation, for normally distributed numbers."""

COMPARED_INPUT = (
    "clicks_before",
    "clicks",
    "impressions_before",
    "impressions",
    "sum_position_before",
    "sum_position",
)


def series_of(frame: pd.DataFrame) -> list[str]:
    """The columns that name a series in the frame: SERIES, after `workspace` if the frame has that column."""
    return [name for name in ("workspace", *SERIES) if name in frame.columns]


def require(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """A copy of these columns. Raises ValueError naming the missing ones."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(f"input without the columns {', '.join(missing)}")
    return frame[list(columns)].reset_index(drop=True)


def first_shown(days: pd.DataFrame, keys: Sequence[str] | None = None) -> pd.Series:
    """For each row, the first day of its series with impressions; missing where there is none.

    `keys` name a series; by default those of `series_of`.
    """
    shown_on = days["data_date"].where(days["impressions"] > 0)
    return shown_on.groupby([days[key] for key in keys or series_of(days)]).transform("min")


def ratio(above: pd.Series, below: pd.Series) -> pd.Series:
    """`above` divided by `below`, as Float64; missing if `below` is zero or either is missing."""
    below = below.astype("Float64")
    return above.astype("Float64") / below.mask(below == 0)


def average_position(sum_position: pd.Series, impressions: pd.Series) -> pd.Series:
    """The average position, starting at 1, from zero-based sums; missing without impressions or sums."""
    return ratio(sum_position, impressions) + 1


def with_change(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the columns change, change_share, position_before and position added."""
    change = frame["clicks"] - frame["clicks_before"]
    return frame.assign(
        change=change,
        change_share=ratio(change, frame["clicks_before"]),
        position_before=average_position(frame["sum_position_before"], frame["impressions_before"]),
        position=average_position(frame["sum_position"], frame["impressions"]),
    )


def is_beyond_chance(frame: pd.DataFrame, significance: float) -> pd.Series:
    """Whether clicks changed by at least `significance` standard deviations of two equal Poisson counts."""
    change = frame["clicks"] - frame["clicks_before"]
    deviation = (frame["clicks"] + frame["clicks_before"]).clip(lower=1) ** 0.5
    return change.abs() >= significance * deviation
