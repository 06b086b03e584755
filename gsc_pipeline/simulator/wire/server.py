"""The simulated Search Console as an ASGI app: paths, permissions, faults, and the record of calls.

It uses no web framework, because a property is one percent-encoded path segment: a router would decode it
before it splits the path at its slashes.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import msgspec

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.simulator.facts import Property
from gsc_pipeline.simulator.wire.answers import MOST_ROWS_A_DAY, Answers, MetadataStyle
from gsc_pipeline.simulator.wire.authorization import ACCOUNTS
from gsc_pipeline.simulator.wire.incidents import INCIDENTS
from gsc_pipeline.simulator.wire.inspections import (
    DEFAULT_QUOTA,
    InspectionQuota,
    QuotaUsed,
    inspected_url,
    inspection,
)
from gsc_pipeline.simulator.wire.paging import STEADY_PAGING, Paging
from gsc_pipeline.simulator.wire.queries import Refusal, parse_query
from gsc_pipeline.simulator.wire.replies import Reply, google_error
from gsc_pipeline.simulator.wire.sitemaps import listed_sitemaps
from gsc_pipeline.simulator.wire.tokens import Tokens, parse_form

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MOST_CALLS_KEPT = 100_000
_FORMS = frozenset({"token", "consent", "revoke"})
_MAY_INSPECT = frozenset({"siteOwner", "siteFullUser"})
_LEAST_COMPRESSED_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Call:
    """A request.

    - `kind`: `token`, `sites`, `site`, `query`, `sitemaps`, `inspect`, `incidents`, `unknown`, and of the
      authorisation server `authorize`, `consent`, `revoke`
    - `site_url`: the property in the path, or in the body of `inspect`
    - `body`: the decoded JSON or form, for `authorize` the query; None if there is none or it is invalid
    - `subject`: whose access token it has (client e-mail, client id or account); None without a valid one
    - `at`: the simulator's time
    """

    method: str
    kind: str
    site_url: str | None
    body: Any
    subject: str | None
    at: datetime


Faults = Callable[[Call], Reply | None]
"""Called before every answer. A `Reply` replaces the true answer, or changes it if its body is None."""


class Simulator:
    """A Search Console with these properties that speaks Google's wire protocol: an ASGI app.

    `calls` lists the requests, oldest first; beyond 100,000 the older half is dropped. `faults`, `paging` and
    `google_news_device` (whether googleNews has the device dimension) may be changed while it serves, as may
    `incidents`, the document of Google's Search Status Dashboard at `/incidents.json`.
    `most_rows_a_day` is the cap of an answer: 50,000 rows a day like Google's, fewer for quick tests.
    `accounts` are the people who can sign in, by their addresses.
    """

    def __init__(
        self,
        properties: Iterable[Property],
        *,
        clock: Clock = utc_now,
        faults: Faults | None = None,
        metadata_style: MetadataStyle = "discovery",
        paging: Paging = STEADY_PAGING,
        google_news_device: bool = True,
        inspection_quota: InspectionQuota = DEFAULT_QUOTA,
        most_rows_a_day: int = MOST_ROWS_A_DAY,
        accounts: Sequence[str] = ACCOUNTS,
    ) -> None:
        self.calls: list[Call] = []
        self.faults = faults
        self.paging = paging
        self.google_news_device = google_news_device
        self.incidents = INCIDENTS
        self._clock = clock
        self._properties = {prop.site_url: prop for prop in properties}
        self._tokens = Tokens(clock, accounts)
        self._answers = Answers(metadata_style, most_rows_a_day)
        self._inspections = QuotaUsed(inspection_quota)

    @property
    def properties(self) -> tuple[Property, ...]:
        """The properties, in the order in which the API lists them."""
        return tuple(self._properties.values())

    def put(self, prop: Property) -> None:
        """Add a property, or replace the one with the same address. Its numbers change at once."""
        self._properties[prop.site_url] = prop
        self._answers.clear_caches()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = await _read(receive)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        call = self._call(scope, headers, body)
        self._record(call)
        fault = self.faults(call) if self.faults is not None else None
        if fault is not None and fault.seconds:
            await asyncio.sleep(fault.seconds)
        await _send(send, self._reply(call, fault), headers.get("accept-encoding", ""))

    def _call(self, scope: Scope, headers: Mapping[str, str], body: bytes) -> Call:
        kind, site_url = _parse_path(
            scope["method"], scope.get("raw_path", scope["path"].encode()).decode("ascii")
        )
        content: Any = None
        if kind in _FORMS:
            content = parse_form(body)
        elif kind == "authorize":
            content = parse_form(scope.get("query_string", b""))
        elif body:
            try:
                content = msgspec.json.decode(body)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                content = None
        if kind == "inspect" and isinstance(content, Mapping):
            site_url = str(content.get("siteUrl", "")) or None
        subject = self._tokens.subject(headers.get("authorization", ""))
        return Call(scope["method"], kind, site_url, content, subject, self._clock())

    def _record(self, call: Call) -> None:
        self.calls.append(call)
        if len(self.calls) > MOST_CALLS_KEPT:
            del self.calls[: MOST_CALLS_KEPT // 2]

    def _reply(self, call: Call, fault: Reply | None) -> Reply:
        if fault is not None and fault.body is not None:
            return fault
        true = self.true_answer(call)
        if fault is None:
            return true
        return Reply(true.status, true.body, {**true.headers, **fault.headers}, fault.cut_after)

    def true_answer(self, call: Call) -> Reply:
        """The answer without faults. A fault may call this to change it."""
        if call.kind == "unknown":
            return google_error(404, "notFound", "Not Found")
        if call.kind in _FORMS or call.kind == "authorize":
            return self._sign_in_answer(call)
        if call.kind == "incidents":
            return Reply(200, msgspec.json.encode(self.incidents))
        if call.subject is None:
            return google_error(
                401,
                "authError",
                "Request had invalid authentication credentials. Expected OAuth 2 access token.",
                location="Authorization",
                headers={"www-authenticate": 'Bearer realm="https://accounts.google.com/"'},
            )
        if call.kind == "sites":
            entries = [_entry(prop) for prop in self.properties if _may_see(prop, call.subject)]
            return Reply(200, {"siteEntry": entries} if entries else {})
        try:
            return self._answer_about_property(call, call.subject)
        except Refusal as refusal:
            return google_error(400, "invalidParameter", refusal.message, location=refusal.location)

    def _sign_in_answer(self, call: Call) -> Reply:
        match call.kind:
            case "authorize":
                return self._tokens.authorization.consent_page(call.body)
            case "consent":
                return self._tokens.authorization.decide(call.body)
            case "revoke":
                return self._tokens.authorization.revoke(call.body)
        return self._tokens.grant(call.body)

    def _answer_about_property(self, call: Call, subject: str) -> Reply:
        if call.kind == "inspect":
            return self._inspect(call, subject)
        prop = self._properties.get(call.site_url or "")
        if prop is None or not _may_see(prop, subject):
            return _no_permission(call.site_url)
        if call.kind == "site":
            return Reply(200, _entry(prop))
        if prop.permission_level == "siteUnverifiedUser":
            return _no_permission(call.site_url)
        if call.kind == "sitemaps":
            entries = listed_sitemaps(prop, call.at)
            return Reply(200, {"sitemap": entries} if entries else {})
        query = parse_query(call.body, google_news_device=self.google_news_device)
        return Reply(200, self._answers.answer(prop, query, call.at, self.paging))

    def _inspect(self, call: Call, subject: str) -> Reply:
        url = inspected_url(call.body)
        prop = self._properties.get(call.site_url or "")
        if prop is None or not _may_see(prop, subject) or prop.permission_level not in _MAY_INSPECT:
            message = "You do not own this site, or the inspected URL is not part of this property."
            return google_error(403, "forbidden", message)
        if (exceeded := self._inspections.spend(prop.site_url, call.at)) is not None:
            message = f"Quota exceeded for {prop.site_url}: {exceeded}"
            return google_error(429, "quotaExceeded", message, "usageLimits")
        return Reply(200, {"inspectionResult": inspection(prop, url, call.at)})


def _parse_path(method: str, raw_path: str) -> tuple[str, str | None]:
    """The kind of a request, and the property in its path."""
    match (method, raw_path.split("?")[0].strip("/").split("/")):
        case ("POST", ["token"] | ["oauth2", "v4", "token"] | ["o", "oauth2", "token"]):
            return "token", None
        case ("GET", ["o", "oauth2", "auth"] | ["o", "oauth2", "v2", "auth"]):
            return "authorize", None
        case ("POST", ["o", "oauth2", "consent"]):
            return "consent", None
        case ("POST", ["revoke"]):
            return "revoke", None
        case ("GET", ["incidents.json"]):
            return "incidents", None
        case ("GET", ["webmasters", "v3", "sites"]):
            return "sites", None
        case ("GET", ["webmasters", "v3", "sites", site]):
            return "site", unquote(site)
        case ("POST", ["webmasters", "v3", "sites", site, "searchAnalytics", "query"]):
            return "query", unquote(site)
        case ("GET", ["webmasters", "v3", "sites", site, "sitemaps"]):
            return "sitemaps", unquote(site)
        case ("POST", ["v1", "urlInspection", method_]) if unquote(method_) == "index:inspect":
            return "inspect", None
    return "unknown", None


def _entry(prop: Property) -> dict[str, str]:
    return {"siteUrl": prop.site_url, "permissionLevel": prop.permission_level}


def _may_see(prop: Property, subject: str) -> bool:
    return prop.readers is None or subject in prop.readers


def _no_permission(site_url: str | None) -> Reply:
    return google_error(403, "forbidden", f"User does not have sufficient permission for site '{site_url}'.")


async def _read(receive: Receive) -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _send(send: Send, reply: Reply, accepted: str) -> None:
    body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
    headers = {"content-type": "application/json; charset=UTF-8", "vary": "Origin, X-Origin, Referer"}
    given = {name.lower(): value for name, value in reply.headers.items()}
    if "gzip" in accepted and len(body) >= _LEAST_COMPRESSED_BYTES and "content-encoding" not in given:
        body = gzip.compress(body, compresslevel=1, mtime=0)
        headers["content-encoding"] = "gzip"
    headers |= given | {"content-length": str(len(body))}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    # When the body is not complete, the web server closes the connection in the middle of it.
    cut = reply.cut_after is not None and reply.cut_after < len(body)
    await send({"type": "http.response.body", "body": body[: reply.cut_after], "more_body": cut})
