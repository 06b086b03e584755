"""Runs the sync of one table of a workspace, property by property, and reports it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.search_console.client import SearchConsole, Usage
from gsc_pipeline.search_console.errors import SearchConsoleError
from gsc_pipeline.sync.day_order import STOPS_WORKSPACE
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.problems import NO_PROPERTY, Problem
from gsc_pipeline.sync.report import OnProgress
from gsc_pipeline.workspaces.registry import Workspace


@dataclass(frozen=True, slots=True)
class TableReport:
    """One sync of one table for one workspace.

    `read` and `unchanged` count days of a property and search type, pages, or lists, depending on the table.
    `rows` counts the rows written, `left` the days that the next syncs read.
    """

    workspace: str
    table: str
    run_id: str
    started_at: datetime
    seconds: float = 0.0
    properties: int = 0
    read: int = 0
    unchanged: int = 0
    rows: int = 0
    problems: tuple[Problem, ...] = ()
    usage: Usage = field(default_factory=Usage)
    left: int = 0

    @property
    def is_worth_retrying(self) -> bool:
        """Whether another attempt within minutes may succeed."""
        return any(problem.transient and not problem.deferred for problem in self.problems)

    @property
    def counted(self) -> list[Problem]:
        """The problems that decide the outcome: all but those of properties that no later sync can read."""
        return [problem for problem in self.problems if problem.transient or not problem.site_url]

    @property
    def is_verified(self) -> bool:
        """Whether something was read, or found to be unchanged."""
        return self.read + self.unchanged > 0

    @property
    def outcome(self) -> Outcome:
        """How the sync ended."""
        return Outcome.of(self.counted, is_verified=self.is_verified)

    @property
    def in_words(self) -> str:
        """The counts in one line."""
        left = f", {self.left} left for the next syncs" if self.left else ""
        counts = f"{self.read} read, {self.unchanged} unchanged{left}; {self.rows} rows"
        return f"{counts}, {self.usage.calls} calls, {self.seconds:.1f} s"

    @property
    def reason(self) -> str:
        """Every problem in one line."""
        return "; ".join(str(problem) for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """The table's part of what `gsc sync --more --json` prints."""
        return {
            "table": self.table,
            "outcome": self.outcome.value,
            "read": self.read,
            "unchanged": self.unchanged,
            "left": self.left,
            "rows": self.rows,
            "calls": self.usage.calls,
            "retries": self.usage.retries,
            "seconds": round(self.seconds, 3),
            "problems": [str(problem) for problem in self.problems],
        }


@dataclass(frozen=True, slots=True)
class TableContext:
    """What the tasks of one sync share. `now` (aware) is when the sync started.

    `commit_rows` bounds the rows held in memory.
    """

    workspace: Workspace
    console: SearchConsole
    lake: Lake
    now: datetime
    run_id: str
    commit_rows: int = 150_000
    on_progress: OnProgress = lambda progress: None

    @classmethod
    def start(
        cls,
        workspace: Workspace,
        console: SearchConsole,
        lake: Lake,
        clock: Clock = utc_now,
        run_id: str | None = None,
        **options: Any,
    ) -> TableContext:
        """The context of a sync that starts now, with a new run id unless one is given."""
        run_id = run_id or uuid.uuid4().hex
        return cls(workspace, console, lake.for_run(run_id), clock(), run_id, **options)


@dataclass(slots=True)
class TaskResult:
    """What a task has done so far. After an error that ends the task, the result keeps these values."""

    site_url: str = ""
    search_type: str = ""
    read: int = 0
    unchanged: int = 0
    rows: int = 0
    left: int = 0
    problems: list[Problem] = field(default_factory=list)

    def add_problem(self, error: SearchConsoleError, days: Sequence[date] = (), about: str = "") -> None:
        """Add the problem of a failed call, with the days that were not read, or what the call was for."""
        self.problems.append(Problem.of(error, self.site_url, self.search_type, days, about=about))


@dataclass(frozen=True, slots=True)
class Task:
    """The read of a property or, if `search_type` (as in the tables) is set, of one of its search types."""

    run: Callable[[TaskResult], None]
    search_type: str = ""


def sync_by_property(
    context: TableContext, table: TableSpec, tasks_of: Callable[[str], Iterable[Task]]
) -> TableReport:
    """Sync a table with the tasks that `tasks_of` returns for each property of the workspace.

    A SearchConsoleError ends only the task that raised it; an error of STOPS_WORKSPACE ends the sync. Raises
    only LakeError and StateError: all workspaces share the lake and the state.
    """
    return sync_table(context, table, lambda results: _run_tasks(context, tasks_of, results))


def sync_table(
    context: TableContext, table: TableSpec, run: Callable[[list[TaskResult]], None]
) -> TableReport:
    """Sync a table with `run`, which appends its results to the list that it is called with.

    A SearchConsoleError that `run` raises becomes a problem of the whole workspace.
    """
    started, usage = time.monotonic(), context.console.usage()
    results: list[TaskResult] = []
    try:
        run(results)
    except SearchConsoleError as error:
        whole = TaskResult()
        whole.add_problem(error)
        results.append(whole)
    return TableReport(
        workspace=context.workspace.id,
        table=table.name,
        run_id=context.run_id,
        started_at=context.now,
        seconds=time.monotonic() - started,
        properties=len({result.site_url for result in results if result.site_url}),
        read=sum(result.read for result in results),
        unchanged=sum(result.unchanged for result in results),
        rows=sum(result.rows for result in results),
        problems=tuple(problem for result in results for problem in result.problems),
        usage=context.console.usage() - usage,
        left=sum(result.left for result in results),
    )


def _run_tasks(
    context: TableContext, tasks_of: Callable[[str], Iterable[Task]], results: list[TaskResult]
) -> None:
    site_urls = _site_urls(context)
    if not site_urls:
        results.append(TaskResult(problems=[NO_PROPERTY]))
    for site_url in site_urls:
        for task in tasks_of(site_url):
            results.append(TaskResult(site_url, task.search_type))
            try:
                task.run(results[-1])
            except STOPS_WORKSPACE:
                raise
            except SearchConsoleError as error:
                results[-1].add_problem(error)


def _site_urls(context: TableContext) -> Sequence[str]:
    """The properties to sync. Folders are left out: their pages are in the properties that they complete."""
    workspace = context.workspace
    if workspace.properties is not None:
        return [one for one in workspace.properties if one not in workspace.folder_urls]
    return sorted(site.site_url for site in context.console.sites() if site.is_readable)
