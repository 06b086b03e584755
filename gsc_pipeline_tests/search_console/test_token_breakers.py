"""The breaker on token endpoints: each that a key names has its own, and whoever refuses is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.breaker import Circuit
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.errors import (
    DEFERRED,
    CircuitOpenError,
    CredentialUnusableError,
    ServiceUnavailableError,
)
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.token_breakers import TokenBreakers
from gsc_pipeline.search_console.transport import Limits
from gsc_pipeline.simulator import Reply, token_error, write_service_account_key
from gsc_pipeline.state.store import Store, open_store
from gsc_pipeline_tests.search_console.conftest import CLIENT_EMAIL, Wire

DOWN = Reply(503, b"<html>The server is temporarily unavailable.</html>")
REVOKED = token_error("invalid_grant", "Token has been expired or revoked.")


@dataclass
class Guarded:
    """Makes clients that share their token breakers through a store, on a clock to set."""

    wire: Wire
    store: Store
    now: datetime = field(default_factory=utc_now)

    def endpoints(self) -> TokenBreakers:
        return TokenBreakers(self.store, clock=lambda: self.now)

    def console(self, key: ServiceAccountFile | None = None, *, attempts: int = 3) -> HttpSearchConsole:
        return self.wire.console(
            key,
            retry=RetryPolicy(attempts=attempts, sleep=self.wire.waits.append),
            token_breaker=self.endpoints().at,
            clock=lambda: self.now,
        )


@pytest.fixture
def guarded(wire: Wire, tmp_path: Path) -> Iterator[Guarded]:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        yield Guarded(wire, store)


def key_naming(token_uri: str, wire: Wire, folder: Path) -> ServiceAccountFile:
    """A key as the simulator's, but for the endpoint it names."""
    path = folder / "other.json"
    write_service_account_key(path, base_url=wire.url, client_email=CLIENT_EMAIL)
    key = json.loads(path.read_text()) | {"token_uri": token_uri}
    path.write_text(json.dumps(key))
    return ServiceAccountFile(path)


def test_five_failures_in_a_row_over_all_clients_end_the_asking_until_five_minutes_have_passed(
    guarded: Guarded,
) -> None:
    wire = guarded.wire
    wire.answer_instead("token", *[DOWN] * 100)
    with pytest.raises(ServiceUnavailableError):
        guarded.console(attempts=3).sites()
    with pytest.raises(CircuitOpenError) as caught:
        guarded.console(attempts=9).sites()
    assert wire.count("token") == 5
    assert str(caught.value).startswith(f"not sent: token endpoint {wire.url}/token failed 5 times in a row")
    assert "until" in str(caught.value)
    assert "the token endpoint answered 503" in str(caught.value)
    assert isinstance(caught.value, DEFERRED)

    waits = len(wire.waits)
    with pytest.raises(CircuitOpenError):
        guarded.console().sites()
    assert (wire.count("token"), wire.count("sites"), len(wire.waits)) == (5, 0, waits)

    guarded.now += timedelta(minutes=5)
    with pytest.raises(CircuitOpenError):
        guarded.console().sites()
    assert wire.count("token") == 6

    wire.instead.clear()
    guarded.now += timedelta(minutes=5)
    assert guarded.console().sites()
    assert guarded.console().sites()
    assert guarded.endpoints().not_closed() == {}


@pytest.mark.parametrize("where", ["refusing_address", "silent_address", "rude_address"])
def test_whatever_keeps_the_token_away_counts(
    where: str, guarded: Guarded, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(where)
    if where == "rude_address":
        address = address(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>")
    key = key_naming(f"{address}/token", guarded.wire, tmp_path)
    console = guarded.wire.console(
        key,
        retry=RetryPolicy(attempts=9, sleep=guarded.wire.waits.append),
        token_breaker=guarded.endpoints().at,
        limits=Limits(silent_seconds=0.05),
    )
    with pytest.raises(CircuitOpenError, match=f"token endpoint {address}/token failed 5 times"):
        console.sites()


def test_dead_credentials_never_count_for_whoever_refuses_is_there(guarded: Guarded) -> None:
    wire = guarded.wire
    wire.answer_instead("token", *[REVOKED] * 20)
    for _ in range(20):
        with pytest.raises(CredentialUnusableError):
            guarded.console().sites()
    assert guarded.console().sites()
    assert guarded.endpoints().not_closed() == {}


def test_a_refusal_in_between_starts_the_count_anew(guarded: Guarded) -> None:
    wire = guarded.wire
    for _ in range(3):
        wire.answer_instead("token", *[DOWN] * 4, REVOKED)
        with pytest.raises(CredentialUnusableError):
            guarded.console(attempts=9).sites()
    assert wire.count("token") == 15


def test_a_key_that_names_nonsense_stops_nobody_else(
    guarded: Guarded, refusing_address: str, tmp_path: Path
) -> None:
    for nonsense in (f"{refusing_address}/token", "http://[oops/token", "not an address"):
        bad = key_naming(nonsense, guarded.wire, tmp_path)
        with pytest.raises(CircuitOpenError):
            guarded.console(bad, attempts=9).sites()
    assert guarded.console().sites()


def test_a_token_that_still_holds_is_used_while_its_endpoint_is_down(guarded: Guarded) -> None:
    running = guarded.console()
    assert running.sites()
    guarded.wire.answer_instead("token", *[DOWN] * 100)
    with pytest.raises(CircuitOpenError):
        guarded.console(attempts=9).sites()
    assert running.sites()


def test_it_tells_whose_endpoint_is_left_alone_without_asking_it(guarded: Guarded, tmp_path: Path) -> None:
    wire = guarded.wire
    wire.answer_instead("token", *[DOWN] * 100)
    with pytest.raises(CircuitOpenError):
        guarded.console(attempts=9).sites()
    other = key_naming("https://elsewhere.example/token", wire, tmp_path)
    missing = ServiceAccountFile(tmp_path / "missing.json")
    held = guarded.endpoints().held_back({"acme": wire.key, "other": other, "missing": missing})
    assert {name: state.state for name, state in held.items()} == {"acme": Circuit.OPEN}
    assert held["acme"].retry_at == guarded.now + timedelta(minutes=5)


def test_what_an_address_may_carry_of_secrets_is_not_kept(
    guarded: Guarded, tmp_path: Path, refusing_address: str
) -> None:
    address = refusing_address.replace("http://", "http://anna:geheim@") + "/token?key=geheim#geheim"
    with pytest.raises(CircuitOpenError) as caught:
        guarded.console(key_naming(address, guarded.wire, tmp_path), attempts=9).sites()
    assert f"token endpoint {refusing_address}/token failed" in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "geheim" not in str(guarded.endpoints().not_closed())
