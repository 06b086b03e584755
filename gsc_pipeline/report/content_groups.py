"""The largest content groups of a property: clicks now and before, by week, and their latest changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from gsc_pipeline.insights.measures import SERIES, require
from gsc_pipeline.report.changes import Change, latest
from gsc_pipeline.report.totals import LEAST_COMPARED

GROUP_DAYS_INPUT = (*SERIES, "data_date", "content_group", "clicks", "impressions", "position")

SHOWN_GROUPS = 12
WEEKS = 13
"""The weeks of clicks that a row draws, up to the end of the window."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A content group: clicks of the window and of the one before (None if unknown), and its share.

    `weeks` begins with the oldest; None where a day is unknown.
    """

    content_group: str
    clicks: int
    before: int | None
    share: float | None
    weeks: tuple[int | None, ...]
    change: Change | None

    @property
    def change_share(self) -> float | None:
        """The change against the earlier window, as a share of its clicks; None if these are too few."""
        if self.before is None or self.before < LEAST_COMPARED:
            return None
        return (self.clicks - self.before) / self.before


def group_rows(
    days: pd.DataFrame,
    empty: pd.Series,
    last: date,
    window_days: int,
    least_share: float,
    changes: Sequence[Change],
) -> list[GroupRow]:
    """The groups of one property, by clicks in the window that ends on `last`.

    `days` are its rows of content_group_days, `empty` its final days without impressions, which have none.
    The windows are equal: a day counts if its counterpart `window_days` earlier is known too; with less than
    `least_share` of them there is no comparison.
    """
    found = require(days, GROUP_DAYS_INPUT)
    age = (pd.Timestamp(last) - found["data_date"]).dt.days
    known = {day for day in (*age, *(pd.Timestamp(last) - empty).dt.days) if day >= 0}
    window = {day for day in known if day < window_days}
    pairs = {day for day in window if day + window_days in known}
    is_comparable = len(pairs) >= least_share * window_days
    now = _clicks(found, age.isin(pairs if is_comparable else window))
    before = _clicks(found, (age - window_days).isin(pairs)) if is_comparable else None
    total = int(now.sum())
    if before is not None:
        now = now.reindex(now.index.union(before[before > 0].index), fill_value=0)
    return [
        GroupRow(
            str(group),
            int(clicks),
            None if before is None else int(before.get(group, 0)),
            int(clicks) / total if total else None,
            _weeks(found[found["content_group"] == group], known, last),
            latest(changes, str(group)),
        )
        for group, clicks in now.sort_values(ascending=False, kind="stable").items()
    ]


def of_group(days: pd.DataFrame, daily: pd.DataFrame, content_group: str) -> pd.DataFrame:
    """Rows like those of daily_performance, but of one content group.

    A final or provisional day has the rows of its groups; the group without a row on it has no clicks. Days
    before the first of any group are left out. What only the whole property has is missing: the split into
    brand and other queries.
    """
    found = require(days, GROUP_DAYS_INPUT)
    keys = [*SERIES, "data_date"]
    shown = found[keys].drop_duplicates().assign(is_known=True)
    mine = found.loc[found["content_group"] == content_group, [*keys, "clicks", "impressions", "position"]]
    whole = daily[[*keys, "is_final", "truncated", "impressions"]].rename(columns={"impressions": "of_all"})
    joined = whole.merge(shown, on=keys, how="left").merge(mine, on=keys, how="left")
    first = joined["data_date"].where(joined["is_known"].notna())
    begun = joined["data_date"] >= first.groupby([joined[key] for key in SERIES]).transform("min")
    kept = joined[begun & (joined["is_known"].notna() | (joined["of_all"] == 0))]
    filled = kept.fillna({"clicks": 0, "impressions": 0}).astype({"clicks": "int64", "impressions": "int64"})
    missing = [name for name in daily.columns if name not in filled.columns]
    return filled.reindex(columns=[*filled.columns, *missing])[list(daily.columns)].reset_index(drop=True)


def _clicks(found: pd.DataFrame, chosen: pd.Series) -> pd.Series:
    return found[chosen].groupby("content_group")["clicks"].sum()


def _weeks(days: pd.DataFrame, known: set[int], last: date) -> tuple[int | None, ...]:
    age = (pd.Timestamp(last) - days["data_date"]).dt.days
    sums = days.groupby(age // 7)["clicks"].sum()
    return tuple(
        int(sums.get(week, 0)) if all(7 * week + day in known for day in range(7)) else None
        for week in reversed(range(WEEKS))
    )
