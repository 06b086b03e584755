"""One day of one property that is never answered, through the real daemon: what the ticks and alerts say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty
from gsc_pipeline_tests.faults.plant import Plant
from gsc_pipeline_tests.faults.test_three_days import SIX_HOURS, START, assert_copies_are_true, folder
from gsc_pipeline_tests.monitoring.receiver import receiving
from gsc_pipeline_tests.replies import UNAVAILABLE
from gsc_pipeline_tests.world import World

__all__ = ["folder"]

pytestmark = [pytest.mark.slow, pytest.mark.soak]

BAD_SITE, BAD_DAY = "sc-domain:acme.example", START.date() - 3 * ONE_DAY
SITES = {"acme": BAD_SITE, "globex": "sc-domain:globex.example", "initech": "sc-domain:initech.example"}
DAYS = 5
CALLS_A_TICK = 20


def unanswered(call: Call) -> Reply | None:
    return UNAVAILABLE if is_of_bad_day(call) else None


def is_of_bad_day(call: Call) -> bool:
    asked = call.body if isinstance(call.body, dict) else {}
    is_read = call.kind == "query" and asked.get("dimensions") != ["date"]
    return is_read and call.site_url == BAD_SITE and asked.get("startDate") == str(BAD_DAY)


def test_one_bad_day_makes_one_workspace_partial_and_alerts_at_the_third_tick(folder: Path) -> None:
    properties = [SyntheticProperty(site, rows_a_day=8, plants=False) for site in SITES.values()]
    with receiving() as receiver, World.serving(folder, properties, now=START) as world:
        environment = {
            **world.environment(*({"id": id_, "properties": [site]} for id_, site in SITES.items())),
            "GSC_AUTO_SYNC_ENABLED": "true",
            "GSC_AUTO_SYNC_DAYS": str(DAYS),
            "GSC_CHECKS_CRON": "@monthly",
            "GSC_ALERT_URLS": f"json://127.0.0.1:{receiver.port}/",
        }
        world.faults.append(unanswered)
        with Plant.running(world, environment, START) as plant:
            for n, messages in enumerate([0, 0, 1, 1, 2]):
                if n == 4:
                    world.faults.clear()
                due = START + n * SIX_HOURS
                world.simulator.calls.clear()
                plant.fire(due)
                plant.settle(due)
                # The summary is reported when the evaluation after it has begun.
                plant.wait(lambda: not plant.book.unreported())
                outcomes = {one.workspace: one.outcome.value for one in plant.outcomes(due)}
                assert outcomes == dict.fromkeys(SITES, "complete") | ({"acme": "partial"} if n < 4 else {})
                assert Counter(map(is_of_bad_day, world.simulator.calls))[True] <= CALLS_A_TICK
                assert len(receiver.titles) == messages, (n, receiver.messages)
                days = Window(Window.last_complete(DAYS, START.date()).start, world.today)
                bad = (BAD_SITE, BAD_DAY) if n < 4 else None
                assert_copies_are_true(world, properties, days, except_for=bad)
    assert receiver.titles == ["gsc_pipeline needs attention", "gsc_pipeline has recovered"]
    assert (
        "the last 3 syncs of 1 of 3 active workspaces could not read every day"
        in (receiver.messages[0]["message"])
    )
