"""Keeping the lake small and quick: joining small files, shortening the log, deleting what nobody needs.

Belongs here: what may be done to Delta tables while syncs go on. Does not: changing any row.

Syncs and housekeeping meet in three ways, all harmless. A sync that replaces rows of a partition while it
is being joined wins: the joining is given up until the next time, and reported. A sync that finds its
partition joined under its hands repeats its commit, as it does after another sync's. Files that a commit
has replaced stay for `retention_hours`, for those who still read them, and files that no commit names yet
(a sync's under way, or what a killed one left) stay as long.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from gsc_pipeline.days import Clock, month_of, pacific_today, utc_now
from gsc_pipeline.lake.dataset import dataset_of
from gsc_pipeline.lake.lake import Lake, LakeError, sql_text, table_properties
from gsc_pipeline.lake.schemas import (
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    TABLES,
    URL_IMPRESSION,
    TableSpec,
)

log = logging.getLogger(__name__)

FEW = 4
"""A partition with no more small files than this is left as it is: a day of syncs appends as many."""

SMALL = 64 * 1024 * 1024
"""Bytes. A larger file is read about as fast alone as joined with others."""

SETTLED = timedelta(days=62)
"""Of the tables whose days are replaced, months that ended this long ago are joined, and no others.

A replacement writes the whole of each file anew that holds one of its rows. Until then a workspace's
properties have a file each, and a sync of one leaves the others' files alone.
"""

REPLACED_BY_DAY = (SITE_IMPRESSION, URL_IMPRESSION, SEARCHDATA_HOURLY, SEARCH_APPEARANCE, SYNC_LEDGER)


Partition = Mapping[str, str]
"""The value of each column that the table is partitioned by."""


@dataclass(frozen=True, slots=True)
class TableHousekeeping:
    """What was done to one table. Files are those of its rows, log files those of its commits.

    `partitions_skipped` were not joined because a sync wrote them meanwhile. `bytes_freed` is what the
    deleted files of both sorts held.
    """

    table: str
    version: int
    files_before: int
    files_after: int
    partitions_compacted: int
    partitions_skipped: int
    log_files_before: int
    log_files_after: int
    files_deleted: int
    bytes_freed: int

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def compact_and_vacuum(
    lake: Lake, *, retention_hours: int = 168, clock: Clock = utc_now
) -> list[TableHousekeeping]:
    """Tend every table that exists, and say what was done. Rows stay as they are.

    `retention_hours` is how long files that are no longer part of a table are kept: more than the longest
    sync or query takes. `clock` decides which months are settled; the age of files is the storage's own.
    Raises LakeError where the storage does not do its part.
    """
    return [done for table in TABLES if (done := _tend(lake, table, retention_hours, clock())) is not None]


def _tend(lake: Lake, table: TableSpec, retention_hours: int, now: datetime) -> TableHousekeeping | None:
    uri = lake.table_uri(table)
    try:
        delta = DeltaTable(uri)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise _failed(uri, error) from error
    try:
        return _tended(table, delta, uri, retention_hours, now)
    except (DeltaError, OSError) as error:
        raise _failed(uri, error) from error


def _tended(
    table: TableSpec, delta: DeltaTable, uri: str, retention_hours: int, now: datetime
) -> TableHousekeeping:
    storage = pa_fs.PyFileSystem(DeltaStorageHandler(uri))
    files_before, log_before = len(delta.file_uris()), _log_sizes(storage)
    _set_properties(table, delta)
    joined = [_join(table, delta, partition) for partition in _partitions_to_join(table, delta, now)]
    delta.update_incremental()
    deleted = _vacuum(delta, storage, retention_hours)
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
    )


def _set_properties(table: TableSpec, delta: DeltaTable) -> None:
    """For tables made before a property was given to new ones."""
    properties = table_properties(table)
    if properties.items() <= delta.metadata().configuration.items():
        return
    try:
        delta.alter.set_table_properties(properties)
    except CommitFailedError as error:
        log.info("%s: its properties are set the next time (%s)", delta.table_uri, error)
    delta.update_incremental()


def _partitions_to_join(table: TableSpec, delta: DeltaTable, now: datetime) -> list[Partition]:
    """Each partition with more than a few small files that may be joined."""
    files = pa.table(delta.get_add_actions(flatten=True))
    small = files.filter(pc.less(files["size_bytes"], SMALL))
    columns = delta.metadata().partition_columns
    values = zip(*(small[f"partition.{name}"].to_pylist() for name in columns), strict=True)
    many = sorted(partition for partition, count in Counter(values).items() if count > FEW)
    partitions: list[Partition] = [dict(zip(columns, partition, strict=True)) for partition in many]
    if table not in REPLACED_BY_DAY:
        return partitions
    settled = month_of(pacific_today(now - SETTLED))
    return [partition for partition in partitions if partition.get("month", settled) < settled]


def _join(table: TableSpec, delta: DeltaTable, partition: Partition) -> bool:
    """Join the partition's files in one commit; false where another commit to it came in between.

    It is a replacement of the partition's rows by themselves and not Delta's own compaction: two of those
    at once both succeed (deltalake 1.6.6) and double every row, where a replacement is refused.
    """
    delta.update_incremental()
    month = partition.get("month")
    dataset = dataset_of(
        delta, workspace=partition.get("workspace"), months=None if month is None else [month]
    )
    rows = dataset.scanner().to_reader().cast(table.schema)
    predicate = " AND ".join(f"{name} = {sql_text(value)}" for name, value in partition.items())
    try:
        write_deltalake(delta, rows, mode="overwrite", predicate=predicate, target_file_size=2 * SMALL)
    except CommitFailedError as error:
        log.info("%s: %s is left to the next time (%s)", delta.table_uri, predicate, error)
        return False
    return True


def _vacuum(delta: DeltaTable, storage: pa_fs.FileSystem, retention_hours: int) -> dict[str, int]:
    """Delete what is no part of the table and older than the retention; returns sizes by path."""
    how: dict[str, Any] = {"enforce_retention_duration": False, "full": True}
    sizes = _sizes(storage.get_file_info(delta.vacuum(retention_hours, dry_run=True, **how)))
    if not sizes:
        return {}
    deleted = delta.vacuum(retention_hours, dry_run=False, **how)
    return {path: sizes.get(path, 0) for path in deleted}


def _log_sizes(storage: pa_fs.FileSystem) -> dict[str, int]:
    return _sizes(storage.get_file_info(pa_fs.FileSelector("_delta_log")))


def _sizes(infos: Iterable[pa_fs.FileInfo]) -> dict[str, int]:
    return {info.path: info.size or 0 for info in infos}


def _failed(uri: str, error: Exception) -> LakeError:
    cause = " ".join(str(error).split())[:300]
    return LakeError(f"cannot tidy {uri} ({cause}): check GSC_LAKE, its permissions and the space left")
