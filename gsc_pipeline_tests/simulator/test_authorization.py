"""The authorisation server: what it asks for, what a code gives, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import urllib3

from gsc_pipeline.simulator import Simulator, SyntheticProperty
from gsc_pipeline.simulator.wire.authorization import CLIENT_ID, CLIENT_SECRET, SCOPES
from gsc_pipeline_tests.simulator.conftest import NOON
from gsc_pipeline_tests.simulator.wire import Wire

VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT = "http://127.0.0.1:50123/"
ACCOUNTS = ("ann@acme.example", "bob@globex.example")


class Visitor:
    """A person with a browser, and the app that sent them there."""

    def __init__(self) -> None:
        self.now = NOON
        readers = [ACCOUNTS[1]]
        properties = [SyntheticProperty("sc-domain:globex.example", rows_a_day=5, readers=readers)]
        self.simulator = Simulator(properties, clock=lambda: self.now, accounts=ACCOUNTS)

    def visit(self, **changes: str) -> urllib3.BaseHTTPResponse:
        query = {
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": SCOPES[0],
            "state": "of the app",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        } | changes
        return self.wire.pool.request(
            "GET", f"{self.wire.url}/o/oauth2/auth", fields=query, redirect=False, retries=False
        )

    def answer(self, page: urllib3.BaseHTTPResponse, **fields: str) -> urllib3.BaseHTTPResponse:
        found = re.search(r'name="request" value="([^"]+)"', page.data.decode())
        assert found
        return self.wire.pool.request(
            "POST",
            f"{self.wire.url}/o/oauth2/consent",
            fields={"request": found[1], **fields},
            encode_multipart=False,
            redirect=False,
        )

    def code(self, account: str = ACCOUNTS[1], **fields: str) -> str:
        page = self.visit()
        given = {"account": account, "decision": "allow", "consent": "yes"} | fields
        return redirected(self.answer(page, **given))["code"]

    def redeem(self, code: str, /, **changes: str) -> urllib3.BaseHTTPResponse:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
        } | changes
        return self.wire.token(**form)

    def refresh(self, token: str, **changes: str) -> urllib3.BaseHTTPResponse:
        form = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "refresh_token": token} | changes
        return self.wire.token(grant_type="refresh_token", **form)

    def sites(self, access_token: str) -> urllib3.BaseHTTPResponse:
        return self.wire.get("sites", headers={"Authorization": f"Bearer {access_token}"})

    wire: Wire


def redirected(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    assert answer.status == 302
    address = answer.headers["location"]
    assert address.startswith(REDIRECT)
    return dict(parse_qsl(urlsplit(address).query))


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    visitor = Visitor()
    with Wire.to(visitor.simulator) as wire:
        visitor.wire = wire
        yield visitor


def test_consent_gives_a_code_whose_tokens_read_what_the_account_may_read(visitor: Visitor) -> None:
    page = visitor.visit()
    assert page.status == 200
    assert all(account in page.data.decode() for account in ACCOUNTS)
    back = redirected(visitor.answer(page, account=ACCOUNTS[1], decision="allow", consent="yes"))
    assert back["state"] == "of the app"
    granted = visitor.redeem(back["code"]).json()
    assert granted["scope"] == SCOPES[0]
    renewed = visitor.refresh(granted["refresh_token"]).json()
    assert "refresh_token" not in renewed
    for token in (granted["access_token"], renewed["access_token"]):
        (site,) = visitor.sites(token).json()["siteEntry"]
        assert site["siteUrl"] == "sc-domain:globex.example"
    other = visitor.redeem(visitor.code(ACCOUNTS[0])).json()
    assert visitor.sites(other["access_token"]).json() == {}


def test_whoever_cancels_is_sent_back_with_an_error(visitor: Visitor) -> None:
    back = redirected(visitor.answer(visitor.visit(), account=ACCOUNTS[0], decision="deny"))
    assert back == {"error": "access_denied", "state": "of the app"}


def test_an_unticked_box_gives_tokens_that_read_nothing(visitor: Visitor) -> None:
    granted = visitor.redeem(visitor.code(consent="")).json()
    assert granted["scope"] == ""
    assert visitor.sites(granted["access_token"]).status == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "another"},
        {"redirect_uri": "http://evil.example/"},
        {"redirect_uri": "https://127.0.0.1.evil.example/"},
        {"redirect_uri": "http://127.0.0.1@evil.example/"},
        {"redirect_uri": "http://127.0.0.1:50123/\u20ac"},
    ],
)
def test_an_unknown_client_or_address_gets_an_error_page_and_no_redirect(
    visitor: Visitor, changes: dict[str, str]
) -> None:
    answer = visitor.visit(**changes)
    assert answer.status == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_a_wrong_request_is_sent_back_with_an_error(
    visitor: Visitor, changes: dict[str, str], error: str
) -> None:
    assert redirected(visitor.visit(**changes))["error"] == error


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:50124/"}, "redirect_uri_mismatch"),
        ({"client_id": "another"}, "invalid_client"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"code": "4/0made-up"}, "invalid_grant"),
    ],
)
def test_a_code_is_bound_to_its_verifier_address_and_client(
    visitor: Visitor, changes: dict[str, str], error: str
) -> None:
    refused = visitor.redeem(visitor.code(), **changes)
    assert (refused.status, refused.json()["error"]) == (400, error)


def test_a_code_works_once_and_using_it_again_revokes_what_it_gave(visitor: Visitor) -> None:
    code = visitor.code()
    granted = visitor.redeem(code).json()
    assert visitor.redeem(code).json()["error"] == "invalid_grant"
    assert visitor.refresh(granted["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_code_expires_after_ten_minutes(visitor: Visitor) -> None:
    code = visitor.code()
    visitor.now += timedelta(minutes=10)
    assert visitor.redeem(code).json()["error"] == "invalid_grant"


def test_a_consent_page_works_once(visitor: Visitor) -> None:
    page = visitor.visit()
    fields: dict[str, Any] = {"account": ACCOUNTS[0], "decision": "allow", "consent": "yes"}
    assert visitor.answer(page, **fields).status == 302
    assert visitor.answer(page, **fields).status == 400


def test_revocation_ends_the_refresh_token_and_its_access_tokens_at_once(visitor: Visitor) -> None:
    granted = visitor.redeem(visitor.code()).json()
    revoke = {"fields": {"token": granted["refresh_token"]}, "encode_multipart": False}
    address = f"{visitor.wire.url}/revoke"
    assert visitor.wire.pool.request("POST", address, **revoke).status == 200
    assert visitor.refresh(granted["refresh_token"]).json() == {
        "error": "invalid_grant",
        "error_description": "Token has been expired or revoked.",
    }
    assert visitor.sites(granted["access_token"]).status == 401
    assert visitor.wire.pool.request("POST", address, **revoke).status == 400


def test_a_refresh_token_is_bound_to_its_client(visitor: Visitor) -> None:
    granted = visitor.redeem(visitor.code()).json()
    refused = visitor.refresh(granted["refresh_token"], client_secret="wrong")
    assert refused.json()["error"] == "invalid_client"
