"""Repairs a lake: rebuilds logs from files and the ledger from rows, and reads days again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError

from gsc_pipeline.days import ONE_DAY, month_of, months_before, pacific_today
from gsc_pipeline.lake.errors import cannot
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.rebuild import RECREATED, Counts, rebuild, remove_damaged
from gsc_pipeline.lake.schemas import (
    ANNOTATIONS,
    COMPARED,
    INSIGHT_REFRESHES,
    INSIGHTS,
    MORE_LEDGER,
    SEARCH_APPEARANCE,
    SEARCH_APPEARANCE_FLAGS,
    SEARCHDATA_HOURLY,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    TABLES,
    URL_IMPRESSION,
    TableSpec,
)
from gsc_pipeline.lake.targets import Target, WorkspaceRows
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.decide import HISTORY_MONTHS, REBUILT
from gsc_pipeline.sync.grains import sums_without_a_query
from gsc_pipeline.sync.ledger import DayRecord, Ledger, Source, Status, read_records
from gsc_pipeline.sync.tables import hourly
from gsc_pipeline.sync.tables.more import MORE_TABLES
from gsc_pipeline.sync.verify import BadDay, OtherDay, Verification, Wrong, grouped, verify

SyncWorkspaces = Callable[[Collection[str]], None]
"""Syncs the active workspaces among the given ids up to yesterday. The callable reports their problems."""

_READ_AGAIN = {
    ANNOTATIONS.name: "Google's ranking updates, which `gsc annotations update` fetches again, and the rows "
    "that are shipped or in your file (GSC_ANNOTATIONS), which the next refresh of the insights stores again",
    **dict.fromkeys(
        (MORE_LEDGER.name, *(one.table.name for one in MORE_TABLES)),
        "those that the next `gsc_more` run reads again",
    ),
}
"""Which lost rows of a table come back, and how."""

_BY_NAME = {table.name: table for table in TABLES}


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done and which rows were lost, as lines of text; `left` is what is still wrong."""

    done: tuple[str, ...]
    lost: tuple[str, ...]
    left: Verification


def repair(
    lake: Lake,
    found: Verification,
    sync: SyncWorkspaces,
    *,
    workspaces: Collection[str] | None = None,
    now: datetime,
    run_id: str,
) -> Repair:
    """Repair what `found` names, as far as files, rows and Search Console allow.

    No data file is deleted: damaged files and logs are renamed. Raises LakeError.
    """
    lake = lake.for_run(run_id)
    done: list[str] = []
    lost: list[str] = []
    # Rebuilding the logs of the large tables reads the ledger, so its damaged files are removed before.
    _remove_files(lake, found, done, lost)
    _rebuild_logs(lake, found, done)
    _forget_refreshes(lake, found)
    removed = _move_to_own_months(lake, found.days, done)
    unrepaired = verify(lake, workspaces)
    bad = unrepaired.days
    first_shown = months_before(pacific_today(now), HISTORY_MONTHS)
    lost += [
        f"{one.workspace}, {one.site_url} ({one.search_type}), {one.day}: rows under another month"
        for one in bad
        if one.day < first_shown and (*one.series, one.day) in removed
    ]
    if bad:
        _create_missing(lake, done)
        _record(lake, bad, now, run_id, done)
    affected = {day.workspace for day in bad} | {file.workspace for file in found.files if file.workspace}
    if affected:
        sync(affected)
        _settle_beyond_history(lake, bad, now, run_id, done)
    _record_lost(lake, unrepaired.others, pacific_today(now), run_id, done, lost)
    return Repair(tuple(done), tuple(lost), verify(lake, workspaces))


def _rebuild_logs(lake: Lake, found: Verification, done: list[str]) -> None:
    """Rebuild the damaged logs, the ledger's first.

    The ledger's counts decide which of several files holds a day's rows.
    """
    broken = [_BY_NAME[error.table] for error in found.logs]
    if any(table in RECREATED for table in broken):
        # A recorded refresh is not repeated, so the record is removed with the tables.
        broken.append(INSIGHT_REFRESHES)
    for table in sorted(dict.fromkeys(broken), key=lambda table: table is not SYNC_LEDGER):
        rebuilt = rebuild(lake, table, _recorded_counts(lake, table))
        text = f"{table.name}: log rebuilt from {rebuilt.files} files, {rebuilt.rows} rows"
        if table in RECREATED:
            text = f"{table.name}: emptied; the next sync or refresh fills it again"
        done.append(text + (f"; {rebuilt.unreadable} files cannot be read" if rebuilt.unreadable else ""))


def _recorded_counts(lake: Lake, table: TableSpec) -> dict[tuple[Any, ...], Counts]:
    """The ledger's counts of each day in one of the large tables. Empty for other tables."""
    if table not in (SITE_IMPRESSION, URL_IMPRESSION):
        return {}
    rows, clicks, impressions = (
        ("site_rows", "clicks", "impressions")
        if table is SITE_IMPRESSION
        else ("url_rows", "url_clicks", "url_impressions")
    )
    day = ("workspace", "site_url", "search_type", "data_date")
    ledger = lake.read(SYNC_LEDGER, columns=[*day, "status", rows, clicks, impressions])
    return {
        tuple(row[name] for name in day): (row[rows], row[clicks], row[impressions])
        for row in ledger.to_pylist()
        if row["status"] != Status.WRITING.value
    }


def _remove_files(lake: Lake, found: Verification, done: list[str], lost: list[str]) -> None:
    for name in dict.fromkeys(file.table for file in found.files):
        table = _BY_NAME[name]
        files = [file for file in found.files if file.table == name]
        remove_damaged(lake, table, files)
        done += [f"{name}: {file.path}, which {file.damage}, removed from the table" for file in files]
        if table not in (SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER, *RECREATED):
            but = f", except {_READ_AGAIN[name]}" if name in _READ_AGAIN else ""
            lost.append(f"{name}: the rows of {len(files)} files are lost{but}")


def _forget_refreshes(lake: Lake, found: Verification) -> None:
    """Remove the records of refreshes of workspaces that lost rows of insights.

    A recorded refresh is not repeated.
    """
    workspaces = {file.workspace for file in found.files if _BY_NAME[file.table] in INSIGHTS}
    if lake.version_of(INSIGHT_REFRESHES) is not None:
        for workspace in sorted(workspaces):
            lake.replace(INSIGHT_REFRESHES, WorkspaceRows(workspace), INSIGHT_REFRESHES.schema.empty_table())


def _move_to_own_months(
    lake: Lake, bad: Iterable[BadDay], done: list[str]
) -> set[tuple[str, str, str, date]]:
    """Store the rows and records under another month than their day's under that month.

    Returns the days of which rows were removed.
    """
    removed: set[tuple[str, str, str, date]] = set()
    for days in grouped((day for day in bad if day.wrong is Wrong.MONTH), "series"):
        key = days[0].series
        # A replacement of several months holds the rows of all their days in memory.
        for month in sorted({month_of(day.day) for day in days}):
            of_month = tuple(sorted({day.day for day in days if month_of(day.day) == month}))
            for table in COMPARED:
                removed |= {(*key, day) for day in _move(lake, table, Target(*key, of_month), month)}
        done.append(f"{key[0]}, {key[1]} ({key[2]}): rows and records under another month moved to their own")
    return removed


def _move(lake: Lake, table: TableSpec, target: Target, month: str) -> set[date]:
    """Store the target's rows under `month`. Returns the days of which rows were removed.

    Of a day with the same keys under several months, the rows under `month` are kept, or else those of the
    month with the most.
    """
    rows = lake.read(table, where=target.condition(), workspace=target.workspace)
    counts = rows.group_by(["data_date", "month"]).aggregate([([], "count_all")]).to_pylist()
    if all(one["month"] == month for one in counts):
        return set()
    counts.sort(key=lambda one: (one["month"] == month, one["count_all"]))
    best = {one["data_date"]: one["month"] for one in counts}
    parts, removed = [], set()
    for day, best_month in best.items():
        part = rows.filter(pc.field("data_date") == day)
        if part.group_by(list(table.keys)).aggregate([]).num_rows < part.num_rows:
            kept = part.filter(pc.field("month") == best_month)
            removed |= {day} if kept.num_rows < part.num_rows else set()
            part = kept
        parts.append(part)
    moved = pa.concat_tables(parts)
    column = table.schema.field("month")
    months = pa.repeat(month, moved.num_rows).cast(column.type)
    index = moved.schema.get_field_index("month")
    lake.replace(table, _InAnyMonth(target), moved.set_column(index, column, months))
    return removed


@dataclass(frozen=True, slots=True)
class _InAnyMonth:
    """The rows of some days, under whatever month they are stored."""

    days: Target

    def predicate(self) -> str:
        return self.days.predicate_in_any_month()


def _create_missing(lake: Lake, done: list[str]) -> None:
    """Create the tables that were lost with all their files. A sync refuses to create a lost table."""
    for table in COMPARED:
        if lake.dataset(table) is not None:
            continue
        try:
            lake.create(table)
        except (DeltaError, OSError) as error:
            raise cannot("create", lake.table_uri(table), error) from error
        done.append(f"{table.name}: created, as it was missing")


def _record(lake: Lake, bad: Sequence[BadDay], now: datetime, run_id: str, done: list[str]) -> None:
    """Record each day as failed. If only the day's record is missing, rebuild the record from the rows."""
    made = _write_records(lake, bad, run_id, lambda day, known: _record_of(lake, day, known, now, run_id))
    failed = sum(record.status is Status.FAILED for record in made)
    if failed:
        done.append(f"{SYNC_LEDGER.name}: {failed} days recorded as failed, so that they are read again")
    if failed < len(made):
        done.append(f"{SYNC_LEDGER.name}: {len(made) - failed} days recorded from their rows")


def _write_records(
    lake: Lake,
    bad: Iterable[BadDay],
    run_id: str,
    record_of: Callable[[BadDay, DayRecord | None], DayRecord | None],
) -> list[DayRecord]:
    """Write the record that `record_of` makes from each day and its current record, unless that is None.

    Returns the records.
    """
    written: list[DayRecord] = []
    for days in grouped(bad, "series"):
        key = days[0].series
        known = read_records(lake, Target(*key, tuple(sorted({day.day for day in days}))))
        batch = Batch(lake, *key, run_id, known)
        made = {day.day: record_of(day, known.get(day.day)) for day in days}
        batch.records.update({day: record for day, record in made.items() if record is not None})
        written += batch.records.values()
        batch.commit()
    return written


def _has_all_rows(day: BadDay) -> bool:
    """Whether only the record of the day is missing or wrong. A day with data has rows in both tables."""
    is_record = day.wrong in (Wrong.UNRECORDED, Wrong.TWICE, Wrong.RECORD)
    return is_record and day.site_rows > 0 and day.url_rows > 0


def _record_of(lake: Lake, day: BadDay, known: DayRecord | None, now: datetime, run_id: str) -> DayRecord:
    if day.wrong is Wrong.TWICE and known and known.status is Status.EMPTY and not day.site_rows:
        return known
    if not _has_all_rows(day):
        held = DayRecord(day.day, Status.FAILED, site_rows=day.site_rows, url_rows=day.url_rows)
        return (known or held).failed(day.wrong.value, run_id)
    names = ["is_anonymized_query", "is_truncated", "clicks", "impressions"]
    residual = _rows_of(lake, SITE_IMPRESSION, day, names, pc.field("is_anonymized_query"))
    cut_pages = _rows_of(lake, URL_IMPRESSION, day, ["is_truncated"], pc.field("is_truncated"))
    return DayRecord(
        day.day,
        Status.PROVISIONAL,
        day.totals,
        truncated=cut_pages.num_rows > 0 or pc.any(residual["is_truncated"]).as_py() is True,
        site_rows=day.site_rows,
        url_rows=day.url_rows,
        last_read_at=now,
        reason=REBUILT,
        run_id=run_id,
        url_clicks=day.url_clicks,
        url_impressions=day.url_impressions,
        source=_source_of(lake, day),
        **sums_without_a_query(residual),
    )


def _source_of(lake: Lake, day: BadDay) -> Source:
    """Where a day's rows are from: only those of the bulk export have search appearances."""
    is_set = pc.scalar(False)
    for flag in SEARCH_APPEARANCE_FLAGS:
        is_set |= pc.field(flag).is_valid()
    is_imported = _rows_of(lake, URL_IMPRESSION, day, ["url"], is_set).num_rows > 0
    return Source.BULK_EXPORT if is_imported else Source.API


def _rows_of(
    lake: Lake, table: TableSpec, day: BadDay, columns: Sequence[str], where: pc.Expression
) -> pa.Table:
    target = Target(*day.series, (day.day,))
    return lake.read(
        table,
        columns=columns,
        where=where & target.condition(),
        workspace=target.workspace,
        months=target.months,
    )


def _settle_beyond_history(
    lake: Lake, bad: Sequence[BadDay], now: datetime, run_id: str, done: list[str]
) -> None:
    """Make rebuilt records final if Search Console no longer shows their days."""
    first_shown = months_before(pacific_today(now), HISTORY_MONTHS)
    old = [day for day in bad if _has_all_rows(day) and day.day < first_shown]

    def settled(day: BadDay, known: DayRecord | None) -> DayRecord | None:
        if known is None or known.reason != REBUILT:
            return None
        reason = f"{REBUILT}; Search Console no longer shows the day"
        return replace(known, status=Status.FINAL, reason=reason)

    if made := _write_records(lake, old, run_id, settled):
        old_days = f"{len(made)} days older than {HISTORY_MONTHS} months"
        done.append(f"{SYNC_LEDGER.name}: {old_days} recorded as final from their rows")


def _record_lost(
    lake: Lake, others: Iterable[OtherDay], today: date, run_id: str, done: list[str], lost: list[str]
) -> None:
    """Record the rows that are left of days that `gsc sync --more` does not read again.

    Days with more rows than recorded stay as they are: which of the rows are true is not known.
    """
    first_shown = {
        SEARCHDATA_HOURLY.name: today - (hourly.DAYS - 1) * ONE_DAY,
        SEARCH_APPEARANCE.name: months_before(today, HISTORY_MONTHS),
    }
    gone = [day for day in others if day.rows < day.recorded and day.day < first_shown[day.table]]
    for days in grouped(gone, "table", "series"):
        name, key = days[0].table, days[0].series
        ledger = Ledger.of(_BY_NAME[name])
        known = read_records(lake, Target(*key, tuple(day.day for day in days)), ledger=ledger)
        batch = Batch(lake, *key, run_id, known, ledger=ledger)
        for day in days:
            batch.records[day.day] = replace(
                known[day.day],
                site_rows=day.property_rows,
                url_rows=day.page_rows,
                reason=f"{day.recorded - day.rows} rows lost; Search Console no longer shows them",
                run_id=run_id,
            )
        batch.commit()
        rows = sum(day.recorded - day.rows for day in days)
        span = f"{len(days)} days from {days[0].day} to {days[-1].day}"
        lost.append(f"{name}: {rows} rows of {key[0]}, {key[1]} ({key[2]}), of {span}")
        done.append(f"{ledger.table.name}: {span} of {name} recorded with the rows that are left")
