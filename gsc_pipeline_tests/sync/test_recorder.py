"""The rows of `sync_runs`: idle syncs share a commit, and however a sync ends, each has one row."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typing_extensions import override

from gsc_pipeline.cli.syncing import interruptible
from gsc_pipeline.days import Window, pacific_today, utc_now
from gsc_pipeline.lake.lake import CommitGuard, Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS, TableSpec
from gsc_pipeline.simulator import Call, Reply
from gsc_pipeline.sync.recorder import HELD_FOR
from gsc_pipeline.sync.report import Progress, SyncSummary
from gsc_pipeline.sync.sync_all import SyncFatalError, sync_all
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.doubles import FailingLake
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World, commits, contents, versions


def rows(lake: Lake, run_id: str = "ours") -> dict[str, int]:
    """How many rows a run has, by workspace."""
    found = lake.read(SYNC_RUNS, columns=["workspace", "run_id"]).to_pylist()
    return dict(Counter(row["workspace"] for row in found if row["run_id"] == run_id))


def sync(world: World, workspaces: Sequence[Workspace], lake: Lake | None = None, **how: Any) -> SyncSummary:
    return sync_all(
        workspaces,
        world.last(3),
        world.open_console,
        lake or world.lake,
        clock=lambda: world.now,
        run_id="ours",
        **how,
    )


def with_news(world: World, workspace: Workspace) -> Workspace:
    """The workspace with a property of which the lake has nothing yet."""
    return world.workspace(workspace.id, properties=("https://shop.acme.com/",))


def test_idle_workspaces_are_recorded_in_one_commit(world: World) -> None:
    workspaces = world.synced(5, world.last(3))
    before = versions(world.lake)
    summary = sync(world, workspaces)
    assert len(summary.successes) == 5
    assert commits(world.lake, before) == {SYNC_RUNS.name: 1}
    assert rows(world.lake) == dict.fromkeys(["w00", "w01", "w02", "w03", "w04"], 1)


def test_rows_are_not_held_while_a_workspace_is_read_for_long(world: World) -> None:
    workspaces = world.synced(3, world.last(3))
    workspaces[2] = with_news(world, workspaces[2])
    at_day: dict[int, dict[str, int]] = {}

    def progress(now: Progress) -> None:
        if now.site_url == "https://shop.acme.com/":
            at_day[now.done] = rows(world.lake)
            world.now += HELD_FOR if now.done == 1 else timedelta()

    sync(world, workspaces, on_progress=progress)
    assert at_day[1] == {}
    assert at_day[2] == {"w00": 1, "w01": 1}
    assert rows(world.lake) == {"w00": 1, "w01": 1, "w02": 1}


def test_rows_that_cannot_be_written_in_between_end_no_sync(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    workspaces = world.synced(3, world.last(3))
    workspaces[2] = with_news(world, workspaces[2])
    lake = FailingLake(world.lake.uri, 1, "before")

    def progress(now: Progress) -> None:
        world.now += HELD_FOR if now.done == 1 else timedelta()

    summary = sync(world, workspaces, lake, on_progress=progress)
    assert len(summary.successes) == 3
    assert "2 finished syncs are not recorded in sync_runs yet: cannot write sync_runs" in caplog.text
    assert rows(world.lake) == {"w00": 1, "w01": 1, "w02": 1}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_whose_call_failed_is_not_repeated_if_it_was_made(world: World, when: str) -> None:
    workspaces = world.synced(3, world.last(3))
    workspaces[2] = with_news(world, workspaces[2])
    with pytest.raises(SyncFatalError, match="cannot write sync_runs"):
        sync(world, workspaces, FailingLake(world.lake.uri, 1, when))
    own = {} if when == "before" else {"w02": 1}
    assert rows(world.lake) == {"w00": 1, "w01": 1, **own}


def test_a_sync_of_idle_workspaces_that_cannot_be_recorded_fails(world: World) -> None:
    workspaces = world.synced(2, world.last(3))
    with pytest.raises(SyncFatalError, match="cannot write sync_runs: the bucket is gone"):
        sync(world, workspaces, FailingLake(world.lake.uri, 9, "before"))


class InterruptedLake(Lake):
    """This process gets SIGTERM whenever it writes to `sync_runs`."""

    @override
    def for_run(self, run_id: str) -> Lake:
        return self

    @override
    def append(self, table: TableSpec, rows: pa.Table, guard: CommitGuard | None = None) -> int:
        if table is SYNC_RUNS:
            signal.raise_signal(signal.SIGTERM)
        return super().append(table, rows, guard)


def test_a_second_sigterm_does_not_interrupt_the_recording(world: World) -> None:
    workspaces = world.synced(3, world.last(3))
    workspaces[2] = with_news(world, workspaces[2])
    ended_by: list[int] = []

    def progress(now: Progress) -> None:
        if now.site_url == "https://shop.acme.com/":
            signal.raise_signal(signal.SIGTERM)

    previous = signal.signal(signal.SIGTERM, lambda number, frame: ended_by.append(number))
    try:
        with pytest.raises(KeyboardInterrupt), interruptible("sync"):
            sync(world, workspaces, InterruptedLake(world.lake.uri), on_progress=progress)
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert rows(world.lake) == {"w00": 1, "w01": 1}
    assert ended_by == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("number", "code", "recorded"),
    rest_in_soak(
        [
            (signal.SIGTERM, -signal.SIGTERM, ["w00", "w01"]),
            (signal.SIGKILL, -signal.SIGKILL, []),
            (signal.SIGINT, 130, ["w00", "w01"]),
        ]
    ),
)
def test_a_stopped_sync_records_what_it_has_done_and_a_killed_one_loses_no_data(
    tmp_path: Path, number: signal.Signals, code: int, recorded: list[str]
) -> None:
    with World.serving(tmp_path, now=utc_now()) as world:
        # Final days, which no hour that passes meanwhile changes.
        day = pacific_today(world.now) - timedelta(days=20)
        ids = [one.id for one in world.synced(4, Window.inclusive(day, day))]
        listed = [{"id": id_, "properties": ["sc-domain:acme.com"]} for id_ in ids]
        env = {**os.environ, **world.environment(*listed), "GSC_STATE": str(tmp_path / "state.db")}
        before, lake = contents(world.lake), world.lake
        seeded = rows(lake, lake.read(SYNC_RUNS)["run_id"].to_pylist()[0])
        running: list[subprocess.Popen[str]] = []

        def stop_in_the_third(call: Call) -> Reply | None:
            if running and call.kind == "query" and call.subject == "w02@example.com":
                running.pop().send_signal(number)
            return None

        world.faults.append(stop_in_the_third)
        command = [str(Path(sys.executable).with_name("gsc")), "sync", "--start", str(day), "--end", str(day)]
        with subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE) as process:
            running.append(process)
            _, shown = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == code, shown
        assert ("interrupted; committed days are kept" in shown) == (code != -signal.SIGKILL)

        def count() -> Counter[str]:
            return Counter(lake.read(SYNC_RUNS)["workspace"].to_pylist()) - Counter(seeded)

        assert count() == Counter(recorded)
        assert contents(lake) == before
        world.faults.clear()
        done = subprocess.run(command, env=env, check=False, timeout=HANG_SECONDS, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert count() == Counter(recorded) + Counter(ids)
        assert contents(lake) == before
