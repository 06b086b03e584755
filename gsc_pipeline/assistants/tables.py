"""Results and frames as the tables of answers."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from gsc_pipeline.assistants.answers import Column, Table
from gsc_pipeline.assistants.messages import Limits, Result
from gsc_pipeline.assistants.values import Values
from gsc_pipeline.lake.schemas import TableSpec

_OF_EVERY_ROW = ("workspace", "month")
"""Columns of stored rows that the answer itself has, or that only partition the table."""


def columns_of(table: TableSpec) -> list[Column]:
    """The declared columns, with their meanings."""
    return [
        Column(name=one.name, type=str(one.type), meaning=one.metadata[b"description"].decode())
        for one in table.schema
    ]


def result_fields(result: Result, meanings: dict[str, str] | None = None) -> dict[str, Any]:
    """The result of a query as the fields of Table. `meanings` are those of columns, by name."""
    known = meanings or {}
    return {
        "columns": [
            Column(name=one.name, type=one.type, meaning=known.get(one.name, "")) for one in result.columns
        ],
        "rows": result.rows,
        "rows_left_out": result.has_more,
        "values_cut": result.cut_values,
    }


def table_of(rows: pd.DataFrame, most: int, limits: Limits, spec: TableSpec | None = None) -> Table:
    """The first rows of a frame. The columns of `spec` have their meanings."""
    known = {} if spec is None else {column.name: column for column in columns_of(spec)}
    shown = rows.drop(columns=[name for name in _OF_EVERY_ROW if name in rows])
    first = pa.Table.from_pandas(shown.head(most + 1), preserve_index=False)
    values = Values(limits)
    kept, has_more = values.rows([tuple(row.values()) for row in first.to_pylist()], most)
    return Table(
        columns=[known.get(one.name) or Column(name=one.name, type=str(one.type)) for one in first.schema],
        rows=kept,
        rows_left_out=has_more,
        values_cut=values.cut,
    )
