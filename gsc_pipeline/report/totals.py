"""The headline figures: totals of a window, compared with the previous window and the year before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from gsc_pipeline.insights.measures import series_of
from gsc_pipeline.insights.windows import YEAR, compared, final_days, window
from gsc_pipeline.workspaces.registry import holds
from gsc_pipeline.workspaces.thresholds import Thresholds

LEAST_COMPARED = 10
"""A change against fewer clicks or impressions has no percentage: the loss of one click would be −100%."""


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
        """The change as a share of the earlier value (of a position, the difference).

        None if unknown, or if it is against fewer than LEAST_COMPARED clicks or impressions.
        """
        now, before = getattr(self.now, measure), getattr(self.before, measure)
        counted = self.before.impressions if measure in ("impressions", "position") else self.before.clicks
        if now is None or before is None or counted < LEAST_COMPARED:
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


def choose(clicks: Mapping[tuple[str, str], int]) -> tuple[str, list[str]]:
    """The search type of the headline, and the properties whose totals it adds.

    `clicks` has those of each current property and search type. Web search is preferred to the others.
    """
    by_type: dict[str, int] = {}
    for (_, search_type), count in clicks.items():
        by_type[search_type] = by_type.get(search_type, 0) + count
    chosen = "WEB" if "WEB" in by_type else max(by_type, key=lambda name: (by_type[name], name))
    return chosen, outermost([site_url for site_url, search_type in clicks if search_type == chosen])


def headline(daily: pd.DataFrame, thresholds: Thresholds) -> Headline | None:
    """The figures over rows of daily_performance of one workspace; None without final days.

    The totals of its series must be such that they can be added.
    """
    return headlines(daily.assign(workspace=""), thresholds).get("")


def headlines(daily: pd.DataFrame, thresholds: Thresholds) -> dict[str, Headline]:
    """The figures of each workspace that has final days.

    A comparison is None unless every series of the workspace has the days for it.
    """
    final = final_days(_with_status(daily), thresholds.window_days)
    days = window(final, thresholds.window_days, 0.0)
    totals, series = _totals(daily, days), _series(days)
    ends = days.groupby("workspace")["data_date"].agg(["min", "max"])
    spans = {str(workspace): (first.date(), last.date()) for workspace, first, last in ends.itertuples()}

    def comparisons(back: int) -> dict[str, Comparison]:
        pairs = compared(final, thresholds.window_days, back, thresholds.compared_days_share)
        halves = [_totals(daily, pairs[pairs["period"] == period]) for period in ("now", "before")]
        compared_series = _series(pairs)
        return {
            workspace: Comparison(halves[0][workspace], halves[1][workspace])
            for workspace, count in series.items()
            if compared_series.get(workspace) == count
        }

    previous, year = comparisons(thresholds.window_days), comparisons(YEAR)
    return {
        workspace: Headline(*spans[workspace], total, previous.get(workspace), year.get(workspace))
        for workspace, total in totals.items()
    }


def current_clicks(daily: pd.DataFrame, thresholds: Thresholds) -> dict[str, dict[tuple[str, str], int]]:
    """For each workspace, the clicks of each property and search type in its current window.

    Properties whose data ended before the workspace's current window are left out.
    """
    days = window(final_days(_with_status(daily), thresholds.window_days), thresholds.window_days, 0.0)
    clicks = _rows_of(daily, days).groupby(series_of(days), as_index=False)["clicks"].sum()
    found: dict[str, dict[tuple[str, str], int]] = {}
    for workspace, site_url, search_type, count in clicks.itertuples(index=False):
        found.setdefault(workspace, {})[site_url, search_type] = int(count)
    return found


def _with_status(daily: pd.DataFrame) -> pd.DataFrame:
    return daily.assign(status=daily["is_final"].map({True: "final", False: "provisional"}))


def _series(days: pd.DataFrame) -> dict[str, int]:
    """How many series each workspace has among the days."""
    counts = days[series_of(days)].drop_duplicates().groupby("workspace").size()
    return {str(workspace): int(count) for workspace, count in counts.items()}


def _rows_of(daily: pd.DataFrame, days: pd.DataFrame) -> pd.DataFrame:
    keys = [*series_of(days), "data_date"]
    return daily.merge(days[keys], on=keys)


def _totals(daily: pd.DataFrame, days: pd.DataFrame) -> dict[str, Totals]:
    """By workspace, the totals of the rows whose series and day are in `days`.

    Positions are weighted by impressions.
    """
    rows = _rows_of(daily, days)
    shown = rows["impressions"].where(rows["position"].notna(), 0)
    sums = (
        rows.assign(shown=shown, places=(rows["position"] * shown).fillna(0))
        .groupby("workspace")[["clicks", "impressions", "shown", "places"]]
        .sum()
    )
    return {
        str(workspace): Totals(int(clicks), int(impressions), float(places / shown) if shown else None)
        for workspace, clicks, impressions, shown, places in sums.itertuples(name=None)
    }
