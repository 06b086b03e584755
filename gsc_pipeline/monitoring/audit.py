"""The audit log: one JSON line for each telemetry event, in a file that the processes of a machine share.

A line is `{"at": …, "event": …}` and the event's fields; `at` is UTC in ISO form.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.text.printing import json_line

KEPT = 10
"""Rotated files that are kept, as `<name>.1` (the newest) to `<name>.10`."""

LOCK_SECONDS = 30.0
"""The longest wait for the file's lock. Writing a line takes under a millisecond, so a longer wait means that
the disk hangs."""


class AuditLog:
    """A telemetry handler that appends to the file at `path`, and creates its folder.

    Before a line would make the file larger than `max_bytes`, the file is rotated. Raises OSError when the
    file cannot be written, and TimeoutError when another process holds its lock for LOCK_SECONDS.
    """

    def __init__(self, path: Path, *, max_bytes: int = 10_000_000, clock: Clock = utc_now) -> None:
        self._path = path.absolute()
        self._max_bytes = max_bytes
        self._clock = clock

    def __call__(self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        """Write one line."""
        from filelock import FileLock  # 40 ms to import, which a process that writes no event saves

        fields = {"at": self._clock().isoformat(), "event": event, **measurements, **metadata}
        line = json_line(fields).encode() + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock", timeout=LOCK_SECONDS):
            if self._size() and self._size() + len(line) > self._max_bytes:
                self._rotate()
            self._append(line)

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _append(self, line: bytes) -> None:
        before = self._size()
        # Unbuffered, so that a failed write is not repeated when the file is closed.
        with self._path.open("ab", buffering=0) as file:
            try:
                written = file.write(line)
                if written != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            except OSError:
                # On a full disk the beginning of the line is written: remove it.
                os.truncate(self._path, before)
                raise

    def _rotate(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            if self._numbered(number).exists():
                self._numbered(number).replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
