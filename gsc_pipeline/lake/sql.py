"""SQL over the lake's tables, by DuckDB, read-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import TABLES, TableSpec

if TYPE_CHECKING:
    import duckdb


def connect(lake: Lake, tables: Sequence[TableSpec] = TABLES) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in memory in which each of the lake's `tables` is a view of its own name.

    A table that does not exist yet is an empty view. The connection cannot change the lake.
    """
    # A tenth of a second to import, and every run of Dagster imports this module.
    import duckdb

    connection = duckdb.connect(":memory:")
    for table in tables:
        dataset = lake.dataset(table)
        connection.register(table.name, table.schema.empty_table() if dataset is None else dataset)
    # SQL may read these views and nothing else: no other file, and no COPY over the lake's own.
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection
