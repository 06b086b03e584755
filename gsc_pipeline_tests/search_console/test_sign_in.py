"""Signing in: consent, redirect, exchange, file; and every answer that is not ours or not good."""

from __future__ import annotations

import json
import logging
import re
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import urllib3

from gsc_pipeline.days import utc_now
from gsc_pipeline.search_console.auth import GOOGLE_TOKEN_URI, SCOPE, OAuthFile, TokenEndpoints
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.errors import CredentialUnusableError, TokenEndpointError
from gsc_pipeline.search_console.loopback import Loopback, loopback
from gsc_pipeline.search_console.sign_in import (
    GOOGLE_AUTH_URI,
    ForeignRedirectError,
    SignIn,
    SignInError,
    check_target,
    is_client_file,
    read_client,
    write_credential,
)
from gsc_pipeline.search_console.transport import Transport
from gsc_pipeline.simulator import (
    Call,
    Reply,
    Simulator,
    SyntheticProperty,
    serving,
    token_error,
    write_oauth_client,
)
from gsc_pipeline.text.secrets import masked
from gsc_pipeline_tests.consent import consent
from gsc_pipeline_tests.waiting import HANG_SECONDS

ANN, BOB = "ann@acme.example", "bob@globex.example"
HERE = TokenEndpoints(loopback=True)


@dataclass
class Google:
    """The authorisation server, and the app's files."""

    url: str
    simulator: Simulator
    folder: Path
    transport: Transport
    instead: Reply | None = None

    @property
    def client_file(self) -> Path:
        return self.folder / "client.json"

    def sign_in(self, redirect_uri: str = "http://127.0.0.1:9/") -> SignIn:
        return SignIn(read_client(self.client_file, HERE), redirect_uri)

    def exchange(self, attempt: SignIn, code: str) -> dict[str, str]:
        return attempt.credential(code, self.transport, utc_now())

    def tokens_requested(self) -> int:
        return sum(call.kind == "token" for call in self.simulator.calls)

    def answer_of_token_endpoint(self, call: Call) -> Reply | None:
        return self.instead if call.kind == "token" else None


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Simulator]]:
    properties = [
        SyntheticProperty("sc-domain:acme.com", rows_a_day=5, readers=[ANN]),
        SyntheticProperty("sc-domain:globex.com", rows_a_day=5, readers=[BOB]),
    ]
    simulator = Simulator(properties, accounts=(ANN, BOB))
    with serving(simulator) as url:
        yield url, simulator


@pytest.fixture
def google(served: tuple[str, Simulator], tmp_path: Path) -> Iterator[Google]:
    url, simulator = served
    simulator.calls.clear()
    with closing(Transport()) as transport:
        google = Google(url, simulator, tmp_path, transport)
        simulator.faults = google.answer_of_token_endpoint
        write_oauth_client(google.client_file, base_url=url)
        yield google


@dataclass
class Attempt:
    """A sign-in that waits for its redirect, in another thread."""

    listener: Loopback
    sign_in: SignIn
    result: Future[dict[str, str]]

    def credential(self) -> dict[str, str]:
        return self.result.result(HANG_SECONDS)


@pytest.fixture
def attempt(google: Google) -> Iterator[Attempt]:
    with loopback() as listener, ThreadPoolExecutor(1) as pool:
        sign_in = google.sign_in(listener.redirect_uri)
        result = pool.submit(
            listener.receive, sign_in, lambda code: google.exchange(sign_in, code), seconds=HANG_SECONDS
        )
        yield Attempt(listener, sign_in, result)
        # Whatever the test did, the thread must end.
        if not result.done():
            get(consent(sign_in.address, decision="deny"))


def get(address: str, **headers: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", address, headers=headers, retries=False, timeout=HANG_SECONDS)


def changed(address: str, **changes: str | None) -> str:
    """The address with parameters of its query changed, or removed (None)."""
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query)) | changes
    return parts._replace(query=urlencode({k: v for k, v in query.items() if v is not None})).geturl()


def test_consent_gives_a_credential_that_reads_what_the_account_may_read(
    google: Google, attempt: Attempt
) -> None:
    page = get(consent(attempt.sign_in.address, account=BOB))
    assert page.status == 200
    assert "You are signed in" in page.data.decode()
    file = google.folder / "secrets" / "bob.json"
    write_credential(file, attempt.credential())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]
    with closing(HttpSearchConsole(OAuthFile(file), base_url=google.url)) as console:
        assert [site.site_url for site in console.sites()] == ["sc-domain:globex.com"]


def test_several_accounts_have_a_file_each_and_read_their_own_properties(google: Google) -> None:
    for account in (ANN, BOB):
        attempt = google.sign_in()
        code = attempt.code_of(consent(attempt.address, account=account))
        write_credential(google.folder / account, google.exchange(attempt, code))
    for account, site_url in ((ANN, "sc-domain:acme.com"), (BOB, "sc-domain:globex.com")):
        source = OAuthFile(google.folder / account)
        with closing(HttpSearchConsole(source, base_url=google.url)) as console:
            assert [site.site_url for site in console.sites()] == [site_url]


def test_the_request_asks_for_read_access_offline_with_pkce_and_a_choice_of_account(google: Google) -> None:
    query = dict(parse_qsl(urlsplit(google.sign_in().address).query))
    assert query["scope"] == SCOPE
    assert (query["access_type"], query["prompt"]) == ("offline", "consent select_account")
    assert query["code_challenge_method"] == "S256"
    assert len(query["state"]) >= 20
    again = dict(parse_qsl(urlsplit(google.sign_in().address).query))
    assert again["state"] != query["state"]
    assert again["code_challenge"] != query["code_challenge"]


def test_a_redirect_with_a_wrong_state_is_refused_and_the_sign_in_goes_on(
    google: Google, attempt: Attempt
) -> None:
    true = consent(attempt.sign_in.address)
    code_of_another = parse_qsl(urlsplit(consent(google.sign_in().address)).query)
    for false in (
        changed(true, state="guessed"),
        changed(true, state=None),
        changed(true, state=""),
        changed(true, state=None, error="access_denied", code=None),
        true + "&state=second",
        changed(true, state="guessed", code=dict(code_of_another)["code"]),
    ):
        page = get(false)
        assert page.status == 400
        assert "not the answer to a sign-in" in page.data.decode()
    assert google.tokens_requested() == 0
    assert not attempt.result.done()
    assert get(true).status == 200
    assert attempt.credential()["refresh_token"]


@pytest.mark.parametrize("path", ["", "favicon.ico", "?", "callback?code=c&state=s"])
def test_other_pages_of_the_listener_are_not_found(attempt: Attempt, path: str) -> None:
    assert get(attempt.listener.redirect_uri + path).status == 404


def test_a_web_page_under_another_name_cannot_reach_the_listener(attempt: Attempt) -> None:
    true = consent(attempt.sign_in.address)
    assert get(true, Host="evil.example").status == 404
    assert get(true).status == 200
    attempt.credential()


def test_a_browser_that_opens_connections_it_does_not_use_delays_nothing(attempt: Attempt) -> None:
    address = urlsplit(attempt.listener.redirect_uri)
    with socket.create_connection((address.hostname or "", address.port or 0)):
        assert get(consent(attempt.sign_in.address)).status == 200
        attempt.credential()


def test_a_second_callback_is_refused(google: Google) -> None:
    with loopback() as listener, ThreadPoolExecutor(1) as pool:
        sign_in = google.sign_in(listener.redirect_uri)
        true = consent(sign_in.address)

        def finish(code: str) -> tuple[str, int]:
            # The same redirect, while the first one is being exchanged.
            return code, get(true).status

        result = pool.submit(listener.receive, sign_in, finish, seconds=HANG_SECONDS)
        assert get(true).status == 200
        assert result.result(HANG_SECONDS)[1] == 400


def test_a_replayed_code_is_refused(google: Google) -> None:
    first, second = google.sign_in(), google.sign_in()
    code = first.code_of(consent(first.address))
    google.exchange(first, code)
    for attempt in (first, second):
        with pytest.raises(SignInError, match=r"not exchanged: .*invalid_grant.*sign in again"):
            google.exchange(attempt, attempt.code_typed(code))


def test_a_code_of_another_sign_in_is_useless_without_its_verifier(google: Google) -> None:
    victim, attacker = google.sign_in(), google.sign_in()
    code = attacker.code_of(consent(attacker.address))
    with pytest.raises(SignInError, match="Invalid code verifier"):
        google.exchange(victim, victim.code_typed(code))


def test_whoever_cancels_gets_a_page_and_the_command_says_why(attempt: Attempt) -> None:
    page = get(consent(attempt.sign_in.address, decision="deny"))
    assert page.status == 400
    assert "The sign-in failed" in page.data.decode()
    with pytest.raises(SignInError, match=r"refused \(access_denied\): sign in again, and allow the access"):
        attempt.credential()


def test_an_unticked_box_is_an_error(attempt: Attempt) -> None:
    assert get(consent(attempt.sign_in.address, is_ticked=False)).status == 400
    with pytest.raises(SignInError, match="access to Search Console was not granted"):
        attempt.credential()


def test_nobody_who_signs_in_is_an_error(google: Google) -> None:
    with loopback() as listener, pytest.raises(SignInError, match="nobody signed in within 0 minutes"):
        listener.receive(google.sign_in(listener.redirect_uri), str, seconds=0.0)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (token_error("invalid_client", "The OAuth client was not found."), "invalid_client"),
        (Reply(503, b"busy"), "503"),
        (Reply(200, b"<html>"), "token"),
        (Reply(200, {"access_token": "ya29.x", "expires_in": 3599}), "no refresh token"),
    ],
    ids=["refused", "down", "no JSON", "no refresh token"],
)
def test_a_bad_answer_to_the_exchange_is_one_error(
    google: Google, answer: Reply, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    google.instead = answer
    attempt = google.sign_in()
    code = attempt.code_of(consent(attempt.address))
    with pytest.raises(SignInError, match=text) as caught:
        google.exchange(attempt, code)
    assert code not in f"{caught.value}{caplog.text}"


def test_no_secret_is_logged_or_shown(
    google: Google, attempt: Attempt, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    redirected = consent(attempt.sign_in.address)
    page = get(redirected)
    credential = attempt.credential()
    code = dict(parse_qsl(urlsplit(redirected).query))["code"]
    logging.getLogger("test").debug("%s %s", code, credential["refresh_token"])
    for secret in (code, credential["refresh_token"]):
        assert secret not in page.data.decode() + caplog.text
        assert secret not in masked(secret)
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert credential["client_secret"] not in repr(read_client(google.client_file, HERE))


def test_by_hand_the_address_or_the_code_is_pasted(google: Google) -> None:
    attempt = google.sign_in()
    redirected = consent(attempt.address)
    no_address = ("http://[", "http://127.0.0.1/?state=\udcff")
    wrong = ("", "   ", "two words", changed(redirected, state="guessed"), "https://example.com/")
    for text in (*wrong, *no_address):
        with pytest.raises(ForeignRedirectError):
            attempt.code_typed(text)
    assert google.exchange(attempt, attempt.code_typed(f"  {redirected}\n"))["refresh_token"]
    second = google.sign_in()
    code = dict(parse_qsl(urlsplit(consent(second.address)).query))["code"]
    assert google.exchange(second, second.code_typed(code))["refresh_token"]


def test_a_credential_names_its_client_so_that_signing_in_again_needs_no_other_file(google: Google) -> None:
    attempt = google.sign_in()
    file = google.folder / "ann.json"
    write_credential(file, google.exchange(attempt, attempt.code_of(consent(attempt.address))))
    assert read_client(file, HERE) == read_client(google.client_file, HERE)
    check_target(file)


def client(**changes: object) -> dict[str, object]:
    return {"client_id": "c", "client_secret": "s" * 20, **changes}


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "holds no OAuth client"),
        ({"installed": None}, "holds no OAuth client"),
        ({"installed": {"client_id": "c"}}, "holds no OAuth client"),
        ({"type": "service_account", "private_key": "x", "client_id": "1"}, "holds no OAuth client"),
        ({"web": client()}, "is a client of the type Web application: create one of the type Desktop app"),
        (
            {"installed": client(auth_uri="https://accounts.google.com.evil.example/o/oauth2/auth")},
            "names an auth_uri that is neither Google's nor its token_uri's",
        ),
        (
            {"installed": client(auth_uri="https://accounts.google.com@evil.example/o/oauth2/auth")},
            "names an auth_uri that is neither Google's nor its token_uri's",
        ),
    ],
)
def test_a_file_that_is_no_client_of_ours_is_refused(
    tmp_path: Path, document: dict[str, object], text: str
) -> None:
    file = tmp_path / "client.json"
    file.write_text(json.dumps(document))
    file.chmod(0o600)
    with pytest.raises(CredentialUnusableError, match=re.escape(text)):
        read_client(file, TokenEndpoints())


def test_a_client_whose_token_uri_is_not_googles_is_refused(google: Google) -> None:
    with pytest.raises(TokenEndpointError, match=r"token_uri at 127\.0\.0\.1"):
        read_client(google.client_file, TokenEndpoints())


def test_a_client_without_addresses_is_googles(tmp_path: Path) -> None:
    file = tmp_path / "client.json"
    file.write_text(json.dumps({"installed": client()}))
    file.chmod(0o600)
    found = read_client(file, TokenEndpoints())
    assert (found.auth_uri, found.token_uri) == (GOOGLE_AUTH_URI, GOOGLE_TOKEN_URI)
    assert is_client_file(file)
    assert SignIn(found, "http://127.0.0.1:9/").address.startswith(GOOGLE_AUTH_URI)


@pytest.mark.parametrize("content", ["", "{}", '{"private_key": "x", "client_email": "a"}', "notes"])
def test_a_file_that_no_sign_in_wrote_is_kept(tmp_path: Path, content: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(SignInError, match="name another"):
        check_target(file)
    assert file.read_text() == content


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SignInError, match=r"google\.json cannot be written \(.+\): name another file"):
        write_credential(tmp_path / "file" / "google.json", {})


def test_a_new_sign_in_replaces_the_file_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "ann.json"
    file.write_text('{"refresh_token": "old"}')
    file.chmod(0o644)
    write_credential(file, {"refresh_token": "new"})
    assert json.loads(file.read_text()) == {"refresh_token": "new"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
