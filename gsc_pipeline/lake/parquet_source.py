"""A table's Parquet files as a DuckDB source, and SQL literals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gsc_pipeline.lake.schemas import TableSpec

_SPECIAL = "*?[{="
"""Characters with a meaning in DuckDB's paths: wildcards, and `=` for partitions."""


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """A table's files in a local folder. The partition columns are in their paths only.

    `has_incomplete_files`: some files may lack declared columns.
    """

    table: TableSpec
    paths: tuple[str, ...] = ()
    has_incomplete_files: bool = False

    def source(self, *, with_names: bool = False) -> str:
        """The SQL source of the table's declared columns. Partition columns are strings.

        `with_names` adds the column `filename`, the path of each row's file.
        """
        paths = sql_list(self.paths)
        options = "hive_partitioning = true, hive_types_autocast = false"
        if with_names:
            options += ", filename = true"
        if not self.has_incomplete_files:
            return f"read_parquet([{paths}], {options})"
        # With union_by_name DuckDB opens every file first, so only if necessary.
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


def has_special_characters(path: str) -> bool:
    """Whether DuckDB would not take the path literally."""
    return any(character in path for character in _SPECIAL)


def sql_text(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_list(values: Iterable[str]) -> str:
    """The texts as SQL literals, separated by commas."""
    return ", ".join(map(sql_text, values))
