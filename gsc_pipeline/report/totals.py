"""The headline figures: totals of a window, compared with the previous window and the year before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from gsc_pipeline.insights.measures import SERIES
from gsc_pipeline.insights.windows import YEAR, compared, final_days, window
from gsc_pipeline.workspaces.registry import holds
from gsc_pipeline.workspaces.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over days; `position` is the average, or None without impressions and for feeds."""

    clicks: int
    impressions: int
    position: float | None

    @property
    def ctr(self) -> float | None:
        """Clicks divided by impressions; None without impressions."""
        return self.clicks / self.impressions if self.impressions else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The totals of two equal windows."""

    now: Totals
    before: Totals

    def change(self, measure: str) -> float | None:
        """The change as a share of the earlier value (of a position, the difference); None if unknown."""
        now, before = getattr(self.now, measure), getattr(self.before, measure)
        if now is None or before is None or (measure != "position" and not before):
            return None
        return float(now - before) if measure == "position" else float((now - before) / before)


@dataclass(frozen=True, slots=True)
class Headline:
    """The totals from `first` to `last`; a comparison is None if its days are not complete."""

    first: date
    last: date
    totals: Totals
    previous: Comparison | None
    year: Comparison | None


def outermost(site_urls: Sequence[str]) -> list[str]:
    """The properties that are not part of another one in the list, so that their totals can be added."""
    every = sorted(set(site_urls))
    return [one for one in every if not any(holds(other, one) for other in every if other != one)]


def headline(daily: pd.DataFrame, thresholds: Thresholds) -> Headline | None:
    """The figures over rows of daily_performance whose series can be added; None without final days.

    A comparison is None unless every series has the days for it.
    """
    final = final_days(
        daily.assign(status=daily["is_final"].map({True: "final", False: "provisional"})),
        thresholds.window_days,
    )
    days = window(final, thresholds.window_days, 0.0)
    if days.empty:
        return None
    series = len(days[SERIES].drop_duplicates())

    def comparison(back: int) -> Comparison | None:
        pairs = compared(final, thresholds.window_days, back, thresholds.compared_days_share)
        if pairs.empty or len(pairs[SERIES].drop_duplicates()) < series:
            return None
        halves = (totals_of(daily, pairs[pairs["period"] == period]) for period in ("now", "before"))
        return Comparison(*halves)

    return Headline(
        first=days["data_date"].min().date(),
        last=days["data_date"].max().date(),
        totals=totals_of(daily, days),
        previous=comparison(thresholds.window_days),
        year=comparison(YEAR),
    )


def totals_of(daily: pd.DataFrame, days: pd.DataFrame) -> Totals:
    """The totals of the rows whose series and day are in `days`; positions are weighted by impressions."""
    rows = daily.merge(days[[*SERIES, "data_date"]], on=[*SERIES, "data_date"])
    placed = rows[rows["position"].notna()]
    shown = int(placed["impressions"].sum())
    position = float((placed["position"] * placed["impressions"]).sum()) / shown if shown else None
    return Totals(int(rows["clicks"].sum()), int(rows["impressions"].sum()), position)
