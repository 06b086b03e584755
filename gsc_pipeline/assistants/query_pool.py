"""Runs requests in query processes: a few at a time, each bounded, and replaced when it ends."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec

from gsc_pipeline.assistants.messages import CallError, Reply, Request, Result, Start, Statement
from gsc_pipeline.assistants.query_process import READY

PROCESSES = 2
"""Queries at the same time."""

WAIT_SECONDS = 3.0
"""How long a call waits for a free process before it is refused. With two seconds for the start of a process,
and the most seconds and the grace of a query, every call ends within 30 seconds."""

START_SECONDS = 120.0
"""How long a process may take to start: a second, more on a busy machine."""

_COMMAND = (sys.executable, "-m", "gsc_pipeline.assistants.query_process")

_NEEDED = (
    "PATH", "HOME", "LANG", "LC_", "TMPDIR", "PYTHON", "LD_LIBRARY_PATH", "DYLD_", "SSL_CERT_",
    "AWS_", "GOOGLE_", "AZURE_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "COVERAGE_",
)  # fmt: skip
"""Prefixes of the variables that a query process gets: those of Python and of object stores. Keys of
workspaces, the state's address and addresses for alerts are not among them."""


_LOOK_SECONDS = 0.2
"""How often a call that waits for an answer checks whether it was cancelled."""

CheckCancelled = Callable[[], None]
"""Raises in the thread of a call that was cancelled, or whose client is gone."""


def _never() -> None:
    return


class QueryPool:
    """Runs requests over the rows that `start` names. Thread-safe. Call `close` when done.

    The query of a call that was cancelled ends with its process.
    """

    def __init__(self, start: Start, *, check_cancelled: CheckCancelled = _never) -> None:
        self._start = start
        self._check_cancelled = check_cancelled
        self._environment = environment_of_query(os.environ)
        self._free = threading.Semaphore(PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[_QueryProcess] = []
        self._all: set[_QueryProcess] = set()

    def warm_up(self) -> None:
        """Start a process in advance: the first query then does not wait for it."""
        process = self._take()
        with self._lock:
            self._idle.append(process)

    def run(self, statements: Sequence[Statement]) -> tuple[Result, ...]:
        """The results of the statements, all over one state of the lake.

        Raises CallError if a statement is refused, fails, or needs too much time or memory, or if all
        processes stay busy.
        """
        if not self._free.acquire(timeout=WAIT_SECONDS):
            raise CallError(f"{PROCESSES} queries are running already: try again in some seconds")
        try:
            process = self._take()
            try:
                answer = process.ask(Request(tuple(statements)), self._check_cancelled)
            except BaseException:
                self._drop(process)
                raise
            with self._lock:
                self._idle.append(process)
        finally:
            self._free.release()
        if answer.error:
            raise CallError(answer.error)
        return answer.results

    def close(self) -> None:
        """End all processes, also those that run a query."""
        with self._lock:
            ending, self._all, self._idle = self._all, set(), []
        for process in ending:
            process.end()

    def _take(self) -> _QueryProcess:
        with self._lock:
            while self._idle:
                idle = self._idle.pop()
                if idle.is_alive:
                    return idle
                self._all.discard(idle)
            process = _QueryProcess(self._start, self._environment)
            self._all.add(process)
            return process

    def _drop(self, process: _QueryProcess) -> None:
        process.end()
        with self._lock:
            self._all.discard(process)


class _QueryProcess:
    """One process. Not thread-safe, except for `end`."""

    def __init__(self, start: Start, environment: Mapping[str, str]) -> None:
        self._limits = start.limits
        # In a session of its own, so that Ctrl-C reaches the server alone.
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        self._is_ready = False
        self._write(msgspec.json.encode(start))

    @property
    def is_alive(self) -> bool:
        """Whether it still runs. Another program may have ended it."""
        return self._process.poll() is None

    def ask(self, request: Request, check_cancelled: CheckCancelled) -> Reply:
        """The reply to the request. Raises CallError if the process ends without one."""
        if not self._is_ready:
            self._is_ready = self._line(START_SECONDS, "start", check_cancelled) == READY
        self._write(msgspec.json.encode(request))
        line = self._line(self._limits.call_seconds, "answer", check_cancelled)
        return msgspec.json.decode(line, type=Reply)

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except OSError:
            # It has ended. Reading its answer says so.
            return

    def _line(self, seconds: float, what: str, check_cancelled: CheckCancelled) -> bytes:
        assert self._process.stdout is not None
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            self._process.kill()

        limit = threading.Timer(seconds, end)
        limit.daemon = True
        limit.start()
        try:
            # Nothing is buffered, because a process writes one line for each request.
            while not select.select([self._process.stdout], [], [], _LOOK_SECONDS)[0]:
                check_cancelled()
            line = self._process.stdout.readline()
        finally:
            limit.cancel()
        if line.endswith(b"\n"):
            return line
        if is_late.is_set():
            raise CallError(f"stopped, because there was no {what} within {seconds:g} seconds")
        raise CallError(
            f"the query's process ended before its {what}: the query needed more memory than it may use "
            f"({self._limits.megabytes} MB in DuckDB). Aggregate, or build smaller values"
        )


def environment_of_query(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a query process gets."""
    needed = {name: value for name, value in environment.items() if name.upper().startswith(_NEEDED)}
    # Arrow reads its variable when it is first imported. DuckDB shows times in the zone of TZ.
    return {**needed, "ARROW_DEFAULT_MEMORY_POOL": "system", "TZ": "UTC"}
