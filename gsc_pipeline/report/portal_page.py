"""The HTML page of the portal: a row for each workspace, to sort and to search. Every text is escaped."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gsc_pipeline.report.numbers import LEVEL, count, decimal, mood, share, signed
from gsc_pipeline.report.portal import PortalData, PortalRow
from gsc_pipeline.report.sparkline import sparkline
from gsc_pipeline.report.templates import document, environment
from gsc_pipeline.report.words import shortened, words

_LISTED = 5
"""Workspaces that need attention, listed before the rest is folded."""

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
        listed=_LISTED,
        without_figures=sum(row["figures"] is None for row in rows),
        more=sum(change >= LEVEL for change in changes),
        fewer=sum(change <= -LEVEL for change in changes),
        compared=len(changes),
    )


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
        "weeks": sparkline(one.figures.weeks if one.figures else ()),
        "final_until": headline.last if headline else None,
        "state": "no final day yet" if headline is None else one.freshness.state.value,
        "attention": [shortened(text, _LONGEST_PROBLEM) for text in one.attention],
    }
