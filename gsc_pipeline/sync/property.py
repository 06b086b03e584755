"""Syncs one property and search type: probe, decide, read, commit."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date

from gsc_pipeline.days import ONE_DAY, Window, pacific_today
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.search_console.errors import (
    NOT_SENT,
    WAS_NOT_SENT,
    PropertyError,
    SearchConsoleError,
    forget_frames,
)
from gsc_pipeline.search_console.search_types import SearchType
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.confirm import unconfirmed
from gsc_pipeline.sync.context import SyncContext
from gsc_pipeline.sync.cut_days import CutDays, TriedRows, read_tried
from gsc_pipeline.sync.damage import DamagedDay, had_queries
from gsc_pipeline.sync.day_order import STOPS_WORKSPACE, in_order, may_continue
from gsc_pipeline.sync.decide import Decision, Probe, Verdict, decide
from gsc_pipeline.sync.earlier import EarlierRows
from gsc_pipeline.sync.grains import search_type_in_tables
from gsc_pipeline.sync.ledger import UNSETTLED, DayRecord, Status
from gsc_pipeline.sync.property_results import PropertyResults
from gsc_pipeline.sync.read import DayRead, DayReader, probe
from gsc_pipeline.sync.report import Progress
from gsc_pipeline.sync.revisions import find_revisions, write_revisions

log = logging.getLogger(__name__)

STANDING_DAYS = 14
"""If a property cannot be read at all, days without a record are recorded as failed only if they are among
this many last days of the window."""

MOST_DAYS_WITH_PARTS_LEFT = 10
"""The most days before the window of which a sync asks for more parts."""

MORE_PARTS = "more parts of what the API cut off"
"""The reason of a day of which a later sync asked for more parts."""

BACKFILL_DAYS = 31
"""In a longer window, each day is committed before the next day is read. A sync that is killed then loses at
most one day."""


class PropertySync:
    """The sync of one property and search type, and its `results`.

    The days in `damage` count as failed. `cut` are records of days that were asked for in parts, or may be.
    """

    def __init__(
        self,
        context: SyncContext,
        site_url: str,
        search_type: SearchType,
        records: Mapping[date, DayRecord],
        damage: Mapping[date, DamagedDay],
        cut: Sequence[DayRecord] = (),
    ) -> None:
        self.site_url = site_url
        self.search_type = search_type_in_tables(search_type)
        self._context = context
        self._asked_type = search_type
        self._damage = damage
        self._records = {**records, **{day: one.record(records.get(day)) for day, one in damage.items()}}
        today = pacific_today(context.now)
        self._cut_days = CutDays(
            context.options.past_cap,
            lambda: read_tried(context.lake, TriedRows(context.workspace.id, site_url, self.search_type)),
            of=(site_url, self.search_type),
            now=context.now,
            at_once=context.options.concurrency,
            spent=sum(one.part_calls_on(today) for one in cut),
        )
        older = self._older_with_parts_left(cut)
        self._records |= older
        self._batch = Batch(
            context.lake,
            context.workspace.id,
            site_url,
            self.search_type,
            context.run_id,
            {**records, **older},
        )
        self.results = PropertyResults(self._batch, self._records, damage, self._cut_days, context.now)
        self._days = sorted({*_days_in_question(context, self._records, damage), *older})

    def run(self, executor: ThreadPoolExecutor) -> None:
        """Probe, decide, read, commit. Commits the days that were read before it raises STOPS_WORKSPACE."""
        try:
            decisions = self._decide()
        except SearchConsoleError as error:
            days = self.fail_unverified(error)
            if isinstance(error, STOPS_WORKSPACE):
                raise
            self.results.add_problem(error, days)
            return
        self.results.report_disagreement(decisions)
        self._write_revisions(decisions)
        for decision in decisions:
            if decision.verdict is not Verdict.READ:
                self.results.apply(decision)
        self.results.report_lost(decisions)
        reader = DayReader(
            self._context.console,
            self._context.workspace.id,
            self.site_url,
            self._asked_type,
            executor=executor,
            device=self._context.device,
            cut_days=self._cut_days,
        )
        due = [one for one in decisions if one.verdict is Verdict.READ]
        self._read(in_order(due, self._records, self._context.run_id), reader)
        self._go_on([one for one in decisions if one.verdict is Verdict.UNCHANGED], reader)
        self.results.report_smaller()
        self.results.commit()

    def fail_unverified(self, error: SearchConsoleError) -> tuple[date, ...]:
        """Record each day that is neither final nor empty as failed, because it could not be verified.

        Days without a record are recorded only if they are among the last STANDING_DAYS days of the window.
        These show the failure; more would leave a year of failed days after a mistake in the configuration.
        """
        is_reason = isinstance(error, NOT_SENT)
        reason = str(error) if is_reason else f"{WAS_NOT_SENT}the days' totals could not be read ({error})"
        newest = self._context.window.end - STANDING_DAYS * ONE_DAY
        days = tuple(
            day
            for day in self._days
            if (
                self._records[day].status not in (Status.FINAL, Status.EMPTY)
                if day in self._records
                else day >= newest
            )
        )
        for day in days:
            self.results.fail(day, reason, is_refusal=isinstance(error, PropertyError))
        self.results.commit()
        return days

    def add_fault(self, error: Exception) -> None:
        """Report an unexpected error, which is a fault of this project. Committed days stay committed."""
        self.results.add_fault(error, self._days)

    def _decide(self) -> list[Decision]:
        """The decisions. No day is emptied, or recorded as empty, unless a second answer confirms it.

        Days that may have rows are confirmed one by one. For the others, which no later sync may ask for
        again, the totals of all of them are requested once more.
        """
        context = self._context
        probed = self._probe(self._days)
        decisions = self._decisions(probed)
        # An answer that shows days that another lacked does not confirm the days that both lack.
        while without_rows := [
            one.day
            for one in decisions
            if one.verdict is Verdict.CLEAR
            and one.status is Status.EMPTY
            and not self.results.may_have_rows(one.day)
        ]:
            again = self._probe(without_rows).totals
            missed = {day: again[day] for day in without_rows if day in again and again[day].impressions}
            if not missed:
                break
            probed = replace(probed, totals={**probed.totals, **missed})
            decisions = self._decisions(probed)
        cleared = [one.day for one in decisions if one.verdict is Verdict.CLEAR]
        cleared = [day for day in cleared if self.results.may_have_rows(day)]
        problem = unconfirmed(context.console, self.site_url, self._asked_type, cleared)
        if problem is None:
            return decisions
        self.results.add_unconfirmed(problem)
        return [one for one in decisions if one.day not in problem.days]

    def _probe(self, days: Collection[date]) -> Probe:
        span = Window.inclusive(min(days), max(days))
        return probe(self._context.console, self.site_url, self._asked_type, span)

    def _decisions(self, probed: Probe) -> list[Decision]:
        context, today = self._context, pacific_today(self._context.now)
        return decide(self._days, probed, self._records, today=today, full=context.options.full)

    def _write_revisions(self, decisions: Sequence[Decision]) -> None:
        revisions = find_revisions(decisions, self._records)
        if revisions:
            write_revisions(
                self._context.lake,
                self._context.workspace.id,
                self.site_url,
                self.search_type,
                revisions,
                seen_at=self._context.now,
                run_id=self._context.run_id,
            )

    def _read(self, decisions: Sequence[Decision], reader: DayReader) -> None:
        context = self._context
        is_backfill = len(context.window) > BACKFILL_DAYS
        commit_rows = 1 if is_backfill else context.options.commit_rows
        wanted = [(one.day, one.totals, one.status is Status.FINAL) for one in decisions]
        ahead = 1 if is_backfill else context.options.concurrency
        failed_in_a_row = 0
        with closing(reader.start_all(wanted, self._had_queries, ahead=ahead)) as reads:
            for i, decision in enumerate(decisions):
                ended_by = None
                try:
                    self._report_progress(i, len(decisions))
                    # Nothing but the batch holds the rows, which frees those of one table before it writes
                    # the other.
                    ended_by = self.results.take(decision, next(reads).result())
                    failed_in_a_row = 0
                except SearchConsoleError as error:
                    forget_frames(error)
                    failed_in_a_row += 1
                    if not may_continue(error, failed_in_a_row):
                        self._give_up(decisions[i:], error, asked=1)
                        return
                    self.results.fail(decision.day, str(error))
                    self.results.add_problem(error, (decision.day,), is_readable=True)
                except Exception:
                    # Whatever stops the sync, the days that were read are reported as such, so write them.
                    self.results.commit()
                    raise
                if isinstance(ended_by, STOPS_WORKSPACE):
                    self._give_up(decisions[i + 1 :], ended_by)
                if self._batch.rows >= commit_rows:
                    self.results.commit()
        self._report_progress(len(decisions), len(decisions))

    def _older_with_parts_left(self, cut: Sequence[DayRecord]) -> dict[date, DayRecord]:
        """The newest days before the window whose parts are not all asked for, if calls are left for them."""
        context = self._context
        days = [one for one in cut if one.has_parts_left and one.data_date < context.window.start]
        if context.options.full or not days or not _is_up_to_yesterday(context):
            return {}
        if not self._cut_days.may_go_on:
            return {}
        newest = sorted(days, key=lambda one: one.data_date)[-MOST_DAYS_WITH_PARTS_LEFT:]
        return {one.data_date: one for one in newest}

    def _go_on(self, decisions: Sequence[Decision], reader: DayReader) -> None:
        """Ask for more parts of unchanged days that earlier syncs left cut, the newest first."""
        for decision in decisions:
            before = self._records[decision.day]
            if not before.has_parts_left or decision.day in self._damage:
                continue
            if not self._cut_days.may_go_on:
                return
            # An error of this day loses none that was read before.
            self.results.commit()
            target = Target(self._context.workspace.id, self.site_url, self.search_type, (decision.day,))
            try:
                ended_by = self._take_more(
                    decision,
                    reader.start(
                        decision.day,
                        decision.totals,
                        self._had_queries,
                        is_final=True,
                        earlier=EarlierRows(self._context.lake, target),
                    ).result(),
                )
            except (SearchConsoleError, DamagedError) as error:
                forget_frames(error)
                # The day stays as it is.
                log.warning(
                    "%s (%s) %s: no more parts: %s", self.site_url, self.search_type, decision.day, error
                )
                if isinstance(error, STOPS_WORKSPACE):
                    self._give_up([], error)
                return
            if isinstance(ended_by, STOPS_WORKSPACE):
                self._give_up([], ended_by)

    def _take_more(self, decision: Decision, read: DayRead) -> SearchConsoleError | None:
        """Take a day after more of its parts were asked for, unless it has fewer rows than before.

        The totals of the day are the same, so fewer rows mean that a call failed which had brought rows
        before. Then only the record changes: whether a later sync asks again. It does not if the answers do
        not add up: a final day's answers are the same each time.
        """
        before = self._records[decision.day]
        is_less = read.site_rows.num_rows < before.site_rows or read.url_rows.num_rows < before.url_rows
        if read.part_calls and read.adds_up and not is_less:
            return self.results.take(replace(decision, reason=MORE_PARTS), read)
        self._batch.records[decision.day] = replace(before, parts_left=read.ended_by is not None)
        return read.ended_by

    def _had_queries(self, day: date) -> bool:
        target = Target(self._context.workspace.id, self.site_url, self.search_type, (day,))
        return self.results.may_have_rows(day) and had_queries(self._context.lake, target)

    def _give_up(self, decisions: Sequence[Decision], error: SearchConsoleError, *, asked: int = 0) -> None:
        """Fail the days that are left, of which the first `asked` were asked for, and the others were not."""
        for i, decision in enumerate(decisions):
            is_reason = i < asked or isinstance(error, NOT_SENT)
            reason = str(error) if is_reason else f"{WAS_NOT_SENT}the call for another day failed ({error})"
            self.results.fail(decision.day, reason)
        if isinstance(error, STOPS_WORKSPACE):
            self.results.commit()
            raise error
        self.results.add_problem(error, tuple(decision.day for decision in decisions), is_readable=True)

    def _report_progress(self, done: int, planned: int) -> None:
        workspace = self._context.workspace.id
        self._context.on_progress(Progress(workspace, self.site_url, self.search_type, done, planned))


def _days_in_question(
    context: SyncContext, records: Mapping[date, DayRecord], damage: Collection[date]
) -> list[date]:
    """The days to check: the window, damaged days and, in a sync up to yesterday, older UNSETTLED days.

    Older days are included so that days that failed in an outage longer than the window are read again, and
    so that no day stays provisional after it has left the window.
    """
    days = {*context.window, *damage}
    if _is_up_to_yesterday(context):
        days |= {
            day
            for day, record in records.items()
            if day < context.window.start and record.status in UNSETTLED
        }
    return sorted(days)


def _is_up_to_yesterday(context: SyncContext) -> bool:
    return context.window.end == pacific_today(context.now)
