"""Runs of the multi-asset: what they read, which events they record, how they end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import closing
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.defs.assets.searchdata import searchdata_asset
from gsc_pipeline.defs.jobs import TICK_TAG, run_tags
from gsc_pipeline.defs.partitions import WORKSPACES, partition_key, partitions_definition
from gsc_pipeline.defs.resources import SearchConsoleApi
from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline.search_console.breakers import Circuit, SharedBreaker
from gsc_pipeline.settings import ConfigurationError, load_settings
from gsc_pipeline.simulator import Call, google_error
from gsc_pipeline.state.opening import open_store
from gsc_pipeline_tests.circuits import open_circuit
from gsc_pipeline_tests.defs.conftest import Orchestra, range_tags
from gsc_pipeline_tests.replies import (
    FORBIDDEN,
    LOAD_QUOTA,
    UNAVAILABLE,
    all_queries,
    queries_of,
)

TICK = {TICK_TAG: "2026-11-21T18:00:00+00:00"}
SITE, URL = "searchdata_site_impression", "searchdata_url_impression"


def later(tags: Mapping[str, str], hours: int) -> dict[str, str]:
    """The tags of a run of a later tick."""
    tick = datetime.fromisoformat(tags[TICK_TAG]) + timedelta(hours=hours)
    return {**tags, TICK_TAG: tick.isoformat()}


def failure(result: dg.ExecuteInProcessResult) -> Any:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data


def attempts(result: dg.ExecuteInProcessResult) -> int:
    return 1 + sum(event.is_step_restarted for event in result.all_events)


def keys(window: Window, workspace: str = "acme") -> set[str]:
    return {partition_key(day, workspace) for day in window}


def test_a_single_key_reads_that_day_of_that_workspace(orchestra: Orchestra) -> None:
    day = orchestra.world.today - 3 * ONE_DAY
    result = orchestra.materialize(key=partition_key(day, "acme"))
    assert result.success
    assert set(orchestra.materialized()) == set(orchestra.materialized(URL)) == {f"{day}|acme"}
    held = orchestra.world.lake.read(SITE_IMPRESSION)
    assert set(held["data_date"].to_pylist()) == {day}
    assert set(held["workspace"].to_pylist()) == {"acme"}


def test_a_run_registers_a_workspace_that_the_instance_does_not_have(orchestra: Orchestra) -> None:
    initech = dataclasses.replace(orchestra.workspaces[0], id="initech")
    orchestra.workspaces.append(initech)
    window = orchestra.world.last(2)
    assert orchestra.materialize(tags=range_tags("initech", window)).success
    assert set(orchestra.materialized()) == keys(window, "initech")
    assert "initech" in orchestra.instance.get_dynamic_partitions(WORKSPACES)
    assert set(statuses(orchestra, "initech").values()) == {"MATERIALIZED"}


def test_each_materialization_carries_the_days_numbers(orchestra: Orchestra) -> None:
    day = orchestra.world.today - ONE_DAY
    orchestra.materialize(key=partition_key(day, "acme"))
    held = orchestra.world.lake.read(SITE_IMPRESSION)
    numbers = orchestra.materialized()[f"{day}|acme"]
    assert numbers["dagster/partition_row_count"] == held.num_rows
    assert numbers["clicks"] == sum(held["clicks"].to_pylist())
    assert numbers["impressions"] == sum(held["impressions"].to_pylist())
    assert (numbers["calls"], numbers["status"]) == (4, "provisional")
    assert numbers["seconds"] > 0


def test_a_range_is_one_run_over_its_days(orchestra: Orchestra) -> None:
    window = orchestra.world.last(4)
    result = orchestra.materialize(tags=range_tags("acme", window))
    assert result.success
    assert set(orchestra.materialized()) == keys(window)


def test_a_run_by_a_person_records_every_requested_day_even_if_nothing_changed(orchestra: Orchestra) -> None:
    window = orchestra.world.last(3)
    orchestra.materialize(tags=range_tags("acme", window))
    result = orchestra.materialize(tags=range_tags("acme", window))
    events = [event for event in result.all_events if event.is_step_materialization]
    assert len(events) == 2 * 3


def test_the_event_of_a_passed_check_is_small(orchestra: Orchestra) -> None:
    orchestra.materialize(tags=range_tags("acme", orchestra.world.last(1)))
    key = dg.AssetCheckKey(dg.AssetKey(SITE), "no_partial_failures")
    (record,) = orchestra.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert orchestra.check().passed
    assert len(dg.serialize_value(record.event)) < 2_500


def test_a_scheduled_run_in_which_nothing_changed_records_no_materialization(orchestra: Orchestra) -> None:
    tags = {**TICK, **run_tags(["acme"], orchestra.world.last(3))}
    first = orchestra.materialize(tags=tags)
    second = orchestra.materialize(tags=later(tags, 6))
    assert [e for e in first.all_events if e.is_step_materialization]
    assert not [e for e in second.all_events if e.is_step_materialization]
    assert second.success


def test_a_scheduled_run_records_days_in_a_new_instance_that_the_lake_has_already(
    orchestra: Orchestra,
) -> None:
    window = orchestra.world.last(3)
    orchestra.world.sync(orchestra.workspaces[0], window)
    orchestra.materialize(tags={**TICK, **run_tags(["acme"], window)})
    assert set(orchestra.materialized()) == keys(window)


def test_a_scheduled_run_records_the_days_that_changed(orchestra: Orchestra) -> None:
    window = orchestra.world.last(6)
    tags = {**TICK, **run_tags(["acme"], window)}
    orchestra.materialize(tags=tags)
    orchestra.world.now += timedelta(hours=6)
    result = orchestra.materialize(tags=later(tags, 6))
    moved = {str(e.partition) for e in result.all_events if e.is_step_materialization}
    assert moved
    assert moved <= keys(orchestra.world.last(3))


def test_a_forbidden_property_leaves_the_run_green_and_the_check_names_it(orchestra: Orchestra) -> None:
    orchestra.workspaces[0] = orchestra.world.workspace(
        properties=("sc-domain:acme.com", "sc-domain:other.com")
    )
    window = orchestra.world.last(3)
    result = orchestra.materialize(tags=range_tags("acme", window))
    assert result.success
    assert set(orchestra.materialized()) == keys(window)
    check = orchestra.check()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    (row,) = check.metadata["failures"].records
    assert row.data["property"] == "sc-domain:other.com"
    assert (row.data["days"], row.data["times"]) == (f"3 from {window.start} to {window.last}", 1)
    assert "403" in row.data["cause"]
    assert check.description.startswith("1 failure in acme")
    # The day is green for the other property: its event says which one it lacks, and why.
    for numbers in orchestra.materialized().values():
        assert numbers["status"] in ("final", "provisional")
        assert numbers["not_read"].startswith("sc-domain:other.com (WEB): not sent: ")
        assert "Search Console answered 403" in numbers["not_read"]
    assert "add the credential as a user" in row.data["next step"]


def test_the_check_covers_every_workspace_so_one_green_run_hides_no_failure(orchestra: Orchestra) -> None:
    window = orchestra.world.last(2)
    orchestra.workspaces[1] = orchestra.world.workspace("globex", properties=("sc-domain:other.com",))
    assert not orchestra.materialize(tags=range_tags("globex", window)).success
    assert orchestra.materialize(tags=range_tags("acme", window)).success
    check = orchestra.check()
    assert not check.passed
    assert check.metadata["failures"].records[0].data["workspace"] == "globex"


def test_the_check_turns_green_when_a_sync_succeeds(orchestra: Orchestra) -> None:
    tags = range_tags("acme", orchestra.world.last(2))
    orchestra.world.faults.append(all_queries(FORBIDDEN))
    orchestra.materialize(tags=tags)
    assert not orchestra.check().passed
    orchestra.world.faults.clear()
    orchestra.materialize(tags=tags)
    assert orchestra.check().passed


def test_a_run_fails_for_a_temporarily_failed_day_and_records_the_other_days(
    orchestra: Orchestra,
) -> None:
    window = orchestra.world.last(4)
    bad = window.start + ONE_DAY
    orchestra.world.faults.append(queries_of(bad, UNAVAILABLE))
    result = orchestra.materialize(tags=range_tags("acme", window))
    assert not result.success
    assert set(orchestra.materialized()) == keys(window) - {f"{bad}|acme"}
    assert str(bad) in failure(result).user_failure_data.description
    assert attempts(result) == 3


def test_a_retry_reads_only_what_is_missing(orchestra: Orchestra) -> None:
    def probes() -> list[Call]:
        return [call for call in orchestra.world.queries() if call.body["dimensions"] == ["date"]]

    window = orchestra.world.last(4)
    bad = window.start
    fault = queries_of(bad, UNAVAILABLE)
    orchestra.world.faults.append(lambda call: fault(call) if len(probes()) == 1 else None)
    result = orchestra.materialize(tags=range_tags("acme", window))
    assert result.success
    assert attempts(result) == 2
    assert set(orchestra.materialized()) == keys(window)
    assert len(probes()) == 2
    days = [call.body["startDate"] for call in orchestra.world.queries() if call not in probes()]
    assert {day: days.count(day) for day in days if day != str(bad)} == {
        str(day): 4 for day in window if day != bad
    }


def test_a_workspace_that_cannot_be_read_at_all_fails_without_a_retry(
    orchestra: Orchestra,
) -> None:
    disabled = google_error(403, "accessNotConfigured", "Search Console API is disabled.", "usageLimits")
    orchestra.world.faults.append(all_queries(disabled))
    result = orchestra.materialize(tags=range_tags("acme", orchestra.world.last(2)))
    assert not result.success
    assert attempts(result) == 1
    assert "enable the Google Search Console API" in failure(result).user_failure_data.description


@pytest.mark.parametrize(
    ("tags", "cause"),
    [
        (range_tags("acme", Window(date(2026, 11, 19), date(2026, 11, 24))), "is not over in California"),
        (
            {
                "dagster/asset_partition_range_start": "2026-11-20|acme",
                "dagster/asset_partition_range_end": "2026-11-15|acme",
            },
            "its start must not lie after its end",
        ),
    ],
    ids=["future", "reversed"],
)
def test_a_range_that_dagster_accepts_and_no_sync_can_read_is_refused_before_any_call(
    orchestra: Orchestra, tags: dict[str, str], cause: str
) -> None:
    result = orchestra.materialize(tags=tags)
    assert not result.success
    assert cause in failure(result).user_failure_data.description
    assert attempts(result) == 1
    assert not orchestra.world.queries()
    assert not orchestra.materialized()


def statuses(orchestra: Orchestra, workspace: str = "acme") -> dict[str, str]:
    """The status that the UI shows of each partition that has one."""
    asset = searchdata_asset(partitions_definition(orchestra.start, lambda: ["acme", "globex"]))
    found = orchestra.instance.get_status_by_partition(
        dg.AssetKey(SITE), sorted(keys(orchestra.world.last(10), workspace)), asset.partitions_def
    )
    return {key: status.value for key, status in (found or {}).items() if status is not None}


def test_a_scheduled_run_that_fails_shows_exactly_its_failed_days_as_red(orchestra: Orchestra) -> None:
    window = orchestra.world.last(4)
    tags = {**TICK, **run_tags(["acme"], window)}
    assert orchestra.materialize(tags=tags).success
    bad = window.last
    orchestra.world.now += timedelta(hours=6)
    orchestra.world.faults.append(queries_of(bad, UNAVAILABLE))
    assert not orchestra.materialize(tags=later(tags, 6)).success
    red = {key for key, status in statuses(orchestra).items() if status == "FAILED"}
    assert red == {f"{bad}|acme"}
    assert statuses(orchestra).keys() == keys(window)


def test_red_days_turn_green_when_a_run_reads_them(orchestra: Orchestra) -> None:
    window = orchestra.world.last(3)
    tags = {**TICK, **run_tags(["acme"], window)}
    orchestra.materialize(tags=tags)
    orchestra.world.faults.append(all_queries(FORBIDDEN))
    assert not orchestra.materialize(tags=later(tags, 6)).success
    assert "FAILED" in statuses(orchestra).values()
    orchestra.world.faults.clear()
    orchestra.materialize(tags=later(tags, 12))
    assert set(statuses(orchestra).values()) == {"MATERIALIZED"}
    quiet = orchestra.materialize(tags=later(tags, 18))
    assert not [event for event in quiet.all_events if event.is_step_materialization]


def test_a_used_up_quota_is_not_retried_within_the_run(orchestra: Orchestra) -> None:
    orchestra.world.faults.append(all_queries(LOAD_QUOTA))
    result = orchestra.materialize(tags=range_tags("acme", orchestra.world.last(2)))
    assert not result.success
    assert attempts(result) == 1


def test_failures_of_a_property_that_is_no_longer_configured_do_not_count(orchestra: Orchestra) -> None:
    tags = range_tags("acme", orchestra.world.last(2))
    orchestra.workspaces[0] = orchestra.world.workspace(
        properties=("sc-domain:acme.con", "sc-domain:acme.com")
    )
    orchestra.materialize(tags=tags)
    assert not orchestra.check().passed
    orchestra.workspaces[0] = orchestra.world.workspace()
    orchestra.materialize(tags=tags)
    assert orchestra.check().passed


@pytest.mark.parametrize(("tags", "calls"), [({}, 1), (TICK, 0)])
def test_a_run_by_a_person_sends_one_call_while_the_circuit_is_open_and_a_tick_sends_none(
    orchestra: Orchestra, tags: Mapping[str, str], calls: int
) -> None:
    world = orchestra.world
    state = str(world.folder / "state.db")
    settings = load_settings(state=state, api_url=world.url)
    with closing(open_store(state)) as store:
        breaker = SharedBreaker(store, world.url, clock=lambda: world.now)
        open_circuit(breaker)
        api = SearchConsoleApi.of(settings, clock=lambda: world.now)

        def run() -> dg.ExecuteInProcessResult:
            partitions = partitions_definition(orchestra.start, lambda: ["acme", "globex"])
            return dg.materialize(
                [searchdata_asset(partitions, dg.RetryPolicy(max_retries=2))],
                instance=orchestra.instance,
                resources={**orchestra.resources, "search_console": api},
                tags={**tags, **range_tags("acme", world.last(3))},
                raise_on_error=False,
            )

        world.faults.append(all_queries(UNAVAILABLE))
        assert "circuit open since" in failure(run()).user_failure_data.description
        assert len(world.queries()) == calls
        assert breaker.state().state is Circuit.OPEN

        world.faults.clear()
        assert run().success == bool(calls)
        assert breaker.state().state is (Circuit.CLOSED if calls else Circuit.OPEN)


def test_a_workspace_that_is_not_active_is_refused(orchestra: Orchestra) -> None:
    orchestra.workspaces[0] = dataclasses.replace(orchestra.workspaces[0], active=False)
    result = orchestra.materialize(tags=range_tags("acme", orchestra.world.last(1)))
    assert "acme is not active" in failure(result).user_failure_data.description


def test_a_workspace_that_the_file_no_longer_lists_is_refused(orchestra: Orchestra) -> None:
    del orchestra.workspaces[1]
    result = orchestra.materialize(tags=range_tags("globex", orchestra.world.last(1)))
    assert "does not list globex" in failure(result).user_failure_data.description


def test_a_bad_workspaces_file_fails_the_run_once_with_the_files_problem(orchestra: Orchestra) -> None:
    def bad_file() -> Any:
        raise ConfigurationError("workspaces.yaml", ["workspaces[0].id: 'A B': expected a slug"])

    orchestra.list_workspaces = bad_file
    result = orchestra.materialize(key="2026-11-19|acme")
    assert "workspaces[0].id: 'A B': expected a slug" in failure(result).user_failure_data.description
    assert attempts(result) == 1
