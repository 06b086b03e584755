"""What a sync did, by day, by workspace and for all workspaces, and its row in `sync_runs`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Generic, Protocol

import pyarrow as pa
from typing_extensions import TypeVar

from gsc_pipeline.days import Window, month_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.search_console.client import Usage
from gsc_pipeline.sync.ledger import DayRecord
from gsc_pipeline.sync.outcome import Outcome, tally
from gsc_pipeline.sync.problems import Problem


class DayResult(StrEnum):
    """What a sync did with a day."""

    READ = "read"
    UNCHANGED = "unchanged"
    EMPTY = "empty"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SyncedDay:
    """One day of one property and search type in a sync: what was done, and the ledger's record after it.

    The record of a failed day has the reason of this sync; that in the ledger may have an earlier one.
    `seconds` is the time that reading the day took. `is_refusal`: the day failed because the credential may
    not read the property.
    """

    site_url: str
    search_type: str
    result: DayResult
    record: DayRecord
    seconds: float = 0.0
    is_refusal: bool = False

    @property
    def day(self) -> date:
        """The day, in Pacific time."""
        return self.record.data_date

    @property
    def api_calls(self) -> int:
        """The calls that this sync needed to read the day."""
        return self.record.api_calls if self.result is DayResult.READ else 0


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of one sync of a workspace, as `sync_runs`, events, JSON and summaries name them.

    Days are counted per property and search type. Rows are those written. `calls` include `retries`.
    """

    days_read: int
    days_unchanged: int
    days_empty: int
    days_failed: int
    site_rows: int
    url_rows: int
    calls: int
    retries: int

    @property
    def rows(self) -> int:
        """Rows written to both tables."""
        return self.site_rows + self.url_rows


@dataclass(frozen=True, slots=True)
class SyncReport:
    """One sync of one workspace."""

    workspace: str
    run_id: str
    window: Window
    started_at: datetime
    seconds: float
    properties: int
    days: tuple[SyncedDay, ...]
    problems: tuple[Problem, ...]
    usage: Usage

    @property
    def outcome(self) -> Outcome:
        """How the sync ended."""
        is_verified = any(day.result is not DayResult.FAILED for day in self.days)
        return Outcome.of(self.problems, is_verified=is_verified)

    @property
    def is_idle(self) -> bool:
        """Whether the sync met no problem and changed no day: only its own record is new."""
        return not self.problems and all(day.record.run_id != self.run_id for day in self.days)

    @property
    def retry_at(self) -> datetime | None:
        """The earliest time (UTC) at which something deferred may be tried again; None if nothing is."""
        return min((one.retry_at for one in self.problems if one.retry_at), default=None)

    @property
    def counts(self) -> Counts:
        """The sync in numbers."""
        read = [day.record for day in self.days if day.result is DayResult.READ]
        return Counts(
            **{f"days_{result}": self.count(result) for result in DayResult},
            site_rows=sum(record.site_rows for record in read),
            url_rows=sum(record.url_rows for record in read),
            calls=self.usage.calls,
            retries=self.usage.retries,
        )

    def count(self, result: DayResult) -> int:
        """How many days (of a property and search type) had this result."""
        return sum(day.result is result for day in self.days)

    @property
    def rows(self) -> int:
        """Rows written to both tables."""
        return self.counts.rows

    @property
    def reason(self) -> str:
        """Every problem in one line."""
        return "; ".join(str(problem) for problem in self.problems)

    @property
    def in_words(self) -> str:
        """The counts in one line."""
        days = ", ".join(f"{self.count(result)} {result}" for result in DayResult)
        return f"{days} days; {self.rows} rows, {self.usage.calls} calls, {self.seconds:.1f} s"

    def as_json(self) -> dict[str, Any]:
        """The workspace's part of what `gsc sync --json` prints."""
        return {
            "workspace": self.workspace,
            **asdict(self.counts),
            "rows": self.rows,
            "seconds": round(self.seconds, 3),
            "problems": [str(problem) for problem in self.problems],
        }


class WorkspaceReport(Protocol):
    """What one sync did for one workspace."""

    @property
    def workspace(self) -> str:
        """The id of the workspace."""

    @property
    def outcome(self) -> Outcome:
        """How the sync ended."""

    @property
    def reason(self) -> str:
        """Every problem in one line."""

    @property
    def in_words(self) -> str:
        """The counts in one line."""

    @property
    def problems(self) -> Sequence[Problem]:
        """Everything that went wrong."""

    def as_json(self) -> dict[str, Any]:
        """The workspace's part of the summary's JSON."""


Report = TypeVar("Report", bound=WorkspaceReport, default=SyncReport)


@dataclass(frozen=True, slots=True)
class SyncSummary(Generic[Report]):
    """One sync of several workspaces, by how each ended, and how long it took."""

    successes: tuple[Report, ...]
    partial: tuple[Report, ...]
    failures: tuple[Report, ...]
    duration_ms: int

    @classmethod
    def of(cls, reports: Sequence[Report], duration_ms: int) -> SyncSummary[Report]:
        """The summary of the reports of all workspaces."""
        ended = {outcome: tuple(one for one in reports if one.outcome is outcome) for outcome in Outcome}
        return cls(ended[Outcome.COMPLETE], ended[Outcome.PARTIAL], ended[Outcome.FAILED], duration_ms)

    @property
    def total_workspaces(self) -> int:
        """Active workspaces in the selection."""
        return len(self.successes) + len(self.partial) + len(self.failures)

    @property
    def in_words(self) -> str:
        """How many workspaces ended with each outcome."""
        return tally(len(self.successes), len(self.partial), len(self.failures))

    def as_json(self) -> dict[str, Any]:
        """The object that `gsc sync --json` prints."""
        return {
            "total_workspaces": self.total_workspaces,
            "successes": [report.as_json() for report in self.successes],
            "partial": [report.as_json() for report in self.partial],
            "failures": [
                {"workspace": report.workspace, "reason": report.reason} for report in self.failures
            ],
            "duration_ms": self.duration_ms,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the reading of one property and search type is: `done` of `planned` days.

    `table` is empty for the two large tables.
    """

    workspace: str
    site_url: str
    search_type: str
    done: int
    planned: int
    table: str = ""


OnProgress = Callable[[Progress], None]


def append_runs(lake: Lake, reports: Sequence[SyncReport], **values: object) -> None:
    """Write the reports' rows to `sync_runs`, in one commit; with `values` instead of their own."""
    rows = [_row(report) | values for report in reports]
    lake.append(SYNC_RUNS, pa.Table.from_pylist(rows, schema=SYNC_RUNS.schema))


def _row(report: SyncReport) -> dict[str, Any]:
    counts = asdict(report.counts)
    return {
        "workspace": report.workspace,
        "month": month_of(report.started_at.date()),
        "run_id": report.run_id,
        "started_at": report.started_at,
        "seconds": report.seconds,
        "outcome": report.outcome.value,
        "first_day": report.window.start,
        "last_day": report.window.last,
        "properties": report.properties,
        **{name: count for name, count in counts.items() if name in SYNC_RUNS.schema.names},
        "rows": report.rows,
        "problems": [str(problem) for problem in report.problems],
        "calls_by_duration": report.usage.times.counts,
        "call_milliseconds": report.usage.times.milliseconds,
    }
