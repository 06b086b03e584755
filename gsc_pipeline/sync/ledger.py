"""The ledger: one record per day of a property and search type, the one place that says what is known.

Belongs here: the record, and reading and writing it. Does not: deciding from it (`decide`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from gsc_pipeline.days import Window, month_of
from gsc_pipeline.lake.lake import Guard, Lake, Target, days_between
from gsc_pipeline.lake.schemas import SYNC_LEDGER, WRITING


class Status(StrEnum):
    """How sure a day is. A day that Search Console does not have yet has no record at all."""

    FINAL = "final"
    PROVISIONAL = "provisional"
    EMPTY = "empty"
    FAILED = "failed"
    WRITING = WRITING
    """Its rows are being replaced, or the sync that replaced them ended before it was done."""


UNSETTLED = (Status.FAILED, Status.PROVISIONAL, Status.WRITING)
"""What a sync up to yesterday takes up again, however old the day is."""


@dataclass(frozen=True, slots=True)
class DayTotals:
    """A day's totals for the whole property: position is the average counted from one, None for feeds."""

    clicks: int = 0
    impressions: int = 0
    position: float | None = None

    def is_same(self, other: DayTotals) -> bool:
        """Whether nothing moved: a last digit of the position is a rounding of the wire."""
        if (self.clicks, self.impressions) != (other.clicks, other.impressions):
            return False
        if self.position is None or other.position is None:
            return self.position is other.position
        # Tighter than one position of one impression on any day there is.
        return math.isclose(self.position, other.position, rel_tol=1e-9)


@dataclass(frozen=True, slots=True)
class DayRecord:
    """What is known of one day of one property and search type.

    `totals` are the probe's at the last good read, None when there was none; `url_clicks` and
    `url_impressions` are sums of the URL table's rows. They, the row counts and the read times outlive a
    failure, as the rows do.
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

    def failed(self, reason: str, run_id: str) -> DayRecord:
        """The same record after a failed read: what was known stays known."""
        return replace(self, status=Status.FAILED, reason=reason, run_id=run_id)

    def marked(self, mark: str, run_id: str) -> DayRecord:
        """The same record while a sync replaces the day's rows. `mark` is unique to that replacement."""
        return replace(self, status=Status.WRITING, reason=mark, run_id=run_id)

    @property
    def may_have_rows(self) -> bool:
        """Whether the tables may hold rows of the day."""
        has_data = self.totals is not None and self.totals.impressions > 0
        return has_data or self.site_rows > 0 or self.url_rows > 0 or self.status is Status.WRITING


LedgerKey = tuple[str, str]
"""A property and a search type, as the ledger spells them."""


def read_rows(lake: Lake, workspace: str) -> pa.Table:
    """All of a workspace's rows of the ledger: some hundred days for each property and search type."""
    return lake.read(SYNC_LEDGER, workspace=workspace)


def records_of(
    rows: pa.Table, window: Window, also: Collection[date] = ()
) -> dict[LedgerKey, dict[date, DayRecord]]:
    """Records of a workspace's rows of the ledger, by property and search type, then by day.

    Those of the window's days and of the days in `also`, and those of any other day that is UNSETTLED.
    """
    unsettled = pc.field("status").isin([status.value for status in UNSETTLED])
    where = days_between(window.start, window.last) | unsettled
    if also:
        where |= pc.field("data_date").isin(list(also))
    records: dict[LedgerKey, dict[date, DayRecord]] = {}
    for row in rows.filter(where).to_pylist():
        records.setdefault((row["site_url"], row["search_type"]), {})[row["data_date"]] = _record(row)
    return records


def read_ledger(lake: Lake, workspace: str, window: Window) -> dict[LedgerKey, dict[date, DayRecord]]:
    """A workspace's records of the window's days, and those of any other day that is UNSETTLED."""
    return records_of(read_rows(lake, workspace), window)


def read_records(lake: Lake, target: Target, snapshot: DeltaTable | None = None) -> dict[date, DayRecord]:
    """The records of the target's days, now or in a snapshot of the ledger."""
    where = (
        (pc.field("site_url") == target.site_url)
        & (pc.field("search_type") == target.search_type)
        & pc.field("data_date").isin(list(target.days))
    )
    if snapshot is None:
        rows = lake.read(SYNC_LEDGER, where=where, workspace=target.workspace, months=target.months)
    else:
        rows = lake.read_snapshot(SYNC_LEDGER, snapshot, workspace=target.workspace, where=where)
    return {row["data_date"]: _record(row) for row in rows.to_pylist()}


def write_ledger(
    lake: Lake,
    target: Target,
    records: Iterable[DayRecord],
    guard: Guard | None = None,
    *,
    are_new: bool = False,
) -> int:
    """Put the records in the place of those of the target's days. A day without a record loses its own.

    Records that `are_new`, of days without one, are added: that takes a quarter of the time. Returns the
    ledger's version after the commit.
    """
    rows = [
        {
            **{name: value for name, value in asdict(record).items() if name != "totals"},
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
    table = pa.Table.from_pylist(rows, schema=SYNC_LEDGER.schema)
    if are_new:
        return lake.append(SYNC_LEDGER, table, guard)
    return lake.replace(SYNC_LEDGER, target, table, guard)


def _record(row: Mapping[str, object]) -> DayRecord:
    values = {name: row[name] for name in DayRecord.__dataclass_fields__ if name != "totals"}
    known = row["clicks"] is not None
    totals = DayTotals(row["clicks"], row["impressions"], row["position"]) if known else None  # type: ignore[arg-type]
    return DayRecord(**{**values, "status": Status(str(row["status"]))}, totals=totals)  # type: ignore[arg-type]
