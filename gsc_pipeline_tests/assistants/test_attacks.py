"""Attempts to leave the sandbox, over the official client: none succeeds, and the next query works."""

from __future__ import annotations

import re
from typing import Any

import duckdb
import pytest

from gsc_pipeline.assistants.messages import Limits, Request, Start, Statement
from gsc_pipeline.assistants.sandbox import Sandbox
from gsc_pipeline_tests.assistants.served import DAYS, FOREIGN, SECRET, Assistant, Served
from gsc_pipeline_tests.world import versions

REFUSED, EMPTY, HARMLESS, BOUNDED = "refused", "empty", "harmless", "bounded"
"""What an attack may get: an error, no rows, rows with nothing to hide, or one of these within the limits."""

LONG = "x" * 20_001

Attacks = dict[str, tuple[str, str]]

FILES: Attacks = {
    "read a CSV file": ("SELECT * FROM read_csv('{file}')", REFUSED),
    "read a file by its name": ("SELECT * FROM '{file}'", REFUSED),
    "read a text file": ("SELECT content FROM read_text('{file}')", REFUSED),
    "read a binary file": ("SELECT content FROM read_blob('{file}')", REFUSED),
    "read a JSON file": ("SELECT * FROM read_json('{file}')", REFUSED),
    "read lines of a file": (
        "SELECT * FROM read_csv('{file}', header = false, columns = {{'a': 'VARCHAR'}})",
        REFUSED,
    ),
    "guess a file's form": ("SELECT * FROM sniff_csv('{file}')", REFUSED),
    "list files": ("SELECT * FROM glob('{lake}/**')", REFUSED),
    "read another workspace's files": (
        "SELECT * FROM read_parquet('{lake}/searchdata_site_impression/workspace=globex/**')",
        REFUSED,
    ),
    "read a file's metadata": ("SELECT * FROM parquet_metadata('{lake}/sync_ledger/**')", REFUSED),
    "read a Delta table": ("SELECT * FROM delta_scan('{lake}/sync_ledger')", REFUSED),
    "read the process's environment": ("SELECT content FROM read_text('/proc/self/environ')", REFUSED),
    "read the folder of temporary files": ("SELECT * FROM read_text('.tmp/x')", REFUSED),
    "write the log to a file": (
        "SELECT * FROM enable_logging(storage = 'file', storage_path = '{lake}')",
        REFUSED,
    ),
    "write profiles to a file": ("SELECT * FROM enable_profiling(save_location = '{lake}/x')", REFUSED),
    "read an address": ("SELECT * FROM read_csv('http://127.0.0.1:9/')", REFUSED),
    "read a file in a nested query": ("SELECT (SELECT content FROM read_text('{file}')) AS a", REFUSED),
    "read a file in SQL in a text": ("SELECT * FROM query('SELECT * FROM read_text(''{file}'')')", REFUSED),
    "read a file in a lambda": (
        "SELECT list_transform(['{file}'], lambda f: (SELECT content FROM read_text(f)))",
        REFUSED,
    ),
    "read a file while explaining": ("EXPLAIN ANALYZE SELECT * FROM read_text('{file}')", REFUSED),
    "read all variables in the settings": (
        "SELECT * FROM pg_catalog.pg_settings WHERE setting LIKE '%hunter%' OR setting LIKE '%globex%'",
        EMPTY,
    ),
    "read a variable": ("SELECT getenv('GLOBEX_KEY')", REFUSED),
    "read Python's variables": ("SELECT * FROM secret", REFUSED),
    "scan an address in memory": ("SELECT * FROM arrow_scan(1, 2, 3)", REFUSED),
    "scan Arrow without a source": ("SELECT * FROM python_arrow_scan()", REFUSED),
    "scan a data frame": ("SELECT * FROM pandas_scan(1)", REFUSED),
}
"""Attempts to read files, memory and the environment. {file} has a secret, {lake} is the lake's folder."""

OTHERS: Attacks = {
    "ask for the workspace": ("SELECT * FROM sync_ledger WHERE workspace = 'globex'", EMPTY),
    "ask for the others": ("SELECT * FROM sync_ledger WHERE workspace <> 'acme'", EMPTY),
    "ask for the others' syncs, whose rows share files": (
        "SELECT * FROM sync_runs WHERE workspace <> 'acme'",
        EMPTY,
    ),
    "ask for the others' syncs with an OR": (
        "SELECT * FROM sync_runs WHERE workspace = 'globex' OR seconds < 0",
        EMPTY,
    ),
    "count the others' syncs": ("SELECT count(*) FROM sync_runs HAVING count(*) <> 1", EMPTY),
    "ask with an OR": ("SELECT * FROM sync_ledger WHERE clicks < 0 OR workspace = 'globex'", EMPTY),
    "ask by a quoted name": ("SELECT * FROM temp.main.\"sync_ledger\" WHERE workspace = 'globex'", EMPTY),
    "ask by another schema": ("SELECT * FROM memory.main.sync_ledger", REFUSED),
    "ask by a name in a text": (
        "SELECT * FROM query_table('sync_ledger') WHERE workspace = 'globex'",
        REFUSED,
    ),
    "ask by serialised SQL": (
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql("
        "'SELECT * FROM sync_ledger WHERE workspace = ''globex'''))",
        REFUSED,
    ),
    "join": (
        "SELECT a.* FROM searchdata_site_impression a JOIN sync_ledger b ON a.workspace <> b.workspace",
        EMPTY,
    ),
    "list the workspaces": ("SELECT DISTINCT workspace FROM ExportLog WHERE workspace <> 'acme'", EMPTY),
    "look for other tables": ("SELECT * FROM duckdb_tables()", REFUSED),
    "look for tables behind the views": (
        "SELECT table_name FROM information_schema.tables WHERE table_type <> 'VIEW'",
        EMPTY,
    ),
    "look at the views' SQL": ("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal", HARMLESS),
    "look at the plan": ("EXPLAIN SELECT * FROM sync_ledger", HARMLESS),
    "look at other databases": (
        "SELECT database_name, path FROM duckdb_databases() WHERE path IS NOT NULL",
        REFUSED,
    ),
    "look at table statistics": ("SELECT * FROM pragma_storage_info('sync_ledger')", REFUSED),
    "summarise": ("SUMMARIZE sync_ledger", HARMLESS),
    "a query as an error": ("SELECT error(site_url) FROM sync_ledger", REFUSED),
    "a query in a failed conversion": ("SELECT CAST(site_url AS INTEGER) FROM sync_ledger", REFUSED),
}
"""Attempts to read another workspace's rows, or to get rows into an error, which is a sentence."""

WRITES: Attacks = {
    "copy to a file": ("COPY (SELECT 1) TO '{lake}/x.csv'", REFUSED),
    "copy while explaining": ("EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/x.csv'", REFUSED),
    "copy while explaining, after a comment": (
        "EXPLAIN /**/ ANALYZE COPY (SELECT 1) TO '{lake}/x.csv'",
        REFUSED,
    ),
    "copy to the folder of temporary files": ("COPY (SELECT 1) TO '.tmp/x.csv'", REFUSED),
    "export": ("EXPORT DATABASE '{lake}/x'", REFUSED),
    "attach a file": ("ATTACH '{lake}/x.db'", REFUSED),
    "insert": ("INSERT INTO sync_ledger SELECT * FROM sync_ledger", REFUSED),
    "insert in a WITH": (
        "WITH a AS (INSERT INTO sync_ledger SELECT * FROM sync_ledger RETURNING *) FROM a",
        REFUSED,
    ),
    "delete": ("DELETE FROM sync_ledger", REFUSED),
    "update": ("UPDATE sync_ledger SET clicks = 0", REFUSED),
    "create a table": ("CREATE TABLE a AS SELECT 1", REFUSED),
    "create a table while explaining": ("EXPLAIN ANALYZE CREATE TABLE a AS SELECT 1", REFUSED),
    "replace a view": ("CREATE OR REPLACE VIEW sync_ledger AS SELECT 1", REFUSED),
    "drop a view": ("DROP VIEW sync_ledger", REFUSED),
    "define a macro": ("CREATE MACRO f() AS 1", REFUSED),
}
"""Attempts to write."""

SETTINGS: Attacks = {
    "set": ("SET enable_external_access = true", REFUSED),
    "set memory": ("SET memory_limit = '900GB'", REFUSED),
    "reset": ("RESET lock_configuration", REFUSED),
    "pragma": ("PRAGMA memory_limit = '900GB'", REFUSED),
    "set in a function": ("SELECT set_config('enable_external_access', 'true', false)", REFUSED),
    "install": ("INSTALL httpfs", REFUSED),
    "load": ("LOAD httpfs", REFUSED),
    "list secrets": ("SELECT * FROM duckdb_secrets()", REFUSED),
    "list extensions": ("SELECT * FROM duckdb_extensions()", REFUSED),
    "create a secret": ("CREATE SECRET (TYPE s3)", REFUSED),
    "look for a path in the settings": (
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE setting LIKE '%/%' AND name <> 'duckdb_api'",
        EMPTY,
    ),
    "prepare": ("PREPARE a AS SELECT 1", REFUSED),
    "execute": ("EXECUTE a", REFUSED),
    "call": ("CALL pragma_version()", REFUSED),
    "begin": ("BEGIN", REFUSED),
    "use": ("USE memory", REFUSED),
    "vacuum": ("VACUUM", REFUSED),
    "update extensions": ("UPDATE EXTENSIONS", REFUSED),
    "checkpoint": ("CHECKPOINT", REFUSED),
    "write to the log": ("SELECT write_log('x')", HARMLESS),
}
"""Attempts to change settings and sessions."""

STATEMENTS: Attacks = {
    "two statements": ("SELECT 1; SELECT 2", REFUSED),
    "a statement after a comment": ("SELECT 1 /* ; */; -- ;\nDROP VIEW sync_ledger", REFUSED),
    "a semicolon in a text": ("SELECT '; DROP VIEW sync_ledger'", HARMLESS),
    "two statements in a text": ("SELECT * FROM query('SELECT 1; SELECT 2')", REFUSED),
    "nothing": ("", REFUSED),
    "a comment": ("-- SELECT 1", REFUSED),
    "nonsense": ("this is not SQL", REFUSED),
    "a null byte": ("SELECT 1\0; SELECT 2", REFUSED),
}
"""Several statements, and none."""

FLOODS: Attacks = {
    "too many characters": (f"SELECT '{LONG}'", REFUSED),
    "a long text": ("SELECT repeat('x', 100000000) AS a", BOUNDED),
    "a text longer than the memory": ("SELECT repeat('x', 3000000000)", REFUSED),
    "many long texts": ("SELECT repeat('x', 100000) FROM range(1000000)", HARMLESS),
    "a list of long texts": ("SELECT [repeat('x', 100000000) FOR i IN range(100)]", REFUSED),
    "a text of all rows": ("SELECT string_agg(repeat('x', 1000000)) FROM range(100000)", REFUSED),
    "ten billion rows": ("SELECT * FROM range(10000000000)", HARMLESS),
    "ten billion numbers in a list": ("SELECT generate_series(1, 10000000000)", REFUSED),
    "endless rows": (
        "WITH RECURSIVE r AS (SELECT 1 n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
        BOUNDED,
    ),
    "many columns": ("SELECT " + ", ".join(f"{i} AS a{i}" for i in range(1200)), REFUSED),
    "all values of all types": ("SELECT * FROM test_all_types()", REFUSED),
    "invalid UTF-8": (r"SELECT '\xff\xfe'::BLOB AS a", HARMLESS),
    "deep parentheses": ("SELECT " + "(" * 9_000 + "1" + ")" * 9_000, REFUSED),
    "deep negation": ("SELECT " + "NOT " * 4_500 + "true", REFUSED),
    "deep lists": ("SELECT " + "[" * 100 + "1" + "]" * 100 + " AS a", HARMLESS),
    "a deep sum": ("SELECT 1" + "+1" * 9_000, REFUSED),
    "a regular expression with many ways": ("SELECT regexp_matches(repeat('a', 100000), '(a*)*b')", HARMLESS),
    "a large regular expression": ("SELECT regexp_matches('a', '((a{{1000}}){{1000}}){{1000}}')", REFUSED),
    "terminal controls": ("SELECT chr(27) || '[2J' AS a", HARMLESS),
}
"""Attempts to use up memory, to crash the process, or to flood the assistant."""

ALL = FILES | OTHERS | WRITES | SETTINGS | STATEMENTS | FLOODS
QUICK = {
    "read a CSV file",
    "read a file by its name",
    "list files",
    "read another workspace's files",
    "read the process's environment",
    "read a file in SQL in a text",
    "read a file while explaining",
    "read a variable",
    "scan an address in memory",
    "ask for the workspace",
    "ask for the others' syncs with an OR",
    "ask by a name in a text",
    "look for tables behind the views",
    "a query in a failed conversion",
    "copy to a file",
    "insert in a WITH",
    "replace a view",
    "set",
    "install",
    "two statements",
    "a text longer than the memory",
}
"""One of each way, which `make test` tries; `make soak` tries the others."""


def sql_of(name: str, served: Served) -> str:
    sql = ALL[name][0]
    return sql.format(file=served.secret_file, lake=served.world.lake.uri) if "{" in sql else sql


def good(assistant: Assistant) -> None:
    reply = assistant.query("SELECT workspace, count(*) FROM sync_ledger GROUP BY ALL")
    assert reply.data["rows"] == [["acme", DAYS]], reply.text


def cases() -> list[Any]:
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.soak, id=name) for name in ALL]


def test_there_are_more_than_a_hundred_attacks_and_some_of_each_kind_are_quick() -> None:
    assert len(ALL) >= 100
    for kind in (FILES, OTHERS, WRITES, SETTINGS, STATEMENTS, FLOODS):
        assert QUICK & kind.keys()


@pytest.mark.parametrize("name", cases())
def test_an_attack_gets_nothing_and_the_next_query_works(
    assistant: Assistant, served: Served, name: str
) -> None:
    expected = ALL[name][1]
    reply = assistant.query(sql_of(name, served))
    assert expected == BOUNDED or reply.is_error == (expected == REFUSED), reply.text
    assert len(reply.text) < 200_000
    assert SECRET not in reply.text
    assert FOREIGN not in reply.text
    if expected == REFUSED:
        assert "acme.com" not in reply.text
    if expected == EMPTY:
        assert reply.data["rows"] == []
    good(assistant)


WRONG: tuple[tuple[str, dict[str, Any]], ...] = (
    ("query", {}),
    ("query", {"sql": 5}),
    ("query", {"sql": ["SELECT 1"]}),
    ("query", {"sql": "SELECT 1", "limit": 0}),
    ("query", {"sql": "SELECT 1", "limit": -1}),
    ("query", {"sql": "SELECT 1", "limit": "all"}),
    ("query", {"sql": "SELECT 1", "workspace": "acme"}),
    ("status", {"workspace": "globex"}),
    ("status", {"workspace": "acme' OR '1' = '1"}),
    ("status", {"workspace": "../globex"}),
    ("report", {"workspace": "globex"}),
    ("insight", {"name": "ctr_gap", "workspace": "globex"}),
    ("insight", {"name": "sync_ledger", "workspace": "acme"}),
    ("insight", {"name": "ctr_gap; DROP VIEW ctr_gap", "workspace": "acme"}),
    ("describe_tables", {"tables": ["secret"]}),
    ("compare", {"workspace": "globex"}),
    ("compare", {"metric": "clicks) FROM secret --"}),
    ("compare", {"dimension": "workspace"}),
    ("compare", {"search_type": "WEB' OR '1' = '1"}),
    ("compare", {"site_url": FOREIGN}),
    ("compare", {"site_url": "x') OR ('1' = '1"}),
    ("compare", {"start": "2026-11-20", "end": "2026-11-01"}),
    ("compare", {"start": "0001-01-01", "end": "9999-12-31"}),
    ("compare", {"start": "2020-01-01", "end": "2026-11-01"}),
    ("compare", {"against": "2026-11-08"}),
    ("compare", {"against": "'; DROP VIEW sync_ledger; --"}),
    ("sync", {"workspace": "acme"}),
)


@pytest.mark.parametrize(("tool", "arguments"), WRONG)
def test_wrong_arguments_are_an_error(assistant: Assistant, tool: str, arguments: dict[str, Any]) -> None:
    if tool == "compare":
        valid = {"workspace": "acme", "metric": "clicks", "dimension": "query"}
        arguments = {**valid, "start": "2026-11-08", "end": "2026-11-14", **arguments}
    reply = assistant.call(tool, **arguments)
    assert reply.is_error
    assert SECRET not in reply.text
    if arguments.get("site_url") != FOREIGN:
        assert FOREIGN not in reply.text


@pytest.mark.soak
@pytest.mark.parametrize(
    "name", [one for one in FILES | WRITES if not re.search("EXPLAIN|settings|CREATE|DROP", ALL[one][0])]
)
def test_duckdb_itself_refuses_files_and_writes(served: Served, name: str) -> None:
    sandbox = Sandbox(Start(served.world.lake.uri, ("acme",), Limits()))
    with sandbox.connected() as connection, pytest.raises(duckdb.Error):
        connection.execute(sql_of(name, served)).fetchall()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT INTERVAL '5000000 years'", "cast it to VARCHAR"),
        ("UPDATE EXTENSIONS", "expected one SELECT"),
        ("SELECT [NULL]::INT[1000000]", "ARRAY type size"),
    ],
)
def test_what_python_has_no_value_or_name_for_is_an_error_that_says_so(
    served: Served, sql: str, said: str
) -> None:
    sandbox = Sandbox(Start(served.world.lake.uri, ("acme",), Limits()))
    assert said in sandbox.answer(Request((Statement(sql, 1),))).error


def test_after_all_attacks_nothing_was_written(assistant: Assistant, served: Served) -> None:
    good(assistant)
    before = versions(served.world.lake), sorted(served.world.folder.rglob("*"))
    for name in ("copy to a file", "export", "attach a file", "insert in a WITH", "delete"):
        assert assistant.query(ALL[name][0].format(lake=served.world.lake.uri)).is_error
    assert (versions(served.world.lake), sorted(served.world.folder.rglob("*"))) == before
