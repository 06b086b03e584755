"""The HTML page of the portal: a row for each workspace, to sort and to search. Every text is escaped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from gsc_pipeline.report.numbers import LEVEL, count, decimal, mood, share, signed
from gsc_pipeline.report.portal import PortalData, PortalRow
from gsc_pipeline.report.templates import document, environment
from gsc_pipeline.report.words import shortened, words

_WIDTH, _HEIGHT, _MARGIN = 96, 22, 2
"""The size and the margin of a sparkline, in SVG units."""

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
        height=_HEIGHT,
        width=_WIDTH,
    )


def _clicks(one: PortalRow) -> int:
    return one.figures.headline.totals.clicks if one.figures else -1


def _row(one: PortalRow, has_report: bool) -> dict[str, Any]:
    headline = one.figures.headline if one.figures else None
    previous, year = (headline.previous, headline.year) if headline else (None, None)
    weeks = one.figures.weeks if one.figures else ()
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
        "line": _sparkline(weeks),
        "dot": _dot(weeks),
        "spoken": _spoken(weeks),
        "final_until": headline.last if headline else None,
        "state": "no final day yet" if headline is None else one.freshness.state.value,
        "attention": [shortened(text, _LONGEST_PROBLEM) for text in one.attention],
    }


def _places(weeks: Sequence[int | None]) -> list[tuple[int, int] | None]:
    """The points of the line, from zero at the bottom to the most clicks at the top."""
    highest = max((clicks for clicks in weeks if clicks is not None), default=0) or 1
    step = (_WIDTH - 2 * _MARGIN) / max(len(weeks) - 1, 1)
    height = _HEIGHT - 2 * _MARGIN
    return [
        None
        if clicks is None
        else (round(_MARGIN + step * number), round(_HEIGHT - _MARGIN - height * clicks / highest))
        for number, clicks in enumerate(weeks)
    ]


def _sparkline(weeks: Sequence[int | None]) -> str:
    """The data of an SVG path, with a gap where a week is unknown."""
    path, command = [], "M"
    for place in _places(weeks):
        if place is None:
            command = "M"
            continue
        path.append(f"{command}{place[0]} {place[1]}")
        command = "L"
    return "".join(path)


def _dot(weeks: Sequence[int | None]) -> tuple[int, int] | None:
    """The last known point."""
    return next((place for place in reversed(_places(weeks)) if place), None)


def _spoken(weeks: Sequence[int | None]) -> str:
    """The sparkline in words."""
    known = [clicks for clicks in weeks if clicks is not None]
    return f"{count(known[0])} to {count(known[-1])} clicks a week" if known else "no whole week"
