"""Which days an insight looks at: final ones only, in windows that end on the last of them.

Belongs here: windows and pairs of windows, from the ledger. Does not: what is counted in them.
"""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.frames import SERIES, require

DAYS_INPUT = ("site_url", "search_type", "data_date", "status")
"""The ledger's columns that decide on windows; data_date as datetime64."""

YEAR = 364
"""Days from a window to the one of the year before: 52 weeks, so that weekdays meet, leap year or not."""

_KNOWN_FOR_GOOD = ("final", "empty")


def final_days(ledger: pd.DataFrame, window_days: int) -> pd.DataFrame:
    """The days known for good, each with its series' last one as `as_of`: site_url, search_type, data_date.

    A day known to be empty is as good as final: it has zero clicks. A series whose last such day lies a
    window or more behind the newest of all has no present, and is left out.
    """
    days = require(ledger, DAYS_INPUT)
    days = days[days["status"].isin(_KNOWN_FOR_GOOD)].drop(columns="status")
    days["as_of"] = days.groupby(SERIES)["data_date"].transform("max")
    is_present = days["as_of"] > days["as_of"].max() - pd.Timedelta(days=window_days)
    present: pd.DataFrame = days[is_present]
    return present.reset_index(drop=True)


def window(final: pd.DataFrame, days: int, least_share: float) -> pd.DataFrame:
    """The last `days` days of each series as far as they are final; `days` tells how many that is.

    A series with less than `least_share` of them final has none. A young one has what it has.
    """
    age = (final["as_of"] - final["data_date"]).dt.days
    chosen = final[age < days].copy()
    chosen["days"] = chosen.groupby(SERIES)["data_date"].transform("count")
    history = (final["as_of"] - final.groupby(SERIES)["data_date"].transform("min")).dt.days + 1
    wanted = history[chosen.index].clip(upper=days)
    return chosen[chosen["days"] >= least_share * wanted].reset_index(drop=True)


def compared(final: pd.DataFrame, days: int, back: int, least_share: float) -> pd.DataFrame:
    """Two equal windows of each series: days with `period` now or before, `back` days apart.

    A day counts only when the one `back` days from it is final too, so both windows have the same number
    of days, and of each weekday when `back` is whole weeks; `days` is that number. A series with less than
    `least_share` of `days` pairs is not compared.
    """
    last = final[(final["as_of"] - final["data_date"]).dt.days < days]
    first = last.assign(data_date=last["data_date"] - pd.Timedelta(days=back))
    known = first.merge(final[[*SERIES, "data_date"]], on=[*SERIES, "data_date"])
    known["days"] = known.groupby(SERIES)["data_date"].transform("count")
    known = known[known["days"] >= least_share * days]
    now = known.assign(data_date=known["data_date"] + pd.Timedelta(days=back))
    both = pd.concat([now.assign(period="now"), known.assign(period="before")])
    return both.reset_index(drop=True)
