"""How things look: progress on a terminal, plain lines elsewhere, and what each command shows of its outcome.

Belongs here: which rows and columns. Does not: how rows are laid out (`printing`), options (`cli`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from gsc_pipeline.printing import print_rows
from gsc_pipeline.status import FAILURE_COLUMNS, LeftAlone, WorkspaceState, failure_cells
from gsc_pipeline.sync.report import Outcome, Progress, SyncReport, SyncSummary

if TYPE_CHECKING:
    from gsc_pipeline.lake.housekeeping import TableHousekeeping
    from gsc_pipeline.sync.repair import Repair
    from gsc_pipeline.sync.verify import Finding, Verification

SECONDS_BETWEEN_LINES = 10.0
"""How often a sync that nobody watches says how far it is."""


class SyncDisplay:
    """A sync as it goes on: bars on a terminal; elsewhere a plain line now and then, and per workspace.

    `quiet` leaves out all but problems, for `--json`. `reports` gathers what was reported. `seconds`
    tells the time; the lines between are told apart by it.
    """

    def __init__(self, *, quiet: bool, seconds: Callable[[], float] = time.monotonic) -> None:
        self.reports: list[SyncReport] = []
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False)
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._seconds = seconds
        self._begun: dict[str, float] = {}
        self._last_line = seconds()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
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
        """Show how far the reading of a property is, and how long the rest will take at this pace."""
        if not progress.planned:
            return
        label = f"{progress.workspace} {progress.site_url} {progress.search_type}"
        if self._bars:
            if label not in self._tasks:
                self._tasks[label] = self._bars.add_task(label, total=progress.planned)
            self._bars.update(self._tasks[label], completed=progress.done)
        elif not self._quiet:
            self._print_progress(label, progress)

    def _print_progress(self, label: str, progress: Progress) -> None:
        now = self._seconds()
        begun = self._begun.setdefault(label, now)
        if not progress.done or now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        left = (now - begun) / progress.done * (progress.planned - progress.done)
        text = f"{label}: {progress.done} of {progress.planned} days, about {_duration(left)} left"
        self._console.print(text, markup=False, soft_wrap=True)

    def report(self, report: SyncReport) -> None:
        """Say that a workspace is done, and what went wrong."""
        self.reports.append(report)
        if not self._console.is_terminal and not self._quiet:
            self._console.print(f"{report.workspace}: {_counts(report)}", markup=False, soft_wrap=True)
        for problem in report.problems:
            self._console.print(f"warning: {report.workspace}: {problem}", markup=False, soft_wrap=True)

    def summary(self, summary: SyncSummary) -> None:
        """Print the outcome of every workspace as a table."""
        columns = ["workspace", "window", "read", "unchanged", "empty", "failed", "rows", "calls", "seconds"]
        reports = [*summary.successes, *summary.failures]
        print_rows(
            columns,
            [
                (
                    report.workspace,
                    str(report.window),
                    *(report.count(outcome) for outcome in Outcome),
                    report.rows,
                    report.usage.calls,
                    round(report.seconds, 1),
                )
                for report in reports
            ],
            essential=("workspace", "read", "unchanged", "failed", "rows", "seconds"),
        )
        print(  # noqa: T201
            f"{len(summary.successes)} of {summary.total_workspaces} workspaces synced "
            f"in {summary.duration_ms / 1000:.1f} s"
        )


def print_status(states: Sequence[WorkspaceState], left_alone: Sequence[LeftAlone] = ()) -> None:
    """A row for each workspace, then what fails now, then what is not even asked."""
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
    failures = [failure_cells(failure) for state in states for failure in state.failures]
    if failures:
        print("\nFails now")  # noqa: T201
        print_rows(FAILURE_COLUMNS, failures)
    if left_alone:
        print("\nLeft alone for a while, after failing several times in a row")  # noqa: T201
        print_rows(
            ["what", "workspaces", "since (UTC)", "next try (UTC)", "the last failure"],
            [
                (
                    one.what,
                    one.workspaces,
                    f"{one.since:%Y-%m-%d %H:%M:%S}",
                    f"{one.retry_at:%Y-%m-%d %H:%M:%S}",
                    one.cause,
                )
                for one in left_alone
            ],
        )


def print_housekeeping(done: Sequence[TableHousekeeping]) -> None:
    """A row for each table, and what was freed in all."""
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
        print(f"{table.table} is kept as it is: {table.kept_because}")  # noqa: T201
    for table in done:
        if table.files_protected:
            files = f"{table.files_protected} files that are older than its log, which does not name them"
            print(f"{table.table} keeps {files}")  # noqa: T201
    print(f"{len(done) - len(kept)} tables tended, {freed:.1f} MB freed")  # noqa: T201


def print_verification(found: Verification) -> None:
    """A row for each finding, or that there is none."""
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
    """What was wrong, what was done about it, and what is lost; what is left follows."""
    print("Found")  # noqa: T201
    print_verification(found)
    print("\nRepaired")  # noqa: T201
    for line in done.done:
        print(f"  {line}")  # noqa: T201
    for line in done.lost:
        print(f"  lost: {line}; restore them from a backup")  # noqa: T201
    print("\nLeft")  # noqa: T201


def _days_of(finding: Finding) -> str:
    if finding.days <= 1:
        return str(finding.first_day or "")
    return f"{finding.days} from {finding.first_day} to {finding.last_day}"


def print_simulator(url: str, site_urls: Sequence[str], home: Path | None) -> None:
    """Say where the simulator listens, what it serves, and how to sync from it."""
    print(f"Search Console simulator on {url}", flush=True)  # noqa: T201
    for site_url in site_urls:
        print(f"  {site_url}", flush=True)  # noqa: T201
    variables = f"GSC_API_URL={url}" + (f" GSC_WORKSPACES_FILE={home}" if home else "")
    print(f"In another terminal: {variables} gsc sync    (Ctrl-C here stops it)", flush=True)  # noqa: T201


def _counts(report: SyncReport) -> str:
    counts = ", ".join(f"{report.count(outcome)} {outcome}" for outcome in Outcome)
    return f"{counts} days; {report.rows} rows, {report.usage.calls} calls, {report.seconds:.1f} s"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
