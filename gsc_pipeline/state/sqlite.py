"""The shared state in one SQLite file, for the processes of one machine.

Belongs here: how the file is opened so that many may write at once. Does not: what a store promises
(`store`). A file on a network share is not safe: SQLite's locks do not work there; use PostgreSQL.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from gsc_pipeline.state.store import Row, StateError, Store
from gsc_pipeline.state.tables import TABLES

BUSY_SECONDS = 30.0
"""How long to wait for another process's write, each of which takes well under a millisecond."""


class SqliteStore(Store):
    """The store in the SQLite file `path`, made with its folder when first used."""

    # At once for writing: a transaction that begins as a reader may fail when it comes to write.
    _begin: ClassVar[str] = "BEGIN IMMEDIATE"

    def __init__(self, path: str, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(sleep)
        self._path = Path(path).absolute()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    @override
    def _execute(self, sql: str, **values: object) -> list[Row]:
        if self._connection is not None and not self._connection.in_transaction and self._is_gone():
            self._drop()
        if self._connection is None:
            self._connection = self._open()
            self._inode = self._path.stat().st_ino
        return self._connection.execute(sql, values).fetchall()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Handed from thread to thread, one at a time: the base class holds a lock.
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _write_ahead(connection)
            # A power cut may undo the last moments, never damage the file: nothing here is worth a flush.
            connection.execute("PRAGMA synchronous = NORMAL")
            for name, columns in TABLES.items():
                connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _is_gone(self) -> bool:
        """Whether the file was deleted or replaced: SQLite would go on in the old one, alone."""
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    @override
    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @override
    def _errors(self) -> tuple[type[Exception], ...]:
        return (sqlite3.Error, OSError)

    @override
    def _as_state_error(self, error: Exception) -> StateError:
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return StateError(
            f"the shared state {self._path} cannot be used ({cause}): check GSC_STATE, which is a file "
            "beside the lake unless set, and that the file and its folder can be written"
        )


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer go on at once. Kept in the file, so only its first user has to switch.

    Two that switch at the same moment may be told "locked" at once, the time-out notwithstanding.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _is_busy(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    return (code & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
