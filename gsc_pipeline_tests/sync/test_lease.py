"""Two syncs of one workspace at once: the second reads nothing and names the first; a dead one is no one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from typing_extensions import override

from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.schemas import STANDING_FAILURES, SYNC_RUNS
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.sqlite import SqliteStore
from gsc_pipeline.state.store import Row, StateError, Store
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.lease import LOST_AFTER, RETRY_AFTER, Holder, Leases
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.report import SyncReport
from gsc_pipeline.sync.sync_all import sync_isolated
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
from gsc_pipeline_tests.world import NOON, World

SECOND = timedelta(seconds=1)

HOLD = """
import sys
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.sync.lease import Leases

with Leases(open_store(sys.argv[1])).held("acme", "theirs") as holder:
    print(holder, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "state.db"))


@contextmanager
def another_process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease of acme until it may read a line."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "state.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().strip() == "None"
        try:
            yield process
        finally:
            process.kill()


def sync(world: World, leases: Leases) -> SyncReport:
    return sync_isolated(
        world.workspace(),
        world.last(2),
        world.open_console,
        world.lake,
        options=SyncOptions(leases=leases),
        clock=lambda: world.now,
        run_id="ours",
    )


def holder(store: Store) -> Holder | None:
    with Leases(store).held("acme", "ours") as found:
        return found


def held_by(store: Store, **values: object) -> None:
    """A lease of acme with other values than those of this process."""
    with Leases(store).held("acme", "theirs"):
        rows = store.execute("SELECT * FROM gsc_sync_leases")
        names = ("workspace", "token", "run_id", "host", "pid", "process", "since", "renewed_at")
    row = dict(zip(names, rows[0], strict=True)) | values
    places = ", ".join(f":{name}" for name in names)
    store.execute(f"INSERT INTO gsc_sync_leases ({', '.join(names)}) VALUES ({places})", **row)


def test_a_workspace_that_another_process_syncs_is_not_read(world: World, store: Store) -> None:
    with another_process(world.folder) as process:
        report = sync(world, Leases(store))
    assert not world.simulator.calls
    (problem,) = report.problems
    assert "another sync holds it since " in str(problem)
    assert f"run theirs, process {process.pid} on {socket.gethostname()}" in str(problem)
    assert (problem.transient, problem.deferred, report.retry_at) == (True, True, NOON + RETRY_AFTER)
    assert report.outcome is Outcome.FAILED
    # What fails, and what the last sync was, is for the other sync to say.
    assert world.lake.read(SYNC_RUNS).num_rows == 0
    assert world.lake.read(STANDING_FAILURES).num_rows == 0


def test_the_lease_is_free_again_when_the_sync_has_ended(world: World, store: Store) -> None:
    for _ in range(2):
        assert sync(world, Leases(store)).outcome is Outcome.COMPLETE


def test_the_lease_is_free_again_when_the_sync_ends_in_an_error(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), Leases(store).held("acme", "ours"):
        raise ZeroDivisionError
    assert holder(store) is None


def test_two_workspaces_are_synced_at_once(tmp_path: Path, store: Store) -> None:
    with another_process(tmp_path), Leases(store).held("globex", "ours") as found:
        assert found is None


def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path: Path, store: Store) -> None:
    with another_process(tmp_path) as process:
        assert holder(store)
        os.kill(process.pid, signal.SIGKILL)
        # Its parent has not collected it yet.
        wait_until(lambda: holder(store) is None, "the lease of a dead process")
        process.wait(HANG_SECONDS)


def test_a_process_that_has_the_number_of_a_dead_one_does_not_hold_its_lease(store: Store) -> None:
    held_by(store, process="1")
    assert holder(store) is None


def test_the_lease_of_another_host_is_free_after_three_minutes_without_renewal(store: Store) -> None:
    now = utc_now()
    held_by(store, host="elsewhere", pid=1, renewed_at=now.timestamp())
    with Leases(store, lambda: now + LOST_AFTER - SECOND).held("acme", "ours") as found:
        assert found
        assert found.host == "elsewhere"
    with Leases(store, lambda: now + LOST_AFTER).held("acme", "ours") as found:
        assert found is None


def test_a_sync_that_goes_on_renews_its_lease(store: Store) -> None:
    times = [NOON]
    with Leases(store, lambda: times[-1], renew_seconds=0.01).held("acme", "ours"):
        times.append(NOON + timedelta(hours=1))

        def renewed_at() -> float:
            return float(store.execute("SELECT renewed_at FROM gsc_sync_leases")[0][0])

        wait_until(lambda: renewed_at() == times[-1].timestamp(), "a renewal")


def test_a_sync_goes_on_where_the_state_cannot_be_reached(world: World, tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    leases = Leases(open_store(str(tmp_path / "folder.db")))
    assert sync(world, leases).outcome is Outcome.COMPLETE


def test_a_lease_is_released_when_the_state_can_be_reached_again(tmp_path: Path) -> None:
    class Away(SqliteStore):
        is_away = False

        @override
        def _execute(self, sql: str, **values: object) -> list[Row]:
            if self.is_away:
                raise StateError("the database is away")
            return super()._execute(sql, **values)

    store = Away(str(tmp_path / "state.db"), lambda seconds: None, reads_only=False)
    with Leases(store, renew_seconds=0.01).held("acme", "theirs"):
        store.is_away = True
    store.is_away = False
    wait_until(lambda: holder(store) is None, "the lease of a sync that has ended")


def test_a_lease_costs_two_statements(tmp_path: Path) -> None:
    statements: list[str] = []

    class Counting(SqliteStore):
        @override
        def _execute(self, sql: str, **values: object) -> list[Row]:
            statements.append(sql)
            return super()._execute(sql, **values)

    store = Counting(str(tmp_path / "state.db"), lambda seconds: None, reads_only=False)
    with Leases(store).held("acme", "ours"):
        pass
    assert len(statements) == 2
