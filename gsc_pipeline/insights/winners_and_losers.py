"""The table winners_and_losers: queries, pages and content groups whose clicks changed."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.canonical_queries import of_both_dimensions
from gsc_pipeline.insights.measures import COMPARED_INPUT, SERIES, is_beyond_chance, require, with_change
from gsc_pipeline.insights.tables import ranked
from gsc_pipeline.lake.schemas import WINNERS_AND_LOSERS
from gsc_pipeline.workspaces.thresholds import Thresholds

ITEMS_INPUT = (*SERIES, "as_of", "days", "dimension", "item", "spellings", *COMPARED_INPUT)
"""Sums over two equal, adjacent windows, by query or canonical query (counted by property), page or group
(counted by page). The item of a canonical query is its most shown spelling. Only queries have `spellings`."""


def winners_and_losers(items: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of winners_and_losers.

    A winner or loser has at least `change_impressions` impressions in both windows, and its clicks changed by
    at least `change_share` and by more than chance (`is_beyond_chance`). A new or lost item has at least
    `change_impressions` impressions in one window and none in the other.
    """
    every = with_change(require(items, ITEMS_INPUT))
    every = every[every["item"] != ""]
    least = max(1, thresholds.change_impressions)
    before, after = every["impressions_before"], every["impressions"]
    share = thresholds.change_share * every["clicks_before"]
    moved = (
        (before >= least)
        & (after >= least)
        & (every["change"] != 0)
        & (every["change"].abs() >= share)
        & is_beyond_chance(every, thresholds.significance)
    )
    every["kind"] = pd.Series(pd.NA, index=every.index, dtype="string")
    every.loc[moved & (every["change"] > 0), "kind"] = "winner"
    every.loc[moved & (every["change"] < 0), "kind"] = "loser"
    every.loc[(before == 0) & (after >= least), "kind"] = "new"
    every.loc[(after == 0) & (before >= least), "kind"] = "lost"
    return ranked(WINNERS_AND_LOSERS, of_both_dimensions(every[every["kind"].notna()]))
