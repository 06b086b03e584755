"""Good rows of an earlier sync stay when a day is read again and the new rows are worse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.lake.schemas import URL_IMPRESSION
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.simulator import Call, Reply
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.decide import (
    DID_NOT_ADD_UP_ONCE,
    DOES_NOT_ADD_UP,
    EARLIER_ROWS_ADD_UP,
    EARLIER_ROWS_KEPT,
    NO_QUERIES,
    QUERIES_KEPT,
)
from gsc_pipeline.sync.ledger import DayRecord, Source, Status, write_ledger
from gsc_pipeline.sync.report import DayResult
from gsc_pipeline.sync.verify import verify
from gsc_pipeline_tests.sync.test_silent_loss import (
    DOMAIN,
    GRAINS,
    in_grain,
    record,
    rows,
    small,
    true_answer,
)
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.world import World

FULL = SyncOptions(full=True)
TOTALS = GRAINS["totals by property"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.serving(tmp_path, [small(DOMAIN)]) as world:
        yield world


def one_more(world: World) -> Callable[[Call], Reply]:
    """The true answer with one click and impression more in its first row, which the totals lack."""

    def reply(call: Call) -> Reply:
        answer: dict[str, Any] = true_answer(world, call)
        answer["rows"][0]["clicks"] += 1
        answer["rows"][0]["impressions"] += 1
        return Reply(200, answer)

    return reply


def state(known: DayRecord) -> tuple[Status, str]:
    return known.status, known.reason


def of_day(world: World, day: date) -> list[list[dict[str, Any]]]:
    return [[row for row in table if row["data_date"] == day] for table in rows(world)]


def as_imported(world: World, day: date) -> None:
    """Record the day's rows as those of the bulk export."""
    target = Target("acme", DOMAIN, "WEB", (day,))
    write_ledger(world.lake, target, [replace(record(world, day), source=Source.BULK_EXPORT)])


def test_rows_that_do_not_add_up_in_two_syncs_leave_rows_that_do(world: World) -> None:
    acme, day = world.workspace(), world.last(5).start
    world.sync(acme)
    before, known = rows(world), record(world, day)
    world.faults.append(in_grain(TOTALS, day, one_more(world)))
    report = world.sync(acme, options=FULL)
    assert not report.problems
    assert [one.day for one in report.days if one.result is DayResult.UNCHANGED] == [day]
    assert rows(world) == before
    assert state(record(world, day)) == (Status.PROVISIONAL, EARLIER_ROWS_KEPT)
    assert record(world, day) == replace(
        known, status=Status.PROVISIONAL, reason=EARLIER_ROWS_KEPT, run_id=report.run_id
    )
    assert verify(world.lake).is_good
    asked = len(world.queries())
    world.sync(acme)
    assert len(world.queries()) == asked + 9
    assert rows(world) == before
    assert state(record(world, day)) == (Status.FINAL, EARLIER_ROWS_ADD_UP)
    assert world.sync(acme).usage.calls == 1
    assert verify(world.lake).is_good
    world.faults.clear()
    world.sync(acme, options=FULL)
    assert state(record(world, day)) == (Status.FINAL, "full read requested")


def test_rows_of_other_totals_replace_good_rows_only_in_the_second_sync_and_are_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    acme, day = world.workspace(), world.last(5).start
    world.sync(acme)
    before, known = of_day(world, day), record(world, day)
    world.simulator.put(small(DOMAIN, 55))
    world.faults.append(in_grain(TOTALS, day, one_more(world)))
    world.sync(acme)
    assert of_day(world, day) == before
    assert record(world, day).totals == known.totals
    assert state(record(world, day)) == (Status.PROVISIONAL, EARLIER_ROWS_KEPT)
    assert verify(world.lake).is_good
    with caplog.at_level(logging.WARNING):
        world.sync(acme)
    assert of_day(world, day) != before
    assert state(record(world, day)) == (Status.FINAL, DOES_NOT_ADD_UP)
    (warning,) = [one.getMessage() for one in caplog.records if "replace these" in one.getMessage()]
    assert f"workspace acme: {DOMAIN} (WEB) {day}" in warning
    world.faults.clear()
    world.sync(acme, options=FULL)
    assert_lake_is_true(world, list(world.last(5)), site_urls=[DOMAIN])


def test_a_day_whose_good_rows_are_kept_gets_the_new_ones_as_soon_as_they_add_up(world: World) -> None:
    acme, day = world.workspace(), world.last(5).start
    world.sync(acme)
    world.simulator.put(small(DOMAIN, 55))
    world.faults.append(in_grain(TOTALS, day, one_more(world)))
    world.sync(acme)
    world.faults.clear()
    again = world.sync(acme)
    assert [one.day for one in again.days if one.result is DayResult.READ] == [day]
    assert record(world, day).status is Status.FINAL
    assert_lake_is_true(world, list(world.last(5)), site_urls=[DOMAIN])


def test_rows_that_never_added_up_are_replaced_by_others(world: World) -> None:
    acme, day = world.workspace(), world.last(5).start
    world.faults.append(in_grain(TOTALS, day, one_more(world)))
    world.sync(acme)
    assert state(record(world, day)) == (Status.PROVISIONAL, DID_NOT_ADD_UP_ONCE)
    world.sync(acme)
    assert state(record(world, day)) == (Status.FINAL, DOES_NOT_ADD_UP)


def test_a_failed_day_whose_earlier_rows_are_good_keeps_them(world: World) -> None:
    acme, day = world.workspace(), world.last(5).start
    world.sync(acme)
    before = rows(world)
    world.faults.append(in_grain(TOTALS, day, lambda call: Reply(200, {"error": {"code": 500}})))
    world.sync(acme, options=FULL)
    assert record(world, day).status is Status.FAILED
    world.faults[:] = [in_grain(TOTALS, day, one_more(world))]
    world.sync(acme)
    assert rows(world) == before
    assert state(record(world, day)) == (Status.PROVISIONAL, EARLIER_ROWS_KEPT)


def test_rows_with_queries_stay_until_two_syncs_find_none(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    acme, day = world.workspace(), world.last(5).start
    world.sync(acme)
    before = rows(world)
    empty = Reply(200, {"responseAggregationType": "byProperty"})
    world.faults.append(in_grain(GRAINS["queries by property"], day, lambda call: empty))
    world.sync(acme, options=FULL)
    assert rows(world) == before
    assert state(record(world, day)) == (Status.PROVISIONAL, QUERIES_KEPT)
    with caplog.at_level(logging.WARNING):
        world.sync(acme)
    assert rows(world) != before
    assert any("replace these" in one.getMessage() for one in caplog.records)
    assert state(record(world, day)) == (Status.PROVISIONAL, NO_QUERIES)


def test_rows_of_the_bulk_export_stay_when_those_of_the_api_do_not_add_up(world: World) -> None:
    acme, day = world.workspace(), world.last(5).start
    world.sync(acme)
    before = of_day(world, day)
    as_imported(world, day)
    # The API shows more of the day than the export has.
    world.simulator.put(small(DOMAIN, 120))
    world.faults.append(in_grain(TOTALS, day, one_more(world)))
    report = world.sync(acme, Window.inclusive(day, day), FULL)
    assert of_day(world, day) == before
    assert record(world, day).is_from_export
    (problem,) = report.problems
    assert "the rows of the export are kept" in problem.cause


def test_a_damaged_day_gets_rows_that_do_not_add_up(world: World) -> None:
    acme, day = world.workspace(), world.last(5).start
    world.sync(acme)
    target = Target("acme", DOMAIN, "WEB", (day,))
    world.lake.replace(URL_IMPRESSION, target, URL_IMPRESSION.schema.empty_table())
    world.faults.append(in_grain(TOTALS, day, one_more(world)))
    world.sync(acme)
    assert state(record(world, day)) == (Status.PROVISIONAL, DID_NOT_ADD_UP_ONCE)
    assert record(world, day).url_rows > 0
    assert verify(world.lake).is_good
