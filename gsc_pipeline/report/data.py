"""Everything one report shows, read out of the lake at once.

Belongs here: reading, and choosing what adds up. Does not: how it looks (`page`, `charts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.insights.changes import with_change
from gsc_pipeline.insights.source import LakeSource
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import DAILY_PERFORMANCE, SITE_IMPRESSION, SYNC_LEDGER, SYNC_RUNS, TableSpec
from gsc_pipeline.report.findings import FINDINGS
from gsc_pipeline.report.totals import Headline, headline, outermost
from gsc_pipeline.workspaces import Workspace


class ReportError(PipelineError):
    """There is nothing to report on. The text says what to do first."""


@dataclass(frozen=True, slots=True, eq=False)
class PropertyFigures:
    """One property and search type: its figures, and whether the headline counts it."""

    site_url: str
    search_type: str
    figures: Headline
    is_counted: bool


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """What one report is made of. `daily` has the rows that the headline counts, day by day."""

    workspace: Workspace
    made_at: datetime
    search_type: str
    figures: Headline
    properties: tuple[PropertyFigures, ...]
    daily: pd.DataFrame
    devices: pd.DataFrame
    countries: pd.DataFrame
    findings: dict[TableSpec, pd.DataFrame]
    failing: pd.DataFrame
    last_good_sync: datetime | None

    @property
    def window(self) -> pd.DataFrame:
        """The rows of `daily` in the headline's window."""
        first, last = pd.Timestamp(self.figures.first), pd.Timestamp(self.figures.last)
        return self.daily[self.daily["data_date"].between(first, last) & self.daily["is_final"]]

    @property
    def provisional_from(self) -> date | None:
        """The first day after the window that has numbers, which may still change."""
        later = self.daily.loc[self.daily["data_date"] > pd.Timestamp(self.figures.last), "data_date"]
        return None if later.empty else later.min().date()


def report_data(lake: Lake, workspace: Workspace, *, now: datetime) -> ReportData:
    """Read what the report of `workspace` shows; insights as they were last made.

    Raises ReportError when no day of the workspace is final yet, LakeError when the lake cannot be read.
    """
    daily = _frame(lake, DAILY_PERFORMANCE, workspace)
    figures = [
        PropertyFigures(str(site_url), str(search_type), made, is_counted=False)
        for (site_url, search_type), rows in daily.groupby(["site_url", "search_type"], sort=True)
        if (made := headline(rows, workspace.thresholds)) is not None
    ]
    newest = max((one.figures.last for one in figures), default=None)
    if newest is None:
        raise ReportError(
            f"{workspace.id}: nothing to report on, no day of it is final in {lake.uri}: run gsc sync first"
        )
    # One that ended long ago has no present to be told of.
    oldest = newest - timedelta(days=workspace.thresholds.window_days)
    present = [one for one in figures if one.figures.last > oldest]
    main = _main_search_type(present)
    outer = outermost([one.site_url for one in present if one.search_type == main])
    is_counted = (daily["search_type"] == main) & daily["site_url"].isin(outer)
    total = headline(daily[is_counted], workspace.thresholds)
    assert total is not None
    tables = (SITE_IMPRESSION, SYNC_LEDGER)
    with LakeSource(lake, workspace.id, (), workspace.thresholds, tables=tables) as source:
        parts = source.compared_parts()
    parts = parts[(parts["search_type"] == main) & parts["site_url"].isin(outer)]
    return ReportData(
        workspace=workspace,
        made_at=now,
        search_type=main,
        figures=total,
        properties=tuple(
            PropertyFigures(
                one.site_url,
                one.search_type,
                one.figures,
                is_counted=one.search_type == main and one.site_url in outer,
            )
            for one in present
        ),
        daily=daily[is_counted].reset_index(drop=True),
        devices=_summed(parts, "device"),
        countries=_summed(parts, "country"),
        findings={one.table: _frame(lake, one.table, workspace) for one in FINDINGS},
        failing=_failing(lake, workspace),
        last_good_sync=_last_good_sync(lake, workspace),
    )


def _main_search_type(present: list[PropertyFigures]) -> str:
    clicks: dict[str, int] = {}
    for one in present:
        clicks[one.search_type] = clicks.get(one.search_type, 0) + one.figures.totals.clicks
    return "WEB" if "WEB" in clicks else max(clicks, key=lambda name: (clicks[name], name))


def _summed(parts: pd.DataFrame, by: str) -> pd.DataFrame:
    sums = [name for name in parts.columns if name.startswith(("clicks", "impressions", "sum_position"))]
    found = with_change(parts.groupby(by, as_index=False)[sums].sum()).rename(columns={by: "item"})
    return found.sort_values(
        ["clicks", "impressions", "item"], ascending=[False, False, True], ignore_index=True
    )


def _failing(lake: Lake, workspace: Workspace) -> pd.DataFrame:
    columns = ["site_url", "search_type", "data_date", "status", "reason"]
    days = _frame(lake, SYNC_LEDGER, workspace, columns)
    failed = days[days["status"] == "failed"].sort_values("data_date")
    return failed.groupby(["site_url", "search_type"], as_index=False).agg(
        days=("data_date", "count"), since=("data_date", "min"), reason=("reason", "last")
    )


def _last_good_sync(lake: Lake, workspace: Workspace) -> datetime | None:
    runs = _frame(lake, SYNC_RUNS, workspace, ["started_at", "outcome"])
    good = runs.loc[runs["outcome"] == "success", "started_at"]
    return None if good.empty else good.max().to_pydatetime()


def _frame(
    lake: Lake, table: TableSpec, workspace: Workspace, columns: list[str] | None = None
) -> pd.DataFrame:
    frame: pd.DataFrame = lake.read(table, columns=columns, workspace=workspace.id).to_pandas(
        date_as_object=False
    )
    return frame
