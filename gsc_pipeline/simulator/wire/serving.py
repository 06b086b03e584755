"""Running a simulator on a loopback address."""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import FrameType

import uvicorn

from gsc_pipeline.simulator.errors import AddressInUseError, SimulatorError
from gsc_pipeline.simulator.wire.server import Simulator

_WAKE_SECONDS = 0.2
"""How often the main thread looks for signals."""


@contextmanager
def serving(simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve in another thread and yield the base URL, without a trailing slash.

    Port 0 uses a free one. On exit the server has stopped and its socket is closed. Raises AddressInUseError
    if the port is in use.
    """
    listening = _bound(host, port)
    server = _Server(
        uvicorn.Config(
            simulator, loop="asyncio", lifespan="off", ws="none", log_config=None, log_level="critical",
            access_log=False, server_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=5,
        )
    )  # fmt: skip
    thread = Thread(target=server.run_until_stopped, args=(listening,), name="simulator")
    thread.start()
    try:
        server.ready.wait()
        if not server.started:
            raise SimulatorError(f"the simulator could not start on {host} port {port}")
        yield f"http://{host}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def serve_forever(simulator: Simulator, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. Only for the main thread.

    `on_ready` is called with the base URL when the server accepts requests.
    """
    interrupted = Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.set()

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with serving(simulator, host=host, port=port) as base_url:
            on_ready(base_url)
            # The kernel may give a signal to any thread; Python handles it once the main thread wakes up.
            while not interrupted.wait(_WAKE_SECONDS):
                continue
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    """A server that sets `ready` when it accepts requests, or has failed to start."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = Event()

    def run_until_stopped(self, listening: socket.socket) -> None:
        try:
            self.run([listening])
        finally:
            self.ready.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _bound(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Every connection inherits it. Otherwise Nagle's algorithm waits for the client's delayed
    # acknowledgements, and each answer takes 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((host, port))
        # Listen here, so that a port in use is an error before the server starts.
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(f"port {port} on {host} is in use; choose another one") from error
        raise SimulatorError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listening
