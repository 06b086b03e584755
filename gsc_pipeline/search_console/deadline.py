"""A deadline for a whole call: a thread shuts down the connection of a call that is late.

A socket's timeout starts again with every byte, so a server that sends a byte a second could keep a call
waiting for ever: in the TLS handshake, the headers or the body.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import urllib3
from typing_extensions import override


class Deadline:
    """The deadline of one call in progress. `is_over` is true once it has passed."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.is_over = False
        self._sockets: list[socket.socket] = []

    def cover(self, connection: socket.socket) -> None:
        """Shut this connection down at the deadline, or at once if it has passed."""
        # A duplicate stays valid when TLS takes the socket over, or the library closes it while the answer is
        # still being read.
        self._sockets.append(socket.fromfd(connection.fileno(), connection.family, connection.type))
        if self.is_over:
            self.expire()

    def expire(self) -> None:
        """Shut the call's connections down, which ends its reads."""
        self.is_over = True
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Release the sockets after the call."""
        for one in self._sockets:
            one.close()


_calls = threading.local()


class Deadlines:
    """The deadlines of one client's calls, each in its own thread. Thread-safe.

    The watching thread starts with the first call, and ends when it wakes up and no call is in progress.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in_progress: set[Deadline] = set()
        self._wakes_at = 0.0
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[Deadline]:
        """Limit the call that the current thread makes in this block."""
        deadline = Deadline(time.monotonic() + seconds)
        self._add(deadline)
        _calls.deadline = deadline
        try:
            yield deadline
        finally:
            _calls.deadline = None
            with self._changed:
                self._in_progress.discard(deadline)
            deadline.end()

    def close(self) -> None:
        """End the watching thread, unless calls are in progress."""
        with self._changed:
            self._wakes_at = 0.0
            self._changed.notify()

    def _add(self, deadline: Deadline) -> None:
        with self._changed:
            self._in_progress.add(deadline)
            # A forked process has this object but not the thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="call deadlines", daemon=True)
                self._thread.start()
            elif deadline.due < self._wakes_at:
                self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while self._in_progress:
                now = time.monotonic()
                for overdue in [one for one in self._in_progress if one.due <= now]:
                    self._in_progress.discard(overdue)
                    overdue.expire()
                self._wakes_at = min((one.due for one in self._in_progress), default=now)
                if self._in_progress:
                    self._changed.wait(self._wakes_at - now)
            self._thread = None


class _Covered(urllib3.connection.HTTPConnection):
    """A connection that registers its socket with the deadline of the current thread."""

    @override
    def _new_conn(self) -> socket.socket:
        # Before the TLS handshake, which is part of the call.
        return _cover(super()._new_conn())

    @override
    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            _cover(self.sock)
        super().request(*args, **kwargs)


class _CoveredTls(_Covered, urllib3.connection.HTTPSConnection):
    """The same over TLS."""


def _cover(connection: socket.socket) -> socket.socket:
    deadline: Deadline | None = getattr(_calls, "deadline", None)
    if deadline is not None:
        deadline.cover(connection)
    return connection


class CoveredPool(urllib3.HTTPConnectionPool):
    """A pool of connections whose calls end at their deadline."""

    ConnectionCls = _Covered


class CoveredTlsPool(urllib3.HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _CoveredTls
