"""What the commands print: progress, results as tables, warnings."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gsc_pipeline.cli.tables import print_rows
from gsc_pipeline.sync.report import DayResult, Progress, SyncReport, SyncSummary, WorkspaceReport
from gsc_pipeline.text.printing import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from gsc_pipeline.lake.maintenance import TableHousekeeping
    from gsc_pipeline.monitoring.status import OpenCircuit, WorkspaceState
    from gsc_pipeline.sync.bulk_export.merge import ImportReport
    from gsc_pipeline.sync.repair import Repair
    from gsc_pipeline.sync.tables.more import MoreReport
    from gsc_pipeline.sync.verify import Finding, Verification

SECONDS_BETWEEN_LINES = 10.0
"""How often a sync prints its progress where there is no terminal."""

MOST_NAMED = 3
"""A warning names up to this many workspaces, and counts more."""


class SyncDisplay:
    """The progress of a sync: bars on a terminal, elsewhere plain lines at intervals and per workspace.

    `quiet` prints problems only, for `--json`. `seconds` is a monotonic clock: it spaces the lines.
    """

    def __init__(self, *, quiet: bool, seconds: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._seconds = seconds
        self._started: dict[str, float] = {}
        self._last_line = seconds()

    @cached_property
    def _console(self) -> Console:
        # Importing it takes 30 ms, and a sync with `--json` prints nothing where there is no terminal.
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    def __enter__(self) -> Self:
        if (sys.stderr.isatty() or not self._quiet) and self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            self._bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def progress(self, progress: Progress) -> None:
        """Show how many days of a property are read, and the time that the rest will take at this rate."""
        if not progress.planned:
            return
        table = f" {progress.table}" if progress.table else ""
        label = escaped(f"{progress.workspace} {progress.site_url} {progress.search_type}{table}")
        if self._bars:
            if label not in self._tasks:
                self._tasks[label] = self._bars.add_task(label, total=progress.planned)
            self._bars.update(self._tasks[label], completed=progress.done)
        elif not self._quiet:
            self._print_progress(label, progress)

    def _print_progress(self, label: str, progress: Progress) -> None:
        now = self._seconds()
        started = self._started.setdefault(label, now)
        if not progress.done or now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        left = (now - started) / progress.done * (progress.planned - progress.done)
        text = f"{label}: {progress.done} of {progress.planned} days, about {_duration(left)} left"
        self._console.print(text, markup=False, soft_wrap=True)

    def report(self, report: WorkspaceReport) -> None:
        """Print that a workspace is done, and its problems."""
        if not self._quiet and not self._console.is_terminal:
            self._console.print(f"{report.workspace}: {report.in_words}", markup=False, soft_wrap=True)
        for problem in report.problems:
            text = escaped(f"warning: {report.workspace}: {problem}")
            self._console.print(text, markup=False, soft_wrap=True)

    def summary_of_tables(self, summary: SyncSummary[MoreReport]) -> None:
        """Print the outcome of every workspace and table as a table."""
        print_rows(
            ["workspace", "table", "outcome", "read", "unchanged", "left", "rows", "calls", "seconds"],
            [
                (
                    report.workspace,
                    table.table,
                    table.outcome.value,
                    table.read,
                    table.unchanged,
                    table.left,
                    table.rows,
                    table.usage.calls,
                    round(table.seconds, 1),
                )
                for report in (*summary.successes, *summary.partial, *summary.failures)
                for table in report.tables
            ],
            essential=("workspace", "table", "outcome", "read", "left", "rows", "seconds"),
        )
        print(f"{summary.in_words} in {summary.duration_ms / 1000:.1f} s")  # noqa: T201

    def summary(self, summary: SyncSummary[SyncReport]) -> None:
        """Print the outcome of every workspace as a table."""
        columns = ["workspace", "outcome", "window", *DayResult, "rows", "calls", "seconds"]
        reports = [*summary.successes, *summary.partial, *summary.failures]
        print_rows(
            columns,
            [
                (
                    report.workspace,
                    report.outcome.value,
                    str(report.window),
                    *(report.count(result) for result in DayResult),
                    report.rows,
                    report.usage.calls,
                    round(report.seconds, 1),
                )
                for report in reports
            ],
            essential=("workspace", "outcome", "read", "unchanged", "failed", "rows", "seconds"),
        )
        print(f"{summary.in_words} in {summary.duration_ms / 1000:.1f} s")  # noqa: T201


def print_status(states: Sequence[WorkspaceState], circuits: Sequence[OpenCircuit] = ()) -> None:
    """Print a row for each workspace, the standing failures, what was cut off, and the open circuits."""
    from gsc_pipeline.monitoring.folders import (
        FOLDER_COLUMNS,
        WORTH_ADDING_COLUMNS,
        folder_cells,
        worth_adding_cells,
    )
    from gsc_pipeline.monitoring.status_tables import (
        FAILURE_COLUMNS,
        PAST_CAP_COLUMNS,
        TRUNCATED_COLUMNS,
        failure_cells,
        past_cap_cells,
        truncated_cells,
    )

    columns = [
        "workspace",
        "first day",
        "last day",
        "final up to",
        "final",
        "provisional",
        "empty",
        "failed",
        "truncated",
    ]
    columns += ["clicks", "impressions", "last good sync (UTC)"]
    print_rows(
        columns,
        [
            (
                state.workspace if state.active else f"{state.workspace} (inactive)",
                state.first_day,
                state.last_day,
                state.final_up_to,
                state.final,
                state.provisional,
                state.empty,
                state.failed,
                state.truncated,
                state.clicks,
                state.impressions,
                f"{state.last_good_sync:%Y-%m-%d %H:%M}" if state.last_good_sync else "never",
            )
            for state in states
        ],
        essential=("workspace", "last day", "final up to", "failed", "last good sync (UTC)"),
    )
    _print_section(
        "Standing failures",
        FAILURE_COLUMNS,
        [failure_cells(one) for state in states for one in state.failures],
    )
    _print_section(
        "Past the cap of 50,000 rows: rows that requests with filters added to one day",
        PAST_CAP_COLUMNS,
        [past_cap_cells(state.workspace, one) for state in states for one in state.past_cap],
    )
    _print_section(
        "Days of other tables whose pages the API cut off",
        TRUNCATED_COLUMNS,
        [truncated_cells(state.workspace, one) for state in states for one in state.truncated_more],
    )
    _print_section(
        "Folders: rows that their own properties added to days that were cut",
        FOLDER_COLUMNS,
        [folder_cells(state.workspace, one) for state in states for one in state.folders],
    )
    _print_section(
        "Folders worth adding as properties (folders_of in the workspaces file): clicks and impressions "
        "without a query, where the API cut off queries",
        WORTH_ADDING_COLUMNS,
        [worth_adding_cells(state.workspace, one) for state in states for one in state.worth_adding],
    )
    _print_section(
        "Open circuits: no calls are sent until the next try",
        ["what", "workspaces", "since (UTC)", "next try (UTC)", "last error"],
        [
            (
                one.what,
                one.workspaces,
                f"{one.since:%Y-%m-%d %H:%M:%S}",
                f"{one.retry_at:%Y-%m-%d %H:%M:%S}",
                one.cause,
            )
            for one in circuits
        ],
    )


def _print_section(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table under its title; nothing without rows."""
    if rows:
        print(f"\n{title}")  # noqa: T201
        print_rows(columns, rows)


def warn(text: str) -> None:
    """Print a warning to standard error."""
    print(f"gsc: warning: {escaped(text)}", file=sys.stderr)  # noqa: T201


def warn_of_damage(states: Sequence[WorkspaceState]) -> None:
    """Print each damage once, with the workspaces that it concerns."""
    damaged: dict[str, list[str]] = {}
    for state in states:
        for damage in state.damaged:
            damaged.setdefault(damage, []).append(state.workspace)
    for damage, ids in damaged.items():
        named = ", ".join(ids) if len(ids) <= MOST_NAMED else f"{len(ids)} workspaces"
        warn(f"{named}: {damage}")


def print_housekeeping(done: Sequence[TableHousekeeping]) -> None:
    """Print a row for each table, the tables that were skipped and why, and the total."""
    if done:
        columns = ["table", "files before", "after", "log before", "after", "joined", "skipped", "deleted"]
        print_rows(
            [*columns, "MB freed"],
            [
                (
                    table.table,
                    table.files_before,
                    table.files_after,
                    table.log_files_before,
                    table.log_files_after,
                    table.partitions_compacted,
                    table.partitions_skipped,
                    table.files_deleted,
                    round(table.bytes_freed / 1e6, 1),
                )
                for table in done
            ],
            essential=("table", "joined", "deleted", "MB freed"),
        )
    freed = sum(table.bytes_freed for table in done) / 1e6
    kept = [table for table in done if table.kept_because]
    for table in kept:
        print(f"{table.table} was skipped: {escaped(table.kept_because)}")  # noqa: T201
    for table in done:
        if table.files_protected:
            files = f"{table.files_protected} files that are older than its log and not named in it"
            print(f"{table.table} keeps {files}")  # noqa: T201
    print(f"{len(done) - len(kept)} tables cleaned up, {freed:.1f} MB freed")  # noqa: T201


def print_verification(found: Verification) -> None:
    """Print a row for each finding, or that nothing disagrees."""
    if found.is_good:
        print(f"{found.compared} days compared: files, rows and ledger agree")  # noqa: T201
        return
    print_rows(
        ["workspace", "property", "search type", "table", "days", "what", "next step"],
        [
            (
                one.workspace,
                one.site_url,
                one.search_type,
                one.table,
                _days_of(one),
                one.what,
                one.next_step,
            )
            for one in found.findings()
        ],
        essential=("workspace", "table", "days", "what"),
    )
    print(f"{found.compared} days compared")  # noqa: T201


def print_repair(found: Verification, done: Repair) -> None:
    """Print what was found, what was repaired, and what is lost. The caller prints the remaining findings."""
    print("Found")  # noqa: T201
    print_verification(found)
    print("\nRepaired")  # noqa: T201
    for line in done.done:
        print(f"  {escaped(line)}")  # noqa: T201
    for line in done.lost:
        print(f"  lost: {escaped(line)}; restore them from a backup")  # noqa: T201
    print("\nRemaining")  # noqa: T201


def _days_of(finding: Finding) -> str:
    if finding.days <= 1:
        return str(finding.first_day or "")
    return f"{finding.days} from {finding.first_day} to {finding.last_day}"


def print_import(report: ImportReport, *, quiet: bool) -> None:
    """Print what was imported, unless `quiet`, and what was left out or kept as it is."""
    for line in report.left_out:
        warn(f"left out: {line}")
    for line in report.problems:
        warn(line)
    if quiet:
        return
    print_rows(
        [
            "property", "search type", "first day", "last day", "imported", "unchanged", "kept", "failed",
            "rows", "clicks", "impressions",
        ],
        [
            (
                one.site_url, one.search_type, str(one.first_day), str(one.last_day), one.imported,
                one.unchanged, one.kept, one.failed, one.rows, one.clicks, one.impressions,
            )
            for one in report.series
        ],
        essential=("property", "search type", "imported", "rows"),
    )  # fmt: skip
    if report.is_dry_run:
        print("nothing was written: --dry-run")  # noqa: T201


def print_simulator(url: str, site_urls: Sequence[str], home: Path | None) -> None:
    """Print the simulator's address, its properties, and the command that syncs from it."""
    print(f"Search Console simulator on {url}", flush=True)  # noqa: T201
    for site_url in site_urls:
        print(f"  {site_url}", flush=True)  # noqa: T201
    variables = f"GSC_API_URL={url}" + (f" GSC_WORKSPACES_FILE={home}" if home else "")
    print(f"In another terminal: {variables} gsc sync    (Ctrl-C here to stop)", flush=True)  # noqa: T201


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
