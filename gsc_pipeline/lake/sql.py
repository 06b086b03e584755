"""SQL over the lake's tables, by DuckDB, read-only."""

from __future__ import annotations

import duckdb

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import TABLES


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in memory in which each table of the lake is a view of its own name.

    A table that does not exist yet is an empty view. The connection cannot change the lake.
    """
    connection = duckdb.connect(":memory:")
    for table in TABLES:
        dataset = lake.dataset(table)
        connection.register(table.name, table.schema.empty_table() if dataset is None else dataset)
    # SQL may read these views and nothing else: no other file, and no COPY over the lake's own.
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection
