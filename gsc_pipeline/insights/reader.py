"""DuckDB queries over the rows of one workspace.

DuckDB reads the files of a local lake itself. Rows of any other lake are streamed to it, which takes four
times as long: its own reader decodes columns on all cores and each distinct text of a file once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from gsc_pipeline.lake.canonical import create_letters_key
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.parquet_source import LocalFiles, sql_text
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.sql import reading

_POOL = pa.system_memory_pool()

_SMALL = 4 * 1024 * 1024
"""Fewer bytes of files than these leave little memory to free, and a new database takes 10 ms of CPU."""

_TYPES = {
    "data_date": pa.date32(),
    "as_of": pa.date32(),
    "read_at": pa.timestamp("us", tz="UTC"),
    "days": pa.int64(),
}
"""The types of columns of days that are not texts."""


class RowQueries:
    """Queries over the rows of one workspace in `tables`, as they were when this was created.

    Raises LakeError if they cannot be read. Call `close` when done.
    """

    def __init__(self, lake: Lake, workspace: str, tables: Sequence[TableSpec]) -> None:
        self._lake, self._tables = lake, tables
        self._workspace = workspace
        self._files = {table: lake.local_files(table, workspace=workspace) for table in tables}
        self._datasets = {
            table: lake.dataset(table, workspace=workspace)
            for table, files in self._files.items()
            if not files.paths
        }
        is_streamed = any(dataset is not None for dataset in self._datasets.values())
        self._are_small = not is_streamed and _size(self._files.values()) < _SMALL
        self._database = _database()
        self._connection = _connection(self._database)

    def close(self) -> None:
        """Close the connection and free its memory."""
        self._database.close()

    def reset(self) -> None:
        """Drop all temporary tables, and free the memory that a connection keeps after a large query."""
        self._connection.close()
        if not self._are_small:
            self._database.close()
            self._database = _database()
        self._connection = _connection(self._database)
        _POOL.release_unused()

    def register(self, name: str, rows: pa.Table) -> None:
        """Make `rows` available to later queries as the table `name`."""
        self._connection.register(name, rows)

    def register_days(self, name: str, days: pd.DataFrame) -> None:
        """Make a frame of days available to later queries as the table `name`. Other columns are texts."""
        schema = pa.schema([(column, _TYPES.get(column, pa.string())) for column in days.columns])
        self.register(name, pa.Table.from_pandas(days, schema=schema, preserve_index=False))

    def open_facts(self, table: TableSpec, columns: Sequence[str], days: pd.DataFrame | None = None) -> None:
        """Make the rows of the table (only of the months of `days`) available to one query as `facts`."""
        self._connection.execute("DROP VIEW IF EXISTS facts")
        months = None if days is None else sorted(days["data_date"].dt.strftime("%Y-%m").unique())
        files = self._files[table]
        if files.paths:
            with reading(self._lake, [table], self._workspace):
                self._connection.execute(self._view(files, columns, months))
        else:
            where = None if months is None else ds.field("month").isin(pa.array(months, pa.string()))
            self._connection.register("facts", _stream(self._datasets[table], table, columns, where))

    def query(self, sql: str, **parameters: Any) -> pd.DataFrame:
        """The result of the query; without columns if it creates a table."""
        with reading(self._lake, self._tables, self._workspace):
            result = self._connection.sql(sql, params=parameters)
            table = pa.table({}) if result is None else result.to_arrow_table()
        frame: pd.DataFrame = table.to_pandas(date_as_object=False)
        _POOL.release_unused()
        return frame

    def _view(self, files: LocalFiles, columns: Sequence[str], months: Sequence[str] | None) -> str:
        of_months = "" if months is None else f"AND month IN ({', '.join(map(sql_text, months)) or 'NULL'})"
        return f"""CREATE TEMP VIEW facts AS SELECT {", ".join(columns)}
            FROM {files.source()}
            WHERE workspace = {sql_text(self._workspace)} {of_months}"""


def _database() -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that builds its hash tables from the right side of each join.

    DuckDB does not know the length of a stream, and might build from the stream.
    """
    connection = duckdb.connect(":memory:")
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    create_letters_key(connection)
    return connection


def _connection(database: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A connection to the database with temporary tables of its own."""
    connection = database.cursor()
    connection.execute("SET enable_progress_bar = false")
    return connection


def _size(files: Iterable[LocalFiles]) -> int:
    """The bytes of the files. One that is missing counts nothing: the query that reads it says so."""
    paths = [Path(path) for one in files for path in one.paths]
    return sum(path.stat().st_size for path in paths if path.exists())


def _stream(
    dataset: ds.Dataset | None, table: TableSpec, columns: Sequence[str], where: ds.Expression | None
) -> pa.RecordBatchReader:
    """The rows in small batches with little read-ahead: a year of a large site does not fit in memory.

    Uses the system memory pool, because Arrow's own pool does not return memory.
    """
    if dataset is None:
        schema = pa.schema([table.schema.field(name) for name in columns])
        return pa.RecordBatchReader.from_batches(schema, [])
    scanner = dataset.scanner(
        columns=list(columns),
        filter=where,
        batch_size=65_536,
        use_threads=False,
        batch_readahead=0,
        fragment_readahead=1,
        memory_pool=_POOL,
    )
    return scanner.to_reader()
