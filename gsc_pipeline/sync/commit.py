"""Commits the days that were read, so that a disagreement of ledger and tables is always detected.

The protocol (docs/decisions/0001-write-protocol.md) has three steps: mark the days in the ledger as being
written, replace the rows of its tables, replace the marks by the new records. Each replacement takes a
snapshot of the table, checks that the ledger still has this sync's mark, and commits. Every commit carries a
transaction id of the property and search type, so Delta Lake refuses a commit on an outdated snapshot. The
mark is then checked again before the next attempt.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

import pyarrow as pa
from deltalake import DeltaTable

from gsc_pipeline.days import month_of
from gsc_pipeline.lake.arrow_process import release_memory
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import CommitGuard, Lake
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.sync.ledger import (
    SEARCH_DATA,
    DayRecord,
    Ledger,
    Source,
    Status,
    read_records,
    write_ledger,
)


class ReadDay(Protocol):
    """A day as read, with its rows in each table of its ledger. `source` is None if the ledger has none."""

    @property
    def source(self) -> Source | None:
        """Where the rows are from."""

    def rows_of(self, table: TableSpec) -> pa.Table:
        """The day's rows in a table."""


LARGE_ROWS = 100_000
"""A batch of so many rows is written with as little memory as possible."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The days that were not committed: another sync wrote them meanwhile, or their files are damaged.

    `overtaken` has the other sync's record of each day, or None if it removed the record.
    """

    overtaken: Mapping[date, DayRecord | None] = field(default_factory=dict)
    damaged: Mapping[date, DamagedError] = field(default_factory=dict)


class _OvertakenError(Exception):
    """Another sync has changed the records of some days."""

    def __init__(self, records: Mapping[date, DayRecord | None]) -> None:
        super().__init__()
        self.records = records


@dataclass(slots=True)
class Batch:
    """Days of one property and search type that are committed together.

    `known` has the records of these days as this sync last read or wrote them. If a day's record in the
    ledger differs, another sync has written the day. The batch then changes neither the day's rows nor its
    record.
    """

    lake: Lake
    workspace: str
    site_url: str
    search_type: str
    run_id: str
    known: dict[date, DayRecord] = field(default_factory=dict)
    reads: dict[date, ReadDay] = field(default_factory=dict)
    cleared: set[date] = field(default_factory=set)
    completed: dict[date, pa.Table] = field(default_factory=dict)
    """New rows of the URL table alone."""
    records: dict[date, DayRecord] = field(default_factory=dict)
    forgotten: set[date] = field(default_factory=set)
    ledger: Ledger = SEARCH_DATA
    _checked: tuple[int, frozenset[date]] = (-1, frozenset())
    """A version of the ledger, and the days whose records in that version equal those in `known`."""
    _overtaken: dict[date, DayRecord | None] = field(default_factory=dict)
    _damaged: dict[date, DamagedError] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows held in memory, of all tables."""
        tables = self.ledger.counted
        read = [read.rows_of(table) for read in self.reads.values() for table in tables]
        return sum(rows.num_rows for rows in (*read, *self.completed.values()))

    def commit(self) -> Committed:
        """Write the batch and empty it. Raises LakeError."""
        if replaced := self.reads.keys() | self.cleared | self.completed.keys():
            self._replace_all(replaced)
        self._complete()
        done = Committed(self._overtaken, self._damaged)
        self.cleared, self.records, self.forgotten = set(), {}, set()
        self._overtaken, self._damaged = {}, {}
        return done

    def _replace_all(self, days: Collection[date]) -> None:
        """Replace the rows of the days in each table, and let go of them."""
        is_large = self.rows >= LARGE_ROWS
        marked = self._mark(days)
        # Completed days have new rows in the last table, and keep those of the others.
        completed = marked & self.completed.keys()
        *others, last = self.ledger.counted
        rows = {
            table: {day: read.rows_of(table) for day, read in self.reads.items()}
            for table in self.ledger.counted
        }
        rows[last] |= self.completed
        self.reads, self.completed = {}, {}
        written = [marked - completed]
        for table in others:
            _release(is_large)
            # Of a large day they take as much memory as writing the next table.
            written.append(self._replace(table, written[-1], rows.pop(table)))
        _release(is_large)
        written.append(self._replace(last, written[-1] | completed, rows.pop(last)))
        self._fail_damaged(written[1])
        _release(is_large)

    def _mark(self, days: Collection[date]) -> set[date]:
        mark = f"being written (mark {uuid.uuid4().hex[:12]})"

        def write(left: set[date]) -> None:
            marks = {day: self._marked(day, mark) for day in left}
            self._write_ledger(left, marks)
            self.known.update(marks)

        return self._for_each_still_ours(days, write)

    def _replace(self, table: TableSpec, days: Collection[date], rows: Mapping[date, pa.Table]) -> set[date]:
        def write(left: set[date]) -> None:
            parts = [rows[day] for day in sorted(left) if day in rows]
            all_rows = pa.concat_tables(parts) if parts else table.schema.empty_table()
            # The order matters: the snapshot of the table, the check of the mark, the commit.
            guard = self._guard(left, lambda _: self.lake.open(self.ledger.table))
            self.lake.replace(table, self._target(left), all_rows, guard)

        return self._for_each_still_ours(days, write)

    def _fail_damaged(self, in_first: Collection[date]) -> None:
        """Record days in damaged files as failed. Days `in_first` have new rows in the first table."""
        for day, error in self._damaged.items():
            record = self._known(day).failed(str(error), self.run_id)
            if day in in_first:
                found = self.records.get(day)
                record = replace(record, site_rows=found.site_rows if found else 0)
            self.records[day] = record

    def _complete(self) -> None:
        def write(left: set[date]) -> None:
            records = {day: self.records[day] for day in left if day in self.records}
            self._write_ledger(left, records)
            self.known = {day: record for day, record in self.known.items() if day not in left} | records

        days = (self.records.keys() | self.forgotten) - self._overtaken.keys()
        self._for_each_still_ours(days, write)

    def _write_ledger(self, days: Collection[date], records: Mapping[date, DayRecord]) -> None:
        guard = self._guard(days, lambda ledger: ledger)
        # The guard checks that days without a known record have none in the ledger.
        are_new = not any(day in self.known for day in days)
        version = write_ledger(
            self.lake, self._target(days), records.values(), guard, are_new=are_new, ledger=self.ledger
        )
        # No other guarded commit lies between the snapshot and this commit.
        self._checked = version, frozenset(days)

    def _for_each_still_ours(self, days: Collection[date], write: Callable[[set[date]], None]) -> set[date]:
        """Write the days, except those that another sync has written or whose files are damaged.

        Returns the days written.
        """
        left = set(days)
        while left:
            try:
                write(left)
                return left
            except _OvertakenError as error:
                self._overtaken.update(error.records)
                self._take_over(error.records)
                left -= error.records.keys()
            except DamagedError as error:
                damaged = {day for day in left if error.month in ("", month_of(day))}
                if error.table == self.ledger.table.name or not damaged:
                    raise
                self._damaged.update(dict.fromkeys(damaged, error))
                left -= damaged
        return left

    def _take_over(self, records: Mapping[date, DayRecord | None]) -> None:
        for day, record in records.items():
            if record is None:
                self.known.pop(day, None)
            else:
                self.known[day] = record

    def _guard(self, days: Collection[date], ledger_of: Callable[[DeltaTable], DeltaTable]) -> CommitGuard:
        """Allows a commit only if the ledger's records of these days are those in `known`."""

        def check(snapshot: DeltaTable) -> None:
            ledger = ledger_of(snapshot)
            # Every change of a record is a commit, so an unchanged version needs no read.
            version, checked = self._checked
            if ledger.version() == version and checked.issuperset(days):
                return
            now = read_records(self.lake, self._target(days), ledger, self.ledger)
            changed = {day: now.get(day) for day in days if now.get(day) != self.known.get(day)}
            if changed:
                raise _OvertakenError(changed)
            self._checked = ledger.version(), frozenset(days)

        return CommitGuard(self.ledger.fence(self.workspace, self.site_url, self.search_type), check)

    def _marked(self, day: date, mark: str) -> DayRecord:
        marked = self._known(day).marked(mark, self.run_id)
        return replace(marked, source=self.reads[day].source) if day in self.reads else marked

    def _known(self, day: date) -> DayRecord:
        return self.known.get(day) or DayRecord(day, Status.WRITING)

    def _target(self, days: Collection[date]) -> Target:
        return Target(self.workspace, self.site_url, self.search_type, tuple(sorted(days)))


def _release(is_large: bool) -> None:
    if is_large:
        release_memory()
