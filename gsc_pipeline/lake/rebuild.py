"""Rebuilds a table whose log is lost from its data files, and removes damaged files from a table.

Replaced files stay beside the current ones until housekeeping deletes them, so the files alone do not show
which rows are current. Rows that are replaced together, such as a day of a property, are a unit. Each unit is
taken from one file: the newest in which it has the ledger's counts, otherwise the newest that has it.
"""

from __future__ import annotations

import json
import posixpath
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions

from gsc_pipeline.lake.damage import LOG, DamagedFile, content_of
from gsc_pipeline.lake.errors import cannot
from gsc_pipeline.lake.lake import PROPERTY_COLUMNS, Lake, table_properties
from gsc_pipeline.lake.schemas import (
    ANNOTATIONS,
    INSIGHT_REFRESHES,
    INSIGHTS,
    MORE_LEDGER,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITE_IMPRESSION,
    SITEMAPS,
    STANDING_FAILURES,
    SYNC_LEDGER,
    URL_IMPRESSION,
    WRITING,
    TableSpec,
)
from gsc_pipeline.lake.storage import storage_of

_DAY = ("workspace", "site_url", "search_type", "data_date")
_REPLACED_TOGETHER: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            table.name
            for table in (SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER, SEARCHDATA_HOURLY, SEARCH_APPEARANCE)
        ),
        _DAY,
    ),
    MORE_LEDGER.name: ("table_name", *_DAY),
    SITEMAPS.name: ("workspace", "site_url", "observed_on"),
    ANNOTATIONS.name: ("source",),
}
"""The columns that identify rows which are replaced together. In other tables each row is separate."""

RECREATED = (STANDING_FAILURES, INSIGHT_REFRESHES, *INSIGHTS)
"""Tables that the next sync or refresh writes completely, so they are rebuilt without rows."""

Counts = tuple[int, int | None, int | None]
"""The rows, clicks and impressions of a day; clicks and impressions are None if unknown."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The numbers of files that a table was rebuilt from, of unreadable files, and of its rows."""

    files: int
    unreadable: int
    rows: int


def rebuild(lake: Lake, table: TableSpec, in_ledger: Mapping[tuple[Any, ...], Counts]) -> Rebuilt:
    """Rebuild a table whose log is lost or damaged from its data files, in one commit.

    `in_ledger`: the ledger's counts of each day, for the two large tables. A day with a count of zero gets
    no rows. The old log is kept beside the new one, and no data file is deleted. Raises LakeError.
    """
    lake.refuse_unsafe_store()
    uri = lake.table_uri(table)
    storage = storage_of(uri)
    try:
        files = [] if table in RECREATED else _data_files(storage)
        done = [_rebuild_partition(storage, table, part, in_ledger) for part in _by_partition(files)]
        _set_log_aside(storage)
        adds = [add for _, _, add in done if add is not None]
        if adds:
            create_table_with_add_actions(
                uri,
                Schema.from_arrow(table.schema),
                adds,
                mode="error",
                partition_by=list(table.partition_by),
                name=table.name,
                description=table.description,
                # Unknown properties are refused. The first write adds the project's own.
                configuration={
                    name: value
                    for name, value in table_properties(table).items()
                    if name.startswith("delta.")
                },
            )
        else:
            lake.create(table)
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise cannot("rebuild", uri, error) from error
    return Rebuilt(len(files), sum(bad for bad, _, _ in done), sum(rows for _, rows, _ in done))


def remove_damaged(lake: Lake, table: TableSpec, files: Iterable[DamagedFile]) -> None:
    """Remove damaged files from a table. What is left of each is renamed to end in `.damaged`."""
    uri = lake.table_uri(table)
    storage = storage_of(uri)
    try:
        for file in files:
            (info,) = storage.get_file_info([file.path])
            if info.type is pa_fs.FileType.File:
                storage.move(file.path, f"{file.path}.damaged")
        DeltaTable(uri).repair()
    except (DeltaError, OSError) as error:
        raise cannot("repair", uri, error) from error


def _data_files(storage: pa_fs.FileSystem) -> list[pa_fs.FileInfo]:
    """The table's Parquet files, newest first."""
    found = storage.get_file_info(pa_fs.FileSelector("", recursive=True, allow_not_found=True))
    files = [
        info
        for info in found
        if info.type is pa_fs.FileType.File
        and info.path.endswith(".parquet")
        and not info.path.startswith(LOG)
    ]
    return sorted(files, key=lambda info: (info.mtime_ns or 0, info.path), reverse=True)


def _by_partition(files: Sequence[pa_fs.FileInfo]) -> list[list[pa_fs.FileInfo]]:
    parts: dict[str, list[pa_fs.FileInfo]] = {}
    for info in files:
        parts.setdefault(posixpath.dirname(info.path), []).append(info)
    return [parts[folder] for folder in sorted(parts)]


def _rebuild_partition(
    storage: pa_fs.FileSystem,
    table: TableSpec,
    files: Sequence[pa_fs.FileInfo],
    in_ledger: Mapping[tuple[Any, ...], Counts],
) -> tuple[int, int, AddAction | None]:
    """Write a partition's rows to one new file. Returns the numbers of unreadable files and of rows."""
    found = [(info, rows) for info in files if (rows := rows_of_file(storage, table, info.path)) is not None]
    if table in (SYNC_LEDGER, MORE_LEDGER):
        found.sort(key=_second_and_completion, reverse=True)
    read = {info.path: rows for info, rows in found}
    together = _REPLACED_TOGETHER.get(table.name, table.keys)
    chosen = _chosen(read, together, in_ledger)
    kept = [
        _only(rows, together, [unit for unit, at in chosen.items() if at == path])
        for path, rows in read.items()
    ]
    rows = pa.concat_tables([table.schema.empty_table(), *kept])
    bad = len(files) - len(read)
    if not rows.num_rows:
        return bad, 0, None
    path = posixpath.join(posixpath.dirname(files[0].path), f"rebuilt-{uuid.uuid4()}.parquet")
    with storage.open_output_stream(path) as stream:
        pq.write_table(rows.drop_columns(list(table.partition_by)), stream)
    (info,) = storage.get_file_info([path])
    add = AddAction(
        path,
        info.size,
        {name: rows[name][0].as_py() for name in table.partition_by},
        int(info.mtime.timestamp() * 1000) if info.mtime else 0,
        True,
        _stats(table, rows),
    )
    return bad, rows.num_rows, add


def _second_and_completion(found: tuple[pa_fs.FileInfo, pa.Table]) -> tuple[int, bool]:
    """A sort key: the second of a file of the ledger, and whether no day in it is being written.

    A sync marks days and completes them within a second, and object stores keep times in whole seconds.
    """
    info, rows = found
    return (info.mtime_ns or 0) // 10**9, not pc.any(pc.equal(rows["status"], WRITING)).as_py()


def rows_of_file(storage: pa_fs.FileSystem, table: TableSpec, path: str) -> pa.Table | None:
    """A file's rows in the declared columns; None if the file is damaged.

    Raises OSError if the storage fails: without the file's rows the rebuilt table would lack them.
    """
    content = content_of(storage, path)
    if isinstance(content, str):
        return None
    values = dict(part.split("=", 1) for part in posixpath.dirname(path).split("/") if "=" in part)
    try:
        rows = pq.ParquetFile(pa.BufferReader(content)).read()
        columns = [
            pa.repeat(values[field.name], rows.num_rows)
            if field.name in values
            else rows[field.name].cast(field.type)
            if field.name in rows.column_names
            else pa.nulls(rows.num_rows, field.type)
            for field in table.schema
        ]
        return pa.table(columns, schema=table.schema)
    except (OSError, pa.ArrowException):
        return None


def _chosen(
    read: Mapping[str, pa.Table], together: Sequence[str], in_ledger: Mapping[tuple[Any, ...], Counts]
) -> dict[tuple[Any, ...], str]:
    """The file from which each unit's rows are taken. `read` has the newest file first."""
    chosen: dict[tuple[Any, ...], str] = {}
    fits: set[tuple[Any, ...]] = set()
    for path, rows in read.items():
        for unit, in_file in _counts(rows, together).items():
            expected = in_ledger.get(unit)
            if unit in fits or (expected is not None and expected[0] == 0):
                continue
            if expected is not None and _matches(in_file, expected):
                fits.add(unit)
                chosen[unit] = path
            chosen.setdefault(unit, path)
    return chosen


def _matches(in_file: Counts, expected: Counts) -> bool:
    return all(wanted is None or has == wanted for has, wanted in zip(in_file, expected, strict=True))


def _counts(rows: pa.Table, together: Sequence[str]) -> dict[tuple[Any, ...], Counts]:
    """The counts of each unit in a file. Tables without clicks and impressions have only rows."""
    sums: list[tuple[Any, str]] = [([], "count_all")]
    sums += [(name, "sum") for name in ("clicks", "impressions") if name in rows.column_names]
    return {
        tuple(one[name] for name in together): (
            one["count_all"],
            one.get("clicks_sum"),
            one.get("impressions_sum"),
        )
        for one in rows.group_by(list(together)).aggregate(sums).to_pylist()
    }


def _only(rows: pa.Table, together: Sequence[str], units: Sequence[tuple[Any, ...]]) -> pa.Table:
    """The rows of some units."""
    if not units:
        return rows.slice(0, 0)
    keys = rows.select(list(together)).append_column("at", pa.array(range(rows.num_rows), pa.int64()))
    schema = pa.schema([rows.schema.field(name) for name in together])
    wanted = pa.table([list(values) for values in zip(*units, strict=True)], schema=schema)
    # Join only the keys, because Arrow cannot join tables with list columns.
    at = keys.join(wanted, keys=list(together), join_type="left semi")["at"].combine_chunks()
    return rows.take(at.sort())


def _stats(table: TableSpec, rows: pa.Table) -> str:
    """A file's statistics for Delta's log: its number of rows and the bounds of some columns."""
    bounded = [name for name in (*PROPERTY_COLUMNS, "data_date") if name in rows.column_names]
    bounds = {name: pc.min_max(rows[name]).as_py() for name in bounded if name not in table.partition_by}
    return json.dumps(
        {
            "numRecords": rows.num_rows,
            "minValues": {name: _text(one["min"]) for name, one in bounds.items() if one["min"] is not None},
            "maxValues": {name: _text(one["max"]) for name, one in bounds.items() if one["max"] is not None},
            "nullCount": {name: rows[name].null_count for name in bounds},
        }
    )


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, date | datetime) else value


def _set_log_aside(storage: pa_fs.FileSystem) -> None:
    """Move the log to another folder, file by file as object stores require."""
    aside = f"{LOG}.damaged-{uuid.uuid4().hex[:8]}"
    found = storage.get_file_info(pa_fs.FileSelector(LOG, recursive=True, allow_not_found=True))
    files = [info.path for info in found if info.type is pa_fs.FileType.File]
    if files:
        storage.create_dir(aside, recursive=True)
    for path in files:
        storage.move(path, f"{aside}/{posixpath.basename(path)}")
