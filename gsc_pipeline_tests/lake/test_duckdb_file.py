"""The DuckDB file: what a BI tool that opens it sees, and that it takes nothing's place but its own."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from gsc_pipeline.lake.duckdb_file import write_duckdb_file
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, TABLES
from gsc_pipeline_tests.world import World


def rows(file: Path, sql: str) -> list[tuple[object, ...]]:
    """What a tool of its own sees that opens the file to read."""
    with duckdb.connect(file, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_every_table_is_a_view_with_the_lakes_rows_and_types(world: World) -> None:
    world.sync(world.workspace())
    world.sync(world.workspace("globex", properties=["https://shop.acme.com/"]))
    file = world.folder / "bi" / "search.duckdb"
    read = write_duckdb_file(world.lake, file)
    assert read[SITE_IMPRESSION.name] >= 2
    assert read["revisions"] == 0
    with duckdb.connect(file, read_only=True) as connection:
        for table in TABLES:
            shown = connection.sql(f"SELECT * FROM {table.name}")
            expected = duckdb.from_arrow(world.lake.read(table))
            assert dict(zip(shown.columns, shown.types, strict=True)) == dict(
                zip(expected.columns, expected.types, strict=True)
            )
            assert sorted(map(repr, shown.fetchall())) == sorted(map(repr, expected.fetchall()))


def test_rows_that_were_replaced_are_not_seen_twice_and_a_view_says_what_it_is(world: World) -> None:
    acme, file = world.workspace(), world.folder / "search.duckdb"
    world.sync(acme)
    world.sync(acme)
    write_duckdb_file(world.lake, file)
    (days,) = rows(file, "SELECT count(*), count(DISTINCT data_date) FROM sync_ledger")
    assert days == (5, 5)
    (comment,) = rows(file, "SELECT comment FROM duckdb_views() WHERE view_name = 'sync_ledger'")
    assert comment == (SYNC_LEDGER.description,)


def test_written_anew_it_shows_what_has_come_since(world: World) -> None:
    acme, file = world.workspace(), world.folder / "search.duckdb"
    world.sync(acme, world.last(2))
    write_duckdb_file(world.lake, file)
    world.sync(acme, world.last(4))
    count = "SELECT count(*) FROM sync_ledger"
    write_duckdb_file(world.lake, file)
    assert rows(file, count) == [(4,)]
    assert [path.name for path in world.folder.glob(".duckdb*")] == []


def test_a_file_that_is_something_else_is_left_alone(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("what matters to someone", encoding="utf-8")
    with pytest.raises(LakeError, match=r"notes.txt is no DuckDB file, so it is left alone"):
        write_duckdb_file(lake, file)
    assert file.read_text(encoding="utf-8") == "what matters to someone"


def test_a_lake_in_a_bucket_is_refused_with_the_other_way(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"s3://bucket/lake is no folder.*delta_scan"):
        write_duckdb_file(Lake("s3://bucket/lake"), tmp_path / "search.duckdb")


def test_a_place_that_cannot_be_written_and_a_table_that_cannot_be_read_are_named(
    lake: Lake, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(LakeError, match=r"cannot write .*search.duckdb"):
        write_duckdb_file(lake, tmp_path / "file" / "search.duckdb")
    log = tmp_path / "lake" / SITE_IMPRESSION.name / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("{broken", encoding="utf-8")
    with pytest.raises(LakeError, match=r"searchdata_site_impression is damaged"):
        write_duckdb_file(lake, tmp_path / "search.duckdb")
