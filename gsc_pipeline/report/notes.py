"""What a reader must know of the numbers before trusting them, in plain sentences.

Belongs here: choosing and wording the notes. Does not: reading (`data`), HTML (`page`).
"""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.report.data import ReportData
from gsc_pipeline.report.faults import FAULTS


def notes(data: ReportData) -> list[str]:
    """The notes that apply, the gravest first."""
    return [
        *_failing(data),
        *_faults(data),
        *_cut(data),
        *_provisional(data),
        *_anonymised(data),
        *_sums(data),
    ]


def _failing(data: ReportData) -> list[str]:
    found = [
        f"{row.site_url} ({row.search_type}) cannot be read now: {row.days} days since {row.since:%Y-%m-%d}. "
        f"Last answer: {row.reason}"
        for row in data.failing.itertuples()
    ]
    late = [
        f"{one.site_url} ({one.search_type}) is final only until {one.figures.last}, others until "
        f"{data.figures.last}: its windows end earlier."
        for one in data.properties
        if one.figures.last < data.figures.last
    ]
    return found + late


def _faults(data: ReportData) -> list[str]:
    if data.daily.empty:
        return []
    first, last = data.daily["data_date"].min().date(), data.figures.last
    return [
        f"{fault.days}: {fault.what} (Source: {fault.source}.)"
        for fault in FAULTS
        if fault.touches(first, last)
    ]


def _cut(data: ReportData) -> list[str]:
    cut = int(data.window["truncated"].sum())
    if not cut:
        return []
    return [
        f"On {cut} {'day' if cut == 1 else 'days'} of the window Google's limit of 50,000 rows a day was "
        "reached: totals are right, rare queries are counted as anonymised."
    ]


def _provisional(data: ReportData) -> list[str]:
    if data.provisional_from is None:
        return []
    return [
        f"Days from {data.provisional_from} on may still change: they are drawn dashed, and in no window."
    ]


def _anonymised(data: ReportData) -> list[str]:
    window = data.window
    clicks, hidden = int(window["clicks"].sum()), window["anonymised_clicks"]
    found = []
    if clicks and hidden.notna().any():
        share = float(hidden.sum()) / clicks
        found.append(
            f"Google does not name the queries behind {share:.0%} of the clicks, because few people asked "
            "them. Totals include them; lists of queries cannot."
        )
    if not [term for term in data.workspace.brand_terms if term.strip()]:
        found.append("No brand terms are set for this workspace, so every query counts as non-brand.")
    return found


def _sums(data: ReportData) -> list[str]:
    inner = [one for one in data.properties if one.search_type == data.search_type and not one.is_counted]
    if not inner:
        return []
    names = ", ".join(pd.unique(pd.Series([one.site_url for one in inner])))
    return [f"The totals do not add {names}: another property of this report holds it already."]
