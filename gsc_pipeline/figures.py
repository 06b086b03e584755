"""What watchers count in the lake: good syncs and failed days of the active workspaces, rows and calls.

Belongs here: those numbers. Does not: judging them (`health`), a full account of a workspace (`status`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.files import FILE, FileByFile
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_LEDGER, SYNC_RUNS
from gsc_pipeline.workspaces import Workspace

FAILED = "failed"


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
class Figures:
    """The active workspaces by id; and of all syncs ever: rows written, API calls, repeats among them."""

    workspaces: Mapping[str, WorkspaceFigures] = field(default_factory=dict)
    rows: int = 0
    calls: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class _Runs:
    """The syncs in one file of `sync_runs`."""

    latest_at: datetime
    latest_seconds: float
    latest_failed: bool
    last_good_at: datetime | None
    rows: int
    calls: int
    retries: int


class FiguresReader:
    """Reads the figures again and again. The first time it opens every file of `sync_runs`.

    After that it opens the new ones, at a thousand workspaces: 6 s of CPU at first, 1 s after a tick, else
    some tenths.
    """

    def __init__(self, lake: Lake) -> None:
        columns = ["started_at", "seconds", "outcome", "rows", "calls", "retries"]
        self._runs = FileByFile(lake, SYNC_RUNS, columns, _runs_by_file)
        self._failed = FileByFile(
            lake,
            SYNC_LEDGER,
            ["site_url", "search_type", "status"],
            _failed_by_file,
            matters=_may_hold_failed,
        )

    def read(self, workspaces: Iterable[Workspace]) -> Figures:
        """The figures now, of the active ones of `workspaces`. Raises LakeError.

        Failed days of properties and search types that are no longer configured do not count.
        """
        active = {workspace.id: workspace for workspace in workspaces if workspace.active}
        runs = self._runs.look()
        failed: Counter[str] = Counter()
        for id_, rows in self._failed.look():
            if id_ in active:
                failed[id_] += sum(is_configured(row, active[id_]) for row in rows)
        by_workspace: dict[str, list[_Runs]] = {}
        for id_, some in runs:
            by_workspace.setdefault(id_, []).append(some)
        return Figures(
            workspaces={id_: _of_workspace(by_workspace.get(id_, []), failed[id_]) for id_ in active},
            rows=sum(some.rows for _, some in runs),
            calls=sum(some.calls for _, some in runs),
            retries=sum(some.retries for _, some in runs),
        )


def is_configured(row: Mapping[str, object], workspace: Workspace) -> bool:
    """Whether the workspace still has the property and search type of a ledger's row."""
    properties, kinds = workspace.properties, {kind.name for kind in workspace.search_types}
    return (properties is None or row["site_url"] in properties) and row["search_type"] in kinds


def _of_workspace(runs: list[_Runs], failed_days: int) -> WorkspaceFigures:
    if not runs:
        return WorkspaceFigures(failed_days=failed_days)
    latest = max(runs, key=lambda some: some.latest_at)
    good = [some.last_good_at for some in runs if some.last_good_at is not None]
    return WorkspaceFigures(max(good, default=None), latest.latest_seconds, latest.latest_failed, failed_days)


def _runs_by_file(rows: pa.Table) -> dict[str, _Runs]:
    good_at = pc.if_else(pc.equal(rows["outcome"], "success"), rows["started_at"], None)
    by_file = (
        rows.append_column("good_at", good_at)
        .sort_by("started_at")
        .group_by(FILE, use_threads=False)
        .aggregate(
            [
                ("started_at", "last"),
                ("seconds", "last"),
                ("outcome", "last"),
                ("good_at", "max"),
                ("rows", "sum"),
                ("calls", "sum"),
                ("retries", "sum"),
            ]
        )
    )
    return {
        row[FILE]: _Runs(
            latest_at=row["started_at_last"].astimezone(UTC),
            latest_seconds=row["seconds_last"],
            latest_failed=row["outcome_last"] != "success",
            last_good_at=row["good_at_max"] and row["good_at_max"].astimezone(UTC),
            rows=row["rows_sum"],
            calls=row["calls_sum"],
            retries=row["retries_sum"],
        )
        for row in by_file.to_pylist()
    }


def _failed_by_file(rows: pa.Table) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows.filter(pc.equal(rows["status"], FAILED)).to_pylist():
        found.setdefault(row[FILE], []).append(row)
    return found


def _may_hold_failed(files: pa.Table) -> pa.Table:
    """By the alphabet: of files with final and provisional days only, none is opened."""
    if "min.status" not in files.column_names:
        return files
    spans = pc.and_(pc.less_equal(files["min.status"], FAILED), pc.greater_equal(files["max.status"], FAILED))
    return files.filter(pc.fill_null(spans, True))
