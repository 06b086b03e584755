"""Files of the lake are read through Arrow's own file system, or released before the process ends."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pa_fs
import pytest
from deltalake import DeltaTable, TableFeatures

from gsc_pipeline.lake.errors import cause_of
from gsc_pipeline.lake.incremental import FILE, FileByFile
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_RUNS
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.lake.storage import python_file_system, wait_for_arrow
from gsc_pipeline_tests.lake.test_damage import data_files
from gsc_pipeline_tests.lake.test_lake import DAYS, filled, rows, target

WORKSPACE, SITE = "a b%2F=é", "https://x.com/%20a/?*[{'é=/"


@pytest.fixture
def odd(tmp_path: Path) -> Lake:
    """A lake in a folder whose path, workspace and property need encoding."""
    lake = Lake(str(tmp_path / "a b=é*"))
    for day in DAYS:
        found = rows(day, 1, workspace=WORKSPACE, site_url=SITE)
        lake.replace(SITE_IMPRESSION, target(day, workspace=WORKSPACE, site_url=SITE), found)
    return lake


def read_in_every_way(lake: Lake) -> list[list[tuple[str, str, int]]]:
    read = lake.read(SITE_IMPRESSION, workspace=WORKSPACE)
    ways = [Counter(zip(*(read[name].to_pylist() for name in ("workspace", "site_url")), strict=True))]
    with connect(lake, [SITE_IMPRESSION]) as connection:
        query = f"SELECT workspace, site_url FROM {SITE_IMPRESSION.name}"
        ways.append(Counter(connection.sql(query).fetchall()))
    sql = f"SELECT {FILE}, workspace, site_url FROM rows"
    files = FileByFile(lake, SITE_IMPRESSION, ["workspace", "site_url"], sql).read().to_pylist()
    ways.append(Counter((row["workspace"], row["site_url"]) for row in files))
    return [[(*key, count) for key, count in way.items()] for way in ways]


@pytest.mark.parametrize("feature", [None, TableFeatures.TimestampWithoutTimezone])
def test_paths_that_need_encoding_are_read_in_every_way(odd: Lake, feature: TableFeatures | None) -> None:
    if feature is not None:
        delta = DeltaTable(odd.table_uri(SITE_IMPRESSION))
        delta.alter.add_feature(feature, allow_protocol_versions_increase=True)
    assert read_in_every_way(odd) == [[(WORKSPACE, SITE, 9)]] * 3


def test_files_to_leave_out_are_left_out_of_a_folder_that_duckdb_cannot_open(odd: Lake) -> None:
    files = pa.table(odd.open(SITE_IMPRESSION).get_add_actions(flatten=True)).to_pydict()
    without = f"{SITE_IMPRESSION.name}/{unquote(files['path'][0])}"
    with connect(odd, (), whole=[SITE_IMPRESSION], without=[without]) as connection:
        ((left,),) = connection.sql(f"SELECT count(*) FROM {SITE_IMPRESSION.name}").fetchall()
    assert left == sum(files["num_records"]) - files["num_records"][0]
    assert left


@pytest.mark.parametrize("feature", [None, TableFeatures.TimestampWithoutTimezone])
def test_a_lake_in_a_folder_is_never_read_through_python(lake: Lake, feature: TableFeatures | None) -> None:
    filled(lake)
    if feature is not None:
        delta = DeltaTable(lake.table_uri(SITE_IMPRESSION))
        delta.alter.add_feature(feature, allow_protocol_versions_increase=True)
    dataset = lake.dataset(SITE_IMPRESSION)
    assert isinstance(dataset, ds.FileSystemDataset)
    assert not isinstance(dataset.filesystem, pa_fs.PyFileSystem)
    assert isinstance(dataset.filesystem, pa_fs.SubTreeFileSystem)


@pytest.mark.parametrize("feature", [None, TableFeatures.TimestampWithoutTimezone])
def test_rows_of_some_workspaces_are_selected_also_where_files_hold_several(
    lake: Lake, feature: TableFeatures | None
) -> None:
    # Partitioned by month alone.
    lake.create(SYNC_RUNS)
    blank = {pa.string(): "", pa.int64(): 0, pa.float64(): 0.0, pa.date32(): date(2026, 11, 1)}
    runs = [
        {
            **{one.name: blank.get(one.type) for one in SYNC_RUNS.schema},
            **{"workspace": workspace, "month": "2026-11", "run_id": workspace, "problems": []},
            "started_at": datetime(2026, 11, 1, tzinfo=UTC),
        }
        for workspace in ("acme", "globex", "initech")
    ]
    lake.append(SYNC_RUNS, pa.Table.from_pylist(runs, schema=SYNC_RUNS.schema))
    if feature is not None:
        delta = DeltaTable(lake.table_uri(SYNC_RUNS))
        delta.alter.add_feature(feature, allow_protocol_versions_increase=True)

    def workspaces(*ids: str) -> list[str]:
        dataset = lake.dataset(SYNC_RUNS, workspace=ids)
        assert dataset is not None
        return sorted(dataset.to_table()["workspace"].to_pylist())

    assert lake.read(SYNC_RUNS, workspace="acme")["workspace"].to_pylist() == ["acme"]
    assert workspaces("acme", "globex", "nobody") == ["acme", "globex"]
    assert workspaces() == []


def test_the_end_of_a_process_waits_for_files_that_arrow_has_open(lake: Lake) -> None:
    filled(lake)
    uri = lake.table_uri(SITE_IMPRESSION)
    file = python_file_system(uri).open_input_file(str(data_files(lake)[0].relative_to(uri)))
    assert not wait_for_arrow(0.05)
    file.close()
    del file
    assert wait_for_arrow()


READS_AND_ENDS = """
import sys
import pyarrow.dataset as ds
from gsc_pipeline.lake.storage import python_file_system
ds.dataset(sys.argv[2:], format="parquet", filesystem=python_file_system(sys.argv[1])).to_table()
"""


@pytest.mark.soak
def test_a_process_that_ends_right_after_reading_an_object_store_ends_with_0(lake: Lake) -> None:
    filled(lake)
    uri = lake.table_uri(SITE_IMPRESSION)
    paths = [str(path.relative_to(uri)) for path in data_files(lake)]
    command = [sys.executable, "-c", READS_AND_ENDS, uri, *paths]
    assert [subprocess.run(command, check=False).returncode for _ in range(40)] == [0] * 40


def test_the_error_of_an_object_store_is_one_line_that_ends_with_its_cause() -> None:
    shown = (
        "Generic S3 error\n   \x1b[31m↳\x1b[0m Error performing GET http://127.0.0.1:9/lake?prefix=x in "
        "3ms - Server returned non-2xx status code\n  \x1b[31m↳\x1b[0m 404 Not Found\n   \x1b[31m↳\x1b[0m "
        '<?xml version="1.0"?>\n<Error><Code>NoSuchBucket</Code><Message>It is not there</Message></Error>\n'
    )
    assert cause_of(OSError(shown)) == (
        "Generic S3 error: Error performing GET http://127.0.0.1:9/lake in 3ms - 404 Not Found: NoSuchBucket"
    )
