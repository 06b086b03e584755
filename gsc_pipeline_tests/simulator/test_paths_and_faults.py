"""Paths, permissions, injected faults, and the record of calls."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
import urllib3

from gsc_pipeline.simulator import Call, Reply, Simulator, SyntheticProperty, google_error, token_error
from gsc_pipeline_tests.simulator.conftest import NOON
from gsc_pipeline_tests.simulator.wire import ANYONE, Wire, authorized_user_form
from gsc_pipeline_tests.waiting import HANG_SECONDS

DAY = {"startDate": "2026-11-10", "endDate": "2026-11-10"}
OPEN = "sc-domain:open.example"
PREFIX = "https://www.example.com/"
MINE = "https://example.com/münchen/a%20b/"
THEIRS = "sc-domain:theirs.example"
UNVERIFIED = "sc-domain:unverified.example"


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator(
        [
            SyntheticProperty(OPEN, rows_a_day=50, permission_level="siteRestrictedUser"),
            SyntheticProperty(PREFIX, rows_a_day=50),
            SyntheticProperty(MINE, rows_a_day=50, readers=[ANYONE]),
            SyntheticProperty(THEIRS, rows_a_day=50, readers=["someone@else.example"]),
            SyntheticProperty(UNVERIFIED, rows_a_day=50, permission_level="siteUnverifiedUser"),
        ],
        clock=lambda: NOON,
    )


@pytest.fixture(scope="module")
def sites(simulator: Simulator) -> Iterator[Wire]:
    with Wire.to(simulator) as wire:
        yield wire


def test_a_subject_sees_its_own_properties_and_public_ones(sites: Wire) -> None:
    assert sites.get("sites").json() == {
        "siteEntry": [
            {"siteUrl": OPEN, "permissionLevel": "siteRestrictedUser"},
            {"siteUrl": PREFIX, "permissionLevel": "siteOwner"},
            {"siteUrl": MINE, "permissionLevel": "siteOwner"},
            {"siteUrl": UNVERIFIED, "permissionLevel": "siteUnverifiedUser"},
        ]
    }


def test_without_any_property_the_key_is_absent() -> None:
    with Wire.to(Simulator([])) as wire:
        assert wire.get("sites").json() == {}


@pytest.mark.parametrize("site_url", [OPEN, PREFIX, MINE])
def test_a_property_is_one_percent_encoded_path_segment(sites: Wire, site_url: str) -> None:
    assert sites.get("sites/" + quote(site_url, safe="")).json()["siteUrl"] == site_url
    assert sites.query(site_url, **DAY)["rows"]


def test_a_property_that_is_not_encoded_is_an_unknown_path(sites: Wire) -> None:
    answer = sites.get("sites/" + PREFIX)
    assert answer.status == 404
    assert answer.json()["error"]["errors"][0]["reason"] == "notFound"


@pytest.mark.parametrize(
    "site_url",
    [THEIRS, "https://www.example.com", "http://www.example.com/", "sc-domain:unknown.example"],
    ids=["of others", "without its slash", "another scheme", "unknown"],
)
def test_a_property_of_other_subjects_is_forbidden(sites: Wire, site_url: str) -> None:
    for answer in (sites.get("sites/" + quote(site_url, safe="")), sites.post_query(site_url, **DAY)):
        error = answer.json()["error"]
        assert (answer.status, error["status"]) == (403, "PERMISSION_DENIED")
        assert error["message"] == f"User does not have sufficient permission for site '{site_url}'."
        assert error["errors"][0]["reason"] == "forbidden"


def test_an_unverified_property_is_listed_but_returns_no_data(sites: Wire) -> None:
    assert sites.get("sites/" + quote(UNVERIFIED, safe="")).status == 200
    assert sites.post_query(UNVERIFIED, **DAY).status == 403


@pytest.mark.parametrize("path", ["/", "/webmasters/v3/", "/webmasters/v3/sites/a/b/c", "/token/x"])
def test_an_unknown_path_is_a_404_in_json(sites: Wire, path: str) -> None:
    answer = sites.pool.request("GET", sites.url + path, headers=sites.headers)
    assert (answer.status, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer nobodys"}, {"Authorization": "Basic eDp5"}]
)
def test_without_a_valid_token_every_call_is_unauthenticated(sites: Wire, headers: dict[str, str]) -> None:
    answer = sites.get("sites", headers=headers)
    error = answer.json()["error"]
    assert (answer.status, error["status"]) == (401, "UNAUTHENTICATED")
    assert error["errors"][0]["reason"] == "authError"
    assert "www-authenticate" in answer.headers


def test_answers_are_compressed_if_the_client_accepts_it(sites: Wire) -> None:
    path = f"{sites.url}/webmasters/v3/sites/{quote(OPEN, safe='')}/searchAnalytics/query"
    body = {**DAY, "dimensions": ["query", "page"]}
    plain = sites.pool.request("POST", path, headers=sites.headers, json=body)
    zipped = sites.pool.request(
        "POST", path, headers={**sites.headers, "Accept-Encoding": "gzip"}, json=body, decode_content=False
    )
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert len(zipped.data) < len(plain.data) / 3
    assert gzip.decompress(zipped.data) == plain.data


def test_one_connection_carries_many_requests(sites: Wire) -> None:
    with urllib3.HTTPConnectionPool(
        urlsplit(sites.url).hostname or "", urlsplit(sites.url).port, maxsize=1
    ) as pool:
        for _ in range(5):
            assert pool.request("GET", "/webmasters/v3/sites", headers=sites.headers).status == 200
        assert pool.num_connections == 1


def test_every_call_is_recorded(simulator: Simulator, sites: Wire) -> None:
    del simulator.calls[:]
    sites.token(**authorized_user_form(sites.url))
    sites.get("sites")
    sites.get("sites/" + quote(PREFIX, safe=""))
    sites.post_query(MINE, **DAY)
    sites.get("sites", headers={})
    sites.get("elsewhere")
    assert [(call.method, call.kind, call.site_url, call.subject) for call in simulator.calls] == [
        ("POST", "token", None, None),
        ("GET", "sites", None, ANYONE),
        ("GET", "site", PREFIX, ANYONE),
        ("POST", "query", MINE, ANYONE),
        ("GET", "sites", None, None),
        ("GET", "unknown", None, ANYONE),
    ]
    assert simulator.calls[0].body["grant_type"] == "refresh_token"
    assert simulator.calls[3].body == DAY
    assert {call.at for call in simulator.calls} == {NOON}


def faulty(reply: Reply, kind: str = "query") -> Simulator:
    """A simulator that sends `reply` to every call of this kind."""
    return Simulator(
        [SyntheticProperty(OPEN, rows_a_day=50)],
        clock=lambda: NOON,
        faults=lambda call: reply if call.kind == kind else None,
    )


def test_a_fault_replaces_the_answer() -> None:
    reply = google_error(403, "quotaExceeded", "Quota exceeded", "usageLimits", headers={"Retry-After": "7"})
    with Wire.to(faulty(reply)) as wire:
        answer = wire.post_query(OPEN, **DAY)
        assert wire.get("sites").status == 200
    assert (answer.status, answer.headers["retry-after"]) == (403, "7")
    assert answer.json() == {
        "error": {
            "code": 403,
            "message": "Quota exceeded",
            "errors": [{"message": "Quota exceeded", "domain": "usageLimits", "reason": "quotaExceeded"}],
            "status": "PERMISSION_DENIED",
        }
    }


def test_a_fault_can_have_any_bytes() -> None:
    page = Reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})
    with Wire.to(faulty(page)) as wire:
        answer = wire.post_query(OPEN, **DAY)
    assert (answer.status, answer.data, answer.headers["content-type"]) == (
        502,
        b"<html>Bad Gateway</html>",
        "text/html",
    )


def test_the_token_endpoint_can_have_faults() -> None:
    revoked = token_error("invalid_grant", "Token has been expired or revoked.")
    simulator = faulty(revoked, "token")
    simulator.faults = None
    with Wire.to(simulator) as wire:
        simulator.faults = lambda call: revoked
        answer = wire.token(grant_type="refresh_token")
    assert answer.status == 400
    assert answer.json() == {
        "error": "invalid_grant",
        "error_description": "Token has been expired or revoked.",
    }


def test_the_true_answer_can_be_truncated() -> None:
    with Wire.to(faulty(Reply(cut_after=20))) as wire:
        with pytest.raises(urllib3.exceptions.ProtocolError, match="IncompleteRead"):
            wire.post_query(OPEN, **DAY)
        assert wire.get("sites").status == 200


def test_a_truncated_answer_has_its_full_content_length_and_closes_the_connection() -> None:
    with Wire.to(faulty(Reply(200, b"x" * 1_000, cut_after=10), "sites")) as wire:
        where = urlsplit(wire.url)
        with socket.create_connection((where.hostname, where.port), timeout=HANG_SECONDS) as raw:
            raw.sendall(b"GET /webmasters/v3/sites HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while part := raw.recv(4_096):
                received += part
    head, body = received.split(b"\r\n\r\n")
    assert b"content-length: 1000" in head.lower()
    assert body == b"x" * 10


def test_a_fault_gets_the_call_and_may_return_none() -> None:
    seen: list[Call] = []
    simulator = Simulator([SyntheticProperty(OPEN, rows_a_day=50)], clock=lambda: NOON, faults=seen.append)
    with Wire.to(simulator) as wire:
        assert wire.query(OPEN, **DAY)["rows"]
    assert seen == simulator.calls
