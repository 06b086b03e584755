"""The notes of the report: what limits its numbers."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd

from gsc_pipeline.days import pacific_today
from gsc_pipeline.insights.annotated import titles
from gsc_pipeline.insights.daily_performance import FEEDS
from gsc_pipeline.insights.windows import YEAR
from gsc_pipeline.lake.annotations.record import Annotation, Kind
from gsc_pipeline.lake.quality import DarkProperty
from gsc_pipeline.report.data import ReportData
from gsc_pipeline.report.numbers import amount
from gsc_pipeline.report.numbers import share as share_of
from gsc_pipeline.report.words import words

_USUAL_AGE = timedelta(days=7)
"""The newest final day of a site that is synced is about three days old."""


def warnings(data: ReportData) -> list[str]:
    """What the client has to know first: properties whose numbers fell to nothing."""
    return [went_dark(one) for one in data.dark]


def notes(data: ReportData) -> list[str]:
    """The notes that apply, the most important first."""
    return [
        *_damaged(data),
        *_old(data),
        *_failing(data),
        *_annotations(data),
        *_unlike_windows(data),
        *_cut(data),
        *_provisional(data),
        *_anonymised(data),
        *_sums(data),
    ]


def went_dark(one: DarkProperty) -> str:
    """What happened to a property whose numbers fell to nothing, and what to do."""
    clicks, impressions = amount(one.clicks_before, "clicks"), amount(one.impressions_before, "impressions")
    return (
        f"{one.site_url} ({words(one.search_type)}) has had no impressions since "
        f"{one.last_day_with_impressions}, for {amount(one.final_days_without, 'days')}. In the four weeks "
        f"before, it had {clicks} and {impressions}. Check that the site can be reached, and that Google may "
        "crawl and index it."
    )


def _damaged(data: ReportData) -> list[str]:
    note = (
        "Stored rows are not those that were counted: numbers by query, page, device and country may be "
        "wrong."
    )
    return [note] if data.damaged else []


def _old(data: ReportData) -> list[str]:
    """That the numbers end long ago, whatever the reason."""
    age = pacific_today(data.made_at) - data.figures.last
    if age <= _USUAL_AGE:
        return []
    return [
        f"The newest final day, {data.figures.last}, is {amount(age.days, 'days')} before this report was "
        "made."
    ]


def _failing(data: ReportData) -> list[str]:
    found = [
        f"{f'{one.site_url} ({words(one.search_type)})' if one.site_url else 'All properties'}: "
        f"the newest numbers of {amount(one.days, 'days')} since {one.first_day} are missing."
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


def _annotations(data: ReportData) -> list[str]:
    """The annotations of the period: a note for each, and one for all of Google's ranking updates."""
    first, last = data.daily["data_date"].min().date(), data.figures.last
    within = [one for one in data.annotations if one.overlaps(first, last)]
    updates = [str(one) for one in within if one.kind is Kind.RANKING_UPDATE]
    found = [_annotation(one) for one in within if one.kind is not Kind.RANKING_UPDATE]
    if updates:
        found.append(f"Google's ranking updates in this period: {'; '.join(updates)}.")
    return found


def _annotation(one: Annotation) -> str:
    parts = [f"{one.title}, {one.days}.", one.description, f"(Source: {one.url})" if one.url else ""]
    return " ".join(part for part in parts if part)


def _unlike_windows(data: ReportData) -> list[str]:
    """Data faults and changes of counting that cover more days of one of the headline's windows."""
    figures, window_days = data.figures, data.workspace.thresholds.window_days
    spans = (("the days before", figures.previous, window_days), ("the year before", figures.year, YEAR))
    return [
        f"A fault of the data or a change of counting affects the comparison with {against}: {named}."
        for against, comparison, days in spans
        if comparison and (named := _unlike(data, timedelta(days)))
    ]


def _unlike(data: ReportData, back: timedelta) -> str | None:
    first, last = data.figures.first, data.figures.last
    return titles(
        one
        for one in data.annotations
        if one.changes_counting and one.days_within(first, last) != one.days_within(first - back, last - back)
    )


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
        f"On {amount(cut, 'days')} of the window, Google's limit of 50,000 rows a day cut off rare "
        f"queries{share}. Totals are correct; lists of queries and pages lack these."
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
    if data.search_type not in FEEDS and not data.workspace.brand_terms:
        found.append("Brand queries are not distinguished: every query counts as non-brand.")
    return found


def _sums(data: ReportData) -> list[str]:
    inner = [one for one in data.properties if one.search_type == data.search_type and not one.is_counted]
    if not inner:
        return []
    names = ", ".join(dict.fromkeys(one.site_url for one in inner))
    return [f"The totals leave out {names}, because another property of this report includes the same pages."]
