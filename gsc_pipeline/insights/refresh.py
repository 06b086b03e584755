"""Bringing one workspace's insights up to date: read, compute, replace; nothing where nothing moved.

Belongs here: the order of it, and when there is nothing to do. Does not: definitions (a module each).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa

from gsc_pipeline.days import month_of
from gsc_pipeline.insights.anomalies import anomalies
from gsc_pipeline.insights.cannibalisation import cannibalisation
from gsc_pipeline.insights.coverage import index_coverage
from gsc_pipeline.insights.ctr_gap import ctr_gap
from gsc_pipeline.insights.curve import ctr_curve
from gsc_pipeline.insights.daily import daily_performance
from gsc_pipeline.insights.decay import content_decay
from gsc_pipeline.insights.frames import SERIES, as_table
from gsc_pipeline.insights.movers import winners_and_losers
from gsc_pipeline.insights.source import LakeSource
from gsc_pipeline.insights.striking import striking_distance
from gsc_pipeline.lake.lake import Lake, OfWorkspace
from gsc_pipeline.lake.schemas import (
    ANOMALIES,
    CANNIBALISATION,
    CONTENT_DECAY,
    CTR_CURVE,
    CTR_GAP,
    DAILY_PERFORMANCE,
    INDEX_COVERAGE,
    INSIGHT_REFRESHES,
    INSIGHTS,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)
from gsc_pipeline.thresholds import Thresholds
from gsc_pipeline.workspaces import Workspace

DEFINITIONS = 2
"""To be raised with every change of a definition, so that all workspaces are made anew."""


@dataclass(frozen=True, slots=True)
class InsightsReport:
    """What a refresh did: rows by table (those that are there, when nothing changed)."""

    workspace: str
    as_of: date | None
    changed: bool
    rows: dict[str, int]
    seconds: float


def refresh_insights(
    lake: Lake, workspace: Workspace, *, thresholds: Thresholds | None = None, now: datetime
) -> InsightsReport:
    """Make the workspace's insights from what the lake holds, and put them in the place of its old ones.

    Does nothing when data, thresholds, brand terms and definitions are what they were. Each table is
    replaced whole, in one commit; a refresh that was cut short is made anew by the next. `thresholds` are
    the workspace's own unless given; `now` (aware) is noted. Raises LakeError where the lake does not do
    its part.
    """
    started = time.monotonic()
    thresholds = thresholds or workspace.thresholds
    with LakeSource(lake, workspace.id, workspace.brand_terms, thresholds) as source:
        newest = source.final["as_of"].max() if len(source.final) else None
        as_of = None if newest is None else newest.date()
        known = (DEFINITIONS, thresholds, workspace.brand_terms, source.fingerprint())
        fingerprint = hashlib.sha256(repr(known).encode()).hexdigest()
        changed = fingerprint != _last_fingerprint(lake, workspace.id)
        if changed:
            rows = _replace_all(lake, workspace.id, source, thresholds)
            if as_of is not None:
                _note(lake, workspace.id, as_of, now, fingerprint)
        else:
            rows = {table.name: _count(lake, table, workspace.id) for table in INSIGHTS}
    return InsightsReport(workspace.id, as_of, changed, rows, time.monotonic() - started)


def _replace_all(lake: Lake, workspace: str, source: LakeSource, thresholds: Thresholds) -> dict[str, int]:
    """Put what is found in the place of what was, table by table; rows by table."""
    counts = dict.fromkeys((table.name for table in INSIGHTS), 0)
    for table, frame in _computed(source, thresholds):
        month_of = "data_date" if table is DAILY_PERFORMANCE else "as_of"
        lake.replace(table, OfWorkspace(workspace), as_table(table, frame, workspace, month_of=month_of))
        counts[table.name] = len(frame)
    return counts


def _computed(source: LakeSource, thresholds: Thresholds) -> Iterator[tuple[TableSpec, pd.DataFrame]]:
    """Each table's rows, one after another, so that memory holds the inputs of one."""
    daily = daily_performance(source.ledger, source.named_by_day())
    yield DAILY_PERFORMANCE, daily
    yield ANOMALIES, anomalies(daily.merge(source.final, on=[*SERIES, "data_date"]), thresholds)
    positions, query_positions = source.curve_positions()
    curve = ctr_curve(positions, thresholds)
    yield CTR_CURVE, curve
    gaps = ctr_gap(query_positions, curve, thresholds)
    del query_positions
    striking = striking_distance(source.queries(), curve, thresholds)
    shared, top_pages = source.query_pages(pd.concat([gaps, striking]))
    for table, found in ((CTR_GAP, gaps), (STRIKING_DISTANCE, striking)):
        yield table, found.merge(top_pages, on=[*SERIES, "query"], how="left")
    yield CANNIBALISATION, cannibalisation(shared, thresholds)
    pages = source.compared_pages()
    both = [
        pages.assign(compared_with="previous"),
        source.pages_of_a_year().assign(compared_with="year_before"),
    ]
    yield CONTENT_DECAY, content_decay(pd.concat(both).rename(columns={"item": "url"}), thresholds)
    items = [source.compared_queries().assign(dimension="query"), pages.assign(dimension="page")]
    yield WINNERS_AND_LOSERS, winners_and_losers(pd.concat(items), thresholds)
    yield INDEX_COVERAGE, index_coverage(source.inspections(), source.sitemaps())


def _last_fingerprint(lake: Lake, workspace: str) -> str | None:
    noted = lake.read(INSIGHT_REFRESHES, columns=["fingerprint"], workspace=workspace).to_pylist()
    return noted[0]["fingerprint"] if noted else None


def _note(lake: Lake, workspace: str, as_of: date, now: datetime, fingerprint: str) -> None:
    row = {
        "workspace": workspace,
        "month": month_of(as_of),
        "as_of": as_of,
        "refreshed_at": now.astimezone(UTC),
        "fingerprint": fingerprint,
    }
    rows = pa.Table.from_pylist([row], schema=INSIGHT_REFRESHES.schema)
    lake.replace(INSIGHT_REFRESHES, OfWorkspace(workspace), rows)


def _count(lake: Lake, table: TableSpec, workspace: str) -> int:
    dataset = lake.dataset(table, workspace=workspace)
    return 0 if dataset is None else dataset.count_rows()
