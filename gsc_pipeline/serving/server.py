"""Running the pages until the process is told to end.

Belongs here: sockets and signals. Does not: the pages (`app`).
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from threading import Thread
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from gsc_pipeline.errors import PipelineError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve_until_stopped(app: Starlette, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, answer what was asked by then, and return. Only on the main thread.

    Port 0 takes a free one. `on_ready` gets the base URL once connections are accepted. Raises
    PipelineError where the address cannot be had.
    """
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    with _bound(host, port) as listening:
        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        # In a thread the server leaves signals alone: its own handling ends the process by the signal.
        thread = Thread(target=server.run, args=([listening],), name="gsc-serve")
        try:
            thread.start()
            name = f"[{host}]" if ":" in host else host
            on_ready(f"http://{name}:{listening.getsockname()[1]}")
            thread.join()
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
