"""A limit on the whole of a call: a thread shuts down the connection of a call that is overdue.

A socket's own time-out starts again with every byte, so a server that sends a byte a second would keep a call
for ever: in the TLS handshake, in the headers and in the body.
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
    """One call under way: until when it may last, and whether it lasted longer."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.is_over = False
        self._sockets: list[socket.socket] = []

    def cover(self, connection: socket.socket) -> None:
        """Shut this connection down once the call is overdue, at once if it is already."""
        # A duplicate is the same connection, and stays usable when TLS takes the socket over or the library
        # closes it while the answer is still read.
        self._sockets.append(socket.fromfd(connection.fileno(), connection.family, connection.type))
        if self.is_over:
            self.expire()

    def expire(self) -> None:
        """Whoever waits for a byte of the call finds the connection closed."""
        self.is_over = True
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """The call is over, one way or the other."""
        for one in self._sockets:
            one.close()


_calls = threading.local()


class Deadlines:
    """The calls under way of one client, each in a thread of its own. Safe for many threads.

    The thread that watches them starts with the first call, and ends when it wakes up and finds none.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way: set[Deadline] = set()
        self._wakes_at = 0.0
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[Deadline]:
        """The calling thread makes a call that may last so long."""
        deadline = Deadline(time.monotonic() + seconds)
        self._add(deadline)
        _calls.deadline = deadline
        try:
            yield deadline
        finally:
            _calls.deadline = None
            with self._changed:
                self._under_way.discard(deadline)
            deadline.end()

    def close(self) -> None:
        """End the thread, unless calls are under way."""
        with self._changed:
            self._wakes_at = 0.0
            self._changed.notify()

    def _add(self, deadline: Deadline) -> None:
        with self._changed:
            self._under_way.add(deadline)
            # A process that was forked has the object and not the thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="call deadlines", daemon=True)
                self._thread.start()
            elif deadline.due < self._wakes_at:
                self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while self._under_way:
                now = time.monotonic()
                for overdue in [one for one in self._under_way if one.due <= now]:
                    self._under_way.discard(overdue)
                    overdue.expire()
                self._wakes_at = min((one.due for one in self._under_way), default=now)
                if self._under_way:
                    self._changed.wait(self._wakes_at - now)
            self._thread = None


class _Covered(urllib3.connection.HTTPConnection):
    """A connection that tells the calling thread's deadline which socket it goes over."""

    @override
    def _new_conn(self) -> socket.socket:
        # Before a TLS handshake, which is a part of the call.
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
