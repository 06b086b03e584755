"""The page itself: figures, charts and findings through one template, with every text escaped.

Belongs here: how values are written, and what the template is given. Does not: what is shown (`data`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any

import jinja2
import pandas as pd
from babel.core import get_global
from markupsafe import Markup

from gsc_pipeline.report.charts import NARROW, WIDE, Series, over_time
from gsc_pipeline.report.data import ReportData
from gsc_pipeline.report.findings import FINDINGS, SHOWN, Finding
from gsc_pipeline.report.notes import notes

RECENT_DAYS = 91
LONGEST = 160
"""Characters of a text that the page shows; all of it is in the CSV."""
ROWS_OF_PARTS = 8
_LEVEL = 0.005
"""A change that rounds to no percent is neither good nor bad."""

_WORDS = {
    "previous": "window before",
    "year_before": "year before",
    "DESKTOP": "Desktop",
    "MOBILE": "Mobile",
    "TABLET": "Tablet",
    "WEB": "Web search",
    "IMAGE": "Images",
    "VIDEO": "Videos",
    "NEWS": "News tab",
    "DISCOVER": "Discover",
    "GOOGLE_NEWS": "Google News",
    "zzz": "Unknown",
}

_TEXTS = ("text", "url", "words", "device", "day")
"""Kinds of columns that are no numbers."""


def page(data: ReportData) -> str:
    """The report as one HTML document that refers to nothing outside of itself."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gsc_pipeline.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        count=_count, share=_share, decimal=_decimal, signed=_signed, words=_words, cell=_cell
    )
    return environment.get_template("report.html.j2").render(
        data=data,
        tiles=_tiles(data),
        charts=_charts(data),
        brand=_brand(data),
        parts=[_part("Devices", data.devices, _words), _part("Countries", data.countries, _country)],
        findings=[_found(one, data) for one in FINDINGS],
        texts=_TEXTS,
        notes=notes(data),
        window_days=data.workspace.thresholds.window_days,
    )


def _tiles(data: ReportData) -> list[dict[str, Any]]:
    totals = data.figures.totals
    values = (
        ("clicks", "Clicks", _count(totals.clicks)),
        ("impressions", "Impressions", _count(totals.impressions)),
        ("ctr", "CTR", _share(totals.ctr)),
        ("position", "Average position", _decimal(totals.position)),
    )
    return [
        {
            "title": title,
            "value": value,
            "changes": [_versus(data, measure, span) for span in ("previous", "year")],
        }
        for measure, title, value in values
    ]


def _versus(data: ReportData, measure: str, span: str) -> dict[str, Any]:
    days = data.workspace.thresholds.window_days
    comparison, against = (
        (data.figures.previous, f"previous {days} days")
        if span == "previous"
        else (data.figures.year, "year before")
    )
    change = comparison.change(measure) if comparison else None
    if change is None:
        return {"text": "–", "mood": "", "against": f"{against}: not known"}
    if measure == "position":
        text, is_level, is_better = f"{change:+.1f}".replace("-", "−"), abs(change) < 0.05, change < 0
    else:
        text, is_level, is_better = _signed(change), abs(change) < _LEVEL, change > 0
    return {
        "text": "0.0" if is_level and measure == "position" else text,
        "mood": "" if is_level else "good" if is_better else "bad",
        "against": f"vs {against}",
    }


def _charts(data: ReportData) -> list[dict[str, Any]]:
    days = data.daily.groupby("data_date")[["clicks", "impressions"]].sum()
    days = days.asfreq("D", fill_value=0)
    since = data.provisional_from
    recent = days.tail(RECENT_DAYS)
    drawn = [_drawn("recent", f"The last {len(recent)} days", recent, since)]
    if len(days) >= 2 * RECENT_DAYS:
        final = days if since is None else days[days.index < pd.Timestamp(since)]
        weeks = final.iloc[len(final) % 7 :]
        summed = weeks.groupby(pd.RangeIndex(len(weeks)) // 7).sum().set_axis(weeks.index[::7])
        drawn.append(_drawn("history", f"All {len(summed)} weeks", summed, None))
    return drawn


def _drawn(name: str, title: str, frame: pd.DataFrame, since: date | None) -> dict[str, Any]:
    days = [day.date() for day in frame.index]
    series = Series(days, frame["clicks"].tolist(), frame["impressions"].tolist(), since)
    label = (
        f"{title}, {days[0]} to {days[-1]}: {_count(frame['clicks'].sum())} clicks, "
        f"{_count(frame['impressions'].sum())} impressions"
    )
    wide, narrow = (Markup(over_time(series, size, name=f"{name}-{size[0]:.0f}")) for size in (WIDE, NARROW))
    return {
        "title": title,
        "label": label,
        "wide": wide,
        "narrow": narrow,
        "has_provisional": since is not None,
    }


def _brand(data: ReportData) -> list[dict[str, Any]]:
    """The three parts of clicks and impressions; empty for feeds."""
    window, rows = data.window, []
    for measure in ("clicks", "impressions"):
        sums = [window[f"{part}_{measure}"].sum(min_count=1) for part in ("brand", "non_brand", "anonymised")]
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
            "change": None if _is_missing(row["change_share"]) else float(row["change_share"]),
            "ctr": row["clicks"] / row["impressions"] if row["impressions"] else None,
        }
        for row in frame.head(ROWS_OF_PARTS).to_dict("records")
    ]
    return {"title": title, "rows": rows}


def _found(finding: Finding, data: ReportData) -> dict[str, Any]:
    every = data.findings[finding.table]
    ranked = finding.rank(every) if len(every) else every
    rows = ranked.head(SHOWN).to_dict("records")
    return {"finding": finding, "rows": rows, "total": len(ranked)}


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _count(value: Any) -> str:
    return "–" if _is_missing(value) else f"{round(value):,}".replace("-", "−")


def _share(value: Any) -> str:
    return "–" if _is_missing(value) else f"{value:.1%}"


def _decimal(value: Any, places: int = 1) -> str:
    return "–" if _is_missing(value) else f"{value:,.{places}f}".replace("-", "−")


def _signed(value: Any) -> str:
    if _is_missing(value):
        return "–"
    return "0%" if abs(value) < _LEVEL else f"{value:+,.0%}".replace("-", "−")


def _words(value: Any) -> str:
    return _WORDS.get(str(value), str(value).replace("_", " "))


def _country(code: Any) -> str:
    """The country's English name; its code where babel knows none."""
    from babel import Locale

    short = get_global("territory_aliases").get(str(code).upper(), ())
    return _WORDS.get(str(code)) or Locale("en").territories.get(short[0] if short else "", str(code).upper())


def _text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _cell(row: Mapping[str, Any], column: Any) -> Markup:
    """One cell as HTML, its text escaped. Only addresses of the web are made links."""
    value = row[column.name]
    if column.kind in _TEXTS:
        if _is_missing(value):
            return Markup('<td class="word" data-label="{}">–</td>').format(column.heading)
        text = _words(value) if column.kind in ("words", "device") else _text(value)
        if column.kind == "url":
            text = _text(str(value).removeprefix("https://"))
        if column.kind == "day":
            text = f"{value:%a %Y-%m-%d}"
        inner = Markup("<bdi>{}</bdi>").format(text)
        if column.kind == "url" and str(value).startswith(("https://", "http://")):
            inner = Markup('<a href="{}" rel="noopener noreferrer">{}</a>').format(str(value), inner)
        return Markup('<td class="{}" data-label="{}">{}</td>').format(
            "key" if column.kind in ("text", "url") else "word", column.heading, inner
        )
    writers: dict[str, Callable[[Any], str]] = {
        "count": _count,
        "number": lambda number: (
            _count(number) if abs(number) >= 100 or number == round(number) else _decimal(number)
        ),
        "share": _share,
        "change_share": _signed,
        "decimal": _decimal,
        "decimal2": partial(_decimal, places=2),
        "change": lambda number: f"{round(number):+,}".replace("-", "−"),
    }
    if _is_missing(value):
        return Markup('<td class="num" data-label="{}">–</td>').format(column.heading)
    mood = ""
    if column.kind in ("change", "change_share"):
        mood = " good" if value > 0 else " bad"
    return Markup('<td class="num{}" data-label="{}">{}</td>').format(
        mood, column.heading, writers[column.kind](value)
    )
