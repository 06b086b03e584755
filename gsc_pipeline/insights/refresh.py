"""Refresh the insights of one workspace if its data, settings, annotations or definitions changed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa

from gsc_pipeline.days import month_of
from gsc_pipeline.insights.computed import computed
from gsc_pipeline.insights.content_group_days import replace_group_days
from gsc_pipeline.insights.inputs import Inputs
from gsc_pipeline.insights.tables import as_table
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.annotations.stored import known as known_annotations
from gsc_pipeline.lake.canonical import CANONICAL_VERSION
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    CONTENT_GROUP_DAYS,
    DAILY_PERFORMANCE,
    INSIGHT_REFRESHES,
    INSIGHTS,
    TableSpec,
)
from gsc_pipeline.lake.targets import WorkspaceRows
from gsc_pipeline.workspaces.registry import Workspace

DEFINITIONS = 12
"""Raise it with every change of a definition: all insights are then computed again."""


@dataclass(frozen=True, slots=True)
class InsightsReport:
    """The result of a refresh; `rows` counts the rows of each table, whether or not it changed."""

    workspace: str
    as_of: date | None
    changed: bool
    rows: dict[str, int]
    seconds: float


def refresh_insights(lake: Lake, workspace: Workspace, *, now: datetime) -> InsightsReport:
    """Compute the workspace's insights from the lake, and replace its rows in each table.

    Does nothing if data, thresholds, brand terms, content groups, SEO tests, the lake's annotations and
    definitions are unchanged. Each table is replaced in one commit, of content_group_days only the months
    that have changed; an interrupted refresh is repeated by the next. `now` (aware) is recorded.
    Raises LakeError if the lake cannot be read or written.
    """
    started = time.monotonic()
    annotations = [one for one in known_annotations(lake) if one.is_of(workspace.id)]
    with Inputs(lake, workspace) as inputs:
        as_of = inputs.newest
        known = (
            (DEFINITIONS, CANONICAL_VERSION),
            workspace.thresholds,
            workspace.brand_terms,
            workspace.content_groups,
            workspace.seo_tests,
            annotations,
            inputs.fingerprint(),
        )
        fingerprint = hashlib.sha256(repr(known).encode()).hexdigest()
        changed = fingerprint != _last_fingerprint(lake, workspace.id)
        if changed:
            rows = _replace_all(lake, workspace, inputs, annotations)
            if as_of is not None:
                _record(lake, workspace.id, as_of, now, fingerprint)
        else:
            rows = {table.name: _count(lake, table, workspace.id) for table in INSIGHTS}
    return InsightsReport(workspace.id, as_of, changed, rows, time.monotonic() - started)


def _replace_all(
    lake: Lake, workspace: Workspace, inputs: Inputs, annotations: Sequence[Annotation]
) -> dict[str, int]:
    """Replace the rows of each table, and return the number of rows of each."""
    counts = dict.fromkeys((table.name for table in INSIGHTS), 0)
    groups = inputs.group_days()
    replace_group_days(lake, workspace.id, groups)
    counts[CONTENT_GROUP_DAYS.name] = groups.count
    for table, frame in computed(inputs, workspace, annotations, groups.largest):
        month_of = "data_date" if table is DAILY_PERFORMANCE else "as_of"
        rows = as_table(table, frame, workspace.id, month_of=month_of)
        lake.replace(table, WorkspaceRows(workspace.id), rows)
        counts[table.name] = len(frame)
    return counts


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
