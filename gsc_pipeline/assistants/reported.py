"""The client's report as an answer."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.assistants.answers import (
    Failing,
    Figures,
    Freshness,
    ReportAnswer,
    ReportFinding,
    ReportForecast,
)
from gsc_pipeline.assistants.messages import Limits
from gsc_pipeline.assistants.tables import table_of
from gsc_pipeline.lake.schemas import CHANGE_POINTS, FORECASTS
from gsc_pipeline.report.changes import CHANCE_MEANING, CHANGES_INPUT, Change
from gsc_pipeline.report.data import PropertyFigures, ReportData
from gsc_pipeline.report.findings import FINDINGS, SHOWN, Finding
from gsc_pipeline.report.outlook import METRICS, Forecast, Outlook
from gsc_pipeline.report.page import explained, without_changes
from gsc_pipeline.report.totals import Comparison
from gsc_pipeline.sync.failures import StandingFailure


def report_answer(data: ReportData, freshness: Freshness, limits: Limits) -> ReportAnswer:
    """The figures, changes, forecasts, parts and findings of a report, with about the rows of its page."""
    figures = data.figures
    return ReportAnswer(
        freshness=freshness,
        workspace=data.workspace.id,
        name=data.workspace.name,
        search_type=data.search_type,
        first_day=figures.first,
        last_day=figures.last,
        figures=Figures.of(figures.totals),
        previous=_before(figures.previous),
        year_before=_before(figures.year),
        provisional_from=data.provisional_from,
        changes=table_of(pd.DataFrame(map(_change, data.changes)), SHOWN, limits, CHANGE_POINTS),
        changes_meaning=CHANCE_MEANING if data.changes else without_changes(data),
        forecasts=[] if data.outlook is None else _forecasts(data.outlook, limits),
        properties=table_of(pd.DataFrame(map(_property, data.properties)), limits.rows, limits),
        devices=table_of(data.devices, SHOWN, limits),
        countries=table_of(data.countries, SHOWN, limits),
        findings=[_found(finding, data, limits) for finding in FINDINGS],
        failing=[failing(one) for one in data.failing],
        silent_properties=table_of(pd.DataFrame(data.dark), limits.rows, limits),
    )


def failing(failure: StandingFailure) -> Failing:
    """A standing failure as an assistant reads it."""
    return Failing(
        site_url=failure.site_url,
        search_type=failure.search_type,
        cause=failure.cause,
        next_step=failure.next_step,
        failed_days=failure.days,
        first_day=failure.first_day,
        last_day=failure.last_day,
        since=failure.since,
        times=failure.times,
    )


def _before(comparison: Comparison | None) -> Figures | None:
    return None if comparison is None else Figures.of(comparison.before)


def _change(one: Change) -> dict[str, object]:
    of_series = ("content_group", "metric", "change", "confidence")
    return {
        **{name: getattr(one, name) for name in CHANGES_INPUT},
        "also": [{name: getattr(other, name) for name in of_series} for other in one.also],
    }


def _forecasts(found: Outlook, limits: Limits) -> list[ReportForecast]:
    return [
        _forecast(made[metric], found.site_url, limits)
        for made in (found.coming, found.past)
        for metric in METRICS
        if metric in made
    ]


def _forecast(one: Forecast, site_url: str, limits: Limits) -> ReportForecast:
    known = one.known
    days = one.days.rename_axis("data_date").reset_index()
    days["data_date"] = pd.to_datetime(days["data_date"]).dt.date
    return ReportForecast(
        site_url=site_url,
        metric=one.metric,
        made_on=one.made_on,
        method=one.method,
        reason=one.reason,
        expected=one.expected,
        known_days=len(known),
        days_in_range=int(known["actual"].between(known["low"], known["high"]).sum()),
        **dict(table_of(days, limits.rows, limits, FORECASTS)),
    )


def _property(one: PropertyFigures) -> dict[str, object]:
    return {
        "site_url": one.site_url,
        "search_type": one.search_type,
        "is_in_the_figures": one.is_counted,
        **Figures.of(one.figures.totals).model_dump(),
    }


def _found(finding: Finding, data: ReportData, limits: Limits) -> ReportFinding:
    rows = finding.of(data.findings[finding.table])[[column.name for column in finding.columns]]
    meaning, advice = explained(finding, data.workspace.thresholds)
    table = table_of(rows, SHOWN, limits, finding.table)
    return ReportFinding(title=finding.title, meaning=meaning, advice=advice, **dict(table))
