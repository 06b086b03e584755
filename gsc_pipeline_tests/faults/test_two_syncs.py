"""Two syncs of one workspace at once: one reads. Where they share no state both do, and end like one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World, contents

SITES = ["sc-domain:acme.com", "https://shop.acme.com/"]
SYNC = [str(Path(sys.executable).with_name("gsc")), "sync", "--days", "4"]


@contextmanager
def serving(tmp_path: Path) -> Iterator[tuple[World, dict[str, str]]]:
    properties = [SyntheticProperty(site, rows_a_day=40, plants=False) for site in SITES]
    with World.serving(tmp_path, properties, now=utc_now()) as world:
        env = world.environment({"id": "acme", "properties": SITES})
        yield world, {**os.environ, **env, "GSC_COMMIT_ROWS": "1"}


@pytest.mark.soak
def test_two_syncs_of_one_workspace_that_share_no_state_end_as_one(tmp_path: Path) -> None:
    with serving(tmp_path) as (world, env):
        alone = {**env, "GSC_LAKE": str(tmp_path / "alone")}
        subprocess.run(SYNC, env=alone, check=True, capture_output=True)
        both = [
            subprocess.Popen(
                SYNC, env={**env, "GSC_STATE": str(tmp_path / state)}, stderr=subprocess.PIPE, text=True
            )
            for state in ("one.db", "other.db")
        ]
        for process in both:
            _, told = process.communicate(timeout=HANG_SECONDS)
            assert process.returncode == 0, told
        assert contents(world.lake) == contents(Lake(alone["GSC_LAKE"]))


def test_a_sync_beside_another_reads_nothing_and_says_who_reads(tmp_path: Path) -> None:
    with serving(tmp_path) as (world, env):
        seconds: list[subprocess.CompletedProcess[str]] = []

        def start_another(call: Call) -> Reply | None:
            if call.kind == "query" and not seconds:
                seconds.append(subprocess.run(SYNC, env=env, check=False, capture_output=True, text=True))
            return None

        world.faults.append(start_another)
        with subprocess.Popen(SYNC, env=env, stderr=subprocess.PIPE, text=True) as first:
            _, told = first.communicate(timeout=HANG_SECONDS)
        assert first.returncode == 0, told
        (second,) = seconds
        assert second.returncode == 1
        assert f"process {first.pid} on " in second.stderr
        assert "acme: another sync holds it since " in second.stderr
        tokens = [call for call in world.simulator.calls if call.kind == "token"]
        assert len(tokens) == 1
