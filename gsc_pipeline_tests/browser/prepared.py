"""What the browser opens: a Dagster instance with runs, and Dagster's web server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import urllib3

from gsc_pipeline.days import ONE_DAY, Window, utc_now
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.jobs import run_tags
from gsc_pipeline.defs.partitions import WORKSPACES
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
from gsc_pipeline_tests.world import World

ROOT = Path(__file__).parents[2]
ACME = SyntheticProperty("sc-domain:acme.com", rows_a_day=40)
REFUSED = "sc-domain:other.com"
"""A property that acme's workspace names and may not read."""


@dataclass(frozen=True)
class Prepared:
    """The UI's address, and what it must show."""

    url: str
    sync_run: str
    window: Window
    report: Path


@contextmanager
def prepared(folder: Path) -> Iterator[Prepared]:
    """acme has a sync, a report and a refused property; globex is listed and was never synced."""
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    with World.serving(folder, [ACME], now=utc_now()) as world:
        entries = [
            {"id": "acme", "name": "Acme Inc.", "properties": [ACME.site_url, REFUSED]},
            {"id": "globex", "properties": [ACME.site_url]},
        ]
        variables = {
            **world.environment(*entries),
            "DAGSTER_HOME": str(home),
            "GSC_REPORTS": str(folder / "reports"),
            "GSC_AUDIT_LOG": "off",
        }
        window = world.last(4)
        fill(world.lake, "acme", ACME, Window(window.start - 70 * ONE_DAY, window.start))
        sync_run = _run_jobs(home, variables, window)
        with _webserver({**os.environ, **variables}, folder) as url:
            yield Prepared(url, sync_run, window, folder / "reports" / "acme.html")


def _run_jobs(home: Path, variables: dict[str, str], window: Window) -> str:
    """Run the jobs: sync, insights and report of acme, and the checks. Return the sync's run."""
    given = {name.removeprefix("GSC_").lower(): value for name, value in variables.items()}
    del given["dagster_home"]
    defs = build_defs(load_settings(**given))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme", "globex"])
        sync = defs.resolve_job_def("gsc_sync").execute_in_process(
            instance=instance, tags=run_tags(["acme"], window)
        )
        assert sync.success
        made = defs.resolve_job_def("gsc_insights").execute_in_process(
            instance=instance, partition_key="acme"
        )
        assert made.success
        assert defs.resolve_job_def("gsc_checks").execute_in_process(instance=instance).success
    return sync.run_id


@contextmanager
def _webserver(environment: dict[str, str], folder: Path) -> Iterator[str]:
    """Dagster's web server, once it has loaded the code."""
    log = folder / "webserver.log"
    socket = urllib3.PoolManager(retries=False)
    port = _free_port()
    command = [str(Path(sys.executable).with_name("dagster-webserver")), "-h", "127.0.0.1", "-p", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "-w", str(ROOT / "workspace.yaml")],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(
            lambda: process.poll() is not None or _answers(socket, url),
            "Dagster's web server",
            every=0.3,
            log=log.read_text,
        )
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.terminate()
        process.wait(HANG_SECONDS)


def _answers(socket: urllib3.PoolManager, url: str) -> bool:
    try:
        return socket.request("GET", f"{url}/server_info", timeout=HANG_SECONDS).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
