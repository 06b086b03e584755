"""ctr_gap: queries that get far fewer clicks than their positions give on this property."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.frames import SERIES, average_position, ratio, require
from gsc_pipeline.thresholds import Thresholds

QUERY_POSITIONS_INPUT = (
    *SERIES,
    "as_of",
    "days",
    "query",
    "device",
    "position",
    "clicks",
    "impressions",
    "sum_position",
)
"""As the curve's input, by query too: non-brand queries only."""

CURVE_INPUT = (*SERIES, "device", "position", "expected_ctr")

_QUERY = [*SERIES, "as_of", "days", "query", "device"]


def ctr_gap(queries: pd.DataFrame, curve: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of ctr_gap, the most clicks missing first; without `url`.

    What is expected of a query is the curve's rate at each position it was shown at, weighted by
    impressions. It is listed with `ctr_gap_impressions`, when it has at most `ctr_gap_share` of the
    expected clicks, and `ctr_gap_significance` deviations (of a Poisson count) fewer than the expected.
    Positions below the curve's reach do not count.
    """
    shown = require(queries, QUERY_POSITIONS_INPUT).merge(
        require(curve, CURVE_INPUT), on=[*SERIES, "device", "position"]
    )
    shown["expected_clicks"] = shown["impressions"] * shown["expected_ctr"]
    sums = ["clicks", "impressions", "sum_position", "expected_clicks"]
    found = shown.groupby(_QUERY, as_index=False, dropna=False)[sums].sum()
    gap = found["expected_clicks"] - found["clicks"]
    found = found.assign(
        ctr=ratio(found["clicks"], found["impressions"]),
        position=average_position(found["sum_position"], found["impressions"]),
        expected_ctr=ratio(found["expected_clicks"], found["impressions"]),
        gap_clicks=gap,
    )
    listed = (
        (found["impressions"] >= thresholds.ctr_gap_impressions)
        & (gap > 0)
        & (found["clicks"] <= thresholds.ctr_gap_share * found["expected_clicks"])
        & (gap >= thresholds.ctr_gap_significance * found["expected_clicks"] ** 0.5)
    )
    order = [*SERIES, "gap_clicks", "query", "device"]
    return found[listed].sort_values(order, ascending=[True, True, False, True, True], ignore_index=True)
