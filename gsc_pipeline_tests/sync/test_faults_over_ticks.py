"""Faults that last for several syncs, or that come in a second answer: no row is lost for good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline.search_console.search_types import FeedType
from gsc_pipeline.simulator import Call, Reply, google_error
from gsc_pipeline.sync.decide import DID_NOT_ADD_UP_ONCE, DOES_NOT_ADD_UP, READ_AGAIN_AFTER
from gsc_pipeline.sync.ledger import Status
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline_tests.sync.test_silent_loss import (
    DOMAIN,
    GRAINS,
    SHOP,
    in_grain,
    is_probe,
    record,
    small,
    true_answer,
)
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.world import World

TICK = timedelta(hours=6)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.serving(tmp_path, [small(DOMAIN, 8), small(SHOP, 8)]) as world:
        yield world


def without_rows(world: World, call: Call, days: list[date]) -> Reply:
    """The true answer by date without these days."""
    answer = true_answer(world, call)
    rows = [row for row in answer["rows"] if row["keys"] not in [[str(day)] for day in days]]
    return Reply(200, {**answer, "rows": rows})


def test_days_before_the_rolling_window_that_one_probe_does_not_show_are_read(world: World) -> None:
    acme, window = world.workspace(), world.last(40)
    lost, probes = list(window)[:20], list[Call]()

    def fault(call: Call) -> Reply | None:
        if not is_probe(call):
            return None
        probes.append(call)
        return without_rows(world, call, lost) if len(probes) == 1 else None

    world.faults.append(fault)
    report = world.sync(acme, window)
    assert not report.problems
    assert_lake_is_true(world, list(window), site_urls=[DOMAIN])
    assert [(call.body["startDate"], call.body["endDate"]) for call in probes[1:]] == [
        (str(lost[0]), str(lost[-1]))
    ]


def test_totals_are_requested_until_an_answer_shows_no_more_of_days_that_were_never_read(
    world: World,
) -> None:
    acme, window = world.workspace(), world.last(20)

    def the_last_nine(call: Call) -> Reply | None:
        answer = true_answer(world, call) if is_probe(call) else {}
        return Reply(200, {**answer, "rows": answer["rows"][-9:]}) if answer else None

    world.faults.append(the_last_nine)
    assert not world.sync(acme, window).problems
    assert len([call for call in world.queries() if is_probe(call)]) == 3
    assert_lake_is_true(world, list(window), site_urls=[DOMAIN])


def test_days_without_data_are_recorded_as_empty_on_two_answers_and_asked_for_once(world: World) -> None:
    acme, window = world.workspace(), world.last(6)
    empty = list(window)[:2]
    world.faults.append(lambda call: without_rows(world, call, empty) if is_probe(call) else None)
    world.sync(acme, window)
    assert [record(world, day).status for day in empty] == [Status.EMPTY] * 2
    assert len([call for call in world.queries() if is_probe(call)]) == 2
    assert world.sync(acme, window).usage.calls == 1


def test_an_error_in_the_second_answer_records_no_day_as_empty(world: World) -> None:
    acme, window = world.workspace(), world.last(6)
    lost, probes = list(window)[:2], list[Call]()

    def fault(call: Call) -> Reply | None:
        if not is_probe(call):
            return None
        probes.append(call)
        return without_rows(world, call, lost) if len(probes) == 1 else Reply(503, b"")

    world.faults.append(fault)
    report = world.sync(acme, window)
    assert {day for problem in report.problems for day in problem.days} == set(window)
    world.faults.clear()
    assert not world.sync(acme, window).problems
    assert_lake_is_true(world, list(window), site_urls=[DOMAIN])


def test_a_day_whose_totals_were_wrong_in_two_syncs_is_read_again_days_later(world: World) -> None:
    acme, day = world.workspace(), world.last(5).start

    def fewer(call: Call) -> Reply:
        answer: dict[str, Any] = true_answer(world, call)
        return Reply(200, {**answer, "rows": answer["rows"][1:]})

    world.faults.append(in_grain(GRAINS["totals by property"], day, fewer))
    for reason in (DID_NOT_ADD_UP_ONCE, DOES_NOT_ADD_UP):
        world.now += TICK
        world.sync(acme, world.last(5))
        assert record(world, day).reason == reason
    world.faults.clear()
    window = Window(day, world.last(1).end)
    assert record(world, day).status is Status.FINAL
    world.now += READ_AGAIN_AFTER - ONE_DAY
    world.sync(acme, window)
    assert record(world, day).reason == DOES_NOT_ADD_UP
    world.now += ONE_DAY
    world.sync(acme, window)
    assert record(world, day).reason not in (DID_NOT_ADD_UP_ONCE, DOES_NOT_ADD_UP)
    assert_lake_is_true(world, [day], site_urls=[DOMAIN])


@pytest.mark.parametrize("grain", ["queries by property", "queries by page"])
def test_a_day_whose_queries_were_missing_in_the_second_read_alone_is_read_by_the_next_sync(
    world: World, grain: str
) -> None:
    acme, day = world.workspace(), world.last(5).start
    totals, queries = list[Call](), list[Call]()

    def fewer_once(call: Call) -> Reply:
        totals.append(call)
        answer = true_answer(world, call)
        return Reply(200, {**answer, "rows": answer["rows"][len(totals) == 1 :]})

    def none_the_second_time(call: Call) -> Reply:
        queries.append(call)
        answer = true_answer(world, call)
        return Reply(200, {**answer, "rows": answer["rows"] if len(queries) == 1 else []})

    world.faults += [
        in_grain(GRAINS["totals by property"], day, fewer_once),
        in_grain(GRAINS[grain], day, none_the_second_time),
    ]
    world.sync(acme)
    assert record(world, day).status is Status.PROVISIONAL
    world.faults.clear()
    world.sync(acme)
    assert record(world, day).status is Status.FINAL
    assert_lake_is_true(world, list(world.last(5)), site_urls=[DOMAIN])


def test_one_redirect_does_not_leave_google_news_without_devices(tmp_path: Path) -> None:
    redirected: list[Call] = []

    def fault(call: Call) -> Reply | None:
        if redirected or call.kind != "query" or "device" not in call.body["dimensions"]:
            return None
        redirected.append(call)
        return Reply(302, b"", {"Location": "http://127.0.0.1:1/sign-in"})

    with World.serving(tmp_path, [small(DOMAIN, 8, search_types=["googleNews"])]) as world:
        acme = world.workspace(search_types=[FeedType.GOOGLE_NEWS])
        world.faults.append(fault)
        report = world.sync(acme)
        assert (len(redirected), report.problems) == (1, ())
        rows = world.lake.read(SITE_IMPRESSION, workspace=acme.id)
        assert rows.num_rows
        assert not rows["device"].null_count


def test_a_token_that_is_refused_for_one_property_stops_no_other(world: World) -> None:
    acme = world.workspace(properties=[DOMAIN, SHOP])
    refused = google_error(401, "authError", "Invalid Credentials")
    world.faults.append(lambda call: refused if call.site_url == DOMAIN else None)
    report = world.sync(acme)
    assert [problem.site_url for problem in report.problems] == [DOMAIN]
    assert report.outcome is Outcome.PARTIAL
    assert_lake_is_true(world, list(world.last(5)), site_urls=[SHOP])
    world.faults.clear()
    assert not world.sync(acme).problems
    assert_lake_is_true(world, list(world.last(5)), site_urls=[DOMAIN, SHOP])
