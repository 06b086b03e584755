"""Accepts one SELECT or EXPLAIN with harmless table functions, and refuses every other SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from gsc_pipeline.assistants.messages import CallError

if TYPE_CHECKING:
    import duckdb

TABLE_FUNCTIONS = frozenset(
    {
        "range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree", "histogram",
        "histogram_values", "summary", "duckdb_columns", "duckdb_functions", "duckdb_types", "duckdb_views",
    }
)  # fmt: skip
"""The functions that may stand after FROM. Among the others are those that read files, run SQL in a text, and
change settings; some come with each release of DuckDB."""

_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?(\(\s*[\w\s,]*\)\s*)?", re.IGNORECASE)

_ONE = "expected one SELECT, or EXPLAIN and a SELECT, in each call"


def the_select(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The SELECT in `sql`. Raises CallError unless `sql` is one, or EXPLAIN and one.

    The only functions after FROM are TABLE_FUNCTIONS.

    SHOW, DESCRIBE, SUMMARIZE, VALUES and FROM are SELECT to DuckDB. Raises duckdb.Error for what it cannot
    parse.
    """
    kind, select = _only(connection, sql)
    if kind == "EXPLAIN":
        # EXPLAIN ANALYZE runs what it explains.
        prefix = _EXPLAIN.match(sql)
        if prefix is None:
            raise CallError("expected the SELECT right after EXPLAIN, without a comment before or between")
        kind, select = _only(connection, sql[prefix.end() :])
    if kind != "SELECT":
        more = " (instead of PIVOT: sum(…) FILTER (WHERE …))" if kind == "MULTI" else ""
        raise CallError(f"{kind} is refused: {_ONE}{more}")
    for node in _nodes(_tree(connection, select)):
        type_ = str(node.get("type", ""))
        # A WITH may hold an INSERT, UPDATE or DELETE.
        if type_.endswith("_QUERY_NODE"):
            raise CallError(f"{type_.removesuffix('_QUERY_NODE')} is refused: {_ONE}")
        if type_ == "TABLE_FUNCTION" and _name(node) not in TABLE_FUNCTIONS:
            raise CallError(
                f"the function {_name(node)} is refused after FROM: expected a table, or one of "
                f"{', '.join(sorted(TABLE_FUNCTIONS))}"
            )
    return select


def _only(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[str, str]:
    """The kind of the one statement, and its text without semicolons."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise CallError(f"{len(statements)} statements are refused: {_ONE}")
    (statement,) = statements
    try:
        return str(statement.type.name), statement.query
    except ValueError:
        # DuckDB's Python package has no name for the newest kinds, such as UPDATE EXTENSIONS.
        return "this statement", statement.query


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """The parsed statement."""
    row = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    try:
        tree = msgspec.json.decode(row[0]) if row else {}
    except RecursionError:
        raise CallError("the SQL is nested too deeply: use WITH for its parts") from None
    if tree.get("error", True):
        raise CallError(f"this form of SQL is refused: {_ONE}")
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in the tree."""
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)


def _name(table_function: dict[str, Any]) -> str:
    function = table_function.get("function") or {}
    return str(function.get("function_name", "")).lower()
