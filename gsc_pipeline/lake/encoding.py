"""Encodes text columns by dictionaries, to hold many rows in little memory, and decodes them in batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

BATCH_ROWS = 16_384
"""The most rows that are decoded at a time."""


def encoded(rows: pa.Table, names: Collection[str]) -> pa.Table:
    """The rows with those of the named columns that they have encoded by a dictionary."""
    for place, name in enumerate(rows.column_names):
        if name in names and not pa.types.is_dictionary(rows[name].type):
            column = pc.dictionary_encode(rows[name])
            rows = rows.set_column(place, rows.schema.field(name).with_type(column.type), column)
    return rows


def decoded_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with the plain types of encoded columns."""
    for place, column in enumerate(schema):
        if pa.types.is_dictionary(column.type):
            schema = schema.set(place, column.with_type(column.type.value_type))
    return schema


def decoded_batches(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """The rows in small batches, without encoded columns."""
    schema = decoded_schema(rows.schema)
    for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
        arrays = [
            array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
            for array in batch.columns
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def decoded(rows: pa.Table) -> pa.Table:
    """The rows without encoded columns."""
    return pa.Table.from_batches(decoded_batches(rows), decoded_schema(rows.schema))
