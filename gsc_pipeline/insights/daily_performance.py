"""The table daily_performance: totals by day, split into brand, non-brand, anonymised and cut queries."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.measures import SERIES, first_shown, ratio, require
from gsc_pipeline.insights.windows import FINAL

LEDGER_INPUT = (
    "site_url",
    "search_type",
    "data_date",
    "status",
    "clicks",
    "impressions",
    "position",
    "truncated",
    "cut_clicks",
    "cut_impressions",
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
"""Sums by day of the rows that have a query; days without such rows are absent."""

PARTS = ("brand", "non_brand", "anonymised", "cut")
"""The parts of a day's clicks and impressions; null for feeds."""

FEEDS = ("DISCOVER", "GOOGLE_NEWS")
"""Search types without queries, so without a split."""


def daily_performance(ledger: pd.DataFrame, named: pd.DataFrame) -> pd.DataFrame:
    """Rows of daily_performance: each day with known totals, by date.

    Totals come from the ledger. `anonymised` and `cut` are together the total minus the named queries: `cut`
    is of countries and devices whose queries the API cut off. Empty days are zero. A failed day has the
    totals of its last successful read. A series without any impressions has no rows.
    """
    days = totals_by_day(require(ledger, LEDGER_INPUT))
    days = days.merge(require(named, NAMED_INPUT), on=[*SERIES, "data_date"], how="left")
    result = days.assign(ctr=ratio(days["clicks"], days["impressions"]))
    has_queries = ~days["search_type"].isin(FEEDS)
    for measure in ("clicks", "impressions"):
        parts = [result[f"{part}_{measure}"].astype("Int64").fillna(0) for part in ("brand", "non_brand")]
        # Rows of a failed day may be older than its totals, so the difference could be negative.
        rest = (result[measure].astype("Int64") - parts[0] - parts[1]).clip(lower=0)
        # Null in days that an earlier release read.
        cut = result[f"cut_{measure}"].astype("Int64").fillna(0).clip(upper=rest)
        for name, part in zip(PARTS, [*parts, rest - cut, cut], strict=True):
            result[f"{name}_{measure}"] = part.where(has_queries)
    order = [*SERIES, "data_date"]
    return result.drop(columns="status").sort_values(order, ignore_index=True)


def totals_by_day(ledger: pd.DataFrame) -> pd.DataFrame:
    """The days of the ledger with known totals, and whether each is final (`is_final`).

    Needs site_url, search_type, data_date, status, clicks, impressions and position. A series without any
    impressions has no rows. Rows of several workspaces have the column `workspace`.
    """
    days = ledger[ledger["impressions"].notna()]
    days = days[first_shown(days).notna()]
    return days.assign(
        is_final=days["status"].isin(FINAL), position=days["position"].mask(days["impressions"] == 0)
    )
