"""The notes of the report: what limits its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

from gsc_pipeline.lake.quality import DarkProperty
from gsc_pipeline.report.data import ReportData, has_brand_terms
from gsc_pipeline.report.numbers import share as share_of
from gsc_pipeline.report.words import words


@dataclass(frozen=True, slots=True)
class KnownIssue:
    """An error in Google's own numbers, from `first` to `last`, both included; None means until now."""

    first: date
    last: date | None
    description: str
    source: str

    def overlaps(self, first: date, last: date) -> bool:
        """Whether any of its days is from `first` to `last`."""
        return self.first <= last and (self.last is None or self.last >= first)

    def __str__(self) -> str:
        days = f"since {self.first}" if self.last is None else f"{self.first} to {self.last}"
        return f"{days}: {self.description} (Source: {self.source}.)"


KNOWN_ISSUES = (
    KnownIssue(
        date(2025, 5, 13),
        date(2026, 4, 27),
        "An error in Google's logging counted too many impressions, and Google corrected them later. "
        "Impressions and CTR of these days may differ from earlier reports; clicks are not affected.",
        "Google, Search Console Help: Data anomalies in Search Console",
    ),
)
"""Published by Google or the trade press; kept by hand, in the order of their first days."""


def warnings(data: ReportData) -> list[str]:
    """What the client has to know first: properties whose numbers fell to nothing."""
    return [went_dark(one) for one in data.dark]


def notes(data: ReportData) -> list[str]:
    """The notes that apply, the most important first."""
    return [
        *_failing(data),
        *_known_issues(data),
        *_cut(data),
        *_provisional(data),
        *_anonymised(data),
        *_sums(data),
    ]


def went_dark(one: DarkProperty) -> str:
    """What happened to a property whose numbers fell to nothing, and what to do."""
    clicks = f"{one.clicks_before:,} {'click' if one.clicks_before == 1 else 'clicks'}"
    days = _days(one.final_days_without)
    return (
        f"{one.site_url} ({words(one.search_type)}) has had no impressions since "
        f"{one.last_day_with_impressions}, for {days}. In the four weeks before, it had {clicks} and "
        f"{one.impressions_before:,} impressions. Check that the site can be reached, and that Google may "
        "crawl and index it."
    )


def _failing(data: ReportData) -> list[str]:
    found = [
        f"{f'{one.site_url} ({words(one.search_type)})' if one.site_url else 'All properties'}: "
        f"the newest numbers of {_days(one.days)} since {one.first_day} are missing."
        for one in data.failing
    ]
    explained = {(one.site_url, one.search_type) for one in data.failing}
    late = [
        f"{one.site_url} ({words(one.search_type)}) is final only until {one.figures.last}, other properties "
        f"until {data.figures.last}. Its windows end earlier."
        for one in data.properties
        if one.figures.last < data.figures.last
        and not {(one.site_url, one.search_type), ("", "")} & explained
    ]
    return found + late


def _known_issues(data: ReportData) -> list[str]:
    if data.daily.empty:
        return []
    first, last = data.daily["data_date"].min().date(), data.figures.last
    return [str(issue) for issue in KNOWN_ISSUES if issue.overlaps(first, last)]


def _cut(data: ReportData) -> list[str]:
    window = data.window
    cut = window.loc[window["truncated"].astype(bool), "data_date"].nunique()
    if not cut:
        return []
    clicks, beyond = int(window["clicks"].sum()), window["cut_clicks"].sum(min_count=1)
    share = (
        f" for {share_of(float(beyond) / clicks, 0)} of the clicks" if clicks and not pd.isna(beyond) else ""
    )
    return [
        f"On {_days(cut)} of the window, Google's limit of 50,000 rows a day cut off rare queries{share}. "
        "Totals are correct; lists of queries and pages lack these."
    ]


def _provisional(data: ReportData) -> list[str]:
    if data.provisional_from is None:
        return []
    return [
        f"Days from {data.provisional_from} on may still change. They are dashed in the chart and are not "
        "part of any window."
    ]


def _anonymised(data: ReportData) -> list[str]:
    window = data.window
    clicks, hidden = int(window["clicks"].sum()), window["anonymised_clicks"]
    found = []
    if clicks and hidden.notna().any():
        share = float(hidden.sum()) / clicks
        found.append(
            f"Google does not name the queries behind {share_of(share, 0)} of the clicks, because few people "
            "searched for them. Totals include these clicks; lists of queries do not."
        )
    if not has_brand_terms(data.workspace):
        found.append("Brand queries are not told apart: every query counts as non-brand.")
    return found


def _sums(data: ReportData) -> list[str]:
    inner = [one for one in data.properties if one.search_type == data.search_type and not one.is_counted]
    if not inner:
        return []
    names = ", ".join(pd.unique(pd.Series([one.site_url for one in inner])))
    return [f"The totals leave out {names}, because another property of this report includes the same pages."]


def _days(count: object) -> str:
    return f"{count} {'day' if count == 1 else 'days'}"
