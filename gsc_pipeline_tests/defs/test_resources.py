"""The resources: what the UI shows of them, that no secret is in it, and what they are made into."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap

from gsc_pipeline.days import utc_now
from gsc_pipeline.defs.build import build_defs
from gsc_pipeline.defs.resources import (
    SECRETS,
    LakeTables,
    Notifications,
    SearchConsoleApi,
    SettingsResource,
    SharedState,
    TelemetryLog,
    WorkspacesFile,
    all_resources,
)
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.settings import Settings, load_settings
from gsc_pipeline.sync.telemetry import AutoSyncComplete, AutoSyncStarted
from gsc_pipeline_tests.instances import instance_on_files
from gsc_pipeline_tests.monitoring.receiver import receiving
from gsc_pipeline_tests.monitoring.test_audit import lines

# Dagster's own summary of a code location still asks for it.
pytestmark = pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`")

PASSWORD = "swordfish"
SECRET_VALUES = {
    "GSC_STATE": f"postgresql://gsc:{PASSWORD}@localhost/gsc",
    "GSC_ALERT_URLS": f"mailto://gsc:{PASSWORD}@localhost",
    "GSC_HEARTBEAT_URL": f"https://localhost/{PASSWORD}",
}


@pytest.fixture(autouse=True)
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Dagster resolves definitions by the newest instance of the process, which must still be open."""
    with instance_on_files(tmp_path_factory.mktemp("instance") / "dagster"):
        yield


@pytest.fixture
def secrets_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRET_VALUES.items():
        monkeypatch.setenv(name, value)


def shown(defs: dg.Definitions) -> dict[str, Any]:
    """What a code location hands to the UI of its resources, by name."""
    snap = RepositorySnap.from_def(defs.get_repository_def())
    return {one.name: one for one in snap.resources or []}


def initialised(settings: Settings, name: str) -> Any:
    """The resource as an asset gets it."""
    got: list[Any] = []

    @dg.op(required_resource_keys={name})
    def take(context: dg.OpExecutionContext) -> None:
        got.append(getattr(context.resources, name))

    @dg.job(resource_defs=dg.Definitions(resources=all_resources(settings, {})).resources)
    def job() -> None:
        take()

    assert job.execute_in_process().success
    return got[0]


def test_the_ui_shows_the_configuration_of_every_resource() -> None:
    resources = shown(build_defs(load_settings(lake="s3://bucket/lake", api_attempts=7)))
    assert resources["lake"].configured_values["lake"] == '"s3://bucket/lake"'
    assert resources["search_console"].configured_values["api_attempts"] == "7"
    assert resources["workspaces"].configured_values == {"workspaces_file": '"workspaces.yaml"'}
    assert set(resources) == {
        "annotations",
        "clock",
        "lake",
        "notifications",
        "reports",
        "search_console",
        "state",
        "telemetry",
        "workspaces",
    }
    for name, one in resources.items():
        assert all(field.description for field in one.config_field_snaps), name


def test_secrets_are_shown_as_the_names_of_their_variables(secrets_in_environment: None) -> None:
    resources = shown(build_defs(load_settings()))
    fields = {"state": "state", "alert_urls": "notifications", "heartbeat_url": "notifications"}
    assert set(fields) == set(SECRETS)
    for field, resource in fields.items():
        variable = resources[resource].configured_values[field]
        assert variable.name == Settings.model_fields[field].validation_alias


@pytest.mark.parametrize("in_environment", [True, False], ids=["environment", "code"])
def test_no_secret_reaches_the_ui_or_the_configuration_of_a_run(
    in_environment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {}
    for field in SECRETS:
        variable = str(Settings.model_fields[field].validation_alias)
        if in_environment:
            monkeypatch.setenv(variable, SECRET_VALUES[variable])
        else:
            given[field] = SECRET_VALUES[variable]
    defs = build_defs(load_settings(**given))
    repository = defs.get_repository_def()
    assert PASSWORD not in dg.serialize_value(RepositorySnap.from_def(repository))
    for name, one in (defs.resources or {}).items():
        assert PASSWORD not in repr(one), name
    for job in repository.get_all_jobs():
        assert PASSWORD not in repr(job.run_config), job.name


def test_secrets_of_the_environment_and_of_code_are_used(secrets_in_environment: None) -> None:
    assert initialised(load_settings(), "state").settings().state == SECRET_VALUES["GSC_STATE"]
    given = load_settings(state="other.db", alert_urls="json://localhost")
    assert initialised(given, "state").settings().state == "other.db"
    alerts = initialised(given, "notifications").settings().alert_urls
    assert alerts.get_secret_value() == "json://localhost"


def test_a_variable_that_is_not_set_breaks_no_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in SECRET_VALUES:
        monkeypatch.delenv(variable, raising=False)
    settings = load_settings()
    for name in ("state", "notifications", "search_console"):
        assert initialised(settings, name).settings() == settings


@pytest.mark.parametrize(
    "cls", [LakeTables, Notifications, SearchConsoleApi, SharedState, TelemetryLog, WorkspacesFile]
)
def test_the_settings_of_a_resource_are_those_it_was_made_of(cls: type[SettingsResource]) -> None:
    settings = load_settings(lake="s3://bucket/lake", api_url="http://127.0.0.1:9/", breaker_failures=2)
    others = {"clock": utc_now} if "clock" in cls.model_fields else {}
    assert cls.of(settings, **others).settings() == settings


def test_every_setting_of_the_api_is_a_field_of_its_resource() -> None:
    about_calls = {name for name in Settings.model_fields if name.startswith(("api_", "breaker_"))}
    assert about_calls <= set(SearchConsoleApi.model_fields)


def test_a_process_has_one_lake_and_one_store(tmp_path: Path) -> None:
    settings = load_settings(lake=str(tmp_path / "lake"))
    first, second = (initialised(settings, "lake") for _ in range(2))
    assert first is not second
    assert first.open() is second.open()
    ticks = [initialised(settings, "state").ticks() for _ in range(2)]
    assert ticks[0]._store is ticks[1]._store


def test_events_go_to_the_audit_log(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    initialised(load_settings(audit_log=str(log)), "telemetry").emit_event(AutoSyncStarted("now", 3))
    (line,) = lines(log)
    assert (line["event"], line["total_workspaces"]) == ("auto_sync.started", 3)


def test_alerts_after_a_tick_reach_the_good_addresses_whatever_else_is_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a wrong address nor a broken state may stop the summary of a tick."""
    with receiving() as receiver:
        settings = load_settings(
            alert_urls=f"slak://s3cret json://127.0.0.1:{receiver.port}/",
            heartbeat_url=f"http://127.0.0.1:{receiver.port}/beat",
            lake=str(tmp_path / "lake"),
            workspaces_file=tmp_path / "none.yaml",
        )
        ended = AutoSyncComplete.of("2026-11-21T12:00:00+00:00", [], duration_ms=1)
        initialised(settings, "notifications").send(ended)
        assert receiver.titles == ["gsc_pipeline needs attention"]
        broken = load_settings(**settings.model_dump() | {"state": str(tmp_path / "none.yaml" / "state.db")})
        (tmp_path / "none.yaml").write_text("")
        initialised(broken, "notifications").send(ended)
        assert (len(receiver.titles), receiver.paths.count("/beat")) == (1, 2)
    assert "address 1 of GSC_ALERT_URLS could not be delivered" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_resource_is_replaced_by_name() -> None:
    class OtherLake(LakeTables):
        """Another lake."""

        def open(self) -> Lake:
            return Lake("elsewhere")

    settings = load_settings()
    defs = build_defs(settings, {"lake": OtherLake.of(settings)})
    assert isinstance((defs.resources or {})["lake"], OtherLake)
    assert shown(defs)["lake"].resource_snapshot.description == "Another lake."
