"""CPU seconds and memory of process trees, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cpu:
    """User and system seconds: of a process and its children, and of everything below these."""

    lasting: float
    started: float

    @property
    def total(self) -> float:
        """Both."""
        return self.lasting + self.started

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.lasting - other.lasting, self.started - other.started)


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    own: float
    ended_children: float


def cpu_of(root: int) -> Cpu:
    """CPU of a process and everything below it, including children that have ended and were waited for.

    `lasting` is the process's own time and that of its living children, `started` all other.
    """
    tree = list(_tree(root))
    own = sum(process.own for process in tree if root in (process.pid, process.parent))
    total = sum(process.own + process.ended_children for process in tree)
    return Cpu(own, total - own)


def pids_of(root: int) -> set[int]:
    """A process and everything below it."""
    return {process.pid for process in _tree(root)}


def peak_mib(pid: int) -> float:
    """The largest resident size that a process has had; 0 when it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


def _tree(root: int) -> Iterator[_Process]:
    found = {process.pid: process for process in _processes()}
    children: dict[int, list[int]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process.pid)
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in found:
            yield found[pid]
        waiting += children.get(pid, ())


def _processes() -> Iterator[_Process]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            # A process may end at any moment.
            with suppress(OSError):
                yield _parse(int(folder.name), (folder / "stat").read_text(encoding="utf-8"))


def _parse(pid: int, stat: str) -> _Process:
    # The name, in parentheses, may hold spaces. After it: state, parent, and from the 12th field the times.
    fields = stat.rpartition(")")[2].split()
    user, system, children_user, children_system = (int(field) / _TICKS for field in fields[11:15])
    return _Process(pid, int(fields[1]), user + system, children_user + children_system)
