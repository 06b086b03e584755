"""What the syncs of the tables beside the main two share: properties one after another, and a report.

Belongs here: which failure stops what, and the counts. Does not: what any one table reads (`properties`,
`sitemaps`, `inspections`, `hourly`, `appearance`), the sync of the main tables (`workspace`).
"""

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
    DEFERRED,
    FAILED_ANSWERS,
    SearchConsoleError,
    TransientError,
)
from gsc_pipeline.sync.property import GIVE_UP_AFTER, STOPS_WORKSPACE
from gsc_pipeline.sync.report import NO_PROPERTY, Problem
from gsc_pipeline.workspaces import Workspace


@dataclass(frozen=True, slots=True)
class SourceReport:
    """One sync of one table for one workspace.

    `read` and `unchanged` count what the table is read by: days of a property and search type, pages, or
    lists. `rows` are those written.
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
    def is_stopped(self) -> bool:
        """Whether what concerns the whole workspace (its credential, say) ended the sync."""
        return any(not problem.site_url for problem in self.problems)

    @property
    def is_worth_retrying(self) -> bool:
        """Whether a part failed for a reason that may have passed in a minute."""
        return any(problem.transient and not problem.deferred for problem in self.problems)

    @property
    def is_held_back(self) -> bool:
        """Whether nothing was even asked, as a circuit breaker or the limiter let no call through.

        A repeated call was one that failed first, if only for want of a token.
        """
        is_asked = self.usage.calls or self.usage.retries
        return bool(self.problems) and not is_asked and all(one.deferred for one in self.problems)

    @property
    def is_incomplete(self) -> bool:
        """Whether something is missing that a later sync may bring, or nothing more could be tried."""
        return self.is_stopped or any(problem.transient for problem in self.problems)

    @property
    def reason(self) -> str:
        """Every problem in one line."""
        return "; ".join(str(problem) for problem in self.problems)


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What the parts of one sync share. `now` is the moment it started, aware."""

    workspace: Workspace
    console: SearchConsole
    lake: Lake
    now: datetime
    run_id: str

    @classmethod
    def starting(
        cls,
        workspace: Workspace,
        console: SearchConsole,
        lake: Lake,
        clock: Clock = utc_now,
        run_id: str | None = None,
    ) -> SourceContext:
        """The context of a sync that starts now, with a run id of its own unless it is given one."""
        return cls(workspace, console, lake, clock(), run_id or uuid.uuid4().hex)


@dataclass(slots=True)
class Tally:
    """What the sync of one part has done so far. It outlives an error that ends the part."""

    site_url: str = ""
    search_type: str = ""
    read: int = 0
    unchanged: int = 0
    rows: int = 0
    problems: list[Problem] = field(default_factory=list)

    def add_problem(self, error: SearchConsoleError, days: Sequence[date] = (), about: str = "") -> None:
        """Report an error that does not end the part, the days it kept unread, or what it is about."""
        self.problems.append(
            Problem(
                f"{about}: {error.cause}" if about else error.cause,
                self.site_url,
                self.search_type,
                tuple(days),
                next_step=error.remedy,
                transient=isinstance(error, TransientError),
                deferred=isinstance(error, DEFERRED),
            )
        )


def read_days(tally: Tally, days: Iterable[date], read: Callable[[date], int]) -> None:
    """Read these days of a part; `read` commits a day and answers how many rows it wrote.

    A day that fails because Google's side does, or whose answer is wrong, is reported and left for the next
    sync; after several in a row the rest is left too. Raises any other SearchConsoleError, after which the
    days read so far are as they are.
    """
    failed_in_a_row = 0
    for day in days:
        try:
            tally.rows += read(day)
            tally.read += 1
            failed_in_a_row = 0
        except FAILED_ANSWERS as error:
            failed_in_a_row += 1
            tally.add_problem(error, (day,))
            if failed_in_a_row == GIVE_UP_AFTER:
                return


@dataclass(frozen=True, slots=True)
class Part:
    """What is read of one property, or of one of its search types (as in the tables; empty for all)."""

    site_url: str
    run: Callable[[Tally], None]
    search_type: str = ""


def sync_parts(
    context: SourceContext, table: TableSpec, parts_of: Callable[[str], Iterable[Part]]
) -> SourceReport:
    """Run the parts of each of the workspace's properties, and report.

    A part's SearchConsoleError never stops another part, one of STOPS_WORKSPACE stops the rest. Raises only
    LakeError and StateError: the lake and the shared state are everyone's.
    """
    return sync_one(context, table, lambda tallies: _run_all(context, parts_of, tallies))


def sync_one(context: SourceContext, table: TableSpec, run: Callable[[list[Tally]], None]) -> SourceReport:
    """Run what fills the tallies it is handed, and report; what it raises concerns the whole workspace."""
    started, usage = time.monotonic(), context.console.usage()
    tallies: list[Tally] = []
    try:
        run(tallies)
    except SearchConsoleError as error:
        whole = Tally()
        whole.add_problem(error)
        tallies.append(whole)
    return SourceReport(
        workspace=context.workspace.id,
        table=table.name,
        run_id=context.run_id,
        started_at=context.now,
        seconds=time.monotonic() - started,
        properties=len({tally.site_url for tally in tallies if tally.site_url}),
        read=sum(tally.read for tally in tallies),
        unchanged=sum(tally.unchanged for tally in tallies),
        rows=sum(tally.rows for tally in tallies),
        problems=tuple(problem for tally in tallies for problem in tally.problems),
        usage=context.console.usage() - usage,
    )


def _run_all(context: SourceContext, parts_of: Callable[[str], Iterable[Part]], tallies: list[Tally]) -> None:
    site_urls = _site_urls(context)
    if not site_urls:
        tallies.append(Tally(problems=[NO_PROPERTY]))
    for site_url in site_urls:
        for part in parts_of(site_url):
            tallies.append(Tally(part.site_url, part.search_type))
            try:
                part.run(tallies[-1])
            except STOPS_WORKSPACE:
                raise
            except SearchConsoleError as error:
                tallies[-1].add_problem(error)


def _site_urls(context: SourceContext) -> Sequence[str]:
    if context.workspace.properties is not None:
        return context.workspace.properties
    return sorted(site.site_url for site in context.console.sites() if site.is_readable)
