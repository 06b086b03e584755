"""A machine of a cluster: a folder of its own, set up and supervised as deploy/celery says."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gsc_pipeline_tests.waiting import HANG_SECONDS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "celery"
SRV = "/srv/gsc"
"""The folder of an installation, in place of which a machine has its own."""

DAEMON, WORKER, WEBSERVER = "gsc-daemon", "gsc-worker", "gsc-webserver"
"""The systemd units. A machine starts what they start, with the same environment."""


def unit_command(unit: str) -> list[str]:
    """What a systemd unit starts, with systemd's `%H` in place of the host's name."""
    lines = (DEPLOY / "systemd" / f"{unit}.service").read_text(encoding="utf-8").splitlines()
    (command,) = [line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart=")]
    return shlex.split(command)


def variables_of(file: Path) -> dict[str, str]:
    """The variables of a file for systemd's `EnvironmentFile=`."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return {name: shlex.split(value)[0] for name, _, value in (line.partition("=") for line in lines)}


@dataclass(frozen=True)
class Limits:
    """How often run monitoring looks at the runs, and how long a worker may be silent."""

    poll_seconds: int
    lost_after_seconds: int


@dataclass
class Machine:
    """Processes that share a folder: home, working directory, DAGSTER_HOME, workspaces file, keys, logs.

    The installed program and the code are those of the tests. `limits` replace those of dagster.yaml.
    """

    name: str
    folder: Path
    settings: Mapping[str, str]
    limits: Limits | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def set_up(self) -> None:
        """Make the folder as deploy/celery/README.md does."""
        for folder in ("home", "work"):
            (self.folder / folder).mkdir(parents=True)
        (self.folder / "venv").symlink_to(sys.prefix)
        for file in (DEPLOY / "dagster_celery_config.py", ROOT / "workspace.yaml"):
            shutil.copy(file, self.folder / "home")
        config = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
        if self.limits:
            config["run_monitoring"]["poll_interval_seconds"] = self.limits.poll_seconds
            config["run_launcher"]["config"]["lost_after_seconds"] = self.limits.lost_after_seconds
        (self.folder / "home" / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its processes: those of gsc.env, with this machine's values."""
        template = variables_of(DEPLOY / "gsc.env")
        given = {name: value.replace(SRV, str(self.folder)) for name, value in template.items()}
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            **given,
            **self.settings,
            "PYTHONPATH": f"{given['PYTHONPATH']}:{ROOT}",
        }

    def copy_workspaces(self, source: Path) -> None:
        """Copy the workspaces file and the keys from another folder."""
        for file in (*source.glob("*-key.json"), source / "workspaces.yaml"):
            # Atomically: processes read it at any moment.
            shutil.copy(file, self.folder / "new")
            (self.folder / "new").replace(self.folder / file.name)

    def command(self, unit: str) -> list[str]:
        """What the unit starts, on this machine."""
        return [
            word.replace(SRV, str(self.folder)).replace("%H", self.name).replace("3000", "0")
            for word in unit_command(unit)
        ]

    def start(self, unit: str) -> None:
        """Start what a unit starts, in a process group of its own."""
        with self.log_file(unit).open("ab") as log:
            self.processes[unit] = subprocess.Popen(
                self.command(unit),
                env=self.environment,
                cwd=self.folder / "work",
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def restart_ended(self) -> None:
        """Start again what has ended, as systemd does."""
        for unit in [unit for unit, process in self.processes.items() if process.poll() is not None]:
            self.start(unit)

    def stop(self, unit: str) -> None:
        """Stop a unit as systemd does: ask its first process, then kill what is left."""
        process = self.processes.pop(unit)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(HANG_SECONDS)
        finally:
            _kill_group(process)

    def kill(self, unit: str) -> None:
        """Kill -9 every process of a unit. Nothing starts it again."""
        _kill_group(self.processes.pop(unit))

    def lose(self) -> None:
        """Kill -9 every process, as a machine does that loses its power."""
        for unit in list(self.processes):
            self.kill(unit)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the installation, with the units' environment."""
        program = str(self.folder / "venv" / "bin" / command[0])
        return subprocess.run(
            [program, *command[1:]],
            env=self.environment,
            cwd=self.folder / "work",
            check=False,
            capture_output=True,
            text=True,
        )

    def log_file(self, unit: str) -> Path:
        """The file that a unit's output goes to."""
        return self.folder / f"{unit}.log"

    def log(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"{self.name} {name}:\n{text[-4000:]}" for name, text in self._logs())

    def _logs(self) -> Iterator[tuple[str, str]]:
        for file in sorted(self.folder.glob("*.log")):
            yield file.stem, file.read_text(encoding="utf-8", errors="replace")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(HANG_SECONDS)
