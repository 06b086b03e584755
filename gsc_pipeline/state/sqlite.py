"""The shared state in a SQLite file, for the processes of one machine.

SQLite's locks do not work on network file systems. Use PostgreSQL there.
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
"""How long to wait for other processes' writes. A write takes less than a millisecond."""


class SqliteStore(Store):
    """The store in the SQLite file `path`. Creates the file and its folder when first used.

    With `reads_only`, a file that does not exist reads as empty, and so does a table.
    """

    # Lock for writing at the start: a transaction that starts by reading may fail at its first write.
    _begin: ClassVar[str] = "BEGIN IMMEDIATE"

    def __init__(self, path: str, sleep: Callable[[float], None], *, reads_only: bool) -> None:
        super().__init__(sleep, reads_only=reads_only)
        self._path = Path(path).absolute()
        self._inode = 0

    def __del__(self) -> None:
        # A process never closes the store that its clients share. Python 3.13 warns of open connections.
        self._drop()

    @override
    def _execute(self, sql: str, **values: object) -> list[Row]:
        if self._connection is not None and not self._connection.in_transaction and self._is_gone():
            self._drop()
        if self._connection is None:
            self._connection = self._open_to_read() if self._reads_only else self._open()
            self._inode = self._path.stat().st_ino if self._path.exists() else 0
        rows: list[Row] = self._connection.execute(sql, values).fetchall()
        return rows

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Threads share the connection. The base class lets only one use it at a time.
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _write_ahead(connection)
            # A power cut may lose the last transactions but cannot corrupt the file. That is enough here.
            connection.execute("PRAGMA synchronous = NORMAL")
            for name, columns in TABLES.items():
                connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path if self._path.exists() else ":memory:",
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            for name, columns in TABLES.items():
                if name not in there:
                    connection.execute(f"CREATE TEMP TABLE {name} ({columns})")
            connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _is_gone(self) -> bool:
        """Whether the file was deleted or replaced. SQLite would keep using the old file."""
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return not self._reads_only

    @override
    def _errors(self) -> tuple[type[Exception], ...]:
        return (sqlite3.Error, OSError)

    @override
    def _as_state_error(self, error: Exception) -> StateError:
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        step = " and that the file and its folder are writable"
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            step = (
                "; if it names this file, stop Dagster and every other command, and delete it: limits are "
                "then learnt again, and alerts may be sent again"
            )
        check = "check GSC_STATE (by default a file beside the lake)"
        return StateError(f"the shared state {self._path} cannot be used ({cause}): {check}{step}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging, so that readers and a writer do not block each other.

    If two processes switch at the same time, one fails at once in spite of the timeout: retry.
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
