"""Running a program and measuring it: wall and CPU seconds, peak memory, what the server sent it.

Belongs here: processes and clocks. Does not: which programs (`catalogue`), what the figures mean (`results`).
Imports nothing large: a process is born with its parent's peak memory, so this one's must be small.
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
    """A program ended badly; the text has the end of its output."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of a program, children included. `peak_mib` is that of its largest process.

    `cpu` is user and system seconds; `calls`, `rows` and `megabytes` are the server's count.
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
    """A server that runs: its address, and the folder with its key."""

    url: str
    home: Path
    sites: tuple[str, ...]

    @property
    def key(self) -> Path:
        """The service-account key that fits it."""
        return self.home / "key.json"

    def take_served(self) -> dict[str, int]:
        """What it served since it was last asked: calls, rows, bytes, tokens, refused."""
        with urlopen(f"{self.url}/_served") as answer:
            counts: dict[str, int] = json.load(answer)
        return counts


@contextmanager
def serving(
    home: Path, *, rows: int, latency: float = 0.0, sites: Sequence[str] = ("sc-domain:example.com",)
) -> Iterator[Server]:
    """A server in a process of its own, for as long as the block lasts."""
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
            # It holds nothing worth keeping, and a test's process may have it ignore a request to end.
            process.kill()


def measure(command: Sequence[str], env: Mapping[str, str], log: Path, server: Server | None) -> Measurement:
    """Run a command to its end. Raises ProgramFailedError unless it ends well."""
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
    """The median of each figure by itself."""
    fields = Measurement.__dataclass_fields__
    return Measurement(**{name: statistics.median(getattr(run, name) for run in runs) for name in fields})
