"""Any file of the lake is deleted, cut or replaced: the damage is reported, and repaired where possible."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from gsc_pipeline.days import Window
from gsc_pipeline.lake.agreement import disagreements
from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source, order
from gsc_pipeline.lake.annotations.shipped import shipped
from gsc_pipeline.lake.annotations.stored import bring_up_to_date, known
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.maintenance import compact_and_vacuum
from gsc_pipeline.lake.rebuild import rebuild
from gsc_pipeline.lake.schemas import (
    ANNOTATIONS,
    LEDGER_COUNTS,
    PROPERTIES,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITE_IMPRESSION,
    SITEMAPS,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    URL_IMPRESSION,
    URL_INSPECTIONS,
    WRITING,
    TableSpec,
)
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.repair import Repair, repair
from gsc_pipeline.sync.verify import Verification, Wrong, verify
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.world import World, contents, sorted_rows

pytestmark = pytest.mark.soak

LARGE = (SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER)
SMALL = (
    SYNC_RUNS,
    PROPERTIES,
    SEARCHDATA_HOURLY,
    SEARCH_APPEARANCE,
    SITEMAPS,
    STANDING_FAILURES,
    URL_INSPECTIONS,
)


State = dict[str, list[dict[str, object]]]


def delete(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def replace_by_nonsense(file: Path) -> None:
    file.write_bytes(b"\x00nonsense" * (file.stat().st_size // 9 + 1))


HARM: dict[str, Callable[[Path], None]] = {
    one.__name__: one for one in (delete, cut, empty, replace_by_nonsense)
}


@dataclass
class Copied:
    """A copy of a lake that was synced three times, in a world that still serves the same numbers."""

    world: World
    lake: Lake

    def folder(self, table: str) -> Path:
        return Path(self.lake.uri) / table

    def sync_more(self) -> None:
        self.world.lake = self.lake
        self.world.sync_more(workspace(self.world, "acme"))

    def repair(self, found: Verification | None = None) -> Repair:
        """Repair what `verify` found, by default what it finds now."""

        def sync(ids: Collection[str]) -> None:
            self.world.lake = self.lake
            for id_ in sorted(ids):
                self.world.sync(workspace(self.world, id_), self.world.last(1))

        found = found or verify(self.lake)
        return repair(self.lake, found, sync, now=self.world.now, run_id="repair")


def workspace(world: World, id_: str) -> Workspace:
    return world.workspace(id_, properties=("sc-domain:none.com",) if id_ == "lost" else None)


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("damaged")
    properties = [
        SyntheticProperty("sc-domain:acme.com", rows_a_day=12, plants=False),
        SyntheticProperty("https://shop.acme.com/", rows_a_day=12, plants=False),
    ]
    with World.serving(folder, properties) as world:
        world.sync(workspace(world, "lost"), world.last(2))
        for hours in (0, 24, 48):
            world.now += timedelta(hours=hours)
            for id_ in ("acme", "globex"):
                world.sync(workspace(world, id_), world.last(6))
        world.sync_more(workspace(world, "acme"))
        assert verify(world.lake).is_good
        yield world


@pytest.fixture
def copied(synced: World, tmp_path: Path) -> Iterator[Copied]:
    shutil.copytree(synced.lake.uri, tmp_path / "lake")
    original = synced.lake
    yield Copied(synced, Lake(str(tmp_path / "lake")))
    synced.lake = original


@pytest.fixture(scope="module")
def before(synced: World) -> State:
    """What every copy holds until it is harmed."""
    return state(synced.lake)


def state(lake: Lake) -> State:
    """The rows of both tables, and the ledger's days with rows, without how they were read."""
    found = contents(lake)
    # What a rebuilt record cannot know is null in it.
    left_out = ("api_calls", "position", "lacks_pages", "part_calls", "parts_left")
    found[SYNC_LEDGER.name] = [
        {name: value for name, value in row.items() if name not in left_out}
        for row in found[SYNC_LEDGER.name]
        if row["site_rows"]
    ]
    return found


def data_file(folder: Path) -> Path:
    """A data file that the log names: the newest."""
    return Path(sorted(DeltaTable(str(folder)).file_uris())[-1])


def names_it(found: Verification, table: str) -> bool:
    return any(finding.table == table or table in finding.what for finding in found.findings())


def test_a_healthy_lake_has_nothing_to_report(copied: Copied) -> None:
    found = verify(copied.lake)
    assert found.is_good
    assert found.compared == len(copied.lake.read(SYNC_LEDGER))


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("table", LARGE, ids=lambda table: table.name)
def test_a_damaged_data_file_of_a_compared_table_is_reported_and_its_days_are_restored(
    copied: Copied, before: State, table: TableSpec, harm: str
) -> None:
    HARM[harm](data_file(copied.folder(table.name)))
    found = verify(copied.lake)
    assert any(file.table == table.name for file in found.files)
    done = copied.repair(found)
    assert done.left.is_good, done.left.findings()
    assert done.done
    assert state(copied.lake) == before


@pytest.mark.parametrize(("table", "column"), [*zip(LARGE, ("query", "url", "reason"), strict=True)])
def test_damaged_text_in_a_column_that_is_not_compared_is_reported_and_its_days_are_restored(
    copied: Copied, table: TableSpec, column: str
) -> None:
    before = state(copied.lake)
    file = data_file(copied.folder(table.name))
    content = file.read_bytes()
    texts = (text.encode() for text in pq.read_table(file, columns=[column])[column].to_pylist())
    text = next(text for text in texts if len(text) > 6 and text in content)
    file.write_bytes(content.replace(text, b"\xff" * len(text), 1))
    found = verify(copied.lake)
    assert [(one.table, one.damage) for one in found.files] == [(table.name, "is unreadable")]
    done = copied.repair()
    assert done.left.is_good, done.left.findings()
    assert state(copied.lake) == before


@pytest.mark.parametrize("bit", [0x01, 0x80], ids=["another name", "a name that is not UTF-8"])
@pytest.mark.parametrize(
    ("table", "column"),
    [*zip(LARGE, ("clicks", "is_truncated", "status"), strict=True), (SYNC_RUNS, "run_id")],
)
def test_a_column_name_that_changed_in_a_file_is_reported_and_its_days_are_restored(
    copied: Copied, before: State, table: TableSpec, column: str, bit: int
) -> None:
    file = data_file(copied.folder(table.name))
    content = bytearray(file.read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    content[content.index(column.encode(), footer)] ^= bit
    file.write_bytes(content)
    found = verify(copied.lake)
    ((damaged, text),) = [(one.path, str(one.damage)) for one in found.files]
    assert file.as_posix().endswith(damaged)
    assert "column" in text
    if table in (SITE_IMPRESSION, URL_IMPRESSION):
        assert {one.site_url for one in found.findings() if one.days}
    done = copied.repair(found)
    assert done.left.is_good, done.left.findings()
    assert state(copied.lake) == before


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("table", LARGE, ids=lambda table: table.name)
@pytest.mark.parametrize("which", ["first", "last"])
def test_a_damaged_commit_of_a_compared_table_is_reported_and_its_days_are_restored(
    copied: Copied, before: State, table: TableSpec, harm: str, which: str
) -> None:
    commits = sorted((copied.folder(table.name) / "_delta_log").glob("*.json"))
    HARM[harm](commits[0 if which == "first" else -1])
    found = verify(copied.lake)
    assert not found.is_good
    done = copied.repair(found)
    assert done.left.is_good, done.left.findings()
    assert state(copied.lake) == before


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("kind", ["*.checkpoint.parquet", "_last_checkpoint"])
@pytest.mark.parametrize("table", LARGE, ids=lambda table: table.name)
def test_a_damaged_checkpoint_is_reported_or_harmless(
    copied: Copied, before: State, table: TableSpec, kind: str, harm: str
) -> None:
    compact_and_vacuum(copied.lake, clock=lambda: copied.world.now)
    (file,) = (copied.folder(table.name) / "_delta_log").glob(kind)
    HARM[harm](file)
    found = verify(copied.lake)
    if found.is_good:
        assert state(copied.lake) == before
        return
    done = copied.repair(found)
    assert done.left.is_good, done.left.findings()
    assert state(copied.lake) == before


@pytest.mark.parametrize("table", LARGE, ids=lambda table: table.name)
@pytest.mark.parametrize("what", ["_delta_log", ""], ids=["its log", "all of it"])
def test_a_missing_table_is_reported_and_restored(
    copied: Copied, before: State, table: TableSpec, what: str
) -> None:
    shutil.rmtree(copied.folder(table.name) / what)
    found = verify(copied.lake)
    assert not found.is_good
    done = copied.repair(found)
    assert done.left.is_good, done.left.findings()
    assert state(copied.lake) == before


@pytest.mark.parametrize("harm", ["delete", "replace_by_nonsense"])
@pytest.mark.parametrize("part", ["data", "log"])
@pytest.mark.parametrize("table", SMALL, ids=lambda table: table.name)
def test_damage_of_a_smaller_table_is_reported_and_the_table_is_usable_again(
    copied: Copied, table: TableSpec, part: str, harm: str
) -> None:
    rows = copied.lake.read(table).num_rows
    assert rows
    folder = copied.folder(table.name)
    log = sorted((folder / "_delta_log").glob("*.json"))
    HARM[harm](data_file(folder) if part == "data" else log[0])
    found = verify(copied.lake)
    assert names_it(found, table.name)
    done = copied.repair(found)
    if (table, part) in ((SEARCHDATA_HOURLY, "data"), (SEARCH_APPEARANCE, "data")):
        (finding,) = done.left.findings()
        assert (finding.table, finding.workspace) == (table.name, "acme")
        copied.sync_more()
        assert verify(copied.lake).is_good
        return
    assert done.left.is_good, done.left.findings()
    assert any(table.name in line for line in done.done)
    kept = copied.lake.read(table).num_rows
    if part == "log" and table is not STANDING_FAILURES:
        assert kept == rows
    if part == "data" and table is SYNC_RUNS:
        assert done.lost == (f"{SYNC_RUNS.name}: the rows of 1 files are lost",)
    assert kept <= rows


def test_days_that_search_console_no_longer_shows_are_listed_after_a_repair(copied: Copied) -> None:
    now = copied.world.now
    copied.world.now += timedelta(days=600)
    try:
        data_file(copied.folder(URL_IMPRESSION.name)).unlink()
        done = copied.repair()
        assert not done.left.is_good
        (finding,) = done.left.findings()
        assert finding.table == URL_IMPRESSION.name
        assert finding.days
    finally:
        copied.world.now = now


def test_a_lost_ledger_is_rebuilt_from_the_rows_without_reading_the_days_again(
    copied: Copied, before: State
) -> None:
    shutil.rmtree(copied.folder(SYNC_LEDGER.name))
    calls = len(copied.world.queries())
    assert copied.repair().left.is_good
    assert state(copied.lake)[SITE_IMPRESSION.name] == before[SITE_IMPRESSION.name]
    asked = [call for call in copied.world.queries()[calls:] if call.body["dimensions"] != ["date"]]
    final = {row["data_date"] for row in before[SYNC_LEDGER.name] if row["status"] == "final"}
    assert not {call.body["startDate"] for call in asked} & {str(day) for day in final}


def test_a_lost_ledger_whose_files_have_the_time_of_one_second_has_no_day_being_written(
    copied: Copied,
) -> None:
    # As in an object store, whose times are whole seconds.
    for file in copied.folder(SYNC_LEDGER.name).rglob("*.parquet"):
        os.utime(file, (1_800_000_000, 1_800_000_000))
    shutil.rmtree(copied.folder(SYNC_LEDGER.name) / "_delta_log")
    rebuild(copied.lake, SYNC_LEDGER, {})
    assert WRITING not in copied.lake.read(SYNC_LEDGER)["status"].to_pylist()


@pytest.mark.parametrize("table", [SITE_IMPRESSION, URL_IMPRESSION], ids=lambda table: table.name)
def test_a_ledger_lost_together_with_a_table_is_rebuilt_by_reading_the_days_again(
    copied: Copied, before: State, table: TableSpec
) -> None:
    shutil.rmtree(copied.folder(SYNC_LEDGER.name))
    shutil.rmtree(copied.folder(table.name))
    done = copied.repair()
    assert done.left.is_good, done.left.findings()
    after = state(copied.lake)
    assert after[URL_IMPRESSION.name] == before[URL_IMPRESSION.name]
    assert after[SITE_IMPRESSION.name] == before[SITE_IMPRESSION.name]


def test_one_large_table_lost_together_with_the_files_of_the_other_is_restored(copied: Copied) -> None:
    before = state(copied.lake)
    for file in copied.folder(SITE_IMPRESSION.name).rglob("[!.]*-c000*.parquet"):
        file.unlink()
    shutil.rmtree(copied.folder(URL_IMPRESSION.name))
    assert {day.wrong for day in verify(copied.lake).days} == {Wrong.SITE_ROWS}
    done = copied.repair()
    assert done.left.is_good, done.left.findings()
    assert state(copied.lake) == before


@pytest.mark.parametrize("table", [SITE_IMPRESSION, URL_IMPRESSION], ids=lambda table: table.name)
def test_a_file_of_the_ledger_lost_together_with_a_log_is_no_obstacle_to_a_repair(
    copied: Copied, table: TableSpec
) -> None:
    before = state(copied.lake)
    data_file(copied.folder(SYNC_LEDGER.name)).unlink()
    shutil.rmtree(copied.folder(table.name) / "_delta_log")
    done = copied.repair()
    assert done.left.is_good, done.left.findings()
    assert state(copied.lake) == before


@pytest.mark.parametrize("part", ["data", "log"])
def test_a_repair_keeps_googles_annotations_or_says_how_they_come_back(copied: Copied, part: str) -> None:
    update = Annotation(
        Kind.RANKING_UPDATE, "August 2027 core update", date(2027, 8, 1), url="u", source=Source.GOOGLE
    )
    bring_up_to_date(copied.lake, fetched=[update])
    stored = known(copied.lake)
    folder = copied.folder(ANNOTATIONS.name)
    if part == "data":
        for file in folder.glob("*.parquet"):
            file.unlink()
    else:
        shutil.rmtree(folder / "_delta_log")
    done = copied.repair()
    assert done.left.is_good, done.left.findings()
    assert known(copied.lake) == (stored if part == "log" else tuple(sorted(shipped(), key=order)))
    assert [("gsc annotations update" in line) for line in done.lost] == ([True] if part == "data" else [])


def test_a_table_that_cannot_be_created_again_is_one_clear_error(copied: Copied) -> None:
    folder = copied.folder(SITE_IMPRESSION.name)
    shutil.rmtree(folder)
    folder.symlink_to(folder.with_name("nowhere"))
    with pytest.raises(LakeError, match=f"cannot create {folder}"):
        copied.repair()


def record_twice(lake: Lake, day: str) -> None:
    rows = lake.read(SYNC_LEDGER, workspace="acme")
    of_day = rows.filter(pc.equal(rows["data_date"].cast("string"), day))
    write_deltalake(lake.table_uri(SYNC_LEDGER), of_day, mode="append")


def remove_counts(lake: Lake, day: str) -> None:
    rows = lake.read(SYNC_LEDGER)
    is_other = pc.or_(
        pc.not_equal(rows["workspace"], "acme"), pc.not_equal(rows["data_date"].cast("string"), day)
    )
    counts = [pc.if_else(is_other, rows[name], None) for name in LEDGER_COUNTS]
    for name, values in zip(LEDGER_COUNTS, counts, strict=True):
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    write_deltalake(
        lake.table_uri(SYNC_LEDGER),
        rows,
        mode="overwrite",
        schema_mode="overwrite",
        partition_by=list(SYNC_LEDGER.partition_by),
    )


def update(table: TableSpec, **values: str) -> Callable[[Lake, str], None]:
    def harm(lake: Lake, day: str) -> None:
        updates = {name: f"'{value}'" for name, value in values.items()}
        of_day = f"workspace = 'acme' AND data_date = DATE '{day}'"
        DeltaTable(lake.table_uri(table)).update(updates, predicate=of_day)

    return harm


@pytest.mark.parametrize(
    ("harm", "wrong"),
    [
        (record_twice, Wrong.TWICE),
        (remove_counts, Wrong.SITE_ROWS),
        (update(SYNC_LEDGER, status="done"), Wrong.RECORD),
        (update(SYNC_LEDGER, status="empty"), Wrong.RECORD),
        (update(SYNC_LEDGER, month="2020-01"), Wrong.MONTH),
        (update(SITE_IMPRESSION, month="2020-01"), Wrong.MONTH),
        (update(URL_IMPRESSION, month="2020-01"), Wrong.MONTH),
    ],
)
def test_what_another_program_wrote_to_records_and_months_is_reported_and_restored(
    copied: Copied, before: State, harm: Callable[[Lake, str], None], wrong: Wrong
) -> None:
    day = str(copied.world.last(4).start)
    harm(copied.lake, day)
    found = verify(copied.lake)
    assert {(one.workspace, str(one.day), one.wrong) for one in found.days} == {("acme", day, wrong)}
    assert any(wrong.value in finding.what for finding in found.findings())
    done = copied.repair(found)
    assert done.left.is_good, done.left.findings()
    assert state(copied.lake) == before
    assert disagreements(copied.lake) == []


OCTOBER, NOVEMBER = date(2026, 10, 31), date(2026, 11, 1)


def lake_of_two_months(folder: Path) -> Lake:
    lake = Lake(str(folder))
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=12, plants=False)
    fill(lake, "acme", prop, Window.inclusive(OCTOBER, NOVEMBER))
    return lake


def repaired_without_a_sync(lake: Lake) -> Repair:
    """A repair long after Search Console has shown the days."""
    now = datetime(2028, 11, 21, tzinfo=UTC)
    return repair(lake, verify(lake), lambda ids: None, now=now, run_id="repair")


@pytest.mark.parametrize("table", LARGE, ids=lambda table: table.name)
def test_rows_under_each_others_months_are_moved_to_their_own(tmp_path: Path, table: TableSpec) -> None:
    lake = lake_of_two_months(tmp_path)
    before = contents(lake)
    update(table, month="2026-09")(lake, str(OCTOBER))
    update(table, month="2026-10")(lake, str(NOVEMBER))
    update(table, month="2026-11")(lake, str(OCTOBER))
    assert {one.wrong for one in verify(lake).days} == {Wrong.MONTH}
    done = repaired_without_a_sync(lake)
    assert done.left.is_good, done.left.findings()
    assert done.lost == ()
    assert contents(lake) == before


def copy_to_another_month(lake: Lake) -> None:
    of_day = lake.read(SITE_IMPRESSION, where=pc.field("data_date") == OCTOBER)
    months = pa.array(["2020-01"] * of_day.num_rows)
    copy = of_day.set_column(of_day.schema.get_field_index("month"), "month", months)
    write_deltalake(lake.table_uri(SITE_IMPRESSION), copy, mode="append")


def of_phones(lake: Lake) -> str:
    assert "MOBILE" in lake.read(SITE_IMPRESSION)["device"].to_pylist()
    return f"data_date = DATE '{OCTOBER}' AND device = 'MOBILE' AND month = '2026-10'"


def move_some(lake: Lake) -> None:
    DeltaTable(lake.table_uri(SITE_IMPRESSION)).update({"month": "'2026-11'"}, predicate=of_phones(lake))


@pytest.mark.parametrize("harm", [copy_to_another_month, move_some], ids=lambda harm: harm.__name__)
def test_a_day_under_two_months_has_each_row_once_after_a_repair(
    tmp_path: Path, harm: Callable[[Lake], None]
) -> None:
    lake = lake_of_two_months(tmp_path)
    before = contents(lake)
    harm(lake)
    done = repaired_without_a_sync(lake)
    assert done.left.is_good, done.left.findings()
    assert done.lost == ()
    assert contents(lake) == before


def test_removed_rows_under_another_month_are_named_as_lost_if_their_own_lacks_some(tmp_path: Path) -> None:
    lake = lake_of_two_months(tmp_path)
    copy_to_another_month(lake)
    DeltaTable(lake.table_uri(SITE_IMPRESSION)).delete(of_phones(lake))
    done = repaired_without_a_sync(lake)
    assert [one.day for one in done.left.days] == [OCTOBER]
    assert done.lost == (f"acme, sc-domain:acme.com (WEB), {OCTOBER}: rows under another month",)
    assert repaired_without_a_sync(lake).lost == ()


def test_a_sync_reads_a_day_again_that_is_recorded_wrongly(copied: Copied, before: State) -> None:
    remove_counts(copied.lake, str(copied.world.last(5).start))
    record_twice(copied.lake, str(copied.world.last(4).start))
    update(SYNC_LEDGER, status="done")(copied.lake, str(copied.world.last(3).start))
    copied.world.lake = copied.lake
    copied.world.sync(workspace(copied.world, "acme"), copied.world.last(6))
    assert verify(copied.lake).is_good
    assert state(copied.lake) == before


@pytest.mark.parametrize("table", [SEARCHDATA_HOURLY, SEARCH_APPEARANCE], ids=lambda table: table.name)
def test_lost_rows_that_more_ledger_counts_are_reported_until_they_are_read_again(
    copied: Copied, table: TableSpec
) -> None:
    rows = sorted_rows(copied.lake.read(table))
    shutil.rmtree(copied.folder(table.name))
    found = copied.repair().left
    assert {(finding.table, finding.workspace) for finding in found.findings()} == {(table.name, "acme")}
    assert all("gsc sync acme --more" in finding.next_step for finding in found.findings())
    copied.sync_more()
    assert verify(copied.lake).is_good
    assert sorted_rows(copied.lake.read(table)) == rows


@pytest.mark.parametrize("table", [SEARCHDATA_HOURLY, SEARCH_APPEARANCE], ids=lambda table: table.name)
def test_lost_rows_that_search_console_no_longer_shows_are_named_once(
    copied: Copied, table: TableSpec
) -> None:
    now = copied.world.now
    copied.world.now += timedelta(days=30 if table is SEARCHDATA_HOURLY else 600)
    try:
        lost = copied.lake.read(table, where=pc.field("grain") == "page").num_rows
        DeltaTable(copied.lake.table_uri(table)).delete("grain = 'page'")
        done = copied.repair()
        assert done.left.is_good, done.left.findings()
        named = [re.fullmatch(rf"{table.name}: (\d+) rows of acme, .*", line) for line in done.lost]
        assert sum(int(match[1]) for match in named if match) == lost
        again = copied.repair()
        assert (again.done, again.lost) == ((), ())
    finally:
        copied.world.now = now


def test_a_repair_deletes_no_file_of_the_lake(copied: Copied) -> None:
    shutil.rmtree(copied.folder(SITE_IMPRESSION.name) / "_delta_log")
    data_file(copied.folder(URL_IMPRESSION.name)).write_bytes(b"nonsense")
    before = {file for file in Path(copied.lake.uri).rglob("*.parquet") if "_delta_log" not in str(file)}
    assert copied.repair().left.is_good
    after = {Path(re.sub(r"\.damaged$", "", str(file))) for file in Path(copied.lake.uri).rglob("*")}
    assert before <= after
    assert disagreements(copied.lake) == []
