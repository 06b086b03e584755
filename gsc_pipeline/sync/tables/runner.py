"""Runs the sync of one table of a workspace, property by property, and reports it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.search_console.client import SearchConsole, Usage
from gsc_pipeline.search_console.errors import (
    FAILED_ANSWERS,
    SearchConsoleError,
)
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.problems import NO_PROPERTY, Problem
from gsc_pipeline.sync.property import GIVE_UP_AFTER, STOPS_WORKSPACE
from gsc_pipeline.workspaces.registry import Workspace


@dataclass(frozen=True, slots=True)
class TableReport:
    """One sync of one table for one workspace.

    `read` and `unchanged` count days of a property and search type, pages, or lists, depending on the table.
    `rows` counts the rows written.
    """

    workspace: str
    table: str
    run_id: str
    started_at: datetime
    seconds: float
    properties: int
    read: int
    unchanged: int
    rows: int
    problems: tuple[Problem, ...]
    usage: Usage

    @property
    def is_worth_retrying(self) -> bool:
        """Whether another attempt within minutes may succeed."""
        return any(problem.transient and not problem.deferred for problem in self.problems)

    @property
    def outcome(self) -> Outcome:
        """How the sync ended. What no later sync may read either is named and does not count."""
        counted = [problem for problem in self.problems if problem.transient or not problem.site_url]
        return Outcome.of(counted, is_verified=self.read + self.unchanged > 0)

    @property
    def in_words(self) -> str:
        """The counts in one line."""
        counts = f"{self.read} read, {self.unchanged} unchanged; {self.rows} rows"
        return f"{counts}, {self.usage.calls} calls, {self.seconds:.1f} s"

    @property
    def reason(self) -> str:
        """Every problem in one line."""
        return "; ".join(str(problem) for problem in self.problems)


@dataclass(frozen=True, slots=True)
class TableContext:
    """What the tasks of one sync share. `now` (aware) is when the sync started."""

    workspace: Workspace
    console: SearchConsole
    lake: Lake
    now: datetime
    run_id: str

    @classmethod
    def start(
        cls,
        workspace: Workspace,
        console: SearchConsole,
        lake: Lake,
        clock: Clock = utc_now,
        run_id: str | None = None,
    ) -> TableContext:
        """The context of a sync that starts now, with a new run id unless one is given."""
        run_id = run_id or uuid.uuid4().hex
        return cls(workspace, console, lake.for_run(run_id), clock(), run_id)


@dataclass(slots=True)
class TaskResult:
    """What a task has done so far. After an error that ends the task, the result keeps these values."""

    site_url: str = ""
    search_type: str = ""
    read: int = 0
    unchanged: int = 0
    rows: int = 0
    problems: list[Problem] = field(default_factory=list)

    def add_problem(self, error: SearchConsoleError, days: Sequence[date] = (), about: str = "") -> None:
        """Add the problem of a failed call, with the days that were not read, or what the call was for."""
        self.problems.append(Problem.of(error, self.site_url, self.search_type, days, about=about))


def read_days(result: TaskResult, days: Iterable[date], read: Callable[[date], int]) -> None:
    """Read days; `read` reads and commits one day, and returns the number of rows written.

    A day whose call fails with one of FAILED_ANSWERS is reported, and the next sync reads it. After
    GIVE_UP_AFTER such days in a row the remaining days are skipped. Raises any other SearchConsoleError; the
    days read before it stay committed.
    """
    failed_in_a_row = 0
    for day in days:
        try:
            result.rows += read(day)
            result.read += 1
            failed_in_a_row = 0
        except FAILED_ANSWERS as error:
            failed_in_a_row += 1
            result.add_problem(error, (day,))
            if failed_in_a_row == GIVE_UP_AFTER:
                return


@dataclass(frozen=True, slots=True)
class Task:
    """The read of one property or, if `search_type` (as in the tables) is set, of one of its search types."""

    site_url: str
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
    )


def _run_tasks(
    context: TableContext, tasks_of: Callable[[str], Iterable[Task]], results: list[TaskResult]
) -> None:
    site_urls = _site_urls(context)
    if not site_urls:
        results.append(TaskResult(problems=[NO_PROPERTY]))
    for site_url in site_urls:
        for task in tasks_of(site_url):
            results.append(TaskResult(task.site_url, task.search_type))
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
