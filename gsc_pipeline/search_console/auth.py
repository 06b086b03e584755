"""Where a workspace's credential comes from, and the access tokens made from it, by google-auth.

Belongs here: reading keys, and one lock-guarded token per credential. Does not: which properties a
credential may read (`client`). No text made here holds a secret: errors name files and variables only.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import google.auth.credentials
import msgspec
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account

from gsc_pipeline.days import Clock
from gsc_pipeline.search_console.breaker import AlwaysClosed, Breaker
from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    classify,
    read_refusal,
)
from gsc_pipeline.search_console.json_answers import AnswerObject, decode_strictly
from gsc_pipeline.search_console.key_files import warn_of_others
from gsc_pipeline.search_console.transport import REFUSAL_BYTES, Response, Transport, without_secrets

SCOPE = "https://www.googleapis.com/auth/webmasters.readonly"
GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"

LONGEST_TOKEN_SECONDS = 7 * 86_400
"""A token that claims to last longer is none of Google's, whose tokens last an hour, or twelve at most."""


@dataclass(frozen=True, slots=True)
class ServiceAccountFile:
    """A service-account key in a JSON file, as Google issues it."""

    path: Path

    def __str__(self) -> str:
        return f"service-account file {self.path}"


@dataclass(frozen=True, slots=True)
class ServiceAccountEnvironment:
    """A service-account key whose JSON text is in the environment variable `name`."""

    name: str

    def __str__(self) -> str:
        return f"service-account key in the environment variable {self.name}"


@dataclass(frozen=True, slots=True)
class OAuthEnvironment:
    """An authorized-user file (refresh token) whose JSON text is in the environment variable `name`."""

    name: str

    def __str__(self) -> str:
        return f"OAuth credential in the environment variable {self.name}"


CredentialSource = ServiceAccountFile | ServiceAccountEnvironment | OAuthEnvironment


_OAUTH_FIELDS = ("refresh_token", "client_id", "client_secret", "token_uri")
_SERVICE_ACCOUNT_FIELDS = ("client_email", "private_key", "token_uri")


def load_credentials(source: CredentialSource) -> google.auth.credentials.Credentials:
    """Read the credential. Raises CredentialUnusableError where it is missing or is not a key."""
    info = _key(source)
    fields = _OAUTH_FIELDS if isinstance(source, OAuthEnvironment) else _SERVICE_ACCOUNT_FIELDS
    lacking = [field for field in fields if not (isinstance(info.get(field), str) and info[field])]
    if lacking:
        raise CredentialUnusableError(f"{source} lacks {', '.join(lacking)}")
    if isinstance(source, OAuthEnvironment):
        # No scopes: asked for readonly, Google refuses a token that was granted the wider scope only.
        return user_credentials.Credentials(  # type: ignore[no-untyped-call]
            token=None,
            refresh_token=info["refresh_token"],
            client_id=info["client_id"],
            client_secret=info["client_secret"],
            token_uri=info["token_uri"],
        )
    try:
        credentials = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            info, scopes=[SCOPE]
        )
        # A private key of another kind than RSA is only found out by signing.
        credentials.sign_bytes(b"")
    except (ValueError, TypeError, GoogleAuthError):
        # The library's own text may quote the key, so it is not passed on.
        raise CredentialUnusableError(f"{source} holds no usable private key") from None
    return credentials  # type: ignore[no-any-return]


def token_uri_of(source: CredentialSource) -> str:
    """The token endpoint that the key names. Raises CredentialUnusableError where there is no key."""
    return str(_key(source)["token_uri"])


class _Token(AnswerObject, kw_only=True):
    # Visible ASCII, as it becomes a part of a header.
    access_token: Annotated[str, msgspec.Meta(max_length=REFUSAL_BYTES, pattern=r"^[!-~]+\Z")]
    expires_in: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_TOKEN_SECONDS)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    # Of OAuth users only, where the endpoint hands out another one with each token.
    refresh_token: Annotated[str, msgspec.Meta(min_length=1)] | msgspec.UnsetType = msgspec.UNSET


_TOKEN = msgspec.json.Decoder(_Token, strict=False)


class TokenSource:
    """The `Authorization` header of one credential, renewed when it is due. Safe for many threads.

    Every request to the token endpoint passes the breaker that `breaker_at` has for its address.
    """

    def __init__(
        self,
        source: CredentialSource,
        transport: Transport,
        clock: Clock,
        breaker_at: Callable[[str], Breaker] | None = None,
    ) -> None:
        self._source = source
        self._transport = transport
        self._clock = clock
        self._breaker_at = breaker_at or (lambda token_uri: AlwaysClosed())
        self._lock = threading.Lock()
        self._credentials: google.auth.credentials.Credentials | None = None

    def header(self) -> str:
        """`Bearer …`. Raises CredentialError when the credential is dead, TransientError when unreachable."""
        with self._lock:
            if self._credentials is None:
                self._credentials = load_credentials(self._source)
            if not self._credentials.valid:
                self._refresh(self._credentials)
            return f"Bearer {self._credentials.token}"

    def user(self) -> str:
        """What Google counts this credential's calls under, hashed: nobody learns the credential from it.

        Workspaces that share a service account share its quota, whichever key they were given. Raises
        CredentialError when there is no credential to name.
        """
        with self._lock:
            if self._credentials is None:
                self._credentials = load_credentials(self._source)
            return _user(self._credentials)

    def renew(self, refused_header: str) -> None:
        """Make a new token unless another thread has done so since `refused_header` was handed out."""
        with self._lock:
            if self._credentials is not None and refused_header == f"Bearer {self._credentials.token}":
                self._refresh(self._credentials)

    def _refresh(self, credentials: google.auth.credentials.Credentials) -> None:
        credentials.refresh(self._guarded)  # type: ignore[no-untyped-call]

    def _guarded(self, url: str, *args: Any, **kwargs: Any) -> Response:
        with self._breaker_at(url).guard():
            return self._ask(url, *args, **kwargs)

    def _ask(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The transport google-auth calls. Raises our own errors instead of handing over a refusal.

        google-auth's own handling repeats refused calls with waits that nobody can set, forgets the status
        and Retry-After, and trips over an answer that is no JSON.
        """
        whom = f"the token endpoint {without_secrets(url)}"
        response = self._transport.send(
            method, url, body=body, headers=headers or {}, whom=whom, answer_bytes=REFUSAL_BYTES
        )
        if response.status != 200:
            refusal = read_refusal(response.status, response.headers, response.data)
            error = classify(replace(refusal, at_token_endpoint=True), self._clock())
            if isinstance(error, CredentialUnusableError):
                raise CredentialUnusableError(f"{self._source}: {error.cause}")
            raise error
        token = decode_strictly(_TOKEN, response.data, f"the token in the answer of {whom}")
        # google-auth reads it once more, in another way: it fails on bytes that are not looked at here.
        return replace(response, data=msgspec.json.encode(token))


def _user(credentials: Any) -> str:
    if isinstance(credentials, user_credentials.Credentials):
        name = f"{credentials.client_id} {credentials.refresh_token}"
    else:
        name = credentials.service_account_email
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _key(source: CredentialSource) -> dict[str, Any]:
    return {"token_uri": GOOGLE_TOKEN_URI} | _json_object(source, _text(source))


def _text(source: CredentialSource) -> str:
    if isinstance(source, ServiceAccountFile):
        warn_of_others(source.path)
        try:
            return source.path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            cause = error.strerror if isinstance(error, OSError) else "not text"
            raise CredentialUnusableError(f"{source} cannot be read ({cause})") from None
    text = os.environ.get(source.name)
    if not text:
        raise CredentialUnusableError(f"{source}: the variable is not set, or empty")
    return text


def _json_object(source: CredentialSource, text: str) -> dict[str, Any]:
    try:
        info = json.loads(text)
    except ValueError:
        info = None
    if not isinstance(info, dict):
        raise CredentialUnusableError(f"{source} is not a JSON key as Google issues it")
    return info
