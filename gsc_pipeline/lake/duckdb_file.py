"""The lake as a DuckDB file for BI tools: a view per table over the files that make it up now.

Belongs here: that file. Does not: SQL within this project (`sql`). The views read plain Parquet files by
name, since DuckDB's own way to Delta is an extension that it fetches from the network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gsc_pipeline.lake.errors import LakeError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.parquet_source import LocalFiles, has_marks, sql_text
from gsc_pipeline.lake.schemas import TABLES, TableSpec

if TYPE_CHECKING:
    import duckdb


def write_duckdb_file(lake: Lake, file: Path, tables: Sequence[TableSpec] = TABLES) -> dict[str, int]:
    """Write `file`, in the place of an earlier one, in one step: who has that one open keeps it.

    Returns how many Parquet files each view reads. The file is as small as its views, and shows the lake
    as it is now for as long as housekeeping leaves those files. Raises LakeError for a lake in a bucket,
    for a `file` that is something else, and where lake or file cannot be read or written.
    """
    import duckdb

    if "://" in lake.uri and not lake.uri.startswith("file://"):
        raise LakeError(
            f"{lake.uri} is no folder, and only a folder's files can be named in a DuckDB file: "
            "read the bucket with delta_scan, as docs/sql.md says"
        )
    try:
        if file.exists() and not _is_duckdb(file):
            raise LakeError(f"{file} is no DuckDB file, so it is left alone: name another")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".duckdb-", dir=file.parent) as folder:
            made = Path(folder) / file.name
            with duckdb.connect(made) as connection:
                read = {table.name: _view(connection, lake, table) for table in tables}
            made.replace(file)
    except (OSError, duckdb.Error) as error:
        cause = " ".join(str(error).split())
        raise LakeError(f"cannot write {file} ({cause}): check that the folder can be written") from error
    return read


def _is_duckdb(file: Path) -> bool:
    with file.open("rb") as start:
        return start.read(12)[8:] == b"DUCK"


def _view(connection: duckdb.DuckDBPyConnection, lake: Lake, table: TableSpec) -> int:
    files = _files(lake, table)
    empty = connection.from_arrow(table.schema.empty_table())
    types = dict(zip(empty.columns, empty.types, strict=True))
    if files.paths:
        columns = ", ".join(f'CAST("{name}" AS {type_}) AS "{name}"' for name, type_ in types.items())
        connection.execute(f'CREATE VIEW "{table.name}" AS SELECT {columns} FROM {files.source()}')
    else:
        columns = ", ".join(f'CAST(NULL AS {type_}) AS "{name}"' for name, type_ in types.items())
        connection.execute(f'CREATE VIEW "{table.name}" AS SELECT {columns} WHERE false')
    connection.execute(f'COMMENT ON VIEW "{table.name}" IS {sql_text(table.description)}')
    return len(files.paths)


def _files(lake: Lake, table: TableSpec) -> LocalFiles:
    uri = lake.table_uri(table)
    if has_marks(uri):
        raise LakeError(f"{uri}: DuckDB cannot name files in such a folder (* ? [ {{ =): rename or link it")
    files = lake.local_files(table)
    if not files.paths and (dataset := lake.dataset(table)) is not None and dataset.count_rows():
        raise LakeError(
            f"{uri} was written with features of Delta that DuckDB's reader of files does not know"
        )
    return LocalFiles(table, tuple(sorted(files.paths)), files.uneven)
