"""After kill -9 at any point of a sync, the next sync ends in the lake of an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World, contents

DAYS = 4
GSC = str(Path(sys.executable).with_name("gsc"))

# Commits after every day, and kills itself before or after the Nth write to the lake.
KILLED_SYNC = """
import os, signal, sys
from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.lake import Lake

at, when = int(sys.argv[1]), sys.argv[2]

class DyingLake(Lake):
    writes = 0
    def _write(self, table, rows, *how):
        DyingLake.writes += 1
        if DyingLake.writes == at and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        version = super()._write(table, rows, *how)
        if DyingLake.writes == at and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return version

from gsc_pipeline.days import Window, pacific_today, utc_now
from gsc_pipeline.settings import load_settings
from gsc_pipeline.sync.sync_all import sync_all
from gsc_pipeline.bootstrap import Services
from gsc_pipeline.workspaces.registry import load_workspaces

settings = load_settings()
window = Window.last_complete(4, pacific_today(utc_now()))
sync_all(load_workspaces(settings.workspaces_file), window, Services(settings).open_console,
         DyingLake(settings.lake), options=Services(settings).sync_options())
"""


def environment(world: World, lake: Lake) -> dict[str, str]:
    entry = {"id": "acme", "properties": ["sc-domain:acme.com", "https://shop.acme.com/"]}
    return {**os.environ, **world.environment(entry), "GSC_LAKE": lake.uri, "GSC_COMMIT_ROWS": "1"}


def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=HANG_SECONDS)


def undisturbed(world: World) -> Lake:
    """A lake with the days of all properties, synced by this process."""
    lake = Lake(str(world.folder / "undisturbed"))
    acme = world.workspace(properties=[one.site_url for one in world.simulator.properties])
    assert not replace(world, lake=lake).sync(acme, world.last(DAYS)).problems
    return lake


@pytest.mark.parametrize(
    ("at", "when"),
    # Four writes for each day: the mark, site rows, URL rows, the ledger; the last is the run's own row.
    rest_in_soak(
        [(3, "after"), (1, "before"), (1, "after"), (2, "after"), (4, "after"), (19, "after"), (33, "before")]
    ),
)
def test_a_sync_killed_at_a_commit_and_repeated_ends_in_the_same_lake(
    tmp_path: Path, at: int, when: str
) -> None:
    properties = [
        SyntheticProperty("sc-domain:acme.com", rows_a_day=60),
        SyntheticProperty("https://shop.acme.com/", rows_a_day=60),
    ]
    with World.serving(tmp_path, properties, now=utc_now()) as world:
        killed = Lake(str(tmp_path / "killed"))
        env = environment(world, killed)
        dead = run([sys.executable, "-c", KILLED_SYNC, str(at), when], env)
        assert dead.returncode == -signal.SIGKILL, dead.stderr
        done = run([GSC, "sync", "--days", str(DAYS)], env)
        assert done.returncode == 0, done.stderr
        assert contents(killed) == contents(undisturbed(world))


def test_a_sync_killed_while_it_reads_and_repeated_ends_in_the_same_lake(tmp_path: Path) -> None:
    properties = [SyntheticProperty("sc-domain:acme.com", rows_a_day=60)]
    with World.serving(tmp_path, properties, now=utc_now()) as world:
        running: list[subprocess.Popen[bytes]] = []

        def kill_at_tenth_query(call: Call) -> Reply | None:
            if running and len(world.queries()) == 10:
                running[0].kill()
            return None

        world.faults.append(kill_at_tenth_query)
        killed = Lake(str(tmp_path / "killed"))
        env = {**environment(world, killed), **world.environment(), "GSC_LAKE": killed.uri}
        with subprocess.Popen([GSC, "sync", "--days", str(DAYS)], env=env) as process:
            running.append(process)
            assert process.wait(HANG_SECONDS) == -signal.SIGKILL
        world.faults.clear()
        done = run([GSC, "sync", "--days", str(DAYS)], env)
        assert done.returncode == 0, done.stderr
        assert contents(killed) == contents(undisturbed(world))
