"""The ledgers: one record per day of a property and search type. Reads and writes the records."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from gsc_pipeline.days import Window, month_of, pacific_today
from gsc_pipeline.lake.lake import CommitGuard, Lake, days_between, sql_text
from gsc_pipeline.lake.schemas import (
    LEDGER_COUNTS,
    MORE_LEDGER,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    URL_IMPRESSION,
    WRITING,
    TableSpec,
)
from gsc_pipeline.lake.targets import RowSelection, Target


class Status(StrEnum):
    """The status of a day. A day that Search Console does not have yet has no record."""

    FINAL = "final"
    PROVISIONAL = "provisional"
    EMPTY = "empty"
    FAILED = "failed"
    WRITING = WRITING
    """The day's rows are being replaced, or the sync that replaced them was interrupted."""


class Source(StrEnum):
    """Where the rows of a day are from."""

    API = "api"
    BULK_EXPORT = "bulk_export"


MOST_ROWS_TO_GO_ON = 1_000_000
"""With more rows in both tables, to ask for more parts of a day would take over 600 MB of memory."""

UNSETTLED = (Status.FAILED, Status.PROVISIONAL, Status.WRITING)
"""Statuses of days that a sync up to yesterday checks again, however old they are."""


@dataclass(frozen=True, slots=True)
class DayTotals:
    """The totals of a property on one day. `position` is the average, counted from one; None for feeds."""

    clicks: int = 0
    impressions: int = 0
    position: float | None = None

    def __str__(self) -> str:
        position = "" if self.position is None else f" at position {self.position:.2f}"
        return f"{self.clicks} clicks, {self.impressions} impressions{position}"

    def is_same(self, other: DayTotals) -> bool:
        """Whether the totals are equal, except for a rounding of the position's last digit."""
        if (self.clicks, self.impressions) != (other.clicks, other.impressions):
            return False
        if self.position is None or other.position is None:
            return self.position is other.position
        # The tolerance is smaller than the effect of one impression on any real day's average position.
        return math.isclose(self.position, other.position, rel_tol=1e-9)


@dataclass(frozen=True, slots=True)
class DayRecord:
    """The state of one day of one property and search type.

    `totals` are the probe's totals at the last successful read; None if there was none. `url_clicks` and
    `url_impressions` are sums of the URL table's rows, `anonymised_…` and `cut_…` of the site table's rows
    without a query: named, anonymised and cut together are the day's totals. `lacks_pages`: pages are missing
    in the URL table, because the API cut them off. A failed read changes neither the rows nor these fields,
    the row counts and the read times. `part_calls` are the calls for parts of cut answers on the Pacific day
    of `last_read_at`; `parts_left`: some were not asked for. `source` is a `Source`; None where an earlier
    release wrote the record, which read the API.
    """

    data_date: date
    status: Status
    totals: DayTotals | None = None
    site_rows: int = 0
    url_rows: int = 0
    truncated: bool = False
    first_read_at: datetime | None = None
    last_read_at: datetime | None = None
    api_calls: int = 0
    reason: str = ""
    run_id: str = ""
    url_clicks: int | None = None
    url_impressions: int | None = None
    source: str | None = None
    anonymised_clicks: int | None = None
    anonymised_impressions: int | None = None
    cut_clicks: int | None = None
    cut_impressions: int | None = None
    lacks_pages: bool | None = None
    part_calls: int | None = None
    parts_left: bool | None = None

    def failed(self, reason: str, run_id: str) -> DayRecord:
        """The same record after a failed read. Only status, reason and run change."""
        return replace(self, status=Status.FAILED, reason=reason, run_id=run_id)

    def marked(self, mark: str, run_id: str) -> DayRecord:
        """The same record while a sync replaces the day's rows. `mark` identifies that replacement."""
        return replace(self, status=Status.WRITING, reason=mark, run_id=run_id)

    def part_calls_on(self, day: date) -> int:
        """The calls for parts of cut answers that were sent on a Pacific day."""
        is_of_day = self.last_read_at is not None and pacific_today(self.last_read_at) == day
        return (self.part_calls or 0) if is_of_day else 0

    @property
    def has_parts_left(self) -> bool:
        """Whether a later sync may ask for more parts of the day."""
        is_left = bool(self.parts_left) and self.status is Status.FINAL and not self.is_from_export
        return is_left and self.site_rows + self.url_rows <= MOST_ROWS_TO_GO_ON

    @property
    def is_from_export(self) -> bool:
        """Whether the day's rows are from the bulk export, and complete."""
        return self.source == Source.BULK_EXPORT and self.status is Status.FINAL

    @property
    def may_have_rows(self) -> bool:
        """Whether the tables may hold rows of the day."""
        has_data = self.totals is not None and self.totals.impressions > 0
        return has_data or self.site_rows > 0 or self.url_rows > 0 or self.status is Status.WRITING


LedgerKey = tuple[str, str]
"""A property and a search type, as in the ledger."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The records of days in `table`, and the tables whose rows they count.

    `more_ledger` has the records of several tables: those of one `name` are a ledger of their own.
    """

    table: TableSpec
    counted: tuple[TableSpec, ...]
    name: str = ""

    @classmethod
    def of(cls, counted: TableSpec) -> Ledger:
        """The part of `more_ledger` with the days of one table."""
        return cls(MORE_LEDGER, (counted,), counted.name)

    def selection(self, target: Target) -> RowSelection:
        """The records of the target's days, as the target of a replacement."""
        return _NamedRecords(target, self.name) if self.name else target

    def condition(self) -> pc.Expression:
        """The condition for the records of this ledger among the rows of its table."""
        return pc.field("table_name") == self.name if self.name else pc.scalar(True)

    def fence(self, workspace: str, site_url: str, search_type: str) -> str:
        """The name of the commits to days of a property and search type, for CommitGuard."""
        return "|".join([workspace, site_url, search_type, *([self.name] if self.name else [])])


@dataclass(frozen=True, slots=True)
class _NamedRecords:
    target: Target
    name: str

    @property
    def workspace(self) -> str:
        return self.target.workspace

    def predicate(self) -> str:
        return f"{self.target.predicate()} AND table_name = {sql_text(self.name)}"


SEARCH_DATA = Ledger(SYNC_LEDGER, (SITE_IMPRESSION, URL_IMPRESSION))
"""The ledger of the two large tables."""


def read_rows(lake: Lake, workspace: str, ledger: Ledger = SEARCH_DATA) -> pa.Table:
    """All ledger rows of a workspace: some hundred days for each property and search type."""
    where = ledger.condition() if ledger.name else None
    return lake.read(ledger.table, where=where, workspace=workspace)


def records_of(
    rows: pa.Table, window: Window, also: Collection[date] = ()
) -> dict[LedgerKey, dict[date, DayRecord]]:
    """The records in a workspace's ledger rows, by property and search type, then by day.

    Includes the window's days, the days in `also`, and any other day that is UNSETTLED.
    """
    unsettled = pc.field("status").isin([status.value for status in UNSETTLED])
    where = days_between(window.start, window.last) | unsettled
    if also:
        where |= pc.field("data_date").isin(list(also))
    found = all_records(rows.filter(where))
    return {key: {record.data_date: record for record in records} for key, records in found.items()}


def cut_records(rows: pa.Table) -> dict[LedgerKey, list[DayRecord]]:
    """The records of the days whose cut answers were asked for in parts, or may be."""
    return all_records(rows.filter((pc.field("part_calls") > 0) | pc.field("parts_left")))


def all_records(rows: pa.Table) -> dict[LedgerKey, list[DayRecord]]:
    """All records in a workspace's ledger rows, by property and search type."""
    records: dict[LedgerKey, list[DayRecord]] = {}
    for row in rows.to_pylist():
        records.setdefault((row["site_url"], row["search_type"]), []).append(_record(row))
    return records


def read_records(
    lake: Lake, target: Target, snapshot: DeltaTable | None = None, ledger: Ledger = SEARCH_DATA
) -> dict[date, DayRecord]:
    """The records of the target's days, in the current ledger or in a snapshot of its table."""
    where = ledger.condition() & target.condition()
    if snapshot is None:
        rows = lake.read(ledger.table, where=where, workspace=target.workspace, months=target.months)
    else:
        rows = lake.read_snapshot(ledger.table, snapshot, workspace=target.workspace, where=where)
    return {row["data_date"]: _record(row) for row in rows.to_pylist()}


def write_ledger(
    lake: Lake,
    target: Target,
    records: Iterable[DayRecord],
    guard: CommitGuard | None = None,
    *,
    are_new: bool = False,
    ledger: Ledger = SEARCH_DATA,
) -> int:
    """Replace the records of the target's days. A day of the target without a new record loses its record.

    `are_new`: none of the days has a record yet, so the records are appended, which takes a quarter of the
    time of a replacement. Returns the ledger's version after the commit.
    """
    rows = [
        {
            **{name: value for name, value in asdict(record).items() if name != "totals"},
            "table_name": ledger.name,
            "workspace": target.workspace,
            "site_url": target.site_url,
            "search_type": target.search_type,
            "month": month_of(record.data_date),
            "clicks": record.totals.clicks if record.totals else None,
            "impressions": record.totals.impressions if record.totals else None,
            "position": record.totals.position if record.totals else None,
        }
        for record in records
    ]
    # A ledger has only the columns of DayRecord that its schema names.
    table = pa.Table.from_pylist(rows, schema=ledger.table.schema)
    if are_new:
        return lake.append(ledger.table, table, guard)
    return lake.replace(ledger.table, ledger.selection(target), table, guard)


_STATUSES = frozenset(Status)


def _record(row: Mapping[str, object]) -> DayRecord:
    values = {name: row[name] for name in DayRecord.__dataclass_fields__ if name in row}
    known = row["clicks"] is not None
    totals = DayTotals(row["clicks"], row["impressions"], row["position"]) if known else None  # type: ignore[arg-type]
    counts = {name: row[name] or 0 for name in LEDGER_COUNTS}
    # A status that another program wrote, or no count, is no reason to trust the day: it is read again.
    is_known = row["status"] in _STATUSES and None not in (row[name] for name in LEDGER_COUNTS)
    status = Status(str(row["status"])) if is_known else Status.FAILED
    return DayRecord(**{**values, **counts, "status": status}, totals=totals)  # type: ignore[arg-type]
