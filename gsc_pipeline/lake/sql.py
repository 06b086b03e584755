"""SQL over the lake's tables, by DuckDB, read-only."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import TABLES, TableSpec


def connect(
    lake: Lake, *, workspace: str | None = None, tables: Sequence[TableSpec] = TABLES
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in memory in which each of the tables is a view of its own name.

    With `workspace`, its rows only, without looking at other files. A table that does not exist yet is an
    empty view. The connection cannot change the lake.
    """
    connection = duckdb.connect(":memory:")
    for table in tables:
        dataset = lake.dataset(table, workspace=workspace)
        connection.register(table.name, table.schema.empty_table() if dataset is None else dataset)
    # SQL may read these views and nothing else: no other file, and no COPY over the lake's own.
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection
