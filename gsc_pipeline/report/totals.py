"""Totals of a window against the window before and the year before, for the properties that add up.

Belongs here: sums over days and properties, and their changes. Does not: which days are final (`insights`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit

import pandas as pd

from gsc_pipeline.insights.frames import SERIES
from gsc_pipeline.insights.windows import YEAR, compared, final_days, window
from gsc_pipeline.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class Totals:
    """What some days sum to; `position` is None where there is none (feeds)."""

    clicks: int
    impressions: int
    position: float | None

    @property
    def ctr(self) -> float | None:
        """Clicks by impressions; None unless shown."""
        return self.clicks / self.impressions if self.impressions else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two equal windows."""

    now: Totals
    before: Totals

    def change(self, measure: str) -> float | None:
        """The change as a part of what was before (of a position: in places); None where nothing was."""
        now, before = getattr(self.now, measure), getattr(self.before, measure)
        if now is None or before is None or (measure != "position" and not before):
            return None
        return float(now - before) if measure == "position" else float((now - before) / before)


@dataclass(frozen=True, slots=True)
class Headline:
    """The figures of a window, and what they are compared with where that is known."""

    first: date
    last: date
    totals: Totals
    previous: Comparison | None
    year: Comparison | None


def outermost(site_urls: Sequence[str]) -> list[str]:
    """The properties that no other of them holds: theirs are the totals that may be added."""
    every = sorted(set(site_urls))
    return [one for one in every if not any(_holds(other, one) for other in every if other != one)]


def headline(daily: pd.DataFrame, thresholds: Thresholds) -> Headline | None:
    """The figures over these rows of daily_performance, of series that may be added; None without days.

    A comparison is made of the series that have all of it; it is None unless they all have.
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
    """The sums over the rows of these days of these series; positions weighted by impressions."""
    rows = daily.merge(days[[*SERIES, "data_date"]], on=[*SERIES, "data_date"])
    placed = rows[rows["position"].notna()]
    shown = int(placed["impressions"].sum())
    position = float((placed["position"] * placed["impressions"]).sum()) / shown if shown else None
    return Totals(int(rows["clicks"].sum()), int(rows["impressions"].sum()), position)


def _holds(outer: str, inner: str) -> bool:
    """Whether every page of `inner` is one of `outer`."""
    if not outer.startswith("sc-domain:"):
        return inner.startswith(outer)
    domain = outer.removeprefix("sc-domain:")
    is_domain = inner.startswith("sc-domain:")
    host = inner.removeprefix("sc-domain:") if is_domain else urlsplit(inner).hostname or ""
    return host == domain or host.endswith(f".{domain}")
