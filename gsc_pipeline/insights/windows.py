"""The windows of the insights: final days only, up to the last final day of each series.

Frames may have the rows of several workspaces, in the column `workspace`. No window depends on another
workspace's rows.
"""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.measures import require, series_of

DAYS_INPUT = ("site_url", "search_type", "data_date", "status")
"""The columns of the ledger that define windows; data_date is datetime64."""

YEAR = 364
"""Days between a window and that of the year before: 52 weeks, so that weekdays match in any year."""

FINAL = ("final", "empty")
"""Statuses of days that will not change any more."""


def final_days(ledger: pd.DataFrame, window_days: int) -> pd.DataFrame:
    """The final days, as site_url, search_type, data_date and as_of, the last final day of the series.

    An empty day is final, with zero clicks. A series that ended `window_days` or more before the newest one
    of its workspace is left out.
    """
    of_workspace = [name for name in ("workspace",) if name in ledger.columns]
    days = require(ledger, [*of_workspace, *DAYS_INPUT])
    days = days[days["status"].isin(FINAL)].drop(columns="status")
    days["as_of"] = days.groupby(series_of(days))["data_date"].transform("max")
    newest = days.groupby(of_workspace)["as_of"].transform("max") if of_workspace else days["as_of"].max()
    is_current = days["as_of"] > newest - pd.Timedelta(days=window_days)
    current: pd.DataFrame = days[is_current]
    return current.reset_index(drop=True)


def window(final: pd.DataFrame, days: int, least_share: float) -> pd.DataFrame:
    """The final days among the last `days` of each series; the column `days` counts them.

    A series is left out if less than `least_share` of them are final. Days before its first do not count.
    """
    age = (final["as_of"] - final["data_date"]).dt.days
    chosen = final[age < days].copy()
    series = series_of(final)
    chosen["days"] = chosen.groupby(series)["data_date"].transform("count")
    history = (final["as_of"] - final.groupby(series)["data_date"].transform("min")).dt.days + 1
    wanted = history[chosen.index].clip(upper=days)
    return chosen[chosen["days"] >= least_share * wanted].reset_index(drop=True)


def compared(final: pd.DataFrame, days: int, back: int, least_share: float) -> pd.DataFrame:
    """Two equal windows of each series, `back` days apart: the column `period` is now or before.

    A day is included only if its counterpart, `back` days away, is final as well. So both windows have the
    same number of days (the column `days`) and, if `back` is whole weeks, of each weekday. A series with
    fewer than `least_share` times `days` pairs is left out.
    """
    last = final[(final["as_of"] - final["data_date"]).dt.days < days]
    first = last.assign(data_date=last["data_date"] - pd.Timedelta(days=back))
    series = series_of(final)
    known = first.merge(final[[*series, "data_date"]], on=[*series, "data_date"])
    known["days"] = known.groupby(series)["data_date"].transform("count")
    known = known[known["days"] >= least_share * days]
    now = known.assign(data_date=known["data_date"] + pd.Timedelta(days=back))
    both = pd.concat([now.assign(period="now"), known.assign(period="before")])
    return both.reset_index(drop=True)
