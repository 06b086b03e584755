"""The abstract Search Console, and its one live implementation over HTTPS.

Belongs here: the order of what stands around a call: retries, circuit breaker, token, limiter, transport.
Does not: these themselves, paging and what to read (`sync`). The simulator in
`gsc_pipeline.simulator` speaks the same wire protocol, so this client is the one that tests and
demonstrations use too.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
from typing_extensions import override

from gsc_pipeline.days import Clock, Window, utc_now
from gsc_pipeline.search_console.answers import Answer, Site, decode_answer, decode_sites
from gsc_pipeline.search_console.auth import CredentialSource, TokenSource
from gsc_pipeline.search_console.breaker import AlwaysClosed, Breaker
from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    QuotaError,
    TokenExpiredError,
    WrongAnswerError,
    classify,
    read_refusal,
)
from gsc_pipeline.search_console.inspections import Inspection, decode_inspection
from gsc_pipeline.search_console.limits import Limiter, Unlimited
from gsc_pipeline.search_console.quotas import Kind
from gsc_pipeline.search_console.requests import (
    PAGE_ROWS,
    AnalyticsRequest,
    DailyTotals,
    HourlyTotals,
    request_body,
)
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.sitemaps import Sitemap, decode_sitemaps
from gsc_pipeline.search_console.transport import Limits, Transport

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

    most_pages: int = 4
    """Pages of one answer after which reading it ends with an error: Google's answers have three at most."""

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


@dataclass(frozen=True, slots=True)
class _Call(Generic[T]):
    """One call: what it counts as, where it goes, and how its answer is read."""

    kind: Kind
    site_url: str | None
    method: str
    path: str
    decode: Callable[[bytes], T]
    body: dict[str, Any] | None = None


class HttpSearchConsole(SearchConsole):
    """Search Console over HTTP(S).

    Every attempt, repeats included, waits for `limiter` and passes `breaker`; every request for a token
    passes the `token_breaker` of the endpoint it goes to. By default there are none.
    `on_close` is called by `close`: it gives back what was opened for this client alone.
    """

    def __init__(
        self,
        credentials: CredentialSource,
        *,
        base_url: str,
        retry: RetryPolicy | None = None,
        limiter: Limiter | None = None,
        breaker: Breaker | None = None,
        token_breaker: Callable[[str], Breaker] | None = None,
        on_close: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        most_pages: int = 4,
        clock: Clock = utc_now,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._retry = retry or RetryPolicy()
        self._limiter = limiter or Unlimited()
        self._breaker = breaker or AlwaysClosed()
        self._on_close = on_close
        self._clock = clock
        self._transport = Transport(limits)
        self._tokens = TokenSource(credentials, self._transport, clock, token_breaker)
        self.most_pages = most_pages
        self._names_aggregation_of_nothing = False
        self._lock = threading.Lock()
        self._usage = Usage()

    @override
    def sites(self) -> list[Site]:
        return self._answer(_Call(Kind.OTHER, None, "GET", "webmasters/v3/sites", decode_sites))

    @override
    def query(self, site_url: str, request: AnalyticsRequest, *, start_row: int = 0) -> Answer:
        answer = self._query(site_url, request, start_row)
        if answer.is_bare and not self._may_be_bare(site_url, request):
            self._count(retries=1)
            answer = self._query(site_url, request, start_row)
            if answer.is_bare:
                raise WrongAnswerError(
                    "the answer is {}, and this API says in another way that there is nothing"
                )
        return answer

    def _query(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        path = f"webmasters/v3/sites/{quote(site_url, safe='')}/searchAnalytics/query"
        body = request_body(request, start_row=start_row)
        decode = partial(decode_answer, dimensions=request.dimensions, search_type=request.search_type)
        answer = self._answer(_Call(Kind.SEARCH_ANALYTICS, site_url, "POST", path, decode, body))
        if answer.rows.num_rows == 0 and answer.names_aggregation:
            self._names_aggregation_of_nothing = True
        return answer

    def _may_be_bare(self, site_url: str, request: AnalyticsRequest) -> bool:
        """Whether this API says by `{}` that there is nothing, and not by an answer without rows.

        Google names the aggregation even then; other servers leave it out. Where it is not known yet, one
        question tells whose answer is empty for sure: the totals of one day from row 25,000 on.
        """
        if not self._names_aggregation_of_nothing:
            control = DailyTotals(request.search_type, _one_day(request))
            if self._query(site_url, control, PAGE_ROWS).rows.num_rows > 0:
                raise WrongAnswerError("the totals of a single day have more than 25,000 rows")
        return not self._names_aggregation_of_nothing

    @override
    def sitemaps(self, site_url: str) -> list[Sitemap]:
        path = f"webmasters/v3/sites/{quote(site_url, safe='')}/sitemaps"
        return self._answer(_Call(Kind.OTHER, site_url, "GET", path, decode_sitemaps))

    @override
    def inspect(self, site_url: str, url: str) -> Inspection:
        body = {"siteUrl": site_url, "inspectionUrl": url}
        path = "v1/urlInspection/index:inspect"
        return self._answer(_Call(Kind.URL_INSPECTION, site_url, "POST", path, decode_inspection, body))

    @override
    def usage(self) -> Usage:
        with self._lock:
            return self._usage

    @override
    def close(self) -> None:
        self._transport.close()
        self._on_close()

    def _answer(self, call: _Call[T]) -> T:
        return self._retry.retrying(lambda: self._count(retries=1))(lambda: self._attempt(call))

    def _attempt(self, call: _Call[T]) -> T:
        # Before anything else: while the breaker is open no token is fetched and no slot is taken.
        self._breaker.check()
        header = self._tokens.header()
        try:
            return self._send(call, header)
        except TokenExpiredError:
            self._tokens.renew(header)
            self._count(retries=1)
        try:
            return self._send(call, self._tokens.header())
        except TokenExpiredError as error:
            raise CredentialUnusableError(f"a fresh access token was refused ({error.cause})") from None

    def _send(self, call: _Call[T], authorization: str) -> T:
        user = self._tokens.user()
        self._limiter.wait(call.kind, user, call.site_url)
        try:
            with self._breaker.guard():
                return call.decode(self._request(call, authorization))
        except QuotaError as error:
            self._limiter.refused(call.kind, user, call.site_url, error)
            raise

    def _request(self, call: _Call[T], authorization: str) -> bytes:
        self._count(calls=1)
        response = self._transport.send(
            call.method,
            f"{self._base_url}/{call.path}",
            body=None if call.body is None else msgspec.json.encode(call.body),
            headers={"Authorization": authorization, "Content-Type": "application/json"},
            whom=self._base_url,
        )
        if response.status == 200:
            return response.data
        raise classify(read_refusal(response.status, response.headers, response.data), self._clock())

    def _count(self, *, calls: int = 0, retries: int = 0) -> None:
        with self._lock:
            self._usage = Usage(self._usage.calls + calls, self._usage.retries + retries)


def _one_day(request: AnalyticsRequest) -> Window:
    if isinstance(request, DailyTotals | HourlyTotals):
        return Window.inclusive(request.window.start, request.window.start)
    return Window.inclusive(request.day, request.day)
