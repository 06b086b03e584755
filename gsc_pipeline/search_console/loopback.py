"""Receives the redirect of a sign-in: a server on this machine that accepts one answer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

from typing_extensions import override

from gsc_pipeline.search_console.sign_in import ForeignRedirectError, SignIn, SignInError

T = TypeVar("T")

HOST = "127.0.0.1"
SIGN_IN_SECONDS = 600.0
"""How long a sign-in in the browser may take."""

_IDLE_SECONDS = 10.0
"""How long a connection may send nothing. Browsers open some that they do not use."""

_DONE = "You are signed in. You can close this page."
_FAILED = "The sign-in failed; the terminal says why. You can close this page."
_FOREIGN = "This is not the answer to a sign-in that is under way. You can close this page."


@dataclass
class _Answer:
    """A code, or the error that was sent instead, and the page that its browser is waiting for."""

    code: str | SignInError
    page: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    is_shown: threading.Event = field(default_factory=threading.Event)


class Loopback:
    """The address of the redirect, and what arrives there."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self.redirect_uri = f"http://{HOST}:{server.server_port}/"

    def receive(self, sign_in: SignIn, finish: Callable[[str], T], *, seconds: float = SIGN_IN_SECONDS) -> T:
        """Wait for the browser and return what `finish` makes of the code; the browser shows if it worked.

        Redirects of another sign-in get an error page and change nothing. Raises SignInError if the sign-in
        was refused or takes longer than `seconds`, and what `finish` raises.
        """
        self._server.sign_in = sign_in
        try:
            answer = self._server.answers.get(timeout=seconds)
        except queue.Empty:
            raise SignInError(f"nobody signed in within {seconds / 60:g} minutes: sign in again") from None
        page = _FAILED
        try:
            if isinstance(answer.code, SignInError):
                raise answer.code
            result = finish(answer.code)
            page = _DONE
        finally:
            answer.page.put(page)
            answer.is_shown.wait(_IDLE_SECONDS)
        return result


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Listen on a free port of this machine. Raises SignInError if that is impossible."""
    try:
        server = _Server((HOST, 0), _Handler)
    except OSError as error:
        raise SignInError(f"cannot listen on {HOST} ({error.strerror}): use --no-browser") from None
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="sign-in", daemon=True)
    thread.start()
    try:
        yield Loopback(server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    sign_in: SignIn | None = None

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.answers: queue.Queue[_Answer] = queue.Queue()
        super().__init__(address, handler)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: a browser that closes its connection does not fail the sign-in."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _IDLE_SECONDS
    server: _Server

    def do_GET(self) -> None:
        """Answer a redirect; any other request is not found."""
        path, _, query = self.path.partition("?")
        # Another host name would mean that a web page reaches this server under a name of its own.
        is_here = self.headers.get("Host") == f"{HOST}:{self.server.server_port}"
        if path != "/" or not query or not is_here or self.server.sign_in is None:
            self._show(404, _FOREIGN)
            return
        try:
            answer = _Answer(self.server.sign_in.code_of(self.path))
        except ForeignRedirectError:
            self._show(400, _FOREIGN)
            return
        except SignInError as error:
            answer = _Answer(error)
        self.server.answers.put(answer)
        page = answer.page.get()
        self._show(200 if page == _DONE else 400, page)
        answer.is_shown.set()

    def _show(self, status: int, text: str) -> None:
        body = f'<!doctype html><html lang="en"><title>gsc login</title><p>{text}</p></html>'.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'")
        # The page's address holds the code.
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: the request line holds the code."""
