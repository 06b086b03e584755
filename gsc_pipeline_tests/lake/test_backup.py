"""Backup, restore, upgrade and rollback with the commands of docs/operations.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from gsc_pipeline.cli.main import app
from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.agreement import disagreements
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, TABLES
from gsc_pipeline.lake.version import LAKE_VERSION, version_of
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.docs import ROOT
from gsc_pipeline_tests.lake.test_releases import RELEASES
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World, contents

OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECTIONS = ("Backup", "Restore", "Upgrade", "Roll-back")
HAS_VERIFY = "verify" in typer.main.get_command(app).commands  # type: ignore[attr-defined]
"""Whether `gsc verify` exists; until it does, its lines in the docs are not run."""
PROPERTIES = [
    SyntheticProperty("sc-domain:acme.com", rows_a_day=5, plants=False),
    SyntheticProperty("https://shop.globex.example/", rows_a_day=5, plants=False),
]
WORKSPACES = (
    {"id": "acme", "properties": ["sc-domain:acme.com"]},
    {"id": "globex", "properties": ["https://shop.globex.example/"]},
)


def commands_of(section: str) -> list[list[str]]:
    """The commands of each block of a section of the docs."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", OPERATIONS, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [[line.removeprefix("$ ") for line in block.splitlines()] for block in blocks]


class Operator:
    """Runs the commands of the docs in a shell."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.backup = world.folder / "backup"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        variables = {**world.environment(*map(dict, WORKSPACES)), "BACKUP": str(self.backup), "PATH": path}
        self._env = {**os.environ, **variables}
        self._env.pop("DAGSTER_HOME", None)

    def run(self, lines: list[str], meanwhile: Callable[[], object] = lambda: None) -> None:
        for line in lines:
            # Tests must not install anything.
            if line.startswith("pip install") or (re.search(r"\bgsc verify", line) and not HAS_VERIFY):
                continue
            done = subprocess.run(
                ["bash", "-c", line],
                env=self._env,
                cwd=self.world.folder,
                check=False,
                capture_output=True,
                text=True,
                timeout=HANG_SECONDS,
            )
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
            meanwhile()


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with World.serving(tmp_path, PROPERTIES, now=utc_now()) as world:
        yield Operator(world)


def assert_sound(lake: Lake) -> None:
    assert [lake.damaged_files(table, deep=True) for table in TABLES] == [[]] * len(TABLES)
    assert disagreements(lake) == []


def test_a_folder_is_backed_up_and_restored(operator: Operator) -> None:
    (idle, _), (restore,) = commands_of("Backup"), commands_of("Restore")
    operator.run(["gsc sync --days 3"])
    lake = operator.world.lake
    before = contents(lake)
    operator.run(idle)
    for file in Path(lake.uri).rglob("*.parquet"):
        file.unlink()
    assert Lake(lake.uri).damaged_files(SITE_IMPRESSION)
    operator.run(restore[:-1])
    assert contents(Lake(lake.uri)) == before
    operator.run(restore[-1:])
    assert_sound(Lake(lake.uri))
    assert Path(f"{lake.uri}.damaged").exists()


@pytest.mark.soak
def test_a_backup_made_during_syncs_is_consistent_and_updated_by_the_next_sync(operator: Operator) -> None:
    (_, beside), (restore,) = commands_of("Backup"), commands_of("Restore")
    world = operator.world
    acme = world.workspace("acme")
    world.now -= timedelta(days=2)
    world.sync(acme, world.last(6))

    def sync_on() -> None:
        world.now += timedelta(hours=6)
        world.sync(acme, world.last(6))

    # The copy may contain days that were being replaced, which `gsc verify` lists.
    operator.run([line for line in beside if "gsc verify" not in line], meanwhile=sync_on)
    copy = Lake(str(operator.backup))
    assert [copy.damaged_files(table, deep=True) for table in TABLES] == [[]] * len(TABLES)
    assert copy.read(SITE_IMPRESSION).num_rows
    operator.run([line for line in restore if "verify" not in line])
    world.now = utc_now()
    sync_all_of(world)
    restored = world.lake
    assert_sound(restored)
    world.lake = Lake(str(world.folder / "undisturbed"))
    sync_all_of(world)
    assert rows_of(restored) == rows_of(world.lake)


def sync_all_of(world: World) -> None:
    for workspace in WORKSPACES:
        world.sync(world.workspace(str(workspace["id"]), properties=workspace["properties"]), world.last(14))


def rows_of(lake: Lake) -> list[dict[str, Any]]:
    return contents(lake)[SITE_IMPRESSION.name]


@pytest.mark.soak
def test_an_upgrade_and_a_rollback_keep_all_rows(operator: Operator) -> None:
    (upgrade,), (roll_back,) = commands_of("Upgrade"), commands_of("Roll-back")
    with tarfile.open(RELEASES / "lake-0.1.0.tar.gz") as archive:
        archive.extractall(operator.world.folder, filter="data")
    uri = operator.world.lake.uri
    before = contents(Lake(uri))
    operator.run(upgrade)
    upgraded = Lake(uri)
    assert version_of(upgraded.open(SITE_IMPRESSION)) == LAKE_VERSION
    assert_sound(upgraded)
    assert contents(Lake(str(operator.backup))) == before
    # The older release is not installed here, so the lake is checked as that release left it.
    operator.run(roll_back[:2])
    assert contents(Lake(uri)) == before
    assert version_of(Lake(uri).open(SITE_IMPRESSION)) == 1
    assert roll_back[2].startswith("pip install")
    assert roll_back[3] == "gsc sync"
