"""The code location as Dagster loads it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from gsc_pipeline import definitions
from gsc_pipeline.days import Window
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.jobs import MAX_RUNTIME_TAG
from gsc_pipeline.defs.keys import AUTO_SYNC, CLIENT_REPORT, PORTAL
from gsc_pipeline.defs.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    WORKSPACES,
    partition_key,
    partitions_definition,
    windows_by_workspace,
)
from gsc_pipeline.lake.schemas import INSIGHTS, TABLES
from gsc_pipeline.settings import load_settings
from gsc_pipeline_tests.instances import instance_on_files
from gsc_pipeline_tests.keys import write_key


@pytest.fixture(autouse=True)
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Dagster resolves definitions by the newest instance of the process, which must still be open."""
    with instance_on_files(tmp_path_factory.mktemp("instance") / "dagster"):
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


def write_workspaces(folder: Path, *ids: str) -> None:
    entries = [
        f"- {{id: {one}, properties: all, credentials: {{service_account_file: {one}.json}}}}" for one in ids
    ]
    (folder / "workspaces.yaml").write_text("\n".join(["workspaces:", *entries]), encoding="utf-8")


def test_importing_the_definitions_writes_no_file_and_warns_of_nothing(tmp_path: Path) -> None:
    write_workspaces(tmp_path, "acme")
    write_key(tmp_path / "acme.json", base_url="http://127.0.0.1:9", client_email="a@example.com")
    before = set(tmp_path.iterdir())
    done = import_definitions(tmp_path, GSC_API_URL="http://127.0.0.1:9", GSC_LAKE=str(tmp_path / "lake"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "Definitions\n", "")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.soak
def test_what_cannot_be_used_is_one_warning_and_the_definitions_load(tmp_path: Path) -> None:
    done = import_definitions(tmp_path)
    assert (done.returncode, done.stdout) == (0, "Definitions\n")
    assert done.stderr.splitlines() == [
        "the code location is loaded, but runs will fail until this is corrected:",
        "workspaces.yaml: cannot be read (No such file or directory): "
        "name your workspaces file in GSC_WORKSPACES_FILE, or write one with gsc init",
    ]
    write_workspaces(tmp_path, "acme", "globex")
    (tmp_path / "globex.json").write_text('{"client_email": "a@example.com", "private_key": ""}')
    (tmp_path / "globex.json").chmod(0o600)
    done = import_definitions(tmp_path)
    assert (done.returncode, done.stdout) == (0, "Definitions\n")
    _, acme, globex = done.stderr.splitlines()
    assert acme.startswith("workspace acme: service-account file acme.json cannot be read (No such file")
    assert globex.startswith("workspace globex: service-account file globex.json lacks private_key")


@pytest.mark.soak
def test_invalid_settings_stop_the_code_location_and_every_mistake_is_named(tmp_path: Path) -> None:
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
        "sync_ledger",
        "sync_runs",
        "revisions",
        "standing_failures",
        "past_cap",
        "annotations",
        "more_ledger",
        "folder_days",
        *(table.name for table in INSIGHTS),
        "client_report",
        "portal",
    }
    assert {check.name for check in graph.asset_check_keys} == {
        "anonymised_share_is_usual",
        "every_workspace_synced",
        "keys_unique",
        "no_day_beyond_yesterday",
        "no_partial_failures",
        "no_property_went_dark",
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
    of_more = {"gsc/queue": "background", "dagster/priority": "0", MAX_RUNTIME_TAG: "7200"}
    assert of_more.items() <= more.tags.items()
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
    no_tables = {dg.AssetKey(name) for name in (AUTO_SYNC, CLIENT_REPORT, PORTAL)}
    specs = [spec for asset in graph.assets_defs for spec in asset.specs if spec.key not in no_tables]
    assert specs
    for spec in specs:
        columns = spec.metadata["dagster/column_schema"].columns
        assert [column.name for column in columns] == tables[spec.key.to_user_string()].schema.names
        assert all(column.description for column in columns)


def specs(**settings: object) -> dict[str, dg.AssetSpec]:
    graph = build_defs(load_settings(**settings)).resolve_asset_graph()
    return {spec.key.to_user_string(): spec for asset in graph.assets_defs for spec in asset.specs}


def test_every_asset_has_a_description_a_kind_and_a_group() -> None:
    for name, spec in specs().items():
        assert len(spec.description or "") > 40, name
        assert spec.kinds, name
        assert spec.group_name in ("search_console", "bookkeeping", "insights", "report"), name


def test_every_asset_says_what_makes_it_and_where_to_see_when_it_was_up_to_date() -> None:
    defs = build_defs(load_settings())
    jobs = {job.name for job in defs.resolve_all_job_defs()}
    for name, spec in specs().items():
        told = spec.description or ""
        assert "**Made by** the" in told, name
        assert jobs & set(re.findall(r"`(gsc_\w+)`", told)) or name == AUTO_SYNC, name
        if spec.partitions_def:
            assert "**A partition** is" in told, name
            assert "`up_to_date`" in told, name


def test_every_table_says_where_it_is_and_how_to_query_it() -> None:
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


def test_every_asset_has_the_configured_owners() -> None:
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


def test_keys_have_the_form_that_dagster_gives_them() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme"])
        definition = partitions_definition(date(2026, 11, 20), lambda: [])
        keys = definition.get_partition_keys(dynamic_partitions_store=instance)
        assert partition_key(date(2026, 11, 20), "acme") in keys


def test_keys_are_joined_to_windows_of_consecutive_days_by_workspace() -> None:
    days = [date(2026, 11, n) for n in (3, 1, 2, 7)]
    keys = [partition_key(day, "acme") for day in days] + [partition_key(days[0], "globex")]
    assert windows_by_workspace(keys) == {
        "acme": [Window(date(2026, 11, 1), date(2026, 11, 4)), Window(date(2026, 11, 7), date(2026, 11, 8))],
        "globex": [Window(date(2026, 11, 3), date(2026, 11, 4))],
    }


@pytest.mark.parametrize(("workspace", "known"), [("acme", True), ("nobody", False)])
def test_a_workspace_is_a_key_as_soon_as_the_file_lists_it_and_a_query_registers_nothing(
    workspace: str, known: bool
) -> None:
    definition = partitions_definition(date(2026, 11, 1), lambda: ["acme"])
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.partition_loading_context(dynamic_partitions_store=instance),
    ):
        assert definition.has_partition_key(f"2026-11-02|{workspace}") is known
        assert instance.get_dynamic_partitions(WORKSPACES) == []


def test_the_file_is_not_read_for_a_registered_workspace() -> None:
    def unread() -> list[str]:
        raise AssertionError("the file was read")

    definition = partitions_definition(date(2026, 11, 1), unread)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.partition_loading_context(dynamic_partitions_store=instance),
    ):
        instance.add_dynamic_partitions(WORKSPACES, ["acme"])
        assert definition.has_partition_key("2026-11-02|acme")


def test_the_entry_point_is_short() -> None:
    assert len(Path(definitions.__file__).read_text(encoding="utf-8").splitlines()) <= 40
