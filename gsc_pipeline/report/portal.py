"""The data of the portal: the figures and the state of every active workspace, read from the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa

from gsc_pipeline.insights.daily_performance import totals_by_day
from gsc_pipeline.insights.measures import SERIES
from gsc_pipeline.insights.windows import YEAR
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.incremental import FILE, FileByFile
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.quality import DarkProperty, dark_properties
from gsc_pipeline.lake.schemas import CHANGE_POINTS, FORECASTS, SYNC_LEDGER
from gsc_pipeline.monitoring.freshness import (
    AssetFreshness,
    FreshnessInputs,
    problem_texts,
    search_data,
)
from gsc_pipeline.monitoring.health import is_lasting
from gsc_pipeline.monitoring.status import WorkspaceState, workspace_states
from gsc_pipeline.report.changes import CHANGES_INPUT, Change, changes_by_workspace, latest, ranked
from gsc_pipeline.report.notes import went_dark
from gsc_pipeline.report.outlook import not_stale
from gsc_pipeline.report.totals import Headline, choose, current_clicks, headlines
from gsc_pipeline.sync.failures import of_configured
from gsc_pipeline.workspaces.content_groups import ALL
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.thresholds import Thresholds

CHANGED_DAYS = 28
"""Changes that began within so many days before the end of the headline are listed."""

WEEKS = 13
"""The weeks of clicks that a row draws, up to the last day of its headline."""

_COLUMNS = ("workspace", *SERIES, "data_date", "status", "clicks", "impressions", "position")
_KEY = ["workspace", *SERIES]


@dataclass(frozen=True, slots=True)
class Figures:
    """The headline of a workspace, as in its report, and the clicks of its last weeks.

    `weeks` begins with the oldest; None where a day is unknown. `site_urls` are the properties that it adds.
    """

    search_type: str
    headline: Headline
    weeks: tuple[int | None, ...]
    site_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """The clicks expected in the next days, compared with the same number of days of the headline."""

    clicks: float
    change: float | None


@dataclass(frozen=True, slots=True)
class PortalRow:
    """One workspace. `figures` is None if no final day has impressions, `is_shown` tells whether another day
    has some; `attention` is what needs a person.

    `changes` are those of level that began lately, the most important first; `latest` is the newest of the
    clicks, at any time.
    """

    workspace: Workspace
    figures: Figures | None
    state: WorkspaceState
    freshness: AssetFreshness
    attention: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    latest: Change | None = None
    expected: Expected | None = None
    is_shown: bool = True


@dataclass(frozen=True, slots=True)
class PortalData:
    """A row for each active workspace, in the order of the workspaces file."""

    rows: tuple[PortalRow, ...]
    made_at: datetime


def portal_data(
    lake: Lake, workspaces: Sequence[Workspace], *, stale_after: timedelta, now: datetime
) -> PortalData:
    """Read the data of the portal for the active ones among `workspaces`.

    The figures are those of the ledger now. A report has the same ones once it is written after the last
    sync. Changes and forecasts are those of the last refresh of the insights. A damaged file affects only its
    workspace. Raises LakeError if the lake cannot be read.
    """
    active = [workspace for workspace in workspaces if workspace.active]
    states = workspace_states(active, lake)
    inputs = FreshnessInputs(states, lambda asset: {}, {}, now, stale_after)
    daily = _daily(lake, active)
    figures, shown = _figures(daily, active), set(daily["workspace"])
    dark = _dark(lake, active, now)
    changes, expected = _changes(lake, figures), _expected(lake, figures)
    return PortalData(
        tuple(
            PortalRow(
                workspace,
                figures.get(workspace.id),
                state,
                freshness,
                _attention(state, freshness, [one for one in dark if one.workspace == workspace.id]),
                changes=_lately(changes.get(workspace.id, []), figures.get(workspace.id)),
                latest=latest([one for one in changes.get(workspace.id, []) if one.metric == "clicks"]),
                expected=expected.get(workspace.id),
                is_shown=workspace.id in shown,
            )
            for workspace, state, freshness in zip(
                active, states, search_data(inputs, SYNC_LEDGER.name), strict=True
            )
        ),
        now,
    )


def _daily(lake: Lake, active: Sequence[Workspace]) -> pd.DataFrame:
    """The days of the ledger that the figures need, without what is no longer configured."""
    longest = max((one.thresholds.window_days for one in active), default=0)
    rows = FileByFile(
        lake,
        SYNC_LEDGER,
        _COLUMNS,
        # Two windows of a year ago, of a property that is a window late.
        f"""SELECT {FILE}, {", ".join(_COLUMNS)} FROM rows
            QUALIFY data_date > max(data_date) OVER (PARTITION BY workspace) - {YEAR + 3 * longest + 31}""",
    ).read()
    stored = rows.select(_COLUMNS).to_pandas(date_as_object=False)
    keys = stored[_KEY].drop_duplicates()
    kept = of_configured(list(keys.itertuples(index=False)), active)
    return totals_by_day(stored.merge(pd.DataFrame(kept, columns=_KEY), on=_KEY))


def _figures(daily: pd.DataFrame, active: Sequence[Workspace]) -> dict[str, Figures]:
    by_thresholds: dict[Thresholds, list[str]] = {}
    for workspace in active:
        by_thresholds.setdefault(workspace.thresholds, []).append(workspace.id)
    found: dict[str, Figures] = {}
    for thresholds, ids in by_thresholds.items():
        found |= _figures_of(daily[daily["workspace"].isin(ids)], thresholds)
    return found


def _figures_of(daily: pd.DataFrame, thresholds: Thresholds) -> dict[str, Figures]:
    chosen = {name: choose(clicks) for name, clicks in current_clicks(daily, thresholds).items()}
    keys = [
        (name, site_url, search_type)
        for name, (search_type, site_urls) in chosen.items()
        for site_url in site_urls
    ]
    counted = daily.merge(pd.DataFrame(keys, columns=_KEY).astype(daily[_KEY].dtypes), on=_KEY)
    made = headlines(counted, thresholds)
    if not made:
        return {}
    weeks = _weeks(counted, made)
    return {
        name: Figures(chosen[name][0], one, weeks[name], tuple(chosen[name][1])) for name, one in made.items()
    }


def _weeks(counted: pd.DataFrame, made: Mapping[str, Headline]) -> dict[str, tuple[int | None, ...]]:
    """For each workspace the clicks of its last weeks; a week with an unknown day is unknown."""
    last = counted["workspace"].map({name: pd.Timestamp(one.last) for name, one in made.items()})
    age = (last - counted["data_date"]).dt.days
    recent = counted[age.between(0, 7 * WEEKS - 1)].assign(week=WEEKS - 1 - age // 7)
    days = recent.groupby(["workspace", "week", "data_date"])["clicks"].sum()
    sums = days.groupby(level=["workspace", "week"]).agg(["sum", "size"])
    whole = sums.loc[sums["size"] == 7, "sum"].astype("int64").to_dict()
    return {name: tuple(whole.get((name, week)) for week in range(WEEKS)) for name in made}


def _changes(lake: Lake, figures: Mapping[str, Figures]) -> dict[str, list[Change]]:
    """The changes of the properties in each headline: those of the last days, and the last of the clicks."""
    columns = ("workspace", "as_of", *CHANGES_INPUT)
    stored = FileByFile(
        lake,
        CHANGE_POINTS,
        columns,
        f"""SELECT {FILE}, {", ".join(columns)} FROM rows
            QUALIFY first_day > as_of - {CHANGED_DAYS} OR (content_group = '{ALL}' AND metric = 'clicks' AND
            row_number() OVER (PARTITION BY workspace, site_url, search_type, content_group, metric
                               ORDER BY first_day DESC) = 1)""",
    ).read()
    return changes_by_workspace(_counted(stored.select(columns), figures))


def _lately(found: Sequence[Change], figures: Figures | None) -> tuple[Change, ...]:
    if figures is None:
        return ()
    since = figures.headline.last - timedelta(CHANGED_DAYS)
    return tuple(ranked([one for one in found if one.first_day > since], figures.headline.totals.ctr))


def _expected(lake: Lake, figures: Mapping[str, Figures]) -> dict[str, Expected]:
    """The clicks expected of the properties in each headline, if each of them has a new forecast."""
    columns = ("workspace", *SERIES, "content_group", "metric", "as_of", "made_on", "expected")
    stored = FileByFile(
        lake,
        FORECASTS,
        columns,
        f"""SELECT {FILE}, {", ".join(_KEY)}, sum(expected) AS clicks, count(expected) AS days,
                   max(as_of) AS as_of FROM rows
            WHERE content_group = '{ALL}' AND metric = 'clicks' AND made_on >= rows.as_of
                  AND expected IS NOT NULL
            GROUP BY ALL""",
    ).read()
    rows = _counted(stored.drop_columns([FILE]), figures)
    last = rows["workspace"].map({name: pd.Timestamp(one.headline.last) for name, one in figures.items()})
    sums = not_stale(rows, last.astype("datetime64[ns]")).groupby("workspace")
    found = {}
    for name, properties, clicks, days in sums.agg(
        properties=("site_url", "nunique"), clicks=("clicks", "sum"), days=("days", "max")
    ).itertuples(name=None):
        one = figures[str(name)]
        if properties == len(one.site_urls):
            headline = one.headline
            window = (headline.last - headline.first).days + 1
            before = headline.totals.clicks * int(days) / window
            found[str(name)] = Expected(float(clicks), float(clicks) / before - 1 if before else None)
    return found


def _counted(stored: pa.Table, figures: Mapping[str, Figures]) -> pd.DataFrame:
    """The rows of the properties and search types in the headlines."""
    keys = [(name, site_url, one.search_type) for name, one in figures.items() for site_url in one.site_urls]
    rows: pd.DataFrame = stored.to_pandas(date_as_object=False)
    return rows.merge(pd.DataFrame(keys, columns=_KEY).astype(rows[_KEY].dtypes), on=_KEY)


def _dark(lake: Lake, active: Sequence[Workspace], now: datetime) -> list[DarkProperty]:
    try:
        found = dark_properties(lake, [workspace.id for workspace in active], now=now)
    except DamagedError:
        # The state of the workspace names the damage.
        return []
    return of_configured(found, active)


def _attention(
    state: WorkspaceState, freshness: AssetFreshness, dark: Sequence[DarkProperty]
) -> tuple[str, ...]:
    """What needs a person, each with the next step. Failed days that the next sync reads again do not."""
    lasting = [failure for failure in state.failures if not failure.days or is_lasting(state)]
    found = [*problem_texts(state, lasting), *map(went_dark, dark)]
    if freshness.is_late and not found:
        found.append(freshness.problems)
    return tuple(found)
