"""The client's report as an answer."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.assistants.answers import Failing, Figures, Freshness, ReportAnswer, ReportFinding
from gsc_pipeline.assistants.messages import Limits
from gsc_pipeline.assistants.tables import table_of
from gsc_pipeline.report.data import PropertyFigures, ReportData
from gsc_pipeline.report.findings import FINDINGS, SHOWN, Finding
from gsc_pipeline.report.page import explained
from gsc_pipeline.report.totals import Comparison
from gsc_pipeline.sync.failures import StandingFailure


def report_answer(data: ReportData, freshness: Freshness, limits: Limits) -> ReportAnswer:
    """The figures, parts and findings of a report. Of each part and finding, the rows that the page shows."""
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
