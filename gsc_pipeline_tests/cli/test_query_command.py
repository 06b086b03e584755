"""`gsc query` and `gsc duckdb`: SQL on the lake, here and in other tools."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable

from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.cli.test_display import at_a_terminal
from gsc_pipeline_tests.world import World

SQL = """
    SELECT query, sum(clicks) AS clicks, sum(sum_top_position) / sum(impressions) + 1 AS position
    FROM searchdata_site_impression WHERE NOT is_anonymized_query
    GROUP BY query ORDER BY clicks DESC, query LIMIT 3
"""


def test_table_csv_and_json_have_the_same_rows(live: World, gsc: Gsc) -> None:
    env = live.environment()
    gsc("sync", "--days", "3", env=env)
    as_json = json.loads(gsc("query", SQL, "--json", env=env).out)
    as_csv = list(csv.DictReader(io.StringIO(gsc("query", SQL, "--csv", env=env).out)))
    table = gsc("query", SQL, env=env).out.splitlines()
    assert len(as_json) == len(as_csv) == len(table) - 1 == 3
    assert [row["query"] for row in as_json] == [row["query"] for row in as_csv]
    assert table[0].split() == ["query", "clicks", "position"]
    assert str(as_json[0]["clicks"]) in table[1]


HOSTILE = "SELECT '=1+1' || chr(27) || '[2J' || chr(155) || chr(8238) AS \"a\u009b\", -5 AS n, 'x;@y' AS b"


def test_control_characters_in_a_table_are_escaped(live: World, gsc: Gsc) -> None:
    lines = gsc("query", HOSTILE, env=live.environment()).out.splitlines()
    assert [line.split() for line in lines] == [
        [r"a\x9b", "n", "b"],
        [r"=1+1\x1b[2J\x9b\u202e", "-5", "x;@y"],
    ]


def test_csv_disarms_formulas_and_escapes_on_a_terminal_only(live: World, gsc: Gsc) -> None:
    rows = list(csv.reader(io.StringIO(gsc("query", HOSTILE, "--csv", env=live.environment()).out)))
    assert rows == [["a\x9b", "n", "b"], ["'=1+1\x1b[2J\x9b\u202e", "-5", "x;'@y"]]
    env = {**os.environ, **live.environment()}
    drawn = at_a_terminal([str(Path(sys.executable).with_name("gsc")), "query", HOSTILE, "--csv"], env)
    assert drawn.split()[-1] == r"'=1+1\x1b[2J\x9b\u202e,-5,x;'@y"


def test_numbers_of_a_lake_that_lacks_rows_come_with_a_warning(live: World, gsc: Gsc) -> None:
    env = live.environment()
    gsc("sync", "--days", "3", env=env)
    assert gsc("query", SQL, env=env).err == ""
    DeltaTable(live.lake.table_uri(SITE_IMPRESSION)).delete("country = 'usa'")
    for command in (["query", SQL], ["duckdb", str(live.folder / "s.duckdb")], ["report", "acme"]):
        done = gsc(*command, env={**env, "GSC_REPORTS": str(live.folder / "reports")})
        assert "gsc: warning: searchdata_site_impression has" in done.err
        assert "the ledger counts" in done.err
        assert "Run gsc verify acme" in done.err
    assert gsc("query", "SELECT count(*) FROM sync_runs", env=env).err == ""


def test_a_file_that_a_query_cannot_read_is_named_with_the_next_step(live: World, gsc: Gsc) -> None:
    env = live.environment()
    gsc("sync", "--days", "3", env=env)
    Path(live.lake.local_files(SITE_IMPRESSION).paths[0]).unlink()
    done = gsc("query", SQL, env=env)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("gsc: searchdata_site_impression is damaged: workspace=acme/")
    assert "is missing. Run gsc verify acme --repair" in done.err


def test_the_tables_of_a_missing_lake_are_empty(live: World, gsc: Gsc) -> None:
    done = gsc("query", "SELECT count(*) AS n FROM sync_runs", "--json", env=live.environment())
    assert json.loads(done.out) == [{"n": 0}]


def test_an_error_in_the_sql_is_one_line(live: World, gsc: Gsc) -> None:
    done = gsc("query", "SELECT nothing FROM nowhere", env=live.environment())
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "nowhere" in line
    assert 'gsc query "SHOW TABLES" lists the tables' in line
    assert "^" not in line


def test_an_error_in_the_sql_names_its_line_and_how_to_list_the_columns(live: World, gsc: Gsc) -> None:
    done = gsc(
        "query", "SELECT workspace,\n       querry\nFROM searchdata_site_impression", env=live.environment()
    )
    (line,) = done.err.splitlines()
    assert '"query"' in line
    assert "(line 2)" in line
    assert "DESCRIBE" in line


def test_an_empty_lake_is_a_warning_beside_an_empty_result(live: World, gsc: Gsc) -> None:
    env = live.environment()
    for command in (
        ["query", "SELECT * FROM sync_runs"],
        ["status"],
        ["duckdb", str(live.folder / "x.duckdb")],
    ):
        done = gsc(*command, env=env)
        assert done.code == 0
        assert f"{env['GSC_LAKE']} is empty: run gsc sync, or check GSC_LAKE" in done.err


def test_a_lake_whose_ledger_is_lost_is_not_called_empty(live: World, gsc: Gsc) -> None:
    live.sync(live.workspace(), live.last(1))
    shutil.rmtree(live.folder / "lake" / "sync_ledger")
    done = gsc("verify", env=live.environment())
    assert done.code == 1
    assert "the ledger has no record" in done.out
    assert "is empty" not in done.err


def test_a_lake_that_cannot_be_read_is_one_short_line(live: World, gsc: Gsc) -> None:
    log = live.folder / "lake" / "sync_ledger" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("{bad", encoding="utf-8")
    done = gsc("query", "SELECT 1", env=live.environment())
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert "sync_ledger is damaged: _delta_log/00000000000000000000.json is not JSON" in line
    assert "unknown>" not in line


def test_a_missing_argument_names_the_help_of_the_command(gsc: Gsc) -> None:
    done = gsc("query")
    assert (done.code, done.err) == (2, "gsc: Missing argument 'SQL' (see gsc query --help)\n")


@pytest.mark.parametrize(
    "sql",
    ["COPY (SELECT 1) TO 'out.csv'", "SELECT * FROM read_text('workspaces.yaml')", "", "SET threads = 1"],
    ids=["write a file", "read a file", "nothing", "a setting"],
)
def test_a_statement_that_is_not_a_query_of_the_tables_is_refused_in_one_line(
    live: World, gsc: Gsc, sql: str
) -> None:
    done = gsc("query", sql, env=live.environment())
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1


def test_temporary_files_are_in_an_empty_folder_that_is_deleted(
    live: World, gsc: Gsc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = tmp_path / ".tmp" / "kept.txt"
    kept.parent.mkdir()
    kept.write_text("of another query", encoding="utf-8")
    env = live.environment()
    for sql in ("SELECT content FROM read_text('.tmp/kept.txt')", "COPY (SELECT 1) TO '.tmp/new.csv'"):
        assert gsc("query", sql, env=env).code == 2
    assert list(kept.parent.iterdir()) == [kept]
    (row,) = json.loads(gsc("query", "SELECT current_setting('temp_directory') AS a", "--json", env=env).out)
    assert not Path(row["a"]).exists()


def test_nan_and_infinity_are_null_in_json(live: World, gsc: Gsc) -> None:
    done = gsc("query", "SELECT 'nan'::DOUBLE AS n, 'inf'::DOUBLE AS i", "--json", env=live.environment())
    assert json.loads(done.out) == [{"n": None, "i": None}]


def test_a_duckdb_file_gives_the_results_of_the_query_command(live: World, gsc: Gsc) -> None:
    env, file = live.environment(), live.folder / "search.duckdb"
    gsc("sync", "--days", "3", env=env)
    done = gsc("duckdb", str(file), env=env)
    assert (done.code, done.err) == (0, "")
    assert str(file) in done.out
    here = [tuple(row.values()) for row in json.loads(gsc("query", SQL, "--json", env=env).out)]
    with duckdb.connect(file, read_only=True) as connection:
        assert connection.execute(SQL).fetchall() == here
