"""The data of a report, read from the lake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.insights.inputs import Inputs
from gsc_pipeline.insights.measures import SERIES, with_change
from gsc_pipeline.insights.tables import read_ranked, without_groups
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.annotations.stored import known
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.quality import DarkProperty, dark_properties
from gsc_pipeline.lake.schemas import DAILY_PERFORMANCE, SITE_IMPRESSION, SYNC_LEDGER, TableSpec
from gsc_pipeline.monitoring.status import workspace_state
from gsc_pipeline.report.findings import FINDINGS
from gsc_pipeline.report.totals import Headline, choose, headline
from gsc_pipeline.sync.failures import StandingFailure, is_configured, of_configured
from gsc_pipeline.workspaces.registry import Workspace


class ReportError(PipelineError):
    """There is nothing to report, or the report cannot be written. The text says what to do."""


class NothingToReportError(ReportError):
    """The workspace has no final day yet."""


@dataclass(frozen=True, slots=True, eq=False)
class PropertyFigures:
    """The figures of a property and search type, and whether the headline includes them."""

    site_url: str
    search_type: str
    figures: Headline
    is_counted: bool


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """The data of one report, without properties and search types that are no longer configured.

    `daily` holds the rows of daily_performance that the headline includes, `annotations` what concerns them.
    """

    workspace: Workspace
    made_at: datetime
    search_type: str
    figures: Headline
    properties: tuple[PropertyFigures, ...]
    daily: pd.DataFrame
    devices: pd.DataFrame
    countries: pd.DataFrame
    findings: dict[TableSpec, pd.DataFrame]
    failing: tuple[StandingFailure, ...]
    dark: tuple[DarkProperty, ...]
    last_good_sync: datetime | None
    annotations: tuple[Annotation, ...] = ()

    @property
    def window(self) -> pd.DataFrame:
        """The rows of `daily` in the window of the headline."""
        first, last = pd.Timestamp(self.figures.first), pd.Timestamp(self.figures.last)
        return self.daily[self.daily["data_date"].between(first, last) & self.daily["is_final"]]

    @property
    def provisional_from(self) -> date | None:
        """The first day after the window; its numbers may still change."""
        later = self.daily.loc[self.daily["data_date"] > pd.Timestamp(self.figures.last), "data_date"]
        return None if later.empty else later.min().date()


def report_data(lake: Lake, workspace: Workspace, *, now: datetime) -> ReportData:
    """Read the data of the workspace's report. Insights are read as they are, without a refresh.

    Raises NothingToReportError if the workspace has no final day yet, LakeError if the lake cannot be read.
    """
    stored = lake.read(DAILY_PERFORMANCE, workspace=workspace.id).to_pandas(date_as_object=False)
    daily = configured(stored, workspace)
    figures = [
        PropertyFigures(str(site_url), str(search_type), made, is_counted=False)
        for (site_url, search_type), rows in daily.groupby(["site_url", "search_type"], sort=True)
        if (made := headline(rows, workspace.thresholds)) is not None
    ]
    newest = max((one.figures.last for one in figures), default=None)
    if newest is None:
        raise NothingToReportError(
            f"{workspace.id}: nothing to report, because no day is final in {lake.uri}. Run gsc sync first"
        )
    # Leave out properties whose data ended before the current window.
    oldest = newest - timedelta(days=workspace.thresholds.window_days)
    current = [one for one in figures if one.figures.last > oldest]
    main, outer = choose({(one.site_url, one.search_type): one.figures.totals.clicks for one in current})
    is_counted = (daily["search_type"] == main) & daily["site_url"].isin(outer)
    total = headline(daily[is_counted], workspace.thresholds)
    assert total is not None
    state = workspace_state(workspace, lake)
    tables = (SITE_IMPRESSION, SYNC_LEDGER)
    with Inputs(lake, workspace.id, (), workspace.thresholds, tables=tables) as inputs:
        parts = inputs.compared_parts()
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
            for one in current
        ),
        daily=daily[is_counted].reset_index(drop=True),
        devices=_summed(parts, "device"),
        countries=_summed(parts, "country"),
        findings={
            table: configured(without_groups(table, read_ranked(lake, table, workspace.id)), workspace)
            for table in {one.table for one in FINDINGS}
        },
        dark=tuple(of_configured(dark_properties(lake, [workspace.id], now=now), [workspace])),
        failing=tuple(failure for failure in state.failures if failure.days),
        last_good_sync=state.last_good_sync,
        annotations=tuple(
            one
            for one in known(lake)
            if one.is_of(workspace.id) and any(one.concerns(site_url, main) for site_url in outer)
        ),
    )


def configured(rows: pd.DataFrame, workspace: Workspace) -> pd.DataFrame:
    """The rows of properties and search types that the workspace still has."""
    keys = [name for name in SERIES if name in rows.columns]
    kept = [is_configured(workspace, *key) for key in rows[keys].itertuples(index=False, name=None)]
    return rows[pd.Series(kept, index=rows.index, dtype=bool)].reset_index(drop=True)


def has_brand_terms(workspace: Workspace) -> bool:
    """Whether brand queries can be told from others."""
    return any(term.strip() for term in workspace.brand_terms)


def _summed(parts: pd.DataFrame, by: str) -> pd.DataFrame:
    sums = [name for name in parts.columns if name.startswith(("clicks", "impressions", "sum_position"))]
    found = with_change(parts.groupby(by, as_index=False)[sums].sum()).rename(columns={by: "item"})
    return found.sort_values(
        ["clicks", "impressions", "item"], ascending=[False, False, True], ignore_index=True
    )
