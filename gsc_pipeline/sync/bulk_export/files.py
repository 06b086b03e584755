"""Finds the Parquet files of an export, and identifies the table of each by its columns."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from gsc_pipeline.lake.errors import cause_of
from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE_FLAGS
from gsc_pipeline.lake.storage import storage_of
from gsc_pipeline.sync.bulk_export.errors import BulkExportError

if TYPE_CHECKING:
    # Importing it takes a tenth of a second, and every command imports this module.
    import pyarrow.dataset as ds

_SHARD = re.compile(r"\d{12}|(?<=part-)\d+|(?<=data_)\d+")
"""The number of one of several files written together: by BigQuery, by Spark or pyarrow, by DuckDB."""

_SHARD_OF_BIGQUERY = re.compile(r"\d{12}")

_APART_NANOSECONDS = 5 * 60 * 10**9
"""Files of one statement are written at once. Longer before the others were those of an earlier one."""

_NULL_IN_PATH = "__HIVE_DEFAULT_PARTITION__"

_IsType = Callable[[pa.DataType], bool]


def _is_text(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        return _is_text(type_.value_type)
    return bool(
        pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)
    )


def _is_flag(type_: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(type_) or pa.types.is_null(type_))


_IS_TYPE: Mapping[pa.DataType, tuple[_IsType, str]] = {
    pa.string(): (_is_text, "STRING"),
    pa.int64(): (pa.types.is_signed_integer, "INT64"),
    pa.bool_(): (_is_flag, "BOOL"),
    pa.date32(): (pa.types.is_date, "DATE"),
}
"""For each type of the export, the types of files that are read as it, and BigQuery's name for it."""

_DAY_AND_SITE = {"data_date": pa.date32(), "site_url": pa.string()}
_KEYS = {
    "query": pa.string(),
    "is_anonymized_query": pa.bool_(),
    "country": pa.string(),
    "search_type": pa.string(),
    "device": pa.string(),
}
_COUNTS = {"impressions": pa.int64(), "clicks": pa.int64()}


class ExportTable(Enum):
    """A table of the export: its name, its columns in the order of the export, and those it may lack.

    Exports of earlier years lack the flags that Google added later.
    """

    SITE = (
        "searchdata_site_impression",
        {**_DAY_AND_SITE, **_KEYS, **_COUNTS, "sum_top_position": pa.int64()},
    )
    URL = (
        "searchdata_url_impression",
        {
            **_DAY_AND_SITE,
            "url": pa.string(),
            **_KEYS,
            "is_anonymized_discover": pa.bool_(),
            **dict.fromkeys(SEARCH_APPEARANCE_FLAGS, pa.bool_()),
            **_COUNTS,
            "sum_position": pa.int64(),
        },
        frozenset(("is_anonymized_discover", *SEARCH_APPEARANCE_FLAGS)),
    )
    LOG = (
        "ExportLog",
        {
            "agenda": pa.string(),
            "namespace": pa.string(),
            "data_date": pa.date32(),
            "epoch_version": pa.int64(),
        },
    )

    def __init__(
        self, label: str, columns: Mapping[str, pa.DataType], optional: frozenset[str] = frozenset()
    ) -> None:
        self.label = label
        self.schema = pa.schema(list(columns.items()))
        self.optional = optional

    @property
    def required(self) -> frozenset[str]:
        """The columns without which a file is not of this table."""
        return frozenset(self.schema.names) - self.optional


_TABLE_BY_COLUMN = {
    "sum_top_position": ExportTable.SITE,
    "sum_position": ExportTable.URL,
    "epoch_version": ExportTable.LOG,
}
"""For each table, the column that no other has."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file. `in_path` has the values of columns that only a Hive-style path gives, None for null."""

    path: str
    in_path: Mapping[str, str | date | None]


@dataclass(frozen=True, slots=True)
class Part:
    """Files that one EXPORT DATA statement wrote, or one program: a table, or some of its days.

    `root` is a folder or URI; the files' paths are relative to it. `unknown` are columns of the files that
    this release does not know, and does not import.
    """

    table: ExportTable
    root: str
    label: str
    files: tuple[ExportFile, ...]
    unknown: frozenset[str]

    def stream(
        self,
        columns: Sequence[str],
        where: pc.Expression | None = None,
        files: Sequence[ExportFile] | None = None,
    ) -> pa.RecordBatchReader:
        """The rows of `files`, or of all, with the table's types, in small batches.

        Files are opened one after another, with little read-ahead: only a batch is in memory.
        """
        scanner = self._dataset(self.files if files is None else files).scanner(
            columns=list(columns),
            filter=where,
            batch_size=32_768,
            use_threads=False,
            batch_readahead=0,
            fragment_readahead=1,
            memory_pool=pa.system_memory_pool(),
        )
        return scanner.to_reader()

    def _dataset(self, files: Sequence[ExportFile]) -> ds.Dataset:
        import pyarrow.dataset as ds

        storage, form = storage_of(self.root), ds.ParquetFileFormat()
        fragments = [
            form.make_fragment(file.path, filesystem=storage, partition_expression=_guarantee(file))
            for file in files
        ]
        return ds.FileSystemDataset(fragments, self.table.schema, form, storage)


def find_parts(paths: Sequence[str]) -> list[Part]:
    """The parts in files, folders, or URIs of buckets; in a path, `*` stands for any characters.

    Raises BulkExportError for a path without Parquet files, and a file that is not of the export.
    """
    causes: list[str] = []
    parts: dict[tuple[ExportTable, str, str], list[tuple[ExportFile, frozenset[str]]]] = {}
    seen: set[str] = set()
    for given in dict.fromkeys(paths):
        try:
            root, names = _listed(given)
            storage = storage_of(root)
            causes += _left_by_earlier_exports(storage, root, names)
        except (OSError, ValueError, DeltaError) as error:
            causes.append(f"{given}: cannot be read ({cause_of(error)})")
            continue
        if not names:
            causes.append(f"{given}: no Parquet files (*.parquet)")
        for name in names:
            label = f"{root}/{name}"
            if label in seen:
                continue
            seen.add(label)
            try:
                table, file, unknown = _identified(storage, name)
            except ValueError as error:
                causes.append(f"{label}: {error}")
                continue
            folder, _, file_name = name.rpartition("/")
            together = posixpath.join(folder, _SHARD.sub("*", file_name))
            parts.setdefault((table, root, together), []).append((file, unknown))
    if causes:
        raise BulkExportError(causes)
    return [
        Part(
            table,
            root,
            f"{root}/{pattern}",
            tuple(file for file, _ in files),
            frozenset[str]().union(*(unknown for _, unknown in files)),
        )
        for (table, root, pattern), files in parts.items()
    ]


def _left_by_earlier_exports(storage: pa_fs.FileSystem, root: str, names: Sequence[str]) -> list[str]:
    """The causes of files that an earlier export to the same place left, as it had more files.

    Their numbers are higher than those of all files that the later export replaced, and they are older.
    """
    numbered: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        folder, _, file_name = name.rpartition("/")
        if number := _SHARD_OF_BIGQUERY.search(file_name):
            together = posixpath.join(folder, _SHARD_OF_BIGQUERY.sub("*", file_name))
            numbered.setdefault(together, []).append((int(number[0]), name))
    causes = []
    for files in numbered.values():
        in_order = [name for _, name in sorted(files)]
        if len(in_order) < 2:
            continue
        written = [info.mtime_ns or 0 for info in storage.get_file_info(in_order)]
        for i in range(1, len(in_order)):
            if max(written[i:]) + _APART_NANOSECONDS < min(written[:i]):
                causes.append(
                    f"{root}/{in_order[i]}: written long before {in_order[0]}, so it is left of an earlier "
                    "export to the same place: delete it and the files after it, or copy all files again if "
                    "they are of one export"
                )
                break
    return causes


def _listed(given: str) -> tuple[str, list[str]]:
    """The folder to read, and the Parquet files in it that the path names."""
    root, pattern = _split(given)
    storage = storage_of(root)
    if pattern and "*" not in pattern:
        return root, [pattern]
    found = storage.get_file_info(pa_fs.FileSelector("", recursive=True))
    names = sorted(info.path for info in found if info.type is pa_fs.FileType.File)
    if any("_delta_log" in name.split("/") for name in names):
        raise ValueError("a Delta Lake table, not an export")
    if pattern:
        return root, [name for name in names if fnmatchcase(name, pattern)]
    return root, [name for name in names if name.endswith(".parquet") and not _is_hidden(name)]


def _split(given: str) -> tuple[str, str]:
    """The folder of a path, and the name or pattern of files in it; "" for the whole folder."""
    if "://" not in given:
        path = Path(given).absolute()
        if path.is_dir():
            return str(path), ""
        if path.is_file():
            return str(path.parent), path.name
        if "*" not in given:
            raise FileNotFoundError("no such file or folder")
        given = str(path)
    whole = given.rstrip("/")
    if "*" not in whole and not whole.endswith(".parquet"):
        return whole, ""
    before = whole.partition("*")[0]
    root = before.rpartition("/")[0]
    return root or "/", whole[len(root) + 1 :]


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/"))


def _identified(storage: pa_fs.FileSystem, name: str) -> tuple[ExportTable, ExportFile, frozenset[str]]:
    """The table of a file, the file, and its unknown columns. Raises ValueError: what is wrong with it."""
    try:
        schema = pq.read_schema(name, filesystem=storage)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"cannot be read as Parquet ({cause_of(error)})") from None
    types = dict(zip(schema.names, schema.types, strict=True))
    tables = {table for column, table in _TABLE_BY_COLUMN.items() if column in types}
    if len(tables) != 1:
        expected = ", ".join(table.label for table in ExportTable)
        raise ValueError(f"not of the bulk export: expected the columns of one of {expected}")
    (table,) = tables
    in_path = _in_path(name, table.schema.names, types)
    if missing := sorted(table.required - types.keys() - in_path.keys()):
        raise ValueError(f"{table.label} without the column {', '.join(missing)}")
    for field in table.schema:
        is_type, wanted = _IS_TYPE[field.type]
        if field.name in types and not is_type(types[field.name]):
            raise ValueError(
                f"column {field.name} of {table.label} is {types[field.name]} instead of {wanted}"
            )
    known = {*table.schema.names, "publish_time"}
    return table, ExportFile(name, in_path), frozenset(types.keys() - known)


def _in_path(
    name: str, columns: Iterable[str], types: Mapping[str, pa.DataType]
) -> dict[str, str | date | None]:
    """The values of `columns` that the path has as `column=value`, and the file itself does not have."""
    wanted = set(columns) - types.keys()
    found: dict[str, str | date | None] = {}
    for part in posixpath.dirname(name).split("/"):
        column, is_pair, value = part.partition("=")
        if is_pair and column in wanted:
            text = unquote(value)
            try:
                found[column] = (
                    None
                    if text == _NULL_IN_PATH
                    else date.fromisoformat(text)
                    if column == "data_date"
                    else text
                )
            except ValueError:
                raise ValueError(f"{part} in its path is not a date such as data_date=2026-11-20") from None
    return found


def _guarantee(file: ExportFile) -> pc.Expression:
    """An expression that is true for all rows of the file."""
    known = pc.scalar(True)
    for column, value in file.in_path.items():
        known &= pc.field(column).is_null() if value is None else pc.field(column) == value
    return known
