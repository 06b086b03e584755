"""Two syncs of one workspace at once end in the same lake as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.world import World, contents

SITES = ["sc-domain:acme.com", "https://shop.acme.com/"]


def test_two_syncs_of_one_workspace_at_once_end_as_one(tmp_path: Path) -> None:
    properties = [SyntheticProperty(site, rows_a_day=40, plants=False) for site in SITES]
    with World.serving(tmp_path, properties, now=utc_now()) as world:
        env = {**os.environ, **world.environment({"id": "acme", "properties": SITES}), "GSC_COMMIT_ROWS": "1"}
        command = [str(Path(sys.executable).with_name("gsc")), "sync", "--days", "4"]
        alone = {**env, "GSC_LAKE": str(tmp_path / "alone")}
        subprocess.run(command, env=alone, check=True, capture_output=True)
        both = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        for process in both:
            _, told = process.communicate(timeout=120)
            assert process.returncode == 0, told
        assert contents(world.lake) == contents(Lake(alone["GSC_LAKE"]))
