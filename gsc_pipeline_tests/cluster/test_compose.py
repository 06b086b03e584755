"""deploy/kubernetes/compose.yaml: its structure, and its commands as processes on loopback."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import urllib3
import yaml

from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.settings import Settings
from gsc_pipeline_tests.cluster.test_image import IMAGE
from gsc_pipeline_tests.defs.test_processes import finished_runs
from gsc_pipeline_tests.docs import ROOT
from gsc_pipeline_tests.faults.test_daemon_killed import switch_on_ten_minutes_ago
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
from gsc_pipeline_tests.world import World

FOLDER = ROOT / "deploy" / "kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if name != "postgres"}


def with_variables(text: str, variables: Mapping[str, str]) -> str:
    """The text with `${NAME}`, `${NAME:-default}` and `${NAME:?message}` replaced, as Compose does."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        found = variables.get(name, "")
        assert found or kind != ":?", f"{name}: {rest}"
        return found or (rest if kind == ":-" else "")

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def environment_of(service: str, variables: Mapping[str, str]) -> dict[str, str]:
    """A service's variables. One without a value is taken over, if it is there."""
    given: dict[str, str | None] = SERVICES[service]["environment"]
    own = {name: with_variables(value, variables) for name, value in given.items() if value is not None}
    return own | {
        name: variables[name] for name, value in given.items() if value is None and name in variables
    }


def test_the_image_is_that_of_the_dockerfile_and_everything_else_is_pinned() -> None:
    for service in OURS.values():
        build = service["build"]
        assert (FOLDER / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
    assert len({service["image"] for service in OURS.values()}) == 1
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+", SERVICES["postgres"]["image"])


def test_containers_cannot_write_to_themselves_or_gain_rights() -> None:
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "user", "network_mode", "entrypoint"} & service.keys()


def test_only_this_machine_reaches_the_pages_and_nothing_reaches_the_database() -> None:
    assert "ports" not in SERVICES["postgres"]
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_there_is_one_daemon_and_it_uses_the_projects_instance() -> None:
    daemons = [name for name, one in SERVICES.items() if "dagster-daemon" in one.get("command", ())]
    assert daemons == ["daemon"]
    assert not {"scale", "deploy"} & SERVICES["daemon"].keys()
    for name in ("code", "daemon", "webserver", "serve"):
        (mounted,) = [one for one in SERVICES[name]["volumes"] if one.endswith("/dagster.yaml:ro")]
        source, target, _ = mounted.split(":")
        assert (FOLDER / source).resolve() == ROOT / "deploy" / "postgres" / "dagster.yaml"
        assert target == f"{IMAGE.variables['DAGSTER_HOME']}/dagster.yaml"


def test_every_volume_and_service_that_is_named_is_there() -> None:
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source = with_variables(volume, {}).split(":")[0]
            assert source in COMPOSE["volumes"] or source == "./config" or (FOLDER / source).is_file()
        for name, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[name]


def test_the_password_has_to_be_given_and_every_setting_is_the_projects_own() -> None:
    known = {str(field.validation_alias) for field in Settings.model_fields.values()} | {"GSC_DATABASE_URL"}
    for name in OURS:
        with pytest.raises(AssertionError, match=r"POSTGRES_PASSWORD: in \.env"):
            environment_of(name, {})
        settings = environment_of(name, {"POSTGRES_PASSWORD": "made-up"})
        assert {one for one in settings if one.startswith("GSC_")} <= known
        assert settings["GSC_STATE"] == settings["GSC_DATABASE_URL"]
        # Empty keys would be taken for keys.
        assert not [one for one in settings if one.startswith("AWS_")]


def test_docker_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if (
        not docker
        or subprocess.run([docker, "compose", "version"], check=False, capture_output=True).returncode
    ):
        pytest.skip("docker compose is not installed")
    env = {**os.environ, "POSTGRES_PASSWORD": "made-up"}
    command = [docker, "compose", "--file", str(FOLDER / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Host:
    """Starts the services of the image on loopback: a folder in place of `/`, ports that are free."""

    def __init__(self, root: Path, url: str, more: Mapping[str, str]) -> None:
        """`more` is what an operator added to the environment of all services."""
        self.root = root
        self._url = url
        self._more = more
        self.ports = {port: _free_port() for port in ("3030", "3000", "8089")}
        for name in ("lake", "tmp", "etc", "opt/dagster/dagster_home"):
            (root / name).mkdir(parents=True)

    def mount(self, source: Path, target: str) -> None:
        """Put a file or folder of this machine where a container has it."""
        (self.root / target.lstrip("/")).symlink_to(source)

    def environment(self, service: str) -> dict[str, str]:
        """What the container of a service finds in its environment."""
        own = environment_of(service, {"POSTGRES_PASSWORD": "made-up"})
        own |= {"GSC_DATABASE_URL": self._url, "GSC_STATE": self._url, **self._more}
        own = {name: self._here(value) for name, value in {**IMAGE.variables, **own}.items()}
        return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **own}

    def command(self, words: list[str]) -> list[str]:
        """A command of a container, for this machine."""
        return [self._here(word) for word in words]

    def log(self, service: str) -> str:
        """What a service has printed."""
        return (self.root / f"{service}.log").read_text(encoding="utf-8")

    @contextmanager
    def running(self, service: str) -> Iterator[None]:
        """Run a service until the block ends; the block begins when it is healthy."""
        with (self.root / f"{service}.log").open("wb") as log:
            process = subprocess.Popen(
                self.command(SERVICES[service]["command"]),
                env=self.environment(service),
                cwd=self.root / "opt" / "dagster",
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            if "healthcheck" in SERVICES[service]:
                wait_until(lambda: self.is_healthy(service), service, every=2, log=lambda: self.log(service))
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(HANG_SECONDS)

    def is_healthy(self, service: str) -> bool:
        """Whether the health check of a service passes."""
        kind, *words = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        env = self.environment(service)
        return not subprocess.run(self.command(words), env=env, check=False, capture_output=True).returncode

    def answers(self, port: str, path: str) -> bool:
        """Whether a page of a service answers with 200."""
        try:
            url = f"http://127.0.0.1:{self.ports[port]}{path}"
            return urllib3.request("GET", url, timeout=HANG_SECONDS, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _here(self, word: str) -> str:
        word = re.sub(r"^/(?=(opt|lake|etc|tmp)\b)", f"{self.root}/", word)
        return "127.0.0.1" if word == "0.0.0.0" else str(self.ports.get(word, word))


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.slow
@pytest.mark.soak
def test_the_services_start_in_their_order_and_a_tick_is_synced(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = utc_now() - timedelta(minutes=2)
    with World.serving(tmp_path, now=utc_now()) as live, ExitStack() as started:
        files = live.environment(
            *({"id": one, "properties": ["sc-domain:acme.com"]} for one in ("acme", "globex"))
        )
        cron = {"GSC_AUTO_SYNC_CRON": f"{due.minute} {due.hour} * * *", "GSC_AUTO_SYNC_DAYS": "2"}
        simulator = {name: value for name, value in files.items() if name.startswith("GSC_API_")}
        host = Host(tmp_path / "host", postgres_url, {**cron, **simulator})
        host.mount(live.folder, "/etc/gsc")
        host.mount(ROOT / "deploy" / "postgres" / "dagster.yaml", "/opt/dagster/dagster_home/dagster.yaml")
        location = (FOLDER / "code-server.yaml").read_text(encoding="utf-8")
        location = location.replace("host: code", "host: 127.0.0.1").replace("3030", str(host.ports["3030"]))
        (host.root / "opt" / "dagster" / "workspace.yaml").write_text(location, encoding="utf-8")
        env = host.environment("code")
        monkeypatch.setenv("GSC_DATABASE_URL", postgres_url)
        switch_on_ten_minutes_ago(env)
        for service in ("code", "daemon", "webserver", "serve"):
            started.enter_context(host.running(service))
        wait_until(lambda: len(finished_runs(env)) >= 2, "two runs", every=1, log=lambda: host.log("daemon"))
        assert {run.status for run in finished_runs(env)} == {dg.DagsterRunStatus.SUCCESS}, host.log("code")
        wait_until(
            lambda: host.answers("3000", "/server_info"), "the web server", log=lambda: host.log("webserver")
        )
        wait_until(lambda: host.answers("8089", "/health/live"), "gsc serve", log=lambda: host.log("serve"))
        workspaces = set(Lake(str(host.root / "lake")).read(SYNC_RUNS)["workspace"].to_pylist())
        assert workspaces == {"acme", "globex"}
    files = {path for path in (host.root / "opt").rglob("*") if path.is_file()}
    logs = {path for path in files if path.is_relative_to(host.root / "opt/dagster/dagster_home/storage")}
    assert logs, "what runs print is in the volume for it"
    written = {path.name for path in files - logs}
    assert written <= {"dagster.yaml", "workspace.yaml"}, "only /tmp and the volumes may be written to"
