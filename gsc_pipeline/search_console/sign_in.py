"""Signs a person in with Google: OAuth for installed apps, with PKCE and a redirect to this machine.

google-auth-oauthlib makes the authorisation request: address, state and PKCE challenge. The code is exchanged
over this project's transport, which has limits, honours proxies and masks secrets.
"""

from __future__ import annotations

import hmac
import json
import re
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
from google_auth_oauthlib.flow import Flow

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.search_console.auth import (
    GOOGLE_TOKEN_URI,
    SCOPE,
    TokenEndpoints,
    read_json_file,
    request_token,
)
from gsc_pipeline.search_console.errors import CredentialUnusableError, SearchConsoleError, printable
from gsc_pipeline.search_console.transport import Transport
from gsc_pipeline.text.files import PRIVATE, replace
from gsc_pipeline.text.secrets import keep

GOOGLE_AUTH_URI = "https://accounts.google.com/o/oauth2/auth"
_GOOGLE = re.compile(r"https://accounts\.google\.com/o/oauth2/(v2/)?auth")

_WIDER_SCOPE = SCOPE.removesuffix(".readonly")
_CODE = re.compile(r"[!-~]{1,2048}")


class SignInError(PipelineError):
    """The sign-in failed. Nothing was written."""


class ForeignRedirectError(SignInError):
    """A redirect that does not belong to this sign-in, or comes a second time. The sign-in continues."""


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """The user's own OAuth client, of the type Desktop app. Google does not treat its secret as one."""

    client_id: str
    client_secret: str = field(repr=False)
    auth_uri: str
    token_uri: str


def is_client_file(path: Path) -> bool:
    """Whether the file holds an OAuth client, and so no credential. Raises CredentialUnusableError."""
    return bool({"installed", "web"} & read_json_file(f"key file {path}", path).keys())


def read_client(path: Path, endpoints: TokenEndpoints) -> OAuthClient:
    """The client in Google's file for it, or in the file of an earlier sign-in.

    Raises CredentialUnusableError if it is neither, TokenEndpointError if the client is not Google's.
    """
    source = f"OAuth client file {path}"
    document = read_json_file(source, path)
    if "web" in document:
        raise CredentialUnusableError(
            f"{source} is a client of the type Web application: create one of the type Desktop app"
        )
    info = document.get("installed", document)
    names = ("client_id", "client_secret")
    if not isinstance(info, dict) or not all(isinstance(info.get(name), str) for name in names):
        raise CredentialUnusableError(f"{source} holds no OAuth client as Google issues it")
    client = OAuthClient(
        info["client_id"],
        info["client_secret"],
        str(info.get("auth_uri") or GOOGLE_AUTH_URI),
        str(info.get("token_uri") or GOOGLE_TOKEN_URI),
    )
    endpoints.check(source, client.token_uri)
    if not _GOOGLE.fullmatch(client.auth_uri) and _origin(client.auth_uri) != _origin(client.token_uri):
        raise CredentialUnusableError(
            f"{source} names an auth_uri that is neither Google's nor its token_uri's"
        )
    keep(client.client_secret)
    return client


class SignIn:
    """One sign-in with a client: the address to open, and what comes back. Thread-safe."""

    def __init__(self, client: OAuthClient, redirect_uri: str) -> None:
        self._client = client
        self._redirect_uri = redirect_uri
        config = {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            # The library accepts https:// only. A simulator's address takes its place below.
            "auth_uri": GOOGLE_AUTH_URI,
            "token_uri": GOOGLE_TOKEN_URI,
        }
        flow: Any = Flow.from_client_config({"installed": config}, [SCOPE], redirect_uri=redirect_uri)
        # Google gives a refresh token only with consent, and a choice of accounts only where it is asked for.
        made, self._state = flow.authorization_url(prompt="consent select_account")
        self.address = f"{client.auth_uri}?{urlsplit(made).query}"
        self._verifier: str = flow.code_verifier
        self._lock = threading.Lock()
        self._is_answered = False
        keep(self._verifier)

    def code_of(self, redirected: str) -> str:
        """The code in the address that the browser was redirected to.

        Raises ForeignRedirectError for a wrong state or a second answer, SignInError if it was refused.
        """
        try:
            query = parse_qs(urlsplit(redirected).query)
            states, codes = query.get("state", []), query.get("code", [])
            is_ours = len(states) == 1 and hmac.compare_digest(states[0].encode(), self._state.encode())
        except ValueError:
            # Not a URL, such as http://[, or bytes of a terminal that are not text.
            is_ours = False
        if not is_ours:
            raise ForeignRedirectError("this address does not belong to this sign-in: its state differs")
        with self._lock:
            if self._is_answered:
                raise ForeignRedirectError("this sign-in has had its answer")
            self._is_answered = True
        if errors := query.get("error"):
            raise SignInError(_refusal(errors[0]))
        if len(codes) != 1 or not _CODE.fullmatch(codes[0]):
            raise SignInError("the address holds no code: sign in again")
        keep(codes[0])
        return codes[0]

    def code_typed(self, text: str) -> str:
        """The code in what a person pasted: the address, or the code alone.

        PKCE binds a code to this sign-in also without the state. Raises as `code_of`.
        """
        text = text.strip()
        if re.match(r"https?://", text):
            return self.code_of(text)
        if not _CODE.fullmatch(text):
            raise ForeignRedirectError("expected the address that the browser shows, or the code in it")
        keep(text)
        return text

    def credential(self, code: str, transport: Transport, now: datetime) -> dict[str, str]:
        """Exchange the code for an authorized-user document. Raises SignInError."""
        client = self._client
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "redirect_uri": self._redirect_uri,
            "code_verifier": self._verifier,
        }
        try:
            token = request_token(transport, client.token_uri, urlencode(form).encode(), now=now)
        except SearchConsoleError as error:
            raise SignInError(f"the code was not exchanged: {error.cause}; sign in again") from None
        if token.scope is not msgspec.UNSET and not {SCOPE, _WIDER_SCOPE} & set(token.scope.split()):
            raise SignInError("access to Search Console was not granted: sign in again, and tick its box")
        if token.refresh_token is msgspec.UNSET:
            raise SignInError(
                "the answer holds no refresh token: remove the app's access at Google, sign in again"
            )
        return {
            "type": "authorized_user",
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "refresh_token": token.refresh_token,
            "auth_uri": client.auth_uri,
            "token_uri": client.token_uri,
        }


def check_target(path: Path) -> None:
    """Raise SignInError unless the file is absent, or one that a sign-in may replace."""
    if not path.exists():
        return
    try:
        document = read_json_file(f"the file {path}", path)
    except CredentialUnusableError as error:
        raise SignInError(f"{error.cause}: name another file with --out") from None
    if "refresh_token" not in document:
        raise SignInError(f"{path} was not written by gsc login and is kept: name another file with --out")


def write_credential(path: Path, credential: dict[str, str]) -> None:
    """Write the file of a sign-in, which only its owner may read. Raises SignInError."""
    try:
        replace(path, json.dumps(credential, indent=2) + "\n", mode=PRIVATE)
    except OSError as error:
        raise SignInError(
            f"{path} cannot be written ({error.strerror}): name another file with --out"
        ) from None


def _refusal(error: str) -> str:
    if error == "access_denied":
        return "the sign-in was refused (access_denied): sign in again, and allow the access"
    return f"the sign-in was refused ({printable(error, 100)})"


def _origin(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc
