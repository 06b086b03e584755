"""winners_and_losers: queries and pages whose clicks changed against the window just before."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.changes import COMPARED_INPUT, is_beyond_chance, with_change
from gsc_pipeline.insights.frames import SERIES, require
from gsc_pipeline.thresholds import Thresholds

ITEMS_INPUT = (*SERIES, "as_of", "days", "dimension", "item", *COMPARED_INPUT)
"""Sums of two equal, adjacent windows by query (counted by property) or page (counted by page)."""


def winners_and_losers(items: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of winners_and_losers, the greatest change first.

    `change_impressions` are needed in both windows for a winner or loser, in the one where it was shown for
    what is new or lost. A winner or loser has `change_share` more or fewer clicks, and more than chance
    explains.
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
    every = every.assign(size=every["change"].abs(), shown=before + after)
    order = [*SERIES, "dimension", "size", "shown", "item"]
    ascending = [True, True, True, False, False, True]
    return every[every["kind"].notna()].sort_values(order, ascending=ascending, ignore_index=True)
