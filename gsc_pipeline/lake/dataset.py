"""A table as an Arrow dataset, made of its list of files and of what Delta says is in each.

Belongs here: which files can hold a row that is looked for. Does not: opening tables (`opened`), what is
looked for. Delta's own way of making one takes 10 s of CPU at a thousand workspaces and 16 months, for it
spells out the bounds of every column of every file; this takes a third of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from gsc_pipeline.lake.columns import compared, schema_of
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.storage import storage_of, stored_path

if TYPE_CHECKING:
    # Importing it takes a tenth of a second, which only readers of the lake have to spend.
    import pyarrow.dataset as ds

BOUNDED = ("data_date", "status", "last_read_at", "started_at")
"""Columns whose least and greatest value in a file spare readers the file."""

_ROUNDING = timedelta(milliseconds=1)
"""Delta cuts the bounds of moments to milliseconds."""


def dataset_of(
    delta: DeltaTable,
    table: TableSpec | None = None,
    *,
    workspace: str | None = None,
    months: Sequence[str] | None = None,
) -> ds.Dataset:
    """The table's rows; with `workspace` or `months`, theirs only, without other partitions' files.

    Under `table` they have its declared columns, those that the table lacks as null. Without it they have
    the columns that the table has.
    """
    import pyarrow.dataset as ds

    schema = schema_of(delta) if table is None else table.schema
    if table is not None:
        compared(table, delta)
    if delta.protocol().min_reader_version > 1:
        # Written by others too, with features that only Delta's own reader knows.
        others = delta.to_pyarrow_dataset(file_pruning_predicate=_predicate(workspace, months))
        return others.replace_schema(schema)
    files = pa.table(delta.get_add_actions(flatten=True))
    partition_by = delta.metadata().partition_columns
    rest: list[pc.Expression] = []
    for name, values in (("workspace", workspace and [workspace]), ("month", months)):
        if values is None:
            continue
        if name in partition_by:
            files = files.filter(pc.is_in(files[f"partition.{name}"], pa.array(values, pa.string())))
        else:
            rest.append(pc.field(name).isin(list(values)))
    paths = map(stored_path, files["path"].to_pylist())
    sizes = dict(zip(paths, files["size_bytes"].to_pylist(), strict=True))
    storage = storage_of(delta.table_uri, sizes)
    form = ds.ParquetFileFormat(default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True))
    fragments = [
        form.make_fragment(path, filesystem=storage, partition_expression=known)
        for path, known in zip(sizes, _what_is_known(files, schema, partition_by), strict=True)
    ]
    dataset: ds.Dataset = ds.FileSystemDataset(fragments, schema, form, storage)
    for condition in rest:
        dataset = dataset.filter(condition)
    return dataset


def _predicate(workspace: str | None, months: Sequence[str] | None) -> list[tuple[str, str, Any]] | None:
    """What `dataset_of` was asked for, as Delta's own reader is told."""
    told: list[tuple[str, str, Any]] = []
    if workspace is not None:
        told.append(("workspace", "=", workspace))
    if months is not None:
        told.append(("month", "in", list(months)))
    return told or None


def _what_is_known(files: pa.Table, schema: pa.Schema, partition_by: Sequence[str]) -> list[pc.Expression]:
    """Of each file, what is true of all its rows."""
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
