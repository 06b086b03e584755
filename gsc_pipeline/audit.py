"""The audit log: each event of an automatic sync as one JSON line, in a file that any process may write.

Belongs here: the line's form, appending it whole, rotation. Does not: the events (`telemetry`).

A line is `{"at": …, "event": …}` and the event's fields, `at` being UTC in ISO form. Processes of one
machine may share the file: the lock beside it is held while a line is written or the file rotated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gsc_pipeline.days import Clock, utc_now

KEPT = 10
"""Full files kept beside the present one, as `<name>.1` (the newest) to `<name>.10`."""

LOCK_SECONDS = 30.0
"""Writing a line takes well under a millisecond: whoever waits this long waits for a hung disk."""


class AuditLog:
    """A telemetry handler that appends to the file at `path`. Folders are made with the first line.

    Once a line would take the file beyond `max_bytes`, it is renamed first and a new one begun. Raises
    OSError where the file cannot be written, and TimeoutError where its lock stays taken.
    """

    def __init__(self, path: Path, *, max_bytes: int = 10_000_000, clock: Clock = utc_now) -> None:
        self._path = path.absolute()
        self._max_bytes = max_bytes
        self._clock = clock

    def __call__(self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        """Write one line."""
        from filelock import FileLock  # 40 ms, which a command that only makes the handler need not wait

        fields = {"at": self._clock().isoformat(), "event": event, **measurements, **metadata}
        line = json.dumps(fields, default=str, ensure_ascii=False).encode() + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock", timeout=LOCK_SECONDS):
            if self._size() and self._size() + len(line) > self._max_bytes:
                self._rotate()
            self._append(line)

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _append(self, line: bytes) -> None:
        before = self._size()
        try:
            with self._path.open("ab") as file:
                file.write(line)
        except OSError:
            # A full disk takes the beginning of a line: without it the file is whole again.
            os.truncate(self._path, before)
            raise

    def _rotate(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            if self._numbered(number).exists():
                self._numbered(number).replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
