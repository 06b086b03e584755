"""Running a program and measuring it: wall and CPU seconds, peak memory, and what the server sent.

Imports nothing large: a process starts with the peak memory of its parent, so this one's must be small.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

ROOT = Path(__file__).parent.parent


class ProgramFailedError(Exception):
    """A program failed. The message has the end of its output."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of a program, with its child processes. `peak_mib` is that of the largest process.

    `cpu` is user and system seconds. `calls`, `rows` and `megabytes` are counted by the server.
    """

    wall: float
    cpu: float
    peak_mib: float
    calls: int = 0
    rows: int = 0
    megabytes: float = 0.0

    def per_row_us(self, seconds: float) -> float:
        """Microseconds for each row served."""
        return seconds / self.rows * 1e6 if self.rows else float("nan")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its address, the folder with its key, and its sites."""

    url: str
    home: Path
    sites: tuple[str, ...]

    @property
    def key(self) -> Path:
        """The service-account key for it."""
        return self.home / "key.json"

    def take_served(self) -> dict[str, int]:
        """The calls, rows and bytes that it served since the last call of this."""
        with urlopen(f"{self.url}/_served") as answer:
            counts: dict[str, int] = json.load(answer)
        return counts


@contextmanager
def serving(
    home: Path, *, rows: int, latency: float = 0.0, sites: Sequence[str] = ("sc-domain:example.com",)
) -> Iterator[Server]:
    """Run a server in a process of its own while the context lasts."""
    options = ["--rows", str(rows), "--latency", str(latency), "--home", str(home)]
    options += [word for site in sites for word in ("--site", site)]
    command = [sys.executable, "-m", "benchmarks.server", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise ProgramFailedError("the server did not start")
            yield Server(url, home, tuple(sites))
        finally:
            # It has no state to save, and may ignore SIGTERM.
            process.kill()


def measure(command: Sequence[str], env: Mapping[str, str], log: Path, server: Server | None) -> Measurement:
    """Run a command and measure it. Raises ProgramFailedError if it fails."""
    if server is not None:
        server.take_served()
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=dict(env), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise ProgramFailedError(f"{' '.join(command)[:200]} ended with {process.returncode}:\n{end}")
    served: dict[str, Any] = server.take_served() if server is not None else {}
    return Measurement(
        wall,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
        served.get("calls", 0),
        served.get("rows", 0),
        served.get("bytes", 0) / 1e6,
    )


def median(runs: Sequence[Measurement]) -> Measurement:
    """The median of each figure."""
    fields = Measurement.__dataclass_fields__
    return Measurement(**{name: statistics.median(getattr(run, name) for run in runs) for name in fields})
