"""The Search Console client: an abstract class, and its implementation over HTTP.

The simulator in `gsc_pipeline.simulator` speaks the same protocol, so tests and the demo use this client too.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
from typing_extensions import override

from gsc_pipeline.days import Clock, Window, utc_now
from gsc_pipeline.search_console.answers import Answer, Site, decode_answer, decode_sites
from gsc_pipeline.search_console.auth import CredentialSource, TokenEndpoints, TokenSource
from gsc_pipeline.search_console.call_times import NO_CALLS, CallTimes
from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    QuotaError,
    SearchConsoleError,
    ServiceUnavailableError,
    TokenExpiredError,
    UnansweredError,
    WrongAnswerError,
    classify,
    read_refusal,
)
from gsc_pipeline.search_console.guards import NO_GUARDS, Guards
from gsc_pipeline.search_console.inspections import Inspection, decode_inspection
from gsc_pipeline.search_console.limits import QuotaGroup
from gsc_pipeline.search_console.requests import (
    PAGE_ROWS,
    AnalyticsRequest,
    DailyTotals,
    HourlyTotals,
    request_body,
    window_of,
)
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.sitemaps import Sitemap, decode_sitemaps
from gsc_pipeline.search_console.transport import Transport, TransportLimits
from gsc_pipeline.search_console.unanswered import CallId, Unanswered
from gsc_pipeline.text.addresses import is_loopback

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls to the API so far, and how many of them were retries. Requests for tokens do not count.

    `times` are those of the calls that have ended, without waits for the limiter and before retries.
    """

    calls: int = 0
    retries: int = 0
    times: CallTimes = field(default=NO_CALLS, compare=False)

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(self.calls - earlier.calls, self.retries - earlier.retries, self.times - earlier.times)


class SearchConsole(ABC):
    """Search Console as one credential sees it. Thread-safe.

    Every method raises a SearchConsoleError (`errors`); a transient one after its retries.
    """

    most_pages: int = 4
    """The most pages of one answer; reading more raises an error. Google's answers have at most three."""

    @abstractmethod
    def sites(self) -> list[Site]:
        """The properties the credential can see, unverified ones included."""

    @abstractmethod
    def query(self, site_url: str, request: AnalyticsRequest, *, start_row: int = 0) -> Answer:
        """One page of the answer for a property, starting at row `start_row`."""

    @abstractmethod
    def sitemaps(self, site_url: str) -> list[Sitemap]:
        """The sitemaps submitted for a property."""

    @abstractmethod
    def inspect(self, site_url: str, url: str) -> Inspection:
        """The state of a page in Google's index. The credential must be a full user of the property."""

    @abstractmethod
    def usage(self) -> Usage:
        """The calls made so far."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


@dataclass(frozen=True, slots=True)
class _Call(Generic[T]):
    """One call: its quota group, its URL, how its answer is decoded, and the day that it reads, if one."""

    group: QuotaGroup
    site_url: str | None
    method: str
    path: str
    decode: Callable[[bytes], T]
    body: dict[str, Any] | None = None
    day: date | None = None


_SITES = _Call(QuotaGroup.OTHER, None, "GET", "webmasters/v3/sites", decode_sites)
_DAY = CallId("day", "")
"""All calls for a day count as one."""


class HttpSearchConsole(SearchConsole):
    """Search Console over HTTP(S).

    Every attempt, retries included, waits for the limiter of `guards` and passes their breaker; every
    request for a token passes the breaker of its endpoint. Without `guards`, calls are sent at once.
    Credentials are sent only to token endpoints of Google, to `token_uris`, and if the API is on this machine
    to those there.

    The calls for one day of a property share their retries: a day that is never answered costs at most six
    attempts, of all search types together.
    """

    def __init__(
        self,
        credentials: CredentialSource,
        *,
        base_url: str,
        retry: RetryPolicy | None = None,
        guards: Guards = NO_GUARDS,
        limits: TransportLimits | None = None,
        most_pages: int = 4,
        token_uris: Collection[str] = (),
        clock: Clock = utc_now,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._retry = retry or RetryPolicy()
        self._limiter = guards.limiter
        self._breaker = guards.breaker
        self._clock = clock
        self._transport = Transport(limits)
        self._tokens = TokenSource(
            credentials,
            self._transport,
            clock,
            guards.token_breakers.at if guards.token_breakers else None,
            TokenEndpoints(token_uris, loopback=is_loopback(base_url)),
        )
        self.most_pages = most_pages
        self._names_aggregation_without_rows = False
        self._counted_by_page: set[str] = set()
        self._days: dict[tuple[str | None, date], Unanswered] = {}
        self._lock = threading.Lock()
        self._usage = Usage()

    @override
    def sites(self) -> list[Site]:
        return self._answer(_SITES)

    @override
    def query(self, site_url: str, request: AnalyticsRequest, *, start_row: int = 0) -> Answer:
        answer = self._query(site_url, request, start_row)
        if answer.is_bare and not self._may_be_bare(site_url, request):
            self._count(retries=1)
            answer = self._query(site_url, request, start_row)
            if answer.is_bare:
                raise WrongAnswerError(
                    "the answer is {}, but this API answers otherwise if there are no rows"
                )
        return answer

    def _query(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        path = f"webmasters/v3/sites/{quote(site_url, safe='')}/searchAnalytics/query"
        body = request_body(request, start_row=start_row)
        decode = partial(
            decode_answer,
            dimensions=request.dimensions,
            search_type=request.search_type,
            window=window_of(request),
        )
        day = None if isinstance(request, DailyTotals | HourlyTotals) else request.day
        answer = self._answer(_Call(QuotaGroup.SEARCH_ANALYTICS, site_url, "POST", path, decode, body, day))
        if answer.rows.num_rows == 0 and answer.names_aggregation:
            self._names_aggregation_without_rows = True
        if answer.is_by_page and answer.rows.num_rows and body["aggregationType"] == "byProperty":
            self._warn_of_aggregation(site_url)
        if answer.half_pair:
            log.warning(
                "%s: the answer by %s for %s has half of a surrogate pair, which no text can hold. It is "
                "stored as the API wrote it: %s",
                site_url,
                ", ".join(request.dimensions),
                day or window_of(request),
                answer.half_pair,
            )
        return answer

    def _warn_of_aggregation(self, site_url: str) -> None:
        if site_url in self._counted_by_page:
            return
        self._counted_by_page.add(site_url)
        log.warning(
            "%s: the API says that rows requested by property are counted by page. If they are, "
            "searchdata_site_impression counts an impression once for each page",
            site_url,
        )

    def _may_be_bare(self, site_url: str, request: AnalyticsRequest) -> bool:
        """Whether this API answers `{}` if there are no rows.

        Google names the aggregation even then; other servers do not. To find out, ask once for something
        that certainly has no rows: the totals of one day from row 25,000 on.
        """
        if not self._names_aggregation_without_rows:
            first = window_of(request).start
            control = DailyTotals(request.search_type, Window.inclusive(first, first))
            if self._query(site_url, control, PAGE_ROWS).rows.num_rows > 0:
                raise WrongAnswerError("the totals of a single day have more than 25,000 rows")
        return not self._names_aggregation_without_rows

    @override
    def sitemaps(self, site_url: str) -> list[Sitemap]:
        path = f"webmasters/v3/sites/{quote(site_url, safe='')}/sitemaps"
        return self._answer(_Call(QuotaGroup.OTHER, site_url, "GET", path, decode_sitemaps))

    @override
    def inspect(self, site_url: str, url: str) -> Inspection:
        body = {"siteUrl": site_url, "inspectionUrl": url}
        path = "v1/urlInspection/index:inspect"
        return self._answer(_Call(QuotaGroup.URL_INSPECTION, site_url, "POST", path, decode_inspection, body))

    @override
    def usage(self) -> Usage:
        with self._lock:
            return self._usage

    @override
    def close(self) -> None:
        self._transport.close()

    def _answer(self, call: _Call[T]) -> T:
        failure: ServiceUnavailableError | None = None

        def attempt() -> T:
            nonlocal failure
            try:
                return self._attempt(call, is_retry=failure is not None)
            except UnansweredError as error:
                # A retry that may not be sent after all: other calls failed during the wait.
                raise failure or error from None
            except ServiceUnavailableError as error:
                failure = error
                raise

        retrying = self._retry.retrying(lambda: self._count(retries=1), lambda: self._may_retry(call))
        try:
            return retrying(attempt)
        except ServiceUnavailableError as error:
            if error.on_give_up:
                error.on_give_up()
            if day := self._unanswered_of_day(call):
                day.give_up(_DAY)
            raise

    def _attempt(self, call: _Call[T], *, is_retry: bool) -> T:
        # First: while the circuit is open, request no token and reserve no time.
        if self._breaker:
            self._breaker.check()
        header = self._tokens.header(is_retry=is_retry)
        try:
            return self._send(call, header, is_retry=is_retry)
        except TokenExpiredError:
            self._tokens.renew(header)
            self._count(retries=1)
        try:
            return self._send(call, self._tokens.header())
        except TokenExpiredError as error:
            if call.site_url is not None and self._accepts_token():
                cause = f"a new access token was refused for this property alone ({error.cause})"
                raise WrongAnswerError(cause) from None
            raise CredentialUnusableError(f"a new access token was refused ({error.cause})") from None

    def _accepts_token(self) -> bool:
        """Whether the API accepts the token for the list of properties. If not, no property can be read."""
        try:
            self._send(_SITES, self._tokens.header())
        except SearchConsoleError:
            return False
        return True

    def _send(self, call: _Call[T], authorization: str, *, is_retry: bool = False) -> T:
        user = self._tokens.user()
        if self._limiter:
            self._limiter.wait(call.group, user, call.site_url)
        try:
            with self._guarded(call, user, is_retry=is_retry), self._timed():
                return call.decode(self._request(call, authorization))
        except QuotaError as error:
            if self._limiter:
                self._limiter.refused(call.group, user, call.site_url, error)
            raise

    @contextmanager
    def _guarded(self, call: _Call[T], user: str, *, is_retry: bool) -> Iterator[None]:
        id_ = CallId.of(call.site_url or user, f"{call.path} {call.body}", call.day)
        with ExitStack() as guards:
            if day := self._unanswered_of_day(call):
                guards.enter_context(day.attempt(_DAY, is_retry=is_retry))
            if self._breaker:
                guards.enter_context(self._breaker.guard(id_, is_retry=is_retry))
            yield

    def _unanswered_of_day(self, call: _Call[T]) -> Unanswered | None:
        """What counts the attempts for the call's day, which all its search types share."""
        if call.day is None:
            return None
        with self._lock:
            return self._days.setdefault((call.site_url, call.day), Unanswered())

    def _may_retry(self, call: _Call[T]) -> bool:
        day = self._unanswered_of_day(call)
        return (day is None or day.may_retry()) and (self._breaker is None or self._breaker.may_retry())

    def _request(self, call: _Call[T], authorization: str) -> bytes:
        self._count(calls=1)
        response = self._transport.send(
            call.method,
            f"{self._base_url}/{call.path}",
            body=None if call.body is None else msgspec.json.encode(call.body),
            headers={"Authorization": authorization, "Content-Type": "application/json"},
            server=self._base_url,
        )
        if response.status == 200:
            return response.data
        now = self._clock()
        raise classify(read_refusal(response.status, response.headers, response.data, now), now)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._count(times=CallTimes.of(time.monotonic() - started))

    def _count(self, *, calls: int = 0, retries: int = 0, times: CallTimes = NO_CALLS) -> None:
        with self._lock:
            used = self._usage
            self._usage = Usage(used.calls + calls, used.retries + retries, used.times + times)
