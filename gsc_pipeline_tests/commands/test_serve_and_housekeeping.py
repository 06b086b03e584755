"""`gsc serve` and `gsc housekeeping`, as a user or a service manager meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.commands.conftest import Gsc
from gsc_pipeline_tests.watching.receiver import receiving
from gsc_pipeline_tests.world import World

GSC = str(Path(sys.executable).with_name("gsc"))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[World]:
    with World.serving(
        tmp_path, [SyntheticProperty("sc-domain:acme.com", rows_a_day=5, plants=False)]
    ) as one:
        yield one


@contextmanager
def serving(world: World, *options: str, **variables: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command, running; yields its base URL and its process."""
    env = {**os.environ, **world.environment(), **variables}
    if "DAGSTER_HOME" not in variables:
        env.pop("DAGSTER_HOME", None)
    with subprocess.Popen(
        [GSC, "serve", "--port", "0", *options],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://"), process.stderr.read() if process.stderr else ""
        try:
            yield line.split("/health")[0], process
        finally:
            process.kill()


def status(url: str) -> int:
    return urllib3.request("GET", url, retries=False, timeout=30).status


def test_serve_answers_on_the_loopback_address_and_ends_well_when_told_to(small: World) -> None:
    with serving(small) as (url, process):
        assert url.startswith("http://127.0.0.1:")
        assert status(f"{url}/health/live") == 200
        assert status(f"{url}/health/sync") == 503
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""


def test_serve_tells_people_without_any_daemon(small: World, tmp_path: Path) -> None:
    with receiving() as receiver:
        urls = f"json://127.0.0.1:{receiver.port}/s3cret"
        memory = str(tmp_path / "alerts.json")
        with serving(small, GSC_ALERT_URLS=urls, GSC_ALERT_MEMORY=memory) as (_, process):
            until = time.monotonic() + 30
            while not receiver.titles and time.monotonic() < until:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert receiver.titles == ["gsc_pipeline needs you"]
    assert process.returncode == 0


def test_serve_asks_the_database_of_dagsters_instance_and_warns_when_others_may_read(
    small: World, tmp_path: Path
) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with serving(small, "--host", "0.0.0.0", DAGSTER_HOME=str(home), GSC_HEALTH_CACHE_SECONDS="0") as found:
        url, process = found
        url = url.replace("0.0.0.0", "127.0.0.1")
        answer = urllib3.request("GET", f"{url}/health/sync", timeout=60).json()
        assert answer["database_ok"] is True
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "anyone who reaches 0.0.0.0 may read this" in errors


def test_housekeeping_says_which_tables_it_kept_and_why(small: World, gsc: Gsc) -> None:
    small.sync(small.workspace())
    file = next(Path(small.lake.table_uri(SYNC_RUNS)).rglob("*.parquet"))
    file.unlink()
    shown = gsc("housekeeping", env=small.environment()).out
    assert f"sync_runs is kept as it is: sync_runs is damaged: month=2026-11/{file.name} is missing" in shown
    told = json.loads(gsc("housekeeping", "--json", env=small.environment()).out)["tables"]
    assert [table["table"] for table in told if table["kept_because"]] == ["sync_runs"]


def test_housekeeping_says_what_it_did(small: World, gsc: Gsc) -> None:
    assert gsc("housekeeping", env=small.environment()).out.endswith("0 tables tended, 0.0 MB freed\n")
    for _ in range(6):
        small.sync(small.workspace(), small.last(1))
    shown = gsc("housekeeping", env=small.environment())
    assert (shown.code, shown.err) == (0, "")
    (runs,) = [line.split() for line in shown.out.splitlines() if line.startswith("sync_runs")]
    assert runs[1:3] == ["6", "1"]
    told = json.loads(gsc("housekeeping", "--json", env=small.environment()).out)
    by_name = {table["table"]: table for table in told["tables"]}
    assert by_name["sync_runs"]["files_after"] == 1
    assert by_name["sync_runs"]["bytes_freed"] == 0
