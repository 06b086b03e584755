"""The authorisation server: a consent page, authorisation codes with PKCE, refresh tokens, revocation.

It follows RFC 6749, RFC 7636 and RFC 8252 for an installed app. Unlike Google's it requires PKCE with S256.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from threading import Lock
from urllib.parse import urlencode

from gsc_pipeline.days import Clock
from gsc_pipeline.simulator.wire.replies import Reply, token_error

CLIENT_ID = "simulated.apps.googleusercontent.com"
CLIENT_SECRET = "simulated-secret"
"""The one OAuth client that the server knows."""

ACCOUNTS = ("analyst@example.com",)
SCOPES = (
    "https://www.googleapis.com/auth/webmasters.readonly",
    "https://www.googleapis.com/auth/webmasters",
)
CODE_LIFETIME = timedelta(minutes=10)
CONSENT_PATH = "/o/oauth2/consent"

_ISSUED = "1//simulated-grant-"
"""How refresh tokens of this server begin. The token endpoint takes any other for one of the client."""

_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?(/[!\x22$-~]*)?")
_CHALLENGE = re.compile(r"[\w-]{43}")
_VERIFIER = re.compile(r"[\w.~-]{43,128}")
_REVOKED = "Token has been expired or revoked."


@dataclass(frozen=True, slots=True)
class _Request:
    """What the consent page is shown for, and later what a code stands for."""

    redirect_uri: str
    state: str
    challenge: str
    scopes: tuple[str, ...]
    account: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a code or refresh token gives: an account's data within the scopes."""

    account: str
    scopes: tuple[str, ...]
    refresh_token: str


class AuthorizationServer:
    """Asks one of `accounts` for consent and issues codes and refresh tokens. Thread-safe."""

    def __init__(self, clock: Clock, accounts: Sequence[str]) -> None:
        self._clock = clock
        self._accounts = tuple(accounts)
        self._lock = Lock()
        self._asked: dict[str, _Request] = {}
        self._codes: dict[str, _Request] = {}
        self._redeemed: dict[str, str] = {}
        self._grants: dict[str, Grant] = {}

    def consent_page(self, query: Mapping[str, str]) -> Reply:
        """The answer to a browser that was sent to the authorisation endpoint."""
        redirect_uri, state = query.get("redirect_uri", ""), query.get("state", "")
        if query.get("client_id") != CLIENT_ID:
            return _page(400, "<h1>Error 401: invalid_client</h1><p>The OAuth client was not found.</p>")
        if not _LOOPBACK.fullmatch(redirect_uri):
            return _page(400, "<h1>Error 400: redirect_uri_mismatch</h1>")
        if query.get("response_type") != "code":
            return _redirect(redirect_uri, error="unsupported_response_type", state=state)
        scopes = tuple(query.get("scope", "").split())
        if not scopes or not set(scopes) <= set(SCOPES):
            return _redirect(redirect_uri, error="invalid_scope", state=state)
        challenge = query.get("code_challenge", "")
        if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
            return _redirect(redirect_uri, error="invalid_request", state=state)
        asked = secrets.token_urlsafe(16)
        with self._lock:
            self._asked[asked] = _Request(redirect_uri, state, challenge, scopes)
        return _page(200, self._form(asked, scopes))

    def decide(self, form: Mapping[str, str]) -> Reply:
        """The answer to the consent page's form: a redirect with a code, or with an error."""
        with self._lock:
            request = self._asked.pop(form.get("request", ""), None)
        if request is None:
            return _page(400, "<h1>This page was used before.</h1>")
        account = form.get("account", "")
        if form.get("decision") != "allow" or account not in self._accounts:
            return _redirect(request.redirect_uri, error="access_denied", state=request.state)
        scopes = request.scopes if form.get("consent") else ()
        code = f"4/0simulated-{secrets.token_urlsafe(32)}"
        with self._lock:
            self._codes[code] = _Request(
                request.redirect_uri,
                request.state,
                request.challenge,
                scopes,
                account,
                self._clock() + CODE_LIFETIME,
            )
        return _redirect(request.redirect_uri, state=request.state, code=code, scope=" ".join(scopes))

    def redeem(self, form: Mapping[str, str]) -> Grant | Reply:
        """The grant of an authorisation code, or the refusal. Any attempt uses the code up.

        If a code is used twice, what it granted is revoked (RFC 6749, section 4.1.2).
        """
        if (refusal := _client_refusal(form)) is not None:
            return refusal
        code = form.get("code", "")
        with self._lock:
            request = self._codes.pop(code, None)
            if code in self._redeemed:
                self._grants.pop(self._redeemed[code], None)
            if request is None or request.until is None or self._clock() >= request.until:
                return token_error("invalid_grant", "Malformed auth code.")
            if form.get("redirect_uri") != request.redirect_uri:
                return token_error("redirect_uri_mismatch", "Bad Request")
            if not _proves(form.get("code_verifier", ""), request.challenge):
                return token_error("invalid_grant", "Invalid code verifier.")
            token = f"{_ISSUED}{secrets.token_urlsafe(32)}"
            self._redeemed[code] = token
            self._grants[token] = Grant(request.account, request.scopes, token)
            return self._grants[token]

    def refresh(self, form: Mapping[str, str]) -> Grant | Reply | None:
        """The grant of a refresh token, or the refusal; None if it is none of this server's."""
        token = form["refresh_token"]
        if not token.startswith(_ISSUED):
            return None
        if (refusal := _client_refusal(form)) is not None:
            return refusal
        with self._lock:
            return self._grants.get(token) or token_error("invalid_grant", _REVOKED)

    def revoke(self, form: Mapping[str, str]) -> Reply:
        """The revocation endpoint's answer. The grant ends at once."""
        with self._lock:
            if self._grants.pop(form.get("token", ""), None) is None:
                return token_error("invalid_token", "Token expired or revoked")
        return Reply(200, {})

    def is_granted(self, refresh_token: str) -> bool:
        """Whether the refresh token is one of this server's that was not revoked."""
        with self._lock:
            return refresh_token in self._grants

    def _form(self, asked: str, scopes: Sequence[str]) -> str:
        accounts = "".join(
            f'<p><label><input type="radio" name="account" value="{escape(account)}"'
            f"{' checked' if account == self._accounts[0] else ''}> {escape(account)}</label></p>"
            for account in self._accounts
        )
        return (
            "<h1>Sign in</h1><p>gsc_pipeline wants to access an account of the simulator.</p>"
            f'<form method="post" action="{CONSENT_PATH}">'
            f'<input type="hidden" name="request" value="{asked}">{accounts}'
            '<p><label><input type="checkbox" name="consent" value="yes" checked> '
            f"See Search Console data ({escape(' '.join(scopes))})</label></p>"
            '<button name="decision" value="allow">Allow</button> '
            '<button name="decision" value="deny">Cancel</button></form>'
        )


def _client_refusal(form: Mapping[str, str]) -> Reply | None:
    if form.get("client_id") != CLIENT_ID:
        return token_error("invalid_client", "The OAuth client was not found.")
    if form.get("client_secret") != CLIENT_SECRET:
        return token_error("invalid_client", "The provided client secret is invalid.")
    return None


def _proves(verifier: str, challenge: str) -> bool:
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return bool(_VERIFIER.fullmatch(verifier)) and hmac.compare_digest(digest, challenge)


def _redirect(address: str, **parameters: str) -> Reply:
    separator = "&" if "?" in address else "?"
    return Reply(302, b"", {"location": f"{address}{separator}{urlencode(parameters)}"})


def _page(status: int, body: str) -> Reply:
    html = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title>{body}</html>'
    return Reply(status, html.encode(), {"content-type": "text/html; charset=utf-8"})
