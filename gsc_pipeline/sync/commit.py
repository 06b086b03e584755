"""Committing what was read: rows first, the ledger after, so that a crash in between costs one re-read.

Belongs here: the order and the bounds of commits. Does not: what the rows and records say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa

from gsc_pipeline.lake.lake import Lake, Target
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION, TableSpec
from gsc_pipeline.sync.ledger import DayRecord, write_ledger
from gsc_pipeline.sync.read import DayRead


@dataclass(slots=True)
class Batch:
    """Days of one property and search type, gathered to be committed together."""

    lake: Lake
    workspace: str
    site_url: str
    search_type: str
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
        recorded = [record.data_date for record in self.records] + self.forgotten
        if recorded:
            write_ledger(self.lake, self._target(recorded), self.records)
        self.reads, self.cleared, self.records, self.forgotten = [], [], [], []

    def _replace(self, table: TableSpec, days: Sequence[date], rows: Sequence[pa.Table]) -> None:
        all_rows = pa.concat_tables(rows) if rows else table.schema.empty_table()
        self.lake.replace(table, self._target(days), all_rows)

    def _target(self, days: Sequence[date]) -> Target:
        return Target(self.workspace, self.site_url, self.search_type, tuple(days))
