"""Writes the days of an export into the two tables and the ledger, by the commits of a sync."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import Any

import pyarrow.compute as pc

from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_LEDGER
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.search_console.client import Usage
from gsc_pipeline.sync.bulk_export.days import ExportDay, ExportRows, read_export
from gsc_pipeline.sync.bulk_export.errors import BulkExportError
from gsc_pipeline.sync.bulk_export.files import find_parts
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.decide import IMPORTED
from gsc_pipeline.sync.lease import Leases
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, LedgerKey, Source, Status, read_records
from gsc_pipeline.sync.outcome import IMPORT
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.sync.read import DayRead
from gsc_pipeline.sync.report import DayResult, OnProgress, Progress, SyncedDay, SyncReport, append_runs
from gsc_pipeline.sync.revisions import Revision, write_revisions
from gsc_pipeline.sync.tables.properties import known_properties, once_readable
from gsc_pipeline.workspaces.registry import Workspace


@dataclass(slots=True)
class ImportedSeries:
    """What an import did with the days of one property and search type.

    `kept` days have more impressions in the ledger than in the export. `failed` days were written by another
    sync meanwhile, or are in damaged files.
    """

    site_url: str
    search_type: str
    first_day: date
    last_day: date
    imported: int = 0
    unchanged: int = 0
    kept: int = 0
    failed: int = 0
    rows: int = 0
    clicks: int = 0
    impressions: int = 0


@dataclass(slots=True)
class ImportReport:
    """An import. `left_out` and `problems` are lines of text; `is_dry_run`: nothing was written."""

    workspace: str
    run_id: str
    is_dry_run: bool
    series: list[ImportedSeries] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Days that could not be written."""
        return sum(one.failed for one in self.series)

    def as_json(self) -> dict[str, Any]:
        """The object that `gsc import-export --json` prints, dates in ISO form."""
        return {
            "workspace": self.workspace,
            "dry_run": self.is_dry_run,
            "properties": [
                {key: str(value) if isinstance(value, date) else value for key, value in asdict(one).items()}
                for one in self.series
            ],
            "left_out": list(self.left_out),
            "problems": self.problems,
        }


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`commit_rows` bounds the rows held in memory, down to one day. With `within`, only its days count."""

    commit_rows: int = 150_000
    within: Window | None = None
    is_dry_run: bool = False
    leases: Leases | None = None


def import_export(
    paths: Sequence[str],
    workspace: Workspace,
    lake: Lake,
    *,
    options: ImportOptions,
    now: datetime,
    run_id: str,
    on_progress: OnProgress = lambda progress: None,
) -> ImportReport:
    """Import whole days from files, folders or URIs of the bulk export. `now` is aware.

    Raises BulkExportError, before anything is written, if the files or another sync forbid it; and LakeError.
    """
    parts = find_parts(paths)
    export = read_export(
        parts,
        _site_urls(lake, workspace),
        workspace.search_types,
        today=pacific_today(now),
        within=options.within,
        owner=workspace.id,
    )
    report = ImportReport(workspace.id, run_id, options.is_dry_run, left_out=export.left_out)
    started, series = time.monotonic(), list[_Series]()
    leases = None if options.is_dry_run else options.leases
    with leases.held(workspace.id, run_id) if leases else nullcontext() as holder:
        if holder:
            raise BulkExportError([f"workspace {workspace.id}: {holder.problem(now)}"])
        for key, days in export.days.items():
            one = _Series(workspace.id, key, days, lake, options, now, run_id)
            series.append(one)
            one.run(on_progress)
            report.series.append(one.done)
            report.problems += map(str, one.problems)
        if not options.is_dry_run:
            _record_run(lake.for_run(run_id), workspace.id, series, run_id, now, time.monotonic() - started)
    return report


def _record_run(
    lake: Lake, workspace: str, series: Sequence[_Series], run_id: str, now: datetime, seconds: float
) -> None:
    """Write the import's row to `sync_runs`, from which its days are reported to Dagster.

    The window includes days that an earlier import wrote before it was interrupted.
    """
    window = Window.inclusive(
        min(one.done.first_day for one in series), max(one.done.last_day for one in series)
    )
    imported = SyncReport(
        workspace=workspace,
        run_id=run_id,
        window=window,
        started_at=now,
        seconds=seconds,
        properties=len({one.done.site_url for one in series}),
        days=tuple(day for one in series for day in one.days),
        problems=tuple(problem for one in series for problem in one.problems),
        usage=Usage(),
    )
    append_runs(lake, [imported], outcome=IMPORT)


def _site_urls(lake: Lake, workspace: Workspace) -> set[str]:
    """The workspace's properties; with `properties: all`, those that were ever readable or synced."""
    if workspace.properties is not None:
        return set(workspace.properties)
    ledger = lake.read(SYNC_LEDGER, columns=["site_url"], workspace=workspace.id)
    return once_readable(known_properties(lake, workspace.id)) | set(
        pc.unique(ledger["site_url"]).to_pylist()
    )


class _Series:
    """The import of one property and search type; `done` and `problems` are its results."""

    def __init__(
        self,
        workspace: str,
        key: LedgerKey,
        days: Sequence[ExportDay],
        lake: Lake,
        options: ImportOptions,
        now: datetime,
        run_id: str,
    ) -> None:
        self.done = ImportedSeries(*key, days[0].day, days[-1].day)
        self.days: list[SyncedDay] = []
        self.problems: list[Problem] = []
        self._workspace, self._key, self._days = workspace, key, days
        self._lake, self._options, self._now, self._run_id = lake, options, now, run_id
        self._known = read_records(lake, Target(workspace, *key, tuple(one.day for one in days)))
        self._batch = Batch(lake, workspace, *key, run_id, dict(self._known))

    def run(self, on_progress: OnProgress) -> None:
        """Import the days in order, some at a time."""
        wanted = [one for one in self._days if not self._is_kept(one)]
        self._report_kept()
        if self._options.is_dry_run:
            for one in wanted:
                self._count(one.totals, one.rows)
            return
        done = 0
        for days in _chunks(wanted, self._options.commit_rows):
            self._take(days)
            if self._batch.rows >= self._options.commit_rows:
                self._commit()
            done += len(days)
            on_progress(Progress(self._workspace, *self._key, done, len(wanted)))
        self._commit()

    def _is_kept(self, one: ExportDay) -> bool:
        """Whether the ledger has more of a final day, as the API gave it, than the export."""
        known = self._known.get(one.day)
        if known is None or known.status is not Status.FINAL or known.source == Source.BULK_EXPORT:
            return False
        return known.totals is not None and one.totals.impressions < known.totals.impressions

    def _report_kept(self) -> None:
        kept = [one for one in self._days if self._is_kept(one)]
        self.done.kept = len(kept)
        if not kept:
            return
        last = kept[-1]
        held = self._known[last.day].totals
        sync = f"gsc sync {self._workspace} --start {kept[0].day} --end {last.day}"
        self.problems.append(
            Problem(
                f"kept as they are: the export has {last.totals} and Search Console had {held} on {last.day}",
                *self._key,
                tuple(one.day for one in kept),
                next_step="check that the export has all rows of the day; if Google has corrected it, run "
                f"{sync} first",
            )
        )

    def _take(self, days: Sequence[ExportDay]) -> None:
        started = time.monotonic()
        rows = ExportRows(self._workspace, *self._key)
        site, url = rows.site(days), rows.url(days)
        seconds = (time.monotonic() - started) / len(days)
        revisions = []
        for one in days:
            read = DayRead(one.day, site[one.day], url[one.day], False, 0, seconds, source=Source.BULK_EXPORT)
            before = self._known.get(one.day)
            record = read.record(
                Status.FINAL, one.totals, IMPORTED, before=before, now=self._now, run_id=self._run_id
            )
            if before is not None and _is_same(before, record):
                self.done.unchanged += 1
                self._report(DayResult.UNCHANGED, before)
                continue
            if before is not None and (revision := _revision(before, one.totals)):
                revisions.append(revision)
            self._batch.reads[one.day] = read
            self._batch.records[one.day] = record
        if revisions:
            write_revisions(
                self._lake, self._workspace, *self._key, revisions, seen_at=self._now, run_id=self._run_id
            )

    def _report(self, result: DayResult, record: DayRecord) -> None:
        self.days.append(SyncedDay(*self._key, result, record))

    def _count(self, totals: DayTotals, rows: int) -> None:
        self.done.imported += 1
        self.done.rows += rows
        self.done.clicks += totals.clicks
        self.done.impressions += totals.impressions

    def _commit(self) -> None:
        records = self._batch.records
        done = self._batch.commit()
        lost = dict.fromkeys(done.overtaken, "another sync wrote the day meanwhile")
        lost |= {day: str(error) for day, error in done.damaged.items()}
        for day, record in records.items():
            if day in lost:
                self.done.failed += 1
                self._report(DayResult.FAILED, record)
                again = Problem(lost[day], *self._key, (day,), next_step="import it again")
                self.problems.append(again)
            elif record.totals is not None:
                self._count(record.totals, record.site_rows + record.url_rows)
                self._report(DayResult.READ, record)


def _revision(before: DayRecord, now: DayTotals) -> Revision | None:
    """The change of a final day's totals; None without one."""
    if before.status is not Status.FINAL or before.totals is None or before.totals.is_same(now):
        return None
    return Revision(before, before.totals, now)


def _is_same(before: DayRecord, now: DayRecord) -> bool:
    """Whether the day was imported before, with the same numbers."""
    if not before.is_from_export or before.totals is None or now.totals is None:
        return False
    unread = replace(
        now,
        totals=before.totals,
        first_read_at=before.first_read_at,
        last_read_at=before.last_read_at,
        reason=before.reason,
        run_id=before.run_id,
    )
    return before.totals.is_same(now.totals) and before == unread


def _chunks(days: Sequence[ExportDay], rows: int) -> Iterator[Sequence[ExportDay]]:
    """The days in order, as many at a time as have up to `rows` rows, and at least one."""
    chunk: list[ExportDay] = []
    for one in days:
        if chunk and sum(other.rows for other in chunk) + one.rows > rows:
            yield chunk
            chunk = []
        chunk.append(one)
    if chunk:
        yield chunk
