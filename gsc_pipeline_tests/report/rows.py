"""Rows of the portal that are made up, for pages without a lake."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from gsc_pipeline.monitoring.freshness import AssetFreshness, FreshnessState
from gsc_pipeline.monitoring.status import WorkspaceState
from gsc_pipeline.report.changes import Change
from gsc_pipeline.report.portal import WEEKS, Expected, Figures, PortalData, PortalRow
from gsc_pipeline.report.totals import Comparison, Headline, Totals
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.workspaces.registry import Workspace

MADE_AT = datetime(2026, 11, 30, 6, 20, tzinfo=UTC)
FIRST, LAST = date(2026, 10, 31), date(2026, 11, 27)


def portal_row(id_: str, name: str = "", *, clicks: int = 100, attention: tuple[str, ...] = ()) -> PortalRow:
    """A workspace with 28 days, whose clicks rose by a quarter and are 1% of its impressions."""
    now = Totals(clicks, 100 * clicks, 7.5)
    before = Totals(clicks * 4 // 5, 90 * clicks, 8.0)
    comparison = Comparison(now, before)
    weeks = tuple(clicks * (WEEKS + week) // (8 * WEEKS) for week in range(WEEKS))
    workspace = Workspace(
        id_, name or id_.title(), ServiceAccountFile(Path("nowhere.json")), None, (QueryType.WEB,)
    )
    return PortalRow(
        workspace,
        Figures("WEB", Headline(FIRST, LAST, now, comparison, None), weeks),
        WorkspaceState(id_, active=True),
        AssetFreshness(id_, FreshnessState.UP_TO_DATE, {}),
        attention,
    )


def with_change(row: PortalRow, change: Change) -> PortalRow:
    """The same workspace with a change of its level, and a forecast of a tenth more clicks."""
    assert row.figures is not None
    clicks = row.figures.headline.totals.clicks
    return replace(row, changes=(change,), latest=change, expected=Expected(1.1 * clicks, 0.1))


def level_change(before: float, after: float, *, content_group: str = "all", age: int = 20) -> Change:
    """A change of clicks a day, `age` days before the last."""
    day = LAST - timedelta(age)
    around = (day - timedelta(2), day + timedelta(2))
    size = after / before - 1
    series = ("sc-domain:acme.com", "WEB", content_group, "clicks", "step")
    return Change(*series, day, *around, before, after, size, 0.97)


def without_figures(row: PortalRow) -> PortalRow:
    """The same workspace without a final day with impressions."""
    return replace(row, figures=None)


def portal(*rows: PortalRow) -> PortalData:
    """The portal of these rows."""
    return PortalData(rows, MADE_AT)
