"""Finds damage: missing or unreadable data files, and damaged logs.

Damage is found by examining the files, never from the text of an error.
"""

from __future__ import annotations

import errno
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import DeltaTable

from gsc_pipeline.lake.dataset import data_files
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.storage import storage_of

LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(\..+)?\.parquet")
_CHECKPOINT_COLUMNS = frozenset({"add", "metaData", "protocol"})
_LAST_CHECKPOINT = "_last_checkpoint"
_STAGED = re.compile(r"#\d+$")
"""The end of a local file's name while it is being written."""


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A data file that cannot be used. `damage` is what is wrong with it, as "is missing".

    `workspace` and `month` are empty if the table is not partitioned by them. `path` is relative to the
    table.
    """

    table: str
    workspace: str
    month: str
    path: str
    damage: str

    def error(self) -> DamagedError:
        """The error to raise if this file is needed."""
        command = " ".join(["gsc verify", *([self.workspace] if self.workspace else []), "--repair"])
        return DamagedError(
            f"{self.table} is damaged: {self.path} {self.damage}. Run {command}",
            table=self.table,
            workspace=self.workspace,
            month=self.month,
            path=self.path,
        )


@dataclass(frozen=True, slots=True)
class _LoggedFile:
    """A data file as listed in the table's log."""

    table: str
    workspace: str
    month: str
    path: str
    size: int

    def damaged(self, damage: str) -> DamagedFile:
        return DamagedFile(self.table, self.workspace, self.month, self.path, damage)


def damaged_files(
    table: TableSpec, delta: DeltaTable, workspace: str | None = None, *, deep: bool = False
) -> list[DamagedFile]:
    """The table's data files that are missing or have another size than in its log.

    With `workspace`, only files that may contain its rows. With `deep`, reads every file, and also lists
    those that are not valid Parquet, have text that is not UTF-8 or a column of another name. Raises
    DamagedError if the log is damaged or contradicts the files' folders, or an error of the storage.
    """
    logged = _logged_files(table, delta, workspace, None)
    # Delta opens a table with an empty commit file, without that commit's rows.
    if (in_log := log_damage(table, delta.table_uri)) is not None:
        raise in_log
    if (moved := next(filter(_is_elsewhere, logged), None)) is not None:
        raise _damaged_log(table, f"{LOG} puts {moved.path} into another partition than its folder", LOG)
    storage = storage_of(delta.table_uri)
    found = list(_missing_or_resized(storage, logged))
    if deep:
        known = {file.path for file in found}
        found += _unreadable(storage, [file for file in logged if file.path not in known], _columns(delta))
    return sorted(found, key=lambda file: file.path)


def first_damage(
    table: TableSpec,
    delta: DeltaTable,
    workspace: str | None = None,
    months: Sequence[str] | None = None,
) -> DamagedError | None:
    """The first damage in the files that contain these rows; None if all of them can be read.

    Raises an error of the storage.
    """
    logged = _logged_files(table, delta, workspace, months)
    storage = storage_of(delta.table_uri)
    found = next(_missing_or_resized(storage, logged), None) or next(
        _unreadable(storage, logged, _columns(delta)), None
    )
    return None if found is None else found.error()


def _logged_files(
    table: TableSpec, delta: DeltaTable, workspace: str | None, months: Sequence[str] | None
) -> list[_LoggedFile]:
    return [
        _LoggedFile(
            table.name,
            row.get("partition.workspace") or "",
            row.get("partition.month") or "",
            row["path"],
            row["size_bytes"],
        )
        for row in data_files(delta, workspace=workspace, months=months).to_pylist()
    ]


def _is_elsewhere(file: _LoggedFile) -> bool:
    """Whether the log puts a file into another workspace or month than its folder is of."""
    folders = dict(part.split("=", 1) for part in posixpath.dirname(file.path).split("/") if "=" in part)
    return any(
        folders.get(name, value) != value
        for name, value in (("workspace", file.workspace), ("month", file.month))
    )


def _missing_or_resized(storage: pa_fs.FileSystem, logged: Sequence[_LoggedFile]) -> Iterator[DamagedFile]:
    """Files that are missing or have another size. Opens none."""
    if not logged:
        return
    common = posixpath.commonpath([posixpath.dirname(file.path) for file in logged])
    found = _files(storage, common)
    for file in logged:
        size = found.get(file.path)
        if size is None:
            yield file.damaged("is missing")
        elif size != file.size:
            yield file.damaged(f"has {size} bytes instead of {file.size}")


def _columns(delta: DeltaTable) -> frozenset[str]:
    return frozenset(field.name for field in delta.schema().fields)


def _unreadable(
    storage: pa_fs.FileSystem, logged: Iterable[_LoggedFile], columns: frozenset[str]
) -> Iterator[DamagedFile]:
    """Files that are not valid Parquet, have text that is not UTF-8, or a column that the table has not."""
    for file in logged:
        damage = _parquet_damage(storage, file.path, known=columns)
        if damage is not None:
            yield file.damaged(damage)


def content_of(storage: pa_fs.FileSystem, path: str) -> pa.Buffer | str:
    """A file's content, or what is wrong with the file. Raises OSError if the storage fails."""
    try:
        with storage.open_input_file(path) as file:
            return file.read_buffer()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return "is unreadable"


def _parquet_damage(
    storage: pa_fs.FileSystem,
    path: str,
    needed: frozenset[str] = frozenset(),
    known: frozenset[str] | None = None,
) -> str | None:
    """What is wrong with a Parquet file, or None. `needed`: the columns of a checkpoint.

    `known`: the columns that a data file may have. Files of earlier releases lack some of them.
    Raises OSError if the storage fails.
    """
    content = content_of(storage, path)
    if isinstance(content, str):
        return content
    # The content is in memory now, so later errors come from the file and not from the storage.
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content))
        names = parquet.schema_arrow.names
    except (OSError, pa.ArrowException):
        return "is not a Parquet file"
    except UnicodeDecodeError:
        return "has a column name that is not UTF-8"
    if not needed <= {*names}:
        return "is not a checkpoint"
    # Readers take a column of another name for one that the file lacks, which has no values.
    if known is not None and (unknown := sorted({*names} - known)):
        return f"has a column {unknown[0]!a}, which the table lacks"
    try:
        for group in range(parquet.num_row_groups):
            for column in names:
                # Arrow reads bytes that are not UTF-8 as text, unless it is asked to look.
                parquet.read_row_group(group, columns=[column]).validate(full=True)
    except (OSError, pa.ArrowException):
        return "is unreadable"
    return None


def has_files(uri: str) -> bool:
    """Whether there are files in the table's folder. Raises an error of the storage."""
    return any(not _STAGED.search(path) for path in _files(storage_of(uri), ""))


def missing_log(table: TableSpec, uri: str) -> DamagedError:
    """The error to raise if a table's folder has files but no log."""
    return _damaged_log(table, f"{uri} has files but no log", LOG)


def log_damage(table: TableSpec, uri: str) -> DamagedError | None:
    """The error to raise if the table's log is damaged, or None. Raises an error of the storage."""
    found = damage_in_log(storage_of(uri))
    if found is None:
        return None
    name, damage = found
    return _damaged_log(table, f"{LOG}/{name} {damage}", f"{LOG}/{name}")


def _damaged_log(table: TableSpec, damage: str, path: str) -> DamagedError:
    step = f"Restore {LOG} from a backup, or run gsc verify --repair"
    return DamagedError(f"{table.name} is damaged: {damage}. {step}", table=table.name, path=path)


def damage_in_log(storage: pa_fs.FileSystem) -> tuple[str, str] | None:
    """The first damaged file of the log in a table's folder, and what is wrong with it; None if it is whole.

    Raises OSError if the storage fails.
    """
    (info,) = storage.get_file_info([LOG])
    if info.type is pa_fs.FileType.File:
        return None
    # Read before the log is listed: a checkpoint that is written meanwhile is in the list.
    named = _named_checkpoint(storage)
    sizes = {posixpath.basename(path): size for path, size in _files(storage, LOG).items()}
    commits = {int(match[1]) for name in sizes if (match := _COMMIT.fullmatch(name))}
    checkpoints = {name: int(match[1]) for name in sizes if (match := _CHECKPOINT.fullmatch(name))}
    newest = max(checkpoints.values(), default=-1)
    if newest < named:
        return _LAST_CHECKPOINT, "names a checkpoint that is missing"
    is_whole = False
    for name in sorted(name for name, version in checkpoints.items() if version == newest):
        damage = _parquet_damage(storage, f"{LOG}/{name}", _CHECKPOINT_COLUMNS)
        if damage is not None:
            return name, damage
        is_whole |= _has_metadata(storage, f"{LOG}/{name}")
    if newest >= 0 and not is_whole:
        return f"{newest:020d}.checkpoint.parquet", "has no metadata of the table"
    for version in range(newest + 1, max(commits, default=-1) + 1):
        name = f"{version:020d}.json"
        damage = _commit_damage(storage, name) if version in commits else "is missing"
        if damage is not None:
            return name, damage
    return None


def _has_metadata(storage: pa_fs.FileSystem, path: str) -> bool:
    """Whether a checkpoint, or this part of it, has the table's metadata."""
    with storage.open_input_file(path) as file:
        metadata = pq.read_table(file, columns=["metaData"])["metaData"]
    return bool(metadata.null_count < len(metadata))


def _named_checkpoint(storage: pa_fs.FileSystem) -> int:
    """The version of the checkpoint that the log's hint names; 0 if it cannot be read, -1 without a hint."""
    try:
        with storage.open_input_file(f"{LOG}/{_LAST_CHECKPOINT}") as file:
            return int(json.loads(file.read())["version"])
    except FileNotFoundError:
        return -1
    except (ValueError, KeyError, TypeError, OverflowError):
        # Delta ignores a hint that is not one.
        return 0


def _commit_damage(storage: pa_fs.FileSystem, name: str) -> str | None:
    with storage.open_input_file(f"{LOG}/{name}") as file:
        content = file.read()
    if not content.strip():
        return "is empty"
    try:
        actions = [json.loads(line) for line in content.splitlines() if line.strip()]
    except ValueError:
        return "is not JSON"
    return None if all(map(_is_action, actions)) else "is not a commit"


def _is_action(found: Any) -> bool:
    """Whether this is an action of a commit. A table's metadata has its schema as JSON."""
    if not isinstance(found, dict):
        return False
    try:
        return "metaData" not in found or isinstance(json.loads(found["metaData"]["schemaString"]), dict)
    except (ValueError, KeyError, TypeError):
        return False


def _files(storage: pa_fs.FileSystem, folder: str) -> dict[str, int]:
    """The sizes of all files under a folder, by path. Empty if the folder does not exist."""
    selector = pa_fs.FileSelector(folder, recursive=True, allow_not_found=True)
    found = storage.get_file_info(selector)
    return {info.path: info.size for info in found if info.type is pa_fs.FileType.File}
