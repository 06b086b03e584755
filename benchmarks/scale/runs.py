"""Dagster runs without changes, shared by one, several or many workspaces: CPU by workspace."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.measure import Measurement, Server
from benchmarks.measure import measure as run
from benchmarks.scale.common import Part, Sizes, s, small_server, today, write_workspaces_file
from benchmarks.scale.filling import lake_of, workspace_id
from gsc_pipeline.days import Window
from gsc_pipeline.defs.assets.searchdata import TICK_TAG
from gsc_pipeline.defs.jobs import run_tags
from gsc_pipeline.lake.lake import Lake

CORES, HOURS, EVERYONE = 2, 6, 1_000


def measure(folder: Path, sizes: Sizes) -> Part:
    """Measure the second of two runs. The first one records events of the days, which are new to Dagster."""
    write_workspaces_file(folder, sizes.workspaces)
    lake, home = lake_of(folder.parent, sizes.workspaces, sizes.months, today()), folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    rows = []
    with small_server(folder) as server:
        for count in sizes.shared:
            tags = run_tags(_ids(count), Window.last_complete(14, today()))
            run_job(folder, lake, server, {TICK_TAG: "a tick", **tags})
            idle = run_job(folder, lake, server, {TICK_TAG: "the next tick", **tags})
            each = idle.cpu / count
            share = each * EVERYONE / (CORES * HOURS * 3600)
            rows.append(
                (
                    str(count),
                    s(idle.wall),
                    s(idle.cpu),
                    s(each),
                    f"{each * EVERYONE / 60:,.0f} min",
                    f"{share:.1%}",
                )
            )
    return Part(
        "Dagster runs without changes",
        (
            "workspaces sharing a run",
            "wall of the run",
            "CPU of the run",
            "CPU a workspace",
            f"CPU of {EVERYONE:,} workspaces",
            f"of {CORES} cores over {HOURS} hours",
        ),
        tuple(rows),
        f"`dagster job execute` of `gsc_sync` on a lake of {sizes.workspaces:,} workspaces and "
        f"{sizes.months} months, with imports, the instance and the opening of the tables. The process of a "
        "run costs more than the sync of a workspace in it, so runs shared by 20 workspaces cost less "
        "(`GSC_WORKSPACES_PER_RUN`).",
    )


def _ids(count: int) -> list[str]:
    return [workspace_id(number) for number in range(count)]


def run_job(folder: Path, lake: Lake, server: Server, tags: dict[str, str]) -> Measurement:
    """One run of `gsc_sync` with these tags, in a process of its own; the instance is in `home`."""
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(folder / "home"),
        "GSC_WORKSPACES_FILE": str(folder / "workspaces.yaml"),
        "GSC_LAKE": lake.uri,
        "GSC_STATE": str(folder / "state.db"),
        "GSC_API_URL": server.url,
        "GSC_API_LIMIT_FACTOR": "100",
        "GSC_AUDIT_LOG": "off",
    }
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "gsc_pipeline.definitions"]
    command += ["-j", "gsc_sync", "--tags", json.dumps(tags)]
    return run(command, environment, folder / "run.log", server)
