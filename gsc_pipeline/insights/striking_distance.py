"""The table striking_distance: queries just below the top positions, and their potential clicks."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.canonical_queries import NAMED_QUERY, of_both_dimensions
from gsc_pipeline.insights.ctr_curve import EXPECTED_CTR
from gsc_pipeline.insights.measures import SERIES, average_position, ratio, require
from gsc_pipeline.insights.tables import ranked
from gsc_pipeline.lake.schemas import STRIKING_DISTANCE
from gsc_pipeline.workspaces.thresholds import Thresholds

QUERIES_INPUT = (
    *SERIES,
    "as_of",
    "days",
    "dimension",
    "query",
    "canonical_query",
    "spellings",
    "is_brand",
    "device",
    "clicks",
    "impressions",
    "sum_position",
)
"""Sums over the window by query and device, counted by property."""

_QUERY = [*NAMED_QUERY, "spellings", "as_of", "days", "is_brand"]


def striking_distance(queries: pd.DataFrame, curve: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of striking_distance, without the column `url`.

    A query is listed if its average position is from `striking_position_from` to `striking_position_to` and
    it has at least `striking_impressions` impressions. Its potential is what the CTR of each device at
    `striking_target_position` would add; it is missing if one of the devices has no curve.
    """
    rates = require(curve, EXPECTED_CTR)
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
    return ranked(STRIKING_DISTANCE, of_both_dimensions(found[listed.fillna(False)]))
