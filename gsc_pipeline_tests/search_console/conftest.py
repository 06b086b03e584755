"""A simulator on a real socket that records exchanges, and clients that do not sleep."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.search_console.auth import CredentialSource, ServiceAccountFile, TokenEndpoints, TokenSource
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.transport import Transport, TransportLimits
from gsc_pipeline.simulator import (
    Call,
    Reply,
    Simulator,
    SyntheticProperty,
    serving,
)
from gsc_pipeline_tests.keys import write_key

CLIENT_EMAIL = "acme@project.example"
DOMAIN = "sc-domain:acme.com"
SHOP = "https://shop.acme.com/"
NOT_OURS = "sc-domain:not-ours.com"
UNVERIFIED = "sc-domain:unverified.com"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as received: its undecoded path and the port that it came from."""

    path: str
    headers: dict[str, str]
    port: int
    answer_headers: dict[str, str]


class WatchedSimulator(Simulator):
    """A simulator that also records each exchange."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.exchanges: list[Exchange] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        exchange = Exchange(scope["raw_path"].decode(), _texts(scope["headers"]), scope["client"][1], {})
        self.exchanges.append(exchange)

        async def watched_send(message: Any) -> None:
            exchange.answer_headers.update(_texts(message.get("headers", [])))
            await send(message)

        await super().__call__(scope, receive, watched_send)


def _texts(headers: Any) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


@dataclass
class Wire:
    """The simulator, the answers that replace its own, and the waits that clients skipped."""

    url: str
    simulator: WatchedSimulator
    key: ServiceAccountFile
    stack: ExitStack
    instead: dict[str, list[Reply | None]] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)

    def answer_instead(self, kind: str, *replies: Reply | None) -> None:
        """Answer the next calls of this kind with these replies; None: with the simulator's own answer."""
        self.instead[kind] = list(replies)

    def fault(self, call: Call) -> Reply | None:
        replies = self.instead.get(call.kind)
        return replies.pop(0) if replies else None

    def count(self, kind: str) -> int:
        return sum(call.kind == kind for call in self.simulator.calls)

    def console(self, credentials: CredentialSource | None = None, **options: Any) -> HttpSearchConsole:
        """A client with three attempts."""
        options.setdefault("base_url", self.url)
        options.setdefault("retry", RetryPolicy(attempts=3, sleep=self.waits.append))
        return self.stack.enter_context(closing(HttpSearchConsole(credentials or self.key, **options)))

    def tokens(self, credentials: CredentialSource | None = None) -> TokenSource:
        transport = self.stack.enter_context(closing(Transport(TransportLimits(silent_seconds=5))))
        endpoints = TokenEndpoints(loopback=True)
        return TokenSource(credentials or self.key, transport, utc_now, endpoints=endpoints)


@pytest.fixture(scope="session")
def simulator() -> Iterator[tuple[str, WatchedSimulator]]:
    everything = ("web", "image", "video", "news", "discover", "googleNews")
    simulator = WatchedSimulator(
        [
            SyntheticProperty(DOMAIN, rows_a_day=300, search_types=everything),
            SyntheticProperty(SHOP, rows_a_day=50),
            SyntheticProperty(NOT_OURS, readers=["somebody@else.example"]),
            SyntheticProperty(UNVERIFIED, permission_level="siteUnverifiedUser"),
        ]
    )
    with serving(simulator) as url:
        yield url, simulator


@pytest.fixture(scope="session")
def key_file(simulator: tuple[str, WatchedSimulator], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "acme.json"
    write_key(path, base_url=simulator[0], client_email=CLIENT_EMAIL)
    return path


@pytest.fixture
def wire(simulator: tuple[str, WatchedSimulator], key_file: Path) -> Iterator[Wire]:
    url, watched = simulator
    watched.calls.clear()
    watched.exchanges.clear()
    with ExitStack() as stack:
        wire = Wire(url, watched, ServiceAccountFile(key_file), stack)
        watched.faults = wire.fault
        yield wire
        watched.faults = None


@pytest.fixture
def refusing_address() -> Iterator[str]:
    """The URL of a port on which connections are refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def silent_address() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def rude_address() -> Iterator[Callable[[bytes], str]]:
    """Starts a server that answers every request with these bytes and closes the connection."""
    with ExitStack() as stack:

        def make(answer: bytes) -> str:
            class Handler(socketserver.StreamRequestHandler):
                def handle(self) -> None:
                    while self.rfile.readline().strip():
                        pass
                    self.wfile.write(answer)

            server = stack.enter_context(socketserver.TCPServer(("127.0.0.1", 0), Handler))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_address[1]}"

        yield make
