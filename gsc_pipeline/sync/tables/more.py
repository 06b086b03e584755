"""Syncs every table besides the two of the search data, for one workspace or for all."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gsc_pipeline.days import Clock, Window, pacific_today, utc_now
from gsc_pipeline.lake.errors import DamagedError, LakeError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    PROPERTIES,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITEMAPS,
    SYNC_LEDGER,
    URL_IMPRESSION,
    URL_INSPECTIONS,
    TableSpec,
)
from gsc_pipeline.search_console.client import SearchConsole, Usage
from gsc_pipeline.state.store import StateError
from gsc_pipeline.sync.lease import Leases
from gsc_pipeline.sync.outcome import MORE, Outcome
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.sync.report import OnProgress, SyncReport, SyncSummary, append_runs
from gsc_pipeline.sync.sync_all import OpenConsole, sync_each
from gsc_pipeline.sync.tables.appearance import DAYS, sync_appearance
from gsc_pipeline.sync.tables.hourly import sync_hourly
from gsc_pipeline.sync.tables.inspections import PER_DAY, sync_inspections
from gsc_pipeline.sync.tables.properties import sync_properties
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline.sync.tables.sitemaps import sync_sitemaps
from gsc_pipeline.workspaces.registry import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MoreOptions:
    """The options of a sync of these tables. `window` and `full` are those of `sync_appearance`.

    `leases` prevent that two syncs write the same table of a workspace; without them nothing does.
    """

    window: Window | None = None
    full: bool = False
    backfill_calls: int = 0
    inspections_per_day: int = PER_DAY
    concurrency: int = 4
    commit_rows: int = 150_000
    leases: Leases | None = None


@dataclass(frozen=True)
class MoreTable:
    """A table, the function that syncs it for a workspace, and that function's arguments.

    `reads` are the tables that the function reads and does not write.
    """

    table: TableSpec
    sync: Callable[..., TableReport]
    arguments: Callable[[MoreOptions, OnProgress], Mapping[str, Any]] = lambda options, on_progress: {}
    reads: Sequence[TableSpec] = ()

    def run(
        self,
        workspace: Workspace,
        console: SearchConsole,
        lake: Lake,
        options: MoreOptions,
        *,
        clock: Clock = utc_now,
        run_id: str,
        on_progress: OnProgress = lambda progress: None,
    ) -> TableReport:
        """Sync the table for a workspace, unless another sync does. Raises only LakeError and StateError."""
        leases, name = options.leases, f"{workspace.id}/{self.table.name}"
        with leases.held(name, run_id) if leases else nullcontext() as holder:
            if holder:
                held = holder.problem(clock())
                cause = f"{self.table.name}: {held.cause}"
                problem = replace(held, cause=cause, next_step="wait until that sync has ended")
                return _failed(self.table, workspace, clock(), run_id, problem)
            arguments = self.arguments(options, on_progress)
            return self.sync(workspace, console, lake, clock=clock, run_id=run_id, **arguments)


MORE_TABLES = (
    MoreTable(PROPERTIES, sync_properties),
    MoreTable(SITEMAPS, sync_sitemaps),
    MoreTable(
        SEARCHDATA_HOURLY,
        sync_hourly,
        lambda options, on_progress: {
            "full": options.full,
            "commit_rows": options.commit_rows,
            "on_progress": on_progress,
        },
    ),
    MoreTable(
        SEARCH_APPEARANCE,
        sync_appearance,
        lambda options, on_progress: {
            "window": options.window,
            "full": options.full,
            "backfill_calls": options.backfill_calls,
            "concurrency": options.concurrency,
            "commit_rows": options.commit_rows,
            "on_progress": on_progress,
        },
    ),
    MoreTable(
        URL_INSPECTIONS,
        sync_inspections,
        lambda options, on_progress: {
            "per_day": options.inspections_per_day,
            "concurrency": options.concurrency,
        },
        reads=(SYNC_LEDGER, URL_IMPRESSION),
    ),
)
"""The tables, in the order in which they are synced."""


@dataclass(frozen=True, slots=True)
class MoreReport:
    """One sync of these tables for one workspace. `problem`: why none of them could be synced."""

    workspace: str
    tables: tuple[TableReport, ...]
    problem: Problem | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that went wrong; the same problem of several tables once."""
        of_tables = [problem for table in self.tables for problem in table.problems]
        return tuple(dict.fromkeys([*([self.problem] if self.problem else []), *of_tables]))

    @property
    def outcome(self) -> Outcome:
        """How the sync ended, of all tables together."""
        counted = [problem for table in self.tables for problem in table.counted]
        if self.problem:
            counted.append(self.problem)
        return Outcome.of(counted, is_verified=any(table.is_verified for table in self.tables))

    @property
    def reason(self) -> str:
        """Every problem in one line."""
        return "; ".join(str(problem) for problem in self.problems)

    @property
    def in_words(self) -> str:
        """The counts of each table in one line."""
        return "; ".join(f"{table.table}: {table.in_words}" for table in self.tables)

    def as_json(self) -> dict[str, Any]:
        """The workspace's part of what `gsc sync --more --json` prints."""
        return {
            "workspace": self.workspace,
            "tables": [table.as_json() for table in self.tables],
            "rows": sum(table.rows for table in self.tables),
            "calls": sum(table.usage.calls for table in self.tables),
            "retries": sum(table.usage.retries for table in self.tables),
            "seconds": round(sum(table.seconds for table in self.tables), 3),
            "problems": [str(problem) for problem in self.problems],
        }


def sync_more(
    workspaces: Sequence[Workspace],
    open_console: OpenConsole,
    lake: Lake,
    *,
    options: MoreOptions | None = None,
    clock: Clock = utc_now,
    run_id: str | None = None,
    on_progress: OnProgress = lambda progress: None,
    on_report: Callable[[MoreReport], None] = lambda report: None,
) -> SyncSummary[MoreReport]:
    """Sync every table of MORE_TABLES for the active workspaces among `workspaces`.

    Isolates workspaces, tables and properties from the failures of the others. Records each workspace's sync
    in `sync_runs`, then calls `on_report`. Raises SyncFatalError as `sync_all` does.
    """
    run_id = run_id or uuid.uuid4().hex
    chosen = options or MoreOptions()

    def sync(workspace: Workspace) -> MoreReport:
        started_at, started, usage = clock(), time.monotonic(), Usage()
        try:
            with closing(open_console(workspace)) as console:
                reports = [
                    _sync_table(one, workspace, console, lake, chosen, clock, run_id, on_progress)
                    for one in MORE_TABLES
                ]
                usage = console.usage()
            report = MoreReport(workspace.id, tuple(reports))
        except (LakeError, StateError):
            raise
        except Exception as error:
            log.exception("workspace %s: unexpected error", workspace.id)
            report = MoreReport(workspace.id, (), Problem.of_fault(error))
        window = chosen.window or Window.last_complete(DAYS, pacific_today(started_at))
        recorded = SyncReport(
            workspace=workspace.id,
            run_id=run_id,
            window=window,
            started_at=started_at,
            seconds=time.monotonic() - started,
            properties=max((table.properties for table in report.tables), default=0),
            days=(),
            problems=report.problems,
            usage=usage,
        )
        # From this row of `sync_runs` the sync is reported to Dagster.
        complete = [table.table for table in report.tables if table.outcome is Outcome.COMPLETE]
        rows = sum(table.rows for table in report.tables)
        append_runs(lake.for_run(run_id), [recorded], outcome=MORE, rows=rows, tables=complete)
        return report

    return sync_each(workspaces, sync, on_report)


def _sync_table(
    one: MoreTable,
    workspace: Workspace,
    console: SearchConsole,
    lake: Lake,
    options: MoreOptions,
    clock: Clock,
    run_id: str,
    on_progress: OnProgress,
) -> TableReport:
    """Sync one table. A damaged file of the workspace, or a fault of this project, is the table's problem."""
    started = clock()
    try:
        return one.run(workspace, console, lake, options, clock=clock, run_id=run_id, on_progress=on_progress)
    except DamagedError as error:
        if error.workspace not in ("", workspace.id):
            raise
        problem = Problem(str(error))
    except (LakeError, StateError):
        raise
    except Exception as error:
        log.exception("workspace %s: %s: unexpected error", workspace.id, one.table.name)
        problem = Problem.of_fault(error)
    return _failed(one.table, workspace, started, run_id, problem)


def _failed(
    table: TableSpec, workspace: Workspace, started: datetime, run_id: str, problem: Problem
) -> TableReport:
    return TableReport(
        workspace=workspace.id,
        table=table.name,
        run_id=run_id,
        started_at=started,
        problems=(problem,),
    )
