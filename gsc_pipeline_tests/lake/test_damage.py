"""Damaged tables are found by examining their files, named in errors, and never created again."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from gsc_pipeline.lake.agreement import confirmed, disagreements
from gsc_pipeline.lake.damage import damage_in_log
from gsc_pipeline.lake.errors import DamagedError, LakeError
from gsc_pipeline.lake.incremental import FileByFile
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.rebuild import rebuild, rows_of_file
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, SYNC_RUNS, URL_IMPRESSION
from gsc_pipeline.lake.sql import connect, reading
from gsc_pipeline.lake.targets import WorkspaceRows
from gsc_pipeline_tests.lake.test_incremental import ledger_row
from gsc_pipeline_tests.lake.test_lake import DAYS, clicks_by_day, filled, rows, target
from gsc_pipeline_tests.lake.test_maintenance import claim, run_row
from gsc_pipeline_tests.world import sorted_rows

OCTOBER, NOVEMBER = "2026-10", "2026-11"


def two_workspaces(lake: Lake) -> Lake:
    """Two workspaces, each with a file for each of two months."""
    for workspace in ("acme", "globex"):
        days = pa.concat_tables([rows(day, 1, workspace=workspace) for day in DAYS])
        lake.replace(SITE_IMPRESSION, target(*DAYS, workspace=workspace), days)
    return lake


def data_files(lake: Lake, workspace: str = "acme", month: str = NOVEMBER) -> list[Path]:
    """The current data files of the table."""
    delta = DeltaTable(lake.table_uri(SITE_IMPRESSION))
    mine = [path for path in delta.file_uris() if f"workspace={workspace}/month={month}" in path]
    return [Path(path) for path in mine]


def log_file(lake: Lake, version: int) -> Path:
    return Path(lake.table_uri(SITE_IMPRESSION)) / "_delta_log" / f"{version:020d}.json"


def remove(file: Path) -> None:
    file.unlink()


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def overwrite(file: Path) -> None:
    file.write_bytes(b"x" * file.stat().st_size)


def zero_a_column(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4:400] = bytes(396)
    file.write_bytes(content)


DAMAGES = {
    remove: "is missing",
    shorten: "has [0-9]+ bytes instead of [0-9]+",
    overwrite: "is not a Parquet file",
    zero_a_column: "is unreadable",
}


@pytest.mark.parametrize("harm", DAMAGES, ids=lambda harm: harm.__name__)
def test_damage_stops_only_reads_and_writes_of_its_workspace_and_month(
    lake: Lake, harm: Callable[[Path], None]
) -> None:
    (file,) = data_files(two_workspaces(lake))
    harm(file)
    expected = (
        f"searchdata_site_impression is damaged: .*{file.name} {DAMAGES[harm]}.*gsc verify acme --repair"
    )
    attempts: list[Callable[[], object]] = [
        lambda: lake.read(SITE_IMPRESSION),
        lambda: lake.read(SITE_IMPRESSION, workspace="acme"),
        lambda: lake.replace(SITE_IMPRESSION, target(DAYS[1]), rows(DAYS[1], 5)),
    ]
    for attempt in attempts:
        with pytest.raises(DamagedError, match=expected) as raised:
            attempt()
        error = raised.value
        assert (error.table, error.workspace, error.month) == (SITE_IMPRESSION.name, "acme", NOVEMBER)
        assert error.path.endswith(file.name)
    assert lake.read(SITE_IMPRESSION, workspace="globex").num_rows == 9
    assert lake.read(SITE_IMPRESSION, workspace="acme", months=[OCTOBER]).num_rows == 3
    lake.replace(SITE_IMPRESSION, target(DAYS[0]), rows(DAYS[0], 5))
    lake.replace(SITE_IMPRESSION, target(DAYS[1], workspace="globex"), rows(DAYS[1], 5, workspace="globex"))


@pytest.mark.parametrize("harm", DAMAGES, ids=lambda harm: harm.__name__)
def test_damaged_files_are_listed_and_opened_only_if_requested(
    lake: Lake, harm: Callable[[Path], None]
) -> None:
    (file,) = data_files(two_workspaces(lake))
    assert lake.damaged_files(SITE_IMPRESSION, deep=True) == []
    harm(file)
    (found,) = lake.damaged_files(SITE_IMPRESSION, deep=True)
    assert (found.workspace, found.month) == ("acme", NOVEMBER)
    assert lake.damaged_files(SITE_IMPRESSION, "acme", deep=True) == [found]
    assert lake.damaged_files(SITE_IMPRESSION, "globex", deep=True) == []
    shallow = lake.damaged_files(SITE_IMPRESSION)
    assert shallow == ([found] if harm in (remove, shorten) else [])
    assert lake.damaged_files(URL_IMPRESSION) == []


def test_sql_over_a_damaged_file_raises_the_same_error(lake: Lake) -> None:
    lake.append(SYNC_RUNS, run_row(1))
    (file,) = Path(lake.table_uri(SYNC_RUNS)).rglob("*.parquet")
    overwrite(file)
    expected = "sync_runs is damaged: .*is not a Parquet file"
    for views, whole in (([SYNC_RUNS], []), ([], [SYNC_RUNS])):
        with (
            pytest.raises(DamagedError, match=expected),
            reading(lake, [SYNC_RUNS]),
            connect(lake, views, whole=whole) as sql,
        ):
            sql.execute("SELECT * FROM sync_runs").fetchall()


RUN_IDS = "SELECT file, workspace, run_id FROM rows"


@pytest.mark.parametrize("harm", DAMAGES, ids=lambda harm: harm.__name__)
def test_a_query_file_by_file_leaves_out_a_damaged_file_and_names_it_until_it_is_replaced(
    lake: Lake, harm: Callable[[Path], None]
) -> None:
    reader = FileByFile(lake, SYNC_RUNS, ["workspace", "run_id"], RUN_IDS)
    lake.append(SYNC_RUNS, run_row(1))
    (file,) = Path(lake.table_uri(SYNC_RUNS)).rglob("*.parquet")
    for number in (2, 3):
        lake.append(SYNC_RUNS, run_row(number))
    whole = file.read_bytes()
    harm(file)
    for _ in range(2):
        assert sorted(reader.read()["run_id"].to_pylist()) == ["2", "3"]
        (error,) = reader.damaged
        assert file.name in str(error)
        assert "gsc verify --repair" in str(error)
    file.write_bytes(whole)
    assert sorted(reader.read()["run_id"].to_pylist()) == ["1", "2", "3"]
    assert reader.damaged == ()


def test_a_query_file_by_file_names_a_damaged_log(lake: Lake) -> None:
    reader = FileByFile(lake, SYNC_RUNS, ["workspace", "run_id"], RUN_IDS)
    lake.append(SYNC_RUNS, run_row(1))
    assert reader.read().num_rows == 1
    (Path(lake.table_uri(SYNC_RUNS)) / "_delta_log" / "00000000000000000001.json").write_text("no commit")
    assert reader.read().num_rows == 0
    assert ["_delta_log" in str(error) for error in reader.damaged] == [True]


def test_another_failure_of_the_storage_is_not_damage(lake: Lake) -> None:
    two_workspaces(lake)
    full = OSError(28, "No space left on device")
    error = lake.error_of("write", SITE_IMPRESSION, full, "acme", [NOVEMBER])
    assert not isinstance(error, DamagedError)
    assert "cannot write" in str(error)
    assert "check GSC_LAKE, its permissions and the free space" in str(error)


class FailingStorage(pa_fs.SubTreeFileSystem):
    """The files of a table in a storage that does not answer for the time being."""

    def open_input_file(self, path: str, buffer_size: int | None = None) -> pa.NativeFile:
        raise TimeoutError(errno.ETIMEDOUT, "no answer", path)


def test_a_rebuild_leaves_out_damaged_files_but_none_that_the_storage_fails_to_read(lake: Lake) -> None:
    two_workspaces(lake)
    folder = lake.table_uri(SITE_IMPRESSION)
    storage = pa_fs.SubTreeFileSystem(folder, pa_fs.LocalFileSystem())
    file = data_files(lake)[0]
    path = str(file.relative_to(folder))
    found = rows_of_file(storage, SITE_IMPRESSION, path)
    assert found is not None
    assert found.num_rows
    with pytest.raises(OSError, match="no answer"):
        rows_of_file(FailingStorage(folder, pa_fs.LocalFileSystem()), SITE_IMPRESSION, path)
    shorten(file)
    assert rows_of_file(storage, SITE_IMPRESSION, path) is None


def remove_the_third(lake: Lake) -> str:
    log_file(lake, 2).unlink()
    return "0+2.json is missing"


def write_text(lake: Lake) -> str:
    log_file(lake, 1).write_text("not a commit", encoding="utf-8")
    return "0+1.json is not JSON"


def cut_the_newest(lake: Lake) -> str:
    file = log_file(lake, 3)
    file.write_bytes(file.read_bytes()[:-30])
    return "0+3.json is not JSON"


def empty_the_newest(lake: Lake) -> str:
    log_file(lake, 3).write_bytes(b"")
    return "0+3.json is empty"


def damage_the_checkpoint(lake: Lake) -> str:
    DeltaTable(lake.table_uri(SITE_IMPRESSION)).create_checkpoint()
    (file,) = log_file(lake, 0).parent.glob("*.checkpoint.parquet")
    overwrite(file)
    return "0+3.checkpoint.parquet is not a Parquet file"


def replace_the_checkpoint(lake: Lake) -> str:
    DeltaTable(lake.table_uri(SITE_IMPRESSION)).create_checkpoint()
    (file,) = log_file(lake, 0).parent.glob("*.checkpoint.parquet")
    shutil.copy(lake.local_files(SITE_IMPRESSION).paths[0], file)
    return "0+3.checkpoint.parquet is not a checkpoint"


def remove_the_checkpoint(lake: Lake) -> str:
    DeltaTable(lake.table_uri(SITE_IMPRESSION)).create_checkpoint()
    (file,) = log_file(lake, 0).parent.glob("*.checkpoint.parquet")
    file.unlink()
    return "_last_checkpoint names a checkpoint that is missing"


def name_a_checkpoint_to_come(lake: Lake) -> str:
    log_file(lake, 0).with_name("_last_checkpoint").write_text('{"version": 9, "size": 3}', encoding="utf-8")
    return "_last_checkpoint names a checkpoint that is missing"


def take_the_metadata_from_the_checkpoint(lake: Lake) -> str:
    DeltaTable(lake.table_uri(SITE_IMPRESSION)).create_checkpoint()
    (file,) = log_file(lake, 0).parent.glob("*.checkpoint.parquet")
    content = pq.read_table(file)
    pq.write_table(content.filter(pc.is_null(content["metaData"])), file)
    for commit in file.parent.glob("*.json"):
        commit.unlink()
    return "0+3.checkpoint.parquet has no metadata of the table"


def damage_the_schema(lake: Lake) -> str:
    file = log_file(lake, 0)
    actions = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for action in actions:
        if "metaData" in action:
            action["metaData"]["schemaString"] = "{nonsense"
    file.write_text("\n".join(map(json.dumps, actions)), encoding="utf-8")
    return "0+0.json is not a commit"


@pytest.mark.parametrize(
    "harm",
    [
        take_the_metadata_from_the_checkpoint,
        damage_the_schema,
        name_a_checkpoint_to_come,
        remove_the_third,
        write_text,
        cut_the_newest,
        empty_the_newest,
        damage_the_checkpoint,
        replace_the_checkpoint,
        remove_the_checkpoint,
    ],
    ids=lambda harm: harm.__name__,
)
def test_an_error_names_the_damaged_file_of_a_log(lake: Lake, harm: Callable[[Lake], str]) -> None:
    expected = f"searchdata_site_impression is damaged: _delta_log/{harm(filled(lake))}.*gsc verify --repair"
    attempts: list[Callable[[Lake], object]] = [
        lambda other: other.read(SITE_IMPRESSION),
        lambda other: other.replace(SITE_IMPRESSION, target(DAYS[1]), rows(DAYS[1], 5)),
        lambda other: other.append(SITE_IMPRESSION, rows(DAYS[1], 5)),
        lambda other: other.local_files(SITE_IMPRESSION),
        lambda other: other.damaged_files(SITE_IMPRESSION),
        disagreements,
    ]
    for attempt in attempts:
        with pytest.raises(DamagedError, match=expected) as raised:
            attempt(Lake(lake.uri))
        assert raised.value.path.startswith("_delta_log/")


@pytest.mark.parametrize("version", ["1e400", "-5", "[]", "null"])
def test_a_hint_that_names_no_version_is_ignored(lake: Lake, version: str) -> None:
    hint = log_file(filled(lake), 0).with_name("_last_checkpoint")
    DeltaTable(lake.table_uri(SITE_IMPRESSION)).create_checkpoint()
    hint.write_text(f'{{"version": {version}, "size": 1}}', encoding="utf-8")
    assert lake.damaged_files(SITE_IMPRESSION) == []


@pytest.mark.parametrize(("part", "other"), [("workspace", "globex"), ("month", "2026-09")])
def test_a_file_that_the_log_puts_into_another_partition_is_found_and_repaired(
    lake: Lake, part: str, other: str
) -> None:
    before = two_workspaces(lake).read(SITE_IMPRESSION)
    log = log_file(lake, 1)
    actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    next(one for one in actions if "add" in one)["add"]["partitionValues"][part] = other
    log.write_text("\n".join(map(json.dumps, actions)), encoding="utf-8")
    with pytest.raises(DamagedError, match=r"another partition than its folder.*gsc verify --repair"):
        Lake(lake.uri).damaged_files(SITE_IMPRESSION)
    rebuild(Lake(lake.uri), SITE_IMPRESSION, {})
    repaired = Lake(lake.uri)
    assert repaired.damaged_files(SITE_IMPRESSION) == []
    assert sorted_rows(repaired.read(SITE_IMPRESSION)) == sorted_rows(before)


class CheckpointedMeanwhile(pa_fs.SubTreeFileSystem):
    """The files of a table of which another process writes a checkpoint right after each listing."""

    def get_file_info(self, paths_or_selector: Any) -> Any:
        found = super().get_file_info(paths_or_selector)
        if isinstance(paths_or_selector, pa_fs.FileSelector):
            DeltaTable(self.base_path).create_checkpoint()
        return found


def test_a_checkpoint_that_is_written_during_the_search_for_damage_is_not_missing(lake: Lake) -> None:
    table = filled(lake).table_uri(SITE_IMPRESSION)
    storage = CheckpointedMeanwhile(table, pa_fs.LocalFileSystem())
    assert damage_in_log(storage) is None
    lake.replace(SITE_IMPRESSION, target(DAYS[0]), rows(DAYS[0], 5))
    assert damage_in_log(storage) is None
    assert {file.name for file in log_file(lake, 0).parent.glob("*.checkpoint.parquet")} == {
        f"{version:020d}.checkpoint.parquet" for version in (3, 4)
    }


def test_an_empty_commit_is_noticed_while_the_table_is_open(lake: Lake) -> None:
    other = Lake(lake.uri)
    filled(lake)
    clicks_by_day(other)
    lake.replace(SITE_IMPRESSION, target(DAYS[0]), rows(DAYS[0], 5))
    log_file(lake, 4).write_bytes(b"")
    with pytest.raises(DamagedError, match=r"0+4\.json is empty"):
        clicks_by_day(other)


def test_a_search_for_damage_finds_an_old_empty_commit(lake: Lake) -> None:
    log_file(filled(lake), 2).write_bytes(b"")
    assert len(clicks_by_day(lake)) == 2
    with pytest.raises(DamagedError, match=r"0+2\.json is empty"):
        lake.damaged_files(SITE_IMPRESSION)


@pytest.mark.parametrize("left", ["no folder", "an empty folder"])
def test_a_table_whose_log_is_lost_is_neither_read_as_empty_nor_created_again(lake: Lake, left: str) -> None:
    files = [file for day in (OCTOBER, NOVEMBER) for file in data_files(filled(lake), month=day)]
    log = log_file(lake, 0).parent
    shutil.rmtree(log)
    if left == "an empty folder":
        log.mkdir()
    attempts: list[Callable[[], object]] = [
        lambda: lake.read(SITE_IMPRESSION),
        lambda: lake.dataset(SITE_IMPRESSION),
        lambda: lake.replace(SITE_IMPRESSION, target(DAYS[1]), rows(DAYS[1], 5)),
        lambda: lake.append(SITE_IMPRESSION, rows(DAYS[1], 5)),
    ]
    for attempt in attempts:
        with pytest.raises(DamagedError, match=r"has files but no log\. Restore _delta_log from a backup"):
            attempt()
    assert all(file.exists() for file in files)
    assert not any(log.glob("*"))


def test_a_large_table_is_not_created_again_while_the_ledger_counts_its_rows(lake: Lake) -> None:
    filled(lake)
    claim(lake)
    shutil.rmtree(lake.table_uri(SITE_IMPRESSION))
    with pytest.raises(DamagedError, match="searchdata_site_impression is missing although sync_ledger"):
        lake.replace(SITE_IMPRESSION, target(DAYS[0]), rows(DAYS[0], 5))
    assert not Path(lake.table_uri(SITE_IMPRESSION)).exists()
    lake.append(URL_IMPRESSION, URL_IMPRESSION.schema.empty_table())
    lake.replace(SYNC_LEDGER, WorkspaceRows("acme"), SYNC_LEDGER.schema.empty_table())
    lake.replace(SITE_IMPRESSION, target(DAYS[0]), rows(DAYS[0], 5))


def test_the_ledger_is_not_created_again_while_its_tables_have_rows(lake: Lake) -> None:
    lake.append(SYNC_LEDGER, ledger_row(DAYS[0], "writing", None))
    filled(lake)
    shutil.rmtree(lake.table_uri(SYNC_LEDGER))
    with pytest.raises(
        DamagedError, match="sync_ledger is missing although searchdata_site_impression has rows"
    ):
        lake.append(SYNC_LEDGER, ledger_row(DAYS[0], "final", None))
    for day in DAYS:
        lake.replace(SITE_IMPRESSION, target(day), SITE_IMPRESSION.schema.empty_table())
    lake.append(SYNC_LEDGER, ledger_row(DAYS[0], "final", None))


class Difference:
    """A difference that counts how often one is compared with another."""

    compared = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return hash(self.number)

    def __eq__(self, other: object) -> bool:
        Difference.compared += 1
        return isinstance(other, Difference) and self.number == other.number


def test_differences_are_confirmed_in_linear_time() -> None:
    found = [Difference(number) for number in range(1000)]
    again = [Difference(number) for number in range(500, 1500)]
    assert [one.number for one in confirmed(found, lambda: again)] == list(range(500, 1000))
    assert Difference.compared <= 2000


READS_AND_ENDS = """
import sys
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION
Lake(sys.argv[1]).read(SITE_IMPRESSION)
"""


@pytest.mark.soak
def test_a_process_that_exits_right_after_reading_exits_normally(lake: Lake) -> None:
    two_workspaces(lake)
    arguments = [sys.executable, "-c", READS_AND_ENDS, lake.uri]
    codes = [subprocess.run(arguments, check=False).returncode for _ in range(20)]
    assert codes == [0] * 20


def test_errors_of_the_lake_form_the_documented_tree() -> None:
    assert issubclass(DamagedError, LakeError)
