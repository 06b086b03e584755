"""The token endpoint: it exchanges credentials for access tokens, and revokes them.

Signatures are not checked, because the simulator has no public keys. The expiry of an assertion is compared
with the real time, since google-auth signs with it; access tokens expire by the simulator's clock.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.simulator.wire.authorization import AuthorizationServer, Grant
from gsc_pipeline.simulator.wire.replies import Reply, token_error

LIFETIME = timedelta(seconds=3599)
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_SCOPE = "https://www.googleapis.com/auth/webmasters"
_MOST_TOKENS = 10_000


class Tokens:
    """Grants access tokens, and knows their subjects until they expire or are revoked."""

    def __init__(self, clock: Clock, accounts: Sequence[str]) -> None:
        self.authorization = AuthorizationServer(clock, accounts)
        self._clock = clock
        self._granted: dict[str, tuple[str, datetime, Grant | None]] = {}
        self._lock = Lock()

    def grant(self, form: Mapping[str, str]) -> Reply:
        """The token endpoint's answer to a posted form."""
        grant_type = form.get("grant_type")
        if grant_type is None:
            return token_error("invalid_request", "Required parameter is missing: grant_type")
        if grant_type == JWT_BEARER:
            return self._for_assertion(form.get("assertion", ""))
        if grant_type == "refresh_token":
            missing = [name for name in ("client_id", "client_secret", "refresh_token") if not form.get(name)]
            if missing:
                return token_error("invalid_request", f"Missing required parameter: {missing[0]}")
            granted = self.authorization.refresh(form)
            return self._token_for(form["client_id"]) if granted is None else self._for_grant(granted)
        if grant_type == "authorization_code":
            return self._for_grant(self.authorization.redeem(form), is_first=True)
        return token_error("unsupported_grant_type", f"Invalid grant_type: {grant_type}")

    def subject(self, authorization: str) -> str | None:
        """Who an `Authorization` header stands for: client e-mail, client id or account; None if invalid."""
        scheme, _, token = authorization.partition(" ")
        with self._lock:
            subject, expires, grant = self._granted.get(token.strip(), (None, None, None))
        if scheme.lower() != "bearer" or expires is None or self._clock() >= expires:
            return None
        if grant is not None and not (grant.scopes and self.authorization.is_granted(grant.refresh_token)):
            return None
        return subject

    def _for_assertion(self, assertion: str) -> Reply:
        parts = assertion.split(".")
        claims = _json_object(parts[1]) if len(parts) == 3 and _json_object(parts[0]) else None
        if claims is None or not parts[2]:
            return token_error("invalid_grant", "Bad JWT: three base64url parts with JSON were expected.")
        scopes = str(claims.get("scope", "")).split()
        if not isinstance(claims.get("iss"), str) or not claims["iss"]:
            return token_error("invalid_grant", "Invalid issuer: the claim iss names no client e-mail.")
        if not any(scope in (_SCOPE, f"{_SCOPE}.readonly") for scope in scopes):
            return token_error("invalid_grant", "Invalid scope: no webmasters scope among the claims.")
        expiry = claims.get("exp")
        if not isinstance(expiry, int | float) or expiry <= utc_now().timestamp():
            return token_error("invalid_grant", "Invalid JWT: exp must lie in the future.")
        return self._token_for(claims["iss"])

    def _for_grant(self, granted: Grant | Reply, *, is_first: bool = False) -> Reply:
        if isinstance(granted, Reply):
            return granted
        more = {"scope": " ".join(granted.scopes)}
        if is_first:
            more["refresh_token"] = granted.refresh_token
        return self._token_for(granted.account, granted, **more)

    def _token_for(self, subject: str, grant: Grant | None = None, **more: str) -> Reply:
        token = f"ya29.simulated-{secrets.token_urlsafe(32)}"
        now = self._clock()
        with self._lock:
            if len(self._granted) >= _MOST_TOKENS:
                self._granted = {t: kept for t, kept in self._granted.items() if kept[1] > now}
            self._granted[token] = (subject, now + LIFETIME, grant)
        seconds = int(LIFETIME.total_seconds())
        return Reply(200, {"access_token": token, "expires_in": seconds, "token_type": "Bearer", **more})


def parse_form(body: bytes) -> dict[str, str]:
    """The fields of a form. If a name occurs twice, the last value."""
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _json_object(part: str) -> dict[str, Any] | None:
    try:
        decoded = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None
