"""The DuckDB file: the views that BI tools see, and which files it replaces."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from gsc_pipeline.lake.duckdb_bucket import EXTENSIONS, INSTALL, BucketAccess
from gsc_pipeline.lake.duckdb_file import write_duckdb_file
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, TABLES
from gsc_pipeline_tests.cluster.bucket import KEY, serving_bucket
from gsc_pipeline_tests.world import World


def rows(file: Path, sql: str) -> list[tuple[object, ...]]:
    """The rows that another program reads from the file."""
    with duckdb.connect(file, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_every_table_is_a_view_with_the_same_rows_and_types(world: World) -> None:
    world.sync(world.workspace())
    world.sync(world.workspace("globex", properties=["https://shop.acme.com/"]))
    file = world.folder / "bi" / "search.duckdb"
    read = write_duckdb_file(world.lake, file).parquet_files
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


def test_a_view_has_no_replaced_rows_and_has_the_tables_description(world: World) -> None:
    acme, file = world.workspace(), world.folder / "search.duckdb"
    world.sync(acme)
    world.sync(acme)
    write_duckdb_file(world.lake, file)
    (days,) = rows(file, "SELECT count(*), count(DISTINCT data_date) FROM sync_ledger")
    assert days == (5, 5)
    (comment,) = rows(file, "SELECT comment FROM duckdb_views() WHERE view_name = 'sync_ledger'")
    assert comment == (SYNC_LEDGER.description,)


def test_a_file_written_again_shows_new_rows(world: World) -> None:
    acme, file = world.workspace(), world.folder / "search.duckdb"
    world.sync(acme, world.last(2))
    write_duckdb_file(world.lake, file)
    world.sync(acme, world.last(4))
    count = "SELECT count(*) FROM sync_ledger"
    write_duckdb_file(world.lake, file)
    assert rows(file, count) == [(4,)]
    assert [path.name for path in world.folder.glob(".duckdb*")] == []


def test_a_file_that_is_not_a_duckdb_file_is_not_replaced(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("what matters to someone", encoding="utf-8")
    with pytest.raises(LakeError, match=r"notes.txt is not a DuckDB file and is not replaced"):
        write_duckdb_file(lake, file)
    assert file.read_text(encoding="utf-8") == "what matters to someone"


def test_a_bucket_without_duckdbs_extensions_is_one_error_with_the_statements_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # DuckDB keeps its extensions in the home folder.
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(LakeError) as refused:
        write_duckdb_file(Lake("s3://bucket/lake"), tmp_path / "search.duckdb")
    assert "run INSTALL delta; INSTALL httpfs; INSTALL aws in that version" in str(refused.value)
    assert str(refused.value).endswith("or use gsc query, which needs none")
    assert not list(tmp_path.glob("*.duckdb*"))


def test_other_stores_are_refused_with_the_alternative(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"gs://bucket/lake: .* s3:// only: use gsc query"):
        write_duckdb_file(Lake("gs://bucket/lake"), tmp_path / "search.duckdb")


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ({}, ""),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, ", REGION 'eu-west-1'"),
        (
            {"AWS_REGION": "o'x", "AWS_ENDPOINT_URL": "http://me:s3cret@minio:9000"},
            ", REGION 'o''x', ENDPOINT 'minio:9000', URL_STYLE 'path', USE_SSL false",
        ),
        (
            {"AWS_ENDPOINT_URL": "https://r2.example"},
            ", ENDPOINT 'r2.example', URL_STYLE 'path', USE_SSL true",
        ),
    ],
)
def test_the_secret_names_server_and_region_and_no_credentials(
    environment: dict[str, str], options: str
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "s3cret", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_SESSION_TOKEN": "s3cret"}
    secret = BucketAccess.to("s3://b/it's", {**environment, **keys}).secret
    scope = "TYPE s3, PROVIDER credential_chain, SCOPE 's3://b/it''s'"
    assert secret == f"CREATE OR REPLACE TEMPORARY SECRET gsc_lake ({scope}{options})"
    assert len(duckdb.extract_statements(secret)) == 1


def has_extensions() -> bool:
    with duckdb.connect() as connection:
        found = connection.execute("SELECT extension_name FROM duckdb_extensions() WHERE installed")
        return set(EXTENSIONS) <= {name for (name,) in found.fetchall()}


@pytest.mark.skipif(not has_extensions(), reason=f"DuckDB's extensions are not installed ({INSTALL})")
def test_a_file_over_a_bucket_shows_every_commit_and_has_no_credentials(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, file = world.workspace(), world.folder / "search.duckdb"
    with serving_bucket() as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        world.lake = Lake(f"{bucket.uri}/it's the lake")
        world.sync(acme, world.last(2))
        written = write_duckdb_file(world.lake, file)
        assert written.access is not None
        assert KEY.encode() not in file.read_bytes()
        world.sync(acme, world.last(4))
        with duckdb.connect(file, read_only=True) as connection:
            connection.execute("SET autoinstall_known_extensions = false")
            connection.execute(written.access.secret)
            for table in TABLES:
                shown = connection.sql(f"SELECT * FROM {table.name}")
                expected = duckdb.from_arrow(world.lake.read(table))
                assert (shown.columns, shown.types) == (expected.columns, expected.types)
                assert sorted(map(repr, shown.fetchall())) == sorted(map(repr, expected.fetchall()))


def test_errors_name_an_unwritable_file_and_an_unreadable_table(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(LakeError, match=r"cannot write .*search.duckdb"):
        write_duckdb_file(lake, tmp_path / "file" / "search.duckdb")
    log = tmp_path / "lake" / SITE_IMPRESSION.name / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("{broken", encoding="utf-8")
    with pytest.raises(LakeError, match=r"searchdata_site_impression is damaged"):
        write_duckdb_file(lake, tmp_path / "search.duckdb")
