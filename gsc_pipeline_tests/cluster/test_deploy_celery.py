"""deploy/celery: what its files say fits together, and its README leads from nothing to a run on a worker."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import dagster as dg
import psycopg2
import pytest
import yaml

from gsc_pipeline.days import utc_now
from gsc_pipeline.defs.celery_launcher import MonitoredCeleryRunLauncher
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.cluster.bucket import serving_bucket
from gsc_pipeline_tests.cluster.cluster import WORKERS, variables
from gsc_pipeline_tests.cluster.machines import (
    DAEMON,
    DEPLOY,
    ROOT,
    SRV,
    WEBSERVER,
    WORKER,
    Machine,
    unit_command,
    variables_of,
)
from gsc_pipeline_tests.cluster.redis import serving_redis
from gsc_pipeline_tests.postgres import serving_postgres
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
from gsc_pipeline_tests.world import World

README = (DEPLOY / "README.md").read_text(encoding="utf-8")
UNITS = (DAEMON, WORKER, WEBSERVER)
PASSWORD = "change-me"

NOT_RUN = {
    "apt-get ": "installs system packages",
    "adduser ": "needs a machine of its own",
    "systemctl ": "the units' commands are started instead, and systemd-analyze reads the units",
    "cp /srv/gsc/gsc_pipeline/deploy/celery/systemd/": "writes to /etc; the files are looked for",
    "cd ": "only leads to the commands after it",
    "su postgres -c psql <": "its file is executed on a PostgreSQL of the test's own",
    "echo 'host gsc gsc": "writes to the system's PostgreSQL",
    "cat deploy/celery/redis.conf": "writes to /etc; a Redis of the test's own is started with its lines",
}
"""The commands for root, by their beginnings: none is run, and why."""
INSTALLS = ("python3 -m venv", "/srv/gsc/venv/bin/pip install")
"""The commands for gsc that are not run: the tests' own environment is what they would make."""


def commands(prompt: str) -> list[str]:
    """The README's commands after a prompt, in their order."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line[2:] for line in lines if line.startswith(f"{prompt} ")]


def limits(config: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in config.items() if name not in ("storage", "run_launcher")}


def test_the_instance_differs_from_that_of_one_machine_in_storage_and_launcher_only() -> None:
    plain, postgres, celery = (
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (ROOT / "dagster.yaml", ROOT / "deploy/postgres/dagster.yaml", DEPLOY / "dagster.yaml")
    )
    assert limits(celery) == plain
    assert celery["storage"] == postgres["storage"]


def test_no_more_runs_start_than_the_workers_have_slots() -> None:
    command = unit_command(WORKER)
    slots = int(command[command.index("--concurrency") + 1])
    config = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
    assert config["concurrency"]["runs"]["max_concurrent_runs"] == WORKERS * slots


def test_dagster_loads_the_instance_with_the_variables_of_gsc_env(tmp_path: Path, postgres_url: str) -> None:
    given = variables_of(DEPLOY / "gsc.env") | {"GSC_DATABASE_URL": postgres_url}
    shutil.copy(DEPLOY / "dagster.yaml", tmp_path)
    with variables(given), dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, MonitoredCeleryRunLauncher)
        assert launcher.celery.conf.broker_url == given["GSC_CELERY_BROKER"]
        assert launcher.celery.conf.result_backend == given["GSC_CELERY_BACKEND"]
        assert instance.run_monitoring_enabled


def test_the_settings_accept_every_variable_of_gsc_env() -> None:
    given = variables_of(DEPLOY / "gsc.env")
    with variables(given):
        assert load_settings().lake == given["GSC_LAKE"]


WORKER_PARENT = """
import sys
from dagster_celery.app import app

conf = app.conf
print(conf.broker_url, conf.result_backend, conf.worker_disable_prefetch, conf.result_extended)
print([name for name in ("deltalake", "gsc_pipeline", "pyarrow") if name in sys.modules])
"""


@pytest.mark.soak
def test_a_worker_reads_its_configuration_and_does_not_load_the_lake_before_it_forks() -> None:
    given = variables_of(DEPLOY / "gsc.env") | {"PYTHONPATH": str(DEPLOY)}
    command = [sys.executable, "-c", WORKER_PARENT]
    done = subprocess.run(command, env=given, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    settings, loaded = done.stdout.splitlines()
    assert settings == f"{given['GSC_CELERY_BROKER']} {given['GSC_CELERY_BACKEND']} True True"
    assert loaded == "[]"


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_starts_a_program_of_the_environment_as_gsc(unit: str) -> None:
    program = unit_command(unit)[0]
    assert program.startswith(f"{SRV}/venv/bin/")
    assert (Path(sys.prefix) / "bin" / Path(program).name).exists()
    text = (DEPLOY / "systemd" / f"{unit}.service").read_text(encoding="utf-8")
    assert "User=gsc\n" in text
    assert f"EnvironmentFile={SRV}/gsc.env\n" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    (tmp_path / "venv").symlink_to(sys.prefix)
    for unit in UNITS:
        text = (DEPLOY / "systemd" / f"{unit}.service").read_text(encoding="utf-8")
        (tmp_path / f"{unit}.service").write_text(text.replace(SRV, str(tmp_path)), encoding="utf-8")
    files = [str(tmp_path / f"{unit}.service") for unit in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", *files], check=False, capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "gsc-" in line] == []


def test_a_command_for_root_is_one_of_those_that_no_test_runs() -> None:
    found = commands("#")
    assert [one for one in found if not one.startswith(tuple(NOT_RUN))] == []
    copied = [one.split()[1].replace(f"{SRV}/gsc_pipeline", str(ROOT)) for one in found if one[:3] == "cp "]
    assert {Path(file).stem for file in copied} == set(UNITS)
    assert all(Path(file).exists() for file in copied)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    properties = [SyntheticProperty("sc-domain:acme.com", rows_a_day=20, plants=False)]
    (tmp_path / "world").mkdir()
    with World.serving(tmp_path / "world", properties, now=utc_now()) as served:
        yield served


@pytest.mark.slow
@pytest.mark.soak
def test_the_readme_leads_from_an_empty_folder_to_a_run_on_a_worker(tmp_path: Path, world: World) -> None:
    (tmp_path / "redis").mkdir()
    with (
        serving_postgres() as server,
        serving_redis(tmp_path / "redis", PASSWORD, redis_options()) as redis,
        serving_bucket() as bucket,
        variables(bucket.environment),
    ):
        connection = psycopg2.connect(server.get_uri())
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in (DEPLOY / "postgres.sql").read_text(encoding="utf-8").split(";\n")[:-1]:
                cursor.execute(statement)
        connection.close()
        host = urlsplit(server.get_uri())
        database = urlunsplit(host._replace(netloc=f"gsc:{PASSWORD}@", path="/gsc"))
        settings = {
            **{name: value for name, value in world.environment().items() if "WORKSPACES" not in name},
            **bucket.environment,
            "GSC_DATABASE_URL": database,
            "GSC_STATE": database,
            "GSC_CELERY_BROKER": redis.url(0),
            "GSC_CELERY_BACKEND": redis.url(1),
            "GSC_LAKE": bucket.uri,
        }
        machines = [Machine(name, tmp_path / name, settings) for name in ("first", "second")]
        install, configure, by_hand, on_a_worker = sections()
        for machine in machines:
            machine.folder.mkdir()
            (machine.folder / "venv").symlink_to(sys.prefix)
            run_as_gsc(machine, [*install, *configure])
            machine.copy_workspaces(world.folder)
            fill_in(machine)
        printed = run_as_gsc(machines[0], by_hand)
        assert "1 of 1 workspaces complete" in printed
        try:
            for machine in machines:
                machine.start(WORKER)
            machines[0].start(DAEMON)
            wait_until(lambda: replies(machines[0]) == 2, "both workers to answer", log=machines[0].log)
            run_as_gsc(machines[0], [*by_hand[:1], *on_a_worker])
            wait_until(lambda: is_green(database, tmp_path), "the run", every=1, log=machines[0].log)
        finally:
            for machine in machines:
                machine.lose()
        world.lake = replace(world, lake=type(world.lake)(bucket.uri)).lake
        assert_lake_is_true(world, list(world.last(2)))


def redis_options() -> list[str]:
    """The lines of redis.conf as options of the program, on loopback."""
    lines = [line.split() for line in (DEPLOY / "redis.conf").read_text(encoding="utf-8").splitlines()]
    words = [
        ["bind", "127.0.0.1"] if line[0] == "bind" else line for line in lines if line and line[0] != "#"
    ]
    return [word for name, *values in words for word in (f"--{name}", *values)]


def sections() -> tuple[list[str], list[str], list[str], list[str]]:
    """The commands for gsc: install, configure, sync by hand, and a run on a worker."""
    found = [one for one in commands("$") if not one.startswith(INSTALLS)]
    starts = [
        next(place for place, one in enumerate(found) if one.startswith(beginning))
        for beginning in ("mkdir -p", "set -a", "celery ")
    ]
    configure, by_hand, on_a_worker = starts
    return (
        found[:configure],
        [found[1], *found[configure:by_hand]],
        found[by_hand:on_a_worker],
        found[on_a_worker:],
    )


def fill_in(machine: Machine) -> None:
    """Write this machine's values into its gsc.env, and those that only tests need."""
    template = variables_of(machine.folder / "gsc.env")
    values = {name: machine.environment[name] for name in {*template, *machine.settings}}
    text = "".join(f'{name}="{value}"\n' for name, value in values.items())
    (machine.folder / "gsc.env").write_text(text, encoding="utf-8")


def run_as_gsc(machine: Machine, lines: list[str]) -> str:
    """Run commands one after another in a shell, in place of /srv/gsc in the machine's folder."""
    script = "\n".join(["set -e", *lines]).replace(SRV, str(machine.folder))
    env = {"HOME": str(machine.folder), "PATH": machine.environment["PATH"], "REPOSITORY": f"file://{ROOT}"}
    done = subprocess.run(
        ["bash", "-c", script],
        env=env,
        cwd=machine.folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def replies(machine: Machine) -> int:
    done = machine.run("celery", "-A", "dagster_celery.app", "inspect", "ping", "--json")
    return done.stdout.count('"pong"')


def is_green(database: str, folder: Path) -> bool:
    home = folder / "observer"
    home.mkdir(exist_ok=True)
    config = {"storage": {"postgres": {"postgres_url": database}}, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        # The portal follows by itself.
        (run,) = [run for run in instance.get_runs() if run.job_name != "gsc_portal"]
        assert run.status not in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
        return run.status is dg.DagsterRunStatus.SUCCESS
