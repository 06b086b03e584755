"""What watchers count in the lake: good syncs and failed days of the active workspaces, rows and calls.

Belongs here: those numbers. Does not: judging them (`health`), a full account of a workspace (`status`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.files import FILE, FileByFile
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.sync.standing import StandingFailure, of_configured, read_standing
from gsc_pipeline.workspaces import Workspace


@dataclass(frozen=True, slots=True)
class WorkspaceFigures:
    """An active workspace: its last good sync, its latest one, what fails and the days that wait for it."""

    last_good_sync_at: datetime | None = None
    latest_seconds: float = 0.0
    failures: int = 0
    failed_days: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """The active workspaces by id; and of all syncs ever: rows written, API calls, repeats among them."""

    workspaces: Mapping[str, WorkspaceFigures] = field(default_factory=dict)
    rows: int = 0
    calls: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class _Runs:
    """One workspace's syncs in one file of `sync_runs`."""

    workspace: str
    latest_at: datetime
    latest_seconds: float
    last_good_at: datetime | None
    rows: int
    calls: int
    retries: int


class FiguresReader:
    """Reads the figures again and again. The first time it opens every file of `sync_runs`.

    After that it opens the new ones only.
    """

    def __init__(self, lake: Lake) -> None:
        columns = ["workspace", "started_at", "seconds", "outcome", "rows", "calls", "retries"]
        self._runs = FileByFile(lake, SYNC_RUNS, columns, _runs_by_file)
        self._lake = lake

    def read(self, workspaces: Iterable[Workspace]) -> Figures:
        """The figures now, of the active ones of `workspaces`. Raises LakeError.

        Failed days of properties and search types that are no longer configured do not count.
        """
        active = [workspace for workspace in workspaces if workspace.active]
        runs = [some for of_file in self._runs.look() for some in of_file]
        failures = of_configured(read_standing(self._lake), active)
        by_workspace: dict[str, list[_Runs]] = {}
        for some in runs:
            by_workspace.setdefault(some.workspace, []).append(some)
        return Figures(
            workspaces={
                workspace.id: _of_workspace(
                    by_workspace.get(workspace.id, []),
                    [failure for failure in failures if failure.workspace == workspace.id],
                )
                for workspace in active
            },
            rows=sum(some.rows for some in runs),
            calls=sum(some.calls for some in runs),
            retries=sum(some.retries for some in runs),
        )


def _of_workspace(runs: Sequence[_Runs], failures: Sequence[StandingFailure]) -> WorkspaceFigures:
    latest = max(runs, key=lambda some: some.latest_at, default=None)
    return WorkspaceFigures(
        last_good_sync_at=max((some.last_good_at for some in runs if some.last_good_at), default=None),
        latest_seconds=latest.latest_seconds if latest else 0.0,
        failures=len(failures),
        failed_days=sum(failure.days for failure in failures),
    )


def _runs_by_file(rows: pa.Table) -> dict[str, list[_Runs]]:
    good_at = pc.if_else(pc.equal(rows["outcome"], "success"), rows["started_at"], None)
    sums = (
        rows.append_column("good_at", good_at)
        .sort_by("started_at")
        .group_by([FILE, "workspace"], use_threads=False)
        .aggregate(
            [
                ("started_at", "last"),
                ("seconds", "last"),
                ("good_at", "max"),
                ("rows", "sum"),
                ("calls", "sum"),
                ("retries", "sum"),
            ]
        )
    )
    by_file: dict[str, list[_Runs]] = {}
    for row in sums.to_pylist():
        runs = _Runs(
            workspace=row["workspace"],
            latest_at=row["started_at_last"].astimezone(UTC),
            latest_seconds=row["seconds_last"],
            last_good_at=row["good_at_max"] and row["good_at_max"].astimezone(UTC),
            rows=row["rows_sum"],
            calls=row["calls_sum"],
            retries=row["retries_sum"],
        )
        by_file.setdefault(row[FILE], []).append(runs)
    return by_file
