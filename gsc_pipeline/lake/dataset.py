"""Opens tables, lists their data files and makes Arrow datasets of them.

At a thousand workspaces and 16 months, opening a table takes a quarter of a second of CPU, so tables stay
open and follow new commits. Delta's own dataset takes 10 s there, because it writes out the bounds of every
column of every file; this one takes a third of a second.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from gsc_pipeline.lake.columns import compared, schema_of
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.storage import storage_of

if TYPE_CHECKING:
    # Importing it takes a tenth of a second, and only readers of the lake need it.
    import pyarrow.dataset as ds

BOUNDED = ("data_date", "status", "last_read_at", "started_at")
"""Columns whose bounds are used to skip files."""

_ROUNDING = timedelta(milliseconds=1)
"""Delta truncates the bounds of timestamps to milliseconds."""


def data_files(
    delta: DeltaTable,
    *,
    workspace: str | Collection[str] | None = None,
    months: Sequence[str] | None = None,
) -> pa.Table:
    """The table's data files as listed in its log, one row each.

    Columns: `path` (text, relative to the table), `size_bytes` and `num_records` (int64),
    `partition.<column>` (text) for each partition column, and `min.<column>`, `max.<column>` and
    `null_count.<column>` for each column whose bounds Delta keeps. With `workspace` (one or several) or
    `months`, without the files of other partitions; if the table is not partitioned by that column, all.
    """
    files = pa.table(delta.get_add_actions(flatten=True))
    for name, values in _selected(workspace, months).items():
        if f"partition.{name}" in files.column_names:
            files = files.filter(pc.is_in(files[f"partition.{name}"], pa.array(values, pa.string())))
    # The log has percent-encoded paths.
    paths = pa.array(map(unquote, files["path"].to_pylist()), pa.string())
    return files.set_column(files.column_names.index("path"), "path", paths)


def with_row_counts(delta: DeltaTable, files: pa.Table) -> pa.Table:
    """The files of `data_files`, with the number of rows also of those whose writer kept no statistics."""
    counts = files["num_records"] if "num_records" in files.column_names else pa.nulls(files.num_rows)
    if not counts.null_count:
        return files
    storage = storage_of(delta.table_uri)
    known = zip(files["path"].to_pylist(), counts.to_pylist(), strict=True)
    rows = [pq.read_metadata(path, filesystem=storage).num_rows if n is None else n for path, n in known]
    columns = dict(zip(files.column_names, files.columns, strict=True))
    return pa.table({**columns, "num_records": pa.array(rows, pa.int64())})


def dataset_of(
    delta: DeltaTable,
    table: TableSpec | None = None,
    *,
    workspace: str | Collection[str] | None = None,
    months: Sequence[str] | None = None,
    without: Collection[str] = (),
) -> ds.Dataset:
    """The table as a dataset. `without`: files to leave out.

    With `workspace` (one or several) or `months`, it has only their rows.

    With `table`, the dataset has the declared columns, null where a file lacks them. Without, it has the
    table's actual columns.
    """
    import pyarrow.dataset as ds

    schema = schema_of(delta) if table is None else table.schema
    if table is not None:
        compared(table, delta)
    files = data_files(delta, workspace=workspace, months=months)
    if without:
        files = files.filter(pc.invert(pc.is_in(files["path"], pa.array(without, pa.string()))))
    sizes = dict(zip(files["path"].to_pylist(), files["size_bytes"].to_pylist(), strict=True))
    storage = storage_of(delta.table_uri, sizes)
    selected = _selected(workspace, months)
    if delta.protocol().min_reader_version > 1:
        # Another program has enabled features that only Delta's own reader supports.
        pruned = [(name, "in", values) for name, values in selected.items() if values]
        found: ds.Dataset = delta.to_pyarrow_dataset(
            file_pruning_predicate=pruned or None, filesystem=storage
        )
        # Its files may have rows of other workspaces and months too.
        return _filtered(found.replace_schema(schema), selected)
    partition_by = delta.metadata().partition_columns
    form = ds.ParquetFileFormat(default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True))
    fragments = [
        form.make_fragment(path, filesystem=storage, partition_expression=guarantee)
        for path, guarantee in zip(sizes, _guarantees(files, schema, partition_by), strict=True)
    ]
    dataset = ds.FileSystemDataset(fragments, schema, form, storage)
    return _filtered(dataset, {name: v for name, v in selected.items() if name not in partition_by})


def filtered(dataset: ds.Dataset, columns: Sequence[str] | None, where: pc.Expression | None) -> pa.Table:
    """The rows of the dataset that match `where`."""
    try:
        return dataset.to_table(columns=columns, filter=where)
    except pa.ArrowNotImplementedError:
        # Delta's own update, delete and merge write texts as views, which Arrow cannot compare with the
        # statistics of the file. Rows are filtered after they are read, some of a file at a time.
        names = columns or dataset.schema.names
        some = map(pa.table, dataset.to_batches(batch_readahead=1, fragment_readahead=1))
        found = [(rows if where is None else rows.filter(where)).select(names) for rows in some]
        return pa.concat_tables([dataset.schema.empty_table().select(names), *found])


def _selected(workspace: str | Collection[str] | None, months: Sequence[str] | None) -> dict[str, list[str]]:
    """The values of the columns that are selected by."""
    workspaces = [workspace] if isinstance(workspace, str) else workspace
    given = {"workspace": workspaces, "month": months}
    return {name: list(values) for name, values in given.items() if values is not None}


def _filtered(dataset: ds.Dataset, selected: Mapping[str, list[str]]) -> ds.Dataset:
    for name, values in selected.items():
        # Cast, because of files whose texts are views: see `filtered`.
        dataset = dataset.filter(pc.field(name).cast(pa.string()).isin(pa.array(values, pa.string())))
    return dataset


def _guarantees(files: pa.Table, schema: pa.Schema, partition_by: Sequence[str]) -> list[pc.Expression]:
    """For each file, an expression that is true for all its rows."""
    equals, between = cache(lambda name, value: pc.field(name) == value), cache(_between)
    known = [pc.scalar(True)] * files.num_rows
    for name in partition_by:
        values = files[f"partition.{name}"].to_pylist()
        known = [one & equals(name, value) for one, value in zip(known, values, strict=True)]
    for name in BOUNDED:
        if name not in schema.names or f"max.{name}" not in files.column_names:
            continue
        bounds = (files[f"{bound}.{name}"].to_pylist() for bound in ("min", "max", "null_count"))
        more = [between(schema.field(name), *its_bounds) for its_bounds in zip(*bounds, strict=True)]
        known = [one if other is None else one & other for one, other in zip(known, more, strict=True)]
    return known


def _between(field: pa.Field, least: Any, greatest: Any, nulls: int | None) -> pc.Expression | None:
    if least is None or greatest is None:
        return None
    if isinstance(greatest, datetime):
        greatest += _ROUNDING
    column = pc.field(field.name)
    within = (column >= pa.scalar(least, field.type)) & (column <= pa.scalar(greatest, field.type))
    return within if nulls == 0 else within | column.is_null()


_Commit = tuple[int, int, int | None]
"""A commit: its version, and the size and time of its file, which never changes."""


@dataclass(frozen=True, slots=True)
class _OpenTable:
    table: DeltaTable
    commit: _Commit | None


class OpenTables:
    """Open tables by URI. Each thread has its own, because Delta's objects are not thread-safe."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def newest(self, uri: str) -> DeltaTable:
        """The newest version of the table. Raises TableNotFoundError, also if an open table was deleted.

        A table that was deleted and created again is opened again.
        """
        tables: dict[str, _OpenTable] = self._threads.__dict__
        storage = DeltaStorageHandler(uri)
        known = tables.pop(uri, None)
        try:
            table = _updated(known, storage) or DeltaTable(uri)
        except ValueError as error:
            # A log that no table can have, such as a file without a value of a partition column.
            raise DeltaError(str(error)) from error
        if (
            known is None
            or known.table is not table
            or known.commit is None
            or known.commit[0] != table.version()
        ):
            known = _OpenTable(table, _commit(storage, table.version()))
        if known.commit is not None and known.commit[1] == 0:
            # A power cut leaves empty files. Delta reads them as commits without changes.
            raise DeltaError(f"the commit of version {known.commit[0]} is an empty file")
        tables[uri] = known
        return table


def _updated(known: _OpenTable | None, storage: Any) -> DeltaTable | None:
    """The open table, updated; None if it may not be the same table any more."""
    if known is None or known.commit is None or _commit(storage, known.commit[0]) != known.commit:
        return None
    try:
        known.table.update_incremental()
    except DeltaError:
        # Its log may have been shortened. Opening the table again shows whether anything is wrong.
        return None
    return known.table


def _commit(storage: Any, version: int) -> _Commit | None:
    (info,) = storage.get_file_info([f"_delta_log/{version:020d}.json"])
    if info.type is not pa_fs.FileType.File:
        return None
    return version, info.size, info.mtime_ns
