"""What CLUSTER.md says: the measured ticks, their ratio, and what they come to with more workspaces."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

SIZES = (200, 1_000, 10_000)
CELERY, DEFAULT = "Celery workers", "default"


@dataclass(frozen=True, slots=True)
class Measured:
    """An idle tick. CPU is user and system seconds; `load` is the machine's when the tick began."""

    launcher: str
    per_run: int
    workspaces: int
    runs: int
    wall: float
    runs_cpu: float
    daemon_cpu: float
    database_cpu: float
    worker_mib: float
    load: float

    @property
    def cpu_a_run(self) -> float:
        """Of the processes that execute runs."""
        return self.runs_cpu / self.runs

    @property
    def all_cpu(self) -> float:
        """Of everything that was measured, for each workspace."""
        return (self.runs_cpu + self.daemon_cpu + self.database_cpu) / self.workspaces

    def cpu_of(self, workspaces: int) -> float:
        """CPU of the runs of so many workspaces: as many more runs, each as measured."""
        return math.ceil(workspaces / self.per_run) * self.cpu_a_run * self._fill

    @property
    def _fill(self) -> float:
        """More than 1 where the measured runs were not full."""
        return self.runs * min(self.per_run, self.workspaces) / self.workspaces


def page(ticks: Sequence[Measured]) -> str:
    """The whole file."""
    return "\n\n".join([_head(), _measured(ticks), _computed(ticks), *_ratio(ticks), ""])


def _head() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("dagster", "dagster-celery", "celery"))
    return f"""# An idle tick on a cluster

Written by `python -m benchmarks.cluster`, which starts the cluster of `make cluster`: PostgreSQL, Redis, a \
bucket, one daemon, and two Celery workers of two processes each. One `gsc sync` fills the lake, two ticks \
warm the workers, and in the ticks of this table nothing had changed. Each workspace has one tiny property \
and a window of one day: one call, and a read of the ledger.

Machine: {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python \
{platform.python_version()}, {packages}.

CPU is user and system time from `/proc/PID/stat`, read when the schedule has recorded the tick and again \
when the daemon has summed it up; the start of the daemon is not in it. *Runs*: the processes that execute \
runs, which are the children of the daemon's code server, counted also after they have ended (`cutime`, \
`cstime`), or the workers with theirs. *Daemon*: the daemon and its code server, which also evaluate the \
sensors as long as the tick lasts. *Database*: PostgreSQL with the connections of all processes, including \
those of this program, which asks twice a second whether the tick has ended. *Daemon* and *database* \
therefore grow with the wall time, which on a busy machine is that of other programs. The simulator, the \
bucket and Redis are not counted. *Wall* is from the evaluation of the schedule to the end of the last run."""


def _measured(ticks: Sequence[Measured]) -> str:
    rows = [
        f"| {one.launcher} | {one.per_run} | {one.workspaces} | {one.runs} | {one.wall:.0f} s "
        f"| {one.runs_cpu:.1f} s | {one.cpu_a_run:.2f} s | {one.runs_cpu / one.workspaces:.2f} s "
        f"| {one.daemon_cpu:.1f} s | {one.database_cpu:.1f} s | {_mib(one)} | {one.load:.0f} |"
        for one in ticks
    ]
    head = (
        "| launcher | workspaces a run | workspaces | runs | wall | CPU of runs | a run | a workspace "
        "| CPU of daemon | of database | largest worker process | load before |"
    )
    return "\n".join(["## Measured", "", head, f"|{'---|' * 12}", *rows])


def _mib(one: Measured) -> str:
    return f"{one.worker_mib:,.0f} MiB" if one.worker_mib else ""


def _computed(ticks: Sequence[Measured]) -> str:
    rows = [
        f"| {one.launcher} | {one.per_run} | {' | '.join(_seconds(one.cpu_of(size)) for size in SIZES)} |"
        for one in ticks
    ]
    head = f"| launcher | workspaces a run | {' | '.join(f'{size:,}' for size in SIZES)} |"
    note = "Runs of as many workspaces, each with the CPU of the measured ones. Not measured at these sizes."
    return "\n".join(
        ["## Computed: CPU of a tick's runs", "", note, "", head, f"|{'---|' * (2 + len(SIZES))}", *rows]
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"


def _ratio(ticks: Sequence[Measured]) -> list[str]:
    """Whether a tick takes at most a third of the CPU of the default launcher with one workspace a run."""
    base = next((one for one in ticks if one.launcher == DEFAULT and one.per_run == 1), None)
    if base is None:
        return []
    lines = [
        f"| {one.launcher}, {one.per_run} a run | {one.cpu_of(200) / base.cpu_of(200):.2f} "
        f"| {one.all_cpu / base.all_cpu:.2f} "
        f"| {'yes' if one.cpu_of(200) <= base.cpu_of(200) / 3 else 'no'} |"
        for one in ticks
        if one is not base
    ]
    head = "| CPU of a workspace ÷ that | runs | with daemon and database | runs: at most a third |"
    title = "## Beside the default launcher with one workspace a run"
    return ["\n".join([title, "", head, "|---|---|---|---|", *lines])]
