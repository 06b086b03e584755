"""The code location as Dagster loads it."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.events import AssetMaterializationPlannedData
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from gsc_pipeline.assets.insights import CLIENT_REPORT
from gsc_pipeline.dagster_private import instance_in_scope, plan_partition
from gsc_pipeline.days import Window
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.jobs import MAX_RUNTIME_TAG, MORE_RUN_TAGS
from gsc_pipeline.lake.schemas import INSIGHTS, TABLES
from gsc_pipeline.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    WORKSPACES,
    partition_key,
    partitions_definition,
    windows_by_workspace,
)
from gsc_pipeline.settings import load_settings
from gsc_pipeline.tick_summary import AUTO_SYNC


@pytest.fixture(autouse=True)
def instance() -> Iterator[None]:
    """Dagster resolves definitions by the newest instance of the process, which must still be open."""
    with dg.instance_for_test():
        yield


def import_definitions(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GSC_", "DAGSTER_"))}
    code = "import gsc_pipeline.definitions as d; print(type(d.defs).__name__)"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env={**clean, **variables},
        check=False,
        capture_output=True,
        text=True,
    )


def test_importing_the_definitions_touches_no_file_and_warns_of_nothing(tmp_path: Path) -> None:
    done = import_definitions(tmp_path, GSC_API_URL="http://127.0.0.1:9", GSC_LAKE=str(tmp_path / "lake"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "Definitions\n", "")
    assert list(tmp_path.iterdir()) == []


def test_settings_that_cannot_be_used_stop_the_code_location_with_every_mistake_named(tmp_path: Path) -> None:
    done = import_definitions(tmp_path, GSC_AUTO_SYNC_DAYS="many", GSC_API_URL="nowhere")
    assert done.returncode != 0
    assert "GSC_AUTO_SYNC_DAYS: 'many'" in done.stderr
    assert "GSC_API_URL: 'nowhere'" in done.stderr


def test_the_definitions_are_what_the_design_lists() -> None:
    defs = build_defs(load_settings())
    dg.Definitions.validate_loadable(defs)
    graph = defs.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {
        "auto_sync",
        "searchdata_site_impression",
        "searchdata_url_impression",
        "properties",
        "search_appearance",
        "searchdata_hourly",
        "sitemaps",
        "url_inspections",
        *(table.name for table in INSIGHTS),
        "client_report",
    }
    assert {check.name for check in graph.asset_check_keys} == {
        "anonymised_share_is_usual",
        "every_workspace_synced",
        "keys_unique",
        "no_day_beyond_yesterday",
        "no_partial_failures",
        "no_truncated_days",
        "schema_as_declared",
        "totals_reconcile",
        "up_to_date",
    }
    job = defs.resolve_job_def("gsc_sync")
    assert {"dagster/priority": "1", MAX_RUNTIME_TAG: "600"}.items() <= job.tags.items()
    schedule = defs.resolve_schedule_def("gsc_auto_sync")
    assert (schedule.cron_schedule, schedule.job_name) == ("0 */6 * * *", "gsc_sync")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    more = defs.resolve_job_def("gsc_more")
    assert MORE_RUN_TAGS.items() <= more.tags.items()
    daily = defs.resolve_schedule_def("gsc_auto_sync_more")
    assert (daily.cron_schedule, daily.job_name) == ("0 9 * * *", "gsc_more")
    assert daily.default_status is dg.DefaultScheduleStatus.STOPPED
    tidying = defs.resolve_schedule_def("gsc_housekeeping")
    assert (tidying.cron_schedule, tidying.job_name) == ("30 1 * * *", "gsc_housekeeping")
    assert tidying.default_status is dg.DefaultScheduleStatus.STOPPED
    assert defs.resolve_sensor_def("gsc_workspaces_in_step").default_status is dg.DefaultSensorStatus.RUNNING


def test_the_schedule_is_on_from_the_start_only_where_it_is_enabled() -> None:
    defs = build_defs(load_settings(auto_sync_enabled=True, auto_sync_cron="@daily"))
    schedule = defs.resolve_schedule_def("gsc_auto_sync")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "@daily"
    for name in ("gsc_auto_sync_more", "gsc_housekeeping"):
        assert defs.resolve_schedule_def(name).default_status is dg.DefaultScheduleStatus.RUNNING


def test_every_column_is_described_in_the_ui() -> None:
    tables = {table.name: table for table in TABLES}
    graph = build_defs(load_settings()).resolve_asset_graph()
    no_tables = {AUTO_SYNC.key, dg.AssetKey(CLIENT_REPORT)}
    specs = [spec for asset in graph.assets_defs for spec in asset.specs if spec.key not in no_tables]
    assert specs
    for spec in specs:
        columns = spec.metadata["dagster/column_schema"].columns
        assert [column.name for column in columns] == tables[spec.key.to_user_string()].schema.names
        assert all(column.description for column in columns)


def test_what_makes_a_partition_red_is_dagsters_own() -> None:
    parameters = inspect.signature(AssetMaterializationPlannedData).parameters
    assert list(parameters)[:2] == ["asset_key", "partition"]
    built = dg.DagsterEvent.build_asset_materialization_planned_event
    data = AssetMaterializationPlannedData(dg.AssetKey("a"), partition="p")
    event = built("job", "step", data)
    assert event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    assert plan_partition.__module__ == "gsc_pipeline.dagster_private"


def specs(**settings: object) -> dict[str, dg.AssetSpec]:
    graph = build_defs(load_settings(**settings)).resolve_asset_graph()
    return {spec.key.to_user_string(): spec for asset in graph.assets_defs for spec in asset.specs}


def test_every_asset_says_what_it_is_of_which_kind_and_where_it_belongs() -> None:
    for name, spec in specs().items():
        assert len(spec.description or "") > 40, name
        assert spec.kinds, name
        assert spec.group_name in ("search_console", "insights", "report"), name


def test_every_asset_says_who_makes_it_and_where_to_see_when_it_was_last_true() -> None:
    defs = build_defs(load_settings())
    jobs = {job.name for job in defs.resolve_all_job_defs()}
    for name, spec in specs().items():
        told = spec.description or ""
        assert "**Made by** the" in told, name
        assert jobs & set(re.findall(r"`(gsc_\w+)`", told)) or spec.key == AUTO_SYNC.key, name
        if spec.key != AUTO_SYNC.key:
            assert "**A partition** is" in told, name
            assert "`up_to_date`" in told, name


def test_every_table_says_where_it_is_and_how_to_ask_it() -> None:
    tables = {table.name for table in TABLES}
    for name, spec in specs(lake="s3://bucket/lake/").items():
        if name in tables:
            assert spec.metadata["dagster/uri"] == f"s3://bucket/lake/{name}"
            assert f"FROM {name} " in (spec.description or "")


def test_every_job_schedule_sensor_check_and_resource_is_described() -> None:
    defs = build_defs(load_settings())
    repository = defs.get_repository_def()
    checks = [spec for one in repository.asset_checks_defs_by_key.values() for spec in one.check_specs]
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    described = [*jobs, *repository.schedule_defs, *repository.sensor_defs, *checks]
    assert len(described) > 20
    for one in [*described, *repository.get_top_level_resources().values()]:
        assert len(one.description or "") > 40, one


def test_every_asset_names_the_owners_that_the_setting_does() -> None:
    owners = "seo@acme.com team:search"
    assert {tuple(spec.owners) for spec in specs(owners=owners).values()} == {tuple(owners.split())}
    assert not any(spec.owners for spec in specs().values())


def test_the_columns_of_the_insights_are_traced_to_columns_that_exist() -> None:
    tables = {table.name: set(table.schema.names) for table in TABLES}
    every = specs()
    for table in INSIGHTS:
        spec = every[table.name]
        upstream = {dep.asset_key for dep in spec.deps}
        lineage = spec.metadata["dagster/column_lineage"].deps_by_column
        assert set(lineage) <= set(table.schema.names)
        for deps in lineage.values():
            assert {dep.asset_key for dep in deps} <= upstream
            assert all(dep.column_name in tables[dep.asset_key.to_user_string()] for dep in deps)


def test_the_range_tags_are_dagsters_own() -> None:
    assert (RANGE_START_TAG, RANGE_END_TAG) == (
        ASSET_PARTITION_RANGE_START_TAG,
        ASSET_PARTITION_RANGE_END_TAG,
    )


def test_keys_are_spelled_as_dagster_spells_them() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme"])
        definition = partitions_definition(date(2026, 11, 20), lambda: [])
        keys = definition.get_partition_keys(dynamic_partitions_store=instance)
        assert partition_key(date(2026, 11, 20), "acme") in keys


def test_keys_make_up_unbroken_windows_by_workspace() -> None:
    days = [date(2026, 11, n) for n in (3, 1, 2, 7)]
    keys = [partition_key(day, "acme") for day in days] + [partition_key(days[0], "globex")]
    assert windows_by_workspace(keys) == {
        "acme": [Window(date(2026, 11, 1), date(2026, 11, 4)), Window(date(2026, 11, 7), date(2026, 11, 8))],
        "globex": [Window(date(2026, 11, 3), date(2026, 11, 4))],
    }


def test_the_instance_in_scope_is_the_one_dagster_resolves_keys_for() -> None:
    assert instance_in_scope() is None
    with (
        dg.DagsterInstance.ephemeral() as instance,
        partition_loading_context(dynamic_partitions_store=instance),
    ):
        assert instance_in_scope() is instance


@pytest.mark.parametrize(("workspace", "known"), [("acme", True), ("nobody", False)])
def test_a_workspace_is_a_partition_as_soon_as_the_file_lists_it(workspace: str, known: bool) -> None:
    definition = partitions_definition(date(2026, 11, 1), lambda: ["acme"])
    with (
        dg.DagsterInstance.ephemeral() as instance,
        partition_loading_context(dynamic_partitions_store=instance),
    ):
        assert definition.has_partition_key(f"2026-11-02|{workspace}") is known
        assert instance.has_dynamic_partition(WORKSPACES, workspace) is known
