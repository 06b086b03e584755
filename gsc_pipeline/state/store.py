"""The interface of a store: single statements and transactions, retried when the connection breaks."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.text.secrets import masked

T = TypeVar("T")

Row = tuple[Any, ...]
"""A row that a statement returned."""

Execute = Callable[..., list[Row]]
"""`execute(sql, **values)`: execute one statement with values named `:like_this`, and return its rows."""


class StateError(PipelineError):
    """The shared state cannot be used. All workspaces share it, so the sync stops."""

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


class Store(ABC):
    """A connection to the shared state, opened when first used. Thread-safe; every process opens its own.

    Every method raises StateError if the database fails. If the connection broke, the method first
    reconnects and retries, after each of `waits` seconds.
    """

    waits: Sequence[float] = ()

    def __init__(self, sleep: Callable[[float], None], *, reads_only: bool) -> None:
        self._sleep = sleep
        self._reads_only = reads_only
        self._connection: Any = None
        self._lock = threading.Lock()

    def execute(self, sql: str, **values: object) -> list[Row]:
        """Execute one statement, atomically."""
        return self._attempts(lambda: self._execute(sql, **values))

    def run(self, work: Callable[[Execute], T]) -> T:
        """Call `work` in one transaction. An exception rolls the transaction back and is raised again.

        `work` may be called again if the connection breaks before the commit is confirmed.
        """
        return self._attempts(lambda: self._transaction(work))

    def close(self) -> None:
        """Close the connection. A later call opens another."""
        with self._lock:
            self._drop()

    def _attempts(self, attempt: Callable[[], T]) -> T:
        with self._lock:
            for wait in self.waits:
                try:
                    return attempt()
                except self._errors() as error:
                    if not self._is_connection_broken(error):
                        raise self._as_state_error(error) from None
                    self._drop()
                    self._sleep(wait)
            try:
                return attempt()
            except self._errors() as error:
                self._drop()
                raise self._as_state_error(error) from None

    def _transaction(self, work: Callable[[Execute], T]) -> T:
        self._execute(self._begin)
        try:
            result = work(self._execute)
            self._execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        return result

    def _roll_back(self) -> None:
        try:
            self._execute("ROLLBACK")
        except self._errors():
            # The connection broke and took the transaction with it. The caller raises the first error.
            self._drop()

    _begin: ClassVar[str] = "BEGIN"

    @abstractmethod
    def _execute(self, sql: str, **values: object) -> list[Row]:
        """Execute one statement. Connect and create missing tables first if there is no connection."""

    def _drop(self) -> None:
        """Close the connection, if any, in any state."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @abstractmethod
    def _errors(self) -> tuple[type[Exception], ...]:
        """The exceptions of the database library."""

    def _is_connection_broken(self, error: Exception) -> bool:
        """Whether to reconnect and retry."""
        return False

    @abstractmethod
    def _as_state_error(self, error: Exception) -> StateError:
        """The error to raise, without secrets."""
