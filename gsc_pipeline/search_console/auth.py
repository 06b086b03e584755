"""Reads a workspace's credential and gets access tokens for it, with google-auth.

Errors and log lines name files and environment variables only. Keys and tokens are masked in all other text.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import re
import shlex
import stat
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import parse_qsl

import google.auth.credentials
import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.auth.credentials import DEFAULT_UNIVERSE_DOMAIN
from google.auth.crypt import RSASigner
from google.oauth2 import service_account

from gsc_pipeline.days import Clock
from gsc_pipeline.search_console.breakers import SharedBreaker
from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    InvalidGrantError,
    TokenEndpointError,
    classify,
    printable,
    read_refusal,
)
from gsc_pipeline.search_console.json_answers import AnswerObject, decode_strictly
from gsc_pipeline.search_console.transport import REFUSAL_BYTES, Response, Transport, without_secrets
from gsc_pipeline.search_console.unanswered import CallId
from gsc_pipeline.text.addresses import host_of, is_loopback
from gsc_pipeline.text.secrets import keep

log = logging.getLogger(__name__)

SCOPE = "https://www.googleapis.com/auth/webmasters.readonly"
GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"

LONGEST_TOKEN_SECONDS = 7 * 86_400
"""The longest lifetime that is accepted. Google's tokens last an hour, at most twelve."""

SHORTEST_TOKEN_SECONDS = 300
"""A token that claims a shorter lifetime is used as if it had this one, or until it is refused. google-auth
renews a token 225 seconds early, so it would request one for every call."""

KEY_FILE_BYTES = 64 * 1024
"""The largest key file that is read. Google's have 2,400 bytes."""


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
class OAuthFile:
    """An authorized-user file (refresh token), as `gsc login` writes it."""

    path: Path

    def __str__(self) -> str:
        return f"OAuth file {self.path}"

    @property
    def sign_in(self) -> str:
        """How to get a new refresh token."""
        return f"gsc login --out {shlex.quote(str(self.path))}"


@dataclass(frozen=True, slots=True)
class OAuthEnvironment:
    """An authorized-user file (refresh token) whose JSON text is in the environment variable `name`."""

    name: str

    def __str__(self) -> str:
        return f"OAuth credential in the environment variable {self.name}"

    @property
    def sign_in(self) -> str:
        """How to get a new refresh token."""
        return f"gsc login --client FILE --out FILE, and put the text of its file into {self.name}"


OAuthSource = OAuthFile | OAuthEnvironment
CredentialSource = ServiceAccountFile | ServiceAccountEnvironment | OAuthSource


@dataclass(frozen=True, slots=True)
class TokenEndpoints:
    """The token endpoints that credentials may be sent to: Google's, and those in `listed`.

    `loopback` adds those on this machine, for simulators.
    """

    listed: Collection[str] = ()
    loopback: bool = False

    def check(self, source: object, address: str) -> None:
        """Raise TokenEndpointError if the credential may not be sent to the address."""
        if _GOOGLE.fullmatch(address) or address in self.listed:
            return
        if self.loopback and is_loopback(address):
            return
        host = printable(host_of(address), 100) or "an invalid address"
        raise TokenEndpointError(
            f"{source} names a token_uri at {host}, which is neither Google's nor in GSC_TOKEN_URIS"
        )


_GOOGLE = re.compile(
    r"https://(oauth2\.googleapis\.com/token|accounts\.google\.com/o/oauth2/token"
    r"|www\.googleapis\.com/oauth2/v\d/token)"
)
_OTHER_READERS = stat.S_IRGRP | stat.S_IROTH
_OAUTH_FIELDS = ("refresh_token", "client_id", "client_secret", "token_uri")
_SERVICE_ACCOUNT_FIELDS = ("client_email", "private_key", "token_uri")
_SECRET_FIELDS = ("private_key", "refresh_token", "client_secret", "assertion", "code", "code_verifier")
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_PEM_LINE = re.compile(r"-----[^-]*-----")


def read_key(source: CredentialSource) -> dict[str, Any]:
    """The content of a credential. Raises CredentialUnusableError if a field is missing. Tries no key."""
    info = _key(source)
    fields = _OAUTH_FIELDS if isinstance(source, OAuthSource) else _SERVICE_ACCOUNT_FIELDS
    missing = [field for field in fields if not (isinstance(info.get(field), str) and info[field])]
    if missing:
        raise CredentialUnusableError(f"{source} lacks {', '.join(missing)}")
    keep(*(_PEM_LINE.sub("", info[field]) for field in fields if field in _SECRET_FIELDS))
    return info


def load_credentials(source: CredentialSource) -> google.auth.credentials.Credentials:
    """Read the credential. Raises CredentialUnusableError if it is missing or is not a key."""
    info = read_key(source)
    if isinstance(source, OAuthSource):
        from google.oauth2 import credentials as user_credentials

        # Without scopes: Google refuses to narrow a refresh token that was granted only the wider scope.
        return user_credentials.Credentials(  # type: ignore[no-untyped-call]
            token=None,
            refresh_token=info["refresh_token"],
            client_id=info["client_id"],
            client_secret=info["client_secret"],
            token_uri=info["token_uri"],
        )
    try:
        # google-auth would let cryptography validate the key's primes: 40 ms of CPU, more than the rest of a
        # sync without changes. A signature shows whether the key works.
        key = load_pem_private_key(info["private_key"].encode(), None, unsafe_skip_rsa_key_validation=True)
        signer = RSASigner(key, key_id=info.get("private_key_id"))  # type: ignore[no-untyped-call]
        public_key = cast(RSAPrivateKey, key).public_key()
        public_key.verify(signer.sign(b""), b"", PKCS1v15(), SHA256())
    except (ValueError, TypeError, AttributeError, InvalidSignature, UnsupportedAlgorithm):
        # The library's error may quote the key.
        raise CredentialUnusableError(f"{source} holds no usable private key") from None
    return service_account.Credentials(  # type: ignore[no-untyped-call]
        signer,
        info["client_email"],
        info["token_uri"],
        scopes=[SCOPE],
        universe_domain=info.get("universe_domain", DEFAULT_UNIVERSE_DOMAIN),
    )


def source_in(path: Path) -> ServiceAccountFile | OAuthFile:
    """The credential in a file: a service account's key, or what `gsc login` wrote.

    Raises CredentialUnusableError if it is neither.
    """
    is_user = "refresh_token" in read_json_file(f"key file {path}", path)
    source = OAuthFile(path) if is_user else ServiceAccountFile(path)
    read_key(source)
    return source


def account_of(source: CredentialSource) -> str:
    """Whom to add as a user in Search Console. Raises CredentialUnusableError if the key cannot be read."""
    return str(read_key(source).get("client_email", "the account that signed in"))


def token_uri_of(source: CredentialSource) -> str:
    """The token endpoint in the key. Raises CredentialUnusableError if the key cannot be read."""
    return str(_key(source)["token_uri"])


class Token(AnswerObject, kw_only=True):
    """The answer of a token endpoint."""

    # Visible ASCII, because it becomes part of a header.
    access_token: Annotated[str, msgspec.Meta(max_length=REFUSAL_BYTES, pattern=r"^[!-~]+\Z")]
    expires_in: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_TOKEN_SECONDS)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    # Only for OAuth users: after the sign-in, and if the endpoint rotates refresh tokens.
    refresh_token: Annotated[str, msgspec.Meta(min_length=1)] | msgspec.UnsetType = msgspec.UNSET
    # Only for OAuth users: separated by spaces.
    scope: str | msgspec.UnsetType = msgspec.UNSET


_TOKEN = msgspec.json.Decoder(Token, strict=False)


def request_token(
    transport: Transport,
    url: str,
    body: bytes,
    *,
    now: datetime,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Token:
    """Send a form to a token endpoint. Its secrets and the tokens of the answer are masked from now on.

    Raises the error of a refusal (`classify`), or the error of an answer that is not a token.
    """
    endpoint = f"the token endpoint {without_secrets(url)}"
    sent = dict(parse_qsl(body.decode()))
    keep(*(sent[field] for field in _SECRET_FIELDS if field in sent))
    response = transport.send(
        method, url, body=body, headers=headers or _FORM, server=endpoint, answer_bytes=REFUSAL_BYTES
    )
    if response.status != 200:
        refusal = read_refusal(response.status, response.headers, response.data, now)
        raise classify(replace(refusal, at_token_endpoint=True), now)
    token = decode_strictly(_TOKEN, response.data, f"the token in the answer of {endpoint}")
    keep(token.access_token, token.refresh_token or "")
    return token


class TokenSource:
    """The access token of one credential, refreshed when it expires. Thread-safe.

    Every request to a token endpoint passes the breaker that `breaker_at` returns for its URL, if given. The
    credential is sent only to `endpoints`.
    """

    def __init__(
        self,
        source: CredentialSource,
        transport: Transport,
        clock: Clock,
        breaker_at: Callable[[str], SharedBreaker] | None = None,
        endpoints: TokenEndpoints = TokenEndpoints(),
    ) -> None:
        self._source = source
        self._endpoints = endpoints
        self._transport = transport
        self._clock = clock
        self._breaker_at = breaker_at
        self._lock = threading.Lock()
        self._credentials: google.auth.credentials.Credentials | None = None

    def header(self, *, is_retry: bool = False) -> str:
        """The `Authorization` header; `is_retry` if the call that needs it has failed before.

        Raises CredentialError or TransientError.
        """
        with self._lock:
            if self._credentials is None:
                self._credentials = load_credentials(self._source)
            if not self._credentials.valid:
                self._refresh(self._credentials, is_retry=is_retry)
            return f"Bearer {self._credentials.token}"

    def user(self) -> str:
        """A hash that identifies the user whose quota this credential's calls count against.

        All keys of a service account share its quota. Raises CredentialError if the credential cannot be
        read.
        """
        with self._lock:
            if self._credentials is None:
                self._credentials = load_credentials(self._source)
            return _user(self._credentials)

    def renew(self, refused_header: str) -> None:
        """Refresh the token, unless another thread has done so since it returned `refused_header`."""
        with self._lock:
            if self._credentials is not None and refused_header == f"Bearer {self._credentials.token}":
                self._refresh(self._credentials)

    def _refresh(self, credentials: google.auth.credentials.Credentials, *, is_retry: bool = False) -> None:
        call = CallId(_user(credentials), "token")

        def ask(url: str, *args: Any, **kwargs: Any) -> Response:
            self._endpoints.check(self._source, url)
            with self._breaker_at(url).guard(call, is_retry=is_retry) if self._breaker_at else nullcontext():
                return self._ask(url, *args, **kwargs)

        credentials.refresh(ask)  # type: ignore[no-untyped-call]

    def _ask(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The transport for google-auth. Raises our own errors instead of returning a refusal.

        google-auth would retry refused calls with fixed waits, drop the status and Retry-After, and fail on
        an answer that is not JSON.
        """
        try:
            token = request_token(
                self._transport, url, body or b"", now=self._clock(), method=method, headers=headers
            )
        except InvalidGrantError as error:
            again = f"sign in again: {self._source.sign_in}" if isinstance(self._source, OAuthSource) else ""
            raise InvalidGrantError(f"{self._source}: {error.cause}", again) from None
        except CredentialUnusableError as error:
            raise CredentialUnusableError(f"{self._source}: {error.cause}") from None
        if token.expires_in is not msgspec.UNSET:
            token.expires_in = max(token.expires_in, SHORTEST_TOKEN_SECONDS)
        # google-auth decodes it again and fails on bytes that our decoder skips, so pass only the token on.
        return Response(200, {}, msgspec.json.encode(token))


def _user(credentials: Any) -> str:
    if isinstance(credentials, service_account.Credentials):
        name = credentials.service_account_email
    else:
        name = f"{credentials.client_id} {credentials.refresh_token}"
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _key(source: CredentialSource) -> dict[str, Any]:
    return {"token_uri": GOOGLE_TOKEN_URI} | _json_object(source, _text(source))


def _text(source: CredentialSource) -> str:
    if isinstance(source, ServiceAccountFile | OAuthFile):
        return _text_of_file(source, source.path)
    text = os.environ.get(source.name)
    if not text:
        raise CredentialUnusableError(f"{source}: the variable is not set or is empty")
    return text


def read_json_file(what: object, path: Path) -> dict[str, Any]:
    """The JSON object in a file with secrets; errors call it `what`. Raises CredentialUnusableError."""
    return _json_object(what, _text_of_file(what, path))


def _text_of_file(what: object, path: Path) -> str:
    try:
        text = _content(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        not_text = isinstance(error, UnicodeDecodeError)
        cause = "not text" if not_text else getattr(error, "strerror", None) or error
        raise CredentialUnusableError(f"{what} cannot be read ({cause})") from None
    _warn_of_other_readers(path)
    return text


def _content(path: Path) -> bytes:
    """The bytes of a key file. Raises ValueError if it is not a regular file or too large.

    Opening or reading a pipe would wait for ever, and some devices have no end.
    """
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        content = file.read(KEY_FILE_BYTES + 1)
    if len(content) > KEY_FILE_BYTES:
        raise ValueError(f"larger than {KEY_FILE_BYTES // 1024} KB")
    return content


def other_readers(path: Path) -> int:
    """The mode of a file that its group or others may read; 0 if they may not, and on Windows."""
    if os.name != "posix":
        return 0
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0
    return mode if mode & _OTHER_READERS else 0


@functools.cache
def _warn_of_other_readers(path: Path) -> None:
    """Log a warning, once per process, if the file's group or others may read it."""
    if mode := other_readers(path):
        log.warning(
            "the key file %s can be read by other users (mode %03o): run chmod 600 %s",
            path,
            mode,
            shlex.quote(str(path)),
            extra={"event": "key_file.readable_by_others", "key_file": str(path), "mode": f"{mode:03o}"},
        )


def _json_object(what: object, text: str) -> dict[str, Any]:
    try:
        info = json.loads(text)
    except ValueError:
        info = None
    if not isinstance(info, dict):
        raise CredentialUnusableError(f"{what} is not a JSON key as Google issues it")
    return info
