"""The results of a property's days in a sync: their records and rows, what is reported, and the problems."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

import pyarrow.compute as pc

from gsc_pipeline.lake.targets import Target
from gsc_pipeline.search_console.errors import WAS_NOT_SENT, SearchConsoleError
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.cut_days import CutDays, TriedRows, write_tried
from gsc_pipeline.sync.damage import RESTORE, DamagedDay, holds_good_rows
from gsc_pipeline.sync.day_order import failed_when_asked
from gsc_pipeline.sync.decide import HAS_NO_GOOD_ROWS, Decision, Verdict, kept, settled
from gsc_pipeline.sync.ledger import DayRecord, Status
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.sync.read import DayRead
from gsc_pipeline.sync.report import DayResult, SyncedDay

log = logging.getLogger(__name__)


class PropertyResults:
    """Takes the results of the days of one property and search type, and commits them by its `batch`.

    `records` are the records of the days before the sync; those of days in `damage` are failed.
    """

    def __init__(
        self,
        batch: Batch,
        records: Mapping[date, DayRecord],
        damage: Mapping[date, DamagedDay],
        cut_days: CutDays,
        now: datetime,
    ) -> None:
        self.problems: list[Problem] = []
        self._batch, self._records, self._damage = batch, records, damage
        self._cut_days, self._now = cut_days, now
        self._of = batch.site_url, batch.search_type
        self._synced: dict[date, SyncedDay] = {}
        self._smaller: list[Decision] = []
        """Days from the bulk export of which the API gave less."""

    @property
    def days(self) -> list[SyncedDay]:
        """The result of each day."""
        return list(self._synced.values())

    @property
    def failed_days(self) -> list[date]:
        """The days of the window, and older ones, that are failed in the ledger now."""
        return sorted(day for day, record in self._batch.known.items() if record.status is Status.FAILED)

    def may_have_rows(self, day: date) -> bool:
        """Whether the tables may hold rows of the day."""
        record = self._records.get(day)
        return record is not None and record.may_have_rows

    def apply(self, decision: Decision) -> None:
        """Apply a decision that requires no read."""
        day, run_id = decision.day, self._batch.run_id
        if decision.verdict is Verdict.UNCHANGED and day in self._damage:
            self.fail(day, self._damage[day].reason)
        elif decision.verdict in (Verdict.UNCHANGED, Verdict.DISAGREE):
            self._report(DayResult.UNCHANGED, self._records[day])
        elif decision.verdict is Verdict.CONFIRM:
            record = replace(
                self._records[day], status=decision.status, reason=decision.reason, run_id=run_id
            )
            self._batch.records[day] = record
            self._report(DayResult.UNCHANGED, record)
        elif decision.verdict is Verdict.FORGET:
            self._batch.forgotten.add(day)
        else:
            if self.may_have_rows(day):
                self._batch.cleared.add(day)
            record = DayRecord(day, decision.status, decision.totals, reason=decision.reason, run_id=run_id)
            self._batch.records[day] = record
            self._report(DayResult.EMPTY, record)

    def take(self, decision: Decision, read: DayRead) -> SearchConsoleError | None:
        """Take a day that was read. Returns the failure after which no more of its parts were asked for."""
        before = self._records.get(decision.day)
        if before is not None and before.is_from_export and _is_smaller(read, before):
            self._smaller.append(decision)
            self._report(DayResult.UNCHANGED, before)
            return read.ended_by
        if before is not None and self._keeps_earlier_rows(decision, read, before):
            return read.ended_by
        status, reason = settled(decision, before, adds_up=read.adds_up, lost_queries=read.lost_queries)
        record = read.record(
            status,
            decision.totals,
            reason,
            before=before,
            now=self._now,
            run_id=self._batch.run_id,
        )
        self._batch.reads[decision.day] = read
        self._batch.records[decision.day] = record
        self._report(DayResult.READ, record, read.seconds)
        return read.ended_by

    def _keeps_earlier_rows(self, decision: Decision, read: DayRead, before: DayRecord) -> bool:
        """Whether the day's earlier rows stay, because they are good and those read are doubtful.

        If they stay, this records and reports the day; otherwise a warning says that they are replaced.
        """
        if (read.adds_up and not read.lost_queries) or not self._has_good_rows(before):
            return False
        found = kept(decision, before, adds_up=read.adds_up, lost_queries=read.lost_queries)
        if found is None:
            log.warning(
                "workspace %s: %s (%s) %s: two syncs read rows that are worse than the earlier ones, and the "
                "last replace these: %s, read %s",
                self._batch.workspace,
                *self._of,
                decision.day,
                before.reason,
                before.last_read_at,
                extra={"event": "rows.replaced", "workspace": self._batch.workspace},
            )
            return False
        status, reason = found
        record = replace(before, status=status, reason=reason, run_id=self._batch.run_id)
        self._batch.records[decision.day] = record
        self._report(DayResult.UNCHANGED, record)
        return True

    def _has_good_rows(self, record: DayRecord) -> bool:
        """Whether the tables hold what the record says of the day, and rows that add up to its totals."""
        day = record.data_date
        if day in self._damage or record.status is Status.WRITING or record.reason in HAS_NO_GOOD_ROWS:
            return False
        return holds_good_rows(self._batch.lake, Target(self._batch.workspace, *self._of, (day,)), record)

    def fail(self, day: date, reason: str, *, is_refusal: bool = False) -> None:
        """Report a day as failed, and record it as failed unless its rows are those of the bulk export."""
        failed = self._failed(day, reason)
        known = self._batch.known.get(day)
        if known is not None and known.is_from_export and day not in self._damage:
            # A failed read of the API makes the rows of the export no worse.
            self._report(DayResult.FAILED, failed, is_refusal=is_refusal)
            return
        record = failed
        if reason.startswith(WAS_NOT_SENT) and failed_when_asked(self._records.get(day)):
            # In the ledger the failure of its own call stays, so that the day still comes after the others.
            record = replace(failed, reason=self._records[day].reason)
        if known is None or (known.status, known.reason) != (record.status, record.reason):
            self._batch.records[day] = record
        self._report(DayResult.FAILED, failed, is_refusal=is_refusal)

    def report_lost(self, decisions: Sequence[Decision]) -> None:
        """Report damaged days that Search Console no longer shows."""
        lost = [one.day for one in decisions if one.verdict is Verdict.UNCHANGED and one.day in self._damage]
        if lost:
            cause = f"{self._damage[lost[0]].reason}, and Search Console no longer shows the day"
            days = tuple(sorted(lost))
            self.problems.append(Problem(cause, *self._of, days, next_step=RESTORE))

    def report_disagreement(self, decisions: Sequence[Decision]) -> None:
        """Report days from the bulk export of which Search Console shows other totals."""
        disagree = [one for one in decisions if one.verdict is Verdict.DISAGREE]
        if disagree:
            days = f"--start {disagree[-1].day} --end {disagree[0].day}"
            command = f"gsc sync {self._batch.workspace} {days} --full"
            self._add_disagreement(disagree, f"or {command} reads them, and keeps what the API has less of")

    def report_smaller(self) -> None:
        """Report days from the bulk export of which the API gave less than their rows have."""
        if self._smaller:
            self._add_disagreement(
                self._smaller, "the API gives fewer rows or impressions, or rows that do not add up"
            )

    def add_problem(
        self, error: SearchConsoleError, days: tuple[date, ...], *, is_readable: bool = False
    ) -> None:
        """Add the problem of a failed call. `is_readable`: other calls for the property were answered.

        A refusal then concerns its days alone, and counts against the workspace.
        """
        problem = Problem.of(error, *self._of, days)
        self.problems.append(replace(problem, is_refusal=problem.is_refusal and not is_readable))

    def add_fault(self, error: Exception, days: Collection[date]) -> None:
        """Report an unexpected error, which is a fault of this project, and fail those of `days` left."""
        problem = Problem.of_fault(error, *self._of)
        for day in days:
            if day not in self._synced:
                self._report(DayResult.FAILED, self._failed(day, problem.cause))
        self.problems.append(problem)

    def add_unconfirmed(self, problem: Problem) -> None:
        """Report the problem's days as failed. Their rows and their records do not change."""
        for day in reversed(problem.days):
            self._report(DayResult.FAILED, self._records[day])
        self.problems.append(problem)

    def commit(self) -> None:
        """Commit the batch, and what was tried past the cap.

        Report days that another sync wrote as unchanged, damaged files as problems.
        """
        done = self._batch.commit()
        if tried := self._cut_days.take_news():
            grains = tuple(one.grain for one in tried)
            target = TriedRows(self._batch.workspace, *self._of, grains)
            write_tried(self._batch.lake, target, tried)
        for day, record in done.overtaken.items():
            known = record or DayRecord(day, Status.PROVISIONAL)
            reason = f"another sync wrote the day meanwhile ({known.run_id})"
            self._report(DayResult.UNCHANGED, replace(known, reason=reason))
        for error in dict.fromkeys(done.damaged.values()):
            days = tuple(sorted(day for day, its_error in done.damaged.items() if its_error is error))
            for day in days:
                self._report(DayResult.FAILED, self._failed(day, str(error)))
            self.problems.append(Problem(str(error), *self._of, days))

    def _report(
        self, result: DayResult, record: DayRecord, seconds: float = 0.0, *, is_refusal: bool = False
    ) -> None:
        self._synced[record.data_date] = SyncedDay(*self._of, result, record, seconds, is_refusal)

    def _failed(self, day: date, reason: str) -> DayRecord:
        before = self._records.get(day) or DayRecord(day, Status.FAILED)
        return before.failed(reason, self._batch.run_id)

    def _add_disagreement(self, decisions: Sequence[Decision], alternative: str) -> None:
        newest = max(decisions, key=lambda one: one.day)
        cause = (
            f"the bulk export has {self._records[newest.day].totals} on {newest.day}, Search Console shows "
            f"{newest.totals}; the rows of the export are kept"
        )
        step = f"export the days from BigQuery and import them again (gsc import-export); {alternative}"
        days = tuple(sorted(one.day for one in decisions))
        self.problems.append(Problem(cause, *self._of, days, next_step=step))


def _is_smaller(read: DayRead, record: DayRecord) -> bool:
    """Whether the API gave less of a day than the record's rows have, or rows that do not add up."""
    site, url = (pc.sum(rows["impressions"]).as_py() or 0 for rows in (read.site_rows, read.url_rows))
    held = record.totals.impressions if record.totals else 0
    return (
        read.truncated
        or not read.adds_up
        or read.site_rows.num_rows < record.site_rows
        or site < held
        or url < (record.url_impressions or 0)
    )
