"""The columns that a table has beside those that it is declared to have, and how one is made the other."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable, Schema

from gsc_pipeline.lake.errors import LakeError
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.version import LAKE_VERSION, VERSION_PROPERTY, version_of

ADDED_PROPERTY = "gsc_pipeline.columns_added"
"""Of a table to which columns were added: its older files lack them."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What a table's columns are beside the declared ones.

    `held` is the table's schema. `missing` are declared columns that it lacks, `extra` are its columns that
    are not declared.
    """

    held: pa.Schema
    missing: tuple[pa.Field, ...]
    extra: tuple[pa.Field, ...]


def schema_of(delta: DeltaTable) -> pa.Schema:
    """The columns that the table has."""
    return pa.schema(delta.schema().to_arrow())


def compared(table: TableSpec, delta: DeltaTable) -> Columns:
    """Compare the table's columns with the declared ones.

    Raises LakeError for a declared column that has another type, and for one that is missing although it
    may not be null.
    """
    held = schema_of(delta)
    types = dict(zip(held.names, held.types, strict=True))
    missing = []
    for column in table.schema:
        if column.name not in types:
            if not column.nullable:
                raise _mismatch(table, column, "is missing")
            missing.append(column)
        elif not types[column.name].equals(column.type):
            raise _mismatch(table, column, f"is of type {types[column.name]} instead of {column.type}")
    declared = set(table.schema.names)
    return Columns(held, tuple(missing), tuple(column for column in held if column.name not in declared))


def _mismatch(table: TableSpec, column: pa.Field, what: str) -> LakeError:
    return LakeError(
        f"column {column.name} of {table.name} {what}: another program or another release changed the table. "
        "Run the release that wrote it, or restore the table from a backup"
    )


def upgrade(table: TableSpec, delta: DeltaTable) -> Columns:
    """Give an older table the present version and the declared columns that it lacks.

    Does nothing to a table that has both. Raises CommitFailedError where another writer commits meanwhile.
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


def as_held(table: TableSpec, rows: pa.Table, columns: Columns) -> pa.Table:
    """The rows with all columns that the table has, those that are not declared filled with null."""
    for column in columns.extra:
        if not column.nullable:
            raise LakeError(
                f"column {column.name} of {table.name} is not declared and may not be null: another program "
                "or another release added it. Drop it, or restore the table from a backup"
            )
        rows = rows.append_column(column, pa.nulls(rows.num_rows, column.type))
    # Delta refuses a column whose description is not the one that it has.
    fields = [rows.schema.field(held.name).with_metadata(held.metadata) for held in columns.held]
    return rows.select(columns.held.names).cast(pa.schema(fields))


def is_uneven(table: TableSpec, delta: DeltaTable) -> bool:
    """Whether some of the table's files lack declared columns."""
    return bool(compared(table, delta).missing) or ADDED_PROPERTY in delta.metadata().configuration
