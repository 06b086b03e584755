"""A Search Console that sends pages encoded beforehand, as fast as a socket takes them.

Belongs here: HTTP/1.1 with keep-alive, the token endpoint, latency, counting. Does not: what is in the pages
(`pages`). Latency is waited for by each request on its own, so concurrent requests wait at the same time.

    python -m benchmarks.server --rows 25000 --latency 0.02 --home DIR

prints its address once it serves, and writes a key (`key.json`) that fits it to DIR. `GET /_served` tells
what has been served since it was last asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from benchmarks.pages import NotServedError, Pages, Request
from benchmarks.property import MadeUpProperty
from gsc_pipeline.simulator import write_service_account_key

_REQUEST = msgspec.json.Decoder(Request)
_TOKEN = b'{"access_token":"ya29.benchmark","expires_in":3599,"token_type":"Bearer"}'


@dataclass
class Service:
    """What all connections share: the pages, the wait before each answer, and what has been served."""

    pages: Pages
    latency_seconds: float = 0.0
    sites: tuple[str, ...] = ("sc-domain:example.com",)
    served: Counter[str] = field(default_factory=Counter)

    def answer(
        self, method: bytes, path: bytes, body: bytes, accepts_gzip: bool
    ) -> tuple[bytes, bytes, bool]:
        """The status line, the body, and whether that is compressed."""
        if path.endswith(b"/searchAnalytics/query") and method == b"POST":
            return self._query(body, accepts_gzip)
        if method == b"POST" and path.endswith(b"/token"):
            self.served["tokens"] += 1
            return b"200 OK", _TOKEN, False
        if path.endswith(b"/sites"):
            self.served["calls"] += 1
            entries = [{"siteUrl": site, "permissionLevel": "siteOwner"} for site in self.sites]
            return b"200 OK", json.dumps({"siteEntry": entries}).encode(), False
        if b"/sites/" in path and path.count(b"/") == path.index(b"/sites/") + 2:
            self.served["calls"] += 1
            return (
                b"200 OK",
                json.dumps({"siteUrl": self.sites[0], "permissionLevel": "siteOwner"}).encode(),
                False,
            )
        self.served["refused"] += 1
        return b"404 Not Found", _error(404, "no such path here"), False

    def _query(self, body: bytes, accepts_gzip: bool) -> tuple[bytes, bytes, bool]:
        self.served["calls"] += 1
        try:
            page = self.pages.page(_REQUEST.decode(body))
        except (msgspec.DecodeError, NotServedError) as error:
            self.served["refused"] += 1
            return b"400 Bad Request", _error(400, str(error)), False
        packed = page.packed if accepts_gzip else None
        self.served["rows"] += page.rows
        self.served["bytes"] += len(packed or page.body)
        return b"200 OK", packed or page.body, packed is not None

    def take_served(self) -> bytes:
        """The counts since they were last taken, as JSON."""
        counts = {name: self.served[name] for name in ("calls", "rows", "bytes", "tokens", "refused")}
        self.served.clear()
        return json.dumps(counts).encode()


class Connection(asyncio.Protocol):
    """One client's connection, a request at a time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._received = bytearray()

    def connection_made(self, transport: Any) -> None:
        """Keep the transport to answer on."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once a request is whole."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end])
        lowered = head.lower()
        length = int(_header(lowered, b"content-length") or 0)
        if len(self._received) < end + 4 + length:
            if b"100-continue" in lowered:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        body = bytes(self._received[end + 4 : end + 4 + length])
        del self._received[: end + 4 + length]
        method, target, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
        path = target.partition(b"?")[0]
        if path == b"/_served":
            self._send(b"200 OK", self._service.take_served(), False)
            return
        accepts_gzip = b"gzip" in (_header(lowered, b"accept-encoding") or b"")
        answer = self._service.answer(method, path, body, accepts_gzip)
        if self._service.latency_seconds:
            asyncio.get_running_loop().call_later(self._service.latency_seconds, self._send, *answer)
        else:
            self._send(*answer)

    def _send(self, status: bytes, body: bytes, compressed: bool) -> None:
        if self._transport.is_closing():
            return
        encoding = b"Content-Encoding: gzip\r\n" if compressed else b""
        head = (
            b"HTTP/1.1 %s\r\nContent-Type: application/json; charset=UTF-8\r\n%sContent-Length: %d\r\n\r\n"
            % (status, encoding, len(body))
        )
        self._transport.writelines([head, body])


def _header(lowered_head: bytes, name: bytes) -> bytes | None:
    _, found, rest = lowered_head.partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip() if found else None


def _error(code: int, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "errors": []}}).encode()


async def serve(service: Service, on_ready: Callable[[str], None]) -> None:
    """Serve on a free port of the loopback address until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", 0, backlog=1024)
    on_ready(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve a made-up property until ended."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server")
    parser.add_argument("--rows", type=int, default=1000, help="rows a day by page, query, country, device")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds each answer is held back")
    parser.add_argument("--site", action="append", help="a property to serve (all alike)")
    parser.add_argument("--gzip", action="store_true", help="compress for clients that take it")
    parser.add_argument("--home", type=Path, required=True, help="the folder for the key")
    options = parser.parse_args()
    today = datetime.now(UTC).astimezone(ZoneInfo("America/Los_Angeles")).date()
    pages = Pages(MadeUpProperty(options.rows), today, compressed=options.gzip)
    service = Service(pages, options.latency, tuple(options.site or ["sc-domain:example.com"]))

    def ready(url: str) -> None:
        options.home.mkdir(parents=True, exist_ok=True)
        write_service_account_key(options.home / "key.json", base_url=url, client_email="reader@example.com")
        print(url, flush=True)  # noqa: T201

    try:
        import uvloop

        run: Callable[[Any], None] = uvloop.run
    except ImportError:
        run = asyncio.run
    run(serve(service, ready))


if __name__ == "__main__":
    main()
