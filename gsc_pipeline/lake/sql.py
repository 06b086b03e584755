"""SQL over the lake's tables, by DuckDB, read-only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from gsc_pipeline.lake.errors import DamagedError, LakeError, unreadable
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import TABLES, TableSpec
from gsc_pipeline.lake.storage import folder_of

if TYPE_CHECKING:
    import duckdb


def connect(
    lake: Lake,
    tables: Sequence[TableSpec] = TABLES,
    *,
    whole: Sequence[TableSpec] = (),
    without: Collection[str] = (),
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in memory in which each of the lake's `tables` is a view of its own name.

    A table that does not exist yet is an empty view. The connection cannot change the lake: SQL may read
    these views and nothing else, no other file, and no COPY over the lake's own.

    `whole` are more tables, for SQL of this project that reads every file of them: of a lake in a folder
    DuckDB opens these itself, in a quarter of the time. That needs access to files, so such a connection
    is not for anyone else's SQL. `without` are files of theirs to leave out, by table and path below it.
    """
    # A tenth of a second to import, and every run of Dagster imports this module.
    import duckdb

    connection = duckdb.connect(":memory:")
    # It would be drawn on standard output, into what a command prints there.
    connection.execute("SET enable_progress_bar = false")
    for table in tables:
        _view(connection, lake, table)
    for table in whole:
        _view_whole(connection, lake, table, without)
    if not whole:
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


@contextmanager
def reading(lake: Lake, tables: Sequence[TableSpec], workspace: str | None = None) -> Iterator[None]:
    """Raise LakeError for what a query over these tables raises: DamagedError where a file is damaged."""
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        raise _error_of(lake, tables, workspace, error) from error


def _error_of(lake: Lake, tables: Sequence[TableSpec], workspace: str | None, error: Exception) -> LakeError:
    for table in tables:
        found = lake.error_of("read", table, error, workspace)
        if isinstance(found, DamagedError):
            return found
    return unreadable(lake.uri, error)


def mistake_in_sql(error: str) -> str:
    """What DuckDB says of a query it cannot run, in one line, with where to look."""
    said, _, place = error.partition("LINE ")
    said = " ".join(said.split()).rstrip(".!")
    line = place.partition(":")[0]
    where = f" (line {line})" if line not in ("", "1") else ""
    if "Table with name" in said:
        return f'{said}{where}; gsc query "SHOW TABLES" lists the tables'
    if "not found in FROM clause" in said:
        return f'{said}{where}; gsc query "DESCRIBE sync_ledger" lists the columns of that table'
    return said + where


def _view(connection: duckdb.DuckDBPyConnection, lake: Lake, table: TableSpec) -> None:
    dataset = lake.dataset(table)
    connection.register(table.name, table.schema.empty_table() if dataset is None else dataset)


def _view_whole(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: TableSpec, without: Collection[str]
) -> None:
    files = lake.local_files(table)
    if without:
        left = (path for path in files.paths if not any(path.endswith(f"/{one}") for one in without))
        files = replace(files, paths=tuple(left))
    if files.paths:
        connection.execute(
            f"""CREATE VIEW {table.name} AS SELECT {", ".join(table.schema.names)}
                FROM {files.source()}"""
        )
    elif without and folder_of(lake.uri) is not None:
        connection.register(table.name, table.schema.empty_table())
    else:
        _view(connection, lake, table)
