from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Callable, Iterator
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
    OAuthFile,
    ServiceAccountEnvironment,
    ServiceAccountFile,
    TokenEndpoints,
    load_credentials,
)
from gsc_pipeline.search_console.client import Usage
from gsc_pipeline.search_console.errors import (
    CredentialUnusableError,
    InvalidGrantError,
    PropertyForbiddenError,
    QuotaError,
    SearchConsoleError,
    ServiceUnavailableError,
    TokenEndpointError,
    TransientError,
    WrongAnswerError,
)
from gsc_pipeline.simulator import Reply, google_error, token_error, write_service_account_key
from gsc_pipeline_tests.credentials import authorized_user_info
from gsc_pipeline_tests.faults.hostile import (
    ANSWERS,
    FORMS,
    OPAQUE_TOKEN,
    Hostile,
    hostile_server,
    in_base64,
)
from gsc_pipeline_tests.search_console.conftest import CLIENT_EMAIL, Wire

CANARY = "canary0secret"
FILE = ServiceAccountFile(Path("acme.json"))
KEY_VARIABLE = ServiceAccountEnvironment("ACME_KEY")
USER_VARIABLE = OAuthEnvironment("ACME_USER")
USER_FILE = OAuthFile(Path("my user.json"))


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
    """Writes a text, or a document as JSON, to where a source reads it."""
    monkeypatch.chdir(tmp_path)

    def put(source: CredentialSource, content: Any) -> CredentialSource:
        text = content if isinstance(content, str) else json.dumps(content)
        if isinstance(source, ServiceAccountFile | OAuthFile):
            source.path.write_text(text, encoding="utf-8")
        else:
            monkeypatch.setenv(source.name, text)
        return source

    return put


def key_info(**changes: object) -> dict[str, object]:
    """A service-account key whose parts a test would recognise in an error."""
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


def test_a_service_account_file_gets_a_read_only_token(wire: Wire) -> None:
    assert wire.console().sites()

    token, sites = wire.simulator.calls
    assert token.kind == "token"
    assert token.body["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = token.body["assertion"].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["scope"] == SCOPE
    assert SCOPE.endswith("/webmasters.readonly")
    assert sites.subject == CLIENT_EMAIL


def test_a_service_account_key_can_be_in_an_environment_variable(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", wire.key.path.read_text())

    assert wire.console(KEY_VARIABLE).sites()

    assert wire.simulator.calls[-1].subject == CLIENT_EMAIL


def test_an_authorized_user_can_be_in_an_environment_variable(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_USER", json.dumps(authorized_user_info(wire.url, client_id="acme.apps")))

    assert wire.console(USER_VARIABLE).sites()

    token, sites = wire.simulator.calls
    assert token.body["grant_type"] == "refresh_token"
    assert sites.subject == "acme.apps"


def test_an_authorized_user_can_be_in_a_file(wire: Wire, tmp_path: Path) -> None:
    file = tmp_path / "user.json"
    file.write_text(json.dumps(authorized_user_info(wire.url, client_id="acme.apps")))

    assert wire.console(OAuthFile(file)).sites()

    assert wire.simulator.calls[-1].subject == "acme.apps"


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        (USER_FILE, "sign in again: gsc login --out 'my user.json'"),
        (
            USER_VARIABLE,
            "sign in again: gsc login --client FILE --out FILE, and put the text of its file into ACME_USER",
        ),
    ],
    ids=["file", "variable"],
)
def test_an_error_of_a_revoked_refresh_token_names_the_credential_and_how_to_sign_in_again(
    source: CredentialSource,
    remedy: str,
    wire: Wire,
    put: Callable[[CredentialSource, Any], CredentialSource],
) -> None:
    put(source, authorized_user_info(wire.url))
    wire.answer_instead("token", token_error("invalid_grant", "Token has been expired or revoked."))
    with pytest.raises(InvalidGrantError) as caught:
        wire.console(source).sites()
    assert isinstance(caught.value, CredentialUnusableError)
    assert str(caught.value) == (
        f"{source}: the token endpoint answered 400 (invalid_grant): "
        f"Token has been expired or revoked; {remedy}"
    )
    assert wire.count("token") == 1


def test_a_refused_assertion_has_the_remedy_of_a_key(wire: Wire) -> None:
    wire.answer_instead("token", token_error("invalid_grant", "Invalid JWT Signature."))
    with pytest.raises(InvalidGrantError) as caught:
        wire.console().sites()
    assert caught.value.remedy == CredentialUnusableError.remedy


def test_a_refresh_token_is_used_without_scopes(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    document = authorized_user_info(wire.url) | {"scopes": ["https://www.googleapis.com/auth/webmasters"]}
    monkeypatch.setenv("ACME_USER", json.dumps(document))

    wire.tokens(USER_VARIABLE).header()

    assert "scope" not in wire.simulator.calls[0].body


def test_a_credential_without_a_token_endpoint_uses_googles(
    put: Callable[[CredentialSource, Any], CredentialSource],
) -> None:
    document = user_info()
    del document["token_uri"]

    credentials: Any = load_credentials(put(USER_VARIABLE, document))

    assert credentials.token_uri == "https://oauth2.googleapis.com/token"


def test_a_byte_order_mark_in_a_key_file_is_ignored(wire: Wire, tmp_path: Path) -> None:
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
            "service-account key in the environment variable ACME_KEY: the variable is not set or is empty",
        ),
        (
            USER_VARIABLE,
            "OAuth credential in the environment variable ACME_USER: the variable is not set or is empty",
        ),
    ],
)
def test_an_error_names_a_missing_credential(
    source: CredentialSource, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACME_KEY", raising=False)
    monkeypatch.setenv("ACME_USER", "")

    with pytest.raises(CredentialUnusableError) as caught:
        load_credentials(source)

    assert caught.value.cause == text
    assert str(caught.value).endswith(
        "; check the workspace's credentials entry and create a new key if necessary"
    )


@pytest.mark.parametrize("source", [FILE, KEY_VARIABLE, USER_VARIABLE, USER_FILE])
@pytest.mark.parametrize(
    "content",
    [CANARY, f'{{"private_key": "{CANARY}', f'"{CANARY}"', [CANARY], None, 5, f"-----BEGIN {CANARY}"],
)
def test_a_credential_that_is_not_a_json_key_is_refused_without_quoting_it(
    source: CredentialSource, content: Any, put: Callable[[CredentialSource, Any], CredentialSource]
) -> None:
    with pytest.raises(CredentialUnusableError) as caught:
        load_credentials(put(source, content))

    assert caught.value.cause == f"{source} is not a JSON key as Google issues it"


def test_a_binary_file_is_not_a_key(tmp_path: Path) -> None:
    path = tmp_path / "key.p12"
    path.write_bytes(b"\x30\x82\xff\xfe" + CANARY.encode())

    with pytest.raises(CredentialUnusableError, match=r"key\.p12 cannot be read \(not text\)"):
        load_credentials(ServiceAccountFile(path))


@pytest.mark.parametrize("kind", ["pipe", "device", "endless device", "socket"])
def test_a_key_file_that_is_not_a_regular_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = {"device": Path("/dev/null"), "endless device": Path("/dev/zero")}.get(kind, tmp_path / "key")
    if kind == "pipe":
        os.mkfifo(path)
    with socket.socket(socket.AF_UNIX) as bound:
        if kind == "socket":
            bound.bind(str(path))
        with pytest.raises(
            CredentialUnusableError, match=r"cannot be read \((not a regular file|No such device)"
        ):
            load_credentials(ServiceAccountFile(path))


def test_a_huge_key_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    with path.open("wb") as file:
        file.truncate(10**11)
    with pytest.raises(CredentialUnusableError, match=r"key\.json cannot be read \(larger than 64 KB\)"):
        load_credentials(ServiceAccountFile(path))


GOOGLES = [
    "https://oauth2.googleapis.com/token",
    "https://accounts.google.com/o/oauth2/token",
    "https://www.googleapis.com/oauth2/v4/token",
]
OTHERS = {
    "http://oauth2.googleapis.com/token": "oauth2.googleapis.com",
    "https://oauth2.googleapis.com.evil.example/token": "oauth2.googleapis.com.evil.example",
    "https://oauth2.googleapis.com:8443/token": "oauth2.googleapis.com",
    "https://oauth2.googleapis.com@evil.example/token": "evil.example",
    "https://evil.example\\@oauth2.googleapis.com/token": "an invalid address",
    "https://evil.example/token": "evil.example",
    "http://127.0.0.1.evil.example/token": "127.0.0.1.evil.example",
    "http://10.0.0.1/token": "10.0.0.1",
    "file:///etc/passwd": "an invalid address",
}


@pytest.mark.parametrize("address", GOOGLES)
def test_a_credential_is_sent_to_googles_token_endpoints(address: str) -> None:
    TokenEndpoints().check(FILE, address)


@pytest.mark.parametrize(("address", "host"), OTHERS.items())
def test_a_credential_is_not_sent_to_another_token_endpoint(
    address: str, host: str, wire: Wire, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(json.loads(wire.key.path.read_text()) | {"token_uri": address}))
    with pytest.raises(TokenEndpointError) as caught:
        wire.console(ServiceAccountFile(path)).sites()
    assert str(caught.value) == (
        f"service-account file {path} names a token_uri at {host}, which is neither Google's nor in "
        "GSC_TOKEN_URIS; create a new key at Google, or list the address in GSC_TOKEN_URIS if you trust it"
    )
    TokenEndpoints([address]).check(FILE, address)


def test_an_endpoint_on_this_machine_is_used_only_if_the_api_is_there_too(wire: Wire) -> None:
    for address in ("http://127.0.0.1:1/token", "http://[::1]:1/token", "http://localhost/token"):
        TokenEndpoints(loopback=True).check(FILE, address)
    with pytest.raises(TokenEndpointError, match=r"token_uri at 127\.0\.0\.1"):
        wire.console(base_url="https://searchconsole.googleapis.com").sites()
    assert wire.count("token") == 0


@pytest.mark.parametrize(
    ("source", "content", "lacking"),
    [
        (FILE, {}, "client_email, private_key"),
        (FILE, key_info(private_key=None, token_uri=""), "private_key, token_uri"),
        (FILE, key_info(client_email=[CANARY], token_uri=5), "client_email, token_uri"),
        (KEY_VARIABLE, user_info(), "client_email, private_key"),
        (USER_VARIABLE, key_info(), "refresh_token, client_id, client_secret"),
        (USER_FILE, key_info(), "refresh_token, client_id, client_secret"),
        (USER_VARIABLE, {"installed": user_info()}, "refresh_token, client_id, client_secret"),
        (USER_VARIABLE, user_info(refresh_token={"a": CANARY}), "refresh_token"),
        (USER_VARIABLE, user_info(client_secret="", token_uri=None), "client_secret, token_uri"),
    ],
)
def test_an_error_names_every_missing_field_of_a_key(
    source: CredentialSource,
    content: Any,
    lacking: str,
    put: Callable[[CredentialSource, Any], CredentialSource],
) -> None:
    with pytest.raises(CredentialUnusableError) as caught:
        load_credentials(put(source, content))

    assert caught.value.cause == f"{source} lacks {lacking}"


@pytest.mark.parametrize("kind", ["no PEM", "garbage", "cut", "encrypted", "elliptic", "inconsistent"])
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
        "inconsistent": lambda: pem(inconsistent(private_key)),
    }[kind]()

    with pytest.raises(CredentialUnusableError) as caught:
        load_credentials(put(source, key_info(private_key=text)))

    assert caught.value.cause == f"{source} holds no usable private key"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def inconsistent(key: rsa.RSAPrivateKey) -> rsa.RSAPrivateKey:
    """The key with another public exponent, which its signatures do not fit."""
    numbers = key.private_numbers()
    public = rsa.RSAPublicNumbers(e=3, n=numbers.public_numbers.n)
    parts = (numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp, public)
    return rsa.RSAPrivateNumbers(*parts).private_key(unsafe_skip_rsa_key_validation=True)


def lines_of(document: dict[str, Any]) -> list[str]:
    """All texts of a credential that an error must not contain, line by line."""
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
def test_an_error_names_a_refused_credential_and_quotes_the_token_endpoint(
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


@pytest.fixture(scope="module")
def hostile() -> Iterator[Hostile]:
    with hostile_server() as hostile:
        yield hostile


@pytest.mark.parametrize("path", [path for path in ANSWERS if path != "token"])
def test_no_error_repeats_the_assertion(path: str, wire: Wire, hostile: Hostile, tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(json.loads(wire.key.path.read_text()) | {"token_uri": f"{hostile.url}/{path}"}))
    with pytest.raises(SearchConsoleError) as caught:
        wire.console(ServiceAccountFile(key)).sites()
    assertion = hostile.received[-1]
    said = "".join(str(caught.value).split())
    for form in (str, in_base64, FORMS["percent"], FORMS["escapes"]):
        written = form(assertion)
        assert not [n for n in range(24, len(written) - 16, 4) if written[n : n + 16] in said]


@pytest.mark.parametrize("form", FORMS)
def test_no_error_repeats_an_access_token_of_any_form(
    form: str, wire: Wire, hostile: Hostile, tmp_path: Path
) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(json.loads(wire.key.path.read_text()) | {"token_uri": f"{hostile.url}/token"}))
    echo = FORMS[form](OPAQUE_TOKEN)
    wire.answer_instead("sites", google_error(403, echo[:90], f"Denied to '{echo}'."))
    with pytest.raises(PropertyForbiddenError) as caught:
        wire.console(ServiceAccountFile(key)).sites()
    assert str(caught.value).startswith("Search Console answered 403 (PERMISSION_DENIED, ")
    assert caught.value.cause.count("[secret]") == 2
    assert not any(echo[n : n + 12] in str(caught.value) for n in range(24, len(echo) - 12, 4))


def test_invalid_bytes_in_an_unused_field_of_a_token_are_ignored(wire: Wire) -> None:
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
def test_transient_failures_of_a_token_endpoint_are_retried(failure: Reply, wire: Wire) -> None:
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
def test_an_answer_without_a_usable_token_is_retried_once(answer: dict[str, object], wire: Wire) -> None:
    wire.answer_instead("token", Reply(200, answer), None, *[Reply(200, answer)] * 5)

    assert wire.console().sites()
    with pytest.raises(WrongAnswerError, match="the token endpoint") as caught:
        wire.console().sites()

    assert wire.count("token") == 4
    assert len(str(caught.value)) < 500


def test_a_token_endpoint_that_keeps_failing_is_not_a_credential_error(wire: Wire) -> None:
    wire.answer_instead("token", *[Reply(503, b"<!DOCTYPE html>")] * 5)

    with pytest.raises(ServiceUnavailableError, match="the token endpoint answered 503"):
        wire.console().sites()

    assert [call.kind for call in wire.simulator.calls] == ["token"] * 3


def test_retry_after_of_a_token_endpoint_is_obeyed(wire: Wire) -> None:
    wire.answer_instead(
        "token", Reply(503, b"", {"Retry-After": "9"}), Reply(429, b"", {"Retry-After": "11"})
    )

    wire.console().sites()

    assert wire.waits == [9.0, 11.0]


def test_a_long_retry_after_of_a_token_endpoint_is_raised_at_once(wire: Wire) -> None:
    wire.answer_instead("token", Reply(429, b"", {"Retry-After": "600"}))

    with pytest.raises(QuotaError) as caught:
        wire.console().sites()

    assert caught.value.retry_after == 600
    assert wire.waits == []


@pytest.mark.parametrize("source", [FILE, USER_VARIABLE])
def test_an_unreachable_token_endpoint_is_named_and_is_not_a_credential_error(
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


@pytest.mark.parametrize("seconds", [0, 1, 30, 3599])
def test_a_token_is_requested_once_however_short_it_claims_to_live(seconds: int, wire: Wire) -> None:
    wire.answer_instead("token", token("first", expires_in=seconds), token("second"), token("unneeded"))
    tokens = wire.tokens()

    assert [tokens.header() for _ in range(4)] == ["Bearer first"] * 4
    tokens.renew("Bearer first")

    assert [tokens.header() for _ in range(4)] == ["Bearer second"] * 4
    assert wire.count("token") == 2


def test_a_lifetime_written_as_a_string_is_accepted(wire: Wire) -> None:
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


def test_threads_that_need_a_token_cause_one_refresh(wire: Wire) -> None:
    tokens = wire.tokens()

    headers = in_many_threads(tokens.header)

    assert len(set(headers)) == 1
    assert wire.count("token") == 1


def test_threads_whose_token_was_refused_cause_one_refresh(wire: Wire) -> None:
    tokens = wire.tokens()
    refused = tokens.header()

    in_many_threads(lambda: tokens.renew(refused))

    assert tokens.header() != refused
    assert wire.count("token") == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o664])
def test_a_key_file_that_other_users_can_read_is_used_with_one_warning(
    mode: int, wire: Wire, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = tmp_path / "a key.json"
    write_service_account_key(key, base_url=wire.url, client_email=CLIENT_EMAIL)
    key.chmod(mode)

    for _ in range(3):
        assert wire.tokens(ServiceAccountFile(key)).header().startswith("Bearer ")

    (record,) = [one for one in caplog.records if one.name.endswith("auth")]
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"the key file {key} can be read by other users (mode {mode:03o}): run chmod 600 '{key}'"
    )
    assert vars(record)["key_file"] == str(key)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_that_only_its_owner_can_read_causes_no_warning(
    mode: int, wire: Wire, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = tmp_path / "key.json"
    write_service_account_key(key, base_url=wire.url, client_email=CLIENT_EMAIL)
    key.chmod(mode)
    wire.tokens(ServiceAccountFile(key)).header()
    assert caplog.messages == []


def test_credentials_of_one_user_share_a_hash_that_does_not_reveal_them(
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
