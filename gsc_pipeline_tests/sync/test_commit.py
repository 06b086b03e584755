"""Commits beside another sync of the same workspace: the sync that marked a day last may write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from typing_extensions import override

from gsc_pipeline.days import Window
from gsc_pipeline.lake.agreement import disagreements
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION, TableSpec
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.grains import DayOf, site_rows, url_rows
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, Status
from gsc_pipeline.sync.read import DayRead
from gsc_pipeline_tests.doubles import answer
from gsc_pipeline_tests.world import read_ledger

DAY = date(2026, 11, 10)
SITE = "sc-domain:acme.com"
OF = DayOf("acme", SITE, QueryType.WEB, DAY)


class WatchedLake(Lake):
    """Calls `before` once before each write, with the table's name."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.before: dict[str, Callable[[], None]] = {}

    @override
    def _write(self, table: TableSpec, rows: pa.Table, *how: Any) -> int:
        if table.name in self.before:
            self.before.pop(table.name)()
        return super()._write(table, rows, *how)


def sync_of(lake: Lake, run: str, clicks: int, *, known: DayRecord | None) -> Batch:
    """A sync that has read this number of clicks, and that started when the ledger was `known`."""
    keys = {"page": "https://acme.com/", "country": "usa", "device": "MOBILE"}
    site = answer(("country", "device"), [("usa", "MOBILE", clicks, 2 * clicks, 3.0)]).rows
    page = answer(tuple(keys), [(*keys.values(), clicks, 2 * clicks, 3.0)]).rows
    none = [answer(("query", "country", "device"), []).rows, answer(("page", "query", *keys), []).rows]
    none[1] = answer(("page", "query", "country", "device"), []).rows
    batch = Batch(lake, "acme", SITE, "WEB", run, {DAY: known} if known else {})
    batch.reads[DAY] = DayRead(DAY, site_rows(OF, site, none[0]), url_rows(OF, page, none[1]), False, 4, 0.0)
    batch.records[DAY] = DayRecord(
        DAY,
        Status.FINAL,
        DayTotals(clicks, 2 * clicks, 3.0),
        site_rows=1,
        url_rows=1,
        first_read_at=datetime(2026, 11, 12, tzinfo=UTC),
        last_read_at=datetime(2026, 11, 12, tzinfo=UTC),
        run_id=run,
    )
    return batch


def held(lake: Lake) -> DayRecord:
    return read_ledger(lake, "acme", Window.inclusive(DAY, DAY))[(SITE, "WEB")][DAY]


def clicks(lake: Lake) -> tuple[list[int], list[int]]:
    tables = (SITE_IMPRESSION, URL_IMPRESSION)
    site, url = (lake.read(table, columns=["clicks"])["clicks"].to_pylist() for table in tables)
    return site, url


@pytest.fixture
def watched(tmp_path: Any) -> WatchedLake:
    return WatchedLake(str(tmp_path / "lake"))


def test_a_day_is_marked_before_its_rows_change_and_final_only_after(watched: WatchedLake) -> None:
    seen = []
    watched.before[SITE_IMPRESSION.name] = lambda: seen.append(held(watched).status)
    watched.before[URL_IMPRESSION.name] = lambda: seen.append(held(watched).status)
    sync_of(watched, "ours", 5, known=None).commit()
    assert seen == [Status.WRITING, Status.WRITING]
    assert (held(watched).status, clicks(watched)) == (Status.FINAL, ([5], [5]))


@pytest.mark.parametrize("table", [SYNC_LEDGER, SITE_IMPRESSION, URL_IMPRESSION], ids=lambda t: t.name)
def test_a_slow_sync_never_puts_older_rows_under_a_newer_ledger(
    watched: WatchedLake, table: TableSpec
) -> None:
    sync_of(watched, "first", 1, known=None).commit()
    slow = sync_of(watched, "slow", 2, known=held(watched))
    quick = sync_of(Lake(watched.uri), "quick", 3, known=held(watched))

    def overtake() -> None:
        # As any sync that starts now, it replaces the marks that it finds in the ledger.
        quick.known = {DAY: held(Lake(watched.uri))}
        quick.commit()

    watched.before[table.name] = overtake
    done = slow.commit()
    assert (held(watched).run_id, held(watched).totals) == ("quick", DayTotals(3, 6, 3.0))
    assert clicks(watched) == ([3], [3])
    assert done.overtaken[DAY] == held(watched)


def test_a_sync_killed_between_rows_and_ledger_leaves_a_mark_and_no_final_day(
    watched: WatchedLake,
) -> None:
    sync_of(watched, "first", 1, known=None).commit()

    def die() -> None:
        raise KeyboardInterrupt

    watched.before[URL_IMPRESSION.name] = die
    with pytest.raises(KeyboardInterrupt):
        sync_of(watched, "dead", 2, known=held(watched)).commit()
    assert (held(watched).status, held(watched).totals) == (Status.WRITING, DayTotals(1, 2, 3.0))
    assert held(watched).run_id == "dead"
    assert disagreements(watched) == []


def test_another_sync_may_replace_a_mark_and_the_first_sync_then_writes_nothing(watched: WatchedLake) -> None:
    first = sync_of(watched, "first", 1, known=None)

    def take_over() -> None:
        assert held(watched).status is Status.WRITING
        sync_of(Lake(watched.uri), "second", 2, known=held(watched)).commit()

    watched.before[SITE_IMPRESSION.name] = take_over
    assert first.commit().overtaken.keys() == {DAY}
    assert (held(watched).run_id, clicks(watched)) == ("second", ([2], [2]))


def test_a_failure_does_not_hide_that_another_sync_has_read_the_day(lake: Lake) -> None:
    sync_of(lake, "first", 1, known=None).commit()
    before = held(lake)
    sync_of(lake, "theirs", 2, known=before).commit()
    ours = Batch(lake, "acme", SITE, "WEB", "ours", {DAY: before})
    ours.records[DAY] = before.failed("down", "ours")
    assert ours.commit().overtaken[DAY] == held(lake)
    assert (held(lake).status, held(lake).run_id) == (Status.FINAL, "theirs")


def test_a_failure_of_a_day_that_no_other_sync_wrote_is_recorded(lake: Lake) -> None:
    sync_of(lake, "first", 1, known=None).commit()
    ours = Batch(lake, "acme", SITE, "WEB", "ours", {DAY: held(lake)})
    ours.records[DAY] = held(lake).failed("down", "ours")
    ours.commit()
    assert (held(lake).status, held(lake).totals) == (Status.FAILED, DayTotals(1, 2, 3.0))


def test_one_day_written_by_another_sync_does_not_stop_the_commit_of_the_others(lake: Lake) -> None:
    other_day = date(2026, 11, 11)
    batch = sync_of(lake, "ours", 1, known=None)
    sync_of(lake, "theirs", 2, known=None).commit()
    batch.records[other_day] = replace(batch.records[DAY], data_date=other_day, status=Status.EMPTY)
    assert batch.commit().overtaken.keys() == {DAY}
    ledger = read_ledger(lake, "acme", Window.inclusive(DAY, other_day))[(SITE, "WEB")]
    assert [(record.run_id, record.status) for _, record in sorted(ledger.items())] == [
        ("theirs", Status.FINAL),
        ("ours", Status.EMPTY),
    ]


def completed_by(lake: Lake, run: str, impressions: int) -> Batch:
    """A sync that has new rows of the URL table alone."""
    known = held(lake)
    batch = Batch(lake, "acme", SITE, "WEB", run, {DAY: known})
    rows = lake.read(URL_IMPRESSION)
    place = rows.schema.get_field_index("impressions")
    batch.completed[DAY] = rows.set_column(place, rows.schema.field(place), pa.array([impressions]))
    batch.records[DAY] = replace(known, run_id=run)
    return batch


def test_new_rows_of_the_url_table_alone_leave_the_site_table_as_it_is(watched: WatchedLake) -> None:
    sync_of(watched, "first", 1, known=None).commit()
    seen = []
    watched.before[SITE_IMPRESSION.name] = lambda: seen.append("site")
    watched.before[URL_IMPRESSION.name] = lambda: seen.append(held(watched).status)
    assert completed_by(watched, "ours", 9).rows == 1
    completed_by(watched, "ours", 9).commit()
    assert seen == [Status.WRITING]
    assert watched.read(URL_IMPRESSION)["impressions"].to_pylist() == [9]
    assert (held(watched).status, held(watched).run_id, clicks(watched)) == (Status.FINAL, "ours", ([1], [1]))
    assert disagreements(watched) == []


@pytest.mark.parametrize("table", [SYNC_LEDGER, URL_IMPRESSION], ids=lambda t: t.name)
def test_new_rows_of_the_url_table_never_replace_those_of_a_later_sync(
    watched: WatchedLake, table: TableSpec
) -> None:
    sync_of(watched, "first", 1, known=None).commit()
    slow = completed_by(watched, "slow", 9)

    def overtake() -> None:
        lake = Lake(watched.uri)
        sync_of(lake, "quick", 3, known=held(lake)).commit()

    watched.before[table.name] = overtake
    assert slow.commit().overtaken[DAY] == held(watched)
    assert (held(watched).run_id, clicks(watched)) == ("quick", ([3], [3]))
    assert watched.read(URL_IMPRESSION)["impressions"].to_pylist() == [6]
