"""The definitions in another Dagster project: as a component, under a prefix and in a group."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline import SearchConsole, build_defs
from gsc_pipeline.defs.component import PATHS
from gsc_pipeline.defs.jobs import WORKSPACES_TAG
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import PROPERTIES, SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION
from gsc_pipeline.settings import ConfigurationError, Settings, load_settings
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.ticks import Tick
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.replies import UNAVAILABLE, all_queries
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World

PREFIX = ("google", "search")
SITE = dg.AssetKey([*PREFIX, SITE_IMPRESSION.name])
URL = dg.AssetKey([*PREFIX, URL_IMPRESSION.name])
DG = str(Path(sys.executable).parent / "dg")
LOADED = "All definitions loaded successfully."


def prefixed(orchestra: Orchestra, **options: Any) -> dg.Definitions:
    return build_defs(
        load_settings(start_date=orchestra.start.isoformat()),
        resources=orchestra.resources,
        retries=dg.RetryPolicy(max_retries=0),
        asset_key_prefix=PREFIX,
        group_name="seo",
        shared=True,
        **options,
    )


def test_every_key_has_the_prefix_and_every_asset_is_in_the_group(orchestra: Orchestra) -> None:
    defs = prefixed(orchestra)
    dg.Definitions.validate_loadable(defs)
    graph = defs.resolve_asset_graph()
    plain = build_defs(load_settings()).resolve_asset_graph()
    assert graph.get_all_asset_keys() == {key.with_prefix(list(PREFIX)) for key in plain.get_all_asset_keys()}
    assert {tuple(check.asset_key.path[:2]) for check in graph.asset_check_keys} == {PREFIX}
    assert len(graph.asset_check_keys) == len(plain.asset_check_keys)
    for asset in graph.assets_defs:
        for spec in asset.specs:
            assert spec.group_name == "seo"
            assert all(dep.asset_key.path[:2] == list(PREFIX) for dep in spec.deps)
            lineage = spec.metadata.get("dagster/column_lineage")
            for deps in lineage.deps_by_column.values() if lineage else ():
                assert all(dep.asset_key.path[:2] == list(PREFIX) for dep in deps)


def test_a_shared_project_keeps_its_own_executor(orchestra: Orchestra) -> None:
    assert prefixed(orchestra).executor is None
    job = prefixed(orchestra).resolve_job_def("gsc_sync")
    assert job.executor_def is dg.in_process_executor


def test_a_partition_is_materialized_and_its_check_is_evaluated_under_the_prefix(
    orchestra: Orchestra,
) -> None:
    job = prefixed(orchestra).resolve_job_def("gsc_sync")
    day = orchestra.world.last(1).start
    done = job.execute_in_process(instance=orchestra.instance, partition_key=f"{day}|acme")
    assert done.success
    for key in (SITE, URL):
        assert orchestra.instance.get_materialized_partitions(key) == {f"{day}|acme"}
    (check,) = done.get_asset_check_evaluations()
    assert (check.asset_key, check.check_name, check.passed) == (SITE, "no_partial_failures", True)
    assert not orchestra.instance.get_materialized_partitions(dg.AssetKey(SITE_IMPRESSION.name))


def test_the_days_that_a_scheduled_run_could_not_read_are_failed_under_the_prefix(
    orchestra: Orchestra,
) -> None:
    world = orchestra.world
    world.faults.append(all_queries(UNAVAILABLE))
    job = prefixed(orchestra).resolve_job_def("gsc_more")
    done = job.execute_in_process(
        instance=orchestra.instance, tags={WORKSPACES_TAG: "acme"}, raise_on_error=False
    )
    assert not done.success
    status = orchestra.instance.get_status_by_partition(
        dg.AssetKey([*PREFIX, "searchdata_hourly"]), ["acme"], defs_partitions(prefixed(orchestra))
    )
    assert status
    assert [one and one.name for one in status.values()] == ["FAILED"]


def defs_partitions(defs: dg.Definitions) -> dg.PartitionsDefinition[str]:
    spec = defs.get_assets_def(dg.AssetKey([*PREFIX, "searchdata_hourly"]))
    assert spec.partitions_def
    return spec.partitions_def


def test_the_checks_of_all_assets_run_under_the_prefix(orchestra: Orchestra) -> None:
    orchestra.world.sync(orchestra.workspaces[0])
    defs = prefixed(orchestra)
    properties = dg.AssetMaterialization([*PREFIX, PROPERTIES.name], partition="acme")
    orchestra.instance.report_runless_asset_event(properties)
    done = defs.resolve_job_def("gsc_checks").execute_in_process(instance=orchestra.instance)
    assert done.success
    found = {
        (check.asset_key.path[-1], check.check_name): check for check in done.get_asset_check_evaluations()
    }
    assert {check.asset_key.path[0] for check in found.values()} == {"google"}
    (acme,) = [
        row.data
        for row in found["properties", "up_to_date"].metadata["workspaces"].value.records  # type: ignore[union-attr]
        if row.data["workspace"] == "acme"
    ]
    # It finds the materialization of the prefixed asset.
    assert acme["last updated (UTC)"] != "never"


def test_the_sensors_report_days_and_ticks_under_the_prefix(orchestra: Orchestra) -> None:
    orchestra.world.sync(orchestra.workspaces[0])
    defs = prefixed(orchestra)
    with dg.build_sensor_context(
        instance=orchestra.instance, resources=orchestra.resources, repository_def=defs.get_repository_def()
    ) as context:
        found = defs.resolve_sensor_def("gsc_report_syncs").evaluate_tick(context)
    reported = {event.asset_key for event in found.asset_events}
    assert reported == {SITE, URL}
    (check,) = [event for event in found.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    assert check.asset_key == SITE
    now = orchestra.world.now
    orchestra.ticks.begin(Tick(now.isoformat(), now, (), 0))
    with dg.build_sensor_context(
        instance=orchestra.instance, resources=orchestra.resources, repository_def=defs.get_repository_def()
    ) as context:
        ended = defs.resolve_sensor_def("gsc_tick_summary").evaluate_tick(context)
    assert {event.asset_key for event in ended.asset_events} == {dg.AssetKey([*PREFIX, "auto_sync"])}


def test_housekeeping_deletes_no_runs_of_a_shared_instance(orchestra: Orchestra) -> None:
    @dg.job
    def of_others() -> None: ...

    old = of_others.execute_in_process(instance=orchestra.instance).run_id
    later = prefixed(orchestra)
    orchestra.world.now = orchestra.world.now.replace(year=orchestra.world.now.year + 1)
    done = later.resolve_job_def("gsc_housekeeping").execute_in_process(instance=orchestra.instance)
    assert done.success
    assert orchestra.instance.get_run_by_id(old)


def test_every_setting_is_an_attribute_with_its_description() -> None:
    properties = SearchConsole.model().model_json_schema()["properties"]
    assert set(properties) == {*Settings.model_fields, "asset_key_prefix", "group_name"}
    assert all(one["description"] for one in properties.values())
    for name, setting in Settings.model_fields.items():
        assert properties[name]["description"].startswith(str(setting.description))
        assert str(setting.validation_alias) in properties[name]["description"]


def test_relative_paths_are_taken_from_the_projects_root(tmp_path: Path) -> None:
    given = SearchConsole(lake="tables", state="shared.db", audit_log="off")
    settings = given.settings(tmp_path)
    assert settings.lake == str(tmp_path / "tables")
    assert settings.state == str(tmp_path / "shared.db")
    assert settings.audit_log == "off"
    # Also where the default applies.
    assert settings.workspaces_file == tmp_path / "workspaces.yaml"
    assert settings.reports == str(tmp_path / "reports")
    elsewhere = SearchConsole(lake="s3://bucket/lake", reports="/srv/reports")
    assert elsewhere.settings(tmp_path).lake == "s3://bucket/lake"
    assert elsewhere.settings(tmp_path).reports == "/srv/reports"


def test_no_setting_that_may_be_a_path_is_forgotten() -> None:
    described = {
        name
        for name, setting in Settings.model_fields.items()
        if setting.annotation is Path or re.search("folder|file", str(setting.description))
    }
    # How long replaced files are kept, and the size of the audit log.
    assert described - {"vacuum_hours", "audit_log_megabytes"} == set(PATHS)


def test_the_environment_sets_what_the_attributes_leave_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GSC_AUTO_SYNC_DAYS", "5")
    monkeypatch.setenv("GSC_RUN_MINUTES", "20")
    settings = SearchConsole(auto_sync_days=7).settings(tmp_path)
    assert (settings.auto_sync_days, settings.run_minutes) == (7, 20)


def test_an_invalid_attribute_is_named_as_it_is_written(tmp_path: Path) -> None:
    given = SearchConsole(auto_sync_days=9999, auto_sync_cron="often")
    with pytest.raises(ConfigurationError) as found:
        given.settings(tmp_path)
    first, second = sorted(str(found.value).splitlines())
    assert first.startswith("SearchConsole: auto_sync_cron: 'often': expected five cron fields")
    assert second == "SearchConsole: auto_sync_days: 9999: expected 500 or less"


DEFINITIONS = """
from pathlib import Path
import dagster as dg

@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
OWN = """
import dagster as dg

@dg.asset(deps=[dg.AssetKey(["google", "searchdata_site_impression"])])
def own(): ...
"""
COMPONENT = """
type: gsc_pipeline.SearchConsole
attributes:
  workspaces_file: workspaces.yaml
  lake: lake
  api_url: "{{ env.SIMULATOR }}"
  api_limit_factor: 100
  asset_key_prefix: google
  group_name: seo
"""
PYPROJECT = """
[project]
name = "foreign"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "foreign"
"""


@contextmanager
def foreign_project(folder: Path) -> Iterator[tuple[World, dict[str, str]]]:
    """A Dagster project with an asset of its own and the component, as a scaffold lays it out."""
    with World.serving(folder, [SyntheticProperty("sc-domain:acme.com", rows_a_day=5)]) as world:
        world.environment()
        for name, text in {
            "pyproject.toml": PYPROJECT,
            "src/foreign/__init__.py": "",
            "src/foreign/definitions.py": DEFINITIONS,
            "src/foreign/defs/__init__.py": "",
            "src/foreign/defs/own.py": OWN,
            "src/foreign/defs/search_console/defs.yaml": COMPONENT,
            "instance/dagster.yaml": "telemetry: {enabled: false}\n",
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        kept = {name: one for name, one in os.environ.items() if not name.startswith(("GSC_", "DAGSTER_"))}
        python_path = os.pathsep.join([str(folder / "src"), os.environ.get("PYTHONPATH", "")])
        yield (
            world,
            {
                **kept,
                "PYTHONPATH": python_path,
                "DAGSTER_HOME": str(folder / "instance"),
                "SIMULATOR": world.url,
            },
        )


def run(command: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=env, check=False, capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.soak
def test_a_foreign_project_passes_dg_check_and_materializes_a_partition(tmp_path: Path) -> None:
    with foreign_project(tmp_path) as (world, env):
        assert LOADED in run([DG, "check", "defs"], tmp_path, env)
        listed = run([DG, "list", "defs", "--json"], tmp_path, env)
        assert '"google/searchdata_site_impression"' in listed
        assert '"own"' in listed
        assert "gsc_pipeline.SearchConsole" in run([DG, "list", "components", "--json"], tmp_path, env)
        day = world.last(3).start
        run([DG, "launch", "--job", "gsc_sync", "--partition", f"{day}|acme"], tmp_path, env)
        rows = Lake(str(tmp_path / "lake")).read(SYNC_LEDGER).to_pylist()
        assert [(row["workspace"], row["data_date"], row["status"]) for row in rows] == [
            ("acme", day, "final")
        ]


@pytest.mark.soak
def test_dg_checks_and_lists_the_projects_own_definitions(tmp_path: Path) -> None:
    home = Path(__file__).parents[2]
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    env = {**os.environ, "DAGSTER_HOME": str(tmp_path)}
    assert LOADED in run([DG, "check", "defs"], home, env)
    assert "gsc_auto_sync" in run([DG, "list", "defs", "--json"], home, env)
