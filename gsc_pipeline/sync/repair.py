"""Repairs a lake: logs from files, the ledger from rows, and days by reading them again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gsc_pipeline.days import months_before, pacific_today
from gsc_pipeline.lake.lake import Lake, Target
from gsc_pipeline.lake.rebuild import MADE_AGAIN, Claim, rebuild, remove_damaged
from gsc_pipeline.lake.schemas import (
    INSIGHT_REFRESHES,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    TABLES,
    URL_IMPRESSION,
    TableSpec,
)
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.decide import HISTORY_MONTHS, REBUILT
from gsc_pipeline.sync.ledger import DayRecord, Status, read_records
from gsc_pipeline.sync.verify import BadDay, Verification, Wrong, verify

SyncWorkspaces = Callable[[Collection[str]], None]
"""Syncs the active ones of these workspaces up to yesterday; their failures are reported elsewhere."""

_BY_NAME = {table.name: table for table in TABLES}


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done, a line each, what of it lost rows for good, and what is still wrong."""

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
    """Mend what `found` names, as far as files, rows and Search Console allow.

    No data file is deleted: damaged ones and lost logs are kept under other names. Raises LakeError.
    """
    done: list[str] = []
    lost: list[str] = []
    _rebuild_logs(lake, found, done)
    _remove_files(lake, found, done, lost)
    bad = verify(lake, workspaces).days
    if bad:
        _create_missing(lake, bad, done)
        _record(lake, bad, now, run_id, done)
    affected = {day.workspace for day in bad} | {file.workspace for file in found.files if file.workspace}
    if affected:
        sync(affected)
        _settle_beyond_history(lake, bad, now, run_id, done)
    return Repair(tuple(done), tuple(lost), verify(lake, workspaces))


def _rebuild_logs(lake: Lake, found: Verification, done: list[str]) -> None:
    """The ledger first: what it counts says which of several files holds a day's rows."""
    broken = [_BY_NAME[error.table] for error in found.logs]
    if any(table in MADE_AGAIN for table in broken):
        # A refresh that is recorded is not done again, so its record goes with the tables it made.
        broken.append(INSIGHT_REFRESHES)
    for table in sorted(dict.fromkeys(broken), key=lambda table: table is not SYNC_LEDGER):
        rebuilt = rebuild(lake, table, _claims(lake, table))
        text = f"{table.name}: log rebuilt from {rebuilt.files} files, {rebuilt.rows} rows"
        if table in MADE_AGAIN:
            text = f"{table.name}: emptied; the next sync or refresh makes it again"
        done.append(text + (f"; {rebuilt.unreadable} files cannot be read" if rebuilt.unreadable else ""))


def _claims(lake: Lake, table: TableSpec) -> dict[tuple[Any, ...], Claim]:
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
        done += [f"{name}: {file.path}, which {file.damage}, taken out of the table" for file in files]
        if table not in (SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER, *MADE_AGAIN):
            lost.append(
                f"{name}: the rows of {len(files)} files are gone, except those that the next `gsc_more` run "
                "finds again"
            )


def _create_missing(lake: Lake, bad: Iterable[BadDay], done: list[str]) -> None:
    """Tables that are gone with all their files, which a sync refuses to create."""
    wrong = {day.wrong for day in bad}
    tables = {Wrong.SITE_ROWS: SITE_IMPRESSION, Wrong.URL_ROWS: URL_IMPRESSION, Wrong.UNRECORDED: SYNC_LEDGER}
    missing = [table for kind, table in tables.items() if kind in wrong and lake.dataset(table) is None]
    if missing and URL_IMPRESSION not in missing and lake.dataset(URL_IMPRESSION) is None:
        missing.append(URL_IMPRESSION)
    for table in missing:
        lake.create(table)
        done.append(f"{table.name}: created, as nothing was left of it")


def _record(lake: Lake, bad: Sequence[BadDay], now: datetime, run_id: str, done: list[str]) -> None:
    """Make the ledger say of each day what is true: failed, or for lost records what its rows sum to."""
    _write_records(lake, bad, run_id, lambda day, known: _record_of(day, known, now, run_id))
    failed = sum(day.wrong is not Wrong.UNRECORDED for day in bad)
    if failed:
        done.append(f"{SYNC_LEDGER.name}: {failed} days recorded as failed, to be read again")
    if failed < len(bad):
        done.append(f"{SYNC_LEDGER.name}: {len(bad) - failed} days recorded by what their rows sum to")


def _write_records(
    lake: Lake,
    bad: Iterable[BadDay],
    run_id: str,
    record_of: Callable[[BadDay, DayRecord | None], DayRecord | None],
) -> int:
    """Write what `record_of` makes of each day and its present record; returns how many it made."""
    groups: dict[tuple[str, str, str], list[BadDay]] = {}
    for day in bad:
        groups.setdefault((day.workspace, day.site_url, day.search_type), []).append(day)
    written = 0
    for key, days in sorted(groups.items()):
        known = read_records(lake, Target(*key, tuple(sorted({day.day for day in days}))))
        batch = Batch(lake, *key, run_id, known)
        made = {day.day: record_of(day, known.get(day.day)) for day in days}
        batch.records.update({day: record for day, record in made.items() if record is not None})
        written += len(batch.records)
        batch.commit()
    return written


def _record_of(day: BadDay, known: DayRecord | None, now: datetime, run_id: str) -> DayRecord:
    if day.wrong is not Wrong.UNRECORDED:
        return (known or DayRecord(day.day, Status.FAILED)).failed(day.wrong.value, run_id)
    return DayRecord(
        day.day,
        Status.PROVISIONAL,
        day.totals,
        site_rows=day.site_rows,
        url_rows=day.url_rows,
        last_read_at=now,
        reason=REBUILT,
        run_id=run_id,
        url_clicks=day.url_clicks,
        url_impressions=day.url_impressions,
    )


def _settle_beyond_history(
    lake: Lake, bad: Sequence[BadDay], now: datetime, run_id: str, done: list[str]
) -> None:
    """Records made from rows of days that Search Console shows no more: nothing better is to be had."""
    first_shown = months_before(pacific_today(now), HISTORY_MONTHS)
    old = [day for day in bad if day.wrong is Wrong.UNRECORDED and day.day < first_shown]

    def settled(day: BadDay, known: DayRecord | None) -> DayRecord | None:
        if known is None or known.reason != REBUILT:
            return None
        reason = f"{REBUILT}; Search Console does not show the day any more"
        return replace(known, status=Status.FINAL, reason=reason)

    if count := _write_records(lake, old, run_id, settled):
        old_days = f"{count} days older than {HISTORY_MONTHS} months"
        done.append(f"{SYNC_LEDGER.name}: {old_days} are final by their rows")
