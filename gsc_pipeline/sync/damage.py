"""Finds the damaged days of a month whose row counts differ between the ledger and the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import pyarrow.compute as pc

from gsc_pipeline.lake.agreement import Disagreement, counted_rows
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import LEDGER_COUNTS, SYNC_LEDGER, TableSpec
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.sync.ledger import DayRecord, LedgerKey, Status

RESTORE = "restore the lake from a backup, as docs/operations.md says"

_DAY = ("site_url", "search_type", "data_date")
_Key = tuple[str, str, date]
"""A property, a search type and a day."""


@dataclass(frozen=True, slots=True)
class DamagedDay:
    """A day whose row counts differ between the tables and the ledger.

    `held` are the counts in the tables, `claimed` those in the ledger, both by the ledger's column
    (`site_rows`, `url_rows`). `found_at` is the start of the sync that found the difference.
    """

    day: date
    held: Mapping[str, int]
    claimed: Mapping[str, int]
    found_at: datetime

    @property
    def reason(self) -> str:
        """What is wrong, for each table."""
        return "; ".join(
            f"{table.name} holds {self.held[name]} rows of the day, the ledger says {self.claimed[name]}"
            for name, table in LEDGER_COUNTS.items()
            if self.held[name] != self.claimed[name]
        )

    def record(self, known: DayRecord | None) -> DayRecord:
        """The ledger's record with the status failed. Without one, a new record with the held counts."""
        if known is None:
            return DayRecord(
                self.day,
                Status.FAILED,
                site_rows=self.held["site_rows"],
                url_rows=self.held["url_rows"],
                last_read_at=self.found_at,
                reason=self.reason,
            )
        return replace(known, status=Status.FAILED, reason=self.reason)


@dataclass(frozen=True, slots=True)
class DamagedDays:
    """Damaged days by property and search type, and the errors of files that could not be read."""

    days: Mapping[LedgerKey, Mapping[date, DamagedDay]] = field(default_factory=dict)
    unreadable: tuple[DamagedError, ...] = ()

    @property
    def all_days(self) -> set[date]:
        """The damaged days of all properties."""
        return {day for days in self.days.values() for day in days}


def find_damage(lake: Lake, workspace: str, found: Iterable[Disagreement], now: datetime) -> DamagedDays:
    """Find the days that cause a workspace's disagreements.

    A DamagedError becomes part of the result. Raises any other LakeError.
    """
    months = {one.month for one in found}
    days: dict[LedgerKey, dict[date, DamagedDay]] = {}
    unreadable: list[DamagedError] = []
    for month in sorted(months):
        try:
            # A day that another program recorded twice claims both, so that it differs and is read again.
            claimed = counted_rows(
                lake.read(
                    SYNC_LEDGER,
                    columns=[*_DAY, *LEDGER_COUNTS],
                    where=pc.field("month") == month,
                    workspace=workspace,
                ),
                _DAY,
            )
            held = {name: rows_by_day(lake, table, workspace, month) for name, table in LEDGER_COUNTS.items()}
        except DamagedError as error:
            unreadable.append(error)
            continue
        for key in {key for rows in (*claimed.values(), *held.values()) for key in rows}:
            claims, holds = (
                {name: rows[name].get(key, 0) for name in LEDGER_COUNTS} for rows in (claimed, held)
            )
            if claims != holds:
                site_url, search_type, day = key
                days.setdefault((site_url, search_type), {})[day] = DamagedDay(day, holds, claims, now)
    return DamagedDays(days, tuple(unreadable))


def had_queries(lake: Lake, target: Target) -> bool:
    """Whether either table holds a row with a query for the target's days."""
    where = target.condition() & (pc.field("query") != "")
    for table in LEDGER_COUNTS.values():
        rows = lake.read(
            table, columns=["query"], where=where, workspace=target.workspace, months=target.months
        )
        if rows.num_rows:
            return True
    return False


def holds_good_rows(lake: Lake, target: Target, record: DayRecord) -> bool:
    """Whether the tables hold rows of the record's day, as many as it counts, with its totals as their sum.

    A damaged file holds none. Raises any other LakeError.
    """
    if record.totals is None or not record.site_rows:
        return False
    expected: dict[str, tuple[int | None, int | None]] = {
        "site_rows": (record.totals.clicks, record.totals.impressions),
        "url_rows": (record.url_clicks, record.url_impressions),
    }
    for name, table in LEDGER_COUNTS.items():
        try:
            rows = lake.read(
                table,
                columns=["clicks", "impressions"],
                where=target.condition(),
                workspace=target.workspace,
                months=target.months,
            )
        except DamagedError:
            return False
        sums = tuple(pc.sum(rows[measure]).as_py() or 0 for measure in ("clicks", "impressions"))
        # Earlier releases recorded no sums of the URL table.
        if rows.num_rows != getattr(record, name) or expected[name] not in (sums, (None, None)):
            return False
    return True


def rows_by_day(lake: Lake, table: TableSpec, workspace: str, month: str) -> dict[_Key, int]:
    """How many rows a table has of each property, search type and day of a month. Raises LakeError."""
    counts: Counter[_Key] = Counter()
    for rows in lake.read_batches(table, columns=_DAY, workspace=workspace, months=[month]):
        of_batch = rows.group_by(list(_DAY)).aggregate([([], "count_all")])
        for row in of_batch.to_pylist():
            counts[row["site_url"], row["search_type"], row["data_date"]] += row["count_all"]
    return dict(counts)
