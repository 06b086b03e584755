"""Housekeeping: fewer files, the same rows, and no conflicts with concurrent syncs."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from datetime import UTC, date, datetime
from multiprocessing.synchronize import Event
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from gsc_pipeline.days import ONE_DAY, month_of
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.maintenance import FEW, TableHousekeeping, compact_and_vacuum
from gsc_pipeline.lake.schemas import (
    REVISIONS,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    SYNC_RUNS,
    TABLES,
    TableSpec,
)
from gsc_pipeline.lake.targets import WorkspaceRows
from gsc_pipeline_tests.lake.test_lake import rows, target
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import sorted_rows

DAY = date(2026, 11, 2)
SOON = datetime(2026, 11, 3, tzinfo=UTC)
LATER = datetime(2027, 3, 1, tzinfo=UTC)
"""When November is settled."""


COUNTS = [column.name for column in SYNC_RUNS.schema if column.type == pa.int64()]


def run_row(number: int, workspace: str = "acme") -> pa.Table:
    row = {
        "workspace": workspace,
        "month": month_of(DAY),
        "run_id": str(number),
        "started_at": SOON,
        "seconds": 1.0,
        "outcome": "success",
        "first_day": DAY,
        "last_day": DAY,
        **dict.fromkeys(COUNTS, 0),
        "problems": [],
    }
    return pa.Table.from_pylist([row], schema=SYNC_RUNS.schema)


def files(lake: Lake) -> list[Path]:
    """All data files in the lake, whether part of a table or not."""
    return [file for file in Path(lake.uri).rglob("*.parquet") if "_delta_log" not in file.parts]


def tend(lake: Lake, *, hours: int = 168, now: datetime = LATER) -> dict[str, TableHousekeeping]:
    return {done.table: done for done in compact_and_vacuum(lake, retention_hours=hours, clock=lambda: now)}


def with_runs(lake: Lake, count: int) -> Lake:
    for number in range(count):
        lake.append(SYNC_RUNS, run_row(number))
    return lake


def claim(lake: Lake, more: int = 0) -> None:
    """Make the ledger count the rows in the site table, and `more` for each day."""
    days = ["workspace", "month", "site_url", "search_type", "data_date"]
    counts = lake.read(SITE_IMPRESSION, columns=days).group_by(days).aggregate([([], "count_all")])
    claims = [
        {
            **{name: row[name] for name in days},
            "status": "final",
            "site_rows": row["count_all"] + more,
            "url_rows": 0,
            "truncated": False,
            "api_calls": 0,
            "reason": "",
            "run_id": "r",
        }
        for row in counts.to_pylist()
    ]
    lake.create(SYNC_LEDGER)
    for workspace in {row["workspace"] for row in claims}:
        mine = [row for row in claims if row["workspace"] == workspace]
        table = pa.Table.from_pylist(mine, schema=SYNC_LEDGER.schema)
        lake.replace(SYNC_LEDGER, WorkspaceRows(workspace), table)


def made_days_ago(lake: Lake, table: TableSpec, days: int) -> None:
    """Make the table's log say that the table was created earlier."""
    first = Path(lake.table_uri(table)) / "_delta_log" / f"{0:020d}.json"
    actions = [json.loads(line) for line in first.read_text(encoding="utf-8").splitlines()]
    for action in actions:
        if "metaData" in action:
            action["metaData"]["createdTime"] -= days * 86_400_000
    first.write_text("\n".join(map(json.dumps, actions)), encoding="utf-8")


def age(file: Path, days: int) -> None:
    moment = time.time() - days * 86_400
    os.utime(file, (moment, moment))


def test_small_files_are_joined_without_changing_rows(lake: Lake) -> None:
    before = sorted_rows(with_runs(lake, 12).read(SYNC_RUNS))
    done = tend(lake)[SYNC_RUNS.name]
    assert (done.files_before, done.files_after) == (12, 1)
    assert (done.partitions_compacted, done.partitions_skipped) == (1, 0)
    assert sorted_rows(lake.read(SYNC_RUNS)) == before
    again = tend(lake)[SYNC_RUNS.name]
    assert (again.files_before, again.files_after, again.partitions_compacted) == (1, 1, 0)
    assert again.version == done.version


def test_a_few_small_files_are_not_joined(lake: Lake) -> None:
    assert tend(with_runs(lake, FEW))[SYNC_RUNS.name].files_after == FEW


def test_replaced_files_are_kept_for_the_retention_and_then_deleted(lake: Lake) -> None:
    with_runs(lake, 6)
    reader = lake.dataset(SYNC_RUNS)
    kept = tend(lake)[SYNC_RUNS.name]
    assert (kept.files_deleted, kept.bytes_freed, len(files(lake))) == (0, 0, 7)
    assert reader is not None
    assert reader.to_table().num_rows == 6
    small = sum(file.stat().st_size for file in files(lake)) - max(
        file.stat().st_size for file in files(lake)
    )
    freed = tend(lake, hours=0)[SYNC_RUNS.name]
    assert (freed.files_deleted, len(files(lake))) == (6, 1)
    assert freed.bytes_freed == pytest.approx(small, abs=5_000)
    assert lake.read(SYNC_RUNS).num_rows == 6


def test_files_of_a_killed_sync_are_deleted_once_they_are_old(lake: Lake) -> None:
    with_runs(lake, 1)
    left = files(lake)[0].with_name("part-left-behind.parquet")
    left.write_bytes(b"half a file")
    made_days_ago(lake, SYNC_RUNS, 30)
    tend(lake)
    assert left.exists()
    age(left, 8)
    done = tend(lake)[SYNC_RUNS.name]
    assert (done.files_deleted, done.bytes_freed) == (1, len(b"half a file"))
    assert not left.exists()
    assert lake.read(SYNC_RUNS).num_rows == 1


def test_files_that_are_older_than_the_log_and_not_named_in_it_are_kept(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    old = files(with_runs(lake, 3))
    shutil.rmtree(Path(lake.table_uri(SYNC_RUNS)) / "_delta_log")
    lake.create(SYNC_RUNS)
    for file in old:
        age(file, 400)
    with_runs(lake, 6)
    done = tend(lake)[SYNC_RUNS.name]
    assert (done.files_deleted, done.files_protected) == (0, 3)
    assert "3 files are older than the log" in caplog.text
    young = files(lake)[0].with_name("part-left-behind.parquet")
    young.write_bytes(b"half a file")
    done = tend(lake, hours=0)[SYNC_RUNS.name]
    # Files that its own commits replaced are deleted.
    assert (done.files_deleted, done.files_protected) == (6, 3)
    assert all(file.exists() for file in [*old, young])
    assert lake.read(SYNC_RUNS).num_rows == 6


def test_tables_that_disagree_with_the_ledger_are_not_changed(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    for clicks in range(3):
        lake.replace(SITE_IMPRESSION, target(DAY), rows(DAY, clicks))
    with_runs(lake, FEW + 1)
    claim(lake, more=1)
    before = set(files(lake))
    done = tend(lake, hours=0)
    for table in (SITE_IMPRESSION, SYNC_LEDGER):
        assert "has 3 rows of acme in 2026-11, the ledger counts 4" in done[table.name].kept_because
    assert done[SYNC_RUNS.name].partitions_compacted == 1
    assert {file for file in before if "sync_runs" not in str(file)} <= set(files(lake))
    assert (
        "housekeeping does not change searchdata_site_impression: ledger and tables disagree" in caplog.text
    )
    claim(lake)
    done = tend(lake, hours=0)
    assert done[SITE_IMPRESSION.name].files_deleted == 2
    assert {one.kept_because for one in done.values()} == {""}


@pytest.mark.parametrize("what", ["missing", "shortened", "overwritten", "log", "an empty commit"])
def test_a_damaged_table_is_not_changed_while_the_others_are_maintained(lake: Lake, what: str) -> None:
    lake.append(REVISIONS, REVISIONS.schema.empty_table())
    file = files(with_runs(lake, FEW + 1))[0]
    if what == "missing":
        file.unlink()
    elif what == "shortened":
        file.write_bytes(file.read_bytes()[:-1])
    elif what == "overwritten":
        file.write_bytes(bytes(file.stat().st_size))
    else:
        commit = Path(lake.table_uri(SYNC_RUNS)) / "_delta_log" / f"{2:020d}.json"
        commit.unlink() if what == "log" else commit.write_bytes(b"")
    before = set(files(lake))
    done = tend(lake, hours=0)
    assert done[SYNC_RUNS.name].kept_because.startswith("sync_runs is damaged: ")
    assert done[REVISIONS.name].kept_because == ""
    assert before <= set(files(lake))


def test_an_old_log_is_shortened_and_the_table_reads_as_before(lake: Lake) -> None:
    with_runs(lake, 12)
    folder = Path(lake.table_uri(SYNC_RUNS)) / "_delta_log"
    eight_days_ago = time.time() - 8 * 86_400
    for file in folder.iterdir():
        os.utime(file, (eight_days_ago, eight_days_ago))
    done = tend(lake)[SYNC_RUNS.name]
    assert (done.log_files_before, done.log_files_after) == (13, len(list(folder.iterdir())))
    assert done.log_files_after <= 4
    assert done.bytes_freed > 0
    lake.append(SYNC_RUNS, run_row(99))
    assert lake.read(SYNC_RUNS).num_rows == 13


def test_a_recent_log_is_kept_and_an_older_table_gets_the_same_retention(lake: Lake) -> None:
    uri = lake.table_uri(SYNC_RUNS)
    DeltaTable.create(uri, SYNC_RUNS.schema, partition_by=["workspace", "month"])
    with_runs(lake, 3)
    done = tend(lake)[SYNC_RUNS.name]
    assert done.log_files_after > done.log_files_before
    lake.append(REVISIONS, REVISIONS.schema.empty_table())
    for made in (uri, lake.table_uri(REVISIONS)):
        assert DeltaTable(made).metadata().configuration["delta.logRetentionDuration"] == "interval 7 days"
    assert lake.read(SYNC_RUNS).num_rows == 3


def test_files_of_months_that_syncs_still_replace_are_not_joined(lake: Lake) -> None:
    for number in range(FEW + 2):
        day, site_url = DAY + number * ONE_DAY, f"https://shop{number}.acme.com/"
        lake.replace(SITE_IMPRESSION, target(day, site_url=site_url), rows(day, 1, site_url=site_url))
    claim(lake)
    before = sorted_rows(lake.read(SITE_IMPRESSION))
    assert tend(lake, now=SOON)[SITE_IMPRESSION.name].files_after == FEW + 2
    assert tend(lake, now=LATER)[SITE_IMPRESSION.name].files_after == 1
    assert sorted_rows(lake.read(SITE_IMPRESSION)) == before


def test_only_tables_that_exist_are_reported(lake: Lake) -> None:
    assert tend(lake) == {}
    for table in TABLES:
        lake.append(table, table.schema.empty_table())
    assert list(tend(lake)) == [table.name for table in TABLES]


def test_a_table_that_cannot_be_maintained_raises_a_clear_error(lake: Lake) -> None:
    with_runs(lake, 1)
    log = Path(lake.table_uri(SYNC_RUNS)) / "_delta_log"
    shutil.rmtree(log)
    log.write_text("in the way", encoding="utf-8")
    with pytest.raises(LakeError, match=r"cannot read .*sync_runs.*check GSC_LAKE"):
        tend(lake)


def _sync_until(uri: str, workspace: str, sites: int, started: Event, stop: Event) -> None:
    """Replace days and append runs as a sync does, in rounds with increasing numbers."""
    lake, number = Lake(uri), 0
    while not stop.is_set() or number < 3:
        number += 1
        for site in range(sites):
            site_url = f"https://shop{site}.acme.com/"
            new = rows(DAY, number, workspace=workspace, site_url=site_url)
            lake.replace(SITE_IMPRESSION, target(DAY, workspace=workspace, site_url=site_url), new)
        lake.append(SYNC_RUNS, run_row(number, workspace))
        started.set()


def _tend_until(uri: str, stop: Event) -> None:
    while not stop.is_set():
        compact_and_vacuum(Lake(uri), clock=lambda: LATER)


@pytest.mark.soak
def test_housekeeping_during_syncs_loses_and_doubles_no_row_and_fails_no_sync(lake: Lake) -> None:
    workspaces, sites = ("acme", "globex"), FEW + 1
    spawn = multiprocessing.get_context("spawn")
    stop, started = spawn.Event(), [spawn.Event() for _ in workspaces]
    processes = [
        spawn.Process(target=_sync_until, args=(lake.uri, workspace, sites, event, stop))
        for workspace, event in zip(workspaces, started, strict=True)
    ]
    processes.append(spawn.Process(target=_tend_until, args=(lake.uri, stop)))
    for process in processes:
        process.start()
    joined, rounds = 0, 0
    try:
        assert all(event.wait(HANG_SECONDS) for event in started)
        claim(lake)
        while joined < 2 and rounds < 40:
            rounds += 1
            joined += sum(done.partitions_compacted for done in tend(lake).values())
    finally:
        stop.set()
        for process in processes:
            process.join(HANG_SECONDS)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert joined >= 2
    _assert_whole(lake, workspaces, sites)
    tend(lake, hours=0)
    _assert_whole(lake, workspaces, sites)


def _assert_whole(lake: Lake, workspaces: tuple[str, ...], sites: int) -> None:
    """Each workspace has the runs 1 to N and the rows of round N, each once."""
    runs = lake.read(SYNC_RUNS).to_pylist()
    for workspace in workspaces:
        numbers = sorted(int(row["run_id"]) for row in runs if row["workspace"] == workspace)
        assert numbers == list(range(1, len(numbers) + 1))
        found = lake.read(SITE_IMPRESSION, workspace=workspace)
        expected = pa.concat_tables(
            rows(DAY, numbers[-1], workspace=workspace, site_url=f"https://shop{site}.acme.com/")
            for site in range(sites)
        )
        assert sorted_rows(found) == sorted_rows(expected)
