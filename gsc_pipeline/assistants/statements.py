"""Accepts one SELECT or EXPLAIN, and refuses every other SQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gsc_pipeline.assistants.messages import CallError

if TYPE_CHECKING:
    import duckdb

_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?(\(\s*[\w\s,]*\)\s*)?", re.IGNORECASE)

_ONE = "expected one SELECT, or EXPLAIN and a SELECT, in each call"


def refuse_other_than_one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise CallError unless `sql` is one SELECT, or EXPLAIN and a SELECT.

    SHOW, DESCRIBE, SUMMARIZE, VALUES and FROM are SELECT to DuckDB. Raises duckdb.Error for what it cannot
    parse.
    """
    kind = _kind(connection, sql)
    if kind == "EXPLAIN":
        # EXPLAIN ANALYZE runs what it explains.
        prefix = _EXPLAIN.match(sql)
        if prefix is None:
            raise CallError("expected the SELECT right after EXPLAIN, without a comment before or between")
        kind = _kind(connection, sql[prefix.end() :])
    if kind != "SELECT":
        more = " (instead of PIVOT: sum(…) FILTER (WHERE …))" if kind == "MULTI" else ""
        raise CallError(f"{kind} is refused: {_ONE}{more}")


def _kind(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise CallError(f"{len(statements)} statements are refused: {_ONE}")
    return str(statements[0].type.name)
