"""The table ctr_gap: queries with far fewer clicks than the CTR curve predicts."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.canonical_queries import NAMED_QUERY, of_both_dimensions
from gsc_pipeline.insights.ctr_curve import EXPECTED_CTR
from gsc_pipeline.insights.measures import SERIES, average_position, ratio, require
from gsc_pipeline.insights.tables import ranked
from gsc_pipeline.lake.schemas import CTR_GAP
from gsc_pipeline.workspaces.thresholds import Thresholds

QUERY_POSITIONS_INPUT = (
    *SERIES,
    "as_of",
    "days",
    "dimension",
    "query",
    "canonical_query",
    "spellings",
    "device",
    "position",
    "clicks",
    "impressions",
    "sum_position",
)
"""The input of the curve, also by query; non-brand queries only."""

_QUERY = [*NAMED_QUERY, "spellings", "as_of", "days", "device"]


def ctr_gap(queries: pd.DataFrame, curve: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of ctr_gap, without the column `url`.

    The expected CTR of a query is that of the curve at each of its positions, weighted by impressions.
    Positions deeper than the curve are left out. A query is listed if it has at least `ctr_gap_impressions`
    impressions, at most `ctr_gap_share` of the expected clicks, and at least `ctr_gap_significance` standard
    deviations (of a Poisson count) fewer clicks than expected.
    """
    shown = require(queries, QUERY_POSITIONS_INPUT).merge(
        require(curve, EXPECTED_CTR), on=[*SERIES, "device", "position"]
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
    return ranked(CTR_GAP, of_both_dimensions(found[listed]))
