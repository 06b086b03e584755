"""The program behind `bucket.serving_bucket`: moto's S3, made atomic, with faults on request.

Prints its URL, then obeys the lines of its standard input: `answer SECONDS 503` and `delay SECONDS BY`. It
answers `count` by a line with the numbers of requests, of puts under a condition, and of those it refused.
Ends with its standard input, so it never outlives the process that started it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>on request</Message></Error>"


@dataclass
class Faults:
    """What happens to requests until a moment: a delay in seconds, or 503 for an answer."""

    until: float = 0.0
    delay: float = 0.0
    is_503: bool = False

    def obey(self, line: str) -> None:
        kind, seconds, value = line.split()
        self.delay = float(value) if kind == "delay" else 0.0
        self.is_503 = kind == "answer"
        self.until = time.monotonic() + float(seconds)


@dataclass
class Counts:
    """Requests, puts under a condition, and how many of those were refused, since the start."""

    requests: int = 0
    conditional: int = 0
    refused: int = 0

    def add(self, *, is_conditional: bool, status: str) -> None:
        self.requests += 1
        self.conditional += is_conditional
        self.refused += is_conditional and status.startswith("412")


def faulty(app: App, faults: Faults, counts: Counts, *, is_safe: bool) -> App:
    """`app` with the faults. Requests are answered one at a time, as moto's put-if-absent is not atomic."""
    one_at_a_time = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if time.monotonic() < faults.until:
            time.sleep(faults.delay)
            if faults.is_503:
                start_response("503 Slow Down", [("Content-Type", "application/xml")])
                return [SLOW_DOWN]
        is_conditional = environ["REQUEST_METHOD"] == "PUT" and "HTTP_IF_NONE_MATCH" in environ
        if not is_safe:
            environ.pop("HTTP_IF_NONE_MATCH", None)

        def start(status: str, *rest: Any) -> Any:
            counts.add(is_conditional=is_conditional, status=status)
            return start_response(status, *rest)

        with one_at_a_time:
            return list(app(environ, start))

    return answer


class QuietHandler(WSGIRequestHandler):
    """Logs no requests. Keeps connections, as S3 does."""

    protocol_version = "HTTP/1.1"

    def log(self, *arguments: Any) -> None:
        pass


def main() -> None:
    faults, counts = Faults(), Counts()
    moto = DomainDispatcherApplication(create_backend_app)
    app = faulty(moto, faults, counts, is_safe="unsafe" not in sys.argv)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201
    for line in sys.stdin:
        if line.strip() == "count":
            print(counts.requests, counts.conditional, counts.refused, flush=True)  # noqa: T201
        else:
            faults.obey(line)
    os._exit(0)


if __name__ == "__main__":
    main()
