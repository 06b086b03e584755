"""A store of a few small rows that processes share: one statement or one transaction at a time.

Belongs here: what a store promises, and trying again where its connection broke. Does not: how each
database is reached (`sqlite`, `postgres`).
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from gsc_pipeline.errors import PipelineError

T = TypeVar("T")

Row = tuple[Any, ...]

Execute = Callable[..., list[Row]]
"""`execute(sql, **values)`: one statement, its values named `:like_this`; answers the rows it returns."""


class StateError(PipelineError):
    """The shared state cannot be reached. Shared by every workspace, so nothing can go on."""


class Store(ABC):
    """Safe for many threads, and for many processes that each have their own. Opened when first used.

    Every method raises StateError, naming GSC_STATE and the cause, where the database does not do its part;
    a broken connection is made anew first, after each of `waits` seconds.
    """

    waits: ClassVar[Sequence[float]] = ()

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._lock = threading.Lock()

    def execute(self, sql: str, **values: object) -> list[Row]:
        """One statement, which by itself is done whole or not at all."""
        return self._attempts(lambda: self._execute(sql, **values))

    def run(self, work: Callable[[Execute], T]) -> T:
        """Everything `work` executes in one transaction; what it raises undoes it and is passed on.

        `work` may be called again, where the connection broke before the end was confirmed.
        """
        return self._attempts(lambda: self._transaction(work))

    def close(self) -> None:
        """Give back the connection. A later call opens another."""
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
            # The connection is gone, and the transaction with it: what broke it is being raised.
            self._drop()

    _begin: ClassVar[str] = "BEGIN"

    @abstractmethod
    def _execute(self, sql: str, **values: object) -> list[Row]:
        """Execute on the connection, opened if need be, with its tables made."""

    @abstractmethod
    def _drop(self) -> None:
        """Close the connection if there is one, whatever state it is in."""

    @abstractmethod
    def _errors(self) -> tuple[type[Exception], ...]:
        """What the database's library raises."""

    def _is_connection_broken(self, error: Exception) -> bool:
        """Whether a new connection may help, after one of `waits`."""
        return False

    @abstractmethod
    def _as_state_error(self, error: Exception) -> StateError:
        """The error in words, without a secret."""


def open_store(address: str, sleep: Callable[[float], None] = time.sleep) -> Store:
    """The store at `address`: the path of a SQLite file, or a `postgresql://` URL. Touches neither yet."""
    # Each imports its own library, and only one of them is needed.
    if address.startswith(("postgresql://", "postgres://")):
        from gsc_pipeline.state.postgres import PostgresStore

        return PostgresStore(address, sleep)
    from gsc_pipeline.state.sqlite import SqliteStore

    return SqliteStore(address, sleep)
