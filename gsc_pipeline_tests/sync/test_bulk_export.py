"""Days of the bulk export in the lake: what is imported, what is refused, and what a sync does with them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gsc_pipeline.days import ONE_DAY, Window, months_before
from gsc_pipeline.lake.agreement import disagreements
from gsc_pipeline.lake.duckdb_file import write_duckdb_file
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.quality import RULES, evaluate
from gsc_pipeline.lake.schemas import (
    REVISIONS,
    SITE_IMPRESSION,
    STANDING_FAILURES,
    SYNC_LEDGER,
    URL_IMPRESSION,
    TableSpec,
)
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.search_console.search_types import SEARCH_TYPES, FeedType
from gsc_pipeline.simulator import (
    Call,
    Property,
    Reply,
    Revised,
    Revision,
    SyntheticProperty,
    google_error,
    visible_facts,
)
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.sync.bulk_export.errors import BulkExportError
from gsc_pipeline.sync.bulk_export.merge import ImportOptions, ImportReport, import_export
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.decide import IMPORTED, LOST_IMPORT
from gsc_pipeline.sync.lease import Leases
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.repair import repair
from gsc_pipeline.sync.report import DayResult
from gsc_pipeline.sync.verify import verify
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.bulk_exports import (
    LOG_SCHEMA,
    NAMESPACES,
    log_rows,
    site_rows,
    url_rows,
    write_export,
    write_shards,
)
from gsc_pipeline_tests.cluster.bucket import serving_bucket
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import NOON, World, contents, sorted_rows

ACME = "sc-domain:acme.com"

# Commits after every day, and kills itself after the Nth write to the lake.
KILLED_IMPORT = """
import os, signal, sys
from datetime import datetime
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.settings import load_settings
from gsc_pipeline.sync.bulk_export.merge import ImportOptions, import_export
from gsc_pipeline.workspaces.registry import load_workspaces

folder, now, at = sys.argv[1], datetime.fromisoformat(sys.argv[2]), int(sys.argv[3])

class DyingLake(Lake):
    writes = 0
    def _write(self, *how):
        version = super()._write(*how)
        DyingLake.writes += 1
        if DyingLake.writes == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return version

settings = load_settings()
(workspace,) = load_workspaces(settings.workspaces_file)
import_export([folder], workspace, DyingLake(settings.lake), options=ImportOptions(commit_rows=1), now=now,
              run_id="killed")
"""


@dataclass(frozen=True)
class Exported:
    """A world, days that are final in it, and an export of them."""

    world: World
    prop: Property
    days: list[date]
    folder: Path

    def run(self, *paths: Path | str, workspace: Workspace | None = None, **options: Any) -> ImportReport:
        given = [str(path) for path in paths or [self.folder]]
        return import_export(
            given,
            workspace or self.world.workspace(),
            self.world.lake,
            options=ImportOptions(**options),
            now=self.world.now,
            run_id="import",
        )

    def refused(self, *paths: Path | str, **options: Any) -> str:
        """The causes of an import that is refused and writes nothing."""
        before = contents(self.world.lake)
        with pytest.raises(BulkExportError) as error:
            self.run(*paths, **options)
        assert contents(self.world.lake) == before
        *causes, last = str(error.value).splitlines()
        assert last == "nothing was imported"
        return "\n".join(causes)

    @property
    def window(self) -> Window:
        return Window.inclusive(self.days[0], self.days[-1])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    properties = [
        SyntheticProperty(ACME, rows_a_day=100, plants=False),
        SyntheticProperty("https://shop.acme.com/", rows_a_day=5, plants=False),
    ]
    with World.serving(tmp_path, properties) as world:
        yield world


@pytest.fixture
def exported(world: World, tmp_path: Path) -> Exported:
    days = list(Window.inclusive(world.today - 7 * ONE_DAY, world.today - 5 * ONE_DAY))
    (prop, _) = world.simulator.properties
    folder = write_export(tmp_path / "export", [prop], days)
    return Exported(world, prop, days, folder)


def held(world: World, table: TableSpec, like: pa.Table) -> list[dict[str, Any]]:
    return sorted_rows(world.lake.read(table, columns=like.column_names))


def assert_tables_equal_the_export(one: Exported, days: Sequence[date] | None = None) -> None:
    for table, make in ((SITE_IMPRESSION, site_rows), (URL_IMPRESSION, url_rows)):
        expected = pa.concat_tables([make(one.prop, day) for day in days or one.days])
        assert expected.num_rows
        assert held(one.world, table, expected) == sorted_rows(expected)


def ledger(world: World) -> list[dict[str, Any]]:
    return world.lake.read(SYNC_LEDGER).sort_by("data_date").to_pylist()


def test_the_tables_equal_the_export_row_by_row_with_its_flags(exported: Exported) -> None:
    report = exported.run()
    assert_tables_equal_the_export(exported)
    urls = exported.world.lake.read(URL_IMPRESSION)
    assert pc.any(urls["is_product_snippets"]).as_py()
    assert pc.any(urls["is_anonymized_query"]).as_py()
    (one,) = report.series
    assert (one.imported, one.unchanged, one.failed) == (3, 0, 0)
    assert one.rows == urls.num_rows + exported.world.lake.read(SITE_IMPRESSION).num_rows
    assert not disagreements(exported.world.lake)
    assert verify(exported.world.lake).is_good


def test_the_ledger_has_the_totals_of_the_api_and_the_source(exported: Exported) -> None:
    exported.run()
    imported = ledger(exported.world)
    assert {row["source"] for row in imported} == {"bulk_export"}
    assert {row["status"] for row in imported} == {"final"}
    assert {row["reason"] for row in imported} == {IMPORTED}
    report = exported.world.sync(exported.world.workspace(), exported.window)
    assert report.count(DayResult.UNCHANGED) == 3
    assert report.outcome is Outcome.COMPLETE
    assert ledger(exported.world) == imported


def test_every_quality_rule_holds_after_an_import(exported: Exported) -> None:
    exported.run()
    results = evaluate(RULES, exported.world.lake, ["acme"], now=exported.world.now)
    assert [result.rule.name for result in results if not result.passed] == []


@pytest.mark.parametrize("full", [False, True], ids=["a sync", "a full sync"])
def test_syncs_before_and_after_leave_the_rows_of_the_export(exported: Exported, full: bool) -> None:
    workspace = exported.world.workspace()
    exported.world.sync(workspace, exported.window)
    assert exported.world.lake.read(URL_IMPRESSION)["is_video"].null_count
    exported.run()
    assert_tables_equal_the_export(exported)
    report = exported.world.sync(workspace, exported.window, SyncOptions(full=full))
    assert report.count(DayResult.UNCHANGED) == 3
    assert not report.problems
    assert_tables_equal_the_export(exported)


def test_an_import_repeated_changes_nothing(exported: Exported) -> None:
    exported.run()
    versions = [exported.world.lake.version_of(table) for table in (SITE_IMPRESSION, SYNC_LEDGER)]
    (one,) = exported.run().series
    assert (one.imported, one.unchanged, one.rows) == (0, 3, 0)
    assert versions == [exported.world.lake.version_of(table) for table in (SITE_IMPRESSION, SYNC_LEDGER)]


def test_days_are_committed_as_few_rows_at_a_time_as_the_settings_say(exported: Exported) -> None:
    exported.run(commit_rows=1)
    assert_tables_equal_the_export(exported)


def test_a_dry_run_counts_the_days_and_writes_nothing(exported: Exported) -> None:
    (one,) = exported.run(is_dry_run=True).series
    assert (one.imported, one.first_day, one.last_day) == (3, exported.days[0], exported.days[-1])
    assert one.clicks > 0
    assert exported.world.lake.version_of(SYNC_LEDGER) is None


# What a sync does where Search Console shows other totals.


def revised(tmp_path: Path, factor: float) -> Any:
    """A world in which the first day's numbers were revised after they were exported."""
    original = SyntheticProperty(ACME, rows_a_day=100, plants=False)
    day = NOON.date() - 7 * ONE_DAY
    moved = Revision(day, NOON - timedelta(hours=1), factor)
    return World.serving(tmp_path, [Revised(original, [moved])])


def exported_before(world: World, folder: Path) -> Exported:
    days = list(Window.inclusive(world.today - 7 * ONE_DAY, world.today - 6 * ONE_DAY))
    (prop,) = world.simulator.properties
    one = Exported(world, prop, days, write_export(folder, [prop], days))
    one.run()
    return one


@pytest.mark.parametrize("factor", [0.5, 1.5, 0.0], ids=["smaller", "larger", "gone"])
def test_other_totals_are_named_with_both_numbers_and_the_rows_stay(tmp_path: Path, factor: float) -> None:
    with revised(tmp_path, factor) as world:
        one = exported_before(world, tmp_path / "export")
        before = ledger(world)
        report = world.sync(world.workspace(), one.window)
        (problem,) = report.problems
        assert problem.days == (one.days[0],)
        assert (
            f"the bulk export has {before[0]['clicks']} clicks, {before[0]['impressions']}" in problem.cause
        )
        shown = visible_facts(one.prop, "web", one.days[0], world.now)
        clicks = 0 if shown is None else int(shown.top_clicks.sum())
        impressions = 0 if shown is None else int(shown.top_impressions.sum())
        assert f"Search Console shows {clicks} clicks, {impressions}" in problem.cause
        assert "import them again (gsc import-export)" in problem.next_step
        assert f"gsc sync acme --start {one.days[0]} --end {one.days[0]} --full" in problem.next_step
        assert report.outcome is Outcome.PARTIAL
        (standing,) = world.lake.read(STANDING_FAILURES).to_pylist()
        assert (standing["cause"], standing["days"]) == (problem.cause, 1)
        assert ledger(world) == before
        assert_tables_equal_the_export(one)


def test_a_full_sync_keeps_the_export_where_the_api_has_less_and_says_so(tmp_path: Path) -> None:
    with revised(tmp_path, 0.5) as world:
        one = exported_before(world, tmp_path / "export")
        before = ledger(world)
        report = world.sync(world.workspace(), one.window, SyncOptions(full=True))
        (problem,) = report.problems
        assert "the rows of the export are kept" in problem.cause
        assert "the API gives fewer rows or impressions" in problem.next_step
        assert ledger(world) == before
        assert_tables_equal_the_export(one)


def test_a_full_sync_replaces_the_export_where_the_api_has_more(tmp_path: Path) -> None:
    with revised(tmp_path, 3.0) as world:
        one = exported_before(world, tmp_path / "export")
        report = world.sync(world.workspace(), one.window, SyncOptions(full=True))
        assert not report.problems
        assert [row["source"] for row in ledger(world)] == ["api", "bulk_export"]
        assert verify(world.lake).is_good
        (revision,) = world.lake.read(REVISIONS).to_pylist()
        assert revision["impressions_after"] > revision["impressions_before"]


def test_a_full_sync_that_cannot_read_a_day_leaves_the_export_final(tmp_path: Path) -> None:
    with revised(tmp_path, 3.0) as world:
        one = exported_before(world, tmp_path / "export")
        before = ledger(world)

        def out_of_order(call: Call) -> Reply | None:
            is_read = call.kind == "query" and call.body["dimensions"] != ["date"]
            return google_error(503, "backendError", "Try again.") if is_read else None

        world.faults.append(out_of_order)
        report = world.sync(world.workspace(), one.window, SyncOptions(full=True))
        assert report.count(DayResult.FAILED) == 1
        assert ledger(world) == before
        world.faults.clear()
        assert "kept" in world.sync(world.workspace(), one.window).problems[0].cause


def test_days_that_are_not_final_in_the_api_yet_are_not_compared(world: World, tmp_path: Path) -> None:
    (prop, _) = world.simulator.properties
    days = [world.today - 2 * ONE_DAY, world.today - ONE_DAY]
    one = Exported(world, prop, days, write_export(tmp_path / "export", [prop], days))
    one.run()
    report = world.sync(world.workspace(), world.last(2))
    assert (report.problems, report.count(DayResult.UNCHANGED)) == ((), 2)
    assert_tables_equal_the_export(one)


def test_days_older_than_search_console_shows_stay(tmp_path: Path) -> None:
    properties = [SyntheticProperty(ACME, rows_a_day=50, history_months=1)]
    with World.serving(tmp_path, properties) as world:
        days = [months_before(world.today, 17)]
        one = Exported(world, properties[0], days, write_export(tmp_path / "export", properties, days))
        one.run()
        report = world.sync(world.workspace(), one.window)
        assert not report.problems
        assert_tables_equal_the_export(one)


# What an import does with days that are in the lake.


def test_a_final_day_with_more_impressions_in_the_ledger_is_kept_and_named(exported: Exported) -> None:
    exported.world.sync(exported.world.workspace(), exported.window)
    before = ledger(exported.world)
    day = exported.days[1]
    half = exported.folder.with_name("half")
    for name, make in (("searchdata_site_impression", site_rows), ("searchdata_url_impression", url_rows)):
        tables = [make(exported.prop, one) for one in exported.days]
        tables[1] = tables[1].slice(0, tables[1].num_rows // 2)
        write_shards(half, name, tables)
    report = exported.run(half)
    (series,) = report.series
    assert (series.imported, series.kept) == (2, 1)
    (line,) = report.problems
    assert line.startswith(f"{ACME} (WEB) {day}: kept")
    assert f"{before[1]['impressions']} impressions" in line
    after = ledger(exported.world)
    assert after[1] == before[1]
    assert [row["source"] for row in after] == ["bulk_export", "api", "bulk_export"]


def test_a_newer_version_of_an_imported_day_replaces_it_and_is_a_revision(exported: Exported) -> None:
    exported.run()
    newer = exported.folder.with_name("newer")
    day = exported.days[1]
    write_shards(newer, "ExportLog", [log_rows([day]), log_rows([day], epoch=1)])
    write_shards(newer, "searchdata_site_impression", [site_rows(exported.prop, day).slice(5)])
    write_shards(newer, "searchdata_url_impression", [url_rows(exported.prop, day).slice(5)])
    (series,) = exported.run(newer).series
    assert series.imported == 1
    (revision,) = exported.world.lake.read(REVISIONS).to_pylist()
    assert (revision["data_date"], revision["previous_run_id"]) == (day, "import")
    where = pc.field("data_date") == day
    site = exported.world.lake.read(SITE_IMPRESSION, where=where)
    assert site.num_rows == site_rows(exported.prop, day).num_rows - 5
    with connect(exported.world.lake) as connection:
        log = connection.execute("SELECT data_date, namespace, epoch_version FROM ExportLog").fetchall()
    assert sorted(log) == sorted(
        (one, namespace, int(one == day)) for one in exported.days for namespace in NAMESPACES
    )


def test_days_that_cannot_be_written_are_not_among_the_sums_of_an_import(exported: Exported) -> None:
    exported.run()
    for file in (Path(exported.world.lake.uri) / SITE_IMPRESSION.name).rglob("*.parquet"):
        file.unlink()
    newer = exported.folder.with_name("newer")
    write_shards(newer, "searchdata_site_impression", [site_rows(exported.prop, exported.days[0]).slice(5)])
    write_shards(newer, "searchdata_url_impression", [url_rows(exported.prop, exported.days[0]).slice(5)])
    (series,) = exported.run(newer).series
    assert (series.imported, series.failed) == (0, 1)
    assert (series.rows, series.clicks, series.impressions) == (0, 0, 0)


def test_the_lake_has_the_columns_of_the_exports_log_in_its_order_and_types(exported: Exported) -> None:
    exported.run()
    file = exported.folder.with_name("search.duckdb")
    write_duckdb_file(exported.world.lake, file)
    with duckdb.connect(file, read_only=True) as other, connect(exported.world.lake) as ours:
        for connection in (other, ours):
            shown = connection.sql("SELECT * FROM ExportLog")
            assert shown.columns[:5] == LOG_SCHEMA.names
            assert list(map(str, shown.types[:5])) == [
                "VARCHAR", "VARCHAR", "DATE", "BIGINT", "TIMESTAMP WITH TIME ZONE"
            ]  # fmt: skip
            assert len(shown.fetchall()) == 6


def test_a_day_that_is_not_final_in_every_search_type_is_not_in_the_log(world: World) -> None:
    world.sync(world.workspace(), world.last(6))
    with connect(world.lake) as connection:
        logged = connection.execute("SELECT DISTINCT data_date FROM ExportLog").fetchall()
    final = [row["data_date"] for row in ledger(world) if row["status"] == "final"]
    assert 0 < len(final) < 6
    assert sorted(logged) == [(day,) for day in final]


def test_an_import_that_was_killed_leaves_days_that_the_next_sync_reads_again(exported: Exported) -> None:
    world = exported.world

    class DyingLake(Lake):
        def replace(self, table: TableSpec, *how: Any) -> int:
            if table is URL_IMPRESSION:
                raise KeyboardInterrupt
            return super().replace(table, *how)

    with pytest.raises(KeyboardInterrupt):
        Exported(
            replace(world, lake=DyingLake(world.lake.uri)), exported.prop, exported.days, exported.folder
        ).run()
    assert {row["status"] for row in ledger(world)} == {"writing"}
    report = world.sync(world.workspace(), exported.window)
    assert report.count(DayResult.READ) == 3
    assert {row["reason"] for row in ledger(world)} == {LOST_IMPORT}
    assert {row["source"] for row in ledger(world)} == {"api"}
    assert verify(world.lake).is_good
    exported.run()
    assert_tables_equal_the_export(exported)


def test_a_workspace_that_is_being_synced_is_not_imported_into(exported: Exported, tmp_path: Path) -> None:
    leases = Leases(open_store(str(tmp_path / "state.db")))
    with leases.held("acme", "theirs"):
        cause = exported.refused(leases=leases)
    assert "workspace acme: another sync holds it" in cause
    exported.run(leases=leases)
    assert_tables_equal_the_export(exported)


def test_a_lost_file_of_imported_days_is_found_and_its_days_are_read_from_the_api(exported: Exported) -> None:
    world = exported.world
    exported.run()
    (folder,) = Path(world.lake.table_uri(SITE_IMPRESSION)).glob("workspace=acme/month=*")
    for file in folder.glob("*.parquet"):
        file.unlink()
    found = verify(world.lake)
    assert not found.is_good

    def sync(_: object) -> None:
        world.sync(world.workspace(), exported.window)

    done = repair(world.lake, found, sync, now=world.now, run_id="repair")
    assert done.left.is_good
    assert {row["reason"] for row in ledger(world)} == {LOST_IMPORT}


def test_a_ledger_that_is_rebuilt_knows_the_days_of_the_export_by_their_flags(exported: Exported) -> None:
    world = exported.world
    exported.run()
    shutil.rmtree(world.lake.table_uri(SYNC_LEDGER))

    def sync(_: object) -> None:
        world.sync(world.workspace(), exported.window)

    done = repair(world.lake, verify(world.lake), sync, now=world.now, run_id="repair")
    assert done.left.is_good
    assert [(row["source"], row["status"]) for row in ledger(world)] == [("bulk_export", "final")] * 3
    assert_tables_equal_the_export(exported)


# Other forms of the files.


def test_feeds_and_every_search_type_are_held_as_a_sync_holds_them(tmp_path: Path) -> None:
    kinds = [kind.value for kind in SEARCH_TYPES]
    prop = SyntheticProperty(ACME, rows_a_day=50, plants=False, search_types=kinds)
    with World.serving(tmp_path, [prop]) as world:
        days = [world.today - 6 * ONE_DAY]
        workspace = world.workspace(search_types=SEARCH_TYPES)
        one = Exported(world, prop, days, write_export(tmp_path / "export", [prop], days, kinds))
        world.sync(workspace, one.window)
        read = contents(world.lake)[SITE_IMPRESSION.name]
        report = one.run(workspace=workspace)
        assert len(report.series) == len(SEARCH_TYPES)
        assert contents(world.lake)[SITE_IMPRESSION.name] == read
        feeds = world.lake.read(
            URL_IMPRESSION, where=pc.field("search_type").isin([kind.name for kind in FeedType])
        )
        assert feeds["sum_position"].null_count == feeds.num_rows > 0
        assert not world.sync(workspace, one.window).problems


def test_search_types_that_the_workspace_does_not_sync_are_left_out_and_named(tmp_path: Path) -> None:
    prop = SyntheticProperty(ACME, rows_a_day=50, search_types=["web", "image"])
    with World.serving(tmp_path, [prop]) as world:
        days = [world.today - 6 * ONE_DAY]
        one = Exported(world, prop, days, write_export(tmp_path / "export", [prop], days, ["web", "image"]))
        report = one.run()
        assert [series.search_type for series in report.series] == ["WEB"]
        (line,) = report.left_out
        assert "rows of IMAGE: not among the workspace's search_types" in line


def test_repeated_keys_are_summed_as_google_says(exported: Exported) -> None:
    day = exported.days[0]
    folder = exported.folder.with_name("repeated")
    site, url = site_rows(exported.prop, day), url_rows(exported.prop, day)
    split = [
        rows.set_column(
            rows.column_names.index(name),
            name,
            pc.subtract(rows[name], pc.if_else(pc.greater(rows[name], 0), 1, 0)),
        )
        for rows, name in ((site, "impressions"), (url, "impressions"))
    ]
    ones = [
        rows.set_column(rows.column_names.index("impressions"), "impressions", pa.repeat(1, rows.num_rows))
        for rows in (site, url)
    ]
    zero = [_zeros(rows) for rows in ones]
    write_shards(folder, "searchdata_site_impression", [split[0], zero[0]], 3)
    write_shards(folder, "searchdata_url_impression", [split[1], zero[1]], 3)
    exported.run(folder)
    assert_tables_equal_the_export(exported, [day])


def _zeros(rows: pa.Table) -> pa.Table:
    """The rows without clicks and positions."""
    for name in ("clicks", "sum_top_position", "sum_position"):
        if name in rows.column_names:
            rows = rows.set_column(rows.column_names.index(name), name, pa.repeat(0, rows.num_rows))
    return rows


def test_folders_of_days_give_the_day_by_their_names(exported: Exported) -> None:
    root = exported.folder.with_name("hive")
    for name, make in (("searchdata_site_impression", site_rows), ("searchdata_url_impression", url_rows)):
        for day in exported.days:
            folder = root / name / f"site_url={quote(ACME, safe='')}" / f"data_date={day}"
            folder.mkdir(parents=True)
            rows = make(exported.prop, day).drop_columns(["data_date", "site_url"])
            pq.write_table(rows, folder / "data_0.parquet")
    exported.run(root)
    assert_tables_equal_the_export(exported)


def test_files_are_named_one_by_one_or_with_wildcards(exported: Exported) -> None:
    one, *others = sorted(exported.folder.glob("*.parquet"))
    exported.run(one, *others, one)
    assert_tables_equal_the_export(exported)
    (series,) = exported.run(f"{exported.folder}/searchdata_*.parquet").series
    assert series.unchanged == 3


def test_an_export_of_earlier_years_has_fewer_flags_and_newer_ones_have_unknown_columns(
    exported: Exported,
) -> None:
    folder = exported.folder.with_name("other")
    urls = [url_rows(exported.prop, day) for day in exported.days]
    more = [rows.append_column("is_hologram", pa.repeat(True, rows.num_rows)) for rows in urls]
    less = [rows.drop_columns(["is_forums", "is_anonymized_discover"]) for rows in more]
    write_shards(
        folder, "searchdata_site_impression", [site_rows(exported.prop, day) for day in exported.days]
    )
    write_shards(folder, "searchdata_url_impression", less)
    report = exported.run(folder)
    assert report.left_out == (
        "column is_hologram of searchdata_url_impression is not known to this release",
    )
    held_urls = exported.world.lake.read(URL_IMPRESSION)
    assert held_urls["is_forums"].null_count == held_urls.num_rows
    assert not pc.any(held_urls["is_anonymized_discover"]).as_py()


def test_anonymised_rows_of_discover_without_page_and_country_are_kept(tmp_path: Path) -> None:
    prop = SyntheticProperty(ACME, rows_a_day=100, search_types=["discover"])
    with World.serving(tmp_path, [prop]) as world:
        day = world.today - 6 * ONE_DAY
        url = url_rows(prop, day, "discover")
        hidden = url.slice(0, 1)
        for name, value in (("url", None), ("country", None)):
            hidden = hidden.set_column(hidden.column_names.index(name), name, pa.array([value], pa.string()))
        index = hidden.column_names.index("is_anonymized_discover")
        hidden = hidden.set_column(index, "is_anonymized_discover", pa.array([True]))
        write_shards(tmp_path / "export", "searchdata_site_impression", [site_rows(prop, day, "discover")])
        write_shards(tmp_path / "export", "searchdata_url_impression", [hidden, url.slice(1)])
        one = Exported(world, prop, [day], tmp_path / "export")
        one.run(workspace=world.workspace(search_types=[FeedType.DISCOVER]))
        (row,) = world.lake.read(URL_IMPRESSION, where=pc.field("is_anonymized_discover")).to_pylist()
        assert (row["url"], row["country"], row["device"], row["query"]) == ("", "zzz", None, "")


def test_an_export_in_a_bucket_is_imported(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_bucket() as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        client = bucket.client()
        for file in exported.folder.glob("*.parquet"):
            client.upload_file(str(file), "lake", f"export/2026/{file.name}")
        (series,) = exported.run("s3://lake/export").series
        assert series.imported == 3
        (series,) = exported.run("s3://lake/export/2026/*.parquet").series
        assert series.unchanged == 3
        assert "s3://lake/nothing: no Parquet files" in exported.refused("s3://lake/nothing")
    assert_tables_equal_the_export(exported)


# What is refused.


def changed(exported: Exported, name: str, change: Callable[[pa.Table], pa.Table]) -> Path:
    """A copy of the export in which one table's rows are changed."""
    folder = exported.folder.with_name("changed")
    for table, make in (("searchdata_site_impression", site_rows), ("searchdata_url_impression", url_rows)):
        rows = pa.concat_tables([make(exported.prop, day) for day in exported.days])
        write_shards(folder, table, [change(rows) if table == name else rows])
    return folder


def with_first(name: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(rows: pa.Table) -> pa.Table:
        index = rows.column_names.index(name)
        values = pa.array([value, *rows[name].to_pylist()[1:]], rows.schema.field(name).type)
        return rows.set_column(index, name, values)

    return change


@pytest.mark.parametrize(
    ("column", "value", "cause"),
    [
        ("clicks", -1, "1 rows have negative numbers"),
        ("sum_top_position", -1, "1 rows have negative numbers"),
        ("impressions", None, "1 rows have no number of clicks or impressions"),
        ("sum_top_position", None, "1 rows have no sum of positions"),
        ("country", None, "1 rows have no country"),
        ("device", None, "1 rows have no device"),
        ("data_date", None, "1 rows have no day, property or search type"),
        ("search_type", None, "1 rows have no day, property or search type"),
    ],
)
def test_rows_that_cannot_be_true_are_refused(
    exported: Exported, column: str, value: Any, cause: str
) -> None:
    folder = changed(exported, "searchdata_site_impression", with_first(column, value))
    causes = exported.refused(folder)
    assert cause in causes
    assert f"{folder}/searchdata_site_impression-000000000000.parquet: " in causes


@pytest.mark.parametrize("spelled", ["web", "Web"])
def test_a_search_type_is_imported_however_it_is_spelled(exported: Exported, spelled: str) -> None:
    folder = exported.folder.with_name("spelled")
    for name, make in (("searchdata_site_impression", site_rows), ("searchdata_url_impression", url_rows)):
        rows = pa.concat_tables([make(exported.prop, day) for day in exported.days])
        index = rows.column_names.index("search_type")
        write_shards(folder, name, [rows.set_column(index, "search_type", pa.array([spelled] * len(rows)))])
    exported.run(folder)
    assert_tables_equal_the_export(exported)


def test_rows_of_other_days_and_of_unknown_search_types_are_not_looked_at(exported: Exported) -> None:
    first, *rest = exported.days
    site = [site_rows(exported.prop, day) for day in exported.days]
    site[0] = with_first("clicks", -1)(site[0])
    other = with_first("query", None)(site_rows(exported.prop, rest[0]).slice(0, 1))
    index = other.column_names.index("search_type")
    other = other.set_column(index, "search_type", pa.array(["WEB_MULTIMODAL"]))
    folder = exported.folder.with_name("others")
    write_shards(folder, "searchdata_site_impression", [*site, other])
    write_shards(folder, "searchdata_url_impression", [url_rows(exported.prop, day) for day in exported.days])
    assert f"{first}: 1 rows have negative numbers" in exported.refused(folder)
    report = exported.run(folder, within=Window.inclusive(rest[0], rest[-1]))
    assert report.left_out == ("1 rows of WEB_MULTIMODAL: a search type that this release does not know",)
    assert_tables_equal_the_export(exported, rest)


def test_a_row_without_a_page_is_refused(exported: Exported) -> None:
    folder = changed(exported, "searchdata_url_impression", with_first("url", None))
    assert "1 rows have no url" in exported.refused(folder)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda rows: rows.drop_columns("device"), "searchdata_site_impression without the column device"),
        (
            lambda rows: rows.set_column(
                rows.column_names.index("clicks"), "clicks", rows["clicks"].cast(pa.string())
            ),
            "column clicks of searchdata_site_impression is string instead of INT64",
        ),
        (
            lambda rows: rows.select(["query", "clicks"]),
            "not of the bulk export: expected the columns of one of",
        ),
    ],
    ids=["a column is missing", "a type is another", "no table of the export"],
)
def test_files_with_wrong_columns_are_refused_by_name(
    exported: Exported, change: Callable[[pa.Table], pa.Table], cause: str
) -> None:
    folder = changed(exported, "searchdata_site_impression", change)
    assert f"{folder}/searchdata_site_impression-000000000000.parquet: {cause}" in exported.refused(folder)


def test_a_file_that_is_no_parquet_and_a_path_without_files_are_refused(
    exported: Exported, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.parquet").write_text("not Parquet")
    (tmp_path / "empty").mkdir()
    causes = exported.refused(tmp_path / "bad", tmp_path / "empty", tmp_path / "nowhere").splitlines()
    assert [cause.partition(" (")[0] for cause in causes] == [
        f"{tmp_path}/bad/x.parquet: cannot be read as Parquet",
        f"{tmp_path}/empty: no Parquet files",
        f"{tmp_path}/nowhere: cannot be read",
    ]


@pytest.mark.parametrize("name", ["searchdata_site_impression", "ExportLog"])
def test_a_file_with_damaged_pages_is_refused_by_name(exported: Exported, name: str) -> None:
    file = exported.folder / f"{name}-000000000000.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:4] + b"\x00" * 400 + content[404:])
    assert f"{file}: cannot be read (" in exported.refused()


def test_a_table_of_the_lake_is_not_an_export(exported: Exported) -> None:
    exported.run()
    causes = exported.refused(exported.world.lake.uri)
    assert "a Delta Lake table, not an export" in causes


def test_another_property_is_refused_unless_the_workspace_has_both(exported: Exported) -> None:
    world = exported.world
    folder = write_export(exported.folder.with_name("mixed"), world.simulator.properties, exported.days[:1])
    causes = exported.refused(folder)
    assert causes == (
        "the files hold https://shop.acme.com/, which workspace acme does not have: give the files of its "
        "own properties only, or add the property to the workspaces file"
    )
    both = world.workspace(properties=(ACME, "https://shop.acme.com/"))
    assert len(exported.run(folder, workspace=both).series) == 2


def test_a_workspace_with_all_properties_has_those_that_were_synced(exported: Exported) -> None:
    world = exported.world
    everything = world.workspace(properties=None)
    assert "which workspace acme does not have" in exported.refused(workspace=everything)
    world.sync(everything, exported.window)
    exported.run(workspace=everything)
    where = pc.field("site_url") == ACME
    assert pc.all(pc.equal(world.lake.read(SYNC_LEDGER, where=where)["source"], "bulk_export")).as_py()


def test_half_days_are_refused_and_can_be_left_out(exported: Exported) -> None:
    first, *rest = exported.days
    folder = exported.folder.with_name("half")
    write_shards(
        folder, "searchdata_site_impression", [site_rows(exported.prop, day) for day in exported.days]
    )
    write_shards(folder, "searchdata_url_impression", [url_rows(exported.prop, day) for day in rest])
    assert exported.refused(folder) == (
        f"{ACME} (WEB) {first} is in searchdata_site_impression and not in searchdata_url_impression: export "
        "both tables for the same days, or leave days out with --start and --end"
    )
    exported.run(folder, within=Window.inclusive(rest[0], rest[-1]))
    assert_tables_equal_the_export(exported, rest)


def test_a_day_that_the_log_does_not_list_for_both_tables_is_refused(exported: Exported) -> None:
    *rest, last = exported.days
    only_site = log_rows([last], namespaces=NAMESPACES[:1])
    write_shards(exported.folder, "ExportLog", [log_rows(rest), only_site])
    assert exported.refused() == (
        f"ExportLog does not list SEARCHDATA_URL_IMPRESSION for {last}: export again when it does, or leave "
        "days out with --start and --end"
    )


def test_a_day_in_two_exports_is_refused(exported: Exported) -> None:
    again = write_export(exported.folder.with_name("again"), [exported.prop], exported.days[:1])
    causes = exported.refused(exported.folder, again)
    assert f"{ACME} (WEB) {exported.days[0]} is in two exports of searchdata_url_impression" in causes
    assert f"{again}/searchdata_url_impression-*.parquet" in causes


def test_a_day_that_is_not_over_is_refused(world: World, tmp_path: Path) -> None:
    (prop, _) = world.simulator.properties
    folder = write_export(tmp_path / "export", [prop], [world.today])
    one = Exported(world, prop, [world.today], folder)
    assert one.refused() == (
        f"the files hold {world.today}, which is not over in California, where it is {world.today}"
    )


@pytest.mark.soak
def test_a_day_past_the_cap_is_whole_after_an_import_and_stays_so(tmp_path: Path) -> None:
    # Filters that see all rows would complete the day without an import.
    prop = SyntheticProperty(ACME, rows_a_day=120_000, filters_see="cut_rows")
    with World.serving(tmp_path, [prop]) as world:
        days = [world.today - 6 * ONE_DAY]
        one = Exported(world, prop, days, write_export(tmp_path / "export", [prop], days))
        world.sync(world.workspace(), one.window)
        assert [row["truncated"] for row in ledger(world)] == [True]
        one.run()
        assert [row["truncated"] for row in ledger(world)] == [False]
        world.sync(world.workspace(), one.window, SyncOptions(full=True))
        assert_tables_equal_the_export(one)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 7])
@pytest.mark.soak
def test_an_import_killed_at_any_commit_leaves_days_that_the_next_sync_makes_whole(
    exported: Exported, at: int
) -> None:
    world = exported.world
    command = [sys.executable, "-c", KILLED_IMPORT, str(exported.folder), world.now.isoformat(), str(at)]
    env = {**os.environ, **world.environment()}
    dead = subprocess.run(command, env=env, check=False, capture_output=True, timeout=HANG_SECONDS)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    assert "writing" in {row["status"] for row in ledger(world)} or at == 4
    assert not world.sync(world.workspace(), exported.window).problems
    assert {row["status"] for row in ledger(world)} == {"final"}
    assert verify(world.lake).is_good
    exported.run()
    assert_tables_equal_the_export(exported)


@pytest.mark.parametrize("earlier", ["of the same days", "of other days"])
def test_files_that_an_earlier_larger_export_left_in_the_folder_are_refused(
    exported: Exported, earlier: str
) -> None:
    days = exported.days if earlier == "of the same days" else exported.days[:1]
    folder = exported.folder.with_name("twice")
    write_export(folder, [exported.prop], days, shards=4)
    of_earlier = exported.world.now.timestamp()
    for file in folder.iterdir():
        os.utime(file, (of_earlier, of_earlier))
    write_export(folder, [exported.prop], exported.days, shards=2)
    for file in folder.glob("*-00000000000[01].parquet"):
        os.utime(file, (of_earlier + 3_600, of_earlier + 3_600))
    causes = exported.refused(folder)
    for name in ("searchdata_site_impression", "searchdata_url_impression"):
        left = folder / f"{name}-000000000002.parquet"
        assert f"{left}: written long before {name}-000000000000.parquet" in causes
        for number in (2, 3):
            (folder / f"{name}-{number:012}.parquet").unlink()
    exported.run(folder)
    assert_tables_equal_the_export(exported, exported.days)


def test_files_that_were_copied_one_after_another_are_one_export(exported: Exported) -> None:
    folder = write_export(exported.folder.with_name("copied"), [exported.prop], exported.days, shards=3)
    for hours, file in enumerate(sorted(folder.iterdir())):
        moment = exported.world.now.timestamp() + hours * 3_600
        os.utime(file, (moment, moment))
    exported.run(folder)
    assert_tables_equal_the_export(exported, exported.days)
