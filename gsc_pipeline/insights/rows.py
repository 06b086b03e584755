"""A workspace's rows as DuckDB sees them: in a folder it opens the files, from elsewhere it is sent rows.

Belongs here: connections, and how rows reach them. Does not: which rows, and what is asked of them
(`source`). DuckDB's own reader takes a quarter of the time, because it decodes columns on all cores and
looks at each text of a file once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.parquet_source import LocalFiles, sql_text
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.sql import reading

_POOL = pa.system_memory_pool()


class WorkspaceRows:
    """The rows of one workspace in some tables, as the lake was when this was made.

    Raises LakeError where they cannot be read. To be closed.
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
        self._connection = _connect()

    def close(self) -> None:
        """Let go of the connection and all it holds."""
        self._connection.close()

    def forget(self) -> None:
        """Let go of the tables made so far, and of the memory that a connection keeps after a large query."""
        self._connection.close()
        self._connection = _connect()
        _POOL.release_unused()

    def register(self, name: str, rows: pa.Table) -> None:
        """Make `rows` known to the queries that follow."""
        self._connection.register(name, rows)

    def offer(self, table: TableSpec, columns: Sequence[str], days: pd.DataFrame | None = None) -> None:
        """Make the table's rows known as `facts`, to one query: those of the days' months where given."""
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
        """The query's result; no columns where it makes a table."""
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


def _connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that holds the right side of each join.

    It does not know how long a stream is, and would hold the stream.
    """
    connection = duckdb.connect(":memory:")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    return connection


def _stream(
    dataset: ds.Dataset | None, table: TableSpec, columns: Sequence[str], where: ds.Expression | None
) -> pa.RecordBatchReader:
    """The rows in small steps and hardly ahead of their reader: a year of a large site is more than memory.

    In the system's memory pool, because Arrow's own keeps for good what it once had.
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
