"""Circuit breakers for token endpoints: one per endpoint, and refusals never open a circuit."""

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
from gsc_pipeline.search_console.breakers import Circuit
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.errors import (
    DEFERRED,
    CircuitOpenError,
    CredentialUnusableError,
    ServiceUnavailableError,
    TokenEndpointError,
)
from gsc_pipeline.search_console.guards import Guards
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.token_breakers import TokenBreakers
from gsc_pipeline.search_console.transport import TransportLimits
from gsc_pipeline.simulator import Reply, token_error, write_service_account_key
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline_tests.search_console.conftest import CLIENT_EMAIL, Wire

DOWN = Reply(503, b"<html>The server is temporarily unavailable.</html>")
REVOKED = token_error("invalid_grant", "Token has been expired or revoked.")


@dataclass
class Guarded:
    """Creates clients that share their token breakers through a store, with a settable clock."""

    wire: Wire
    store: Store
    now: datetime = field(default_factory=utc_now)

    def endpoints(self) -> TokenBreakers:
        return TokenBreakers(self.store, clock=lambda: self.now)

    def console(self, key: ServiceAccountFile | None = None, *, attempts: int = 3) -> HttpSearchConsole:
        return self.wire.console(
            key,
            retry=RetryPolicy(attempts=attempts, sleep=self.wire.waits.append),
            guards=Guards(token_breakers=self.endpoints()),
            clock=lambda: self.now,
        )


@pytest.fixture
def guarded(wire: Wire, tmp_path: Path) -> Iterator[Guarded]:
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        yield Guarded(wire, store)


def key_naming(
    token_uri: str, wire: Wire, folder: Path, client_email: str = CLIENT_EMAIL
) -> ServiceAccountFile:
    """A key for the simulator with this token endpoint."""
    path = folder / f"{client_email}.json"
    write_service_account_key(path, base_url=wire.url, client_email=client_email)
    key = json.loads(path.read_text()) | {"token_uri": token_uri}
    path.write_text(json.dumps(key))
    return ServiceAccountFile(path)


def open_with_503(guarded: Guarded, folder: Path) -> None:
    """Open the circuit of the simulator's endpoint by requests with five credentials."""
    wire = guarded.wire
    wire.answer_instead("token", *[DOWN] * 100)
    for n in range(5):
        key = key_naming(f"{wire.url}/token", wire, folder, f"{n}@project.example")
        with pytest.raises(ServiceUnavailableError):
            guarded.console(key, attempts=1).sites()


def test_five_credentials_without_a_token_open_the_circuit_for_five_minutes(
    guarded: Guarded, tmp_path: Path
) -> None:
    wire = guarded.wire
    open_with_503(guarded, tmp_path)
    with pytest.raises(CircuitOpenError) as caught:
        guarded.console(attempts=9).sites()
    assert wire.count("token") == 5
    assert str(caught.value).startswith(f"not sent: token endpoint {wire.url}/token failed 5 calls in a row")
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


def test_one_credential_gets_six_requests_and_does_not_open_the_circuit(guarded: Guarded) -> None:
    wire = guarded.wire
    wire.answer_instead("token", *[DOWN] * 100)
    guards = Guards(token_breakers=guarded.endpoints())
    retry = RetryPolicy(attempts=9, sleep=wire.waits.append)
    for _ in range(20):
        with pytest.raises(ServiceUnavailableError):
            wire.console(retry=retry, guards=guards).sites()
    assert wire.count("token") == 6
    assert guarded.endpoints().not_closed() == {}


@pytest.mark.parametrize("where", ["refusing_address", "silent_address", "rude_address"])
def test_every_way_to_get_no_token_counts_as_a_failure(
    where: str, guarded: Guarded, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(where)
    if where == "rude_address":
        address = address(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>")
    key = key_naming(f"{address}/token", guarded.wire, tmp_path)
    console = guarded.wire.console(
        key,
        retry=RetryPolicy(attempts=9, sleep=guarded.wire.waits.append),
        guards=Guards(token_breakers=guarded.endpoints()),
        limits=TransportLimits(silent_seconds=0.05),
    )
    with pytest.raises(ServiceUnavailableError, match=f"the token endpoint {address}/token"):
        console.sites()
    assert TokenBreakers(guarded.store).at(f"{address}/token").state().failures == 1


def test_refused_credentials_never_count_as_failures(guarded: Guarded) -> None:
    wire = guarded.wire
    wire.answer_instead("token", *[REVOKED] * 20)
    for _ in range(20):
        with pytest.raises(CredentialUnusableError):
            guarded.console().sites()
    assert guarded.console().sites()
    assert guarded.endpoints().not_closed() == {}


def test_a_refusal_resets_the_count(guarded: Guarded) -> None:
    wire = guarded.wire
    wire.answer_instead("token", DOWN, REVOKED)
    for error in (ServiceUnavailableError, CredentialUnusableError):
        with pytest.raises(error):
            guarded.console(attempts=1).sites()
        failures = guarded.endpoints().at(f"{wire.url}/token").state().failures
        assert failures == (error is ServiceUnavailableError)


def test_a_key_with_an_invalid_endpoint_does_not_affect_others(
    guarded: Guarded, refusing_address: str, tmp_path: Path
) -> None:
    bad = key_naming(f"{refusing_address}/token", guarded.wire, tmp_path)
    with pytest.raises(ServiceUnavailableError):
        guarded.console(bad, attempts=9).sites()
    for nonsense in ("http://[oops/token", "not an address"):
        bad = key_naming(nonsense, guarded.wire, tmp_path)
        with pytest.raises(TokenEndpointError):
            guarded.console(bad, attempts=9).sites()
    assert guarded.console().sites()


def test_a_valid_token_is_used_while_its_endpoint_is_down(guarded: Guarded, tmp_path: Path) -> None:
    running = guarded.console()
    assert running.sites()
    open_with_503(guarded, tmp_path)
    with pytest.raises(CircuitOpenError):
        guarded.console(attempts=9).sites()
    assert running.sites()


def test_credentials_with_an_open_circuit_are_listed_without_a_request(
    guarded: Guarded, tmp_path: Path
) -> None:
    wire = guarded.wire
    open_with_503(guarded, tmp_path)
    other = key_naming("https://elsewhere.example/token", wire, tmp_path)
    missing = ServiceAccountFile(tmp_path / "missing.json")
    held = guarded.endpoints().not_closed_for({"acme": wire.key, "other": other, "missing": missing})
    assert {name: state.state for name, state in held.items()} == {"acme": Circuit.OPEN}
    assert held["acme"].retry_at == guarded.now + timedelta(minutes=5)


def test_secrets_in_an_endpoints_url_are_not_stored(
    guarded: Guarded, tmp_path: Path, refusing_address: str
) -> None:
    address = refusing_address.replace("http://", "http://anna:geheim@") + "/token?key=geheim#geheim"
    for n in range(5):
        key = key_naming(address, guarded.wire, tmp_path, f"{n}@project.example")
        with pytest.raises(ServiceUnavailableError) as caught:
            guarded.console(key, attempts=1).sites()
        assert "geheim" not in str(caught.value)
    assert f"token endpoint {refusing_address}/token" in guarded.endpoints().not_closed()
    assert "geheim" not in str(guarded.endpoints().not_closed())
    assert "geheim" not in str(guarded.store.execute("SELECT * FROM gsc_calls_given_up"))
