"""The HTML page of the report. Every text is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from string import ascii_uppercase
from typing import Any

import pandas as pd
from babel.core import get_global
from markupsafe import Markup

from gsc_pipeline.insights.changes_of_series import LEAST_DAYS
from gsc_pipeline.insights.daily_performance import PARTS
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import ANOMALIES, CONTENT_DECAY, INDEX_COVERAGE, WINNERS_AND_LOSERS
from gsc_pipeline.report.changes import CHANCE_MEANING, briefly, repeated, sentences, shifts
from gsc_pipeline.report.changes import RECENT_DAYS as RECENT_CHANGES
from gsc_pipeline.report.charts import NARROW, WIDE, Series, Size, day_in_words, drawn, over_time, readings
from gsc_pipeline.report.content_groups import SHOWN_GROUPS
from gsc_pipeline.report.data import ReportData
from gsc_pipeline.report.findings import FINDINGS, SHOWN, Column, Finding
from gsc_pipeline.report.marks import Shift, marks
from gsc_pipeline.report.notes import notes, warnings
from gsc_pipeline.report.numbers import LEVEL, amount, count, decimal, is_missing, mood, share, signed
from gsc_pipeline.report.outlook import (
    METRICS,
    Outlook,
    coming_in_words,
    days_in_words,
    how_made,
    panel,
    past_in_words,
)
from gsc_pipeline.report.seo_test_page import VERDICTS
from gsc_pipeline.report.sparkline import sparkline
from gsc_pipeline.report.templates import document, environment
from gsc_pipeline.report.totals import LEAST_COMPARED
from gsc_pipeline.report.words import shortened, words
from gsc_pipeline.workspaces.seo_tests import page_name
from gsc_pipeline.workspaces.thresholds import Thresholds

RECENT_DAYS = 91
ROWS_OF_PARTS = 8
_LETTERS = ascii_uppercase[:8]
"""The changes of level that the page lists have letters."""
_FAN_WIDE, _FAN_NARROW = Size(860, 190), Size(300, 170)
_OF_WINDOWS = (CONTENT_DECAY, WINNERS_AND_LOSERS)
"""Tables that compare windows: their `annotation` is of a series, so it stands above the rows."""


def page(data: ReportData, portal: str = "", beside: Collection[str] = ()) -> str:
    """The report as one HTML document without external resources.

    `portal` is the address of the page of all workspaces, if the report links to it. `beside` are the names
    of files beside the report, to which it may link.
    """
    templates, brand = environment(), _brand(data)
    parts = [_part("Devices", data.devices, words), _part("Countries", data.countries, _country)]
    found = [_found(one, data) for one in FINDINGS if one.table in data.findings]
    empty = [one for one in found if not one["rows"]]
    templates.filters.update(
        count=count,
        share=share,
        decimal=decimal,
        signed=signed,
        mood=mood,
        words=words,
        cell=_cell,
        breakable=breakable,
    )
    return document(
        templates,
        "report.html.j2",
        "report.js",
        data=data,
        portal=portal,
        tiles=_tiles(data),
        changes=_changes(data),
        recent_days=RECENT_CHANGES,
        chance_meaning=CHANCE_MEANING,
        outlook=_outlook(data),
        groups=_groups(data),
        tests=_tests(data, beside),
        charts=_charts(data),
        brand=brand,
        has_cut=any(row["shares"][-1] for row in brand),
        parts=[part for part in parts if part["rows"]],
        findings=[one for one in found if one["rows"]],
        nothing=[one for one in empty if not one["not_sought"]],
        not_sought=_by_reason(empty),
        numbers=_NUMBERS,
        warnings=warnings(data),
        notes=notes(data),
        window_days=data.workspace.thresholds.window_days,
    )


def _tiles(data: ReportData) -> list[dict[str, Any]]:
    titles = {"clicks": "Clicks", "impressions": "Impressions", "ctr": "CTR", "position": "Average position"}
    return [
        {
            "title": title,
            "value": _WRITERS[measure](getattr(data.figures.totals, measure)),
            "changes": [_versus(data, measure, span) for span in ("previous", "year")],
        }
        for measure, title in titles.items()
    ]


def _versus(data: ReportData, measure: str, span: str) -> dict[str, Any]:
    days = data.workspace.thresholds.window_days
    comparison, against = (
        (data.figures.previous, f"previous {days} days")
        if span == "previous"
        else (data.figures.year, "year before")
    )
    if comparison is None:
        return {"text": "", "mood": "", "against": f"{against}: unknown"}
    change = comparison.change(measure)
    if change is None:
        before = getattr(comparison.before, measure)
        known = _WRITERS[measure](before) if comparison.before.impressions else "no impressions"
        return {"text": "", "mood": "", "against": f"{against}: {known}"}
    if measure == "position":
        text, is_level, is_better = f"{change:+.1f}".replace("-", "−"), abs(change) < 0.05, change < 0
    else:
        text, is_level, is_better = signed(change), abs(change) < LEVEL, change > 0
    return {
        "text": "0.0" if is_level and measure == "position" else text,
        "mood": "" if is_level else "good" if is_better else "bad",
        "against": f"vs {against}",
    }


def _charts(data: ReportData) -> list[dict[str, Any]]:
    series = Series.of(data.daily)
    days, since = series.frame, series.provisional_from
    recent = days.tail(RECENT_DAYS)
    title = f"The last {len(recent)} days" if len(recent) > 1 else "The last day"
    lettered = [(row["letter"], row["change"]) for row in _changes(data)["listed"]]
    one_site = data.site_urls[0] if len(data.site_urls) == 1 else None
    changed = shifts(lettered, one_site, data.scope.content_group)
    charts = [_chart(title, Series(recent, since), data.annotations, changed)]
    if len(days) >= 2 * RECENT_DAYS:
        final = days if since is None else days[days.index < pd.Timestamp(since)]
        weeks = final.iloc[len(final) % 7 :]
        # A week with an unknown day is unknown, rather than too small.
        summed = weeks.groupby(pd.RangeIndex(len(weeks)) // 7).sum(min_count=7).set_axis(weeks.index[::7])
        charts.append(_chart(f"All {len(summed)} weeks", Series(summed), data.annotations, changed))
    return charts


def _chart(
    title: str, series: Series, annotations: Sequence[Annotation], changed: Sequence[Shift]
) -> dict[str, Any]:
    marked = marks(series.days, annotations)
    clicks, impressions = (amount(series.frame[name].sum(), name) for name in ("clicks", "impressions"))
    label = f"{title}, {series.days[0]} to {series.days[-1]}: {clicks}, {impressions}"
    return {
        "title": title,
        "unit": "Week" if title.endswith("weeks") else "Day",
        **{
            name: over_time(series, size, label=label, marked=marked, shifts=changed, with_values=True)
            for name, size in (("wide", WIDE), ("narrow", NARROW))
        },
        "has_changes": any(
            series.days[0] <= one.latest_day and one.earliest_day <= series.days[-1] for one in changed
        ),
        "marks": marked,
        "readings": readings(series),
        "has_provisional": series.provisional_from is not None,
        "has_gaps": bool(series.frame.isna().any(axis=None)),
    }


def _changes(data: ReportData) -> dict[str, Any]:
    """The changes as sentences, each with the letter that stands for it in the charts."""
    listed = [
        {
            "letter": letter,
            "change": one,
            "sentences": sentences(one, with_property=len(data.site_urls) > 1),
            "also": repeated(one),
        }
        for letter, one in zip(_LETTERS, data.changes, strict=False)
    ]
    return {"listed": listed, "more": len(data.changes) - len(listed), "none": without_changes(data)}


def without_changes(data: ReportData) -> str:
    """What an empty list of changes means."""
    final = data.daily[data.daily["is_final"]]
    if not data.are_changes_sought:
        return "Changes of level have not been looked for yet."
    if final.groupby("site_url")["data_date"].nunique().max() < LEAST_DAYS:
        return "Changes of level are not looked for before eight weeks are final."
    return f"No change of level was found in the last {RECENT_CHANGES} days."


def _outlook(data: ReportData) -> dict[str, Any] | None:
    """The forecast of clicks as a chart, its sums in words, and its days; None without a forecast."""
    found = data.outlook
    if found is None:
        return None
    daily = data.daily[(data.daily["site_url"] == found.site_url) & data.daily["is_final"]]
    plotted = panel(found, "clicks", daily.set_index("data_date")["clicks"])
    charts = {}
    if plotted:
        days, clicks = plotted
        texts = _texts_of(found, days, clicks.values)
        label = f"Clicks by day, and what is expected until {days[-1]}"
        charts = {
            name: drawn(days, [clicks], size, label=label, texts=texts)
            for name, size in (("wide", _FAN_WIDE), ("narrow", _FAN_NARROW))
        }
    return {
        "site_url": found.site_url if len(data.site_urls) > 1 else "",
        "coming": [coming_in_words(found.coming[name]) for name in METRICS if name in found.coming],
        "past": [
            text for name in METRICS if name in found.past and (text := past_in_words(found.past[name]))
        ],
        "charts": charts,
        "how": how_made(found.coming["clicks"]) if charts else "",
        "days": days_in_words(found),
    }


def _texts_of(found: Outlook, days: Sequence[date], values: Sequence[float]) -> list[str]:
    """For each day of the chart, its clicks and what is or was expected."""
    expected = {one.when: one.values[0] for one in days_in_words(found)}
    texts = []
    for day, value in zip(days, values, strict=True):
        when = day_in_words(day)
        parts = [] if is_missing(value) else [amount(value, "clicks")]
        middle, between, _ = expected.get(when, ("–", "", ""))
        if middle != "–":
            parts.append(f"{middle} expected ({between})")
        texts.append(f"{when}: {', '.join(parts) or 'no data'}")
    return texts


def _groups(data: ReportData) -> list[dict[str, Any]]:
    """The largest content groups; none if there is only one."""
    return [
        {
            "row": row,
            "name": shortened(row.content_group),
            "weeks": sparkline(row.weeks),
            "latest": briefly(row.change) if row.change else "–",
        }
        for row in (data.groups[:SHOWN_GROUPS] if len(data.groups) > 1 else ())
    ]


def _tests(data: ReportData, beside: Collection[str]) -> list[dict[str, Any]]:
    """Each test with its verdict and statement, and its page if that is beside the report."""
    if data.tests is None or data.scope.is_group:
        return []
    found = []
    for name, rows in data.tests.groupby("test", sort=False):
        file = page_name(data.workspace.id, str(name))
        results = [
            {"metric": row["metric"], "verdict": VERDICTS[row["verdict"]][0], "statement": row["statement"]}
            for row in rows.sort_values("metric").to_dict("records")
        ]
        found.append({"name": shortened(name), "page": file if file in beside else "", "results": results})
    return found


def _brand(data: ReportData) -> list[dict[str, Any]]:
    """The shares of the parts of daily_performance; empty for feeds, and without brand terms."""
    window, rows = data.window, []
    if not data.workspace.brand_terms:
        return []
    for measure in ("clicks", "impressions"):
        sums = [window[f"{part}_{measure}"].sum(min_count=1) for part in PARTS]
        total = sum(value for value in sums if not pd.isna(value))
        if total:
            rows.append({"title": measure.title(), "shares": [float(value) / total for value in sums]})
    return rows


def _part(title: str, frame: pd.DataFrame, word: Callable[[Any], str]) -> dict[str, Any]:
    total = int(frame["clicks"].sum())
    rows = [
        {
            "name": word(row["item"]),
            "clicks": row["clicks"],
            "share": row["clicks"] / total if total else None,
            "change": float(row["change_share"]) if row["clicks_before"] >= LEAST_COMPARED else None,
            "ctr": row["clicks"] / row["impressions"] if row["impressions"] else None,
        }
        for row in frame.head(ROWS_OF_PARTS).to_dict("records")
    ]
    return {"title": title, "rows": rows}


def explained(finding: Finding, thresholds: Thresholds) -> tuple[str, str]:
    """What the finding means, and what to do about it, with the workspace's thresholds."""
    values = {name: _threshold(name, value) for name, value in asdict(thresholds).items()}
    return finding.meaning.format(**values), finding.advice.format(**values)


def _found(finding: Finding, data: ReportData) -> dict[str, Any]:
    rows = finding.of(data.findings[finding.table])
    meaning, advice = explained(finding, data.workspace.thresholds)
    beside = " (except the warning at the top)" if data.dark else ""
    return {
        "finding": finding,
        "columns": finding.shown(rows, canonical=data.scope.canonical),
        "meaning": meaning,
        "advice": advice,
        "rows": rows.head(SHOWN).to_dict("records"),
        "total": len(rows),
        "unlike": _unlike(rows) if finding.table in _OF_WINDOWS else [],
        "beside": beside if finding.table == ANOMALIES else "",
        "not_sought": _why_not_sought(finding, data),
    }


def _why_not_sought(finding: Finding, data: ReportData) -> str:
    """Why the finding has no rows, whatever the numbers are; empty if it could have some."""
    figures = [one.figures for one in data.properties]
    has_pairs = any(one.previous for one in figures)
    if finding.table == CONTENT_DECAY:
        has_pairs = has_pairs or any(one.year for one in figures)
    if finding.table in _OF_WINDOWS and not has_pairs:
        return "there is no earlier window to compare with"
    weeks = data.workspace.thresholds.anomaly_least_weeks
    age = pd.Timestamp(data.figures.last) - data.daily["data_date"].min()
    if finding.table == ANOMALIES and age.days < 7 * weeks:
        return f"more than {weeks} weeks of final days are needed"
    if finding.table == INDEX_COVERAGE and data.findings[INDEX_COVERAGE].empty:
        return "no inspection or sitemap is known"
    return ""


def _by_reason(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The titles of findings that were not looked for, by the reason."""
    titles: dict[str, list[str]] = {}
    for one in found:
        if one["not_sought"]:
            titles.setdefault(one["not_sought"], []).append(one["finding"].title)
    return {reason: ", ".join(of_reason) for reason, of_reason in titles.items()}


def _unlike(rows: pd.DataFrame) -> list[str]:
    """What sets the two windows of some rows apart, each once."""
    return sorted({str(text) for text in rows["annotation"].dropna()}) if "annotation" in rows else []


def _threshold(name: str, value: float) -> str:
    """The threshold as the workspace sets it; a share in percent."""
    return f"{100 * value:.10g}%" if name.endswith("_share") else f"{value:,.10g}"


def _country(code: Any) -> str:
    """The English name of the country, or its code if Babel has no name."""
    from babel import Locale

    short = get_global("territory_aliases").get(str(code).upper(), ())
    if code == "zzz":
        return words(code)
    return str(Locale("en").territories.get(short[0] if short else "", str(code).upper()))


_WRITERS: dict[str, Callable[[Any], str]] = {
    "clicks": count,
    "impressions": count,
    "ctr": share,
    "position": decimal,
}
"""How each measure is written."""


def _number(value: float) -> str:
    return count(value) if abs(value) >= 100 or value == round(value) else decimal(value)


_NUMBERS: dict[str, Callable[[Any], str]] = {
    "count": count,
    "number": _number,
    "share": share,
    "decimal": decimal,
    "decimal2": partial(decimal, places=2),
    "change": lambda number: f"{round(number):+,}".replace("-", "−"),
    "change_share": signed,
}
"""How each kind of number is written. Columns of other kinds are texts."""


def _cell(row: Mapping[str, Any], column: Column) -> Markup:
    """One cell as HTML."""
    value = row[column.name]
    if is_missing(value):
        css, inner = "num" if column.kind in _NUMBERS else "word", "–"
    elif column.kind in _NUMBERS:
        is_change = column.kind in ("change", "change_share")
        css, inner = f"num {mood(value) if is_change else ''}".strip(), _NUMBERS[column.kind](value)
    else:
        css, inner = "key" if column.kind in ("text", "url") else "word", _text(value, column.kind)
    return Markup('<td class="{}" data-label="{}">{}</td>').format(css, column.heading, inner)


def _text(value: Any, kind: str) -> Markup:
    """A text as HTML. Only http and https addresses become links."""
    if kind == "words":
        text = words(value)
    elif kind == "day":
        text = f"{value:%a %Y-%m-%d}"
    else:
        text = shortened(str(value).removeprefix("https://") if kind == "url" else value)
    inner = Markup("<bdi>{}</bdi>").format(breakable(text))
    if kind == "url" and str(value).startswith(("https://", "http://")):
        return Markup('<a href="{}" rel="noopener noreferrer">{}</a>').format(str(value), inner)
    return inner


def breakable(text: str) -> Markup:
    """The text as HTML that may be broken after the separators of an address, rather than within a word."""
    return Markup("<wbr>").join(re.split(r"(?<=[/:?&=])(?=[^/:?&=])", text))
