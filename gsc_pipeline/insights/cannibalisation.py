"""The table cannibalisation: queries whose clicks are split between pages of one property."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.canonical_queries import NAMED_QUERY, of_both_dimensions
from gsc_pipeline.insights.measures import SERIES, average_position, ratio, require
from gsc_pipeline.insights.tables import ranked
from gsc_pipeline.lake.schemas import CANNIBALISATION
from gsc_pipeline.workspaces.thresholds import Thresholds

QUERY_PAGES_INPUT = (
    *SERIES,
    "as_of",
    "days",
    "dimension",
    "query",
    "canonical_query",
    "spellings",
    "is_brand",
    "url",
    "clicks",
    "impressions",
    "sum_position",
)
"""Sums over the window by query and page, for all pages of each query, counted by page."""


def cannibalisation(pages: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of cannibalisation: queries with two or more pages that share their clicks.

    A query needs at least `cannibalisation_clicks` clicks, and each listed page at least
    `cannibalisation_share` of them. The concentration (HHI) is that of impressions over all its pages.
    """
    every = require(pages, QUERY_PAGES_INPUT)
    every = every[every["query"] != ""]
    of_query = every.groupby(NAMED_QUERY)
    every["query_clicks"] = of_query["clicks"].transform("sum")
    every["query_impressions"] = of_query["impressions"].transform("sum")
    every["click_share"] = ratio(every["clicks"], every["query_clicks"]).astype("float64")
    every["impression_share"] = ratio(every["impressions"], every["query_impressions"]).astype("float64")
    every["hhi"] = (
        (every["impression_share"] ** 2).groupby([every[key] for key in NAMED_QUERY]).transform("sum")
    )
    every = every[every["query_clicks"] >= max(1, thresholds.cannibalisation_clicks)]
    sharing = every[every["click_share"] >= thresholds.cannibalisation_share].copy()
    sharing["pages"] = sharing.groupby(NAMED_QUERY)["url"].transform("count")
    sharing["position"] = average_position(sharing["sum_position"], sharing["impressions"])
    return ranked(CANNIBALISATION, of_both_dimensions(sharing[sharing["pages"] >= 2]))
