"""The data of a report, read from the lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.insights.inputs import Inputs
from gsc_pipeline.insights.measures import SERIES, with_change
from gsc_pipeline.insights.scope import WHOLE, Scope
from gsc_pipeline.insights.tables import read_ranked
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.annotations.stored import known
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.quality import DarkProperty, dark_properties
from gsc_pipeline.lake.schemas import (
    CHANGE_POINTS,
    CONTENT_GROUP_DAYS,
    DAILY_PERFORMANCE,
    FORECASTS,
    SEO_TESTS,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    TableSpec,
)
from gsc_pipeline.monitoring.status import workspace_state
from gsc_pipeline.report.changes import Change, changes, ranked, recent
from gsc_pipeline.report.content_groups import GroupRow, group_rows, of_group
from gsc_pipeline.report.findings import FINDINGS
from gsc_pipeline.report.outlook import Outlook, not_stale, outlook
from gsc_pipeline.report.totals import Headline, choose, headline
from gsc_pipeline.sync.failures import StandingFailure, is_configured, of_configured
from gsc_pipeline.workspaces.registry import Workspace


class ReportError(PipelineError):
    """There is nothing to report, or the report cannot be written. The text says what to do."""


class NothingToReportError(ReportError):
    """The workspace has no final day with impressions."""


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
    Of one content group, `daily` has its days in that form; there are no devices and countries.
    `changes` are recent ones of the same properties, the most important first. `outlook` and `groups` are of
    the largest property, `group_names` of all. `tests` holds the rows of seo_tests. `findings` has the
    tables that have rows for the scope.
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
    scope: Scope = WHOLE
    changes: tuple[Change, ...] = ()
    outlook: Outlook | None = None
    groups: tuple[GroupRow, ...] = ()
    group_names: tuple[str, ...] = ()
    tests: pd.DataFrame | None = None
    are_changes_sought: bool = True
    """Whether change_points was ever written."""
    damaged: tuple[str, ...] = ()
    """Files that cannot be read, and months with other numbers of rows than the ledger counts, as in
    `gsc status`."""

    @property
    def site_urls(self) -> list[str]:
        """The properties of the headline, those with the most clicks first."""
        counted = [one for one in self.properties if one.is_counted]
        return [one.site_url for one in sorted(counted, key=lambda one: -one.figures.totals.clicks)]

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


def report_data(lake: Lake, workspace: Workspace, scope: Scope = WHOLE, *, now: datetime) -> ReportData:
    """Read the data of the workspace's report. Insights are read as they are, without a refresh.

    Raises NothingToReportError if no final day of the workspace has impressions, ReportError if it has no
    such content group, LakeError if the lake cannot be read.
    """

    def rows_of(table: TableSpec) -> pd.DataFrame:
        return configured(read_ranked(lake, table, workspace.id), workspace)

    limits = workspace.thresholds
    stored = lake.read(DAILY_PERFORMANCE, workspace=workspace.id).to_pandas(date_as_object=False)
    daily = configured(stored, workspace)
    group_days = rows_of(CONTENT_GROUP_DAYS)
    names = tuple(sorted(group_days["content_group"].unique()))
    if scope.is_group:
        _refuse_unknown(workspace, scope, names)
        daily = of_group(group_days, daily, scope.content_group)
    figures = {
        (str(site_url), str(search_type)): made
        for (site_url, search_type), rows in daily.groupby(SERIES, sort=True)
        if (made := headline(rows, limits)) is not None
    }
    newest = max((one.last for one in figures.values()), default=None)
    if newest is None:
        raise NothingToReportError(
            f"{workspace.id}: nothing to report, because no final day in {lake.uri} has impressions. Run gsc "
            "sync, or wait until Search Console shows some"
        )
    # Leave out properties whose data ended before the current window.
    oldest = newest - timedelta(days=limits.window_days)
    current = {key: one for key, one in figures.items() if one.last > oldest}
    main, outer = choose({key: one.totals.clicks for key, one in current.items()})
    largest = max(outer, key=lambda site_url: current[site_url, main].totals.clicks)

    def counted(rows: pd.DataFrame, site_urls: Sequence[str] = outer) -> pd.DataFrame:
        """The rows of these properties, by default those of the headline, and of its search type."""
        return rows[(rows["search_type"] == main) & rows["site_url"].isin(site_urls)].reset_index(drop=True)

    daily = counted(daily)
    total = headline(daily, limits)
    assert total is not None
    state = workspace_state(workspace, lake)
    parts = counted(_parts(lake, workspace, scope, are_compared=total.previous is not None))
    found = changes(scope.of(CHANGE_POINTS, counted(rows_of(CHANGE_POINTS))))
    forecasts = not_stale(scope.of(FORECASTS, rows_of(FORECASTS)), pd.Timestamp(total.last))
    of_largest = counted(daily, [largest])
    groups = group_rows(
        counted(group_days, [largest]),
        of_largest.loc[(of_largest["impressions"] == 0) & of_largest["is_final"], "data_date"],
        total.last,
        limits.window_days,
        limits.compared_days_share,
        [one for one in found if one.site_url == largest],
    )
    return ReportData(
        workspace=workspace,
        made_at=now,
        search_type=main,
        figures=total,
        properties=tuple(
            PropertyFigures(site_url, search_type, one, is_counted=search_type == main and site_url in outer)
            for (site_url, search_type), one in current.items()
        ),
        daily=daily,
        devices=_summed(parts, "device"),
        countries=_summed(parts, "country"),
        findings={
            table: scope.of(table, rows)
            for table in {one.table for one in FINDINGS}
            if scope.applies_to(rows := rows_of(table))
        },
        dark=tuple(of_configured(dark_properties(lake, [workspace.id], now=now), [workspace])),
        failing=tuple(failure for failure in state.failures if failure.days),
        last_good_sync=state.last_good_sync,
        annotations=tuple(
            one
            for one in known(lake)
            if one.is_of(workspace.id) and any(one.concerns(site_url, main) for site_url in outer)
        ),
        scope=scope,
        changes=tuple(ranked(recent(found, total.last), total.totals.ctr)),
        outlook=outlook(forecasts, largest, main),
        groups=() if scope.is_group else tuple(groups),
        group_names=names,
        tests=rows_of(SEO_TESTS),
        are_changes_sought=lake.dataset(CHANGE_POINTS) is not None,
        damaged=state.damaged,
    )


def _refuse_unknown(workspace: Workspace, scope: Scope, names: Sequence[str]) -> None:
    """Raise ReportError unless the workspace has rows of the content group."""
    if scope.content_group in names:
        return
    known = ", ".join(names) if names else "none yet"
    raise ReportError(f"{workspace.id}: no content group {scope.content_group} (known: {known})")


def _parts(lake: Lake, workspace: Workspace, scope: Scope, *, are_compared: bool) -> pd.DataFrame:
    """Sums by device and country, which are known of whole properties only."""
    tables = (SITE_IMPRESSION, SYNC_LEDGER)
    with Inputs(lake, workspace, tables) as inputs:
        parts = inputs.parts(are_compared=are_compared)
    return parts.head(0) if scope.is_group else parts


def configured(rows: pd.DataFrame, workspace: Workspace) -> pd.DataFrame:
    """The rows of properties and search types that the workspace still has."""
    keys = [name for name in SERIES if name in rows.columns]
    found = pd.MultiIndex.from_frame(rows[keys])
    kept = [key for key in found.unique() if is_configured(workspace, *key)]
    return rows[found.isin(kept)].reset_index(drop=True)


def _summed(parts: pd.DataFrame, by: str) -> pd.DataFrame:
    sums = [name for name in parts.columns if name.startswith(("clicks", "impressions", "sum_position"))]
    found = with_change(parts.groupby(by, as_index=False)[sums].sum()).rename(columns={by: "item"})
    return found.sort_values(
        ["clicks", "impressions", "item"], ascending=[False, False, True], ignore_index=True
    )
