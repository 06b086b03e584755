"""Commands end with their own exit code on a busy machine too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.world import World

GSC = str(Path(sys.executable).with_name("gsc"))
STARTS = int(os.environ.get("STARTS_OF_STATUS", "20"))


@pytest.fixture
def _two_busy_cores() -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for process in busy:
        process.kill()
        process.wait()


@pytest.mark.soak
@pytest.mark.usefixtures("_two_busy_cores")
def test_status_of_a_lake_with_standing_failures_always_ends_with_0(live: World, gsc: Gsc) -> None:
    lost = {"id": "lost", "properties": ["sc-domain:lost.com"]}
    env = live.environment({"id": "acme", "properties": ["sc-domain:acme.com"]}, lost)
    gsc("sync", "--days", "3", env=env)

    def code(_: int) -> int:
        return subprocess.run(
            [GSC, "status"], env={**os.environ, **env}, stdout=subprocess.DEVNULL, check=False
        ).returncode

    with ThreadPoolExecutor(2) as two:
        assert list(two.map(code, range(STARTS))) == [0] * STARTS


def test_a_query_prints_nothing_but_its_rows(live: World, gsc: Gsc) -> None:
    env = live.environment({"id": "acme", "properties": ["sc-domain:acme.com"]})
    gsc("sync", "--days", "1", env=env)
    command = [GSC, "query", "--csv", "SELECT count(*) AS days FROM sync_ledger"]
    done = subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, check=True, timeout=300
    )
    assert (done.stdout.split(), done.stderr) == (["days", "1"], "")
