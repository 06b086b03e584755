"""Secrets are masked by value, in whatever form they come."""

from __future__ import annotations

import base64
import json
import logging
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.text.secrets import MASK, Secrets, keep, keep_address, keep_passwords, masked
from gsc_pipeline_tests.soak import rest_in_soak

TOKEN = "ab/Cd+Ef-Gh_Ij=Kl.Mn~Op1Qr2St3Uv4Wx5Yz6aB7cD8eF9gH0iJ"
KEY = "\n".join(TOKEN[::-1][n : n + 16] + str(n) * 8 for n in range(0, 48, 16))


def secrets(*values: str) -> Secrets:
    made = Secrets()
    for value in values or (TOKEN, KEY):
        made.keep(value)
    return made


def base64_of(text: str, padding: int) -> str:
    return base64.b64encode(b"x" * padding + text.encode()).decode()


FORMS = {
    "as it is": lambda text: text,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "all of it percent-encoded": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON with escapes": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "JSON with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "bytes": lambda text: repr(text.encode()),
    "HTML": lambda text: escape(text).replace("/", "&#x2F;").replace("+", "&#43;"),
    "line breaks": lambda text: "\r\n".join(text[n : n + 5] for n in range(0, len(text), 5)),
    "spaces": " ".join,
    "zero-width spaces": "\u200b".join,
    "base64": lambda text: base64_of(text, 0),
    "base64 from the second byte on": lambda text: base64_of(text, 1),
    "base64 from the third byte on": lambda text: base64_of(text, 2),
    "base64url in lines": lambda text: "\n".join(
        base64.urlsafe_b64encode(text.encode()).decode()[n : n + 20] for n in range(0, 100, 20)
    ),
    "JSON in base64": lambda text: base64_of(json.dumps({"refused": text}), 0),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [TOKEN, KEY], ids=["token", "key"])
def test_a_secret_is_masked_in_every_form(form: str, secret: str) -> None:
    written = FORMS[form](secret)  # type: ignore[operator]
    said = secrets().masked(f"refused: <{written}> (of acme)")
    assert said.startswith("refused: <")
    assert said.endswith("> (of acme)")
    assert MASK in said
    assert len(said) < 80
    assert not any(part in said for part in (TOKEN[:6], TOKEN[20:26], TOKEN[-8:], KEY[:6], KEY[-8:]))


@pytest.mark.parametrize("secret", [TOKEN, KEY], ids=["token", "key"])
def test_a_cut_secret_is_masked_from_twelve_characters_on(secret: str) -> None:
    for length in range(12, len(secret)):
        said = secrets().masked(f"refused: {secret[:length]}")
        assert said.rstrip("\n") == f"refused: {MASK}"
    assert secrets().masked(secret[:11]) == secret[:11]


@given(st.integers(0, len(TOKEN) - 19), st.integers(19, 60), st.text(max_size=20), st.text(max_size=20))
def test_a_part_of_nineteen_characters_is_masked(start: int, length: int, before: str, after: str) -> None:
    part = TOKEN[start : start + length]
    assert part not in secrets().masked(f"{before} {part} {after}")


@given(st.text(max_size=300))
def test_other_text_stays_as_it_is(text: str) -> None:
    assert secrets().masked(text) == text


def test_of_two_keys_that_begin_alike_both_are_masked() -> None:
    begin = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw"
    both = begin + TOKEN, begin + TOKEN[::-1]
    for one in both:
        assert secrets(*both).masked(f"<{one}>") == f"<{MASK}>"
        said = secrets(*both).masked(one[: len(begin) + 25])
        assert said.startswith(MASK)
        assert len(said) < len(MASK) + 12


@given(st.lists(st.text("ab", min_size=12, max_size=60), unique=True, min_size=4, max_size=12))
def test_secrets_that_share_parts_are_dropped_and_the_newest_stay(values: list[str]) -> None:
    """As tokens do that begin alike. Each value has a part of its own, which is always found."""
    kept = Secrets(most=3)
    named = [f"{value}{n:024d}" for n, value in enumerate(values)]
    for value in named:
        kept.keep(value)
    for value in named[-3:]:
        assert kept.masked(f"<{value}>") == f"<{MASK}>"


def test_the_oldest_secrets_are_dropped_first() -> None:
    values = [f"{n:04}{TOKEN}" for n in range(5)]
    kept = Secrets(most=3)
    for value in values:
        kept.keep(value)
    said = [kept.masked(f"{n:04}{TOKEN[:8]}") for n in range(5)]
    assert said == [f"{n:04}{TOKEN[:8]}" for n in range(2)] + [MASK] * 3


@pytest.mark.parametrize(
    "unit", rest_in_soak(["\\", "%25", "%", "&#", "MIIEvQIBADAN", "a", "://", "eyJ", "\n"], first=4)
)
def test_a_long_text_is_masked_in_linear_time(unit: str) -> None:
    made = secrets("MIIEvQIBADAN" * 200, "a" * 2_000)
    made.masked(unit * (300_000 // len(unit)))


def test_passwords_and_random_parts_of_addresses_are_masked() -> None:
    keep_passwords("postgresql://sync:s3cr%40t-Word@db.example:5432/gsc?sslpassword=an0therOne")
    keep_address("https://hooks.example/services/T00AB1234/9f8e7d6c5b4a39281706f5e4?channel=ops")
    said = masked(
        "s3cr@t-Word s3cr%40t-Word an0therOne T00AB1234 9f8e7d6c5b4a39281706f5e4 services ops sync gsc"
    )
    assert said == " ".join([MASK] * 5) + " services ops sync gsc"


def test_of_passwords_that_begin_alike_the_longer_one_is_masked_whole() -> None:
    made = Secrets()
    for password in ("abc-12", "abc-12-x", "short"):
        made.keep_password(password)
    assert made.masked("abc-12-x abc-12 abc-123 short") == f"{MASK} {MASK} abc-123 short"


def test_addresses_are_shown_without_users_and_passwords() -> None:
    assert masked("see https://me@host/x, not a@b") == "see https://host/x, not a@b"
    assert masked("no answer from http://anna:geh@eim@host:1/x") == "no answer from http://host:1/x"


def test_log_records_of_all_libraries_are_masked(caplog: pytest.LogCaptureFixture) -> None:
    value = "log-canary-0123456789-abcdefghij"
    keep(value)
    log = logging.getLogger("some.library")
    log.warning("sent %s to %s", {"token": value}, "acme")
    log.warning("nothing to hide from %s", "acme")
    try:
        raise ValueError(f"bad header {value!r}")
    except ValueError:
        log.exception("failed")
    assert caplog.messages[0] == f"sent {{'token': '{MASK}'}} to acme"
    assert caplog.records[1].args == ("acme",)
    assert "canary" not in caplog.text
    assert "ValueError: bad header" in caplog.text
