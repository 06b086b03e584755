"""The abstract Search Console, and its one live implementation over HTTPS.

Belongs here: pooling, time-outs, compression, retries, token renewal. Does not: paging and what to read
(`sync`). The simulator in `gsc_pipeline.simulator` speaks the same wire protocol, so this client is the
one that tests and demonstrations use too.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import urllib3
from typing_extensions import override

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.search_console.answers import Answer, Site, decode_answer, decode_sites
from gsc_pipeline.search_console.auth import CredentialSource, TokenSource
from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    TokenExpiredError,
    classify,
    read_refusal,
)
from gsc_pipeline.search_console.inspections import Inspection, decode_inspection
from gsc_pipeline.search_console.requests import AnalyticsRequest, request_body
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.sitemaps import Sitemap, decode_sitemaps
from gsc_pipeline.search_console.transport import send

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls made so far, repeats included, those to the token endpoint not; and how many were repeats."""

    calls: int = 0
    retries: int = 0

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(self.calls - earlier.calls, self.retries - earlier.retries)


class SearchConsole(ABC):
    """Search Console as one credential sees it. Safe for many threads.

    Every method raises a SearchConsoleError (`errors`), transient ones after retries where it has any.
    """

    @abstractmethod
    def sites(self) -> list[Site]:
        """The properties the credential can see, unverified ones included."""

    @abstractmethod
    def query(self, site_url: str, request: AnalyticsRequest, *, start_row: int = 0) -> Answer:
        """One page of the answer to `request` for one property, from row `start_row` on."""

    @abstractmethod
    def sitemaps(self, site_url: str) -> list[Sitemap]:
        """The sitemaps submitted for a property."""

    @abstractmethod
    def inspect(self, site_url: str, url: str) -> Inspection:
        """What Google's index knows of the page `url` of a property. Needs a full user of the property."""

    @abstractmethod
    def usage(self) -> Usage:
        """What has been called so far."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections."""


class HttpSearchConsole(SearchConsole):
    """Search Console over HTTP(S)."""

    def __init__(
        self,
        credentials: CredentialSource,
        *,
        base_url: str,
        retry: RetryPolicy | None = None,
        connections: int = 4,
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 120.0,
        clock: Clock = utc_now,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._retry = retry or RetryPolicy()
        self._clock = clock
        self._http = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=connect_timeout_seconds, read=read_timeout_seconds),
            # Google compresses only for clients whose agent says gzip as well.
            headers=urllib3.make_headers(accept_encoding="gzip", user_agent="gsc_pipeline (gzip)"),
        )
        self._tokens = TokenSource(credentials, self._http, clock)
        self._lock = threading.Lock()
        self._usage = Usage()

    @override
    def sites(self) -> list[Site]:
        return decode_sites(self._call("GET", "webmasters/v3/sites"))

    @override
    def query(self, site_url: str, request: AnalyticsRequest, *, start_row: int = 0) -> Answer:
        path = f"webmasters/v3/sites/{quote(site_url, safe='')}/searchAnalytics/query"
        body = request_body(request, start_row=start_row)
        return self._retrying(lambda: decode_answer(self._attempt("POST", path, body), request.dimensions))

    @override
    def sitemaps(self, site_url: str) -> list[Sitemap]:
        path = f"webmasters/v3/sites/{quote(site_url, safe='')}/sitemaps"
        return self._retrying(lambda: decode_sitemaps(self._attempt("GET", path, None)))

    @override
    def inspect(self, site_url: str, url: str) -> Inspection:
        body = {"siteUrl": site_url, "inspectionUrl": url}
        path = "v1/urlInspection/index:inspect"
        return self._retrying(lambda: decode_inspection(self._attempt("POST", path, body)))

    @override
    def usage(self) -> Usage:
        with self._lock:
            return self._usage

    @override
    def close(self) -> None:
        self._http.clear()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        return self._retrying(lambda: self._attempt(method, path, body))

    def _retrying(self, attempt: Callable[[], T]) -> T:
        return self._retry.retrying(lambda: self._count(retries=1))(attempt)

    def _attempt(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        header = self._tokens.header()
        try:
            return self._send(method, path, body, header)
        except TokenExpiredError:
            self._tokens.renew(header)
            self._count(retries=1)
        try:
            return self._send(method, path, body, self._tokens.header())
        except TokenExpiredError as error:
            raise CredentialUnusableError(f"a fresh access token was refused ({error.cause})") from None

    def _send(self, method: str, path: str, body: dict[str, Any] | None, authorization: str) -> bytes:
        self._count(calls=1)
        response = send(
            self._http,
            method,
            f"{self._base_url}/{path}",
            body=None if body is None else msgspec.json.encode(body),
            headers={
                **self._http.headers,
                "Authorization": authorization,
                "Content-Type": "application/json",
            },
            whom=self._base_url,
        )
        if response.status == 200:
            return response.data
        raise classify(read_refusal(response.status, response.headers, response.data), self._clock())

    def _count(self, *, calls: int = 0, retries: int = 0) -> None:
        with self._lock:
            self._usage = Usage(self._usage.calls + calls, self._usage.retries + retries)
