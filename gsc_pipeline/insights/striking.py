"""striking_distance: queries just below the best positions, and what a better one would bring."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.frames import SERIES, average_position, ratio, require
from gsc_pipeline.thresholds import Thresholds

QUERIES_INPUT = (
    *SERIES,
    "as_of",
    "days",
    "query",
    "is_brand",
    "device",
    "clicks",
    "impressions",
    "sum_position",
)
"""Sums of the window by query and device, counted by property."""

CURVE_INPUT = (*SERIES, "device", "position", "expected_ctr")

_QUERY = [*SERIES, "as_of", "days", "query", "is_brand"]


def striking_distance(queries: pd.DataFrame, curve: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of striking_distance, the greatest potential first; without `url`.

    A query counts with an average position from `striking_position_from` to `striking_position_to` and
    `striking_impressions`. What the better position gives is read from the curve of each device it was
    shown on; without a curve for all of them the potential is missing, and the query still counts.
    """
    rates = require(curve, CURVE_INPUT)
    rates = rates[rates["position"] == thresholds.striking_target_position].drop(columns="position")
    shown = require(queries, QUERIES_INPUT).merge(rates, on=[*SERIES, "device"], how="left")
    shown["expected_clicks"] = (shown["impressions"] * shown["expected_ctr"]).astype("Float64")
    groups = shown.groupby(_QUERY, as_index=False, dropna=False)
    found = groups[["clicks", "impressions", "sum_position"]].sum()
    expected = groups["expected_clicks"].sum(skipna=False)["expected_clicks"]
    found = found.assign(
        ctr=ratio(found["clicks"], found["impressions"]),
        position=average_position(found["sum_position"], found["impressions"]),
        expected_ctr=ratio(expected, found["impressions"]),
        potential_clicks=(expected - found["clicks"]).clip(lower=0),
    )
    listed = (found["impressions"] >= thresholds.striking_impressions) & found["position"].between(
        thresholds.striking_position_from, thresholds.striking_position_to
    )
    order = [*SERIES, "potential_clicks", "impressions", "query"]
    ascending = [True, True, False, False, True]
    return found[listed.fillna(False)].sort_values(order, ascending=ascending, ignore_index=True)
