"""Aggregates a table file by file with SQL, reading each data file once.

Delta never changes a data file, so its result stays valid.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError, TableNotFoundError

from gsc_pipeline.lake.dataset import data_files
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake, sql_text
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.storage import folder_of, storage_of

if TYPE_CHECKING:
    import duckdb

FILE = "file"
"""The column with the path of each row's file, relative to the table."""


class FileByFile:
    """The results of a query over each data file of a table. Not thread-safe.

    `sql` selects from `rows`, which has the table's `columns` and FILE; its result must have the column FILE.
    With `workspace`, `rows` has only that workspace's rows.

    After a read, `damaged` has an error for each file that cannot be read, or one for the table's log.
    """

    def __init__(
        self, lake: Lake, table: TableSpec, columns: Sequence[str], sql: str, workspace: str | None = None
    ) -> None:
        self.damaged: tuple[DamagedError, ...] = ()
        self._lake, self._table, self._workspace = lake, table, workspace
        self._columns, self._sql = columns, sql
        self._errors: dict[str, DamagedError] = {}
        self._sizes: dict[str, int] = {}
        self._done: set[str] = set()
        self._result: pa.Table | None = None

    def read(self) -> pa.Table:
        """The results of all files that can be read. Timestamps are in UTC.

        Raises LakeError if the storage fails.
        """
        try:
            result = self._read()
        except DamagedError as error:
            self.damaged = (error,)
            return self._query([])
        self.damaged = tuple(self._errors.values())
        return result

    def _read(self) -> pa.Table:
        paths = self._paths()
        known, self._errors = self._errors, {}
        new = [path for path in paths if path not in self._done]
        results = self._results(new, known) if new else []
        if self._result is not None:
            is_kept = pc.is_in(self._result[FILE], pa.array(paths, pa.string()))
            results.append(self._result.filter(is_kept))
        self._result = pa.concat_tables(results) if results else self._query([])
        self._done = set(paths) - self._errors.keys()
        return self._result

    def _paths(self) -> list[str]:
        try:
            files = data_files(self._lake.open(self._table), workspace=self._workspace)
        except TableNotFoundError:
            return []
        except (DeltaError, OSError) as error:
            raise self._lake.error_of("read", self._table, error) from error
        paths: list[str] = files["path"].to_pylist()
        self._sizes = dict(zip(paths, files["size_bytes"].to_pylist(), strict=True))
        return paths

    def _results(self, paths: Sequence[str], known: Mapping[str, DamagedError]) -> list[pa.Table]:
        """The results of these files. `known`: the errors of the last read, which are slow to find."""
        import duckdb

        try:
            return [self._query(paths)]
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            if len(paths) > 1:
                # A single damaged file can be the cause, so read the files one by one.
                return [result for path in paths for result in self._results([path], known)]
            (path,) = paths
            self._errors[path] = known.get(path) or self._damage(path, error)
            return []

    def _damage(self, path: str, error: Exception) -> DamagedError:
        files = self._lake.damaged_files(self._table, self._workspace, deep=True)
        damaged = next((file for file in files if file.path == path), None)
        if damaged is None:
            raise self._lake.error_of("read", self._table, error) from error
        return damaged.error()

    def _query(self, paths: Sequence[str]) -> pa.Table:
        with _database().cursor() as connection:
            connection.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
            rows = self._source(connection, paths)
            if self._workspace is not None:
                rows = f"(FROM {rows} WHERE workspace = {sql_text(self._workspace)})"
            return connection.sql(f"WITH rows AS (FROM {rows}) {self._sql}").to_arrow_table()

    def _source(self, connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> str:
        """The SQL source of the rows. DuckDB reads files in a folder itself, in a quarter of the time."""
        local = self._lake.local_files(self._table) if paths else None
        if local is not None and local.paths:
            prefix = f"{folder_of(self._lake.table_uri(self._table))}/"
            chosen = replace(local, paths=tuple(prefix + path for path in paths))
            columns = ", ".join(f'"{name}"' for name in self._columns)
            source = chosen.source(with_names=True)
            return f"(SELECT {columns}, substr(filename, {len(prefix) + 1}) AS {FILE} FROM {source})"
        connection.register("files", self._arrow_rows(paths))
        return "files"

    def _arrow_rows(self, paths: Sequence[str]) -> pa.Table:
        # Declared columns that older files lack are null.
        schema = pa.schema([self._table.schema.field(name) for name in self._columns])
        if not paths:
            return schema.append(pa.field(FILE, pa.string())).empty_table()
        import pyarrow.dataset as ds

        partitions = [schema.field(name) for name in self._table.partition_by if name in self._columns]
        dataset = ds.dataset(
            list(paths),
            schema,
            format="parquet",
            filesystem=storage_of(
                self._lake.table_uri(self._table), {path: self._sizes[path] for path in paths}
            ),
            partitioning=ds.partitioning(pa.schema(partitions), flavor="hive"),
        )
        rows = dataset.to_table(columns=[*self._columns, "__filename"])
        return rows.rename_columns([*self._columns, FILE])


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One database for all queries of this process: creating one takes 15 ms of CPU."""
    # Importing it takes a tenth of a second.
    import duckdb

    # A database that is open when Python ends is reported as a leak.
    atexit.register(_database.cache_clear)
    # DuckDB would keep the contents of files, each of which is read once.
    return duckdb.connect(":memory:", config={"enable_external_file_cache": False})
