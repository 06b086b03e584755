"""Syncs of properties whose folders are properties too, over the real wire, against the simulator's truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typing_extensions import override

from gsc_pipeline.days import ONE_DAY, Window, month_of
from gsc_pipeline.lake.lake import CommitGuard, Lake
from gsc_pipeline.lake.schemas import (
    FOLDER_DAYS,
    SEARCH_APPEARANCE_FLAGS,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    URL_IMPRESSION,
    TableSpec,
)
from gsc_pipeline.lake.targets import RowSelection, Target, WorkspaceRows
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.simulator import (
    Call,
    FolderProperty,
    Property,
    Reply,
    Revised,
    Revision,
    SyntheticProperty,
    google_error,
    visible_facts,
)
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.cut_days import PastCapOptions, Tried, TriedRows, write_tried
from gsc_pipeline.sync.folder_days import MOST_OLDER_DAYS, complete_from_folders
from gsc_pipeline.sync.grains import table_of
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, Source, Status, read_records
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.sync.read import DayRead
from gsc_pipeline.sync.report import SyncReport
from gsc_pipeline.sync.verify import verify
from gsc_pipeline.workspaces.registry import Folder, Workspace
from gsc_pipeline_tests.sync.test_folders import Fact, held
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.truth import url_truth
from gsc_pipeline_tests.world import World, commits, contents, sorted_rows, versions

CAP = 700
OPTIONS = SyncOptions(past_cap=PastCapOptions(cut_rows=CAP))
DOMAIN, PRODUCTS = "sc-domain:acme.com", "https://www.acme.com/products/"
GUIDES = "https://www.acme.com/guides/"
PARENT = SyntheticProperty(DOMAIN, rows_a_day=1_500, filters_see="cut_rows")
FOLDERS = (FolderProperty(PARENT, PRODUCTS), FolderProperty(PARENT, GUIDES))
AS_FOLDERS = (Folder(PRODUCTS, DOMAIN), Folder(GUIDES, DOMAIN))
REFUSED = google_error(403, "forbidden", "User does not have sufficient permission for site.")


@dataclass
class Site:
    """A world with a property past the cap and two of its folders."""

    world: World
    window: Window

    @property
    def plain(self) -> Workspace:
        """The workspace before its folders were configured."""
        return self.world.workspace(properties=(DOMAIN, PRODUCTS, GUIDES))

    @property
    def workspace(self) -> Workspace:
        return replace(self.plain, folders=AS_FOLDERS)

    def sync(self, workspace: Workspace | None = None, options: SyncOptions = OPTIONS) -> SyncReport:
        self.world.now += timedelta(minutes=5)
        return self.world.sync(workspace or self.workspace, self.window, options)

    def rows(self, site_url: str = DOMAIN, day: date | None = None) -> pa.Table:
        where = pc.field("site_url") == site_url
        return self.world.lake.read(
            URL_IMPRESSION, where=where & (pc.field("data_date") == day) if day else where
        )

    def below(self, *folders: str) -> list[dict[str, object]]:
        """The domain's rows below folders, with the columns of the truth."""
        rows = self.rows()
        mask = pc.starts_with(rows["url"], folders[0])
        for one in folders[1:]:
            mask = pc.or_(mask, pc.starts_with(rows["url"], one))
        return sorted_rows(rows.filter(mask).select([*self.truth(*folders).column_names]))

    def truth(self, *folders: str) -> pa.Table:
        parts = [
            rows.append_column("data_date", pa.repeat(pa.scalar(day), rows.num_rows))
            for day in self.window
            for one in FOLDERS
            if one.site_url in folders
            and (facts := visible_facts(one, "web", day, self.world.now)) is not None
            for rows in [url_truth(facts)]
        ]
        return pa.concat_tables(parts)

    def brought(self) -> list[dict[str, object]]:
        return self.world.lake.read(FOLDER_DAYS).to_pylist()

    def ledger(self, site_url: str = DOMAIN) -> list[dict[str, object]]:
        rows = self.world.lake.read(SYNC_LEDGER, where=pc.field("site_url") == site_url)
        return rows.sort_by("data_date").to_pylist()


@contextmanager
def serving(folder: Path, *folders: Property) -> Iterator[Site]:
    with World.serving(folder, [PARENT, *(folders or FOLDERS)], most_rows_a_day=CAP) as world:
        yield Site(world, Window(world.today - 7 * ONE_DAY, world.today - 5 * ONE_DAY))


CELL = ["data_date", "url", "country", "device"]
COUNTS = [(name, "sum") for name in ("clicks", "impressions", "sum_position")]


def assert_same_totals(now: pa.Table, before: pa.Table) -> None:
    """The pages of which the parent had a total still have it."""
    with_rest = before.filter(before["is_anonymized_query"]).select(CELL)
    kept = [rows.join(with_rest, CELL, join_type="left semi") for rows in (now, before)]
    same = [sorted_rows(rows.group_by(CELL).aggregate(COUNTS)) for rows in kept]
    assert same[0] == same[1]


def test_folders_complete_the_rows_by_page_of_their_parent_without_a_call_more(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        plain = site.sync(site.plain)
        assert not plain.problems
        before, table = site.rows(), contents(site.world.lake)[SITE_IMPRESSION.name]
        assert site.below(PRODUCTS, GUIDES) != sorted_rows(site.truth(PRODUCTS, GUIDES))

        report = site.sync()
        assert not report.problems
        assert report.usage.calls == 3
        assert site.below(PRODUCTS, GUIDES) == sorted_rows(site.truth(PRODUCTS, GUIDES))
        assert_same_totals(site.rows(), before)
        assert contents(site.world.lake)[SITE_IMPRESSION.name] == table
        assert_lake_is_true(site.world, list(site.window), site_urls=[PRODUCTS, GUIDES])
        for row in site.ledger():
            rows = site.rows(day=row["data_date"])  # type: ignore[arg-type]
            assert (row["url_rows"], row["url_impressions"]) == (
                rows.num_rows,
                pc.sum(rows["impressions"]).as_py(),
            )
            assert row["truncated"]
        assert {(row["folder"], row["differences"]) for row in site.brought()} == {(PRODUCTS, 0), (GUIDES, 0)}
        assert sum(row["rows"] for row in site.brought()) > 50  # type: ignore[misc]


def test_the_days_are_completed_in_the_sync_that_reads_them_and_then_cost_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        assert not site.sync().problems
        assert site.below(PRODUCTS, GUIDES) == sorted_rows(site.truth(PRODUCTS, GUIDES))
        held, known = contents(site.world.lake), versions(site.world.lake)
        assert site.sync().usage.calls == 3
        assert contents(site.world.lake) == held
        assert commits(site.world.lake, known).keys() == {"sync_runs"}


def test_a_full_read_is_completed_again(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        site.sync()
        held = site.rows()
        site.sync(options=replace(OPTIONS, full=True))
        assert sorted_rows(site.rows()) == sorted_rows(held)
        assert {row["folder"] for row in site.brought() if row["rows"]} == {PRODUCTS, GUIDES}


def test_a_folder_that_is_added_later_brings_its_rows_of_older_days_too(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        one = replace(site.plain, folders=AS_FOLDERS[:1])
        site.sync(one)
        first = {row["data_date"]: row["rows"] for row in site.brought()}
        site.window = Window(site.window.last, site.window.end)
        site.sync()
        site.window = Window(site.world.today - 7 * ONE_DAY, site.world.today - 5 * ONE_DAY)
        assert site.below(PRODUCTS, GUIDES) == sorted_rows(site.truth(PRODUCTS, GUIDES))
        assert {r["data_date"]: r["rows"] for r in site.brought() if r["folder"] == PRODUCTS} == first


def test_a_lost_record_of_what_was_done_changes_no_row(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        site.sync()
        held = contents(site.world.lake)
        site.world.lake.replace(FOLDER_DAYS, WorkspaceRows("acme"), FOLDER_DAYS.schema.empty_table())
        site.sync()
        assert contents(site.world.lake) == held
        assert {row["rows"] for row in site.brought()} == {0}


def test_pages_that_moved_in_the_folder_are_named_and_nothing_of_them_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = date(2026, 11, 15)
    revision = Revision(moved, datetime(2026, 11, 22, tzinfo=UTC), 1.5)
    with serving(tmp_path, Revised(FOLDERS[0], [revision]), FOLDERS[1]) as site:
        site.sync(site.plain)
        before = site.rows()
        site.world.now += 2 * ONE_DAY
        assert not site.sync().problems
        assert_same_totals(site.rows(), before)
        brought = {(row["folder"], row["data_date"]): row for row in site.brought()}
        differs = brought[PRODUCTS, moved]
        assert differs["differences"] > 0  # type: ignore[operator]
        assert str(differs["largest_difference"]).startswith(PRODUCTS)
        assert f"{PRODUCTS}, so none of their rows were taken" in caplog.text
        assert all(row["differences"] == 0 for key, row in brought.items() if key != (PRODUCTS, moved))
        assert site.below(GUIDES) == sorted_rows(site.truth(GUIDES))


def test_a_folder_that_may_not_be_read_leaves_its_parent_as_it_is(tmp_path: Path) -> None:
    def refuse(call: Call) -> Reply | None:
        return REFUSED if call.site_url == PRODUCTS else None

    with serving(tmp_path) as site:
        site.world.faults.append(refuse)
        report = site.sync()
        assert [problem.site_url for problem in report.problems] == [PRODUCTS]
        assert site.below(GUIDES) == sorted_rows(site.truth(GUIDES))
        assert {row["folder"] for row in site.brought()} == {GUIDES}
        site.world.faults.clear()
        assert not site.sync().problems
        assert site.below(PRODUCTS, GUIDES) == sorted_rows(site.truth(PRODUCTS, GUIDES))


def test_a_day_that_the_api_did_not_cut_stays_as_it_is(tmp_path: Path) -> None:
    with World.serving(tmp_path, [PARENT, *FOLDERS]) as world:
        site = Site(world, Window(world.today - 6 * ONE_DAY, world.today - 5 * ONE_DAY))
        site.sync(options=SyncOptions())
        assert_lake_is_true(world, list(site.window))
        assert not site.brought()


def test_a_provisional_day_is_not_completed(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        site.window = Window(site.world.today - ONE_DAY, site.world.today)
        site.sync()
        assert [row["status"] for row in site.ledger()] == ["provisional"]
        assert not site.brought()


def test_a_folder_that_names_fewer_queries_brings_those_it_names(tmp_path: Path) -> None:
    rare = FolderProperty(PARENT, PRODUCTS, least_impressions=3)
    with serving(tmp_path, rare, FOLDERS[1]) as site:
        site.sync(site.plain)
        before = site.rows()
        site.sync()
        now = site.rows()
        assert_same_totals(now, before)
        names = ["data_date", "url", "query", "country", "device"]
        named = {tuple(row.values()) for row in named_rows(now).select(names).to_pylist()}
        of_folder = named_rows(site.rows(PRODUCTS)).select(names).to_pylist()
        assert named >= {tuple(row.values()) for row in of_folder}
        assert named >= {tuple(row.values()) for row in named_rows(before).select(names).to_pylist()}


def named_rows(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.invert(rows["is_anonymized_query"]))


def test_a_folder_of_a_folder_completes_both(tmp_path: Path) -> None:
    inner_url = f"{PRODUCTS}coffee-grinder"
    inner = FolderProperty(PARENT, inner_url)
    with serving(tmp_path, FOLDERS[0], inner) as site:
        folders = (Folder(PRODUCTS, DOMAIN), Folder(inner_url, PRODUCTS))
        workspace = replace(site.plain, properties=(DOMAIN, PRODUCTS, inner_url), folders=folders)
        assert not site.sync(workspace).problems
        assert {(row["site_url"], row["folder"]) for row in site.brought()} == {
            (DOMAIN, PRODUCTS),
            (DOMAIN, inner_url),
        }
        assert site.below(PRODUCTS) == sorted_rows(site.truth(PRODUCTS))


@pytest.mark.soak
def test_folders_with_a_cap_of_their_own_bring_what_they_have(tmp_path: Path) -> None:
    options = replace(OPTIONS, past_cap=PastCapOptions(cut_rows=200))
    with World.serving(tmp_path, [PARENT, *FOLDERS], most_rows_a_day=200) as world:
        site = Site(world, Window(world.today - 7 * ONE_DAY, world.today - 5 * ONE_DAY))
        site.sync(site.plain, options)
        before = site.rows()
        site.sync(options=options)
        assert all(row["truncated"] for url in (PRODUCTS, GUIDES) for row in site.ledger(url))
        assert site.rows().num_rows > before.num_rows
        assert all(row["differences"] == 0 for row in site.brought())
        assert_same_totals(site.rows(), before)
        truth = {repr(row) for row in site.truth(PRODUCTS, GUIDES).to_pylist() if row["query"]}
        below = {repr(row) for row in site.below(PRODUCTS, GUIDES) if row["query"]}
        assert below <= truth


DAY = date(2026, 11, 10)
NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
SHOES = f"{PRODUCTS}shoes"
FACTS = (Fact(SHOES, "a", clicks=3, impressions=9), Fact(SHOES, "b", impressions=4), Fact(SHOES, "c"))


def put(lake: Lake, site_url: str, days: Sequence[date], queries_cap: int = 10**6, **changes: Any) -> None:
    """Commit final days of a property with FACTS, whose rows by page were cut at `queries_cap`."""
    known = read_records(lake, Target("acme", site_url, "WEB", tuple(days)))
    batch = Batch(lake, "acme", site_url, "WEB", "put", known)
    for day in days:
        rows = held(FACTS, queries_cap=queries_cap).rows
        columns = {name: rows[name] for name in rows.column_names}
        url = table_of(
            URL_IMPRESSION,
            {
                **dict.fromkeys(SEARCH_APPEARANCE_FLAGS),
                **columns,
                "workspace": "acme",
                "month": month_of(day),
                "data_date": day,
                "site_url": site_url,
                "search_type": "WEB",
                "is_anonymized_discover": False,
            },
            rows.num_rows,
        )
        batch.reads[day] = DayRead(day, SITE_IMPRESSION.schema.empty_table(), url, False, 4, 0.0)
        totals = DayTotals(3, 14, 1.0)
        record = batch.reads[day].record(Status.FINAL, totals, "", before=None, now=NOW, run_id="put")
        batch.records[day] = replace(record, **changes)
    batch.commit()


def finish(lake: Lake, now: datetime = NOW, *, asks_for_parts: bool = False) -> list[Problem]:
    key = ServiceAccountFile(Path("none"))
    workspace = Workspace("acme", "Acme", key, (DOMAIN, PRODUCTS), (QueryType.WEB,), folders=AS_FOLDERS[:1])
    window = Window(DAY, DAY + ONE_DAY)
    return complete_from_folders(
        workspace, window, lake, now=now, run_id="ours", commit_rows=100, asks_for_parts=asks_for_parts
    ).problems


def domain(lake: Lake, days: Sequence[date]) -> dict[date, DayRecord]:
    return read_records(lake, Target("acme", DOMAIN, "WEB", tuple(days)))


def test_a_day_of_which_nothing_is_missing_any_more_says_so(lake: Lake) -> None:
    put(lake, DOMAIN, [DAY], queries_cap=1)
    put(lake, PRODUCTS, [DAY])
    assert domain(lake, [DAY])[DAY].truncated
    later = NOW + timedelta(hours=1)
    assert not finish(lake, later)
    record = domain(lake, [DAY])[DAY]
    assert (record.truncated, record.url_rows, record.url_impressions) == (False, 3, 14)
    assert (record.last_read_at, record.run_id, record.totals) == (later, "ours", DayTotals(3, 14, 1.0))
    assert not verify(lake).findings()


@pytest.mark.parametrize(
    "changes",
    [
        {"source": Source.BULK_EXPORT},
        {"status": Status.PROVISIONAL},
        {"status": Status.FAILED},
        {"truncated": False},
        {"url_rows": 7},
    ],
    ids=repr,
)
def test_only_final_days_of_the_api_that_were_cut_are_completed(lake: Lake, changes: dict[str, Any]) -> None:
    put(lake, DOMAIN, [DAY], queries_cap=1, **changes)
    put(lake, PRODUCTS, [DAY])
    known = versions(lake)
    assert not finish(lake)
    assert versions(lake) == known


@pytest.mark.parametrize("changes", [{"status": Status.PROVISIONAL}, {"status": Status.FAILED}], ids=repr)
def test_only_final_days_of_a_folder_complete_others(lake: Lake, changes: dict[str, Any]) -> None:
    put(lake, DOMAIN, [DAY], queries_cap=1)
    put(lake, PRODUCTS, [DAY], **changes)
    known = versions(lake)
    assert not finish(lake)
    assert versions(lake) == known


def test_a_day_cut_in_the_table_by_property_alone_is_read_once(lake: Lake) -> None:
    put(lake, DOMAIN, [DAY], truncated=True, cut_impressions=5)
    put(lake, PRODUCTS, [DAY])
    known = versions(lake)
    finish(lake)
    assert commits(lake, known).keys() == {FOLDER_DAYS.name}
    known = versions(lake)
    finish(lake)
    assert versions(lake) == known


def test_older_days_are_completed_some_at_a_time_and_those_that_google_no_longer_shows_are_not(
    lake: Lake,
) -> None:
    older = [DAY - n * ONE_DAY for n in range(1, MOST_OLDER_DAYS + 4)]
    gone = date(2025, 7, 1)
    put(lake, DOMAIN, [DAY, *older, gone], queries_cap=1)
    put(lake, PRODUCTS, [DAY, *older, gone])
    finish(lake)
    left = {day for day, one in domain(lake, [DAY, *older, gone]).items() if one.truncated}
    assert left == {*older[MOST_OLDER_DAYS:], gone}
    finish(lake)
    assert [day for day, one in domain(lake, [*older, gone]).items() if one.truncated] == [gone]


def test_a_damaged_file_is_one_problem_and_the_day_is_read_again(lake: Lake) -> None:
    put(lake, DOMAIN, [DAY], queries_cap=1)
    put(lake, PRODUCTS, [DAY])
    for path in Path(lake.table_uri(URL_IMPRESSION)).rglob("*.parquet"):
        path.write_bytes(b"")
    (problem,) = finish(lake)
    assert problem.site_url == DOMAIN
    assert "searchdata_url_impression" in problem.cause


class KilledAt(Lake):
    """A lake whose process is killed at the nth replacement of rows."""

    def __init__(self, uri: str, nth: int) -> None:
        super().__init__(uri)
        self.left = nth

    @override
    def replace(
        self, table: TableSpec, target: RowSelection, rows: pa.Table, guard: CommitGuard | None = None
    ) -> int:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().replace(table, target, rows, guard)


def test_a_sync_killed_at_any_commit_leaves_no_wrong_count_of_what_a_folder_brought(tmp_path: Path) -> None:
    """Its days are completed, or read again, by the next sync, which counts the rows of the folder."""
    nth, is_killed = 0, True
    while is_killed:
        nth += 1
        lake = KilledAt(str(tmp_path / f"lake{nth}"), 10**6)
        put(lake, DOMAIN, [DAY], queries_cap=1)
        put(lake, PRODUCTS, [DAY])
        lake.left = nth
        try:
            finish(lake, NOW + timedelta(hours=1))
        except KeyboardInterrupt:
            pass
        else:
            is_killed = False
        lake.left = 10**6
        if domain(lake, [DAY])[DAY].status is Status.WRITING:
            put(lake, DOMAIN, [DAY], queries_cap=1, last_read_at=NOW + timedelta(hours=2))
        finish(lake, NOW + timedelta(hours=3))
        (brought,) = lake.read(FOLDER_DAYS).to_pylist()
        (record,) = domain(lake, [DAY]).values()
        assert (record.url_rows, brought["rows"], brought["impressions"]) == (3, 2, 5), nth
        assert brought["read_at"] == record.last_read_at
    assert nth > 3


def test_a_day_of_which_parts_will_be_asked_for_is_completed_afterwards(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    put(lake, DOMAIN, [DAY], queries_cap=1, parts_left=True)
    put(lake, PRODUCTS, [DAY])
    assert not finish(lake, asks_for_parts=True)
    assert domain(lake, [DAY])[DAY].url_rows == 2
    # Filters see the cut rows alone, so parts are not asked for.
    target = TriedRows("acme", DOMAIN, "WEB")
    tried = Tried(DOMAIN, "WEB", "queries by page", DAY, NOW, False, 0, 0, 0, 1, is_complete=False)
    write_tried(lake, target, [tried])
    assert not finish(lake, asks_for_parts=True)
    record = domain(lake, [DAY])[DAY]
    assert (record.url_rows, record.parts_left) == (3, False)
