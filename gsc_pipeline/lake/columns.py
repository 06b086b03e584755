"""Compares a table's columns with the declared ones, and upgrades older tables."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable, Schema

from gsc_pipeline.lake.encoding import decoded_batches, decoded_schema
from gsc_pipeline.lake.errors import LakeError
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.version import LAKE_VERSION, VERSION_PROPERTY, version_of

ADDED_PROPERTY = "gsc_pipeline.columns_added"
"""The property of a table to which columns were added, and whose older files lack them."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The actual schema of a table, and how it differs from the declared one.

    `missing`: declared columns that the table lacks. `extra`: columns of the table that are not declared.
    """

    actual: pa.Schema
    missing: tuple[pa.Field, ...]
    extra: tuple[pa.Field, ...]


def schema_of(delta: DeltaTable) -> pa.Schema:
    """The actual schema of the table."""
    return pa.schema(delta.schema().to_arrow())


def compared(table: TableSpec, delta: DeltaTable) -> Columns:
    """Compare the table's columns with the declared ones.

    Raises LakeError if a declared column has another type, or is missing and not nullable.
    """
    actual = schema_of(delta)
    types = dict(zip(actual.names, actual.types, strict=True))
    missing = []
    for column in table.schema:
        if column.name not in types:
            if not column.nullable:
                raise _mismatch(table, column, "is missing")
            missing.append(column)
        elif not types[column.name].equals(column.type):
            raise _mismatch(table, column, f"is of type {types[column.name]} instead of {column.type}")
    declared = set(table.schema.names)
    return Columns(actual, tuple(missing), tuple(column for column in actual if column.name not in declared))


def _mismatch(table: TableSpec, column: pa.Field, what: str) -> LakeError:
    return LakeError(
        f"column {column.name} of {table.name} {what}: another program or another release changed the table. "
        "Run the release that wrote it, or restore the table from a backup"
    )


def upgrade(table: TableSpec, delta: DeltaTable) -> Columns:
    """Set the current version of an older table and add the declared columns that it lacks.

    Does nothing if the table is current. Raises CommitFailedError if another writer commits meanwhile.
    """
    columns = compared(table, delta)
    properties = {}
    if version_of(delta) < LAKE_VERSION:
        properties[VERSION_PROPERTY] = str(LAKE_VERSION)
    if columns.missing and ADDED_PROPERTY not in delta.metadata().configuration:
        properties[ADDED_PROPERTY] = "true"
    if properties:
        delta.alter.set_table_properties(properties, raise_if_not_exists=False)
    if columns.missing:
        delta.alter.add_columns(list(Schema.from_arrow(pa.schema(columns.missing)).fields))
    if not properties and not columns.missing:
        return columns
    delta.update_incremental()
    return compared(table, delta)


def in_actual_columns(table: TableSpec, rows: pa.Table, columns: Columns) -> pa.RecordBatchReader:
    """The rows with all columns of the table, decoded, in small batches. Undeclared columns are null.

    Raises LakeError if an undeclared column may not be null.
    """
    for column in columns.extra:
        if not column.nullable:
            raise LakeError(
                f"column {column.name} of {table.name} is not declared and is not nullable: another program "
                "or another release added it. Drop it, or restore the table from a backup"
            )
        rows = rows.append_column(column, pa.nulls(rows.num_rows, column.type))
    rows = rows.select(columns.actual.names)
    # Delta refuses a column with another description than its own.
    rows = rows.replace_schema_metadata(None).cast(
        pa.schema([field.with_metadata(columns.actual.field(field.name).metadata) for field in rows.schema])
    )
    return pa.RecordBatchReader.from_batches(decoded_schema(rows.schema), decoded_batches(rows))


def has_incomplete_files(table: TableSpec, delta: DeltaTable) -> bool:
    """Whether some of the table's files lack declared columns."""
    return bool(compared(table, delta).missing) or ADDED_PROPERTY in delta.metadata().configuration
