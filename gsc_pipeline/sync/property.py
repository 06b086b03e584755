"""The sync of one property and search type: probe, decide, read, commit, and what a failure stops."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import pyarrow.compute as pc

from gsc_pipeline.days import ONE_DAY, Window, pacific_today
from gsc_pipeline.lake.lake import Lake, Target
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import (
    DEFERRED,
    CircuitOpenError,
    CredentialError,
    SearchConsoleError,
    TransientError,
    WrongAnswerError,
)
from gsc_pipeline.search_console.search_types import SearchType
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.damage import RESTORE, Damage, had_queries
from gsc_pipeline.sync.decide import (
    DID_NOT_ADD_UP_ONCE,
    DOES_NOT_ADD_UP,
    NO_QUERIES,
    Decision,
    Verdict,
    decide,
)
from gsc_pipeline.sync.grains import search_type_in_tables
from gsc_pipeline.sync.ledger import UNSETTLED, DayRecord, DayTotals, Status
from gsc_pipeline.sync.read import DayRead, DayReader, OptionalDevice, PendingDay, probe
from gsc_pipeline.sync.report import DayOutcome, OnProgress, Outcome, Problem, Progress
from gsc_pipeline.sync.revisions import find_revisions, write_revisions
from gsc_pipeline.sync.witness import doubt_of
from gsc_pipeline.workspaces import Workspace

STANDING_DAYS = 14
"""Days never heard of that are recorded as failed when a property cannot be read at all."""

BACKFILL_DAYS = 31
"""A longer window than this, and each day is committed before the next is begun: a kill costs one day."""

STOPS_WORKSPACE = (CredentialError, CircuitOpenError)
"""Failures that every other property of the workspace would meet as well."""

GIVE_UP_AFTER = 3
"""Days in a row that may fail for a passing reason before a property's remaining days are left for later."""


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """`full` reads every day that has data; `commit_rows` bounds the rows held in memory."""

    full: bool = False
    concurrency: int = 4
    commit_rows: int = 150_000


@dataclass(frozen=True, slots=True)
class SyncContext:
    """What the parts of one workspace's sync share. `now` is the moment it started, aware."""

    workspace: Workspace
    window: Window
    console: SearchConsole
    lake: Lake
    options: SyncOptions
    now: datetime
    run_id: str
    on_progress: OnProgress
    device: OptionalDevice = field(default_factory=OptionalDevice)


class PropertySync:
    """The sync of one property and search type; `outcomes` and `problems` say how it went.

    `damage` are days whose rows the tables do not hold as the ledger claims: they count as failed.
    """

    def __init__(
        self,
        context: SyncContext,
        site_url: str,
        search_type: SearchType,
        records: Mapping[date, DayRecord],
        damage: Mapping[date, Damage],
    ) -> None:
        self._context = context
        self.site_url = site_url
        self._search_type = search_type
        self._damage = damage
        self._records = {**records, **{day: one.record(records.get(day)) for day, one in damage.items()}}
        self._word = search_type_in_tables(search_type)
        self._batch = Batch(
            context.lake, context.workspace.id, site_url, self._word, context.run_id, dict(records)
        )
        self._days = _days_in_question(context, self._records, damage)
        self._outcomes: dict[date, DayOutcome] = {}
        self.problems: list[Problem] = []

    def run(self, executor: ThreadPoolExecutor) -> None:
        """Probe, decide, read, commit. Raises STOPS_WORKSPACE, after committing what was read."""
        today = pacific_today(self._context.now)
        try:
            probed = probe(self._context.console, self.site_url, self._search_type, self._span())
            decisions = decide(
                self._days, probed, self._records, today=today, full=self._context.options.full
            )
            decisions = self._without_vanished(decisions)
        except SearchConsoleError as error:
            days = self.leave_unverified(error)
            if isinstance(error, STOPS_WORKSPACE):
                raise
            self._add_problem(error, days)
            return
        self._record_revisions(decisions)
        for decision in decisions:
            if decision.verdict is not Verdict.READ:
                self._settle_without_reading(decision)
        self._report_lost(
            [one.day for one in decisions if one.verdict is Verdict.UNCHANGED and one.day in self._damage]
        )
        self._read_all([d for d in decisions if d.verdict is Verdict.READ], executor)
        self._commit()

    @property
    def outcomes(self) -> list[DayOutcome]:
        """What was done with each day in question."""
        return list(self._outcomes.values())

    @property
    def search_type(self) -> str:
        """The search type, as the tables spell it."""
        return self._word

    @property
    def failing_days(self) -> list[date]:
        """Days that wait to be read again, the window's and older ones, as the ledger now says."""
        return sorted(day for day, record in self._batch.known.items() if record.status is Status.FAILED)

    def leave_unverified(self, error: SearchConsoleError) -> tuple[date, ...]:
        """Record that the days not known for good could not be read. Final and empty days stay as known.

        Of days never heard of only the newest are recorded: enough to show what fails, and a mistake in
        a key must not leave a year of failures behind.
        """
        settled = (Status.FINAL, Status.EMPTY)
        newest = self._context.window.end - STANDING_DAYS * ONE_DAY
        days = tuple(
            day
            for day in self._days
            if (self._records[day].status not in settled if day in self._records else day >= newest)
        )
        for day in days:
            self._fail(day, str(error))
        self._commit()
        return days

    def report_fault(self, error: Exception) -> None:
        """Report an error of this project itself. What was committed before it stays."""
        self.problems.append(fault_problem(error, self.site_url, self._word))

    def _without_vanished(self, decisions: Sequence[Decision]) -> list[Decision]:
        """The decisions, without those that clear a day with rows although no second answer agrees."""
        vanished = [
            one.day for one in decisions if one.verdict is Verdict.CLEAR and self._may_have_rows(one.day)
        ]
        doubt = doubt_of(self._context.console, self.site_url, self._search_type, vanished)
        if doubt is None:
            return list(decisions)
        for day in reversed(doubt.days):
            self._keep(self._records[day])
        problem = Problem(
            doubt.cause,
            self.site_url,
            self._word,
            doubt.days,
            next_step="their rows stay, and the next sync asks again",
            transient=doubt.transient,
            deferred=doubt.deferred,
        )
        self.problems.append(problem)
        return [one for one in decisions if one.day not in doubt.days]

    def _may_have_rows(self, day: date) -> bool:
        record = self._records.get(day)
        return record is not None and record.may_have_rows

    def _span(self) -> Window:
        """One window over all days in question, for the probe."""
        return Window.inclusive(min(self._days), max(self._days))

    def _record_revisions(self, decisions: Sequence[Decision]) -> None:
        revisions = find_revisions(decisions, self._records)
        if revisions:
            write_revisions(
                self._context.lake,
                self._context.workspace.id,
                self.site_url,
                self._word,
                revisions,
                seen_at=self._context.now,
                run_id=self._context.run_id,
            )

    def _settle_without_reading(self, decision: Decision) -> None:
        day = decision.day
        if decision.verdict is Verdict.UNCHANGED and day in self._damage:
            self._fail(day, self._damage[day].reason)
        elif decision.verdict is Verdict.UNCHANGED:
            self._keep(self._records[day])
        elif decision.verdict is Verdict.CONFIRM:
            record = replace(
                self._records[day],
                status=decision.status,
                reason=decision.reason,
                run_id=self._context.run_id,
            )
            self._batch.records[day] = record
            self._keep(record)
        elif decision.verdict is Verdict.FORGET:
            self._batch.forgotten.add(day)
        else:
            if self._may_have_rows(day):
                self._batch.cleared.add(day)
            record = DayRecord(
                day, decision.status, decision.totals, reason=decision.reason, run_id=self._context.run_id
            )
            self._batch.records[day] = record
            self._add_outcome(day, Outcome.EMPTY, decision.status, decision.totals, reason=decision.reason)

    def _report_lost(self, lost: Sequence[date]) -> None:
        """Report damaged days that Search Console does not show any more."""
        if lost:
            cause = f"{self._damage[lost[0]].reason}, and Search Console does not show the day any more"
            days = tuple(sorted(lost))
            self.problems.append(Problem(cause, self.site_url, self._word, days, next_step=RESTORE))

    def _read_all(self, decisions: Sequence[Decision], executor: ThreadPoolExecutor) -> None:
        is_backfill = len(self._context.window) > BACKFILL_DAYS
        most_rows = 1 if is_backfill else self._context.options.commit_rows
        ahead = 1 if is_backfill else self._context.options.concurrency
        failed_in_a_row = 0
        with closing(self._reads(decisions, executor, ahead)) as reads:
            for i, (decision, pending) in enumerate(reads):
                self._report_progress(i, len(decisions))
                try:
                    self._take(decision, pending.result())
                    failed_in_a_row = 0
                except SearchConsoleError as error:
                    failed_in_a_row += 1
                    if not _is_worth_going_on(error, failed_in_a_row):
                        self._give_up(decisions[i:], error)
                        return
                    self._fail(decision.day, str(error))
                    self._add_problem(error, (decision.day,))
                if self._batch.rows >= most_rows:
                    self._commit()
        self._report_progress(len(decisions), len(decisions))

    def _reads(
        self, decisions: Sequence[Decision], executor: ThreadPoolExecutor, ahead: int
    ) -> Generator[tuple[Decision, PendingDay]]:
        """Days being read, in their order, `ahead` of them at once so that memory is bounded."""
        context = self._context
        reader = DayReader(
            context.console,
            context.workspace.id,
            self.site_url,
            self._search_type,
            executor=executor,
            device=context.device,
        )
        started: deque[tuple[Decision, PendingDay]] = deque()
        try:
            for decision in decisions:
                started.append((decision, reader.start(decision.day, decision.totals, self._had_queries)))
                if len(started) >= ahead:
                    yield started.popleft()
            while started:
                yield started.popleft()
        finally:
            for _, pending in started:
                pending.cancel()

    def _had_queries(self, day: date) -> bool:
        target = Target(self._context.workspace.id, self.site_url, self._word, (day,))
        return self._may_have_rows(day) and had_queries(self._context.lake, target)

    def _take(self, decision: Decision, read: DayRead) -> None:
        day, before, now = decision.day, self._records.get(decision.day), self._context.now
        status, reason = _as_read(decision, read, before)
        self._batch.reads[day] = read
        self._batch.records[day] = DayRecord(
            day,
            status,
            decision.totals,
            site_rows=read.site_rows.num_rows,
            url_rows=read.url_rows.num_rows,
            truncated=read.truncated,
            first_read_at=before.first_read_at if before and before.first_read_at else now,
            last_read_at=now,
            api_calls=read.api_calls,
            reason=reason,
            run_id=self._context.run_id,
            url_clicks=pc.sum(read.url_rows["clicks"]).as_py() or 0,
            url_impressions=pc.sum(read.url_rows["impressions"]).as_py() or 0,
        )
        self._add_outcome(
            day,
            Outcome.READ,
            status,
            decision.totals,
            site_rows=read.site_rows.num_rows,
            url_rows=read.url_rows.num_rows,
            api_calls=read.api_calls,
            seconds=read.seconds,
            truncated=read.truncated,
            reason=reason,
        )

    def _keep(self, record: DayRecord) -> None:
        self._add_outcome(
            record.data_date,
            Outcome.UNCHANGED,
            record.status,
            record.totals or DayTotals(),
            site_rows=record.site_rows,
            url_rows=record.url_rows,
            truncated=record.truncated,
        )

    def _give_up(self, decisions: Sequence[Decision], error: SearchConsoleError) -> None:
        for decision in decisions:
            self._fail(decision.day, str(error))
        if isinstance(error, STOPS_WORKSPACE):
            self._commit()
            raise error
        self._add_problem(error, tuple(decision.day for decision in decisions))

    def _fail(self, day: date, reason: str) -> None:
        before = self._records.get(day) or DayRecord(day, Status.FAILED)
        failed = before.failed(reason, self._context.run_id)
        known = self._batch.known.get(day)
        if known is None or (known.status, known.reason) != (failed.status, failed.reason):
            self._batch.records[day] = failed
        self._add_outcome(day, Outcome.FAILED, Status.FAILED, before.totals or DayTotals(), reason=reason)

    def _add_outcome(
        self, day: date, outcome: Outcome, status: Status, totals: DayTotals, **more: object
    ) -> None:
        self._outcomes[day] = DayOutcome(
            self.site_url,
            self._word,
            day,
            outcome,
            status,
            totals,
            **more,  # type: ignore[arg-type]
        )

    def _commit(self) -> None:
        """Commit the batch; report the days of another sync as its own, and damaged files as problems."""
        done = self._batch.commit()
        for day, record in done.overtaken.items():
            known = record or DayRecord(day, Status.PROVISIONAL)
            self._keep(known)
            reason = f"written by another sync meanwhile ({known.run_id})"
            self._outcomes[day] = replace(self._outcomes[day], reason=reason)
        for error in dict.fromkeys(done.damaged.values()):
            days = tuple(sorted(day for day, its_error in done.damaged.items() if its_error is error))
            for day in days:
                before = self._records.get(day)
                totals = (before.totals if before else None) or DayTotals()
                self._add_outcome(day, Outcome.FAILED, Status.FAILED, totals, reason=str(error))
            self.problems.append(Problem(str(error), self.site_url, self._word, days))

    def _add_problem(self, error: SearchConsoleError, days: tuple[date, ...]) -> None:
        self.problems.append(problem_of(error, self.site_url, self._word, days))

    def _report_progress(self, done: int, planned: int) -> None:
        self._context.on_progress(
            Progress(self._context.workspace.id, self.site_url, self._word, done, planned)
        )


def _days_in_question(
    context: SyncContext, records: Mapping[date, DayRecord], damage: Collection[date]
) -> list[date]:
    """The window's days and damaged ones; in a sync up to yesterday also earlier ones that are unsettled.

    So an outage longer than the window heals, and no day stays provisional because it left the window.
    """
    days = {*context.window, *damage}
    if context.window.end == pacific_today(context.now):
        days |= {
            day
            for day, record in records.items()
            if day < context.window.start and record.status in UNSETTLED
        }
    return sorted(days)


def _as_read(decision: Decision, read: DayRead, before: DayRecord | None) -> tuple[Status, str]:
    """The status and reason of a day that was read.

    A day whose rows do not add up is not called final at first, so that the next sync reads it again. If
    they do not add up then either, that is how Search Console counts it, and the reason says so. Likewise
    for a day that has lost all its queries.
    """
    if read.lost_queries:
        return Status.PROVISIONAL, NO_QUERIES
    if read.adds_up:
        return decision.status, decision.reason
    if before is not None and before.reason in (DID_NOT_ADD_UP_ONCE, DOES_NOT_ADD_UP):
        return decision.status, DOES_NOT_ADD_UP
    return Status.PROVISIONAL, DID_NOT_ADD_UP_ONCE


def _is_worth_going_on(error: SearchConsoleError, failed_in_a_row: int) -> bool:
    """Whether the property's other days are worth a try after one has failed."""
    if isinstance(error, WrongAnswerError):
        return True
    is_transient = isinstance(error, TransientError) and not isinstance(error, DEFERRED)
    return is_transient and failed_in_a_row < GIVE_UP_AFTER


def fault_problem(error: Exception, site_url: str = "", search_type: str = "") -> Problem:
    """What a report says of an error of this project itself."""
    return Problem(
        f"a fault of gsc_pipeline ({type(error).__name__}: {' '.join(str(error).split())[:300]})",
        site_url,
        search_type,
        next_step="please report it with the log; the next sync tries again",
    )


def problem_of(
    error: SearchConsoleError, site_url: str = "", search_type: str = "", days: tuple[date, ...] = ()
) -> Problem:
    """What a report says of an error."""
    return Problem(
        error.cause,
        site_url,
        search_type,
        days,
        next_step=error.remedy,
        transient=isinstance(error, TransientError),
        deferred=isinstance(error, DEFERRED),
    )
