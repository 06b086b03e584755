"""cannibalisation: queries whose clicks are split between pages of one property."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.frames import SERIES, average_position, ratio, require
from gsc_pipeline.thresholds import Thresholds

QUERY_PAGES_INPUT = (
    *SERIES,
    "as_of",
    "days",
    "query",
    "is_brand",
    "url",
    "clicks",
    "impressions",
    "sum_position",
)
"""Sums of the window by query and page, counted by page: all pages of each query."""

_QUERY = [*SERIES, "query"]


def cannibalisation(pages: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of cannibalisation, the query with the most clicks first, its pages by clicks.

    A query counts with `cannibalisation_clicks` and two pages that each have `cannibalisation_share` of
    its clicks. The concentration (HHI) is over all its pages, and of impressions.
    """
    every = require(pages, QUERY_PAGES_INPUT)
    every = every[every["query"] != ""]
    of_query = every.groupby(_QUERY)
    every["query_clicks"] = of_query["clicks"].transform("sum")
    every["query_impressions"] = of_query["impressions"].transform("sum")
    every["click_share"] = ratio(every["clicks"], every["query_clicks"]).astype("float64")
    every["impression_share"] = ratio(every["impressions"], every["query_impressions"]).astype("float64")
    every["hhi"] = (every["impression_share"] ** 2).groupby([every[key] for key in _QUERY]).transform("sum")
    every = every[every["query_clicks"] >= max(1, thresholds.cannibalisation_clicks)]
    sharing = every[every["click_share"] >= thresholds.cannibalisation_share].copy()
    sharing["pages"] = sharing.groupby(_QUERY)["url"].transform("count")
    sharing["position"] = average_position(sharing["sum_position"], sharing["impressions"])
    order = [*SERIES, "query_clicks", "query", "clicks", "url"]
    ascending = [True, True, False, True, False, True]
    return sharing[sharing["pages"] >= 2].sort_values(order, ascending=ascending, ignore_index=True)
