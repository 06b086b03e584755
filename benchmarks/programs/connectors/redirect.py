"""Sends a connector's requests to Google's hosts to another server. Connectors have no setting for it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit


def redirected(address: str, server: str) -> str:
    """The address on the server if its host is one of Google's, else the same address."""
    parts = urlsplit(address)
    if not (parts.hostname or "").endswith(".googleapis.com"):
        return address
    return urlunsplit((*urlsplit(server)[:2], parts.path, parts.query, ""))


def redirect_requests(server: str) -> None:
    """Redirect every session of requests."""
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def send_redirected(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.url = redirected(request.url, server)
        return send(self, request, *args, **kwargs)

    HTTPAdapter.send = send_redirected


def redirect_httplib2(server: str) -> None:
    """Redirect Google's client library."""
    import httplib2

    request = httplib2.Http.request

    def request_redirected(self: Any, uri: str, *args: Any, **kwargs: Any) -> Any:
        return request(self, redirected(uri, server), *args, **kwargs)

    httplib2.Http.request = request_redirected
