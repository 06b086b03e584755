"""daily_performance: each day's true totals, and what brand, other and anonymised queries make of them."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.frames import SERIES, ratio, require

LEDGER_INPUT = (
    "site_url",
    "search_type",
    "data_date",
    "status",
    "clicks",
    "impressions",
    "position",
    "truncated",
)
NAMED_INPUT = (
    "site_url",
    "search_type",
    "data_date",
    "brand_clicks",
    "brand_impressions",
    "non_brand_clicks",
    "non_brand_impressions",
)
"""Sums over the rows that have a query, by day; a day without such rows has no row."""

FEEDS = ("DISCOVER", "GOOGLE_NEWS")
"""Search types without queries: nothing is anonymised where nothing is asked."""


def daily_performance(ledger: pd.DataFrame, named: pd.DataFrame) -> pd.DataFrame:
    """One row for each day with known totals, from the first on which anything was shown.

    Totals are the ledger's, so they hold what no query row does: anonymised is the total less the named.
    A day known to be empty is a day of zeros. A failed day has the totals of its last good read.
    """
    days = require(ledger, LEDGER_INPUT)
    days = days[days["impressions"].notna()]
    shown_on = days["data_date"].where(days["impressions"] > 0)
    first_shown = shown_on.groupby([days[key] for key in SERIES]).transform("min")
    days = days[days["data_date"] >= first_shown]
    days = days.merge(require(named, NAMED_INPUT), on=[*SERIES, "data_date"], how="left")
    result = days.assign(
        is_final=days["status"].isin(("final", "empty")),
        ctr=ratio(days["clicks"], days["impressions"]),
        position=days["position"].mask(days["impressions"] == 0),
    )
    has_queries = ~days["search_type"].isin(FEEDS)
    for measure in ("clicks", "impressions"):
        parts = [result[f"{part}_{measure}"].astype("Int64").fillna(0) for part in ("brand", "non_brand")]
        # Never negative: rows of a failed day may be of an earlier read than its totals.
        rest = (result[measure].astype("Int64") - parts[0] - parts[1]).clip(lower=0)
        for name, part in zip(("brand", "non_brand", "anonymised"), [*parts, rest], strict=True):
            result[f"{name}_{measure}"] = part.where(has_queries)
    order = [*SERIES, "data_date"]
    return result.drop(columns="status").sort_values(order, ignore_index=True)
