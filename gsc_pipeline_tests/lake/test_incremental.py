"""Tables that stay open, and readers that skip files which cannot contain their rows."""

from __future__ import annotations

import json
import shutil
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable, write_deltalake

from gsc_pipeline.lake.dataset import data_files
from gsc_pipeline.lake.encoding import decoded
from gsc_pipeline.lake.incremental import FileByFile
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, SYNC_RUNS, TABLES, TableSpec
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.lake.targets import WorkspaceRows
from gsc_pipeline_tests.lake.test_lake import DAYS, clicks_by_day, filled, rows, target
from gsc_pipeline_tests.lake.test_maintenance import run_row
from gsc_pipeline_tests.waiting import HANG_SECONDS

MOMENT = datetime(2026, 11, 3, 10, 0, 0, 123_456, tzinfo=UTC)


def runs(lake: Lake) -> list[str]:
    return sorted(lake.read(SYNC_RUNS)["run_id"].to_pylist())


def ledger_row(day: date, status: str, read_at: datetime | None) -> pa.Table:
    row = {
        "workspace": "acme",
        "month": f"{day:%Y-%m}",
        "site_url": "sc-domain:acme.com",
        "search_type": "WEB",
        "data_date": day,
        "status": status,
        "site_rows": 0,
        "url_rows": 0,
        "truncated": False,
        "last_read_at": read_at,
        "api_calls": 0,
        "reason": "",
        "run_id": "r",
    }
    return pa.Table.from_pylist([row], schema=SYNC_LEDGER.schema)


def opened_for(lake: Lake, table: TableSpec, where: pc.Expression) -> int:
    """The number of files that a reader of these rows has to open."""
    dataset = lake.dataset(table)
    assert isinstance(dataset, ds.FileSystemDataset)
    return len(list(dataset.get_fragments(where)))


def test_a_lake_reads_what_others_have_written_since(lake: Lake) -> None:
    other = Lake(lake.uri)
    for number in range(4):
        (lake, other)[number % 2].append(SYNC_RUNS, run_row(number))
        assert runs(lake) == runs(other) == [str(n) for n in range(number + 1)]


def test_a_deleted_table_is_not_found_and_one_created_again_is_opened_again(lake: Lake) -> None:
    lake.append(SYNC_RUNS, run_row(1))
    shutil.rmtree(lake.table_uri(SYNC_RUNS))
    assert runs(lake) == []
    other = Lake(lake.uri)
    for number in (2, 3, 4):
        other.append(SYNC_RUNS, run_row(number))
    assert runs(lake) == ["2", "3", "4"]
    lake.append(SYNC_RUNS, run_row(5))
    assert runs(other) == ["2", "3", "4", "5"]


def test_a_table_created_again_between_two_commits_is_opened_again(lake: Lake) -> None:
    lake.append(SYNC_RUNS, run_row(1))
    shutil.rmtree(lake.table_uri(SYNC_RUNS))
    Lake(lake.uri).append(SYNC_RUNS, run_row(2))
    lake.append(SYNC_RUNS, run_row(3))
    assert runs(Lake(lake.uri)) == ["2", "3"]


def test_a_lake_keeps_working_after_its_log_was_shortened(lake: Lake) -> None:
    lake.append(SYNC_RUNS, run_row(1))
    other = Lake(lake.uri)
    for number in (2, 3):
        other.append(SYNC_RUNS, run_row(number))
    DeltaTable(lake.table_uri(SYNC_RUNS)).create_checkpoint()
    for version in range(3):
        (Path(lake.table_uri(SYNC_RUNS)) / "_delta_log" / f"{version:020d}.json").unlink()
    assert runs(lake) == ["1", "2", "3"]
    lake.append(SYNC_RUNS, run_row(4))
    assert runs(other) == ["1", "2", "3", "4"]


def test_threads_that_share_a_lake_can_read_and_write_at_once(lake: Lake) -> None:
    filled(lake)

    def work(workspace: str) -> None:
        for clicks in (1, 2, 3):
            lake.replace(
                SITE_IMPRESSION,
                target(DAYS[0], workspace=workspace),
                rows(DAYS[0], clicks, workspace=workspace),
            )
            lake.read(SITE_IMPRESSION, workspace=workspace)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("globex", "initech", "hooli")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_SECONDS)
    held = clicks_by_day(lake)
    assert {held[(name, "sc-domain:acme.com", DAYS[0])] for name in ("globex", "initech", "hooli")} == {9}


def test_data_files_are_listed_with_their_decoded_paths_rows_and_partitions(lake: Lake) -> None:
    for workspace in ("acme", "two words"):
        lake.replace(
            SITE_IMPRESSION, target(DAYS[0], workspace=workspace), rows(DAYS[0], 3, workspace=workspace)
        )
    delta = lake.open(SITE_IMPRESSION)
    folder = Path(lake.table_uri(SITE_IMPRESSION))
    files = data_files(delta)
    assert sorted(files["path"].to_pylist()) == sorted(
        str(path.relative_to(folder)) for path in folder.rglob("part-*.parquet")
    )
    assert files["num_records"].to_pylist() == [3, 3]
    assert sorted(files["partition.workspace"].to_pylist()) == ["acme", "two words"]
    (path,) = data_files(delta, workspace="acme", months=["2026-10"])["path"].to_pylist()
    sizes = dict(zip(files["path"].to_pylist(), files["size_bytes"].to_pylist(), strict=True))
    assert sizes[path] == (folder / path).stat().st_size
    assert data_files(delta, months=["2026-11"]).num_rows == 0
    lake.append(SYNC_RUNS, run_row(1))
    assert data_files(lake.open(SYNC_RUNS), workspace="globex").num_rows == 1


def test_only_files_that_may_contain_the_days_and_statuses_are_opened(lake: Lake) -> None:
    for month in range(1, 10):
        lake.append(SYNC_LEDGER, ledger_row(date(2026, month, 5), "final", MOMENT))
    lake.append(SYNC_LEDGER, ledger_row(date(2026, 10, 5), "failed", None))
    late = pc.field("data_date") >= date(2026, 9, 1)
    assert opened_for(lake, SYNC_LEDGER, late) == 2
    assert opened_for(lake, SYNC_LEDGER, pc.field("status") == "failed") == 1
    assert opened_for(lake, SYNC_LEDGER, pc.field("status").isin(["failed", "provisional"])) == 1
    assert opened_for(lake, SYNC_LEDGER, pc.field("last_read_at") > MOMENT + timedelta(seconds=1)) == 1
    assert lake.read(SYNC_LEDGER, where=late).num_rows == 2


def test_a_timestamp_is_found_to_the_microsecond_although_bounds_are_rounded(lake: Lake) -> None:
    lake.append(SYNC_LEDGER, ledger_row(DAYS[0], "final", MOMENT))
    for where in (pc.field("last_read_at") >= MOMENT, pc.field("last_read_at") <= MOMENT):
        assert lake.read(SYNC_LEDGER, where=where).num_rows == 1


def test_rows_without_a_timestamp_are_found_beside_rows_with_one(lake: Lake) -> None:
    both = pa.concat_tables([ledger_row(DAYS[1], "final", MOMENT), ledger_row(DAYS[2], "failed", None)])
    lake.append(SYNC_LEDGER, both)
    lake.append(SYNC_LEDGER, ledger_row(DAYS[0], "failed", None))
    assert lake.read(SYNC_LEDGER, where=pc.field("last_read_at").is_null()).num_rows == 2
    assert lake.read(SYNC_LEDGER, where=pc.field("last_read_at").is_valid()).num_rows == 1
    assert lake.read(SYNC_LEDGER, where=pc.field("last_read_at") >= MOMENT).num_rows == 1


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_keeps_only_the_bounds_that_are_used(lake: Lake, table: TableSpec) -> None:
    lake.append(table, table.schema.empty_table())
    delta = DeltaTable(lake.table_uri(table))
    kept = set(delta.metadata().configuration["delta.dataSkippingStatsColumns"].split(","))
    assert kept == {"site_url", "search_type", "data_date", "status", "last_read_at", "started_at"} & set(
        table.schema.names
    ) or kept == {""}


def test_a_table_with_features_of_other_writers_is_read_by_deltas_own_reader(lake: Lake) -> None:
    uri = lake.table_uri(SITE_IMPRESSION)
    DeltaTable.create(
        uri,
        SITE_IMPRESSION.schema,
        partition_by=["workspace", "month"],
        configuration={"delta.minReaderVersion": "3", "delta.minWriterVersion": "7"},
    )
    both = pa.concat_tables(decoded(one) for one in (rows(DAYS[0], 1), rows(DAYS[1], 2, workspace="globex")))
    write_deltalake(uri, both, mode="append")
    assert lake.read(SITE_IMPRESSION).num_rows == 6
    assert lake.read(SITE_IMPRESSION, workspace="globex").num_rows == 3
    assert lake.read(SITE_IMPRESSION, months=["2026-10"]).num_rows == 3


def test_rows_that_deltas_own_update_wrote_are_found_by_their_texts(lake: Lake) -> None:
    with_two_workspaces(filled(lake))
    for table, values in ((SITE_IMPRESSION, {"clicks": "clicks + 1"}), (SYNC_RUNS, {"calls": "calls + 1"})):
        DeltaTable(lake.table_uri(table)).update(values)
    of_property = pc.field("site_url") == "sc-domain:acme.com"
    found = lake.read(SITE_IMPRESSION, columns=["clicks"], where=of_property, workspace="acme")
    assert found["clicks"].to_pylist() == [2] * 9
    snapshot = lake.open(SITE_IMPRESSION)
    assert lake.read_snapshot(SITE_IMPRESSION, snapshot, workspace="acme", where=of_property).num_rows == 9
    assert lake.read(SYNC_RUNS, workspace="007").num_rows == 2
    with connect(lake) as connection:
        sql = "SELECT sum(clicks) FROM searchdata_site_impression WHERE site_url = 'sc-domain:acme.com'"
        assert connection.execute(sql).fetchall() == [(18,)]


COUNTED = pa.proxy_memory_pool(pa.default_memory_pool())
"""Counts memory. It outlives all that is read into it, as Arrow requires."""


def test_few_rows_among_many_that_deltas_own_update_wrote_take_little_memory(lake: Lake) -> None:
    one_a_month = pa.concat_tables(decoded(rows(date(2026, n, 1), 1)).slice(0, 1) for n in range(1, 13))
    many = pa.concat_tables([one_a_month] * 10_000).combine_chunks()
    place, name = many.schema.get_field_index("site_url"), many.schema.field("site_url")
    few = one_a_month.set_column(place, name, [["sc-domain:other.com"] * 12])
    lake.append(SITE_IMPRESSION, pa.concat_tables([many, few]))
    DeltaTable(lake.table_uri(SITE_IMPRESSION)).update({"clicks": "clicks + 1"})
    pool = pa.default_memory_pool()
    pa.set_memory_pool(COUNTED)
    try:
        found = lake.read(SITE_IMPRESSION, where=pc.field("site_url") == "sc-domain:other.com")
    finally:
        pa.set_memory_pool(pool)
    assert found["clicks"].to_pylist() == [2] * 12
    assert COUNTED.max_memory() < many.nbytes / 3


def test_rows_in_files_without_statistics_are_counted(lake: Lake) -> None:
    filled(lake)
    counts = lake.row_counts(SITE_IMPRESSION)
    for commit in (Path(lake.table_uri(SITE_IMPRESSION)) / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in commit.read_text(encoding="utf-8").splitlines()]
        for action in actions:
            action.get("add", {}).pop("stats", None)
        commit.write_text("\n".join(map(json.dumps, actions)), encoding="utf-8")
    assert Lake(lake.uri).row_counts(SITE_IMPRESSION) == counts == {"acme": {"2026-10": 3, "2026-11": 6}}


def test_a_table_that_another_program_partitioned_otherwise_is_one_clear_error(lake: Lake) -> None:
    write_deltalake(lake.table_uri(SITE_IMPRESSION), decoded(rows(DAYS[0], 1)))
    with pytest.raises(LakeError, match=r"partitioned by .* another program changed it"):
        lake.row_counts(SITE_IMPRESSION)


def test_features_that_no_reader_here_has_are_named_as_another_programs(lake: Lake) -> None:
    filled(lake)
    features = ["deletionVectors"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features}
    log = Path(lake.table_uri(SITE_IMPRESSION)) / "_delta_log"
    commit = log / f"{lake.open(SITE_IMPRESSION).version() + 1:020d}.json"
    commit.write_text(json.dumps({"protocol": {**protocol, "writerFeatures": features}}), encoding="utf-8")
    with pytest.raises(LakeError, match=r"deletionVectors.*: another program changed the table"):
        lake.read(SITE_IMPRESSION)


def test_a_file_that_the_log_puts_into_no_workspace_is_one_clear_error(lake: Lake) -> None:
    filled(lake)
    log = Path(lake.table_uri(SITE_IMPRESSION)) / "_delta_log"
    add = {"path": "x", "partitionValues": {"workspace": None, "month": None}, "size": 1, "dataChange": True}
    commit = log / f"{lake.open(SITE_IMPRESSION).version() + 1:020d}.json"
    commit.write_text(json.dumps({"add": {**add, "modificationTime": 0}}), encoding="utf-8")
    for one in (lake, Lake(lake.uri)):
        with pytest.raises(LakeError, match="cannot read"):
            one.read(SITE_IMPRESSION)


def with_two_workspaces(lake: Lake) -> Lake:
    for workspace in ("007", "o-brien"):
        lake.append(SYNC_RUNS, run_row(1, workspace))
        lake.append(SYNC_RUNS, run_row(2, workspace))
    return lake


ALL_RUNS = f"SELECT {', '.join(SYNC_RUNS.schema.names)} FROM sync_runs ORDER BY workspace, run_id"


def test_a_whole_table_has_the_same_rows(tmp_path: Path) -> None:
    lake = with_two_workspaces(Lake(str(tmp_path / "it's a lake")))
    with connect(lake, [SYNC_RUNS]) as pruning, connect(lake, (), whole=[SYNC_RUNS]) as whole:
        first, second = (one.execute(ALL_RUNS).fetchall() for one in (pruning, whole))
    assert len(second) == 4
    assert second == first


def test_a_whole_table_can_be_read_from_an_object_store(tmp_path: Path) -> None:
    lake = with_two_workspaces(Lake(f"file://{tmp_path}/lake"))
    with connect(lake, (), whole=[SYNC_RUNS, SYNC_LEDGER]) as connection:
        assert len(connection.execute(ALL_RUNS).fetchall()) == 4
        assert connection.execute("SELECT count(*) FROM sync_ledger").fetchone() == (0,)


def test_a_whole_table_with_other_features_is_read_by_deltas_own_reader(lake: Lake) -> None:
    uri = lake.table_uri(SYNC_RUNS)
    features = {"delta.minReaderVersion": "3", "delta.minWriterVersion": "7"}
    DeltaTable.create(uri, SYNC_RUNS.schema, partition_by=["workspace", "month"], configuration=features)
    with connect(with_two_workspaces(lake), (), whole=[SYNC_RUNS]) as connection:
        assert len(connection.execute(ALL_RUNS).fetchall()) == 4


def test_a_broken_table_raises_a_clear_error_in_every_way_of_reading(tmp_path: Path) -> None:
    log = tmp_path / SYNC_RUNS.name / "_delta_log" / "00000000000000000000.json"
    log.parent.mkdir(parents=True)
    log.write_text("not a commit", encoding="utf-8")
    with pytest.raises(LakeError, match=r"sync_runs is damaged: _delta_log/0+\.json is not JSON"):
        connect(Lake(str(tmp_path)), (), whole=[SYNC_RUNS])


@pytest.mark.parametrize("whole", [(), (SYNC_RUNS,)], ids=["views", "whole tables"])
def test_a_long_query_prints_no_progress_bar(lake: Lake, whole: tuple[TableSpec, ...]) -> None:
    with connect(lake, (), whole=whole) as connection:
        assert connection.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (False,)


BY_FILE = """
    SELECT file, workspace, count(*) AS days, max(last_read_at) AS read_at
    FROM rows GROUP BY file, workspace
"""


def days_by_file(lake: Lake, workspace: str | None = None) -> FileByFile:
    return FileByFile(lake, SYNC_LEDGER, ["workspace", "last_read_at"], BY_FILE, workspace)


@pytest.mark.parametrize("folder", ["lake", "it's a lake", "lake=1"], ids=["plain", "quote", "mark"])
def test_a_query_file_by_file_follows_the_files_that_come_and_go(tmp_path: Path, folder: str) -> None:
    lake = Lake(str(tmp_path / folder))
    reader = days_by_file(lake)
    assert reader.read().num_rows == 0
    for day in DAYS:
        lake.append(SYNC_LEDGER, ledger_row(day, "final", MOMENT))
    found = reader.read()
    assert found["workspace"].to_pylist() == ["acme"] * len(DAYS)
    assert found["days"].to_pylist() == [1] * len(DAYS)
    assert set(found["read_at"].to_pylist()) == {MOMENT}
    assert found.schema.field("read_at").type == pa.timestamp("us", "UTC")
    lake.replace(SYNC_LEDGER, WorkspaceRows("acme"), ledger_row(DAYS[0], "final", None))
    found = reader.read()
    assert (found["days"].to_pylist(), found["read_at"].to_pylist()) == ([1], [None])
    assert reader.read() == found
    shutil.rmtree(lake.table_uri(SYNC_LEDGER))
    assert reader.read().num_rows == 0


def test_a_query_file_by_file_of_one_workspace_reads_its_rows_only(lake: Lake) -> None:
    with_two_workspaces(lake)
    sql = "SELECT file, run_id FROM rows"
    reader = FileByFile(lake, SYNC_RUNS, ["workspace", "run_id"], sql, "007")
    assert sorted(reader.read()["run_id"].to_pylist()) == ["1", "2"]
