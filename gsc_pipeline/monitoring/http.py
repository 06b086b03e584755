"""The HTTP server of `gsc serve`: /health/sync, /health/live, /metrics. `gsc mcp --http` uses it too."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import time
from collections.abc import Callable
from threading import Thread
from types import FrameType

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.monitoring.monitor import HealthMonitor

LOOPBACK = ("127.0.0.1", "::1", "localhost")

CONNECTION_SECONDS = 10.0
"""How long a connection may last. It serves one request, which takes less than two seconds."""

MOST_CONNECTIONS = 100
"""The most connections at once; a further one ends the oldest. Processes may often open 256 files or less."""

GRACE_SECONDS = 1
"""How long open requests may take when the server is stopped."""

END_SECONDS = 3.0
"""How long stopping may take: a request that waits for a storage that hangs never ends."""

_WAKE_SECONDS = 0.2
"""How often the main thread looks for signals."""

NO_STORE = {"Cache-Control": "no-store"}


def make_app(monitor: HealthMonitor, metrics_text: Callable[[], bytes]) -> Starlette:
    """The application. Pages that read the lake are plain functions, which Starlette runs in threads."""

    def health_sync(request: Request) -> Response:
        health = monitor.observe().health
        answer = {**health.as_json(), "age_seconds": monitor.age_of(health)}
        return JSONResponse(answer, status_code=200 if health.ok else 503, headers=NO_STORE)

    async def health_live(request: Request) -> Response:
        return JSONResponse({"ok": True}, headers=NO_STORE)

    def metrics(request: Request) -> Response:
        return Response(metrics_text(), headers={**NO_STORE, "Content-Type": CONTENT_TYPE_LATEST})

    return Starlette(
        routes=[
            Route("/health/sync", health_sync),
            Route("/health/live", health_live),
            Route("/metrics", metrics),
        ]
    )


class _Connection(H11Protocol):
    """A connection that is closed after `seconds`, also in the middle of a request or an answer.

    uvicorn limits how long a connection may be idle, not how long a request may take to arrive.
    """

    seconds = CONNECTION_SECONDS
    _made_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._made_at = self.loop.time()
        self._limit = self.loop.call_later(self.seconds, transport.abort)
        open_ones = [one for one in self.connections if not one.transport.is_closing()]
        if len(open_ones) > MOST_CONNECTIONS:
            oldest = min(open_ones, key=lambda one: getattr(one, "_made_at", 0.0))
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._limit.cancel()
        super().connection_lost(exc)


def serve_until_stopped(
    app: Starlette,
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    connection_seconds: float = CONNECTION_SECONDS,
) -> bool:
    """Serve until SIGINT or SIGTERM, answer the open requests, and return. Main thread only.

    Returns whether all requests have ended. If not, their threads keep the process from its end.

    Port 0 takes a free port. `on_ready` is called with the base URL once connections are accepted. A
    connection is closed after `connection_seconds`. Raises PipelineError when the address cannot be bound.
    """

    class Connection(_Connection):
        seconds = connection_seconds

    config = uvicorn.Config(
        app, http=Connection, lifespan="on", ws="none", log_config=None, access_log=False,
        server_header=False, headers=[("Connection", "close")], timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip
    server = uvicorn.Server(config)
    ends_at = math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal ends_at
        server.should_exit = True
        ends_at = min(ends_at, time.monotonic() + END_SECONDS)

    with _bound(host, port) as listening:
        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        # In a thread, uvicorn does not install its signal handlers, which would end the process.
        thread = Thread(target=server.run, args=([listening],), name="gsc-serve", daemon=True)
        try:
            thread.start()
            name = f"[{host}]" if ":" in host else host
            on_ready(f"http://{name}:{listening.getsockname()[1]}")
            # The kernel may give a signal to any thread; Python handles it once the main thread wakes up.
            while thread.is_alive() and time.monotonic() < ends_at:
                thread.join(_WAKE_SECONDS)
            return not thread.is_alive()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _bound(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        cause = error.strerror or str(error)
        raise PipelineError(
            f"cannot listen on {host} port {port} ({cause}): choose another --port"
        ) from error
    return listening
