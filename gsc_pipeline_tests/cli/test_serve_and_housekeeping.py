"""`gsc serve` and `gsc housekeeping`, run as a user or a service manager runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.monitoring.receiver import receiving
from gsc_pipeline_tests.signals import send_to_another_thread
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
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
    return urllib3.request("GET", url, retries=False, timeout=HANG_SECONDS).status


def test_serve_answers_on_the_loopback_address_and_exits_with_0_on_sigterm(small: World) -> None:
    with serving(small) as (url, process):
        assert url.startswith("http://127.0.0.1:")
        assert status(f"{url}/health/live") == 200
        assert status(f"{url}/health/sync") == 503
        send_to_another_thread(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0
    assert errors == ""


def test_serve_sends_alerts_without_a_daemon(small: World) -> None:
    with receiving() as receiver:
        urls = f"json://127.0.0.1:{receiver.port}/s3cret"
        with serving(small, GSC_ALERT_URLS=urls) as (_, process):
            wait_until(lambda: bool(receiver.titles), "an alert")
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=HANG_SECONDS)
    assert receiver.titles == ["gsc_pipeline needs attention"]
    assert process.returncode == 0


def test_serve_probes_the_database_of_the_dagster_instance_and_warns_of_an_open_address(
    small: World, tmp_path: Path
) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with serving(small, "--host", "0.0.0.0", DAGSTER_HOME=str(home), GSC_HEALTH_CACHE_SECONDS="0") as found:
        url, process = found
        url = url.replace("0.0.0.0", "127.0.0.1")

        def is_up() -> bool:
            # Opening the instance for the first time takes longer than a page waits.
            answer = urllib3.request("GET", f"{url}/health/sync", timeout=HANG_SECONDS).json()
            return answer["database_ok"] is True

        wait_until(is_up, "the database of the instance to answer")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0
    assert "anyone who can reach 0.0.0.0 can read these pages" in errors


def test_housekeeping_prints_which_tables_it_skipped_and_why(small: World, gsc: Gsc) -> None:
    small.sync(small.workspace())
    file = next(Path(small.lake.table_uri(SYNC_RUNS)).rglob("*.parquet"))
    file.unlink()
    shown = gsc("housekeeping", env=small.environment()).out
    assert f"sync_runs was skipped: sync_runs is damaged: month=2026-11/{file.name} is missing" in shown
    printed = json.loads(gsc("housekeeping", "--json", env=small.environment()).out)["tables"]
    assert [table["table"] for table in printed if table["kept_because"]] == ["sync_runs"]


def test_housekeeping_prints_what_it_did(small: World, gsc: Gsc) -> None:
    assert gsc("housekeeping", env=small.environment()).out.endswith("0 tables cleaned up, 0.0 MB freed\n")
    for _ in range(6):
        small.sync(small.workspace(), small.last(1))
    shown = gsc("housekeeping", env=small.environment())
    assert (shown.code, shown.err) == (0, "")
    (runs,) = [line.split() for line in shown.out.splitlines() if line.startswith("sync_runs")]
    assert runs[1:3] == ["6", "1"]
    printed = json.loads(gsc("housekeeping", "--json", env=small.environment()).out)
    by_name = {table["table"]: table for table in printed["tables"]}
    assert by_name["sync_runs"]["files_after"] == 1
    assert by_name["sync_runs"]["bytes_freed"] == 0
