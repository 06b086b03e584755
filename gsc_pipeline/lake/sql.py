"""Read-only SQL over the lake's tables, with DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from gsc_pipeline.lake import canonical, export_log
from gsc_pipeline.lake.errors import DamagedError, LakeError, unreadable
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import TABLES, TableSpec

if TYPE_CHECKING:
    import duckdb
    import pyarrow.dataset as ds


def connect(
    lake: Lake,
    tables: Sequence[TableSpec] = TABLES,
    *,
    whole: Sequence[TableSpec] = (),
    without: Collection[str] = (),
    rows: Callable[[TableSpec], ds.Dataset | None] | None = None,
    config: Mapping[str, str | int] | None = None,
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB connection with a view for each of the lake's `tables`.

    A table that does not exist yet is an empty view. With the tables that it needs, there is also a view
    `ExportLog`, and with a table that has queries the macro `canonical_query`, which gives the canonical
    form of a text. SQL can read only these views: it cannot read or write files, nor change the lake.

    `whole`: further tables, of which the project's own SQL reads every file. If the lake is in a folder,
    DuckDB opens their files itself, in a quarter of the time. This needs access to files, so do not run
    users' SQL on such a connection. `without`: files of these tables to skip, as `table/path`.

    `rows` gives the rows of each of `tables`, None for none; by default all that the lake has. `config`:
    settings of DuckDB, which SQL on the connection cannot change.
    """
    # Importing it takes a tenth of a second, and every Dagster run imports this module.
    import duckdb

    connection = duckdb.connect(":memory:", config=dict(config or {}))
    # The progress bar would be printed on standard output, between a command's output.
    connection.execute("SET enable_progress_bar = false")
    for table in tables:
        _view(connection, table, (rows or lake.dataset)(table))
    for table in whole:
        _view_whole(connection, lake, table, without)
    if set(export_log.NEEDED) <= set(tables):
        connection.execute(f"CREATE TEMP VIEW {export_log.NAME} AS {export_log.SQL}")
    # Creating it takes twice the time of all the rest: 40 ms of CPU.
    if any("query" in table.schema.names for table in tables):
        canonical.create_macro(connection)
    if not whole:
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


@contextmanager
def reading(lake: Lake, tables: Sequence[TableSpec], workspace: str | None = None) -> Iterator[None]:
    """Turn errors of queries over these tables into LakeError; DamagedError if a file is damaged."""
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


def mistake_in_sql(
    error: str,
    *,
    tables: str = 'gsc query "SHOW TABLES"',
    columns: str = 'gsc query "DESCRIBE sync_ledger"',
) -> str:
    """DuckDB's error about a query on one line, with the next step.

    `tables` and `columns` list the tables, and the columns of a table.
    """
    said, _, place = error.partition("LINE ")
    said = " ".join(said.split()).rstrip(".!")
    line = place.partition(":")[0]
    where = f" (line {line})" if line not in ("", "1") else ""
    if "Table with name" in said:
        return f"{said}{where}; {tables} lists the tables"
    if "not found in FROM clause" in said:
        return f"{said}{where}; {columns} lists the columns of that table"
    return said + where


def _view(connection: duckdb.DuckDBPyConnection, table: TableSpec, dataset: ds.Dataset | None) -> None:
    connection.register(table.name, table.schema.empty_table() if dataset is None else dataset)


def _view_whole(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: TableSpec, without: Collection[str]
) -> None:
    files = lake.local_files(table)
    prefix = f"{table.name}/"
    left = {path.removeprefix(prefix) for path in without if path.startswith(prefix)}
    paths = tuple(path for path in files.paths if not any(path.endswith(f"/{prefix}{one}") for one in left))
    if paths:
        connection.execute(
            f"""CREATE VIEW {table.name} AS SELECT {", ".join(table.schema.names)}
                FROM {replace(files, paths=paths).source()}"""
        )
    else:
        _view(connection, table, lake.dataset(table, without=left))
