"""What watchers count in the lake: good syncs and failed days of the active workspaces, rows and calls.

Belongs here: reading those numbers, and no more of the lake than they need: the files of a few months, and
of these only the ones whose statistics say that they matter. Does not: judging them (`health`), a full
account of a workspace (`status`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

import pyarrow.compute as pc
import pyarrow.dataset as ds

from gsc_pipeline.days import ONE_DAY, month_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_LEDGER, SYNC_RUNS
from gsc_pipeline.workspaces import Workspace

LOOK_BACK = timedelta(days=2)
"""How far back syncs are looked for at first; a workspace without a good one since is looked up whole."""

SETTLED = timedelta(days=31)
"""Months that ended this long ago get no more runs: a run may take hours, never weeks."""


@dataclass(frozen=True, slots=True)
class WorkspaceFigures:
    """An active workspace: its last good sync, its latest one, and days waiting to be read again."""

    last_good_sync_at: datetime | None = None
    latest_seconds: float = 0.0
    latest_failed: bool = False
    failed_days: int = 0

    @property
    def is_failing(self) -> bool:
        """Whether something of it could not be read."""
        return self.latest_failed or self.failed_days > 0


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Sums over all syncs ever: rows written, API calls, repeats among them."""

    rows: int = 0
    calls: int = 0
    retries: int = 0

    def __add__(self, other: RunTotals) -> RunTotals:
        return RunTotals(self.rows + other.rows, self.calls + other.calls, self.retries + other.retries)


def read_figures(
    lake: Lake, workspaces: Iterable[Workspace], *, now: datetime
) -> dict[str, WorkspaceFigures]:
    """The figures of the active ones of `workspaces`, by id. Raises LakeError.

    Failed days of properties and search types that are no longer configured do not count.
    """
    active = {workspace.id: workspace for workspace in workspaces if workspace.active}
    since = now - LOOK_BACK
    months = sorted({month_of(since.date()), month_of(now.date())})
    latest = _latest_syncs(lake, ds.field("started_at") >= since, months)
    unseen = [id_ for id_ in active if id_ not in latest or latest[id_].last_good_sync_at is None]
    if unseen:
        latest |= _latest_syncs(lake, ds.field("workspace").isin(unseen), None)
    failed = _failed_days(lake, active)
    return {
        id_: WorkspaceFigures(
            last_good_sync_at=found.last_good_sync_at,
            latest_seconds=found.latest_seconds,
            latest_failed=found.latest_failed,
            failed_days=failed[id_],
        )
        for id_ in active
        for found in [latest.get(id_, WorkspaceFigures())]
    }


class RunTotalsReader:
    """Reads the totals of all syncs; those of settled months once a month only."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._settled = RunTotals()
        self._settled_before = ""

    def read(self, now: datetime) -> RunTotals:
        """The totals at `now`. Raises LakeError."""
        unsettled = sorted({month_of((now - days * ONE_DAY).date()) for days in range(SETTLED.days + 1)})
        before = unsettled[0]
        if before != self._settled_before:
            self._settled = self._sum(ds.field("month") < before, None)
            self._settled_before = before
        return self._settled + self._sum(None, unsettled)

    def _sum(self, where: ds.Expression | None, months: Sequence[str] | None) -> RunTotals:
        columns = [one.name for one in fields(RunTotals)]
        rows = self._lake.read(SYNC_RUNS, columns=columns, where=where, months=months)
        return RunTotals(*(pc.sum(rows[column]).as_py() or 0 for column in columns))


def is_configured(row: Mapping[str, object], workspace: Workspace) -> bool:
    """Whether the workspace still has the property and search type of a ledger's row."""
    properties, kinds = workspace.properties, {kind.name for kind in workspace.search_types}
    return (properties is None or row["site_url"] in properties) and row["search_type"] in kinds


def _latest_syncs(lake: Lake, where: ds.Expression, months: list[str] | None) -> dict[str, WorkspaceFigures]:
    columns = ["workspace", "started_at", "outcome", "seconds"]
    rows = lake.read(SYNC_RUNS, columns=columns, where=where, months=months)
    found: dict[str, WorkspaceFigures] = {}
    for row in rows.sort_by("started_at").to_pylist():
        failed = row["outcome"] != "success"
        before = found.get(row["workspace"], WorkspaceFigures())
        good_at = before.last_good_sync_at if failed else row["started_at"]
        found[row["workspace"]] = WorkspaceFigures(good_at, row["seconds"], failed)
    return found


def _failed_days(lake: Lake, active: Mapping[str, Workspace]) -> Counter[str]:
    rows = lake.read(
        SYNC_LEDGER,
        columns=["workspace", "site_url", "search_type"],
        where=(ds.field("status") == "failed") & ds.field("workspace").isin(list(active)),
    )
    configured = [row for row in rows.to_pylist() if is_configured(row, active[row["workspace"]])]
    return Counter(row["workspace"] for row in configured)
