from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from gsc_pipeline.search_console.auth import (
    SCOPE,
    CredentialSource,
    OAuthEnvironment,
    ServiceAccountEnvironment,
    ServiceAccountFile,
    load_credentials,
)
from gsc_pipeline.search_console.client import Usage
from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    QuotaError,
    ServiceUnavailableError,
    TransientError,
    WrongAnswerError,
)
from gsc_pipeline.simulator import (
    Reply,
    authorized_user_info,
    google_error,
    token_error,
    write_service_account_key,
)
from gsc_pipeline_tests.search_console.conftest import CLIENT_EMAIL, Wire

CANARY = "canary0secret"
FILE = ServiceAccountFile(Path("acme.json"))
KEY_VARIABLE = ServiceAccountEnvironment("ACME_KEY")
USER_VARIABLE = OAuthEnvironment("ACME_USER")


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    encryption: KeySerializationEncryption = NoEncryption(),  # noqa: B008
) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[CredentialSource, Any], CredentialSource]:
    """Puts a text (or a document, as JSON) where a source looks for it."""
    monkeypatch.chdir(tmp_path)

    def put(source: CredentialSource, content: Any) -> CredentialSource:
        text = content if isinstance(content, str) else json.dumps(content)
        if isinstance(source, ServiceAccountFile):
            source.path.write_text(text, encoding="utf-8")
        else:
            monkeypatch.setenv(source.name, text)
        return source

    return put


def key_info(**changes: object) -> dict[str, object]:
    """A service-account key, all of whose parts a test would notice in a text."""
    return {
        "type": "service_account",
        "private_key_id": f"{CANARY}-id",
        "private_key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
        "client_email": f"{CANARY}@project.example",
        "token_uri": "http://127.0.0.1:1/token",
    } | changes


def user_info(**changes: object) -> dict[str, object]:
    return {
        "client_id": f"{CANARY}-id",
        "client_secret": f"{CANARY}-secret",
        "refresh_token": f"1//{CANARY}",
        "token_uri": "http://127.0.0.1:1/token",
    } | changes


def test_a_service_account_file_is_good_for_a_token_that_only_reads(wire: Wire) -> None:
    assert wire.console().sites()

    token, sites = wire.simulator.calls
    assert token.kind == "token"
    assert token.body["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = token.body["assertion"].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["scope"] == SCOPE
    assert SCOPE.endswith("/webmasters.readonly")
    assert sites.subject == CLIENT_EMAIL


def test_a_service_account_key_may_be_in_an_environment_variable(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", wire.key.path.read_text())

    assert wire.console(KEY_VARIABLE).sites()

    assert wire.simulator.calls[-1].subject == CLIENT_EMAIL


def test_an_authorized_user_may_be_in_an_environment_variable(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_USER", json.dumps(authorized_user_info(wire.url, client_id="acme.apps")))

    assert wire.console(USER_VARIABLE).sites()

    token, sites = wire.simulator.calls
    assert token.body["grant_type"] == "refresh_token"
    assert sites.subject == "acme.apps"


def test_an_authorized_user_is_asked_for_no_other_scope_than_was_granted(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = authorized_user_info(wire.url) | {"scopes": ["https://www.googleapis.com/auth/webmasters"]}
    monkeypatch.setenv("ACME_USER", json.dumps(document))

    wire.tokens(USER_VARIABLE).header()

    assert "scope" not in wire.simulator.calls[0].body


def test_a_credential_that_names_no_token_endpoint_uses_googles(
    put: Callable[[CredentialSource, Any], CredentialSource],
) -> None:
    document = user_info()
    del document["token_uri"]

    credentials: Any = load_credentials(put(USER_VARIABLE, document))

    assert credentials.token_uri == "https://oauth2.googleapis.com/token"


def test_a_byte_order_mark_is_no_part_of_a_key(wire: Wire, tmp_path: Path) -> None:
    marked = tmp_path / "marked.json"
    marked.write_bytes(b"\xef\xbb\xbf" + wire.key.path.read_bytes())

    assert wire.tokens(ServiceAccountFile(marked)).header().startswith("Bearer ")


def test_a_key_is_read_when_it_is_first_used(wire: Wire) -> None:
    tokens = wire.tokens(ServiceAccountFile(Path("nowhere.json")))

    with pytest.raises(CredentialUnusableError, match=r"service-account file nowhere\.json cannot be read"):
        tokens.header()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (FILE, "service-account file acme.json cannot be read (No such file or directory)"),
        (ServiceAccountFile(Path()), "service-account file . cannot be read (Is a directory)"),
        (
            KEY_VARIABLE,
            "service-account key in the environment variable ACME_KEY: the variable is not set, or empty",
        ),
        (
            USER_VARIABLE,
            "OAuth credential in the environment variable ACME_USER: the variable is not set, or empty",
        ),
    ],
)
def test_a_credential_that_is_not_there_is_named(
    source: CredentialSource, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACME_KEY", raising=False)
    monkeypatch.setenv("ACME_USER", "")

    with pytest.raises(CredentialUnusableError) as caught:
        load_credentials(source)

    assert caught.value.cause == text
    assert str(caught.value).endswith(
        "; check the workspace's credentials entry and issue a new key if need be"
    )


@pytest.mark.parametrize("source", [FILE, KEY_VARIABLE, USER_VARIABLE])
@pytest.mark.parametrize(
    "content",
    [CANARY, f'{{"private_key": "{CANARY}', f'"{CANARY}"', [CANARY], None, 5, f"-----BEGIN {CANARY}"],
)
def test_what_is_no_json_key_is_refused_without_quoting_it(
    source: CredentialSource, content: Any, put: Callable[[CredentialSource, Any], CredentialSource]
) -> None:
    with pytest.raises(CredentialUnusableError) as caught:
        load_credentials(put(source, content))

    assert caught.value.cause == f"{source} is not a JSON key as Google issues it"


def test_a_file_that_is_no_text_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key.p12"
    path.write_bytes(b"\x30\x82\xff\xfe" + CANARY.encode())

    with pytest.raises(CredentialUnusableError, match=r"key\.p12 cannot be read \(not text\)"):
        load_credentials(ServiceAccountFile(path))


@pytest.mark.parametrize(
    ("source", "content", "lacking"),
    [
        (FILE, {}, "client_email, private_key"),
        (FILE, key_info(private_key=None, token_uri=""), "private_key, token_uri"),
        (FILE, key_info(client_email=[CANARY], token_uri=5), "client_email, token_uri"),
        (KEY_VARIABLE, user_info(), "client_email, private_key"),
        (USER_VARIABLE, key_info(), "refresh_token, client_id, client_secret"),
        (USER_VARIABLE, {"installed": user_info()}, "refresh_token, client_id, client_secret"),
        (USER_VARIABLE, user_info(refresh_token={"a": CANARY}), "refresh_token"),
        (USER_VARIABLE, user_info(client_secret="", token_uri=None), "client_secret, token_uri"),
    ],
)
def test_every_field_that_a_key_lacks_is_named(
    source: CredentialSource,
    content: Any,
    lacking: str,
    put: Callable[[CredentialSource, Any], CredentialSource],
) -> None:
    with pytest.raises(CredentialUnusableError) as caught:
        load_credentials(put(source, content))

    assert caught.value.cause == f"{source} lacks {lacking}"


@pytest.mark.parametrize("kind", ["no PEM", "garbage", "cut", "encrypted", "elliptic"])
@pytest.mark.parametrize("source", [FILE, KEY_VARIABLE])
def test_a_private_key_that_cannot_sign_is_refused_without_quoting_it(
    source: CredentialSource,
    kind: str,
    put: Callable[[CredentialSource, Any], CredentialSource],
    private_key: rsa.RSAPrivateKey,
) -> None:
    text = {
        "no PEM": lambda: CANARY,
        "garbage": lambda: f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
        "cut": lambda: pem(private_key)[:800],
        "encrypted": lambda: pem(private_key, BestAvailableEncryption(b"passphrase")),
        "elliptic": lambda: pem(ec.generate_private_key(ec.SECP256R1())),
    }[kind]()

    with pytest.raises(CredentialUnusableError) as caught:
        load_credentials(put(source, key_info(private_key=text)))

    assert caught.value.cause == f"{source} holds no usable private key"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def lines_of(document: dict[str, Any]) -> list[str]:
    """Every text of a credential that a message must not hold, line by line."""
    secrets = [
        document.get(name, "") for name in ("private_key", "private_key_id", "refresh_token", "client_secret")
    ]
    return [
        line for secret in secrets for line in secret.splitlines() if line and not line.startswith("-----")
    ]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            token_error("invalid_grant", "Token has been revoked."),
            "400 (invalid_grant): Token has been revoked",
        ),
        (token_error("invalid_client", "No such client."), "400 (invalid_client): No such client"),
        (Reply(401, {"error": "deleted_client"}), "401 (deleted_client)"),
        (Reply(404, b"<!DOCTYPE html><title>Not Found</title>"), "404"),
        (google_error(403, "forbidden", "No."), "403 (PERMISSION_DENIED, forbidden): No"),
    ],
)
def test_a_dead_credential_is_named_with_what_the_token_endpoint_said_of_it(
    refusal: Reply, said: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = authorized_user_info(wire.url)
    monkeypatch.setenv("ACME_USER", json.dumps(user))
    secrets = lines_of(user) + lines_of(json.loads(wire.key.path.read_text()))
    assert len(secrets) > 20

    for source in (wire.key, USER_VARIABLE):
        wire.answer_instead("token", refusal)
        console = wire.console(source)
        with pytest.raises(CredentialUnusableError) as caught:
            console.sites()

        assert caught.value.cause == f"{source}: the token endpoint answered {said}"
        assert not any(secret in str(caught.value) for secret in secrets)
        assert console.usage() == Usage(0, 0)
    assert wire.count("token") == 2
    assert wire.waits == []


def test_a_token_is_taken_whatever_bytes_stand_in_a_field_that_nobody_reads(wire: Wire) -> None:
    body = b'{"access_token":"abc","expires_in":3599,"something":"\xca"}'
    wire.answer_instead("token", Reply(200, body))
    assert wire.tokens().header() == "Bearer abc"


@pytest.mark.parametrize(
    "failure",
    [
        google_error(503, "backendError", "Backend Error"),
        Reply(500, {"error": "internal_failure"}),
        Reply(429, {"error": "rate_limit_exceeded"}),
        Reply(400, {"error": "temporarily_unavailable"}),
        Reply(200, b"<!DOCTYPE html><title>Sign in to the network</title>"),
        Reply(200, b"\xff\xfe"),
        Reply(cut_after=10),
    ],
)
def test_a_token_endpoint_that_fails_for_now_is_asked_again_like_the_api(failure: Reply, wire: Wire) -> None:
    wire.answer_instead("token", failure, failure)
    console = wire.console()

    assert console.sites()

    assert wire.count("token") == 3
    assert len(wire.waits) == 2
    assert console.usage() == Usage(calls=1, retries=2)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"token_type": "Bearer"},
        {"access_token": None},
        {"access_token": ""},
        {"access_token": "a token"},
        {"access_token": "token\r\nX-Other: header"},
        {"access_token": "token\n"},
        {"access_token": "tökén"},
        {"access_token": "t", "expires_in": "soon"},
        {"access_token": "t", "expires_in": -1},
        {"access_token": "t", "expires_in": 10**9},
        {"access_token": "t", "error": "invalid_grant"},
        {"access_token": "t" * 70_000},
    ],
)
def test_an_answer_without_a_token_that_can_be_sent_is_asked_for_once_more(
    answer: dict[str, object], wire: Wire
) -> None:
    wire.answer_instead("token", Reply(200, answer), None, *[Reply(200, answer)] * 5)

    assert wire.console().sites()
    with pytest.raises(WrongAnswerError, match="the token endpoint") as caught:
        wire.console().sites()

    assert wire.count("token") == 4
    assert len(str(caught.value)) < 500


def test_a_token_endpoint_that_stays_broken_leaves_the_credential_unjudged(wire: Wire) -> None:
    wire.answer_instead("token", *[Reply(503, b"<!DOCTYPE html>")] * 5)

    with pytest.raises(ServiceUnavailableError, match="the token endpoint answered 503"):
        wire.console().sites()

    assert [call.kind for call in wire.simulator.calls] == ["token"] * 3


def test_a_token_endpoint_is_waited_for_as_it_asks(wire: Wire) -> None:
    wire.answer_instead(
        "token", Reply(503, b"", {"Retry-After": "9"}), Reply(429, b"", {"Retry-After": "11"})
    )

    wire.console().sites()

    assert wire.waits == [9.0, 11.0]


def test_a_token_endpoint_that_asks_for_too_long_a_wait_is_not_waited_for(wire: Wire) -> None:
    wire.answer_instead("token", Reply(429, b"", {"Retry-After": "600"}))

    with pytest.raises(QuotaError) as caught:
        wire.console().sites()

    assert caught.value.retry_after == 600
    assert wire.waits == []


@pytest.mark.parametrize("source", [FILE, USER_VARIABLE])
def test_a_token_endpoint_that_cannot_be_reached_is_named_and_leaves_the_credential_unjudged(
    source: CredentialSource,
    wire: Wire,
    refusing_address: str,
    put: Callable[[CredentialSource, Any], CredentialSource],
    private_key: rsa.RSAPrivateKey,
) -> None:
    token_uri = f"{refusing_address}/token"
    info = user_info if isinstance(source, OAuthEnvironment) else key_info
    put(source, info(token_uri=token_uri, private_key=pem(private_key)))

    with pytest.raises(TransientError) as caught:
        wire.tokens(source).header()

    assert type(caught.value) is ServiceUnavailableError
    assert caught.value.cause.startswith(
        f"no answer from the token endpoint {token_uri} (Failed to establish"
    )
    assert CANARY not in str(caught.value)


def token(value: str, **changes: object) -> Reply:
    return Reply(200, {"access_token": value, "expires_in": 3599, "token_type": "Bearer"} | changes)


def test_a_token_is_used_until_it_is_about_to_expire(wire: Wire) -> None:
    wire.answer_instead("token", token("short", expires_in=30), token("long"), token("unneeded"))
    tokens = wire.tokens()

    headers = [tokens.header() for _ in range(4)]

    assert headers == ["Bearer short", "Bearer long", "Bearer long", "Bearer long"]


def test_a_lifetime_written_as_text_is_understood(wire: Wire) -> None:
    wire.answer_instead("token", token("first", expires_in="3599"), token("unneeded"))
    tokens = wire.tokens()

    assert [tokens.header(), tokens.header()] == ["Bearer first", "Bearer first"]


def in_many_threads(function: Callable[[], object]) -> list[object]:
    threads = 16
    start = Barrier(threads)

    def run(_: int) -> object:
        start.wait()
        return function()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def test_many_threads_that_need_a_token_cause_one_refresh(wire: Wire) -> None:
    tokens = wire.tokens()

    headers = in_many_threads(tokens.header)

    assert len(set(headers)) == 1
    assert wire.count("token") == 1


def test_many_threads_whose_token_was_refused_cause_one_refresh(wire: Wire) -> None:
    tokens = wire.tokens()
    refused = tokens.header()

    in_many_threads(lambda: tokens.renew(refused))

    assert tokens.header() != refused
    assert wire.count("token") == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o664])
def test_a_key_file_that_others_may_read_is_warned_about_once_and_used(
    mode: int, wire: Wire, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = tmp_path / "a key.json"
    write_service_account_key(key, base_url=wire.url, client_email=CLIENT_EMAIL)
    key.chmod(mode)

    for _ in range(3):
        assert wire.tokens(ServiceAccountFile(key)).header().startswith("Bearer ")

    (record,) = [one for one in caplog.records if one.name.endswith("key_files")]
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"the key file {key} can be read by others (mode {mode:03o}): run chmod 600 '{key}'"
    )
    assert vars(record)["key_file"] == str(key)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_of_its_owner_alone_is_not_warned_about(
    mode: int, wire: Wire, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = tmp_path / "key.json"
    write_service_account_key(key, base_url=wire.url, client_email=CLIENT_EMAIL)
    key.chmod(mode)
    wire.tokens(ServiceAccountFile(key)).header()
    assert caplog.messages == []


def test_credentials_of_one_user_count_together_and_are_not_recognisable(
    wire: Wire, put: Callable[[CredentialSource, Any], CredentialSource]
) -> None:
    def oauth(**changes: str) -> dict[str, object]:
        return {**authorized_user_info(wire.url), **changes}

    anna = wire.tokens(put(USER_VARIABLE, oauth())).user()
    again = wire.tokens(put(USER_VARIABLE, oauth(client_secret="another"))).user()
    bob = wire.tokens(put(USER_VARIABLE, oauth(refresh_token="another"))).user()
    account = wire.tokens().user()
    assert anna == again
    assert len({anna, bob, account}) == 3
    assert all(len(one) == 16 and int(one, 16) for one in (anna, bob, account))
