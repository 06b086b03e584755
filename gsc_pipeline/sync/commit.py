"""Commits what was read of one property and search type, so that ledger and tables never disagree unnoticed.

The protocol (docs/decisions/0001-write-protocol.md): mark the days as being written in the ledger, replace
the rows of both tables on snapshots in which the mark still stands, then complete the ledger over the mark.
Every commit carries a transaction id of the property and search type, so a commit made on an outdated
snapshot is refused, and the mark is looked at again before the next try.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import pyarrow as pa
from deltalake import DeltaTable

from gsc_pipeline.days import month_of
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Guard, Lake, Target
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION, TableSpec
from gsc_pipeline.sync.ledger import DayRecord, Status, read_records, write_ledger
from gsc_pipeline.sync.read import DayRead


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit could not do: days that another sync wrote meanwhile, and days in damaged files.

    `overtaken` has the other sync's record of each day, None where it removed the record.
    """

    overtaken: Mapping[date, DayRecord | None] = field(default_factory=dict)
    damaged: Mapping[date, DamagedError] = field(default_factory=dict)


class _OvertakenError(Exception):
    """The records of some days are no longer those that this sync knows."""

    def __init__(self, records: Mapping[date, DayRecord | None]) -> None:
        super().__init__()
        self.records = records


@dataclass(slots=True)
class Batch:
    """Days of one property and search type, gathered to be committed together.

    `known` are the ledger's records of them, kept up to date with what is committed. A day whose record
    has changed otherwise belongs to another sync: this one leaves its rows and record as they are.
    """

    lake: Lake
    workspace: str
    site_url: str
    search_type: str
    run_id: str
    known: dict[date, DayRecord] = field(default_factory=dict)
    reads: dict[date, DayRead] = field(default_factory=dict)
    cleared: set[date] = field(default_factory=set)
    records: dict[date, DayRecord] = field(default_factory=dict)
    forgotten: set[date] = field(default_factory=set)
    _checked: tuple[int, frozenset[date]] = (-1, frozenset())
    """A version of the ledger, and the days whose records are known to be those that it holds."""
    _overtaken: dict[date, DayRecord | None] = field(default_factory=dict)
    _damaged: dict[date, DamagedError] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows held in memory for both tables."""
        return sum(read.site_rows.num_rows + read.url_rows.num_rows for read in self.reads.values())

    def commit(self) -> Committed:
        """Write everything gathered, and empty the batch. Raises LakeError where the lake is at fault."""
        if replaced := self.reads.keys() | self.cleared:
            marked = self._mark(replaced)
            in_site = self._replace(SITE_IMPRESSION, marked, lambda read: read.site_rows)
            self._replace(URL_IMPRESSION, in_site, lambda read: read.url_rows)
            self._fail_damaged(in_site)
        self._complete()
        done = Committed(self._overtaken, self._damaged)
        self.reads, self.cleared, self.records, self.forgotten = {}, set(), {}, set()
        self._overtaken, self._damaged = {}, {}
        return done

    def _mark(self, days: Collection[date]) -> set[date]:
        mark = f"being written (mark {uuid.uuid4().hex[:12]})"

        def write(left: set[date]) -> None:
            marks = {day: self._known(day).marked(mark, self.run_id) for day in left}
            self._write_ledger(left, marks)
            self.known.update(marks)

        return self._for_each_still_ours(days, write)

    def _replace(
        self, table: TableSpec, days: Collection[date], rows_of: Callable[[DayRead], pa.Table]
    ) -> set[date]:
        def write(left: set[date]) -> None:
            rows = [rows_of(self.reads[day]) for day in sorted(left) if day in self.reads]
            all_rows = pa.concat_tables(rows) if rows else table.schema.empty_table()
            # The snapshot of the table comes first, then this look at the mark, then the commit.
            guard = self._guard(left, lambda _: self.lake.open(SYNC_LEDGER))
            self.lake.replace(table, self._target(left), all_rows, guard)

        return self._for_each_still_ours(days, write)

    def _fail_damaged(self, in_site: Collection[date]) -> None:
        """Record days in damaged files as failed; those `in_site` have new rows in the site table already."""
        for day, error in self._damaged.items():
            record = self._known(day).failed(str(error), self.run_id)
            if day in in_site:
                rows = self.reads[day].site_rows.num_rows if day in self.reads else 0
                record = replace(record, site_rows=rows)
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
        # The guard's check is what makes sure that days without a known record have none.
        are_new = not any(day in self.known for day in days)
        version = write_ledger(self.lake, self._target(days), records.values(), guard, are_new=are_new)
        # Nobody else's guarded commit lies between the snapshot and this one.
        self._checked = version, frozenset(days)

    def _for_each_still_ours(self, days: Collection[date], write: Callable[[set[date]], None]) -> set[date]:
        """Write the days, without those that turn out to be another sync's or to lie in damaged files."""
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
                if error.table == SYNC_LEDGER.name or not damaged:
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

    def _guard(self, days: Collection[date], ledger_of: Callable[[DeltaTable], DeltaTable]) -> Guard:
        """Lets a commit pass while the ledger's records of these days are those that are known."""

        def check(snapshot: DeltaTable) -> None:
            ledger = ledger_of(snapshot)
            # Every change of a record is a commit, so there is nothing to read where there was none.
            version, checked = self._checked
            if ledger.version() == version and checked.issuperset(days):
                return
            now = read_records(self.lake, self._target(days), ledger)
            changed = {day: now.get(day) for day in days if now.get(day) != self.known.get(day)}
            if changed:
                raise _OvertakenError(changed)
            self._checked = ledger.version(), frozenset(days)

        return Guard(f"{self.workspace}|{self.site_url}|{self.search_type}", check)

    def _known(self, day: date) -> DayRecord:
        return self.known.get(day) or DayRecord(day, Status.WRITING)

    def _target(self, days: Collection[date]) -> Target:
        return Target(self.workspace, self.site_url, self.search_type, tuple(sorted(days)))
