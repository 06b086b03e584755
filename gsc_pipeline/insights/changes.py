"""Two windows side by side: the columns that every comparison has.

Belongs here: change, share, positions before and after. Does not: which changes matter (`decay`, `movers`).
"""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.frames import average_position, ratio

COMPARED_INPUT = (
    "clicks_before",
    "clicks",
    "impressions_before",
    "impressions",
    "sum_position_before",
    "sum_position",
)
COMPARED = (
    "clicks_before",
    "clicks",
    "change",
    "change_share",
    "impressions_before",
    "impressions",
    "position_before",
    "position",
)


def with_change(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with change, change_share (missing where nothing was), position_before and position."""
    change = frame["clicks"] - frame["clicks_before"]
    return frame.assign(
        change=change,
        change_share=ratio(change, frame["clicks_before"]),
        position_before=average_position(frame["sum_position_before"], frame["impressions_before"]),
        position=average_position(frame["sum_position"], frame["impressions"]),
    )


def is_beyond_chance(frame: pd.DataFrame, significance: float) -> pd.Series:
    """Whether the clicks differ by more than `significance` deviations of two equal Poisson counts."""
    change = frame["clicks"] - frame["clicks_before"]
    deviation = (frame["clicks"] + frame["clicks_before"]).clip(lower=1) ** 0.5
    return change.abs() >= significance * deviation
