"""The HTML page of the portal: a row for each workspace, to sort and to search. Every text is escaped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from gsc_pipeline.report.changes import CHANCE_MEANING, Change, sentences, size, what
from gsc_pipeline.report.numbers import LEVEL, count, decimal, mood, share, signed
from gsc_pipeline.report.portal import CHANGED_DAYS, PortalData, PortalRow
from gsc_pipeline.report.sparkline import sparkline
from gsc_pipeline.report.templates import document, environment
from gsc_pipeline.report.totals import Headline
from gsc_pipeline.report.words import shortened, words

_LISTED = 5
"""Workspaces that need attention, listed before the rest is folded."""

_LISTED_CHANGES = 10
"""The most important changes, over all workspaces."""

_LONGEST_NAME, _LONGEST_PROBLEM = 80, 600
"""Characters of a workspace's name, and of a text that says what needs a person."""


def portal_page(data: PortalData, reports: Collection[str]) -> str:
    """The portal as one HTML document: the workspaces with the most clicks first.

    `reports` are the ids of the workspaces to whose reports it links.
    """
    ordered = sorted(data.rows, key=_clicks, reverse=True)
    rows = [_row(one, one.workspace.id in reports) for one in ordered]
    attention = [row for row in rows if row["attention"]]
    changes = [row["changes"][0] for row in rows if row["changes"][0] is not None]
    templates = environment()
    templates.filters.update(count=count, share=share, decimal=decimal, signed=signed, mood=mood)
    return document(
        templates,
        "portal.html.j2",
        "portal.js",
        made_at=data.made_at,
        rows=rows,
        attention=attention,
        changed=_changed(data.rows, reports),
        changed_days=CHANGED_DAYS,
        chance_meaning=CHANCE_MEANING,
        listed=_LISTED,
        without_figures=sum(row["figures"] is None for row in rows),
        more=sum(change >= LEVEL for change in changes),
        fewer=sum(change <= -LEVEL for change in changes),
        compared=len(changes),
    )


def _changed(rows: Sequence[PortalRow], reports: Collection[str]) -> list[dict[str, Any]]:
    """The most important changes over all workspaces."""
    every = ((one, row, row.figures) for row in rows if row.figures for one in row.changes)
    most: dict[str, float] = {}
    ordered = []
    for one, row, figures in every:
        clicks = one.clicks_a_day(figures.headline.totals.ctr) * one.confidence
        # In the order of its report: no change comes before one that its report lists before it.
        most[row.workspace.id] = min(clicks, most.get(row.workspace.id, clicks))
        ordered.append((most[row.workspace.id], one, row, figures))
    ordered.sort(key=lambda found: -found[0])
    return [
        {
            "name": shortened(row.workspace.name, _LONGEST_NAME),
            "report": f"{row.workspace.id}.html" if row.workspace.id in reports else "",
            "what": what(one, with_property=len(figures.site_urls) > 1),
            "rest": " ".join(sentences(one)[1:]),
            "is_better": one.is_better,
        }
        for _, one, row, figures in ordered[:_LISTED_CHANGES]
    ]


def _clicks(one: PortalRow) -> int:
    return one.figures.headline.totals.clicks if one.figures else -1


def _row(one: PortalRow, has_report: bool) -> dict[str, Any]:
    headline = one.figures.headline if one.figures else None
    previous, year = (headline.previous, headline.year) if headline else (None, None)
    return {
        "id": one.workspace.id,
        "name": shortened(one.workspace.name, _LONGEST_NAME),
        "report": f"{one.workspace.id}.html" if has_report else "",
        "figures": headline.totals if headline else None,
        "type": words(one.figures.search_type) if one.figures and one.figures.search_type != "WEB" else "",
        "changes": [
            previous.change("clicks") if previous else None,
            year.change("clicks") if year else None,
            previous.change("impressions") if previous else None,
        ],
        "latest": _latest(one.latest, headline),
        "expected": one.expected,
        "weeks": sparkline(one.figures.weeks if one.figures else ()),
        "final_until": headline.last if headline else None,
        "state": _state(one),
        "attention": [shortened(text, _LONGEST_PROBLEM) for text in one.attention],
    }


def _state(one: PortalRow) -> str:
    """The state of the data or, without figures, why there are none."""
    if one.figures is not None:
        return one.freshness.state.value
    return "no final day yet" if one.is_shown else "no impressions"


def _latest(change: Change | None, headline: Headline | None) -> dict[str, Any] | None:
    """The size and the day of the change, with another year than the headline's, and whether it is better."""
    if change is None or headline is None:
        return None
    is_this_year = change.first_day.year == headline.last.year
    day = f"{change.first_day:%-d %b}" if is_this_year else f"{change.first_day:%-d %b %Y}"
    return {"size": size(change), "day": day, "is_better": change.is_better}
