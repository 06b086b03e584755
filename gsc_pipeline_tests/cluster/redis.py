"""Debian's redis-server on loopback, to which Celery sends runs."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until


@dataclass
class RedisServer:
    """A Redis that can be killed and started again. Its queue survives in the folder."""

    folder: Path
    port: int
    password: str = ""
    options: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None)

    def url(self, database: int) -> str:
        """The URL of one of its databases."""
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, and return when it answers."""
        self.process = subprocess.Popen(
            [
                "redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder),
                "--appendonly", "yes", "--save", "", "--daemonize", "no", *self.options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(self._answers, "Redis to answer")

    def kill(self) -> None:
        """End without a chance to say goodbye."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(HANG_SECONDS)

    def _answers(self) -> bool:
        try:
            return bool(redis.Redis.from_url(self.url(0)).ping())
        except redis.RedisError:
            return False


@contextmanager
def serving_redis(folder: Path, password: str = "", options: Sequence[str] = ()) -> Iterator[RedisServer]:
    """Serve until the block ends. Skips the test where Debian's redis-server is not installed.

    `options` are more options of the program, of which `--requirepass` needs `password`.
    """
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    server = RedisServer(folder, port, password, options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
