"""Joins the lake's small files, shortens its logs and deletes files that no table needs, while syncs run.

A table that is damaged or disagrees with the ledger is not changed: it may have to be restored from its old
files.

Syncs and housekeeping can meet in three ways, all harmless. If a sync replaces rows of a partition while it
is being joined, the sync wins; joining is reported as skipped and retried next time. If a sync finds that
its partition was joined, it retries its commit, as after another sync's commit. Replaced files stay for
`retention_hours`, for programs that still read them, and so do files that no commit names yet, from a sync
in progress or a killed one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from gsc_pipeline.days import Clock, month_of, pacific_today, utc_now
from gsc_pipeline.lake.agreement import disagreements
from gsc_pipeline.lake.columns import schema_of, upgrade
from gsc_pipeline.lake.damage import LOG
from gsc_pipeline.lake.dataset import data_files, dataset_of
from gsc_pipeline.lake.errors import DamagedError, cannot
from gsc_pipeline.lake.lake import Lake, table_properties
from gsc_pipeline.lake.parquet_source import sql_text
from gsc_pipeline.lake.schemas import (
    COMPARED,
    MORE_LEDGER,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    TABLES,
    URL_IMPRESSION,
    TableSpec,
)
from gsc_pipeline.lake.storage import storage_of

log = logging.getLogger(__name__)

FEW = 4
"""A partition with at most this many small files is not joined: a day of syncs adds that many."""

SMALL = 64 * 1024 * 1024
"""Bytes. Larger files are read about as fast separately as joined."""

SETTLED = timedelta(days=62)
"""In tables whose days are replaced, only months that ended at least this long ago are joined.

A replacement rewrites every file that contains one of its rows. Until then each property of a workspace has
its own files, and a sync of one does not rewrite the others'.
"""

REPLACED_BY_DAY = (
    SITE_IMPRESSION,
    URL_IMPRESSION,
    SEARCHDATA_HOURLY,
    SEARCH_APPEARANCE,
    SYNC_LEDGER,
    MORE_LEDGER,
)


Partition = Mapping[str, str]
"""The value of each partition column."""


@dataclass(frozen=True, slots=True)
class TableHousekeeping:
    """What was done to one table. Files are data files; log files are counted separately.

    `partitions_skipped`: not joined because a sync wrote to them meanwhile. `bytes_freed`: the size of the
    deleted files, log files included. `kept_because`: why the table was not changed, empty if it was.
    """

    table: str
    version: int = 0
    files_before: int = 0
    files_after: int = 0
    partitions_compacted: int = 0
    partitions_skipped: int = 0
    log_files_before: int = 0
    log_files_after: int = 0
    files_deleted: int = 0
    bytes_freed: int = 0
    files_protected: int = 0
    kept_because: str = ""

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def compact_and_vacuum(
    lake: Lake, *, retention_hours: int = 168, clock: Clock = utc_now
) -> list[TableHousekeeping]:
    """Maintain every table that exists and is undamaged, and return what was done. Rows do not change.

    `retention_hours`: how long files that are no longer part of a table are kept, longer than any sync or
    query takes. `clock` determines which months are settled; the ages of files come from the storage. Raises
    LakeError if the storage fails.
    """
    lake.refuse_unsafe_store()
    disagreement = _disagreement(lake)
    done = []
    for table in TABLES:
        because = disagreement if table in COMPARED else ""
        try:
            done.append(_maintain(lake, table, retention_hours, clock(), because))
        except TableNotFoundError:
            continue
        except DamagedError as error:
            done.append(_kept(table, str(error)))
    return done


def _disagreement(lake: Lake) -> str:
    """Why the ledger and the tables that it counts must not be changed; empty if they agree."""
    try:
        found = disagreements(lake)
    except DamagedError as error:
        return f"cannot be compared with the ledger: {error}"
    if not found:
        return ""
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return f"ledger and tables disagree: {found[0]}{more}. Run gsc verify --repair"


def _kept(table: TableSpec, because: str, version: int = 0) -> TableHousekeeping:
    log.warning("housekeeping does not change %s: %s", table.name, because)
    return TableHousekeeping(table.name, version, kept_because=because)


def _maintain(
    lake: Lake, table: TableSpec, retention_hours: int, now: datetime, disagreement: str
) -> TableHousekeeping:
    delta = lake.open(table)
    if disagreement:
        return _kept(table, disagreement, delta.version())
    damaged = lake.damaged_files(table)
    if damaged:
        raise damaged[0].error()
    try:
        return _maintained(lake, table, delta, retention_hours, now)
    except CommitFailedError as error:
        raise cannot("compact", lake.table_uri(table), error) from error
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise lake.error_of("compact", table, error) from error


def _maintained(
    lake: Lake, table: TableSpec, delta: DeltaTable, retention_hours: int, now: datetime
) -> TableHousekeeping:
    storage, commit = storage_of(lake.table_uri(table)), CommitProperties(lake.commit_metadata)
    files_before, log_before = len(delta.file_uris()), _log_sizes(storage)
    _set_properties(table, delta)
    joined = [_join(delta, partition, commit) for partition in _partitions_to_join(table, delta, now)]
    delta.update_incremental()
    deleted, protected = _vacuum(table, delta, storage, retention_hours)
    delta.update_incremental()
    delta.create_checkpoint()
    delta.cleanup_metadata()
    log_after = _log_sizes(storage)
    dropped = sum(size for name, size in log_before.items() if name not in log_after)
    return TableHousekeeping(
        table=table.name,
        version=delta.version(),
        files_before=files_before,
        files_after=len(delta.file_uris()),
        partitions_compacted=sum(joined),
        partitions_skipped=len(joined) - sum(joined),
        log_files_before=len(log_before),
        log_files_after=len(log_after),
        files_deleted=len(deleted),
        bytes_freed=sum(deleted.values()) + dropped,
        files_protected=protected,
    )


def _set_properties(table: TableSpec, delta: DeltaTable) -> None:
    """Upgrade tables that older releases created."""
    try:
        upgrade(table, delta)
        properties = table_properties(table)
        if not properties.items() <= delta.metadata().configuration.items():
            delta.alter.set_table_properties(properties, raise_if_not_exists=False)
    except CommitFailedError as error:
        log.info("%s: another commit came first, properties are set next time (%s)", delta.table_uri, error)
    delta.update_incremental()


def _partitions_to_join(table: TableSpec, delta: DeltaTable, now: datetime) -> list[Partition]:
    """The partitions with more than FEW small files, if they may be joined."""
    files = data_files(delta)
    small = files.filter(pc.less(files["size_bytes"], SMALL))
    columns = delta.metadata().partition_columns
    values = zip(*(small[f"partition.{name}"].to_pylist() for name in columns), strict=True)
    many = sorted(partition for partition, count in Counter(values).items() if count > FEW)
    partitions: list[Partition] = [dict(zip(columns, partition, strict=True)) for partition in many]
    if table not in REPLACED_BY_DAY:
        return partitions
    settled = month_of(pacific_today(now - SETTLED))
    return [partition for partition in partitions if partition.get("month", settled) < settled]


def _join(delta: DeltaTable, partition: Partition, commit: CommitProperties) -> bool:
    """Join the partition's files in one commit. Returns False if another commit to it came first.

    This replaces the partition's rows by themselves instead of using Delta's compaction: two compactions at
    once both succeed (deltalake 1.6.6) and double every row. Of two replacements, one is refused.
    """
    delta.update_incremental()
    month = partition.get("month")
    dataset = dataset_of(
        delta, workspace=partition.get("workspace"), months=None if month is None else [month]
    )
    rows = dataset.scanner().to_reader().cast(schema_of(delta))
    predicate = " AND ".join(f"{name} = {sql_text(value)}" for name, value in partition.items())
    try:
        write_deltalake(
            delta,
            rows,
            mode="overwrite",
            predicate=predicate,
            target_file_size=2 * SMALL,
            commit_properties=commit,
        )
    except CommitFailedError as error:
        log.info("%s: a sync wrote to %s, it is joined next time (%s)", delta.table_uri, predicate, error)
        return False
    return True


def _vacuum(
    table: TableSpec, delta: DeltaTable, storage: pa_fs.FileSystem, retention_hours: int
) -> tuple[dict[str, int], int]:
    """Delete files that are not part of the table and older than the retention.

    Returns the sizes of deleted files by path, and the number of protected files. A file is protected if no
    commit names it and it is older than the log: then it may belong to a table whose log was lost.
    """
    all_old = _vacuumed(delta, retention_hours, full=True, dry_run=True)
    if not all_old:
        return {}, 0
    infos = storage.get_file_info(all_old)
    replaced = set(_vacuumed(delta, retention_hours, full=False, dry_run=True))
    protected = [info for info in infos if info.path not in replaced and _is_older(info, delta)]
    if protected:
        log.warning(
            "%s: %d files are older than the log and not named in it. They may belong to a lost log, so "
            "files that the log does not name are not deleted: restore that log from a backup, or move the "
            "files away",
            table.name,
            len(protected),
        )
    deleted = _vacuumed(delta, retention_hours, full=not protected, dry_run=False)
    sizes = _sizes(infos)
    return {path: sizes.get(path, 0) for path in deleted}, len(protected)


def _vacuumed(delta: DeltaTable, retention_hours: int, *, full: bool, dry_run: bool) -> list[str]:
    return delta.vacuum(retention_hours, enforce_retention_duration=False, full=full, dry_run=dry_run)


def _is_older(file: pa_fs.FileInfo, delta: DeltaTable) -> bool:
    """Whether the file is older than the table's log, or may be."""
    created = delta.metadata().created_time
    if created is None or file.mtime is None:
        return True
    return bool(file.mtime < datetime.fromtimestamp(created / 1000, UTC))


def _log_sizes(storage: pa_fs.FileSystem) -> dict[str, int]:
    return _sizes(storage.get_file_info(pa_fs.FileSelector(LOG)))


def _sizes(infos: Iterable[pa_fs.FileInfo]) -> dict[str, int]:
    return {info.path: info.size or 0 for info in infos}
