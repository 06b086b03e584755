"""A lake that cannot be written at any step of a commit: no day is half replaced."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION
from gsc_pipeline.monitoring.status import workspace_states
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.sync_all import SyncFatalError, sync_all
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.world import World, contents

PROPERTY = SyntheticProperty("sc-domain:acme.com", rows_a_day=200, plants=False)
DISK_BYTES = 4_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, where this machine lets the tests mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(["mount", *options], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command: a full disk is tried by a limit on the size of files only")
    if mounted.returncode:
        pytest.skip(f"may not mount a small disk ({mounted.stderr.strip()}): a limit on files is tried only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small(disk: Path) -> Iterator[World]:
    """A world whose lake lies on the small disk."""
    with World.serving(disk.parent, [PROPERTY]) as world:
        world.lake = Lake(str(disk / "lake"))
        yield world


def sync(world: World) -> None:
    """Sync all workspaces; raises the error with which `gsc sync` ends."""
    sync_all([world.workspace()], world.last(5), world.open_console, world.lake, clock=lambda: world.now)


def rows_by_day(found: dict[str, list[dict[str, Any]]], table: str) -> dict[Any, list[dict[str, Any]]]:
    days: dict[Any, list[dict[str, Any]]] = {}
    for row in found[table]:
        days.setdefault(row["data_date"], []).append(row)
    return days


def assert_each_day_is_old_or_new(
    now: dict[str, list[dict[str, Any]]],
    old: dict[str, list[dict[str, Any]]],
    new: dict[str, list[dict[str, Any]]],
) -> None:
    for table in (SITE_IMPRESSION.name, URL_IMPRESSION.name):
        before, held, after = (rows_by_day(one, table) for one in (old, now, new))
        assert held.keys() >= before.keys()
        for day, rows in held.items():
            assert rows in (before.get(day), after.get(day)), f"{day} of {table} is half replaced"


def undisturbed(folder: Path, world: World) -> dict[str, list[dict[str, Any]]]:
    """The contents of a lake that was synced once, now, without faults."""
    folder.mkdir()
    with World.serving(folder, [PROPERTY], now=world.now) as other:
        other.sync(other.workspace())
        return contents(other.lake)


def fill(disk: Path, leaving: int) -> None:
    """Fill the disk except for `leaving` bytes."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65_536):
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leaving))


@pytest.mark.parametrize("every", rest_in_soak([24_000, 8_000]))
def test_a_full_disk_at_any_step_of_a_commit_loses_nothing(small: World, disk: Path, every: int) -> None:
    sync(small)
    old = contents(small.lake)
    small.now += timedelta(hours=12)
    new = undisturbed(disk.parent / "undisturbed", small)
    stopped_at = set()
    for leaving in range(0, 64_000, every):
        fill(disk, leaving)
        with pytest.raises(SyncFatalError, match=r"cannot write .*check GSC_LAKE, .*the free space") as told:
            sync(small)
        stopped_at.add(str(told.value).split()[2].rpartition("/")[2])
        assert_each_day_is_old_or_new(contents(small.lake), old, new)
    assert len(stopped_at) > 1, "the disk was always full at the same table"
    (disk / "ballast").unlink()
    sync(small)
    assert_lake_is_true(small, list(small.last(5)))
    assert [row["status"] for row in contents(small.lake)[SYNC_LEDGER.name]].count("failed") == 0


# Syncs in a process whose files may grow to so many bytes and no further: the rest of a write is refused.
LIMITED_SYNC = """
import resource, sys
from pathlib import Path
from datetime import datetime
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.sync.sync_all import SyncFatalError, sync_all
from gsc_pipeline.workspaces.registry import Workspace
key, url, lake, now = sys.argv[2], sys.argv[3], Lake(sys.argv[4]), datetime.fromisoformat(sys.argv[5])
acme = Workspace("acme", "acme", ServiceAccountFile(Path(key)), ("sc-domain:acme.com",), (QueryType.WEB,))
open_console = lambda workspace: HttpSearchConsole(workspace.credentials, base_url=url, clock=lambda: now)
try:
    sync_all([acme], Window.last_complete(5, pacific_today(now)), open_console, lake, clock=lambda: now)
except SyncFatalError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on the size of files here")
@pytest.mark.soak
def test_a_write_that_is_cut_short_loses_nothing(tmp_path: Path) -> None:
    with World.serving(tmp_path, [PROPERTY]) as world:
        sync(world)
        old = contents(world.lake)
        world.now += timedelta(hours=12)
        new = undisturbed(tmp_path / "undisturbed", world)
        for most_bytes in (500, 6_000):
            key = str(tmp_path / "acme-key.json")
            arguments = [str(most_bytes), key, world.url, world.lake.uri, world.now.isoformat()]
            done = subprocess.run(
                [sys.executable, "-c", LIMITED_SYNC, *arguments], check=False, capture_output=True, text=True
            )
            assert "cannot write" in done.stderr, done.stderr
            assert done.returncode == 1
            assert_each_day_is_old_or_new(contents(world.lake), old, new)
        sync(world)
        assert_lake_is_true(world, list(world.last(5)))


def read_only(disk: Path, ending: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{ending}", str(disk)], check=True)


def blocked(lake: Path, is_blocked: bool) -> None:
    """A file in the place of each table's log folder, as a mistaken clean-up may leave it."""
    for table in (SITE_IMPRESSION.name, URL_IMPRESSION.name):
        log, aside = lake / table / "_delta_log", lake / f"{table}.aside"
        if is_blocked:
            log.rename(aside)
            log.write_text("in the way", encoding="utf-8")
        else:
            log.unlink()
            aside.rename(log)


def test_a_lake_that_became_read_only_is_reported_stays_readable_and_is_caught_up(
    small: World, disk: Path
) -> None:
    sync(small)
    old = contents(small.lake)
    small.now += timedelta(hours=12)
    read_only(disk, "ro")
    try:
        with pytest.raises(SyncFatalError, match=r"cannot write .*check GSC_LAKE, its permissions"):
            sync(small)
        assert contents(small.lake) == old
        (state,) = workspace_states([small.workspace()], small.lake)
        assert state.workspace == "acme"
    finally:
        read_only(disk, "rw")
    sync(small)
    assert_lake_is_true(small, list(small.last(5)))


def test_a_table_whose_log_is_replaced_by_a_file_is_reported_and_complete_afterwards(tmp_path: Path) -> None:
    with World.serving(tmp_path, [PROPERTY]) as world:
        sync(world)
        world.now += timedelta(hours=12)
        blocked(tmp_path / "lake", True)
        with pytest.raises(SyncFatalError, match=r"cannot (read|write) .*check GSC_LAKE"):
            sync(world)
        blocked(tmp_path / "lake", False)
        sync(world)
        assert_lake_is_true(world, list(world.last(5)))
