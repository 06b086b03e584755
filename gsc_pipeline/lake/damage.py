"""Finds damage: data files that are missing or cannot be read, and logs that cannot.

Whether files are damaged is decided by looking at them, never by the text of an error.
"""

from __future__ import annotations

import errno
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import DeltaTable

from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.storage import storage_of, stored_path

LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(\..+)?\.parquet")
_LAST_CHECKPOINT = "_last_checkpoint"
_STAGED = re.compile(r"#\d+$")
"""The end of the name that a file in a folder has until it is written whole."""


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A data file that cannot be used, and `damage`, what is wrong with it.

    `workspace` and `month` are empty where the table is not partitioned by them. `path` is relative to the
    table.
    """

    table: str
    workspace: str
    month: str
    path: str
    damage: str

    def error(self) -> DamagedError:
        """The error to raise where this file is needed."""
        command = " ".join(["gsc verify", *([self.workspace] if self.workspace else []), "--repair"])
        return DamagedError(
            f"{self.table} is damaged: {self.path} {self.damage}. Run {command}",
            table=self.table,
            workspace=self.workspace,
            month=self.month,
            path=self.path,
        )


@dataclass(frozen=True, slots=True)
class _Named:
    """A data file as the table's log names it."""

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
    """The table's data files that are missing or of another size than its log says.

    With `workspace`, those that may hold its rows. With `deep`, also those that cannot be read as Parquet,
    for which every file is read. Raises DamagedError for a damaged log, and what the storage raises where
    it does not answer.
    """
    named = _named(table, delta, workspace, None)
    # Delta opens a table although a commit is an empty file, and lacks that commit's rows.
    if (in_log := log_damage(table, delta.table_uri)) is not None:
        raise in_log
    storage = storage_of(delta.table_uri)
    found = list(_misfits(storage, named))
    if deep:
        unfit = {file.path for file in found}
        found += _unreadable(storage, [file for file in named if file.path not in unfit])
    return sorted(found, key=lambda file: file.path)


def first_damage(
    table: TableSpec,
    delta: DeltaTable,
    workspace: str | None = None,
    months: Sequence[str] | None = None,
) -> DamagedError | None:
    """What is wrong with the files that hold these rows; None where all of them can be read.

    Raises what the storage raises where it does not answer.
    """
    named = _named(table, delta, workspace, months)
    storage = storage_of(delta.table_uri)
    found = next(_misfits(storage, named), None) or next(_unreadable(storage, named), None)
    return None if found is None else found.error()


def _named(
    table: TableSpec, delta: DeltaTable, workspace: str | None, months: Sequence[str] | None
) -> list[_Named]:
    files = pa.table(delta.get_add_actions(flatten=True))
    for name, values in (("workspace", workspace and [workspace]), ("month", months)):
        if values is not None and f"partition.{name}" in files.column_names:
            files = files.filter(pc.is_in(files[f"partition.{name}"], pa.array(values, pa.string())))
    return [
        _Named(
            table.name,
            row.get("partition.workspace") or "",
            row.get("partition.month") or "",
            stored_path(row["path"]),
            row["size_bytes"],
        )
        for row in files.to_pylist()
    ]


def _misfits(storage: pa_fs.FileSystem, named: Sequence[_Named]) -> Iterator[DamagedFile]:
    """Files that are missing or of another size, without opening any."""
    if not named:
        return
    common = posixpath.commonpath([posixpath.dirname(file.path) for file in named])
    found = _files(storage, common)
    for file in named:
        size = found.get(file.path)
        if size is None:
            yield file.damaged("is missing")
        elif size != file.size:
            yield file.damaged(f"has {size} bytes instead of {file.size}")


def _unreadable(storage: pa_fs.FileSystem, named: Iterable[_Named]) -> Iterator[DamagedFile]:
    for file in named:
        damage = _parquet_damage(storage, file.path)
        if damage is not None:
            yield file.damaged(damage)


def _parquet_damage(storage: pa_fs.FileSystem, path: str) -> str | None:
    """What is wrong with a Parquet file. Raises OSError where the storage does not give it."""
    try:
        with storage.open_input_file(path) as file:
            content = file.read_buffer()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return "is unreadable"
    # All of it is in memory now, so what fails from here on is the file and not the storage.
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content))
    except (OSError, pa.ArrowException):
        return "is not a Parquet file"
    try:
        for group in range(parquet.num_row_groups):
            for column in parquet.schema_arrow.names:
                parquet.read_row_group(group, columns=[column])
    except (OSError, pa.ArrowException):
        return "is unreadable"
    return None


def has_files(uri: str) -> bool:
    """Whether any file lies where the table is to be. Raises what the storage raises."""
    return any(not _STAGED.search(path) for path in _files(storage_of(uri), ""))


def without_log(table: TableSpec, uri: str) -> DamagedError:
    """The error to raise where a table's folder holds files and no log."""
    return DamagedError(
        f"{table.name} is damaged: {uri} has files but no log. Restore {LOG} from a backup, "
        "or run gsc verify --repair",
        table=table.name,
        path=LOG,
    )


def log_damage(table: TableSpec, uri: str) -> DamagedError | None:
    """What is wrong with the table's log; None where nothing is. Raises what the storage raises."""
    found = _log_damage(storage_of(uri))
    if found is None:
        return None
    name, damage = found
    return DamagedError(
        f"{table.name} is damaged: {LOG}/{name} {damage}. Restore {LOG} from a backup, "
        "or run gsc verify --repair",
        table=table.name,
        path=f"{LOG}/{name}",
    )


def _log_damage(storage: pa_fs.FileSystem) -> tuple[str, str] | None:
    """A file of the log, and what is wrong with it."""
    (info,) = storage.get_file_info([LOG])
    if info.type is pa_fs.FileType.File:
        return None
    sizes = {posixpath.basename(path): size for path, size in _files(storage, LOG).items()}
    commits = {int(match[1]) for name in sizes if (match := _COMMIT.fullmatch(name))}
    checkpoints = {name: int(match[1]) for name in sizes if (match := _CHECKPOINT.fullmatch(name))}
    newest = max(checkpoints.values(), default=-1)
    if newest < 0 and _LAST_CHECKPOINT in sizes:
        return _LAST_CHECKPOINT, "names a checkpoint that is missing"
    for name in sorted(name for name, version in checkpoints.items() if version == newest):
        damage = _parquet_damage(storage, f"{LOG}/{name}")
        if damage is not None:
            return name, damage
    for version in range(newest + 1, max(commits, default=-1) + 1):
        name = f"{version:020d}.json"
        damage = _commit_damage(storage, name) if version in commits else "is missing"
        if damage is not None:
            return name, damage
    return None


def _commit_damage(storage: pa_fs.FileSystem, name: str) -> str | None:
    with storage.open_input_file(f"{LOG}/{name}") as file:
        content = file.read()
    if not content.strip():
        return "is empty"
    try:
        actions = [json.loads(line) for line in content.splitlines() if line.strip()]
    except ValueError:
        return "is not JSON"
    return None if all(isinstance(action, dict) for action in actions) else "is not a commit"


def _files(storage: pa_fs.FileSystem, folder: str) -> dict[str, int]:
    """Sizes of all files under a folder, by path; none where the folder does not exist."""
    selector = pa_fs.FileSelector(folder, recursive=True, allow_not_found=True)
    found = storage.get_file_info(selector)
    return {info.path: info.size for info in found if info.type is pa_fs.FileType.File}
