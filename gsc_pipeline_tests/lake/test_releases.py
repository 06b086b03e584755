"""Lakes of earlier releases can be read, synced and maintained, with the same numbers."""

from __future__ import annotations

import tarfile
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.agreement import disagreements
from gsc_pipeline.lake.duckdb_file import write_duckdb_file
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.quality import schema_differences
from gsc_pipeline.lake.schemas import (
    ANNOTATIONS,
    CHANGE_POINTS,
    CONTENT_GROUP_DAYS,
    FOLDER_DAYS,
    FORECASTS,
    MORE_LEDGER,
    PAST_CAP,
    SEO_TESTS,
    SITE_IMPRESSION,
    SYNC_RUNS,
    TABLES,
)
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.lake.version import LAKE_VERSION, version_of
from gsc_pipeline.monitoring.status import StateReader
from gsc_pipeline.search_console.call_times import NO_CALLS
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.verify import verify
from gsc_pipeline_tests.lake.test_maintenance import tend
from gsc_pipeline_tests.world import NOON, World

RELEASES = Path(__file__).parent / "releases"

ROWS = {
    "searchdata_site_impression": 194,
    "searchdata_url_impression": 241,
    "searchdata_hourly": 640,
    "search_appearance": 200,
    "properties": 4,
    "sitemaps": 8,
    "url_inspections": 25,
    "sync_ledger": 15,
    "sync_runs": 4,
    "revisions": 1,
    "standing_failures": 1,
    "daily_performance": 10,
    "index_coverage": 16,
    "insight_refreshes": 2,
}
"""The tables with rows in a lake of release 0.1.0."""
LATER = (
    FOLDER_DAYS, PAST_CAP, MORE_LEDGER, ANNOTATIONS, CONTENT_GROUP_DAYS, CHANGE_POINTS, FORECASTS, SEO_TESTS,
)  # fmt: skip
HELD = [table for table in TABLES if table not in LATER]
"""The tables of a lake of release 0.1.0."""
SITE_SUMS = [("acme", 14, 117, 2353), ("globex", 14, 112, 1966)]
URL_SUMS = [("acme", 15, 128, 2579), ("globex", 15, 123, 2101)]


@pytest.fixture
def old(tmp_path: Path) -> Lake:
    with tarfile.open(RELEASES / "lake-0.1.0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return Lake(str(tmp_path / "lake"))


def sums(lake: Lake) -> list[list[tuple[object, ...]]]:
    with connect(lake) as connection:
        return [
            connection.execute(
                f"""SELECT workspace, sum(clicks), sum(impressions), sum({positions}) FROM {table}
                    GROUP BY ALL ORDER BY ALL"""
            ).fetchall()
            for table, positions in (
                ("searchdata_site_impression", "sum_top_position"),
                ("searchdata_url_impression", "sum_position"),
            )
        ]


def test_a_lake_of_0_1_0_reads_as_it_was_written(old: Lake, tmp_path: Path) -> None:
    assert {table.name: rows for table in TABLES if (rows := old.read(table).num_rows)} == ROWS
    assert sums(old) == [SITE_SUMS, URL_SUMS]
    assert disagreements(old) == []
    assert verify(old).is_good
    assert [old.damaged_files(table, deep=True) for table in TABLES] == [[]] * len(TABLES)
    for _, difference in schema_differences(old):
        assert "the next sync that writes the table adds it" in difference
    with connect(old, (), whole=TABLES) as connection:
        for name, rows in ROWS.items():
            assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (rows,)
    assert set(write_duckdb_file(old, tmp_path / "old.duckdb").parquet_files) == {
        table.name for table in TABLES
    }
    assert {version_of(old.open(table)) for table in HELD} == {1}


def test_a_lake_of_0_1_0_is_synced_and_upgraded(old: Lake, tmp_path: Path) -> None:
    properties = [
        SyntheticProperty("sc-domain:acme.com", rows_a_day=10, plants=False),
        SyntheticProperty("https://shop.globex.example/", rows_a_day=10, plants=False),
    ]
    with World.serving(tmp_path, properties, now=NOON + 2 * ONE_DAY) as world:
        world.lake = old
        globex = world.workspace("globex", properties=("https://shop.globex.example/",))
        reader = StateReader(old)
        reader.read([globex])
        assert (reader.totals.syncs, reader.totals.call_times) == (ROWS["sync_runs"], NO_CALLS)
        report = world.sync(globex, world.last(4))
        for one in (reader, StateReader(old)):
            one.read([globex])
            assert one.totals.syncs == ROWS["sync_runs"] + 1
            assert one.totals.call_times == report.usage.times != NO_CALLS
        assert sum(old.read(SYNC_RUNS)["calls_by_duration"].is_null().to_pylist()) == ROWS["sync_runs"]
    assert version_of(DeltaTable(old.table_uri(SITE_IMPRESSION))) == LAKE_VERSION
    assert disagreements(old) == []
    assert sums(old)[0][0] == SITE_SUMS[0]
    days = set(old.read(SITE_IMPRESSION, workspace="globex")["data_date"].to_pylist())
    assert (min(days), max(days)) == (date(2026, 11, 17), date(2026, 11, 22))


def test_a_lake_of_0_1_0_is_maintained(old: Lake) -> None:
    done = tend(old, hours=0)
    assert list(done) == [table.name for table in HELD]
    assert {one.kept_because for one in done.values()} == {""}
    assert sums(old) == [SITE_SUMS, URL_SUMS]
    assert {table.name: rows for table in TABLES if (rows := old.read(table).num_rows)} == ROWS
    assert {version_of(old.open(table)) for table in HELD} == {LAKE_VERSION}
