"""Runs of the assets that are partitioned by workspace alone, and the schedule that requests them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.assets.workspace_tables import workspace_table_assets
from gsc_pipeline.defs.jobs import MORE_WORKSPACE_TAG, TICK_TAG
from gsc_pipeline.defs.partitions import WORKSPACES, ListedWorkspaces
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.search_console.breakers import Circuit, SharedBreaker
from gsc_pipeline.settings import ConfigurationError, load_settings
from gsc_pipeline.simulator import Call, Reply, google_error, token_error
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline.sync.tables.more import MORE_TABLES
from gsc_pipeline_tests.circuits import give_up, open_circuit
from gsc_pipeline_tests.defs.conftest import Orchestra, range_tags
from gsc_pipeline_tests.faults.station import guarded_console
from gsc_pipeline_tests.instances import instance_on_files
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.world import World, asks_token_for

TABLES = tuple(one.table for one in MORE_TABLES)
NINE = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
UNAVAILABLE = google_error(503, "backendError", "Service unavailable.")


@pytest.fixture
def orchestra(world: World) -> Iterator[Orchestra]:
    """As elsewhere, on a persistent instance, which the context of a schedule needs."""
    with instance_on_files(world.folder / "dagster") as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme", "globex"])
        yield Orchestra(world, instance, [world.workspace("acme"), world.workspace("globex")])


def materialize(
    orchestra: Orchestra,
    workspace: str | None = "acme",
    tables: tuple[TableSpec, ...] = TABLES,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """One run of these tables' assets in this process, three attempts without a pause between them."""
    partitions = ListedWorkspaces(lambda: [w.id for w in orchestra.workspaces])
    assets = workspace_table_assets(partitions, dg.RetryPolicy(max_retries=2))
    return dg.materialize(
        assets,
        selection=[table.name for table in tables],
        instance=orchestra.instance,
        resources=orchestra.resources,
        partition_key=workspace,
        tags=tags,
        raise_on_error=False,
    )


def failures(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    return {
        str(event.step_key): event.step_failure_data.user_failure_data
        for event in result.all_events
        if event.is_step_failure
    }


@pytest.mark.parametrize("table", rest_in_soak(TABLES, first=2), ids=lambda table: table.name)
def test_a_run_for_a_workspace_fills_its_table_and_records_an_event_with_numbers(
    orchestra: Orchestra, table: TableSpec
) -> None:
    prepare(orchestra)
    assert materialize(orchestra, tables=(table,)).success
    held = orchestra.world.lake.read(table)
    assert held.num_rows
    assert set(held["workspace"].to_pylist()) == {"acme"}
    (numbers,) = [numbers for key, numbers in orchestra.materialized(table.name).items() if key == "acme"]
    assert numbers["rows"] == held.num_rows
    assert numbers["calls"] > 0
    assert numbers["seconds"] > 0
    assert numbers["problems"] == []
    # The next runs go on with a part of the days that are missing.
    assert (numbers["left"] > 0) == (table.name == "search_appearance")


def prepare(orchestra: Orchestra) -> None:
    """Fill the tables that others are derived from."""
    orchestra.world.sync(orchestra.workspaces[0])


def test_a_dead_credential_fails_every_step_once_and_says_what_to_do(orchestra: Orchestra) -> None:
    prepare(orchestra)
    orchestra.world.faults.append(
        lambda call: token_error("invalid_grant", "revoked") if call.kind == "token" else None
    )
    result = materialize(orchestra)
    assert set(failures(result)) == {table.name for table in TABLES}
    assert all("create a new key" in failure.description for failure in failures(result).values())
    assert not any(event.is_step_restarted for event in result.all_events)


def test_a_table_that_a_sync_by_hand_holds_is_not_read_and_the_failure_names_that_sync(
    orchestra: Orchestra,
) -> None:
    tables = TABLES[:2]
    with orchestra.resources["state"].leases().held("acme/sitemaps", "by hand"):
        result = materialize(orchestra, tables=tables)
    assert set(failures(result)) == {"sitemaps"}
    assert "acme: sitemaps: another sync holds it since " in failures(result)["sitemaps"].description
    assert "run by hand, " in failures(result)["sitemaps"].description
    assert not any(event.is_step_restarted for event in result.all_events)
    assert {call.kind for call in orchestra.world.simulator.calls} == {"token", "sites"}
    assert materialize(orchestra, tables=tables).success


def test_a_temporary_failure_is_tried_three_times_and_then_fails_the_run(
    orchestra: Orchestra,
) -> None:
    orchestra.world.faults.append(lambda call: UNAVAILABLE if call.kind == "sites" else None)
    (table,) = [table for table in TABLES if table.name == "properties"]
    result = materialize(orchestra, tables=(table,))
    assert "503" in failures(result)["properties"].description
    assert sum(event.is_step_restarted for event in result.all_events) == 2
    assert not orchestra.materialized("properties")


@pytest.mark.soak
def test_a_scheduled_run_that_may_make_no_call_fails_at_once_and_records_nothing(
    orchestra: Orchestra,
) -> None:
    """As one that was queued before the circuit breaker opened."""
    prepare(orchestra)
    calls, held = len(orchestra.world.simulator.calls), contents(orchestra)
    with closing(open_store(str(orchestra.world.folder / "state.db"))) as store:
        breaker = open_breaker(orchestra, store)
        tags = {TICK_TAG: NINE.isoformat(), MORE_WORKSPACE_TAG: "acme"}
        result = materialize(orchestra, tags=tags)
        assert set(failures(result)) == {table.name for table in TABLES}
        assert not any(event.is_step_restarted for event in result.all_events)
        assert not any(orchestra.materialized(table.name) for table in TABLES)
        assert (len(orchestra.world.simulator.calls), contents(orchestra)) == (calls, held)

        # A run by a person fails, as it did not do what was requested.
        by_hand = materialize(orchestra)
        assert set(failures(by_hand)) == {table.name for table in TABLES}
        assert all("circuit open since" in failure.description for failure in failures(by_hand).values())
        assert not any(event.is_step_restarted for event in by_hand.all_events)

        orchestra.world.now += timedelta(minutes=5)
        assert breaker.state().state is Circuit.HALF_OPEN
        assert materialize(orchestra, tags=tags).success
        assert all(set(orchestra.materialized(table.name)) == {"acme"} for table in TABLES)


def test_an_api_that_becomes_unavailable_fails_a_scheduled_run_though_the_breaker_opens(
    orchestra: Orchestra,
) -> None:
    world = orchestra.world
    world.faults.append(lambda call: UNAVAILABLE if call.kind != "token" else None)
    with closing(open_store(str(world.folder / "state.db"))) as store:
        orchestra.open_console = lambda workspace: guarded_console(world, store, workspace)
        breaker = SharedBreaker(store, world.url, clock=lambda: world.now)
        for n in range(4):
            give_up(breaker, f"property {n}")
        tags = {TICK_TAG: NINE.isoformat(), MORE_WORKSPACE_TAG: "acme"}
        result = materialize(orchestra, tables=TABLES[:1], tags=tags)
        assert breaker.state().state is Circuit.OPEN
    assert "properties" in failures(result)


def test_a_token_endpoint_that_stays_unavailable_fails_a_scheduled_run_that_probes_it(
    orchestra: Orchestra,
) -> None:
    world = orchestra.world
    away = google_error(503, "backendError", "Service unavailable.")
    world.faults.append(lambda call: away if call.kind == "token" else None)
    tags = {TICK_TAG: NINE.isoformat(), MORE_WORKSPACE_TAG: "acme"}
    with closing(open_store(str(world.folder / "state.db"))) as store:
        orchestra.open_console = lambda workspace: guarded_console(world, store, workspace)
        for _ in range(2):
            result = materialize(orchestra, tables=TABLES[:1], tags=tags)
            assert "properties" in failures(result)
            world.now += timedelta(days=1)


def open_breaker(orchestra: Orchestra, store: Store) -> SharedBreaker:
    """The world's clients share this breaker from now on, and it has just opened."""
    world = orchestra.world
    breaker = SharedBreaker(store, world.url, clock=lambda: world.now)
    orchestra.open_console = lambda workspace: guarded_console(world, store, workspace)
    open_circuit(breaker)
    return breaker


def contents(orchestra: Orchestra) -> list[int]:
    """How many rows the lake holds of each table."""
    return [orchestra.world.lake.read(table).num_rows for table in TABLES]


def test_a_property_that_may_not_be_read_leaves_the_run_green_and_is_named(orchestra: Orchestra) -> None:
    orchestra.workspaces[0] = orchestra.world.workspace(
        properties=("sc-domain:acme.com", "sc-domain:other.com")
    )
    (table,) = [table for table in TABLES if table.name == "searchdata_hourly"]
    result = materialize(orchestra, tables=(table,))
    assert result.success
    numbers = orchestra.materialized(table.name)["acme"]
    (problem,) = numbers["problems"]
    assert "sc-domain:other.com (WEB)" in problem
    assert (numbers["properties"], numbers["retries"]) == (2, 0)
    assert orchestra.world.lake.read(table).num_rows == numbers["rows"] > 0


def test_a_run_that_fails_temporarily_has_committed_what_it_read(orchestra: Orchestra) -> None:
    bad_day = str(orchestra.world.today - ONE_DAY)

    def fault(call: Call) -> Reply | None:
        is_bad = call.kind == "query" and call.body["dimensions"] == ["hour", "page"]
        return UNAVAILABLE if is_bad and call.body["startDate"] == bad_day else None

    orchestra.world.faults.append(fault)
    (table,) = [table for table in TABLES if table.name == "searchdata_hourly"]
    result = materialize(orchestra, tables=(table,))
    assert not result.success
    assert bad_day in failures(result)[table.name].description
    days = {str(day) for day in orchestra.world.lake.read(table)["data_date"].to_pylist()}
    assert len(days) >= 8
    assert bad_day not in days


def test_a_workspace_that_the_file_no_longer_lists_is_refused(orchestra: Orchestra) -> None:
    del orchestra.workspaces[1]
    result = materialize(orchestra, "globex", TABLES[:1])
    (failure,) = failures(result).values()
    assert "does not list globex" in failure.description
    assert not orchestra.world.simulator.calls


def test_a_bad_workspaces_file_fails_the_run_once_with_the_files_problem(orchestra: Orchestra) -> None:
    def bad_file() -> Any:
        raise ConfigurationError("workspaces.yaml", ["workspaces[0].id: 'A B': expected a slug"])

    orchestra.list_workspaces = bad_file
    result = materialize(orchestra, tables=TABLES[:1])
    (failure,) = failures(result).values()
    assert "workspaces[0].id: 'A B': expected a slug" in failure.description
    assert not any(event.is_step_restarted for event in result.all_events)


def tick(orchestra: Orchestra, **settings: Any) -> dg.ScheduleEvaluationContext:
    defs = build_defs(load_settings(**settings), resources=orchestra.resources)
    with dg.build_schedule_context(
        instance=orchestra.instance,
        scheduled_execution_time=NINE,
        resources=orchestra.resources,
        repository_def=defs.get_repository_def(),
    ) as context:
        return defs.resolve_schedule_def("gsc_auto_sync_more").evaluate_tick(context)  # type: ignore[return-value]


def test_a_tick_requests_one_run_per_active_workspace(orchestra: Orchestra) -> None:
    first = orchestra.workspaces[0]
    orchestra.workspaces += [
        dataclasses.replace(first, id="inactive", active=False),
        dataclasses.replace(first, id="new"),
    ]
    requests = tick(orchestra).run_requests
    assert [request.tags["gsc/workspaces"] for request in requests] == ["acme", "globex", "new"]
    assert [request.tags[MORE_WORKSPACE_TAG] for request in requests] == ["acme", "globex", "new"]
    assert {request.tags["gsc/tick"] for request in requests} == {NINE.isoformat()}
    assert len({request.run_key for request in requests}) == 3
    assert orchestra.instance.has_dynamic_partition(WORKSPACES, "new")


def test_a_tick_without_an_active_workspace_is_skipped_with_a_reason(orchestra: Orchestra) -> None:
    orchestra.workspaces[:] = [dataclasses.replace(w, active=False) for w in orchestra.workspaces]
    assert tick(orchestra).skip_message == "no workspace is active"


def test_the_job_reads_every_table_of_the_requested_workspace(orchestra: Orchestra) -> None:
    prepare(orchestra)
    # Dagster looks up what a step depends on once that has events.
    orchestra.materialize(tags=range_tags("acme", orchestra.world.last(1)))
    (request, _) = tick(orchestra).run_requests
    defs = build_defs(load_settings(), resources=orchestra.resources)
    job = defs.resolve_job_def("gsc_more")
    result = job.execute_in_process(instance=orchestra.instance, tags=request.tags)
    assert result.success
    assert all(set(orchestra.materialized(table.name)) == {"acme"} for table in TABLES)


def test_of_workspaces_that_share_a_run_a_failed_one_is_red_and_named_and_the_other_up_to_date(
    orchestra: Orchestra,
) -> None:
    orchestra.world.faults.append(
        lambda call: token_error("invalid_grant", "revoked") if asks_token_for("acme", call) else None
    )
    (request,) = tick(orchestra, workspaces_per_run=2).run_requests
    assert request.tags[MORE_WORKSPACE_TAG] == "acme+1"
    result = materialize(orchestra, None, TABLES[:1], tags=request.tags)
    assert failures(result)["properties"].description.startswith("acme: ")
    assert "globex" not in failures(result)["properties"].description
    assert set(orchestra.world.lake.read(TABLES[0])["workspace"].to_pylist()) == {"globex"}
    assert set(orchestra.materialized("properties")) == {"globex"}
    assert red(orchestra, "properties") == {"acme"}


def red(orchestra: Orchestra, asset: str) -> set[str]:
    """The partitions that the last run failed to materialize."""
    storage = orchestra.instance.event_log_storage
    key = dg.AssetKey(asset)
    return set(storage.get_latest_asset_partition_materialization_attempts_without_materializations(key))


def test_a_fault_of_the_project_in_one_workspace_stops_no_other(orchestra: Orchestra) -> None:
    broken = dataclasses.replace(orchestra.workspaces[0], credentials=None)  # type: ignore[arg-type]
    orchestra.workspaces[0] = broken
    (request,) = tick(orchestra, workspaces_per_run=2).run_requests
    result = materialize(orchestra, None, TABLES[:1], tags=request.tags)
    assert "acme: unexpected AttributeError" in failures(result)["properties"].description
    assert set(orchestra.materialized("properties")) == {"globex"}


def test_a_run_registers_a_workspace_that_the_instance_does_not_have(orchestra: Orchestra) -> None:
    orchestra.workspaces.append(dataclasses.replace(orchestra.workspaces[0], id="initech"))
    assert materialize(orchestra, "initech", TABLES[:1]).success
    assert set(orchestra.materialized(TABLES[0].name)) == {"initech"}
    assert "initech" in orchestra.instance.get_dynamic_partitions(WORKSPACES)


def test_a_run_that_names_no_workspace_is_refused(orchestra: Orchestra) -> None:
    result = materialize(orchestra, None, TABLES[:1])
    assert "choose a partition" in failures(result)["properties"].description
