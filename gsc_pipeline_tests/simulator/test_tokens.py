"""The token endpoint: which credentials get an access token, and how long it is valid."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from gsc_pipeline.simulator import Simulator, SyntheticProperty
from gsc_pipeline_tests.simulator.conftest import NOON
from gsc_pipeline_tests.simulator.wire import Wire, authorized_user_form

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/webmasters.readonly"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Wire]:
    readers = ["robot@acme.example"]
    prop = SyntheticProperty("sc-domain:acme.example", rows_a_day=50, readers=readers)
    with Wire.to(Simulator([prop])) as wire:
        yield wire


def assertion(**claims: Any) -> str:
    """A well-formed assertion of robot@acme.example, with these claims changed."""
    known = {"iss": "robot@acme.example", "scope": SCOPE, "exp": int(time.time()) + 3_600, **claims}
    parts = (
        {"alg": "RS256", "typ": "JWT"},
        {name: value for name, value in known.items() if value is not None},
    )
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


@pytest.mark.parametrize("path", ["/token", "/oauth2/v4/token", "/o/oauth2/token"])
def test_an_assertion_is_exchanged_for_a_token_of_its_issuer(endpoint: Wire, path: str) -> None:
    answer = endpoint.token(path, grant_type=JWT_BEARER, assertion=assertion())
    granted = answer.json()
    assert answer.status == 200
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 3_599)
    sites = endpoint.get("sites", headers={"Authorization": f"Bearer {granted['access_token']}"})
    assert len(sites.json()["siteEntry"]) == 1


def test_a_refresh_token_is_exchanged_for_a_token_of_its_client(endpoint: Wire) -> None:
    granted = endpoint.token(**authorized_user_form(endpoint.url)).json()
    sites = endpoint.get("sites", headers={"Authorization": f"Bearer {granted['access_token']}"})
    assert sites.json() == {}


REFUSED = {
    "nothing": ({}, "invalid_request"),
    "an unknown grant": ({"grant_type": "password"}, "unsupported_grant_type"),
    "no assertion": ({"grant_type": JWT_BEARER}, "invalid_grant"),
    "two parts": ({"grant_type": JWT_BEARER, "assertion": "a.b"}, "invalid_grant"),
    "no signature": (
        {"grant_type": JWT_BEARER, "assertion": assertion().rsplit(".", 1)[0] + "."},
        "invalid_grant",
    ),
    "no JSON": ({"grant_type": JWT_BEARER, "assertion": "YQ.YQ.YQ"}, "invalid_grant"),
    "too deep": (
        {
            "grant_type": JWT_BEARER,
            "assertion": f"eyJhIjoxfQ.{base64.urlsafe_b64encode(b'[' * 9999).decode()}.YQ",
        },
        "invalid_grant",
    ),
    "no base64": ({"grant_type": JWT_BEARER, "assertion": "é.é.é"}, "invalid_grant"),
    "no issuer": ({"grant_type": JWT_BEARER, "assertion": assertion(iss=None)}, "invalid_grant"),
    "another scope": (
        {"grant_type": JWT_BEARER, "assertion": assertion(scope="https://www.googleapis.com/auth/drive")},
        "invalid_grant",
    ),
    "expired": (
        {"grant_type": JWT_BEARER, "assertion": assertion(exp=int(time.time()) - 10)},
        "invalid_grant",
    ),
    "no expiry": ({"grant_type": JWT_BEARER, "assertion": assertion(exp=None)}, "invalid_grant"),
    "no refresh token": (
        {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s"},
        "invalid_request",
    ),
    "no client": (
        {"grant_type": "refresh_token", "refresh_token": "r", "client_secret": "s"},
        "invalid_request",
    ),
}


@pytest.mark.parametrize(("form", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_any_other_grant_is_refused_with_an_oauth_error(
    endpoint: Wire, form: dict[str, str], error: str
) -> None:
    answer = endpoint.token(**form)
    assert answer.status == 400
    assert answer.json()["error"] == error
    assert answer.json()["error_description"]


def test_access_tokens_expire_by_the_simulators_clock() -> None:
    now = [NOON]
    with Wire.to(Simulator([], clock=lambda: now[0])) as wire:
        assert wire.get("sites").status == 200
        now[0] += timedelta(minutes=59)
        assert wire.get("sites").status == 200
        now[0] += timedelta(minutes=1)
        assert wire.get("sites").status == 401
        assert wire.get("sites", headers=Wire(wire.url).headers).status == 200
