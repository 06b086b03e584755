"""Reads days of a table that `more_ledger` records, and commits the rows together with the records."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Window, month_of
from gsc_pipeline.lake.agreement import compare
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.search_console.errors import DEFERRED, SearchConsoleError
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.damage import rows_by_day
from gsc_pipeline.sync.day_order import GIVE_UP_AFTER, STOPS_WORKSPACE, place_in_run
from gsc_pipeline.sync.decide import Decision
from gsc_pipeline.sync.grains import Grain
from gsc_pipeline.sync.ledger import DayRecord, Ledger, LedgerKey, Source, Status, all_records, read_rows
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.sync.report import Progress
from gsc_pipeline.sync.tables.runner import TableContext, TaskResult

COMMIT_DAYS = 10
"""The most days of a commit. A sync that is killed reads at most so many days again."""


@dataclass(frozen=True, slots=True)
class TableDay:
    """One day as read: its rows at both grains, whether the API cut some off, and the calls for them."""

    rows: pa.Table
    truncated: bool
    api_calls: int
    source: Source | None = None

    def rows_of(self, table: TableSpec) -> pa.Table:
        """The day's rows. A ledger of `more_ledger` counts one table."""
        return self.rows


@dataclass(frozen=True, slots=True)
class KnownDays:
    """The days of one property and search type.

    `in_ledger` are the records in the ledger, `records` those of which the table holds as many rows as they
    count, `held` the days of which it may hold rows.
    """

    in_ledger: Mapping[date, DayRecord] = field(default_factory=dict)
    records: Mapping[date, DayRecord] = field(default_factory=dict)
    held: frozenset[date] = frozenset()


def read_known(context: TableContext, table: TableSpec, window: Window) -> Callable[[LedgerKey], KnownDays]:
    """What is known of the days of each property and search type of the workspace. Raises LakeError.

    The rows of a month of the window are counted if its records claim another number than the table's log.
    Rows of release 0.2.0 have no records.
    """
    ledger, workspace = Ledger.of(table), context.workspace.id
    rows = read_rows(context.lake, workspace, ledger)
    counts = rows.append_column("rows", pc.add(rows["site_rows"], rows["url_rows"]))
    wanted = {month_of(day) for day in window}
    months = {one.month for one in compare(context.lake, counts, workspace, {"rows": table})} & wanted
    counted: dict[tuple[str, str, date], int] = {}
    for month in sorted(months):
        try:
            counted |= rows_by_day(context.lake, table, workspace, month)
        except DamagedError:
            # The commit of a day of this month finds the damage again, and reports it.
            months.discard(month)
    in_ledger = all_records(rows)

    def known(key: LedgerKey) -> KnownDays:
        all_of = {record.data_date: record for record in in_ledger.get(key, ())}
        held = {day for (*of, day) in counted if tuple(of) == key}
        # A day with data can be without search appearances, so its totals do not matter here.
        held |= {
            day
            for day, record in all_of.items()
            if record.site_rows or record.url_rows or record.status is Status.WRITING
        }
        return KnownDays(
            all_of,
            {
                day: record
                for day, record in all_of.items()
                if month_of(day) not in months
                or counted.get((*key, day), 0) == record.site_rows + record.url_rows
            },
            frozenset(held),
        )

    return known


class TableDays:
    """Reads and commits days of one property and search type; the result counts what was done."""

    def __init__(
        self,
        context: TableContext,
        table: TableSpec,
        result: TaskResult,
        in_ledger: Mapping[date, DayRecord],
    ) -> None:
        self._context, self._table, self._result = context, table, result
        self._batch = Batch(
            context.lake,
            context.workspace.id,
            result.site_url,
            result.search_type,
            context.run_id,
            dict(in_ledger),
            ledger=Ledger.of(table),
        )

    def read(
        self,
        decisions: Sequence[Decision],
        read: Callable[[Decision], TableDay | None],
        *,
        may_continue: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Read and commit days in this order. `read` returns None for a day whose rows stay as they are.

        A day whose call fails is reported, and the next sync reads it. The days after it follow in an order
        that differs from run to run, so that days that always fail keep no other from being read for ever.
        After GIVE_UP_AFTER days that failed in a row the remaining days are skipped, and False is returned.
        The days that `may_continue` does not allow are left. Raises the errors of DEFERRED and
        STOPS_WORKSPACE; the days read before them are committed.
        """
        try:
            is_done = self._read(decisions, read, may_continue)
        except SearchConsoleError:
            self.commit()
            raise
        self.commit()
        return is_done

    def clear(self, decisions: Sequence[Decision], held: frozenset[date]) -> None:
        """Record days without data, and remove the rows of those that are `held`."""
        for decision in decisions:
            day = decision.day
            if day in held:
                self._batch.cleared.add(day)
            self._batch.records[day] = DayRecord(
                day, decision.status, decision.totals, reason=decision.reason, run_id=self._context.run_id
            )
        self.commit()

    def commit(self) -> None:
        """Commit the days that were read. Raises LakeError."""
        rows = {day: read.rows_of(self._table).num_rows for day, read in self._batch.reads.items()}
        done = self._batch.commit()
        for day in rows.keys() - done.damaged.keys():
            if day in done.overtaken:
                self._result.unchanged += 1
            else:
                self._result.read += 1
                self._result.rows += rows[day]
        for error in dict.fromkeys(done.damaged.values()):
            days = tuple(sorted(day for day, its_error in done.damaged.items() if its_error is error))
            problem = Problem(str(error), self._result.site_url, self._result.search_type, days)
            self._result.problems.append(problem)

    def _read(
        self,
        decisions: Sequence[Decision],
        read: Callable[[Decision], TableDay | None],
        may_continue: Callable[[], bool],
    ) -> bool:
        failed_in_a_row = 0
        left = deque(decisions)
        while left:
            if not may_continue():
                self._result.left += len(left)
                return True
            self._report_progress(len(decisions) - len(left), len(decisions))
            decision = left.popleft()
            try:
                self._take(decision, read(decision))
                failed_in_a_row = 0
            except (*DEFERRED, *STOPS_WORKSPACE):
                raise
            except SearchConsoleError as error:
                failed_in_a_row += 1
                self._result.add_problem(error, (decision.day,))
                if failed_in_a_row == GIVE_UP_AFTER:
                    return False
                left = deque(sorted(left, key=lambda one: place_in_run(one.day, self._context.run_id)))
            if len(self._batch.reads) >= COMMIT_DAYS or self._batch.rows >= self._context.commit_rows:
                self.commit()
        self._report_progress(len(decisions), len(decisions))
        return True

    def _take(self, decision: Decision, read: TableDay | None) -> None:
        if read is None:
            self._result.unchanged += 1
            return
        by_property = read.rows.filter(pc.field("grain") == Grain.PROPERTY.value).num_rows
        before = self._batch.known.get(decision.day)
        now = self._context.now
        self._batch.reads[decision.day] = read
        self._batch.records[decision.day] = DayRecord(
            decision.day,
            decision.status,
            decision.totals,
            site_rows=by_property,
            url_rows=read.rows.num_rows - by_property,
            truncated=read.truncated,
            first_read_at=(before.first_read_at if before else None) or now,
            last_read_at=now,
            api_calls=read.api_calls,
            reason=decision.reason,
            run_id=self._context.run_id,
        )

    def _report_progress(self, done: int, planned: int) -> None:
        where = (self._context.workspace.id, self._result.site_url, self._result.search_type)
        self._context.on_progress(Progress(*where, done, planned, self._table.name))
