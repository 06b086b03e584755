"""Committing what was read: rows first, the ledger after, so that a crash in between costs one re-read.

Belongs here: the order and the bounds of commits. Does not: what the rows and records say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa

from gsc_pipeline.lake.lake import Lake, Target
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION, TableSpec
from gsc_pipeline.sync.ledger import DayRecord, Status, read_records, write_ledger
from gsc_pipeline.sync.read import DayRead


@dataclass(slots=True)
class Batch:
    """Days of one property and search type, gathered to be committed together.

    `known` is what the ledger says of them, kept up with what is committed.
    """

    lake: Lake
    workspace: str
    site_url: str
    search_type: str
    known: Mapping[date, DayRecord] = field(default_factory=dict)
    reads: list[DayRead] = field(default_factory=list)
    cleared: list[date] = field(default_factory=list)
    records: list[DayRecord] = field(default_factory=list)
    forgotten: list[date] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows held in memory for both tables."""
        return sum(read.site_rows.num_rows + read.url_rows.num_rows for read in self.reads)

    def commit(self) -> None:
        """Write everything gathered and start anew: both tables, then the ledger. LakeError on failure."""
        replaced = [read.day for read in self.reads] + self.cleared
        if replaced:
            self._replace(SITE_IMPRESSION, replaced, [read.site_rows for read in self.reads])
            self._replace(URL_IMPRESSION, replaced, [read.url_rows for read in self.reads])
        if self.records or self.forgotten:
            self._write_ledger()
        self.reads, self.cleared, self.records, self.forgotten = [], [], [], []

    def _write_ledger(self) -> None:
        """Write the records, minding those that another sync has written since this one began.

        A failure here says nothing about a day that was read there. A day that both have read with
        different numbers is to be read again: the rows in the table may be the other's.
        """
        days = [record.data_date for record in self.records] + self.forgotten
        now = read_records(self.lake, self._target(days))
        foreign = {day: record for day, record in now.items() if self._is_foreign(record)}
        records = [
            record.contested() if _differs(record, foreign.get(record.data_date)) else record
            for record in self.records
            if record.status is not Status.FAILED or record.data_date not in foreign
        ]
        written = [record.data_date for record in records] + [d for d in self.forgotten if d not in foreign]
        if written:
            write_ledger(self.lake, self._target(written), records)
        others = {day: record for day, record in {**self.known, **now}.items() if day not in written}
        self.known = {**others, **{record.data_date: record for record in records}}

    def _is_foreign(self, record: DayRecord) -> bool:
        known = self.known.get(record.data_date)
        return known is None or known.run_id != record.run_id

    def _replace(self, table: TableSpec, days: Sequence[date], rows: Sequence[pa.Table]) -> None:
        all_rows = pa.concat_tables(rows) if rows else table.schema.empty_table()
        self.lake.replace(table, self._target(days), all_rows)

    def _target(self, days: Sequence[date]) -> Target:
        return Target(self.workspace, self.site_url, self.search_type, tuple(days))


def _differs(record: DayRecord, foreign: DayRecord | None) -> bool:
    """Whether another sync has read other numbers of the same day."""
    if foreign is None or foreign.totals is None or record.totals is None:
        return False
    same_rows = (foreign.site_rows, foreign.url_rows) == (record.site_rows, record.url_rows)
    return not (same_rows and foreign.totals.is_same(record.totals))
