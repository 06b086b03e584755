"""Writes the lake as a DuckDB file for BI tools: a view per table, and the macro `canonical_query`.

In a folder the views name the current Parquet files, so that a reader needs no extension of DuckDB. In a
bucket they read the Delta tables themselves, with the extensions that `duckdb_bucket` names.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gsc_pipeline.lake import canonical, export_log
from gsc_pipeline.lake.duckdb_bucket import BucketAccess
from gsc_pipeline.lake.errors import LakeError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.parquet_source import LocalFiles, has_special_characters, sql_text
from gsc_pipeline.lake.schemas import TABLES, TableSpec
from gsc_pipeline.lake.storage import folder_of

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class DuckdbFile:
    """A written file: how many Parquet files each view reads now, and how its readers reach a bucket.

    `access` is None for a lake in a folder.
    """

    parquet_files: Mapping[str, int]
    access: BucketAccess | None = None


def write_duckdb_file(lake: Lake, file: Path, tables: Sequence[TableSpec] = TABLES) -> DuckdbFile:
    """Write `file`, atomically replacing an earlier one. Programs that have that one open keep it.

    The file contains only views and a macro. Views over a folder show the current version of the lake, until
    housekeeping deletes its Parquet files; those over a bucket show the newest version. Raises LakeError if
    `file` is another file, if lake or file cannot be read or written, or if DuckDB cannot read the bucket.
    """
    import duckdb

    access = None if folder_of(lake.uri) is not None else BucketAccess.to(lake.uri)
    try:
        if file.exists() and not _is_duckdb(file):
            raise LakeError(f"{file} is not a DuckDB file and is not replaced: choose another name")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".duckdb-", dir=file.parent) as folder:
            made = Path(folder) / file.name
            with duckdb.connect(made) as connection:
                if access:
                    access.prepare(connection)
                read = {table.name: _view(connection, lake, table, access) for table in tables}
                if set(export_log.NEEDED) <= set(tables):
                    connection.execute(f"CREATE VIEW {export_log.NAME} AS {export_log.SQL}")
                    comment = sql_text(export_log.DESCRIPTION)
                    connection.execute(f"COMMENT ON VIEW {export_log.NAME} IS {comment}")
                canonical.create_macro(connection)
            made.replace(file)
    except (OSError, duckdb.Error) as error:
        cause = " ".join(str(error).split())
        next_step = "that the folder is writable" + (", and the bucket readable by DuckDB" if access else "")
        raise LakeError(f"cannot write {file} ({cause}): check {next_step}") from error
    return DuckdbFile(read, access)


def _is_duckdb(file: Path) -> bool:
    with file.open("rb") as start:
        return start.read(12)[8:] == b"DUCK"


def _view(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: TableSpec, access: BucketAccess | None
) -> int:
    """Create the view of a table. Returns the number of Parquet files that it reads."""
    source, count, known = "", 0, frozenset(table.schema.names)
    if access is None:
        files = _files(lake, table)
        if files.paths:
            source, count = files.source(), len(files.paths)
    elif (schema := lake.schema_of(table)) is not None:
        source, count = access.source(table.name), len(lake.open(table).file_uris())
        known = frozenset(schema.names)
    columns = _columns(connection, table, known if source else ())
    selected = f"SELECT {columns} FROM {source}" if source else f"SELECT {columns} WHERE false"
    connection.execute(f'CREATE VIEW "{table.name}" AS {selected}')
    connection.execute(f'COMMENT ON VIEW "{table.name}" IS {sql_text(table.description)}')
    return count


def _columns(connection: duckdb.DuckDBPyConnection, table: TableSpec, known: Collection[str]) -> str:
    """The declared columns with their types. Those that are not `known` are null."""
    empty = connection.from_arrow(table.schema.empty_table())
    return ", ".join(
        f"CAST({_quoted(name) if name in known else 'NULL'} AS {type_}) AS {_quoted(name)}"
        for name, type_ in zip(empty.columns, empty.types, strict=True)
    )


def _quoted(name: str) -> str:
    return f'"{name}"'


def _files(lake: Lake, table: TableSpec) -> LocalFiles:
    uri = lake.table_uri(table)
    if has_special_characters(uri):
        raise LakeError(
            f"{uri}: DuckDB cannot read files in a folder with * ? [ {{ or = in its path: rename or link it"
        )
    files = lake.local_files(table)
    if not files.paths and (dataset := lake.dataset(table)) is not None and dataset.count_rows():
        raise LakeError(
            f"{uri} uses Delta features that DuckDB's Parquet reader does not support: use delta_scan, as in "
            "docs/sql.md"
        )
    return LocalFiles(table, tuple(sorted(files.paths)), files.has_incomplete_files)
