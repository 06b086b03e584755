"""Completes the days that the API cut off from the days of folders' own properties, both read from the lake.

No call is sent: the folders are properties of the workspace, and their days are in the lake like all others.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Window, month_of, pacific_today
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import FOLDER_DAYS, SEARCH_APPEARANCE_FLAGS, URL_IMPRESSION
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.cut_days import TriedRows, may_bring_more, read_tried
from gsc_pipeline.sync.decide import is_beyond_history
from gsc_pipeline.sync.folders import COLUMNS, completed
from gsc_pipeline.sync.grains import search_type_in_tables, table_of
from gsc_pipeline.sync.ledger import DayRecord, LedgerKey, Source, Status, all_records, read_rows
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.workspaces.registry import Workspace

log = logging.getLogger(__name__)

MOST_OLDER_DAYS = 60
"""How many days before its window a sync completes, of each property and search type, the newest first. After
a folder was added, the next syncs complete the others."""


@dataclass(frozen=True, slots=True)
class FolderDay:
    """A row of `folder_days` of one property and search type: what a folder brought of a day."""

    data_date: date
    folder: str
    read_at: datetime
    folder_read_at: datetime
    rows: int = 0
    clicks: int = 0
    impressions: int = 0
    differences: int = 0
    largest_difference: str = ""


@dataclass(frozen=True, slots=True)
class FoldersReport:
    """What was done: the problems, and the new records of completed days by property, search type and day."""

    problems: list[Problem] = field(default_factory=list)
    records: dict[tuple[str, str, date], DayRecord] = field(default_factory=dict)


def complete_from_folders(
    workspace: Workspace,
    window: Window,
    lake: Lake,
    *,
    now: datetime,
    run_id: str,
    commit_rows: int,
    asks_for_parts: bool,
) -> FoldersReport:
    """Complete the final days that the API cut off, of each property that has folders.

    `asks_for_parts`: a later sync may ask for more parts of a day. Such a day is completed afterwards.

    A day is completed once for each read of it and of the folder's day. Up to about `commit_rows` rows, and
    at least one day, are held in memory. Raises LakeError, unless files are damaged.
    """
    site_urls = {one.of for one in workspace.folders}
    if not site_urls:
        return FoldersReport()
    try:
        ledger = all_records(read_rows(lake, workspace.id))
    except DamagedError as error:
        return FoldersReport([Problem(str(error))])
    records: dict[LedgerKey, Mapping[date, DayRecord]] = {
        key: {one.data_date: one for one in days} for key, days in ledger.items()
    }
    report = FoldersReport()
    # A folder that has folders of its own is completed before its parent.
    for site_url in sorted(site_urls, key=lambda one: len(workspace.folders_of(one))):
        for kind in workspace.search_types:
            key = (site_url, search_type_in_tables(kind))
            series = _Series(
                workspace,
                key,
                records,
                lake,
                now=now,
                run_id=run_id,
                commit_rows=commit_rows,
                asks_for_parts=asks_for_parts,
            )
            report.problems.extend(series.run(window))
            report.records.update({(*key, day): record for day, record in series.completed.items()})
            records[key] = series.records
    return report


class _Series:
    """The days of one property and search type."""

    def __init__(
        self,
        workspace: Workspace,
        key: LedgerKey,
        records: Mapping[LedgerKey, Mapping[date, DayRecord]],
        lake: Lake,
        *,
        now: datetime,
        run_id: str,
        commit_rows: int,
        asks_for_parts: bool,
    ) -> None:
        self._asks_for_parts = asks_for_parts
        self._workspace, self._key, self._lake = workspace.id, key, lake
        self._now, self._run_id, self._commit_rows = now, run_id, commit_rows
        self._records = records.get(key, {})
        self._folders = {
            site_url: records.get((site_url, key[1]), {}) for site_url in workspace.folders_of(key[0])
        }
        self._batch = Batch(lake, workspace.id, *key, run_id, dict(self._records))
        self._known: dict[date, dict[str, FolderDay]] = {}
        """What folders brought before, by day and folder."""
        self._news: dict[date, list[FolderDay]] = {}
        self.completed: dict[date, DayRecord] = {}
        """The records of the days whose rows have changed."""

    @property
    def records(self) -> Mapping[date, DayRecord]:
        """The records of the days as they are now."""
        return self._batch.known

    def run(self, window: Window) -> list[Problem]:
        """Complete the days, the newest first. Returns the problems."""
        problems: list[Problem] = []
        try:
            self._known = self._read_known()
            # What was tried matters only to days that have parts left.
            if self._asks_for_parts and any(one.has_parts_left for one in self._records.values()):
                target = TriedRows(self._workspace, *self._key)
                self._asks_for_parts = may_bring_more(read_tried(self._lake, target).values(), self._now)
            for day in self._pending(window):
                try:
                    self._complete(day)
                except DamagedError as error:
                    # The same file may hold many days.
                    if str(error) not in {one.cause for one in problems}:
                        problems.append(Problem(str(error), *self._key, (day,)))
                if self._batch.rows >= self._commit_rows:
                    problems += self._commit()
            problems += self._commit()
        except DamagedError as error:
            problems.append(Problem(str(error), *self._key))
        except PipelineError:
            raise
        # An unexpected error of one property does not stop the others.
        except Exception as error:
            log.exception("workspace %s: %s: unexpected error", self._workspace, self._key[0])
            problems.append(Problem.of_fault(error, *self._key))
        return problems

    def _pending(self, window: Window) -> list[date]:
        """The days that some folder's day has not completed yet, as both were last read."""
        days = sorted((day for day in self._records if self._is_pending(day)), reverse=True)
        older = [day for day in days if day not in window]
        return [*(day for day in days if day in window), *older[:MOST_OLDER_DAYS]]

    def _is_pending(self, day: date) -> bool:
        # After an interrupted commit the next sync reads the day from the API.
        if is_beyond_history(day, pacific_today(self._now)):
            return False
        record, known = self._records[day], self._known.get(day, {})
        is_cut = record.status is Status.FINAL and record.truncated and record.source != Source.BULK_EXPORT
        if not is_cut or (record.has_parts_left and self._asks_for_parts):
            return False
        return any(
            not _is_known(known.get(folder), record, of_folder) for folder, of_folder in self._final(day)
        )

    def _final(self, day: date) -> list[tuple[str, DayRecord]]:
        """The folders with rows of the final day."""
        found = ((folder, records.get(day)) for folder, records in self._folders.items())
        return [(folder, one) for folder, one in found if one and one.status is Status.FINAL and one.url_rows]

    def _complete(self, day: date) -> None:
        record = self._records[day]
        rows = self._read(self._key[0], record)
        if rows is None:
            return
        done: list[FolderDay] = []
        before, known = rows, self._known.get(day, {})
        for folder, of_folder in self._final(day):
            last = known.get(folder)
            if last is not None and _is_known(last, record, of_folder):
                done.append(last)
                continue
            rows, news = self._completed(record, rows, folder, of_folder)
            if news is not None:
                done.append(_added(last, news) if last and last.read_at == record.last_read_at else news)
        self._news[day] = done
        if rows is not before:
            new = self._record_of(record, rows)
            self._batch.completed[day] = self._url_rows(day, rows)
            self._batch.records[day] = new
            self._news[day] = [replace(one, read_at=self._now) for one in done]

    def _completed(
        self, record: DayRecord, rows: pa.Table, folder: str, of_folder: DayRecord
    ) -> tuple[pa.Table, FolderDay | None]:
        assert record.last_read_at is not None
        assert of_folder.last_read_at is not None
        day = record.data_date
        news = FolderDay(day, folder, record.last_read_at, of_folder.last_read_at)
        if not _may_be_cut(record, rows):
            # The API cut off rows of the site table alone.
            return rows, news
        own = self._read(folder, of_folder)
        if own is None:
            return rows, None
        found = completed(
            rows,
            own,
            folder,
            lacks_pages=record.lacks_pages,
            folder_lacks_pages=of_folder.lacks_pages,
        )
        if found.differences:
            log.warning(
                "workspace %s: %s (%s) %s: %d cells of page, country and device have other numbers in %s, so "
                "none of their rows were taken. The largest: %s. gsc sync %s --start %s --end %s --full "
                "reads both again",
                self._workspace,
                *self._key,
                day,
                found.differences,
                folder,
                found.largest_difference,
                self._workspace,
                day,
                day,
                extra={"event": "folders.differ", "workspace": self._workspace, "folder": folder},
            )
        numbers = {name: getattr(found, name) for name in ("clicks", "impressions", "differences")}
        return found.rows, replace(
            news, rows=found.added, largest_difference=found.largest_difference, **numbers
        )

    def _read(self, site_url: str, record: DayRecord) -> pa.Table | None:
        """The URL table's rows of the day; None if they are not those that the record counts."""
        target = Target(self._workspace, site_url, self._key[1], (record.data_date,))
        rows = self._lake.read(
            URL_IMPRESSION,
            columns=list(COLUMNS),
            where=target.condition(),
            workspace=target.workspace,
            months=target.months,
        )
        return rows if rows.num_rows == record.url_rows else None

    def _url_rows(self, day: date, rows: pa.Table) -> pa.Table:
        site_url, search_type = self._key
        shared: dict[str, object] = {
            "workspace": self._workspace,
            "month": month_of(day),
            "data_date": day,
            "site_url": site_url,
            "search_type": search_type,
            "is_anonymized_discover": False,
            **dict.fromkeys(SEARCH_APPEARANCE_FLAGS),
        }
        return table_of(URL_IMPRESSION, {**shared, **{name: rows[name] for name in COLUMNS}}, rows.num_rows)

    def _record_of(self, record: DayRecord, rows: pa.Table) -> DayRecord:
        """The record of the day with its new rows."""
        is_cut_in_site = record.cut_clicks != 0 or record.cut_impressions != 0
        return replace(
            record,
            url_rows=rows.num_rows,
            url_clicks=pc.sum(rows["clicks"]).as_py(),
            url_impressions=pc.sum(rows["impressions"]).as_py(),
            truncated=is_cut_in_site or _may_be_cut(record, rows),
            # Rows of parts could contradict the folder's, which the API cut off and anonymised differently.
            parts_left=False,
            # They count for the Pacific day of last_read_at, which becomes today.
            part_calls=record.part_calls_on(pacific_today(self._now)),
            last_read_at=self._now,
            run_id=self._run_id,
        )

    def _commit(self) -> list[Problem]:
        """Commit what the folders brought, and the batch. Days that another sync wrote are left out.

        What they brought is recorded first, as of the time of the day's new record. If the sync is killed in
        between, the times differ, so that the next sync completes the day and counts its rows again. It could
        no longer count rows that the day already has.
        """
        records = self._batch.records
        news, self._news = self._news, {}
        self._write_known(news)
        done = self._batch.commit()
        left_out = news.keys() & (done.overtaken.keys() | done.damaged.keys())
        self._write_known({day: list(self._known.get(day, {}).values()) for day in left_out})
        self.completed |= {day: records[day] for day in news if day in records and day not in left_out}
        return [Problem(str(error), *self._key, (day,)) for day, error in sorted(done.damaged.items())]

    def _read_known(self) -> dict[date, dict[str, FolderDay]]:
        site_url, search_type = self._key
        where = (pc.field("site_url") == site_url) & (pc.field("search_type") == search_type)
        names = list(FolderDay.__dataclass_fields__)
        rows = self._lake.read(FOLDER_DAYS, columns=names, where=where, workspace=self._workspace)
        known: dict[date, dict[str, FolderDay]] = {}
        for row in rows.to_pylist():
            known.setdefault(row["data_date"], {})[row["folder"]] = FolderDay(**row)
        return known

    def _write_known(self, found: Mapping[date, Sequence[FolderDay]]) -> None:
        """Replace what folders brought of these days."""
        if not found:
            return
        of = {"workspace": self._workspace, "site_url": self._key[0], "search_type": self._key[1]}
        rows = [
            {**of, "month": month_of(one.data_date), **asdict(one)} for day in found for one in found[day]
        ]
        target = Target(self._workspace, *self._key, tuple(found))
        self._lake.replace(FOLDER_DAYS, target, pa.Table.from_pylist(rows, schema=FOLDER_DAYS.schema))


def _is_known(last: FolderDay | None, record: DayRecord, of_folder: DayRecord) -> bool:
    """Whether the folder's day has completed the day, as both were last read."""
    reads = (record.last_read_at, of_folder.last_read_at)
    return last is not None and (last.read_at, last.folder_read_at) == reads


def _added(before: FolderDay, news: FolderDay) -> FolderDay:
    sums = {name: getattr(before, name) + getattr(news, name) for name in ("rows", "clicks", "impressions")}
    return replace(news, **sums)


def _may_be_cut(record: DayRecord, rows: pa.Table) -> bool:
    """Whether the API may have cut off rows of the URL table. Earlier releases did not mark the rows."""
    is_cut = pc.fill_null(rows["is_truncated"], True)
    return record.lacks_pages is not False or bool(pc.any(is_cut, min_count=0).as_py())
