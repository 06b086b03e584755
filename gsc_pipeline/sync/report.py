"""What a sync did: by day, by workspace, and for all workspaces together.

Belongs here: the report types and their counts, and the `sync_runs` row made from them. Does not: how a
report is shown (`cli`) or told to Dagster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import pyarrow as pa

from gsc_pipeline.days import Window, month_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.search_console.client import Usage
from gsc_pipeline.sync.ledger import DayTotals, Status


class Outcome(StrEnum):
    """What a sync did with a day."""

    READ = "read"
    UNCHANGED = "unchanged"
    EMPTY = "empty"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DayOutcome:
    """What a sync did with one day of one property and search type, and what is known of it now."""

    site_url: str
    search_type: str
    day: date
    outcome: Outcome
    status: Status
    totals: DayTotals
    site_rows: int = 0
    url_rows: int = 0
    api_calls: int = 0
    seconds: float = 0.0
    truncated: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong. `site_url` and `search_type` are empty when it concerns the workspace.

    `next_step` says what to do about it, `days` which days it kept from being read. `transient` means
    that another try may succeed, `deferred` that it will not within minutes: a quota is used up, the API
    is left alone for a while.
    """

    cause: str
    site_url: str = ""
    search_type: str = ""
    days: tuple[date, ...] = ()
    next_step: str = ""
    transient: bool = False
    deferred: bool = False

    def __str__(self) -> str:
        where = f"{self.site_url} ({self.search_type}) " if self.site_url else ""
        what = f"{self.cause}; {self.next_step}" if self.next_step else self.cause
        return f"{where}{_days_text(self.days)}{what}"


NO_PROPERTY = Problem(
    "the credential can read no property", next_step="add it as a user of a property in Search Console"
)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """One sync of one workspace."""

    workspace: str
    run_id: str
    window: Window
    started_at: datetime
    seconds: float
    properties: int
    days: tuple[DayOutcome, ...]
    problems: tuple[Problem, ...]
    usage: Usage

    def count(self, outcome: Outcome) -> int:
        """How many days (of a property and search type) had this outcome."""
        return sum(day.outcome is outcome for day in self.days)

    @property
    def rows(self) -> int:
        """Rows written to both tables."""
        return sum(day.site_rows + day.url_rows for day in self.days if day.outcome is Outcome.READ)

    @property
    def is_success(self) -> bool:
        """Whether anything was read or verified, or nothing had to be. Problems may remain."""
        return not self.problems or any(day.outcome is not Outcome.FAILED for day in self.days)

    @property
    def reason(self) -> str:
        """Every problem in one line."""
        return "; ".join(str(problem) for problem in self.problems)


@dataclass(frozen=True, slots=True)
class SyncSummary:
    """One sync of several workspaces: who was synced, who was not, and how long it took."""

    successes: tuple[SyncReport, ...]
    failures: tuple[SyncReport, ...]
    duration_ms: int

    @property
    def total_workspaces(self) -> int:
        """Active workspaces in the selection."""
        return len(self.successes) + len(self.failures)

    def as_json(self) -> dict[str, Any]:
        """The object that `gsc sync --json` prints."""
        return {
            "total_workspaces": self.total_workspaces,
            "successes": [_success(report) for report in self.successes],
            "failures": [
                {"workspace": report.workspace, "reason": report.reason} for report in self.failures
            ],
            "duration_ms": self.duration_ms,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the reading of one property and search type is: `done` of `planned` days."""

    workspace: str
    site_url: str
    search_type: str
    done: int
    planned: int


OnProgress = Callable[[Progress], None]


def append_run(lake: Lake, report: SyncReport) -> None:
    """Write the report's row to `sync_runs`."""
    row = {
        "workspace": report.workspace,
        "month": month_of(report.started_at.date()),
        "run_id": report.run_id,
        "started_at": report.started_at,
        "seconds": report.seconds,
        "outcome": "success" if report.is_success else "failure",
        "first_day": report.window.start,
        "last_day": report.window.last,
        "properties": report.properties,
        **{f"days_{outcome}": report.count(outcome) for outcome in Outcome},
        "rows": report.rows,
        "calls": report.usage.calls,
        "retries": report.usage.retries,
        "problems": [str(problem) for problem in report.problems],
    }
    lake.append(SYNC_RUNS, pa.Table.from_pylist([row], schema=SYNC_RUNS.schema))


def _success(report: SyncReport) -> dict[str, Any]:
    return {
        "workspace": report.workspace,
        "days_read": report.count(Outcome.READ),
        "days_unchanged": report.count(Outcome.UNCHANGED),
        "days_empty": report.count(Outcome.EMPTY),
        "days_failed": report.count(Outcome.FAILED),
        "rows": report.rows,
        "calls": report.usage.calls,
        "seconds": round(report.seconds, 3),
        "problems": [str(problem) for problem in report.problems],
    }


def _days_text(days: Iterable[date]) -> str:
    ordered = sorted(days)
    if not ordered:
        return ""
    if len(ordered) == 1:
        return f"{ordered[0]}: "
    return f"{len(ordered)} days from {ordered[0]} to {ordered[-1]}: "
