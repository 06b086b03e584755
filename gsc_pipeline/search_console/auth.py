"""Where a workspace's credential comes from, and the access tokens made from it, by google-auth.

Belongs here: reading keys, and one lock-guarded token per credential. Does not: which properties a
credential may read (`client`). No text made here holds a secret: errors name files and variables only.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.auth.credentials
import urllib3
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.auth.transport.urllib3 import Request as Urllib3Request
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account

from gsc_pipeline.days import Clock
from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    Refusal,
    ServiceUnavailableError,
    classify,
)

SCOPE = "https://www.googleapis.com/auth/webmasters.readonly"
GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"


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


def load_credentials(source: CredentialSource) -> google.auth.credentials.Credentials:
    """Read the credential. Raises CredentialUnusableError where it is missing or is not a key."""
    info = _json_object(source, _text(source))
    try:
        if isinstance(source, OAuthEnvironment):
            return user_credentials.Credentials(  # type: ignore[no-untyped-call]
                token=None,
                refresh_token=info["refresh_token"],
                client_id=info["client_id"],
                client_secret=info["client_secret"],
                token_uri=info.get("token_uri", GOOGLE_TOKEN_URI),
                scopes=[SCOPE],
            )
        return service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call,no-any-return]
            info, scopes=[SCOPE]
        )
    except KeyError as error:
        raise CredentialUnusableError(f"{source} lacks the field {error}") from None
    except (ValueError, TypeError, GoogleAuthError):
        # The library's own text may quote the key, so it is not passed on.
        raise CredentialUnusableError(f"{source} is not a usable key") from None


class TokenSource:
    """The `Authorization` header of one credential, renewed when it is due. Safe for many threads."""

    def __init__(self, source: CredentialSource, http: urllib3.PoolManager, clock: Clock) -> None:
        self._source = source
        self._http = http
        self._clock = clock
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

    def renew(self, refused_header: str) -> None:
        """Make a new token unless another thread has done so since `refused_header` was handed out."""
        with self._lock:
            if self._credentials is not None and refused_header == f"Bearer {self._credentials.token}":
                self._refresh(self._credentials)

    def _refresh(self, credentials: google.auth.credentials.Credentials) -> None:
        request = Urllib3Request(self._http)  # type: ignore[no-untyped-call]
        try:
            credentials.refresh(request)  # type: ignore[no-untyped-call]
        except RefreshError as error:
            raise self._refusal(error) from None
        except TransportError as error:
            raise ServiceUnavailableError(f"no answer from the token endpoint ({error})") from None

    def _refusal(self, error: RefreshError) -> Exception:
        details: Any = error.args[1] if len(error.args) > 1 else {}
        word = details.get("error") if isinstance(details, dict) else None
        if error.retryable or not isinstance(word, str):
            return ServiceUnavailableError("the token endpoint gave no usable answer")
        refusal = Refusal(
            400, str(details.get("error_description") or ""), frozenset({word}), at_token_endpoint=True
        )
        refused = classify(refusal, self._clock())
        return type(refused)(f"{self._source}: {refused.cause}")


def _text(source: CredentialSource) -> str:
    if isinstance(source, ServiceAccountFile):
        try:
            return source.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            cause = error.strerror if isinstance(error, OSError) else "not text"
            raise CredentialUnusableError(f"{source} cannot be read ({cause})") from None
    text = os.environ.get(source.name)
    if not text:
        raise CredentialUnusableError(f"{source}: the variable is not set")
    return text


def _json_object(source: CredentialSource, text: str) -> dict[str, Any]:
    try:
        info = json.loads(text)
    except ValueError:
        info = None
    if not isinstance(info, dict):
        raise CredentialUnusableError(f"{source} is not a JSON key as Google issues it")
    return info
