"""A backfill of sixteen months: resumable, newest days first, and old days are never recorded as empty."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from gsc_pipeline.days import ONE_DAY, Window, months_before, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty
from gsc_pipeline.sync.report import DayResult
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World, contents

GSC = str(Path(sys.executable).with_name("gsc"))
DAYS = 45


def tiny() -> list[SyntheticProperty]:
    return [SyntheticProperty("sc-domain:acme.com", rows_a_day=20, plants=False)]


def days_asked(world: World) -> list[str]:
    """The days requested at any grain, in order. A call that a kill interrupted does not count."""
    bodies = [call.body for call in world.queries() if call.body]
    return [body["startDate"] for body in bodies if body["dimensions"] != ["date"]]


@pytest.mark.soak
def test_the_newest_days_come_first(tmp_path: Path) -> None:
    with World.serving(tmp_path, tiny()) as world:
        world.sync(world.workspace(), world.last(40))
        order = list(dict.fromkeys(days_asked(world)))
        assert order == sorted(order, reverse=True)
        assert len(order) == 40


@pytest.mark.soak
def test_a_backfill_killed_three_times_reads_at_most_one_day_again_each_time(tmp_path: Path) -> None:
    with World.serving(tmp_path, tiny(), now=utc_now()) as world:
        killed, undisturbed = Lake(str(tmp_path / "killed")), Lake(str(tmp_path / "undisturbed"))
        running: list[subprocess.Popen[bytes]] = []
        deaths = [40, 80, 130]

        def kill(call: Call) -> Reply | None:
            if running and deaths and len(world.queries()) >= deaths[0]:
                deaths.pop(0)
                running.pop().kill()
            return None

        world.faults.append(kill)
        env = {**os.environ, **world.environment(), "GSC_LAKE": killed.uri}
        env.pop("DAGSTER_HOME", None)
        while deaths:
            with subprocess.Popen(
                [GSC, "sync", "--days", str(DAYS)], env=env, stderr=subprocess.DEVNULL
            ) as one:
                running.append(one)
        done = subprocess.run([GSC, "sync", "--days", str(DAYS)], env=env, check=False, capture_output=True)
        assert done.returncode == 0
        asked = days_asked(world)
        again = {day for day in asked if asked.count(day) > 4}
        assert len(asked) <= 4 * (DAYS + 3)
        assert len(again) <= 3
        env["GSC_LAKE"] = undisturbed.uri
        subprocess.run([GSC, "sync", "--days", str(DAYS)], env=env, check=True, capture_output=True)
        assert contents(killed) == contents(undisturbed)


@pytest.mark.soak
def test_a_backfill_beside_a_regular_sync_ends_in_the_same_lake(tmp_path: Path) -> None:
    with World.serving(tmp_path, tiny(), now=utc_now()) as world:
        env = {**os.environ, **world.environment()}
        env.pop("DAGSTER_HOME", None)
        together, one = {**env, "GSC_LAKE": str(tmp_path / "two")}, {**env, "GSC_LAKE": str(tmp_path / "one")}
        commands = [[GSC, "sync", "--days", "33"], [GSC, "sync", "--days", "14"]]
        # With one state the second would not read while the first does.
        states = [{"GSC_STATE": str(tmp_path / f"{n}.db")} for n in range(2)]
        processes = [
            subprocess.Popen(command, env=together | state, stderr=subprocess.DEVNULL)
            for command, state in zip(commands, states, strict=True)
        ]
        assert [process.wait(HANG_SECONDS) for process in processes] == [0, 0]
        subprocess.run(commands[0], env=one, check=True, capture_output=True)
        assert contents(Lake(together["GSC_LAKE"])) == contents(Lake(one["GSC_LAKE"]))


def test_days_older_than_sixteen_months_are_requested_once_and_never_recorded_as_empty(
    tmp_path: Path,
) -> None:
    with World.serving(tmp_path, tiny()) as world:
        oldest = months_before(world.today, 16)
        window = Window(oldest - 30 * ONE_DAY, oldest + 3 * ONE_DAY)
        report = world.sync(world.workspace(), window)
        assert report.count(DayResult.READ) == 3
        assert not report.problems
        assert set(world.lake.read(SYNC_LEDGER)["data_date"].to_pylist()) == {
            oldest + n * ONE_DAY for n in range(3)
        }
        assert len(days_asked(world)) == 3 * 4


def test_days_that_google_no_longer_shows_stay_in_the_lake(tmp_path: Path) -> None:
    with World.serving(tmp_path, tiny()) as world:
        oldest = months_before(world.today, 16)
        window = Window(oldest, oldest + 20 * ONE_DAY)
        world.sync(world.workspace(), window)
        before = contents(world.lake)
        world.now += 40 * ONE_DAY
        report = world.sync(world.workspace(), window)
        assert report.count(DayResult.UNCHANGED) == 20
        assert contents(world.lake) == before


@pytest.mark.soak
def test_a_day_that_failed_in_a_backfill_is_read_by_the_next_one_alone(tmp_path: Path) -> None:
    with World.serving(tmp_path, tiny()) as world:
        bad: date = world.today - 20 * ONE_DAY

        def fault(call: Call) -> Reply | None:
            asked = call.body if isinstance(call.body, dict) else {}
            hit = asked.get("startDate") == str(bad) and asked.get("dimensions") != ["date"]
            return Reply(503, b"down") if hit else None

        world.faults.append(fault)
        assert world.sync(world.workspace(), world.last(40)).count(DayResult.FAILED) == 1
        world.faults.clear()
        again = world.sync(world.workspace(), world.last(40))
        assert [day.day for day in again.days if day.result is DayResult.READ] == [bad]
        held = world.lake.read(SITE_IMPRESSION, where=ds.field("data_date") == bad)
        assert held.num_rows > 0
