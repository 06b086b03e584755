"""Finds the days whose rows the tables do not hold as the ledger claims, once their month disagrees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import pyarrow.compute as pc

from gsc_pipeline.lake.agreement import Disagreement
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake, Target
from gsc_pipeline.lake.schemas import CLAIMS, SYNC_LEDGER, TableSpec
from gsc_pipeline.sync.ledger import DayRecord, LedgerKey, Status

RESTORE = "restore the lake from a backup, as docs/operations.md says"

_Key = tuple[str, str, date]
"""A property, a search type and a day."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One day's rows as the tables hold them, and what the ledger says of them.

    `found_at` is the moment of the sync that found it.
    """

    day: date
    held: Mapping[str, int]
    claimed: Mapping[str, int]
    found_at: datetime

    @property
    def reason(self) -> str:
        """What is wrong, table by table."""
        return "; ".join(
            f"{table.name} holds {self.held[name]} rows of the day, the ledger says {self.claimed[name]}"
            for name, table in CLAIMS.items()
            if self.held[name] != self.claimed[name]
        )

    def record(self, known: DayRecord | None) -> DayRecord:
        """The ledger's record with the day failed; for rows without a record one that counts them."""
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
class Damages:
    """Damaged days by property and search type; and the files that could not be looked into."""

    days: Mapping[LedgerKey, Mapping[date, Damage]] = field(default_factory=dict)
    unreadable: tuple[DamagedError, ...] = ()

    @property
    def all_days(self) -> set[date]:
        """The damaged days of all properties."""
        return {day for days in self.days.values() for day in days}


def find_damage(lake: Lake, workspace: str, found: Iterable[Disagreement], now: datetime) -> Damages:
    """The days of a workspace behind its disagreements. Raises LakeError, except where files are damaged."""
    months = {one.month for one in found}
    days: dict[LedgerKey, dict[date, Damage]] = {}
    unreadable: list[DamagedError] = []
    for month in sorted(months):
        try:
            claimed = _claimed(lake, workspace, month)
            held = {name: _held(lake, table, workspace, month) for name, table in CLAIMS.items()}
        except DamagedError as error:
            unreadable.append(error)
            continue
        for key in {*claimed, *(key for rows in held.values() for key in rows)}:
            claims = claimed.get(key, dict.fromkeys(CLAIMS, 0))
            holds = {name: held[name].get(key, 0) for name in CLAIMS}
            if claims != holds:
                site_url, search_type, day = key
                days.setdefault((site_url, search_type), {})[day] = Damage(day, holds, claims, now)
    return Damages(days, tuple(unreadable))


def had_queries(lake: Lake, target: Target) -> bool:
    """Whether either table holds a row with a query of the target's days."""
    where = (
        (pc.field("site_url") == target.site_url)
        & (pc.field("search_type") == target.search_type)
        & pc.field("data_date").isin(list(target.days))
        & (pc.field("query") != "")
    )
    for table in CLAIMS.values():
        rows = lake.read(
            table, columns=["query"], where=where, workspace=target.workspace, months=target.months
        )
        if rows.num_rows:
            return True
    return False


def _claimed(lake: Lake, workspace: str, month: str) -> dict[_Key, dict[str, int]]:
    rows = lake.read(
        SYNC_LEDGER,
        columns=["site_url", "search_type", "data_date", *CLAIMS],
        where=pc.field("month") == month,
        workspace=workspace,
    )
    return {
        (row["site_url"], row["search_type"], row["data_date"]): {name: row[name] for name in CLAIMS}
        for row in rows.to_pylist()
    }


def _held(lake: Lake, table: TableSpec, workspace: str, month: str) -> dict[_Key, int]:
    names = ["site_url", "search_type", "data_date"]
    rows = lake.read(table, columns=names, workspace=workspace, months=[month])
    counts = rows.group_by(names).aggregate([([], "count_all")])
    return {
        (row["site_url"], row["search_type"], row["data_date"]): row["count_all"]
        for row in counts.to_pylist()
    }
