"""A simulator that sends pages encoded once, in a process of its own.

    python -m benchmarks.server --rows 25000 --latency 0.02 --home DIR

prints its address once it serves, and writes a key (`key.json`) for it to DIR. `GET /_served` returns the
calls, rows and bytes served since the last such request.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from starlette.responses import JSONResponse

from benchmarks.pages import NotServedError, Pages, Request
from benchmarks.property import MadeUpProperty
from gsc_pipeline.days import pacific_today
from gsc_pipeline.simulator import (
    Call,
    Reply,
    Simulator,
    SyntheticProperty,
    google_error,
    serve_forever,
    write_service_account_key,
)
from gsc_pipeline.simulator.wire.server import Receive, Scope, Send


class PageServer(Simulator):
    """Answers every search analytics request from `pages`, whatever the property, after `latency` seconds."""

    def __init__(self, sites: Sequence[str], pages: Pages, latency: float) -> None:
        super().__init__([SyntheticProperty(site, rows_a_day=0) for site in sites], faults=self._page)
        self._pages = pages
        self._latency = latency
        self._served: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Concurrent requests wait at the same time."""
        if scope.get("path") == "/_served":
            counts = {name: self._served[name] for name in ("calls", "rows", "bytes")}
            self._served.clear()
            await JSONResponse(counts)(scope, receive, send)
            return
        if self._latency:
            await asyncio.sleep(self._latency)
        await super().__call__(scope, receive, send)

    def _page(self, call: Call) -> Reply | None:
        if call.kind == "token":
            return None
        self._served["calls"] += 1
        if call.kind != "query":
            return None
        try:
            page = self._pages.page(msgspec.convert(call.body, Request))
        except (msgspec.ValidationError, NotServedError) as error:
            return google_error(400, "invalidParameter", str(error))
        self._served["rows"] += page.rows
        self._served["bytes"] += len(page.body)
        # With a content encoding, the simulator does not compress the body.
        return Reply(body=page.body, headers={"content-encoding": "identity"})


def main() -> None:
    """Serve a made-up property until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server")
    parser.add_argument("--rows", type=int, default=1000, help="rows a day by page, query, country, device")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--site", action="append", help="a property to serve (all have the same rows)")
    parser.add_argument("--home", type=Path, required=True, help="the folder for the key")
    options = parser.parse_args()
    pages = Pages(MadeUpProperty(options.rows), pacific_today(datetime.now(UTC)))
    server = PageServer(options.site or ["sc-domain:example.com"], pages, options.latency)

    def ready(url: str) -> None:
        options.home.mkdir(parents=True, exist_ok=True)
        write_service_account_key(options.home / "key.json", base_url=url, client_email="reader@example.com")
        print(url, flush=True)  # noqa: T201

    serve_forever(server, host="127.0.0.1", port=0, on_ready=ready)


if __name__ == "__main__":
    main()
