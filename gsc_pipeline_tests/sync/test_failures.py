"""Failures of a day, a property, a workspace and of all workspaces. Old rows survive each of them."""

from __future__ import annotations

import base64
import dataclasses
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.lake.schemas import PROPERTIES, SITE_IMPRESSION, SYNC_RUNS, URL_IMPRESSION
from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.requests import AnalyticsRequest, PageQueries
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty, google_error, token_error
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.day_order import GIVE_UP_AFTER
from gsc_pipeline.sync.ledger import DayRecord, Status
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.report import DayResult, SyncSummary
from gsc_pipeline.sync.sync_all import SyncFatalError, sync_all
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.doubles import ScriptedConsole
from gsc_pipeline_tests.replies import FORBIDDEN, LOAD_QUOTA, UNAVAILABLE, all_queries, queries_of
from gsc_pipeline_tests.world import World, contents, read_ledger


def records(world: World, site_url: str = "sc-domain:acme.com", days: int = 5) -> list[DayRecord]:
    return list(read_ledger(world.lake, "acme", world.last(days))[(site_url, "WEB")].values())


def test_a_property_that_may_not_be_read_does_not_stop_the_others(world: World) -> None:
    report = world.sync(world.workspace(properties=("sc-domain:other.com", "sc-domain:acme.com")))
    assert report.outcome is Outcome.COMPLETE
    assert report.count(DayResult.READ) == 5
    (problem,) = report.problems
    assert (problem.site_url, problem.transient, len(problem.days)) == ("sc-domain:other.com", False, 5)
    assert "add the credential as a user of the property" in str(problem)


def test_a_refused_property_is_requested_once_and_its_days_are_recorded_as_failed(world: World) -> None:
    report = world.sync(world.workspace(properties=("sc-domain:other.com",)))
    assert report.outcome is Outcome.FAILED
    assert len(world.queries()) == 1
    failed = records(world, "sc-domain:other.com")
    assert {record.status for record in failed} == {Status.FAILED}
    assert len(failed) == 5
    assert "403" in failed[0].reason


def test_a_failed_day_keeps_its_old_rows_and_totals(world: World) -> None:
    workspace = world.workspace()
    world.sync(workspace)
    before = contents(world.lake)
    provisional = [record for record in records(world) if record.status is Status.PROVISIONAL]
    assert provisional
    world.faults.append(all_queries(FORBIDDEN))
    report = world.sync(workspace)
    assert report.outcome is Outcome.FAILED
    after = contents(world.lake)
    assert after[SITE_IMPRESSION.name] == before[SITE_IMPRESSION.name]
    assert after[URL_IMPRESSION.name] == before[URL_IMPRESSION.name]
    by_day = {record.data_date: record for record in records(world)}
    for record in provisional:
        now = by_day[record.data_date]
        assert (now.status, now.totals, now.site_rows) == (Status.FAILED, record.totals, record.site_rows)
    assert sum(record.status is Status.FINAL for record in by_day.values()) == 5 - len(provisional)


def test_days_read_again_after_a_failure_are_only_those_that_failed(world: World) -> None:
    workspace = world.workspace()
    bad_day = world.last(4).start
    world.faults.append(queries_of(bad_day, UNAVAILABLE))
    report = world.sync(workspace)
    assert (report.count(DayResult.READ), report.count(DayResult.FAILED)) == (4, 1)
    (problem,) = report.problems
    assert problem.transient
    assert problem.days == (bad_day,)
    world.faults.clear()
    again = world.sync(workspace)
    assert [day.day for day in again.days if day.result is DayResult.READ] == [bad_day]
    assert not again.problems


def test_a_property_is_skipped_after_several_failed_days_in_a_row(world: World) -> None:
    for day in world.last(9):
        world.faults.append(queries_of(day, UNAVAILABLE))
    report = world.sync(world.workspace(), world.last(9))
    assert report.count(DayResult.FAILED) == 9
    read_ahead = 4 + 1
    asked = {call.body["startDate"] for call in world.queries() if call.body["dimensions"] != ["date"]}
    assert len(asked) <= GIVE_UP_AFTER + read_ahead


def test_a_load_quota_refusal_keeps_what_was_read_and_defers_the_rest_without_waiting(world: World) -> None:
    days = list(world.last(9))
    world.faults.append(queries_of(days[0], LOAD_QUOTA))
    report = world.sync(world.workspace(), world.last(9))
    assert (report.count(DayResult.READ), report.count(DayResult.FAILED)) == (8, 1)
    assert report.problems[0].transient
    assert not world.waits


def test_a_dead_credential_stops_its_workspace_and_no_other(world: World) -> None:
    acme, globex = world.workspace("acme"), world.workspace("globex")
    world.faults.append(
        lambda call: (
            token_error("invalid_grant", "Token has been expired or revoked.")
            if call.kind == "token" and "acme" in _issuer(call)
            else None
        )
    )
    summary = sync(world, [acme, globex])
    assert [report.workspace for report in summary.successes] == ["globex"]
    (failure,) = summary.failures
    assert "invalid_grant" in failure.reason
    assert "create a new key" in failure.reason
    assert not any(call.subject == "acme@example.com" for call in world.simulator.calls)


def test_a_credential_revoked_during_a_sync_keeps_the_days_read_before(world: World) -> None:
    workspace = world.workspace(properties=("sc-domain:acme.com", "https://shop.acme.com/"))
    disabled = google_error(403, "accessNotConfigured", "API disabled.", "usageLimits")
    world.faults.append(all_queries(disabled, "https://shop.acme.com/"))
    report = world.sync(workspace)
    assert report.count(DayResult.READ) == 5
    assert {record.status for record in records(world, "https://shop.acme.com/")} == {Status.FAILED}
    assert "enable the Google Search Console API" in report.reason


def test_all_properties_means_those_that_the_credential_may_read(tmp_path: Path) -> None:
    properties = [
        SyntheticProperty("sc-domain:acme.com", rows_a_day=100),
        SyntheticProperty("sc-domain:globex.com", rows_a_day=100, readers={"globex@example.com"}),
        SyntheticProperty("sc-domain:new.com", permission_level="siteUnverifiedUser"),
    ]
    with World.serving(tmp_path, properties) as world:
        report = world.sync(world.workspace(properties=None))
        assert {day.site_url for day in report.days} == {"sc-domain:acme.com"}
        assert not report.problems


def test_a_sync_records_properties_that_appear_and_disappear(tmp_path: Path) -> None:
    first = SyntheticProperty("sc-domain:acme.com", rows_a_day=50)
    with World.serving(tmp_path, [first]) as world:
        workspace = world.workspace(properties=None)
        world.sync(workspace, world.last(1))
        world.sync(workspace, world.last(1))
        world.now += timedelta(hours=6)
        world.simulator.put(SyntheticProperty("https://new.acme.com/", rows_a_day=50))
        world.simulator.put(SyntheticProperty("sc-domain:acme.com", rows_a_day=50, readers={"somebody@else"}))
        report = world.sync(workspace, world.last(1))
        assert {day.site_url for day in report.days} == {"https://new.acme.com/"}
        changes = {(row["site_url"], row["change"]) for row in world.lake.read(PROPERTIES).to_pylist()}
        assert changes == {
            ("sc-domain:acme.com", "added"),
            ("https://new.acme.com/", "added"),
            ("sc-domain:acme.com", "lost"),
        }


def test_a_credential_that_may_read_nothing_is_a_failure_that_says_what_to_do(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", readers={"somebody@example.com"})
    with World.serving(tmp_path, [prop]) as world:
        report = world.sync(world.workspace(properties=None))
        assert report.outcome is Outcome.FAILED
        assert "can read no property" in report.reason


def test_partial_failure_returns_normally_and_is_counted(world: World) -> None:
    lost = dataclasses.replace(
        world.workspace("lost"), credentials=ServiceAccountFile(world.folder / "none.json")
    )
    summary = sync(world, [lost, world.workspace("acme")])
    assert summary.total_workspaces == 2
    assert [report.workspace for report in summary.successes] == ["acme"]
    assert [report.workspace for report in summary.failures] == ["lost"]
    assert summary.duration_ms > 0
    assert "none.json cannot be read" in summary.failures[0].reason


def test_inactive_workspaces_are_not_synced(world: World) -> None:
    asleep = dataclasses.replace(world.workspace("asleep"), active=False)
    assert sync(world, [asleep, world.workspace("acme")]).total_workspaces == 1
    with pytest.raises(SyncFatalError, match="no active workspace"):
        sync(world, [asleep])


def test_failure_of_every_workspace_is_fatal_and_gives_the_reason_of_each(world: World) -> None:
    world.faults.append(all_queries(FORBIDDEN))
    with pytest.raises(SyncFatalError, match=r"acme: .*; globex: ") as failure:
        sync(world, [world.workspace("acme"), world.workspace("globex")])
    assert failure.value.summary is not None
    assert failure.value.summary.as_json()["failures"][0]["workspace"] == "acme"


def test_the_final_error_lists_three_failed_workspaces_and_counts_the_rest(world: World) -> None:
    world.faults.append(all_queries(FORBIDDEN))
    with pytest.raises(SyncFatalError, match=r"c: .*; and 2 more workspaces, see their warnings$"):
        sync(world, [world.workspace(id_) for id_ in "abcde"])


def test_a_lake_that_cannot_be_written_is_fatal_at_once(world: World) -> None:
    (world.folder / "lake").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(SyncFatalError, match="check GSC_LAKE"):
        sync(world, [world.workspace("acme"), world.workspace("globex")])
    assert not any(call.subject == "globex@example.com" for call in world.simulator.calls)


def test_an_unexpected_error_in_one_workspace_is_reported_and_stops_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def surprise(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        raise RuntimeError("a fault of ours")

    def open_console(workspace: Workspace) -> object:
        return ScriptedConsole(surprise) if workspace.id == "odd" else world.open_console(workspace)

    workspaces = [world.workspace("odd"), world.workspace("acme")]
    summary = sync_all(workspaces, world.last(2), open_console, world.lake, clock=lambda: world.now)  # type: ignore[arg-type]
    assert [report.workspace for report in summary.successes] == ["acme"]
    assert "a fault of gsc_pipeline (RuntimeError: a fault of ours)" in summary.failures[0].reason
    assert "Traceback" in caplog.text


def test_days_that_were_read_before_an_unexpected_error_are_written(world: World) -> None:
    console = world.open_console(world.workspace())
    odd_day = world.last(3).start

    def surprise(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, PageQueries) and request.day == odd_day:
            raise RuntimeError("a fault of ours")
        return console.query(site_url, request, start_row=start_row)

    with closing(console):
        report = sync_workspace(
            world.workspace(),
            world.last(3),
            ScriptedConsole(surprise),
            world.lake,
            options=SyncOptions(concurrency=1),
            clock=lambda: world.now,
        )
    read = {day.day for day in report.days if day.result is DayResult.READ}
    assert (
        read == set(world.last(2)) == {row["data_date"] for row in contents(world.lake)[SITE_IMPRESSION.name]}
    )
    assert [day.day for day in report.days if day.result is DayResult.FAILED] == [odd_day]


def test_every_sync_writes_one_row_of_sync_runs(world: World) -> None:
    workspace = world.workspace(properties=("sc-domain:acme.com", "sc-domain:other.com"))
    reports = [world.sync(workspace), world.sync(workspace)]
    runs = {row["run_id"]: row for row in world.lake.read(SYNC_RUNS).to_pylist()}
    assert len(runs) == 2
    for report in reports:
        row = runs[report.run_id]
        assert row["outcome"] == "complete"
        assert row["days_read"] == report.count(DayResult.READ)
        assert row["days_failed"] == 5
        assert (row["first_day"], row["last_day"]) == (report.window.start, report.window.end - ONE_DAY)
        assert row["calls"] == report.usage.calls > 0
        assert row["problems"] == [str(problem) for problem in report.problems]


def test_a_workspace_cannot_touch_another_workspaces_rows(world: World) -> None:
    world.sync(world.workspace("acme"))
    before = [row for row in contents(world.lake)[SITE_IMPRESSION.name] if row["workspace"] == "acme"]
    world.simulator.put(SyntheticProperty("sc-domain:acme.com", rows_a_day=50))
    world.sync(world.workspace("globex"))
    after = contents(world.lake)[SITE_IMPRESSION.name]
    assert [row for row in after if row["workspace"] == "acme"] == before
    assert any(row["workspace"] == "globex" for row in after)


def test_an_empty_probe_deletes_nothing_and_is_a_problem(world: World) -> None:
    workspace = world.workspace()
    world.sync(workspace)
    before = contents(world.lake)
    world.faults.append(lambda call: Reply(200, {}) if call.kind == "query" else None)
    report = world.sync(workspace)
    assert report.problems[0].transient
    after = contents(world.lake)
    for table in (SITE_IMPRESSION, URL_IMPRESSION):
        assert after[table.name] == before[table.name]


def test_empty_answers_to_a_days_grains_keep_its_old_rows(world: World) -> None:
    workspace = world.workspace()
    world.sync(workspace)
    before = contents(world.lake)
    world.faults.append(
        lambda call: Reply(200, {}) if call.kind == "query" and call.body["dimensions"] != ["date"] else None
    )
    report = world.sync(workspace, options=SyncOptions(full=True))
    assert report.count(DayResult.FAILED) == 5
    assert contents(world.lake)[SITE_IMPRESSION.name] == before[SITE_IMPRESSION.name]


def test_after_an_outage_longer_than_the_window_the_next_sync_reads_all_missing_days(world: World) -> None:
    workspace = world.workspace()
    world.faults.append(all_queries(FORBIDDEN))
    world.sync(workspace, world.last(3))
    outage = set(world.last(3))
    world.faults.clear()
    world.now += 10 * ONE_DAY
    report = world.sync(workspace, world.last(3))
    assert {day.day for day in report.days if day.result is DayResult.READ} == outage | set(world.last(3))
    assert not any(record.status is Status.FAILED for record in records(world, days=30))


def test_provisional_days_that_leave_the_window_still_become_final(world: World) -> None:
    workspace = world.workspace()
    world.sync(workspace, world.last(2))
    open_days = {record.data_date for record in records(world) if record.status is Status.PROVISIONAL}
    assert open_days
    world.now += 10 * ONE_DAY
    world.sync(workspace, world.last(2))
    by_day = {record.data_date: record for record in records(world, days=30)}
    assert {by_day[day].status for day in open_days} == {Status.FINAL}


def test_a_sync_of_old_days_does_not_read_unsettled_days_outside_its_window(world: World) -> None:
    workspace = world.workspace()
    world.sync(workspace, world.last(2))
    old = Window(world.today - 30 * ONE_DAY, world.today - 29 * ONE_DAY)
    assert [day.day for day in world.sync(workspace, old).days] == list(old)


def test_a_wrong_key_records_at_most_fourteen_failed_days_in_a_long_window(world: World) -> None:
    lost = dataclasses.replace(world.workspace(), credentials=ServiceAccountFile(world.folder / "none.json"))
    report = world.sync(lost, world.last(300))
    assert report.outcome is Outcome.FAILED
    assert len(records(world, days=300)) == 14


def sync(world: World, workspaces: list[Workspace]) -> SyncSummary:
    return sync_all(workspaces, world.last(3), world.open_console, world.lake, clock=lambda: world.now)


def _issuer(call: Call) -> str:
    claims = str(call.body.get("assertion", "..")).split(".")[1]
    return base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).decode()
