"""A server that repeats the secrets of each request in its answer, in a form of its own for each path."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote

OPAQUE_TOKEN = "opaqueCanary0Token/with+signs-0123456789ABCDEFGHIJKLMNOP"
"""The access token that it grants on the path /token: it has no form that Google's tokens have."""


def in_lines(secret: str) -> str:
    return "\r\n ".join(secret[n : n + 20] for n in range(0, len(secret), 20))


def in_base64(secret: str) -> str:
    return base64.b64encode(f'{{"assertion":"{secret}"}}'.encode()).decode()


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "lines": in_lines,
    "percent": lambda secret: quote(quote(secret, safe="")),
    "escapes": lambda secret: "".join(f"\\u{ord(char):04x}" for char in secret),
    "base64": in_base64,
}


def _answer(status: str, body: str, *headers: str) -> bytes:
    content = body.encode()
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(content)}", "Connection: close", "", "")
    return "\r\n".join(lines).encode() + content


def _refusal(error: object, description: str = "", status: str = "400 Bad Request") -> bytes:
    return _answer(status, json.dumps({"error": error, "error_description": description}))


def _google(**fields: object) -> bytes:
    return _answer("403 Forbidden", json.dumps({"error": {"code": 403, **fields}}))


def _chunked(text: str) -> bytes:
    body = json.dumps({"error": "invalid_grant", "error_description": text}).encode()
    pieces = [body[n : n + 7] for n in range(0, len(body), 7)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


ANSWERS: dict[str, Callable[[str], bytes]] = {
    "status-line": lambda secret: f"{secret}\r\n\r\n".encode(),
    "broken-status": lambda secret: f"HTTP/1.1 {secret}\r\n\r\n".encode(),
    "reason-phrase": lambda secret: _answer(f"503 {secret}", ""),
    "header": lambda secret: _answer("200 OK", "{}", f"Content-Encoding: {secret}"),
    "chunk-size": lambda secret: (
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n".encode()
    ),
    "json-key": lambda secret: _answer("200 OK", json.dumps({"access_token": 5, secret: secret})),
    "not-json": lambda secret: _answer("200 OK", f"<html>{secret}</html>"),
    "token": lambda secret: _answer("200 OK", json.dumps({"access_token": OPAQUE_TOKEN, "expires_in": 0})),
    "broken-token": lambda secret: _answer("200 OK", json.dumps({"access_token": in_lines(secret)})),
    "status-field": lambda secret: _google(status=secret, message="no"),
    "reasons": lambda secret: _google(message="no", errors=[{"reason": secret, "domain": secret[:90]}]),
    "chunks": lambda secret: _chunked(secret),
    "cut": lambda secret: _refusal("invalid_grant", "x" * 270 + secret),
    "error": lambda secret: _refusal(secret),
    **{
        f"form-{name}": lambda secret, form=form: _refusal("invalid_grant", f"sent '{form(secret)}'")  # type: ignore[misc]
        for name, form in FORMS.items()
    },
}


@dataclass
class Hostile:
    """Its address, and the assertions and refresh tokens that it received."""

    url: str
    received: list[str] = field(default_factory=list)


@contextmanager
def hostile_server() -> Iterator[Hostile]:
    """Serves ANSWERS, each on the path of its name, until the block ends."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline().split()[1].decode().strip("/")
            length = 0
            while line := self.rfile.readline().strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            form = parse_qs(self.rfile.read(length).decode())
            secret = (form.get("assertion") or form.get("refresh_token") or [""])[0]
            hostile.received.append(secret)
            self.wfile.write(ANSWERS[path](secret))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        hostile = Hostile(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hostile
        finally:
            server.shutdown()
            thread.join()
