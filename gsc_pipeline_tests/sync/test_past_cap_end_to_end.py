"""Syncs of properties past the cap over the real wire, against the simulator's own truth."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

from gsc_pipeline.cli.display import print_status
from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.lake.schemas import PAST_CAP, SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.monitoring.status import workspace_state
from gsc_pipeline.simulator import (
    Call,
    FiltersSee,
    LargeProperty,
    Property,
    Reply,
    SyntheticProperty,
    google_error,
)
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.cut_days import PastCapOptions
from gsc_pipeline.sync.repair import repair
from gsc_pipeline.sync.verify import verify
from gsc_pipeline_tests.replies import UNAVAILABLE
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.sync.test_isolation import REFUSED, rows_in_cycles
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.world import World, contents

CAP = 700
LOAD_QUOTA = google_error(403, "quotaExceeded", "Search Analytics load quota exceeded.", "usageLimits")
OPTIONS = SyncOptions(past_cap=PastCapOptions(cut_rows=CAP))
OFF = SyncOptions(past_cap=PastCapOptions(calls=0, cut_rows=CAP))


def small(filters_see: FiltersSee) -> Property:
    return SyntheticProperty("sc-domain:acme.com", rows_a_day=1_500, filters_see=filters_see)


def final_days(world: World, number: int = 2) -> Window:
    return Window(world.today - (5 + number) * ONE_DAY, world.today - 5 * ONE_DAY)


def rows_of(world: World) -> list[object]:
    held = contents(world.lake)
    return [held[table.name] for table in (SITE_IMPRESSION, URL_IMPRESSION)]


def assert_totals(world: World) -> None:
    """The site table and the parts of the ledger add up to the totals of each day that was read."""
    for row in world.lake.read(SYNC_LEDGER).to_pylist():
        if row["last_read_at"] is None:
            continue
        held = world.lake.read(SITE_IMPRESSION, where=pc.field("data_date") == row["data_date"])
        named = held.filter(pc.invert(held["is_anonymized_query"]))
        for measure in ("clicks", "impressions"):
            without = row[f"anonymised_{measure}"] + row[f"cut_{measure}"]
            assert pc.sum(held[measure]).as_py() == row[measure]
            assert pc.sum(named[measure]).as_py() + without == row[measure]


def asks(call: Call) -> bool:
    """Whether a call asks for a part."""
    return "dimensionFilterGroups" in call.body


def test_a_final_day_past_the_cap_is_whole_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with World.serving(tmp_path, [small("every_row")], most_rows_a_day=CAP) as world:
        workspace, window = world.workspace(), final_days(world)
        assert not world.sync(workspace, window, OPTIONS).problems
        assert_lake_is_true(world, list(window))
        assert_totals(world)
        ledger = world.lake.read(SYNC_LEDGER).to_pylist()
        assert not any(row["truncated"] for row in ledger)
        assert all(row["api_calls"] <= 204 and row["cut_impressions"] == 0 for row in ledger)
        state = workspace_state(workspace, world.lake)
        assert {(one.grain, one.sees_every_row, one.is_complete) for one in state.past_cap} >= {
            ("queries", True, True),
            ("queries by page", True, True),
        }
        assert all(one.rows > 0 and one.calls > 0 for one in state.past_cap)
        print_status([state])
        assert "every row" in capsys.readouterr().out
        again = world.sync(workspace, window, OPTIONS)
        assert again.usage.calls == 1


def test_where_filters_see_the_cut_rows_the_tables_stay_as_they_are_for_ten_calls(tmp_path: Path) -> None:
    with World.serving(tmp_path, [small("cut_rows")], most_rows_a_day=CAP) as world:
        workspace, window = world.workspace(), final_days(world, 3)
        plain = world.sync(workspace, window, OFF)
        before = rows_of(world)
        assert world.lake.read(PAST_CAP).num_rows == 0
        full = SyncOptions(full=True, past_cap=OPTIONS.past_cap)
        tried = world.sync(workspace, window, full)
        assert rows_of(world) == before
        assert 0 < tried.usage.calls - plain.usage.calls <= 10
        world.now += 29 * ONE_DAY
        assert world.sync(workspace, window, full).usage.calls == plain.usage.calls
        assert {row["sees_every_row"] for row in world.lake.read(PAST_CAP).to_pylist()} == {False}
        ledger = world.lake.read(SYNC_LEDGER).to_pylist()
        assert all(row["truncated"] and row["cut_impressions"] > 0 for row in ledger)


def test_a_load_quota_ends_it_and_the_days_are_kept_as_they_were_read(tmp_path: Path) -> None:
    with World.serving(tmp_path, [small("every_row")], most_rows_a_day=CAP) as world:
        asked = []

        def refuse(call: Call) -> Reply | None:
            if not asks(call):
                return None
            asked.append(call)
            return LOAD_QUOTA if len(asked) > 6 else None

        world.faults.append(refuse)
        window = final_days(world)
        report = world.sync(world.workspace(), window, OPTIONS)
        assert not report.problems
        ledger = world.lake.read(SYNC_LEDGER).to_pylist()
        assert {row["status"] for row in ledger} == {"final"}
        assert all(row["truncated"] for row in ledger)
        assert any(row["cut_impressions"] > 0 for row in ledger)
        assert_totals(world)


@pytest.mark.parametrize(
    "reply", rest_in_soak([UNAVAILABLE, REFUSED, LOAD_QUOTA]), ids=lambda one: str(one.status)
)
def test_the_answers_of_a_day_whose_parts_fail_leave_the_memory_at_once(tmp_path: Path, reply: Reply) -> None:
    with World.serving(tmp_path, [small("every_row")], most_rows_a_day=CAP) as world:
        world.faults.append(lambda call: reply if asks(call) else None)
        with rows_in_cycles() as found:
            assert not world.sync(world.workspace(), final_days(world, 1), OPTIONS).problems
        (row,) = world.lake.read(SYNC_LEDGER).to_pylist()
        assert row["truncated"]
        assert row["part_calls"] > 0
        assert not found


def part_calls(world: World) -> list[int]:
    rows = world.lake.read(SYNC_LEDGER).sort_by("data_date").to_pylist()
    return [row["part_calls"] for row in rows]


def test_a_day_that_a_quota_left_cut_is_completed_by_the_next_sync(tmp_path: Path) -> None:
    with World.serving(tmp_path, [small("every_row")], most_rows_a_day=CAP) as world:
        asked = []

        def refuse(call: Call) -> Reply | None:
            asked.append(call)
            return LOAD_QUOTA if len(asked) > 12 else None

        world.faults.append(lambda call: refuse(call) if asks(call) else None)
        workspace, window = world.workspace(), final_days(world, 1)
        assert not world.sync(workspace, window, OPTIONS).problems
        (row,) = world.lake.read(SYNC_LEDGER).to_pylist()
        assert (row["truncated"], row["parts_left"]) == (True, True)
        before = row["part_calls"]
        still = world.sync(workspace, window, OPTIONS)
        assert not still.problems
        world.faults.clear()
        assert not world.sync(workspace, window, OPTIONS).problems
        (row,) = world.lake.read(SYNC_LEDGER).to_pylist()
        assert (row["truncated"], row["parts_left"]) == (False, False)
        assert row["part_calls"] > before
        assert_lake_is_true(world, list(window))
        assert_totals(world)
        assert world.sync(workspace, window, OPTIONS).usage.calls == 1


@pytest.mark.parametrize("calls", [14, 30])
def test_a_quota_that_ends_a_later_try_costs_no_row(tmp_path: Path, calls: int) -> None:
    few = SyncOptions(past_cap=PastCapOptions(calls=calls, cut_rows=200))
    with World.serving(tmp_path, [small("every_row")], most_rows_a_day=200) as world:
        workspace, window = world.workspace(), final_days(world, 1)
        asked: list[Call] = []
        most = [10**6]

        def refuse(call: Call) -> Reply | None:
            if not asks(call):
                return None
            asked.append(call)
            return LOAD_QUOTA if len(asked) > most[0] else None

        world.faults.append(refuse)
        world.sync(workspace, window, few)
        before = [world.lake.read(table).num_rows for table in (SITE_IMPRESSION, URL_IMPRESSION)]
        most[0] = len(asked) + 1
        world.now += ONE_DAY
        world.sync(workspace, window, few)
        after = [world.lake.read(table).num_rows for table in (SITE_IMPRESSION, URL_IMPRESSION)]
        assert all(now >= was for now, was in zip(after, before, strict=True))
        (record,) = world.lake.read(SYNC_LEDGER).to_pylist()
        assert record["parts_left"]
        assert [record["site_rows"], record["url_rows"]] == after
        assert_totals(world)


def test_all_syncs_of_a_day_share_the_calls_and_a_later_day_goes_on(tmp_path: Path) -> None:
    with World.serving(tmp_path, [small("every_row")], most_rows_a_day=CAP) as world:
        workspace, window = world.workspace(), final_days(world)
        few = SyncOptions(past_cap=PastCapOptions(calls=20, cut_rows=CAP))
        world.sync(workspace, window, few)
        assert 0 < sum(part_calls(world)) <= 20
        for _ in range(2):
            world.sync(workspace, window, few)
        assert sum(part_calls(world)) <= 20
        ledger = world.lake.read(SYNC_LEDGER).to_pylist()
        assert any(row["parts_left"] for row in ledger)
        world.now += ONE_DAY
        # The days are no longer in the window.
        yesterday = Window(world.today - ONE_DAY, world.today)
        world.sync(workspace, yesterday, few)
        assert sum(part_calls(world)) <= 2 * 20
        world.sync(workspace, yesterday, OPTIONS)
        rows = world.lake.read(SYNC_LEDGER, where=pc.field("data_date") < window.end).to_pylist()
        assert not any(row["parts_left"] or row["truncated"] for row in rows)
        assert_lake_is_true(world, list(window))
        assert_totals(world)


def test_a_cut_day_whose_answers_contradict_each_other_is_kept_and_not_read_in_every_sync(
    tmp_path: Path,
) -> None:
    few, many = (SyncOptions(past_cap=PastCapOptions(calls=calls, cut_rows=100)) for calls in (8, 200))
    site = SyntheticProperty("sc-domain:acme.com", rows_a_day=300, plants=False)
    with World.serving(tmp_path, [site], most_rows_a_day=100) as world:
        workspace, window = world.workspace(), final_days(world, 1)
        world.sync(workspace, window, few)
        (before,) = world.lake.read(SYNC_LEDGER).to_pylist()
        assert before["parts_left"]
        row = {"keys": ["https://acme.com/", "usa", "MOBILE"], "clicks": 0, "impressions": 1, "position": 1.0}
        wrong = Reply(body={"rows": [row], "responseAggregationType": "byPage"})
        by_page = ["page", "country", "device"]
        world.faults.append(lambda call: wrong if call.body.get("dimensions") == by_page else None)
        calls = [world.sync(workspace, window, many).usage.calls for _ in range(2)]
        assert calls[0] > calls[1] == 1
        (after,) = world.lake.read(SYNC_LEDGER).to_pylist()
        assert after == before | {"parts_left": False}
        assert_totals(world)


def test_days_whose_filters_see_the_cut_rows_are_not_read_again(tmp_path: Path) -> None:
    with World.serving(tmp_path, [small("cut_rows")], most_rows_a_day=CAP) as world:
        workspace, window = world.workspace(), final_days(world)
        world.sync(workspace, window, OPTIONS)
        assert all(row["parts_left"] for row in world.lake.read(SYNC_LEDGER).to_pylist())
        for days in (1, 28):
            world.now += days * ONE_DAY
            assert world.sync(workspace, window, OPTIONS).usage.calls == 1


def test_the_rebuilt_record_of_a_cut_day_is_truncated(tmp_path: Path) -> None:
    with World.serving(tmp_path, [small("every_row")], most_rows_a_day=CAP) as world:
        window = final_days(world, 1)
        world.sync(world.workspace(), window, OFF)
        (before,) = world.lake.read(SYNC_LEDGER).to_pylist()
        target = Target("acme", "sc-domain:acme.com", "WEB", tuple(window))
        world.lake.replace(SYNC_LEDGER, target, SYNC_LEDGER.schema.empty_table())
        found = verify(world.lake)
        assert repair(world.lake, found, lambda ids: None, now=world.now, run_id="repair").left.is_good
        (rebuilt,) = world.lake.read(SYNC_LEDGER).to_pylist()
        assert (before["truncated"], rebuilt["truncated"]) == (True, True)
        assert rebuilt["cut_impressions"] == before["cut_impressions"] > 0


def test_status_names_what_parts_brought_in_the_documented_order(tmp_path: Path) -> None:
    with World.serving(tmp_path, [small("every_row")], most_rows_a_day=CAP) as world:
        workspace = world.workspace()
        world.sync(workspace, final_days(world, 1), OPTIONS)
        (first, *_) = workspace_state(workspace, world.lake).as_json()["past_cap"]
        assert list(first) == [
            "site_url", "search_type", "grain", "data_date", "tried_at", "sees_every_row", "rows", "clicks",
            "impressions", "calls", "is_complete",
        ]  # fmt: skip


def test_an_unusable_credential_stops_the_workspace_after_the_day_was_kept(tmp_path: Path) -> None:
    with World.serving(tmp_path, [small("every_row")], most_rows_a_day=CAP) as world:
        disabled = google_error(403, "accessNotConfigured", "The API has not been used in project 1 before.")
        world.faults.append(lambda call: disabled if asks(call) else None)
        window = final_days(world)
        report = world.sync(world.workspace(), window, OPTIONS)
        assert any("has not been used" in problem.cause for problem in report.problems)
        newest, older = sorted(
            world.lake.read(SYNC_LEDGER).to_pylist(), key=lambda row: -row["data_date"].toordinal()
        )
        assert (newest["status"], newest["truncated"]) == ("final", True)
        assert older["status"] == "failed"
        assert_totals(world)


@pytest.mark.soak
@pytest.mark.parametrize("filters_see", ["every_row", "cut_rows"])
def test_a_day_of_120_000_rows_is_whole_or_as_it_was(tmp_path: Path, filters_see: FiltersSee) -> None:
    prop = LargeProperty("sc-domain:large.example", rows_a_day=120_000, filters_see=filters_see)
    with World.serving(tmp_path, [prop]) as world:
        workspace = world.workspace(properties=(prop.site_url,))
        window = final_days(world, 1)
        report = world.sync(workspace, window)
        assert not report.problems
        (row,) = world.lake.read(SYNC_LEDGER).to_pylist()
        if filters_see == "every_row":
            assert_lake_is_true(world, list(window))
            assert not row["truncated"]
            assert report.usage.calls <= 11 + 200
        else:
            assert row["truncated"]
            assert report.usage.calls <= 11 + 10
