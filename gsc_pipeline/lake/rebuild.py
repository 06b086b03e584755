"""Rebuilds a table from its data files where its log is lost, and takes damaged files out of a table.

Old files stay beside the live ones until housekeeping deletes them, so the files alone do not say which rows
are the table's. Rows that are replaced together (a day of a property, say) are taken from one file: from the
newest that holds as many as the ledger claims, else from the newest.
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

from gsc_pipeline.lake.damage import LOG, DamagedFile
from gsc_pipeline.lake.errors import cannot
from gsc_pipeline.lake.lake import PROPERTY_COLUMNS, Lake, table_properties
from gsc_pipeline.lake.schemas import (
    INSIGHT_REFRESHES,
    INSIGHTS,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITE_IMPRESSION,
    SITEMAPS,
    STANDING_FAILURES,
    SYNC_LEDGER,
    URL_IMPRESSION,
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
    SITEMAPS.name: ("workspace", "site_url", "observed_on"),
}
"""The columns whose values rows share that are replaced together. Of other tables each row is by itself."""

MADE_AGAIN = (STANDING_FAILURES, INSIGHT_REFRESHES, *INSIGHTS)
"""Tables that the next sync or refresh makes whole again: rebuilt without rows."""

Claim = tuple[int, int | None, int | None]
"""Rows, clicks and impressions of a day, the sums None where unknown."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a table was rebuilt from: files read, files that could not be, and rows of the new table."""

    table: str
    files: int
    unreadable: int
    rows: int


def rebuild(lake: Lake, table: TableSpec, claims: Mapping[tuple[Any, ...], Claim]) -> Rebuilt:
    """Make a table whose log is lost or damaged from its data files, in one commit.

    `claims` says what the ledger counts of each day, for the two large tables; a day with a claim of no
    rows gets none. The old log is kept beside the new one, and no data file is deleted. Raises LakeError.
    """
    uri = lake.table_uri(table)
    storage = storage_of(uri)
    try:
        files = [] if table in MADE_AGAIN else _data_files(storage)
        done = [_rebuild_partition(storage, table, part, claims) for part in _by_partition(files)]
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
                configuration=_delta_properties(table),
            )
        else:
            lake.create(table)
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise cannot("rebuild", uri, error) from error
    return Rebuilt(table.name, len(files), sum(bad for bad, _, _ in done), sum(rows for _, rows, _ in done))


def _delta_properties(table: TableSpec) -> dict[str, str]:
    # This way of making a table takes no property of the project's own. The first write adds it.
    return {name: value for name, value in table_properties(table).items() if name.startswith("delta.")}


def remove_damaged(lake: Lake, table: TableSpec, files: Iterable[DamagedFile]) -> None:
    """Take damaged files out of a table. What is left of each stays under its name with `.damaged` added."""
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


def _by_partition(files: Sequence[pa_fs.FileInfo]) -> list[list[str]]:
    parts: dict[str, list[str]] = {}
    for info in files:
        parts.setdefault(posixpath.dirname(info.path), []).append(info.path)
    return [parts[folder] for folder in sorted(parts)]


def _rebuild_partition(
    storage: pa_fs.FileSystem,
    table: TableSpec,
    paths: Sequence[str],
    claims: Mapping[tuple[Any, ...], Claim],
) -> tuple[int, int, AddAction | None]:
    """Write one new file with a partition's rows. Returns how many files could not be read, and its rows."""
    read = {path: rows for path in paths if (rows := _rows_of(storage, table, path)) is not None}
    together = _REPLACED_TOGETHER.get(table.name, table.keys)
    chosen = _chosen(read, together, claims)
    kept = [
        _only(rows, together, [unit for unit, at in chosen.items() if at == path])
        for path, rows in read.items()
    ]
    rows = pa.concat_tables([table.schema.empty_table(), *kept])
    bad = len(paths) - len(read)
    if not rows.num_rows:
        return bad, 0, None
    path = posixpath.join(posixpath.dirname(paths[0]), f"rebuilt-{uuid.uuid4()}.parquet")
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


def _rows_of(storage: pa_fs.FileSystem, table: TableSpec, path: str) -> pa.Table | None:
    """A file's rows in the declared columns, None where the file cannot be read."""
    values = dict(part.split("=", 1) for part in posixpath.dirname(path).split("/") if "=" in part)
    try:
        with storage.open_input_file(path) as file:
            rows = pq.ParquetFile(file).read()
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
    read: Mapping[str, pa.Table], together: Sequence[str], claims: Mapping[tuple[Any, ...], Claim]
) -> dict[tuple[Any, ...], str]:
    """The file that each unit's rows are taken from. `read` has the newest file first."""
    chosen: dict[tuple[Any, ...], str] = {}
    fits: set[tuple[Any, ...]] = set()
    for path, rows in read.items():
        for unit, held in _sums(rows, together).items():
            claim = claims.get(unit)
            if unit in fits or (claim is not None and claim[0] == 0):
                continue
            if claim is not None and _is_as_claimed(held, claim):
                fits.add(unit)
                chosen[unit] = path
            else:
                chosen.setdefault(unit, path)
    return chosen


def _is_as_claimed(held: Claim, claim: Claim) -> bool:
    return all(wanted is None or has == wanted for has, wanted in zip(held, claim, strict=True))


def _sums(rows: pa.Table, together: Sequence[str]) -> dict[tuple[Any, ...], Claim]:
    sums: list[tuple[Any, str]] = [([], "count_all")]
    names = ["clicks", "impressions"]
    has_sums = all(name in rows.column_names and name not in together for name in names)
    sums += [(name, "sum") for name in names if has_sums]
    groups = rows.group_by(list(together)).aggregate(sums)
    units = zip(*(groups[name].to_pylist() for name in together), strict=True)
    counts = groups["count_all"].to_pylist()
    if not has_sums:
        return {unit: (count, None, None) for unit, count in zip(units, counts, strict=True)}
    more = (groups[f"{name}_sum"].to_pylist() for name in names)
    return {unit: held for unit, *held in zip(units, counts, *more, strict=True)}


def _only(rows: pa.Table, together: Sequence[str], units: Sequence[tuple[Any, ...]]) -> pa.Table:
    """The rows of some units. Of rows that are alone one of each key stays."""
    if not units:
        return rows.slice(0, 0)
    keys = rows.select(list(together)).append_column("at", pa.array(range(rows.num_rows), pa.int64()))
    schema = pa.schema([rows.schema.field(name) for name in together])
    wanted = pa.table([list(values) for values in zip(*units, strict=True)], schema=schema)
    # Only the keys are joined, as Arrow joins no lists.
    at = keys.join(wanted, keys=list(together), join_type="left semi")["at"].combine_chunks()
    return rows.take(at.sort())


def _stats(table: TableSpec, rows: pa.Table) -> str:
    """What Delta's log says of a file: its rows, and bounds of the columns that spare readers the file."""
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
    """Move the log to a folder of another name, file by file as an object store must."""
    aside = f"{LOG}.damaged-{uuid.uuid4().hex[:8]}"
    found = storage.get_file_info(pa_fs.FileSelector(LOG, recursive=True, allow_not_found=True))
    files = [info.path for info in found if info.type is pa_fs.FileType.File]
    if files:
        storage.create_dir(aside, recursive=True)
    for path in files:
        storage.move(path, f"{aside}/{posixpath.basename(path)}")
