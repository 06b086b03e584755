"""Search appearances of sixteen months: resumable, bounded for each sync, and true after late revisions."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from typing_extensions import override

from gsc_pipeline.days import ONE_DAY, Window, months_before, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import MORE_LEDGER, SEARCH_APPEARANCE
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.requests import AnalyticsRequest, AppearancePages
from gsc_pipeline.search_console.search_types import FeedType, QueryType
from gsc_pipeline.simulator import Call, Property, Reply, Revised, Revision, SyntheticProperty
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.tables.appearance import BACKFILL_SECONDS, DAYS, sync_appearance
from gsc_pipeline.sync.tables.days import COMMIT_DAYS
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.doubles import ScriptedConsole
from gsc_pipeline_tests.replies import LOAD_QUOTA, UNAVAILABLE, queries_of
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.sync.tables.shared import NOON, SITE, in_order
from gsc_pipeline_tests.sync.tables.test_appearance import Appearances, held_of_type, truth
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World, commits, sorted_rows, versions

GSC = str(Path(sys.executable).with_name("gsc"))


MONTHS = 2
"""What a young property shows. The days before it are requested all the same, in the same call."""


def tiny(site_url: str = SITE, months: int = MONTHS) -> SyntheticProperty:
    return SyntheticProperty(site_url, rows_a_day=6, plants=False, history_months=months)


def history(world: World, months: int = MONTHS) -> Window:
    """The days that the property shows."""
    return Window(months_before(world.today, months), world.today)


def sync(world: World, **options: Any) -> TableReport:
    return world.sync_table(sync_appearance, world.workspace(), **options)


def assert_true(world: World, days: Window, prop: Property | None = None) -> None:
    """The lake has exactly the rows that Search Console shows of these days, and of no others."""
    prop = prop or world.simulator.properties[0]
    assert in_order(held_of_type(world, QueryType.WEB)) == in_order(truth(world, prop, QueryType.WEB, days))


def records(world: World) -> dict[date, dict[str, Any]]:
    return {row["data_date"]: row for row in world.lake.read(MORE_LEDGER).to_pylist()}


def days_asked(world: World, since: int = 0) -> list[str]:
    """The days whose appearances were requested, in order. A call that a kill interrupted does not count."""
    bodies = [call.body for call in world.queries()[since:] if call.body]
    return [one["startDate"] for one in bodies if one["dimensions"] == ["searchAppearance"]]


def test_bounded_syncs_go_back_to_the_first_day_and_an_idle_one_costs_one_call(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        first = sync(world, backfill_calls=70)
        assert first.read > DAYS
        assert 70 <= first.usage.calls < 70 + 5 * (DAYS + 1)
        assert first.outcome is Outcome.COMPLETE
        reports = [first]
        while reports[-1].left:
            reports.append(sync(world, backfill_calls=70))
            assert reports[-1].left == reports[-2].left - reports[-1].read
            assert reports[-1].usage.calls < 70 + 10
        assert len(reports) >= 3
        asked = days_asked(world)
        assert asked == sorted(set(asked), reverse=True)
        assert_true(world, history(world))
        before = versions(world.lake)
        idle = sync(world, backfill_calls=70)
        assert (idle.usage.calls, idle.read, idle.unchanged) == (1, 0, len(asked))
        assert commits(world.lake, before) == {}


def test_without_calls_for_it_no_earlier_day_is_read_or_promised(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        report = sync(world)
        assert (report.read, report.left) == (DAYS, 0)
        assert_true(world, world.last(DAYS))


def test_a_backfill_ends_after_ten_minutes_and_the_next_sync_continues(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        passed = iter(range(0, 10**6, 100))
        report = sync(world, backfill_calls=10**6, seconds=lambda: float(next(passed)))
        earlier = int(BACKFILL_SECONDS // 100) - 1
        assert report.read == DAYS + earlier
        assert report.left > 0
        assert sync(world, backfill_calls=1).read == 1
        assert_true(world, world.last(DAYS + earlier + 1))


def test_several_properties_share_the_calls_of_a_backfill(tmp_path: Path) -> None:
    shop = tiny("https://shop.acme.com/")
    with World.serving(tmp_path, [tiny(), shop]) as world:
        workspace = world.workspace(properties=(SITE, shop.site_url))
        report = world.sync_table(sync_appearance, workspace, backfill_calls=40)
        assert report.usage.calls < 40 + 2 * 5 * (DAYS + 1)
        newest = {row["data_date"] for row in held_of_type(world, QueryType.WEB)}
        assert min(newest) < world.last(DAYS).start
        days = world.lake.read(SEARCH_APPEARANCE).filter(pc.field("site_url") == shop.site_url)["data_date"]
        assert set(days.to_pylist()) == set(world.last(DAYS))


def test_a_window_is_read_as_a_whole_and_no_other_day(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        window = Window(world.today - 60 * ONE_DAY, world.today - 20 * ONE_DAY)
        report = sync(world, window=window)
        assert (report.read, report.left) == (len(window), 0)
        assert_true(world, window)


def test_days_before_the_history_are_neither_read_nor_recorded(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny(months=16)]) as world:
        oldest = history(world, 16).start
        report = sync(world, window=Window(oldest - 30 * ONE_DAY, oldest + 3 * ONE_DAY))
        assert report.read == 3
        assert set(records(world)) == {oldest + n * ONE_DAY for n in range(3)}


def test_a_site_without_data_costs_one_call_and_one_commit(tmp_path: Path) -> None:
    prop = SyntheticProperty(SITE, rows_a_day=6, plants=False)
    with World.serving(tmp_path, [prop]) as world:
        workspace = world.workspace(search_types=(FeedType.DISCOVER,))
        world.faults.append(lambda call: Reply(200, b'{"rows": []}') if call.kind == "query" else None)
        for _ in range(2):
            before = versions(world.lake)
            report = world.sync_table(sync_appearance, workspace, backfill_calls=10**6)
            assert (report.usage.calls, report.rows, report.problems) == (1, 0, ())
            assert sum(commits(world.lake, before).values()) <= 2
        assert {row["status"] for row in records(world).values()} == {"empty"}


@pytest.mark.parametrize("age", rest_in_soak([40, 5]))
def test_a_late_revision_is_seen_and_its_day_alone_is_read_again(tmp_path: Path, age: int) -> None:
    day = NOON.date() - age * ONE_DAY
    revised = Revised(tiny(), [Revision(day, NOON + ONE_DAY, 3.0)])
    with World.serving(tmp_path, [revised]) as world:
        sync(world, window=world.last(60))
        world.now += 4 * ONE_DAY
        asked = len(world.queries())
        sync(world, window=world.last(60))
        final = [text for text in days_asked(world, asked) if text < str(NOON.date() - 3 * ONE_DAY)]
        assert final == [str(day)]
        rows = [row for row in held_of_type(world, QueryType.WEB) if row["data_date"] in world.last(60)]
        assert in_order(rows) == in_order(truth(world, revised, QueryType.WEB, world.last(60)))


def test_a_late_revision_of_an_earlier_day_is_read_within_the_calls_of_the_backfill(tmp_path: Path) -> None:
    day = NOON.date() - 20 * ONE_DAY
    revised = Revised(tiny(), [Revision(day, NOON + ONE_DAY, 3.0)])
    with World.serving(tmp_path, [revised]) as world:
        sync(world, window=world.last(30))
        world.now += ONE_DAY
        asked = len(world.queries())
        sync(world, backfill_calls=1)
        assert [text for text in days_asked(world, asked) if text < str(world.last(DAYS).start)] == [str(day)]


def test_full_reads_every_day_of_the_window_again(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        sync(world)
        assert sync(world, window=world.last(3), full=True).read == 3
        assert sync(world, full=True, backfill_calls=100).read == DAYS


def test_after_several_failed_days_in_a_row_no_earlier_day_is_tried(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        world.faults.append(lambda call: UNAVAILABLE if "searchAppearance" in str(call.body) else None)
        report = sync(world, backfill_calls=100)
        assert len(report.problems) == 3
        assert {problem.days[0] for problem in report.problems} <= set(world.last(DAYS))


def test_a_day_that_disappears_keeps_its_rows_until_a_second_answer_confirms_it(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        sync(world)
        before = held_of_type(world, QueryType.WEB)
        gone = world.today - 10 * ONE_DAY

        def lose(call: Call) -> Reply | None:
            """The totals by date without the day; other answers are true."""
            if call.kind != "query" or call.body["dimensions"] != ["date"]:
                return None
            rows = [
                {"keys": [str(day)], **{name: one[name] for name in ("clicks", "impressions", "position")}}
                for day, one in records(world).items()
                if day != gone and one["impressions"]
            ]
            return Reply(body={"rows": rows})

        world.faults.append(lose)
        report = sync(world)
        assert [problem.days for problem in report.problems] == [(gone,)]
        assert in_order(held_of_type(world, QueryType.WEB)) == in_order(before)


def test_a_load_quota_ends_a_property_keeps_what_was_read_and_the_next_sync_continues(
    tmp_path: Path,
) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        fault = queries_of(world.today - 8 * ONE_DAY, LOAD_QUOTA)
        world.faults.append(fault)
        report = sync(world)
        assert (report.read, report.outcome) == (7, Outcome.PARTIAL)
        (problem,) = report.problems
        assert problem.deferred
        assert_true(world, world.last(7))
        world.faults.clear()
        assert sync(world).read == DAYS - 7
        assert_true(world, world.last(DAYS))


class StoppedError(BaseException):
    """Ends a sync at a write, as a kill does."""


class StoppingLake(Lake):
    """Stops before or after the write with this number."""

    def __init__(self, uri: str, at: int, when: str) -> None:
        super().__init__(uri)
        self.at, self.when, self.writes = at, when, 0

    @override
    def for_run(self, run_id: str) -> Lake:
        return self

    @override
    def _write(self, *how: Any) -> int:
        self.writes += 1
        if (self.writes, self.when) == (self.at, "before"):
            raise StoppedError
        version = super()._write(*how)
        if (self.writes, self.when) == (self.at, "after"):
            raise StoppedError
        return version


@pytest.mark.parametrize(
    ("at", "when"),
    # Three writes for each commit of days: the mark, the rows, the ledger.
    rest_in_soak(
        [(2, "after"), (1, "after"), (5, "after"), *((at, "before") for at in range(1, 6)), (3, "after")],
        first=3,
    ),
)
def test_after_a_stop_at_any_commit_whole_days_are_held_and_the_next_sync_ends_in_the_truth(
    tmp_path: Path, at: int, when: str
) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        lake, window = world.lake, world.last(COMMIT_DAYS + 2)
        world.lake = StoppingLake(lake.uri, at, when)
        with pytest.raises(StoppedError):
            sync(world, window=window)
        world.lake = lake
        days = {row["data_date"] for row in held_of_type(world, QueryType.WEB)}
        assert len(days) in (0, COMMIT_DAYS, len(window))
        if days:
            assert_true(world, Window.inclusive(min(days), max(days)))
        asked = len(world.queries())
        assert sync(world, window=window).problems == ()
        assert_true(world, window)
        assert len(days_asked(world, asked)) <= COMMIT_DAYS + 2
        assert {row["status"] for row in records(world).values()} <= {"final", "provisional"}


def test_rows_that_were_lost_are_read_again(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        window = world.last(40)
        sync(world, window=window)
        lost = Target("acme", SITE, "WEB", (window.start, window.start + ONE_DAY))
        world.lake.replace(SEARCH_APPEARANCE, lost, SEARCH_APPEARANCE.schema.empty_table())
        assert sync(world, window=window).read == 2
        assert_true(world, window)


def test_rows_of_a_release_without_a_ledger_are_replaced_by_the_same(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny()]) as world:
        sync(world)
        before = sorted_rows(world.lake.read(SEARCH_APPEARANCE))
        shutil.rmtree(Path(world.lake.table_uri(MORE_LEDGER)))
        world.lake = Lake(world.lake.uri)
        assert sync(world).read == DAYS
        assert sorted_rows(world.lake.read(SEARCH_APPEARANCE)) == before
        assert sync(world).read == 0


def test_an_older_read_does_not_replace_what_a_sync_beside_it_has_written(
    lake: Lake, acme: Workspace
) -> None:
    day = NOON.date() - ONE_DAY
    newer = Appearances({day: {"VIDEO": 9}})

    class Older(Appearances):
        """While its day is read, a newer sync reads and commits the same day."""

        @override
        def __call__(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
            if isinstance(request, AppearancePages):
                sync_appearance(acme, ScriptedConsole(newer), lake, clock=lambda: NOON)
            return super().__call__(site_url, request, start_row)

    older = ScriptedConsole(Older({day: {"VIDEO": 2}}))
    report = sync_appearance(acme, older, lake, clock=lambda: NOON)
    assert (report.read, report.unchanged, report.problems) == (0, 1, ())
    assert {row["clicks"] for row in lake.read(SEARCH_APPEARANCE).to_pylist()} == {9}
    assert sync_appearance(acme, ScriptedConsole(newer), lake, clock=lambda: NOON).read == 0


@pytest.mark.soak
def test_a_backfill_of_sixteen_months_killed_twice_ends_complete(tmp_path: Path) -> None:
    with World.serving(tmp_path, [tiny(months=16)], now=utc_now()) as world:
        running: list[subprocess.Popen[bytes]] = []
        deaths = sorted(random.sample(range(40, 1200), 2))

        def kill(call: Call) -> None:
            if running and deaths and len(world.queries()) >= deaths[0]:
                deaths.pop(0)
                running.pop().kill()

        world.faults.append(kill)
        days = str(len(history(world, 16)))
        env = {**os.environ, **world.environment()}
        env.pop("DAGSTER_HOME", None)
        command = [GSC, "sync", "--more", "--days", days]
        killed_at = list(deaths)
        while deaths:
            with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as one:
                running.append(one)
                assert one.wait(HANG_SECONDS) == -signal.SIGKILL
            held = {row["data_date"] for row in held_of_type(world, QueryType.WEB)}
            if held:
                assert_true(world, Window.inclusive(min(held), max(held)))
        done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
        assert done.returncode == 0, (killed_at, done.stderr)
        assert_true(world, history(world, 16))
        asked = days_asked(world)
        assert len(asked) <= len(set(asked)) + 2 * (COMMIT_DAYS + 1), killed_at
        assert {row["status"] for row in records(world).values()} <= {"final", "provisional"}
