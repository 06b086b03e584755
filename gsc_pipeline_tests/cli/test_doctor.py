"""`gsc doctor`: green on a healthy installation, and each planted fault is named with its remedy."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from deltalake import DeltaTable

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.cli.doctor import NEED_SETTINGS, Probes, checks_of, diagnose
from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, SYNC_RUNS
from gsc_pipeline.lake.version import LAKE_VERSION, VERSION_PROPERTY
from gsc_pipeline.monitoring.doctor import instance as instance_checks
from gsc_pipeline.monitoring.doctor import machine
from gsc_pipeline.monitoring.doctor.checks import Check, Diagnosis, Result, State, run_checks
from gsc_pipeline.search_console.errors import QuotaError
from gsc_pipeline.search_console.limits import QuotaGroup
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import Reply, SyntheticProperty, google_error
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.workspaces.registry import load_workspaces
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.cluster.bucket import serving_bucket
from gsc_pipeline_tests.instances import instance_on_files, record_heartbeats, record_schedule
from gsc_pipeline_tests.monitoring.hanging import hanging
from gsc_pipeline_tests.world import World

PLENTY = {
    "disk_space": lambda folders: machine.disk_space(folders, lambda folder: 10**11),
    "available_memory": lambda: 10**10,
}
PROPERTIES = ["sc-domain:acme.com", "https://shop.acme.com/"]


@dataclass
class Installation:
    """A healthy installation that is synced, in which a test plants a fault."""

    world: World
    set: Callable[[str, str], None]
    until_the_end: ExitStack
    probes: dict[str, Any] = field(default_factory=lambda: dict(PLENTY))

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """A healthy Dagster instance, in DAGSTER_HOME from now on."""
        instance = self.until_the_end.enter_context(instance_on_files(self.world.folder / "dagster"))
        record_heartbeats(instance, utc_now().timestamp())
        record_schedule(instance, "DECLARED_IN_CODE", "SUCCESS", utc_now().timestamp())
        self.set("GSC_AUTO_SYNC_ENABLED", "true")
        return instance

    @property
    def lake(self) -> Path:
        return Path(os.environ["GSC_LAKE"])

    @property
    def file(self) -> Path:
        return Path(os.environ["GSC_WORKSPACES_FILE"])

    @property
    def key(self) -> Path:
        return self.world.folder / "acme-key.json"

    def rewrite(self, **changes: Any) -> None:
        """Change the entry of the workspaces file."""
        entries = yaml.safe_load(self.file.read_text(encoding="utf-8"))
        entries["workspaces"][0] |= changes
        self.file.write_text(yaml.safe_dump(entries), encoding="utf-8")

    def answer(self, kind: str, reply: Reply) -> None:
        """The simulator gives this answer to every call of a kind."""
        self.world.faults.append(lambda call: reply if call.kind == kind else None)

    def find(self, name: str) -> Result:
        """The result of one check; the others are not run."""
        probes = Probes(**self.probes)
        settings = load_settings()
        listed = load_workspaces(settings.workspaces_file)
        of = {"lake and ledger": "syncs", "clock": "api"}.get(name, name)
        checks = [check for check in checks_of(settings, listed, probes) if check.name == of]
        return self.named(name, run_checks(checks))

    def whole(self, name: str) -> Result:
        """The result of one check, of all that are run."""
        return self.named(name, diagnose(Probes(**self.probes)))

    def named(self, name: str, found: Diagnosis) -> Result:
        (result,) = [one for one in found.results if one.name == name]
        return result


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that is synced once."""
    properties = [SyntheticProperty(one, rows_a_day=5, plants=False) for one in PROPERTIES]
    with World.serving(tmp_path_factory.mktemp("doctor"), properties, now=utc_now()) as world:
        world.environment()
        world.sync(world.workspace())
        yield world


@pytest.fixture
def one(template: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    for name in [name for name in os.environ if name.startswith(("GSC_", "DAGSTER_", "AWS_"))]:
        monkeypatch.delenv(name)
    world = World(tmp_path, template.url, template.simulator, Lake(str(tmp_path / "lake")), template.now)
    template.faults.clear()
    world.faults = template.faults
    shutil.copytree(template.lake.uri, world.lake.uri)
    for name, value in world.environment({"id": "acme", "properties": PROPERTIES[:1]}).items():
        monkeypatch.setenv(name, value)
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        store.execute("SELECT 1")
    with ExitStack() as until_the_end:
        yield Installation(world, monkeypatch.setenv, until_the_end)
    template.faults.clear()


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file under a folder, with its size and time."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".db-shm", ".db-wal")
    }


def test_all_is_green_and_nothing_is_written(one: Installation) -> None:
    assert one.instance
    before = snapshot(one.world.folder)
    found = diagnose(Probes(**one.probes))
    assert [(result.name, result.detail) for result in found.results if result.state is not State.OK] == []
    assert found.ok
    assert {result.name for result in found.results} == {
        "settings", "workspaces file", "annotations", "versions", "disk space", "memory", "api", "clock",
        "credential of acme", "circuits", "quota", "lake", "lake writes", "shared state", "lake and ledger",
        "syncs", "code location", "dagster instance", "schedule", "daemon", "last tick",
    }  # fmt: skip
    assert not any(result.next_step for result in found.results)
    assert snapshot(one.world.folder) == before
    assert {path.name for path in one.lake.iterdir()} == {
        path.name for path in Path(one.lake).iterdir() if not path.name.startswith("_")
    }


def test_a_new_installation_has_no_fault_and_nothing_is_created(one: Installation, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "lake")
    (tmp_path / "state.db").unlink()
    found = diagnose(Probes(**one.probes))
    assert found.ok
    warned = {result.name: result.next_step for result in found.results if result.state is State.WARN}
    assert warned.keys() == {"lake", "syncs"}
    assert all("run gsc sync" in step for step in warned.values())
    assert not (tmp_path / "lake").exists()
    assert not (tmp_path / "state.db").exists()


# Each plants one fault, and names the check that finds it, its state, and words of its detail and remedy.


def mistyped_variable(one: Installation) -> Result:
    one.set("GSC_LAEK", "/somewhere")
    return one.whole("settings")


def invalid_variable(one: Installation) -> Result:
    one.set("GSC_AUTO_SYNC_DAYS", "many")
    return one.whole("settings")


def key_mistyped_in_the_workspaces_file(one: Installation) -> Result:
    one.rewrite(propertys=["sc-domain:acme.com"])
    return one.whole("workspaces file")


def no_workspaces_file(one: Installation) -> Result:
    one.set("GSC_WORKSPACES_FILE", str(one.world.folder / "elsewhere.yaml"))
    return one.whole("workspaces file")


def no_active_workspace(one: Installation) -> Result:
    one.rewrite(active=False)
    return one.whole("workspaces file")


def no_annotations_file(one: Installation) -> Result:
    one.set("GSC_ANNOTATIONS", str(one.world.folder / "elsewhere.yaml"))
    return one.find("annotations")


def no_key_file(one: Installation) -> Result:
    one.key.unlink()
    return one.find("credential of acme")


def another_file_as_key(one: Installation) -> Result:
    one.key.write_text("[1, 2, 3]", encoding="utf-8")
    return one.find("credential of acme")


def broken_private_key(one: Installation) -> Result:
    key = json.loads(one.key.read_text(encoding="utf-8"))
    one.key.write_text(json.dumps(key | {"private_key": "secret-and-broken"}), encoding="utf-8")
    return one.find("credential of acme")


def key_that_others_may_read(one: Installation) -> Result:
    one.key.chmod(0o644)
    return one.find("credential of acme")


def key_with_another_token_endpoint(one: Installation) -> Result:
    key = json.loads(one.key.read_text(encoding="utf-8"))
    one.key.write_text(json.dumps(key | {"token_uri": "https://evil.example/token"}), encoding="utf-8")
    return one.find("credential of acme")


def revoked_key(one: Installation) -> Result:
    body = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    one.answer("token", Reply(400, body))
    return one.find("credential of acme")


def token_that_is_refused(one: Installation) -> Result:
    one.answer("sites", google_error(401, "authError", "Invalid Credentials"))
    return one.find("credential of acme")


def token_of_another_scope(one: Installation) -> Result:
    one.answer("sites", google_error(403, "insufficientPermissions", "insufficient authentication scopes."))
    return one.find("credential of acme")


def api_not_enabled(one: Installation) -> Result:
    text = "Google Search Console API has not been used in project 5 before or it is disabled."
    one.answer("sites", google_error(403, "accessNotConfigured", text))
    return one.find("credential of acme")


def token_endpoint_that_is_down(one: Installation) -> Result:
    one.answer("token", Reply(503, {}))
    return one.find("credential of acme")


def property_that_is_not_listed(one: Installation) -> Result:
    one.rewrite(properties=["sc-domain:acme.co"])
    return one.find("credential of acme")


def property_without_permission(one: Installation) -> Result:
    site = {"siteUrl": PROPERTIES[0], "permissionLevel": "siteUnverifiedUser"}
    one.answer("sites", Reply(200, {"siteEntry": [site]}))
    return one.find("credential of acme")


def one_of_two_properties_without_permission(one: Installation) -> Result:
    one.rewrite(properties=[PROPERTIES[0], "sc-domain:other.com"])
    return one.find("credential of acme")


def account_without_any_property(one: Installation) -> Result:
    one.rewrite(properties="all")
    one.answer("sites", Reply(200, {}))
    return one.find("credential of acme")


def api_that_does_not_answer(one: Installation) -> Result:
    one.set("GSC_API_URL", f"http://127.0.0.1:{free_port()}/")
    return one.find("api")


def api_that_is_down(one: Installation) -> Result:
    one.answer("sites", Reply(503, {}))
    return one.find("api")


def address_of_something_else(one: Installation) -> Result:
    one.set("GSC_API_URL", f"{one.world.url}/elsewhere/")
    return one.find("api")


def clock_that_is_ten_minutes_ahead(one: Installation) -> Result:
    one.probes["clock"] = lambda: utc_now() + timedelta(minutes=10)
    return one.find("clock")


def clock_that_is_a_minute_behind(one: Installation) -> Result:
    one.probes["clock"] = lambda: utc_now() - timedelta(minutes=1)
    return one.find("clock")


def open_circuit(one: Installation) -> Result:
    one.answer("query", Reply(503, {}))
    one.set("GSC_BREAKER_FAILURES", "1")
    one.set("GSC_API_ATTEMPTS", "1")
    services = Services(load_settings())
    services.sync_workspaces(["acme"])
    return one.find("circuits")


def rate_that_google_refused(one: Installation) -> Result:
    limiter = Services(load_settings()).guards.limiter
    assert limiter
    limiter.refused(QuotaGroup.SEARCH_ANALYTICS, "someone", PROPERTIES[0], QuotaError("too fast"))
    return one.find("quota")


def lake_of_a_newer_release(one: Installation) -> Result:
    delta = DeltaTable(str(one.lake / SYNC_RUNS.name))
    delta.alter.set_table_properties({VERSION_PROPERTY: str(LAKE_VERSION + 1)}, raise_if_not_exists=False)
    return one.find("lake")


def damaged_ledger(one: Installation) -> Result:
    for commit in (one.lake / SYNC_LEDGER.name / "_delta_log").glob("*.json"):
        commit.write_text("{", encoding="utf-8")
    return one.find("lake")


def lost_log(one: Installation) -> Result:
    shutil.rmtree(one.lake / SITE_IMPRESSION.name / "_delta_log")
    return one.find("lake")


def lost_file_of_the_ledger(one: Installation) -> Result:
    for file in (one.lake / SYNC_LEDGER.name).rglob("*.parquet"):
        file.unlink()
    return one.find("lake and ledger")


def lake_that_disagrees_with_its_ledger(one: Installation) -> Result:
    DeltaTable(str(one.lake / SITE_IMPRESSION.name)).delete()
    return one.find("lake and ledger")


def lake_beneath_a_file(one: Installation) -> Result:
    (one.world.folder / "file").write_text("", encoding="utf-8")
    one.set("GSC_LAKE", str(one.world.folder / "file" / "lake"))
    return one.find("lake writes")


def unsafe_variable(one: Installation) -> Result:
    one.set("GSC_LAKE", "s3://bucket/lake")
    one.set("AWS_S3_ALLOW_UNSAFE_RENAME", "true")
    return one.find("lake writes")


def state_that_is_no_database(one: Installation) -> Result:
    (one.world.folder / "state.db").write_bytes(b"not a database" * 1000)
    return one.find("shared state")


def state_beneath_a_file(one: Installation) -> Result:
    (one.world.folder / "file").write_text("", encoding="utf-8")
    one.set("GSC_STATE", str(one.world.folder / "file" / "state.db"))
    return one.find("shared state")


def state_on_a_server_that_is_down(one: Installation) -> Result:
    one.set("GSC_STATE", f"postgresql://gsc:pass-word-1@127.0.0.1:{free_port()}/gsc")
    return one.find("shared state")


def syncs_that_all_failed(one: Installation) -> Result:
    one.answer("token", Reply(400, {"error": "invalid_grant"}))
    one.world.now += timedelta(minutes=1)
    assert one.world.sync(one.world.workspace()).problems
    return one.find("syncs")


def syncs_that_stopped(one: Installation) -> Result:
    one.probes["clock"] = lambda: utc_now() + timedelta(days=3)
    return one.find("syncs")


def home_that_is_missing(one: Installation) -> Result:
    one.set("DAGSTER_HOME", str(one.world.folder / "nowhere"))
    return one.find("dagster instance")


def home_that_is_relative(one: Installation) -> Result:
    one.set("DAGSTER_HOME", ".dagster")
    return one.find("dagster instance")


def dagster_yaml_that_is_broken(one: Installation) -> Result:
    dagster_yaml(one).write_text("storage: [", encoding="utf-8")
    return one.find("dagster instance")


def dagster_yaml_with_an_unknown_key(one: Installation) -> Result:
    with dagster_yaml(one).open("a", encoding="utf-8") as file:
        file.write("\nnonsense: {a: 1}\n")
    return one.find("dagster instance")


def dagster_yaml_with_a_relative_folder(one: Installation) -> Result:
    dagster_yaml(one).write_text("storage: {sqlite: {base_dir: state}}", encoding="utf-8")
    return one.find("dagster instance")


def no_dagster_yaml(one: Installation) -> Result:
    dagster_yaml(one).unlink()
    return one.find("dagster instance")


def database_of_the_instance_that_is_down(one: Installation) -> Result:
    url = f"postgresql://gsc:pass-word-2@127.0.0.1:{free_port()}/gsc"
    config = {"storage": {"postgres": {"postgres_url": url}}}
    dagster_yaml(one).write_text(yaml.safe_dump(config), encoding="utf-8")
    return one.find("dagster instance")


def runs_on_other_machines_without_shared_storage(one: Installation) -> Result:
    launcher = {"module": "dagster_celery.launcher", "class": "CeleryRunLauncher", "config": {}}
    config = yaml.safe_load(dagster_yaml(one).read_text(encoding="utf-8")) or {}
    dagster_yaml(one).write_text(yaml.safe_dump(config | {"run_launcher": launcher}), encoding="utf-8")
    return one.find("dagster instance")


def schedule_off_by_the_settings(one: Installation) -> Result:
    assert one.instance
    one.set("GSC_AUTO_SYNC_ENABLED", "false")
    return one.find("schedule")


def schedule_switched_off(one: Installation) -> Result:
    record_schedule(one.instance, "STOPPED")
    return one.find("schedule")


def silent_daemon(one: Installation) -> Result:
    assert one.instance
    one.probes["clock"] = lambda: utc_now() + timedelta(minutes=10)
    return one.find("daemon")


def failed_tick(one: Installation) -> Result:
    instance, error = one.instance, "workspaces.yaml: cannot be read"
    record_schedule(instance, "DECLARED_IN_CODE", "FAILURE", utc_now().timestamp(), error)
    return one.find("last tick")


def overdue_tick(one: Installation) -> Result:
    assert one.instance
    one.probes["clock"] = lambda: utc_now() + timedelta(hours=7)
    return one.find("last tick")


def no_home_although_the_schedule_is_wanted(one: Installation) -> Result:
    one.set("GSC_AUTO_SYNC_ENABLED", "true")
    return one.find("dagster instance")


def full_disk(one: Installation) -> Result:
    one.probes["disk_space"] = lambda folders: machine.disk_space(folders, lambda folder: 50_000_000)
    return one.find("disk space")


def little_memory(one: Installation) -> Result:
    one.probes["available_memory"] = lambda: 200_000_000
    return one.find("memory")


def old_package(one: Installation) -> Result:
    def version(name: str) -> str:
        return "0.9" if name == "deltalake" else metadata.version(name)

    one.probes["versions"] = lambda: machine.versions(version=version)
    return one.find("versions")


def old_python(one: Installation) -> Result:
    one.probes["versions"] = lambda: machine.versions(python=(3, 9, 1))
    return one.find("versions")


def definitions_that_do_not_load(one: Installation) -> Result:
    def load() -> str:
        raise ImportError("No module named 'dagster_celery'")

    name = "code location"
    return run_checks([Check(name, lambda: instance_checks.code_location(load))]).results[0]


def free_port() -> int:
    """A port at which nothing answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def dagster_yaml(one: Installation) -> Path:
    assert one.instance
    return Path(os.environ["DAGSTER_HOME"]) / "dagster.yaml"


@pytest.mark.parametrize(
    ("plant", "state", "detail", "next_step"),
    [
        (mistyped_variable, "fail", "GSC_LAEK: unknown variable, expected GSC_LAKE", "correct these var"),
        (invalid_variable, "fail", "GSC_AUTO_SYNC_DAYS: 'many'", "docs/configuration.md"),
        (key_mistyped_in_the_workspaces_file, "fail", "workspaces[0].propertys: unknown key", "the file"),
        (no_workspaces_file, "fail", "elsewhere.yaml: cannot be read", "correct the file"),
        (no_annotations_file, "fail", "cannot be read", "docs/insights.md"),
        (no_active_workspace, "warn", "no workspace is active", "active: true"),
        (no_key_file, "fail", "acme-key.json cannot be read (No such file", "credentials entry"),
        (another_file_as_key, "fail", "is not a JSON key as Google issues it", "create a new key"),
        (broken_private_key, "fail", "holds no usable private key", "create a new key"),
        (key_that_others_may_read, "warn", "can be read by other users (mode 644)", "run chmod 600"),
        (key_with_another_token_endpoint, "fail", "evil.example", "GSC_TOKEN_URIS"),
        (revoked_key, "fail", "invalid_grant", "create a new key"),
        (token_that_is_refused, "fail", "a new access token was refused", "create a new key"),
        (token_of_another_scope, "fail", "insufficient authentication scopes", "webmasters.readonly"),
        (api_not_enabled, "fail", "has not been used in project", "enable the Google Search Console API"),
        (token_endpoint_that_is_down, "warn", "503", "the next sync retries"),
        (property_that_is_not_listed, "fail", "sc-domain:acme.co cannot", "spell it sc-domain:acme.com"),
        (property_without_permission, "fail", "(permission: unverified)", "verify the property, or add"),
        (one_of_two_properties_without_permission, "warn", "sc-domain:other.com cannot", "as a user in"),
        (account_without_any_property, "fail", "may read no property", "as a user in Search"),
        (api_that_does_not_answer, "fail", "no answer from http://127.0.0.1", "GSC_API_URL, the network"),
        (api_that_is_down, "fail", "answers 503", "the next sync retries"),
        (address_of_something_else, "fail", "answers 404", "check GSC_API_URL"),
        (clock_that_is_ten_minutes_ahead, "fail", "seconds ahead of the API's", "NTP"),
        (clock_that_is_a_minute_behind, "warn", "seconds behind the API's", "NTP"),
        (open_circuit, "warn", "no calls are sent for 1 workspaces, next try at", "gsc sync"),
        (rate_that_google_refused, "warn", "50% of the rate", "GSC_API_LIMIT_FACTOR"),
        (lake_of_a_newer_release, "fail", "was written by a newer gsc_pipeline", "pip install --upgrade"),
        (damaged_ledger, "fail", "sync_ledger is damaged", "gsc verify --repair"),
        (lost_log, "fail", "searchdata_site_impression is damaged", "gsc verify --repair"),
        (lost_file_of_the_ledger, "fail", "sync_ledger is damaged", "gsc verify --repair"),
        (lake_that_disagrees_with_its_ledger, "fail", "has 0 rows of acme", "gsc verify --repair"),
        (lake_beneath_a_file, "fail", "cannot be created", "check GSC_LAKE"),
        (
            unsafe_variable,
            "fail",
            "AWS_S3_ALLOW_UNSAFE_RENAME asks for unsafe renames",
            "remove the variable",
        ),
        (state_that_is_no_database, "fail", "file is not a database", "check GSC_STATE"),
        (state_beneath_a_file, "fail", "state.db cannot be", "check GSC_STATE"),
        (state_on_a_server_that_is_down, "fail", "PostgreSQL at 127.0.0.1", "the server is running"),
        (syncs_that_all_failed, "fail", "the last sync of every active workspace", "gsc status"),
        (syncs_that_stopped, "fail", "have not been synced for 12 hours", "gsc status"),
        (home_that_is_missing, "fail", "nowhere is not a folder", "set DAGSTER_HOME"),
        (home_that_is_relative, "fail", "is not an absolute path", "set DAGSTER_HOME"),
        (dagster_yaml_that_is_broken, "fail", "dagster.yaml cannot be read", "dagster.yaml"),
        (dagster_yaml_with_an_unknown_key, "fail", "nonsense", "dagster.yaml"),
        (dagster_yaml_with_a_relative_folder, "fail", "base_dir state is relative", "absolute path"),
        (no_dagster_yaml, "warn", "dagster.yaml is missing", "the repository's dagster.yaml"),
        # Dagster tries ten times.
        pytest.param(
            database_of_the_instance_that_is_down,
            "fail",
            "refused",
            "start the database",
            marks=pytest.mark.soak,
        ),
        (runs_on_other_machines_without_shared_storage, "fail", "CeleryRunLauncher", "on every machine"),
        (schedule_off_by_the_settings, "warn", "gsc_auto_sync is off. Off unless", "GSC_AUTO_SYNC_ENABLED"),
        (schedule_switched_off, "warn", "Switched off in the UI", "switch gsc_auto_sync on in the UI"),
        (silent_daemon, "fail", "has sent no heartbeat since", "start `dagster-daemon run`"),
        (failed_tick, "fail", "failure (workspaces.yaml: cannot be read)", "correct what the error names"),
        (overdue_tick, "fail", "is overdue", "dagster-daemon"),
        (no_home_although_the_schedule_is_wanted, "warn", "DAGSTER_HOME is unset", "set it"),
        (full_disk, "fail", "0.1 GB free", "free some space"),
        (little_memory, "fail", "0.2 GB available", "GSC_COMMIT_ROWS"),
        (old_package, "fail", "deltalake 0.9: expected >=1.6", "pip install --upgrade gsc_pipeline"),
        (old_python, "fail", "Python 3.9.1 is not supported", "Python 3.11 to 3.14"),
        (definitions_that_do_not_load, "fail", "No module named 'dagster_celery'", "dg check defs"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_planted_fault_is_named_with_its_remedy(
    one: Installation, plant: Callable[[Installation], Result], state: str, detail: str, next_step: str
) -> None:
    result = plant(one)
    assert result.state.value == state, result
    assert detail in result.detail
    assert next_step in f"{result.detail} {result.next_step}"
    assert result.next_step
    for secret in ("pass-word", "secret-and-broken", "PRIVATE KEY"):
        assert secret not in result.detail


def test_a_store_without_put_if_absent_is_named_and_nothing_is_left_in_it(one: Installation) -> None:
    with serving_bucket(is_safe=False) as bucket:
        for name, value in {**bucket.environment, "GSC_LAKE": f"{bucket.uri}/lake"}.items():
            one.set(name, value)
        result = one.find("lake writes")
        assert (result.state, bucket.keys()) == (State.FAIL, [])
    assert "ignores put-if-absent" in result.detail
    assert "If-None-Match" in result.next_step


def test_a_safe_store_is_probed_and_nothing_is_left_in_it(one: Installation) -> None:
    with serving_bucket() as bucket:
        for name, value in {**bucket.environment, "GSC_LAKE": f"{bucket.uri}/lake"}.items():
            one.set(name, value)
        result = one.find("lake writes")
        assert (result.state, bucket.keys()) == (State.OK, []), result


@contextmanager
def disk(folder: Path, *options: str) -> Iterator[None]:
    """A small disk at the folder, where this machine lets the tests mount one."""
    folder.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(["size=200k", *options]), "tmpfs", str(folder)],
            check=False,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip(f"may not mount a small disk ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_lake_on_a_disk_that_is_mounted_read_only_cannot_be_written(one: Installation) -> None:
    with disk(one.world.folder / "disk", "ro"):
        one.set("GSC_LAKE", str(one.world.folder / "disk"))
        result = one.find("lake writes")
    assert result.state is State.FAIL
    assert "cannot write" in result.detail
    assert "permissions" in result.next_step


def test_a_lake_on_a_full_disk_cannot_be_written_and_the_disk_is_named(one: Installation) -> None:
    with disk(one.world.folder / "disk"):
        folder = one.world.folder / "disk"
        (folder / "ballast").write_bytes(b"x" * 204_800)
        one.set("GSC_LAKE", str(folder))
        written = one.find("lake writes")
        one.probes["disk_space"] = machine.disk_space
        space = one.find("disk space")
        assert [path.name for path in folder.iterdir()] == ["ballast"]
    assert (written.state, space.state) == (State.FAIL, State.FAIL)
    assert "free space" in written.next_step
    assert str(folder) in space.detail


def test_a_lake_that_hangs_fails_alone(one: Installation) -> None:
    settings = load_settings()
    listed = load_workspaces(settings.workspaces_file)
    checks = [
        Check(check.name, check.run, seconds=2.0 if check.name == "syncs" else check.seconds)
        for check in checks_of(settings, listed, Probes(**one.probes))
        if check.name in ("syncs", "api", "shared state")
    ]
    with hanging(Lake(str(one.lake))):
        found = run_checks(checks)
    states = {result.name: result.state.value for result in found.results}
    assert states == {"api": "ok", "clock": "ok", "shared state": "ok", "syncs": "fail"}
    assert found.hangs


def test_with_invalid_settings_the_machine_is_checked_and_the_rest_is_named(one: Installation) -> None:
    one.set("GSC_AUTO_SYNC_DAYS", "many")
    found = diagnose(Probes(**one.probes))
    states = {result.name: result.state.value for result in found.results}
    assert states["versions"] == states["memory"] == "ok"
    assert {name for name, state in states.items() if state == "warn"} == set(NEED_SETTINGS)


def test_the_command_prints_a_table_and_exits_with_1_if_a_check_fails(one: Installation, gsc: Gsc) -> None:
    env = {name: os.environ[name] for name in ("GSC_WORKSPACES_FILE", "GSC_LAKE", "GSC_API_URL")}
    done = gsc("doctor", env=env)
    assert done.code == 0, done.out
    assert done.out.splitlines()[0].split() == ["check", "state", "detail", "next", "step"]
    assert "credential of acme" in done.out
    one.key.unlink()
    failed = gsc("doctor", "--json", env=env)
    printed = json.loads(failed.out)
    assert (failed.code, printed["ok"]) == (1, False)
    (credential,) = [one for one in printed["checks"] if one["name"] == "credential of acme"]
    assert set(credential) == {"name", "state", "detail", "next_step"}
    assert credential["state"] == "fail"
