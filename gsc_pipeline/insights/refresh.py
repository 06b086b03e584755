"""Refresh the insights of one workspace if its data, settings, annotations or definitions changed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa

from gsc_pipeline.days import month_of
from gsc_pipeline.insights.annotated import of_windows
from gsc_pipeline.insights.anomalies import anomalies
from gsc_pipeline.insights.cannibalisation import cannibalisation
from gsc_pipeline.insights.canonical_queries import NAMED_QUERY
from gsc_pipeline.insights.change_points import change_points
from gsc_pipeline.insights.content_decay import content_decay
from gsc_pipeline.insights.content_group_days import replace_group_days
from gsc_pipeline.insights.content_groups import compared_groups, grouped_days
from gsc_pipeline.insights.ctr_curve import ctr_curve
from gsc_pipeline.insights.ctr_gap import ctr_gap
from gsc_pipeline.insights.daily_performance import daily_performance
from gsc_pipeline.insights.forecasts import forecasts
from gsc_pipeline.insights.index_coverage import index_coverage
from gsc_pipeline.insights.inputs import Inputs
from gsc_pipeline.insights.measures import SERIES
from gsc_pipeline.insights.seo_tests import seo_tests
from gsc_pipeline.insights.striking_distance import striking_distance
from gsc_pipeline.insights.tables import as_table
from gsc_pipeline.insights.windows import YEAR
from gsc_pipeline.insights.winners_and_losers import winners_and_losers
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.annotations.stored import known as known_annotations
from gsc_pipeline.lake.canonical import CANONICAL_VERSION
from gsc_pipeline.lake.lake import Lake, WorkspaceRows
from gsc_pipeline.lake.schemas import (
    ANOMALIES,
    CANNIBALISATION,
    CHANGE_POINTS,
    CONTENT_DECAY,
    CONTENT_GROUP_DAYS,
    CTR_CURVE,
    CTR_GAP,
    DAILY_PERFORMANCE,
    FORECASTS,
    INDEX_COVERAGE,
    INSIGHT_REFRESHES,
    INSIGHTS,
    SEO_TESTS,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.thresholds import Thresholds

DEFINITIONS = 7
"""Raise it with every change of a definition: all insights are then computed again."""


@dataclass(frozen=True, slots=True)
class InsightsReport:
    """The result of a refresh; `rows` counts the rows of each table, whether or not it changed."""

    workspace: str
    as_of: date | None
    changed: bool
    rows: dict[str, int]
    seconds: float


def refresh_insights(
    lake: Lake, workspace: Workspace, *, thresholds: Thresholds | None = None, now: datetime
) -> InsightsReport:
    """Compute the workspace's insights from the lake, and replace its rows in each table.

    The properties of folders are left out: the properties that they complete have the same pages.
    Does nothing if data, thresholds, brand terms, content groups, SEO tests, the lake's annotations and
    definitions are unchanged. Each table is replaced in one commit, of content_group_days only the months
    that have changed; an interrupted refresh is repeated by the next. `thresholds` default to the
    workspace's; `now` (aware) is recorded. Raises LakeError if the lake cannot be read or written.
    """
    started = time.monotonic()
    thresholds = thresholds or workspace.thresholds
    annotations = [one for one in known_annotations(lake) if one.is_of(workspace.id)]
    without = workspace.folder_urls
    terms, groups = workspace.brand_terms, workspace.content_groups
    with Inputs(lake, workspace.id, terms, thresholds, without=without, content_groups=groups) as inputs:
        newest = inputs.final["as_of"].max() if len(inputs.final) else None
        as_of = None if newest is None else newest.date()
        tests, definitions = workspace.seo_tests, (DEFINITIONS, CANONICAL_VERSION)
        known = (definitions, thresholds, terms, groups, tests, annotations, inputs.fingerprint())
        fingerprint = hashlib.sha256(repr(known).encode()).hexdigest()
        changed = fingerprint != _last_fingerprint(lake, workspace.id)
        if changed:
            rows = _replace_all(lake, workspace, inputs, thresholds, annotations)
            if as_of is not None:
                _record(lake, workspace.id, as_of, now, fingerprint)
        else:
            rows = {table.name: _count(lake, table, workspace.id) for table in INSIGHTS}
    return InsightsReport(workspace.id, as_of, changed, rows, time.monotonic() - started)


def _replace_all(
    lake: Lake,
    workspace: Workspace,
    inputs: Inputs,
    thresholds: Thresholds,
    annotations: Sequence[Annotation],
) -> dict[str, int]:
    """Replace the rows of each table, and return the number of rows of each."""
    counts = dict.fromkeys((table.name for table in INSIGHTS), 0)
    groups = inputs.group_days()
    replace_group_days(lake, workspace.id, groups)
    counts[CONTENT_GROUP_DAYS.name] = groups.count
    for table, frame in _computed(inputs, workspace, thresholds, annotations, groups.largest):
        month_of = "data_date" if table is DAILY_PERFORMANCE else "as_of"
        rows = as_table(table, frame, workspace.id, month_of=month_of)
        lake.replace(table, WorkspaceRows(workspace.id), rows)
        counts[table.name] = len(frame)
    return counts


def _computed(
    inputs: Inputs,
    workspace: Workspace,
    thresholds: Thresholds,
    annotations: Sequence[Annotation],
    groups: pd.DataFrame,
) -> Iterator[tuple[TableSpec, pd.DataFrame]]:
    """Each table with its rows, one at a time, so that memory holds the inputs of one.

    `groups` has the days of the largest content groups.
    """
    daily = daily_performance(inputs.ledger, inputs.named_by_day())
    yield DAILY_PERFORMANCE, daily
    days = grouped_days(daily.merge(inputs.final, on=[*SERIES, "data_date"]), groups)
    yield ANOMALIES, anomalies(days, thresholds, annotations)
    positions, query_positions = inputs.curve_positions()
    curve = ctr_curve(positions, thresholds)
    yield CTR_CURVE, curve
    gaps = ctr_gap(query_positions, curve, thresholds)
    del query_positions
    striking = striking_distance(inputs.queries(), curve, thresholds)
    shared, top_pages = inputs.query_pages(pd.concat([gaps, striking]))
    for table, found in ((CTR_GAP, gaps), (STRIKING_DISTANCE, striking)):
        yield table, inputs.with_groups(found.merge(top_pages, on=NAMED_QUERY, how="left"))
    yield CANNIBALISATION, inputs.with_groups(cannibalisation(shared, thresholds))
    pairs = [inputs.pairs(back) for back in (thresholds.window_days, YEAR)]
    previous, year = (of_windows(one, annotations) for one in pairs)
    groups_before, groups_of_a_year = (
        compared_groups(groups, one).assign(dimension="content_group") for one in pairs
    )
    pages = inputs.compared_pages().assign(dimension="page")
    pages_of_a_year = inputs.pages_of_a_year().assign(dimension="page")
    both = [
        pd.concat([pages, groups_before]).assign(compared_with="previous"),
        pd.concat([pages_of_a_year, groups_of_a_year]).assign(compared_with="year_before"),
    ]
    decayed = content_decay(pd.concat(both).rename(columns={"item": "url"}), thresholds)
    is_page = decayed["dimension"] == "page"
    decayed["content_group"] = inputs.with_groups(decayed)["content_group"].where(is_page, decayed["url"])
    named = pd.concat([previous.assign(compared_with="previous"), year.assign(compared_with="year_before")])
    yield CONTENT_DECAY, decayed.merge(named, on=[*SERIES, "compared_with"], how="left")
    items = [inputs.compared_queries(), pages, groups_before]
    moved = winners_and_losers(pd.concat(items), thresholds)
    yield WINNERS_AND_LOSERS, moved.merge(previous, on=SERIES, how="left")
    inspections = inputs.with_groups(inputs.inspections())
    yield INDEX_COVERAGE, index_coverage(inspections, inputs.sitemaps(), thresholds)
    yield CHANGE_POINTS, change_points(days, thresholds, annotations)
    yield FORECASTS, forecasts(days, thresholds, annotations)
    newest = inputs.final["as_of"].max().date() if len(inputs.final) else None
    tested = inputs.test_days(workspace.seo_tests)
    yield SEO_TESTS, seo_tests(workspace.seo_tests, tested, newest, annotations)


def _last_fingerprint(lake: Lake, workspace: str) -> str | None:
    recorded = lake.read(INSIGHT_REFRESHES, columns=["fingerprint"], workspace=workspace).to_pylist()
    return recorded[0]["fingerprint"] if recorded else None


def _record(lake: Lake, workspace: str, as_of: date, now: datetime, fingerprint: str) -> None:
    row = {
        "workspace": workspace,
        "month": month_of(as_of),
        "as_of": as_of,
        "refreshed_at": now.astimezone(UTC),
        "fingerprint": fingerprint,
    }
    rows = pa.Table.from_pylist([row], schema=INSIGHT_REFRESHES.schema)
    lake.replace(INSIGHT_REFRESHES, WorkspaceRows(workspace), rows)


def _count(lake: Lake, table: TableSpec, workspace: str) -> int:
    dataset = lake.dataset(table, workspace=workspace)
    return 0 if dataset is None else dataset.count_rows()
