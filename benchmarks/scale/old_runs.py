"""The first clean-up of an instance whose old runs were never deleted, by `prune_runs`.

Two real runs of one workspace, one with changed days and one without, are copied in the database: their rows
and files, with other ids, workspaces and times. Every workspace has a new copy of the first, so that none of
the old ones is needed.
"""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from benchmarks.measure import ROOT
from benchmarks.scale.common import Part, Sizes, mib, ms, s, small_server, timed, today, write_workspaces_file
from benchmarks.scale.filling import workspace_id
from benchmarks.scale.runs import run_job
from gsc_pipeline.days import Window
from gsc_pipeline.defs.jobs import TICK_TAG, run_tags
from gsc_pipeline.defs.retention import prune_runs
from gsc_pipeline.lake.lake import Lake

WORKSPACES = 100
CHANGED_OF = 4
"""One of so many old runs had days to read."""
AGE = timedelta(days=31)


def measure(folder: Path, sizes: Sizes) -> Part:
    """Fill the instance, then prune it as the daily job does, at most 10,000 runs at a time."""
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    changed, idle = _templates(folder, home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        events = [len(instance.all_logs(run)) for run in (changed, idle)]
    _copy(home, changed, idle, sizes.old_runs)
    before = _size(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        done = timed(lambda: prune_runs(instance, datetime.now(UTC) - AGE / 2, at_most=sizes.old_runs))
        again = timed(lambda: prune_runs(instance, datetime.now(UTC) - AGE / 2, at_most=sizes.old_runs))
        left = instance.get_runs_count()
    row = (
        f"{done.result.looked_at:,}",
        f"{done.result.deleted:,}",
        f"{left:,}",
        s(done.wall),
        s(done.cpu),
        ms(done.wall / done.result.looked_at),
        mib(done.peak_mib),
        f"{before / 2**20:,.0f} → {_size(home) / 2**20:,.0f} MiB",
        s(again.wall),
    )
    return Part(
        f"The first clean-up of an instance with {sizes.old_runs:,} old runs",
        (
            "examined",
            "deleted",
            "runs left",
            "wall",
            "CPU",
            "wall a run",
            "peak memory",
            "the instance's files",
            "a second call",
        ),
        (row,),
        f"SQLite, as in `dagster.yaml`; runs of {WORKSPACES} workspaces. One run in {CHANGED_OF} has "
        f"{events[0]} events (its first 14 days), the others {events[1]}. The daily job does this during "
        "the syncs; on later days there are only the runs of a day.",
    )


def _templates(folder: Path, home: Path) -> tuple[str, str]:
    """The ids of a run with changed days, and of the next one without."""
    write_workspaces_file(folder, WORKSPACES)
    with small_server(folder) as server:
        for tick in ("first", "next"):
            tags = run_tags([workspace_id(0)], Window.last_complete(14, today()))
            run_job(folder, Lake(str(folder / "lake")), server, {TICK_TAG: tick, **tags})
    with dg.DagsterInstance.from_config(str(home)) as instance:
        idle, changed = instance.get_runs(limit=2)
    return changed.run_id, idle.run_id


def _copy(home: Path, changed: str, idle: str, count: int) -> None:
    """Write old copies of both, oldest first, then a new one for each workspace."""
    now = datetime.now(UTC)
    old = [
        (
            idle if n % CHANGED_OF else changed,
            workspace_id(n // CHANGED_OF % WORKSPACES),
            now - AGE + timedelta(seconds=n),
        )
        for n in range(count)
    ]
    new = [(changed, workspace_id(n), now) for n in range(WORKSPACES)]
    copies = [(template, str(uuid.uuid4()), workspace, at) for template, workspace, at in [*old, *new]]
    _copy_rows(home / "history" / "runs.db", ("runs", "run_tags"), copies)
    _copy_rows(home / "history" / "runs" / "index.db", ("event_logs", "asset_check_executions"), copies)
    for template, run, workspace, _ in copies:
        _copy_files(home, template, run, workspace)


Copy = tuple[str, str, str, datetime]
"""The copied run, and the copy's id, workspace and time."""


def _copy_rows(database: Path, tables: Sequence[str], copies: Sequence[Copy]) -> None:
    with sqlite3.connect(database) as connection:
        for table in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")][1:]
            rows = {
                template: connection.execute(
                    f"SELECT {', '.join(columns)} FROM {table} WHERE run_id = ?", (template,)
                ).fetchall()
                for template in {template for template, *_ in copies}
            }
            connection.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
                (
                    [_copied(column, value, copy) for column, value in zip(columns, row, strict=True)]
                    for copy in copies
                    for row in rows[copy[0]]
                ),
            )
    connection.close()


def _copied(column: str, value: object, copy: Copy) -> object:
    template, run, workspace, at = copy
    if column in ("create_timestamp", "update_timestamp"):
        return at.replace(tzinfo=None).isoformat(" ")
    if not isinstance(value, str):
        return value
    return value.replace(template, run).replace(workspace_id(0), workspace)


def _copy_files(home: Path, template: str, run: str, workspace: str) -> None:
    """Copy the run's database and logs. All ids have one length, and all names, so bytes can be replaced."""
    events = (home / "history" / "runs" / f"{template}.db").read_bytes()
    events = events.replace(template.encode(), run.encode())
    events = events.replace(workspace_id(0).encode(), workspace.encode())
    (home / "history" / "runs" / f"{run}.db").write_bytes(events)
    if (logs := home / "storage" / template).exists():
        shutil.copytree(logs, home / "storage" / run)


def _size(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
