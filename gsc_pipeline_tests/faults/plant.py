"""The pipeline as in production, on a test's clock: code server, daemon, queue and runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import dagster as dg
import yaml

from gsc_pipeline.defs.jobs import IN_FLIGHT, workspaces_of
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.sync.telemetry import WorkspaceSyncComplete
from gsc_pipeline.sync.ticks import TickBook
from gsc_pipeline_tests.faults.fast_clock import A_MINUTE, VARIABLE, FastClock
from gsc_pipeline_tests.waiting import wait_until
from gsc_pipeline_tests.world import World

ROOT = Path(__file__).parents[2]
HANG_SECONDS = 3600.0
"""A tick of all workspaces takes a quarter of a minute, or minutes on a busy machine: only a hang an hour."""
FREE_MINUTES, SLOWER = 30, 1.15
"""So many minutes after a tick is due, a minute lasts a second; each minute after that lasts longer."""


@dataclass(frozen=True)
class Span:
    """When a run for a workspace started and ended, in seconds of the test's clock."""

    run_id: str
    job: str
    workspace: str
    started: float
    ended: float


@dataclass
class Plant:
    """Processes over a world's folder. `spans` cover every run that has ended, deleted ones included."""

    world: World
    clock: FastClock
    environment: dict[str, str]
    server: subprocess.Popen[bytes]
    daemon: subprocess.Popen[bytes]
    instance: dg.DagsterInstance
    book: TickBook
    minutes: int = 0
    spans: set[Span] = field(default_factory=set)

    @classmethod
    @contextmanager
    def running(cls, world: World, environment: dict[str, str], start: datetime) -> Iterator[Plant]:
        """All processes, started shortly before `start`, with the schedules known to the daemon."""
        home = world.folder / "dagster"
        home.mkdir()
        _configure(home)
        clock_file = world.folder / "clock"
        environment = {
            **os.environ,
            **environment,
            "DAGSTER_HOME": str(home),
            "GSC_STATE": str(world.folder / "state.db"),
            VARIABLE: str(clock_file),
        }
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.get_runs(limit=1)
            clock = FastClock(clock_file, start - 10 * A_MINUTE, home / "history" / "runs.db")
            world.now = clock.now()
            server = _start(environment, "server", "dagster", "api", "grpc", *_CODE, "-s", _socket(home))
            try:
                _wait_for(server, home / "code.sock")
                daemon = _start_daemon(environment)
                with closing(open_store(environment["GSC_STATE"])) as store:
                    plant = cls(world, clock, environment, server, daemon, instance, TickBook(store))
                    try:
                        plant.wait(lambda: len(instance.all_instigator_state()) >= 4)
                        yield plant
                    finally:
                        _end(plant.daemon)
            finally:
                _end(server)

    def fire(self, due: datetime) -> None:
        """Set the clock to the moment at which the schedule is due."""
        self.clock.go_to(due)
        self.minutes = 0
        self.world.now = self.clock.now()

    def fire_and_finish(self, due: datetime, job: str) -> None:
        """Set the clock to when another job's schedule is due, and wait until its run has ended."""
        earlier = self._newest(job)
        self.fire(due)
        self.wait(lambda: self._newest(job) != earlier)
        self._wait_for_runs()

    def settle(self, due: datetime) -> None:
        """Wait until the tick is summed up and every run that followed from it has ended."""
        self.wait(lambda: self._is_summed_up(due))
        # The runs that the summary requests are launched a moment later.
        for _ in range(2):
            self._wait_for_runs()
        for record in self.instance.get_run_records():
            run = record.dagster_run
            if record.start_time and record.end_time:
                self.spans |= {
                    Span(run.run_id, run.job_name, workspace, record.start_time, record.end_time)
                    for workspace in workspaces_of(run.tags)
                }

    def outcomes(self, due: datetime) -> list[WorkspaceSyncComplete]:
        """The outcomes of a tick's workspaces."""
        tick = self.book.named(due.isoformat())
        assert tick is not None
        return self.book.outcomes(tick)

    def wait(self, is_met: Callable[[], bool]) -> None:
        """Let minutes pass until a condition is met. On a hang, fail with the ends of the processes' logs."""
        limit = time.monotonic() + HANG_SECONDS
        self._pass_a_minute()
        while not is_met():
            assert time.monotonic() < limit, self.log()
            assert self.daemon.poll() is None, self.log()
            self._pass_a_minute(is_met)

    def replace_killed_daemon(self) -> None:
        """Kill -9 the daemon and start another, as a supervisor does."""
        os.kill(self.daemon.pid, signal.SIGKILL)
        assert self.daemon.wait(HANG_SECONDS) == -signal.SIGKILL
        self.daemon = _start_daemon(self.environment)

    def kill_a_run(self) -> None:
        """Kill -9 the process of a run, as soon as there is one."""
        self.wait(lambda: bool(self._run_processes()))
        os.kill(self._run_processes()[0], signal.SIGKILL)

    def resident_bytes(self) -> int:
        """Memory of the two processes that run for years."""
        pages = 0
        for process in (self.server, self.daemon):
            pages += int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def log(self) -> str:
        return "\n".join(
            (self.world.folder / f"{name}.log").read_text()[-4000:] for name in ("server", "daemon")
        )

    def _newest(self, job: str) -> list[str]:
        return [run.run_id for run in self.instance.get_runs(dg.RunsFilter(job_name=job), limit=1)]

    def _wait_for_runs(self) -> None:
        self.wait(lambda: not self.instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT), limit=1))

    def _pass_a_minute(self, is_met: Callable[[], bool] = lambda: False) -> None:
        """Real work takes real time, and limits go by the clock: on a slow machine the clock slows down."""
        pause = SLOWER ** max(0, self.minutes - FREE_MINUTES) - 1
        self.minutes += 1
        until = time.monotonic() + pause
        while time.monotonic() < until and not is_met():
            time.sleep(1)
        self.clock.pass_a_minute()
        self.world.now = self.clock.now()

    def _is_summed_up(self, due: datetime) -> bool:
        last = self.book.last_ended()
        return last is not None and last.name == due.isoformat()

    def _run_processes(self) -> list[int]:
        found = []
        for thread in Path(f"/proc/{self.server.pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                with suppress(OSError):
                    if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                        found.append(int(child))
        return found


_CODE = ("-m", "gsc_pipeline_tests.faults.fast_definitions", "-d", str(ROOT))


def _configure(home: Path) -> None:
    """The project's dagster.yaml, with time limits on processes scaled to the clock's speed."""
    config = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    config["run_monitoring"] |= {"start_timeout_seconds": 60 * 300, "poll_interval_seconds": 2}
    (home / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    location = {"grpc_server": {"socket": _socket(home), "location_name": "gsc_pipeline"}}
    (home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [location]}), encoding="utf-8")


def _socket(home: Path) -> str:
    return str(home / "code.sock")


def _start_daemon(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    workspace = str(Path(environment["DAGSTER_HOME"]) / "workspace.yaml")
    return _start(environment, "daemon", "gsc_pipeline_tests.faults.fast_daemon", "run", "-w", workspace)


def _start(environment: dict[str, str], name: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
    log = Path(environment["DAGSTER_HOME"]).parent / f"{name}.log"
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for(server: subprocess.Popen[bytes], socket: Path) -> None:
    wait_until(lambda: socket.exists() or server.poll() is not None, "the code server")
    assert server.poll() is None


def _end(process: subprocess.Popen[bytes]) -> None:
    # On SIGTERM a code server waits a minute for calls that never come.
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(HANG_SECONDS)
