"""A table's Parquet files as DuckDB reads them by itself, and texts as SQL literals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gsc_pipeline.lake.schemas import TableSpec

_MARKS = "*?[{="
"""To DuckDB the first four of them stand for other letters of a path, and the last names a partition."""


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Files of a table in a folder. The partition columns are in their paths only.

    Of an `uneven` table, some files may lack declared columns.
    """

    table: TableSpec
    paths: tuple[str, ...] = ()
    uneven: bool = False

    def source(self) -> str:
        """What DuckDB selects the table's declared columns from; partition columns are texts."""
        paths = sql_list(self.paths)
        options = "hive_partitioning = true, hive_types_autocast = false"
        if not self.uneven:
            return f"read_parquet([{paths}], {options})"
        # By name DuckDB opens each file before it begins, so only where it must.
        return (
            f"(FROM read_parquet([{paths}], union_by_name = true, {options}) "
            f"UNION ALL BY NAME SELECT {_nulls(self.table)} WHERE false)"
        )


def _nulls(table: TableSpec) -> str:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        empty = connection.from_arrow(table.schema.empty_table())
        return ", ".join(
            f'CAST(NULL AS {type_}) AS "{name}"'
            for name, type_ in zip(empty.columns, empty.types, strict=True)
        )


def has_marks(path: str) -> bool:
    """Whether DuckDB would not take the path as it is."""
    return any(mark in path for mark in _MARKS)


def sql_text(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_list(values: Iterable[str]) -> str:
    """The texts as SQL literals, separated by commas."""
    return ", ".join(map(sql_text, values))
