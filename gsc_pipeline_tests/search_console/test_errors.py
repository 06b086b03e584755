from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from gsc_pipeline.days import PACIFIC
from gsc_pipeline.search_console.errors import (
    ApiDisabledError,
    CredentialError,
    CredentialUnusableError,
    DailyQuotaError,
    IllegalRequestError,
    InvalidGrantError,
    LoadQuotaError,
    PropertyError,
    PropertyForbiddenError,
    PropertyNotFoundError,
    QuotaError,
    Refusal,
    SearchConsoleError,
    ServiceUnavailableError,
    TokenExpiredError,
    TransientError,
    WrongAnswerError,
    WrongScopeError,
    classify,
    read_refusal,
)

NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
"""Noon in Pacific time: midnight is twelve hours later."""

NO_PERMISSION = (
    "User does not have sufficient permission for site '{}'. "
    "See also: https://support.google.com/webmasters/answer/2451999."
)
NEVER_USED = "Google Search Console API has not been used in project 5 before or it is disabled."
WRONG_SCOPE = "Request had insufficient authentication scopes."
TOO_FAST = "Search Analytics QPS quota exceeded. Learn about usage limits."
BY_THE_MINUTE = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute'"
BY_THE_DAY = "Quota exceeded for quota metric 'Queries' and limit 'Queries per day'"
HTML = b"<!DOCTYPE html><html><title>Error</title><p>Sorry, the quota page is down. forbidden notFound"


def google(reason: str, message: str = "", *, domain: str = "global", status: str = "") -> dict[str, Any]:
    """The body of an error as Google's APIs write it."""
    errors = [{"message": message, "domain": domain, "reason": reason}]
    return {"error": {"code": 0, "message": message, "errors": errors, "status": status}}


def modern(status: str, message: str = "", *, reason: str | None = None) -> dict[str, Any]:
    """A body without `errors`, as Google's newer front end writes it."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "googleapis.com", "reason": reason}
    return {"error": {"code": 0, "message": message, "status": status, "details": [info] if reason else []}}


def usage(reason: str, message: str = "Quota exceeded") -> dict[str, Any]:
    return google(reason, message, domain="usageLimits")


def token(error: str, description: str = "") -> dict[str, str]:
    return {"error": error, "error_description": description}


def error_for(
    status: int, body: object = b"", headers: dict[str, str] | None = None, now: datetime = NOON
) -> SearchConsoleError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(read_refusal(status, headers or {}, raw, now), now)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        # Our request is wrong.
        (400, google("invalidParameter", "Invalid value at 'rowLimit'"), IllegalRequestError),
        (400, google("badRequest"), IllegalRequestError),
        (400, modern("INVALID_ARGUMENT"), IllegalRequestError),
        (400, HTML, IllegalRequestError),
        (413, HTML, IllegalRequestError),
        # The answer is not of the API.
        (302, b"", WrongAnswerError),
        (304, b"", WrongAnswerError),
        (307, token("invalid_grant", "Sign in to the network."), WrongAnswerError),
        # The credential is refused.
        (400, token("invalid_grant", "Token has been expired or revoked."), InvalidGrantError),
        (401, token("invalid_client", "The OAuth client was not found."), CredentialUnusableError),
        (401, token("deleted_client"), CredentialUnusableError),
        (400, token("invalid_scope"), CredentialUnusableError),
        (403, google("insufficientPermissions", WRONG_SCOPE), WrongScopeError),
        (403, modern("PERMISSION_DENIED", reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT"), WrongScopeError),
        # The token has expired.
        (401, google("authError", "Invalid Credentials"), TokenExpiredError),
        (401, modern("UNAUTHENTICATED"), TokenExpiredError),
        (401, HTML, TokenExpiredError),
        # The property is forbidden.
        (403, google("forbidden", NO_PERMISSION.format("sc-domain:acme.com")), PropertyForbiddenError),
        (403, google("insufficientPermissions", "Insufficient Permission"), PropertyForbiddenError),
        (403, modern("PERMISSION_DENIED", NO_PERMISSION.format("https://acme.com/")), PropertyForbiddenError),
        (403, HTML, PropertyForbiddenError),
        # The API is disabled, although the domain is that of quotas.
        (403, usage("accessNotConfigured", "Access Not Configured."), ApiDisabledError),
        (403, modern("PERMISSION_DENIED", reason="SERVICE_DISABLED"), ApiDisabledError),
        (403, modern("PERMISSION_DENIED", NEVER_USED), ApiDisabledError),
        # Quota: 403 does not mean a missing permission here.
        (403, usage("quotaExceeded"), QuotaError),
        (403, usage("rateLimitExceeded"), QuotaError),
        (403, usage("userRateLimitExceeded"), QuotaError),
        (403, google("forbidden", TOO_FAST), QuotaError),
        (403, modern("PERMISSION_DENIED", TOO_FAST), QuotaError),
        (403, modern("PERMISSION_DENIED", "You have exceeded your short term quota."), QuotaError),
        (403, modern("RESOURCE_EXHAUSTED"), QuotaError),
        (403, google("somethingNew", "Too much", domain="usageLimits"), QuotaError),
        (429, usage("rateLimitExceeded"), QuotaError),
        (429, modern("RESOURCE_EXHAUSTED", reason="RATE_LIMIT_EXCEEDED"), QuotaError),
        (429, modern("RESOURCE_EXHAUSTED", BY_THE_MINUTE), QuotaError),
        (429, HTML, QuotaError),
        (429, token("rate_limit_exceeded"), QuotaError),
        # Unknown property.
        (404, google("notFound"), PropertyNotFoundError),
        (404, HTML, PropertyNotFoundError),
        # Google is unavailable.
        (408, HTML, ServiceUnavailableError),
        (500, google("internalError"), ServiceUnavailableError),
        (500, google("backendError"), ServiceUnavailableError),
        (502, HTML, ServiceUnavailableError),
        (503, google("backendError"), ServiceUnavailableError),
        (503, modern("UNAVAILABLE"), ServiceUnavailableError),
        (503, usage("quotaExceeded"), ServiceUnavailableError),
        (504, b"", ServiceUnavailableError),
        (500, token("internal_failure"), ServiceUnavailableError),
        (400, token("temporarily_unavailable"), ServiceUnavailableError),
        (400, token("server_error"), ServiceUnavailableError),
    ],
)  # fmt: skip
def test_a_refusal_is_classified_as_the_table_says(
    status: int, body: object, expected: type[SearchConsoleError]
) -> None:
    error = error_for(status, body)

    assert type(error) is expected
    assert str(status) in str(error)
    assert getattr(error, "retry_after", None) is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (PropertyForbiddenError, PropertyError),
        (PropertyNotFoundError, PropertyError),
        (CredentialUnusableError, CredentialError),
        (InvalidGrantError, CredentialUnusableError),
        (ApiDisabledError, CredentialError),
        (QuotaError, TransientError),
        (LoadQuotaError, QuotaError),
        (DailyQuotaError, QuotaError),
        (ServiceUnavailableError, TransientError),
        (WrongAnswerError, TransientError),
    ],
)
def test_errors_form_the_documented_tree(
    kind: type[SearchConsoleError], expected: type[SearchConsoleError]
) -> None:
    assert issubclass(kind, expected)
    families = [
        family for family in (PropertyError, CredentialError, TransientError) if issubclass(kind, family)
    ]
    assert len(families) == 1


@pytest.mark.parametrize(
    "site",
    [
        "https://quota.example/quotaExceeded/",
        "https://rate-limit-exceeded.example/daily-limit-exceeded/",
        "https://example.com/exceeded/my/quota/",
        "sc-domain:load-quota-exceeded.com",
    ],
)
def test_a_property_with_quota_words_in_its_url_is_still_forbidden(site: str) -> None:
    for body in (
        google("forbidden", NO_PERMISSION.format(site), status="PERMISSION_DENIED"),
        modern("PERMISSION_DENIED", NO_PERMISSION.format(site)),
    ):
        error = error_for(403, body)

        assert type(error) is PropertyForbiddenError
        assert site in str(error)


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize(
    "body",
    [
        usage("quotaExceeded", "Search Analytics load quota exceeded. Learn about usage limits."),
        modern("RESOURCE_EXHAUSTED", "Search Analytics load quota exceeded."),
    ],
)
def test_a_load_quota_refusal_waits_at_least_fifteen_minutes(status: int, body: object) -> None:
    for header, seconds in (({}, 900.0), ({"Retry-After": "30"}, 900.0), ({"Retry-After": "1200"}, 1200.0)):
        error = error_for(status, body, header)

        assert type(error) is LoadQuotaError
        assert error.retry_after == seconds
        assert error.retry_at == NOON + timedelta(seconds=seconds)


DAILY_QUOTA = [
    (403, usage("dailyLimitExceeded", "Daily Limit Exceeded")),
    (403, usage("dailyLimitExceededUnreg", "Daily Limit for Unauthenticated Use Exceeded")),
    (403, modern("PERMISSION_DENIED", "Daily Limit Exceeded. The quota will be reset at midnight Pacific.")),
    (429, modern("RESOURCE_EXHAUSTED", BY_THE_DAY)),
]


@pytest.mark.parametrize(("status", "body"), DAILY_QUOTA)
@pytest.mark.parametrize(
    ("now", "hours"),
    [
        ("2026-11-20T20:00", 12.0),
        ("2026-11-20T07:30", 0.5),
        ("2026-11-20T08:00", 24.0),
        ("2026-07-01T07:00", 24.0),
        # 2026-03-08 has 23 hours, 2026-11-01 has 25.
        ("2026-03-08T08:00", 23.0),
        ("2026-03-08T12:00", 19.0),
        ("2026-11-01T07:00", 25.0),
        ("2026-11-01T09:30", 22.5),
    ],
)
def test_a_daily_quota_refusal_waits_until_midnight_pacific(
    status: int, body: object, now: str, hours: float
) -> None:
    error = error_for(status, body, {"Retry-After": "1"}, now=datetime.fromisoformat(now).replace(tzinfo=UTC))

    assert type(error) is DailyQuotaError
    assert error.retry_after == hours * 3600
    assert error.retry_at is not None
    assert error.retry_at.astimezone(PACIFIC).time() == time(0, 0)
    assert "after midnight Pacific time" in str(error)
    assert "GSC_API_CONCURRENCY" not in str(error)


@pytest.mark.parametrize(
    ("status", "body"), [(429, usage("rateLimitExceeded")), (503, HTML), (429, token("slow_down"))]
)
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("nan", None),
        ("inf", 86_400.0),
        ("-inf", 0.0),
        ("1e300", 86_400.0),
        ("9" * 5_000, 86_400.0),
        # The date is one of NOON's, 2026-11-20 20:00 UTC.
        ("Fri, 20 Nov 2026 20:00:00 GMT", 0.0),
        ("Fri, 20 Nov 2026 20:00:45 GMT", 45.0),
        ("Friday, 20-Nov-26 20:02:00 GMT", 120.0),
        ("Fri Nov 20 20:01:00 2026", 60.0),
        ("Fri, 20 Nov 2026 20:01:00 -0000", 60.0),
        ("Fri, 20 Nov 2026 12:01:00 -0800", 60.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 32 Nov 2026 20:00:00 GMT", None),
        ("Fri, 20 Nov 2026 99:99:99 GMT", None),
        ("2026-11-20T20:00:45Z", None),
        ("GMT" * 5_000, None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    status: int, body: object, header: str, seconds: float | None
) -> None:
    error = error_for(status, body, {"Retry-After": header})

    assert isinstance(error, TransientError)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b'{"error": {"message": "cut',
        [],
        "error",
        None,
        {},
        {"error": None},
        {"error": []},
        {"error": {}},
        {"error": {"message": None, "errors": None, "status": None, "details": {}}},
        {"error": {"message": ["x"], "errors": [None, 5, "x", {}, {"reason": 5}], "status": 7}},
        {"fault": "other"},
    ],
)
def test_a_body_of_any_form_leaves_at_least_the_status(body: object) -> None:
    assert type(error_for(403, body)) is PropertyForbiddenError
    assert type(error_for(500, body)) is ServiceUnavailableError


def test_all_reasons_of_a_refusal_are_read() -> None:
    body = {
        "error": {
            "code": 429,
            "message": "Too fast",
            "status": "RESOURCE_EXHAUSTED",
            "errors": [{"reason": "rateLimitExceeded", "domain": "usageLimits", "message": "Too fast"}],
            "details": [{"reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com"}],
        }
    }

    assert read_refusal(429, {"Retry-After": "3"}, json.dumps(body).encode(), NOON) == Refusal(
        status=429,
        message="Too fast",
        reasons=frozenset(
            {
                "RESOURCE_EXHAUSTED",
                "rateLimitExceeded",
                "usageLimits",
                "RATE_LIMIT_EXCEEDED",
                "googleapis.com",
            }
        ),
        retry_after=3.0,
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            error_for(403, google("forbidden", "No permission for 'sc-domain:acme.com'.")),
            "Search Console answered 403 (forbidden): No permission for 'sc-domain:acme.com'; add the "
            "credential as a user of the property, and check the property's exact spelling",
        ),
        (
            error_for(400, token("invalid_grant", "Token has been expired or revoked.")),
            "the token endpoint answered 400 (invalid_grant): Token has been expired or revoked; check the "
            "workspace's credentials entry and create a new key if necessary",
        ),
        (
            error_for(502, HTML),
            "Search Console answered 502; the next sync retries; if it persists, check GSC_API_URL and "
            "the network",
        ),
    ],
)
def test_the_text_of_an_error_is_its_cause_and_the_next_step(error: SearchConsoleError, text: str) -> None:
    assert str(error) == text
    assert "\n" not in str(error)


def test_every_error_that_users_see_has_a_next_step() -> None:
    kinds = [
        IllegalRequestError,
        PropertyForbiddenError,
        PropertyNotFoundError,
        CredentialUnusableError,
        ApiDisabledError,
        QuotaError,
        LoadQuotaError,
        DailyQuotaError,
        ServiceUnavailableError,
        WrongAnswerError,
    ]

    for kind in kinds:
        assert str(kind("cause")).startswith("cause; ")
    assert str(TokenExpiredError("cause")) == "cause"


def test_a_long_message_of_several_lines_becomes_one_short_line() -> None:
    error = error_for(400, google("badRequest", "first\n\tsecond  " + "x" * 5_000))

    assert "first second xxx" in error.cause
    assert len(error.cause) < 400


@pytest.mark.parametrize(
    "secret",
    [
        "ya29.a0AfH6-x_y.z",
        "Bearer opaque/token=",
        "1//0gFresh-token_x",
        "GOCSPX-client_secret",
        "eyJhbGci.eyJpc3Mi.c2ln-x",
        "-----BEGIN PRIVATE KEY-----\nMIIE/x+y==\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIE/cut off",
    ],
)
def test_a_secret_that_a_refusal_quotes_is_masked(secret: str) -> None:
    error = classify(Refusal(403, f"{'x' * 250} refused '{secret}' for 'sc-domain:acme.com'"), NOON)
    assert "[secret]" in error.cause
    for part in secret.split():
        assert part == "PRIVATE" or part not in error.cause


def test_a_secret_is_masked_among_the_reasons_too() -> None:
    error = error_for(400, token("eyJhbGci.eyJpc3Mi.c2ln-x"))
    assert error.cause == "the token endpoint answered 400 ([secret])"


@pytest.mark.parametrize(
    ("before", "secret", "after"),
    [
        ("eyJfoo", "1//0gFresh", ""),
        ("eyJ", "GOCSPX-client", " eyJ"),
        ("keyJson ", "ya29.eyJ.a", " keyJson"),
        ("eyJfoo eyJ. ", "Bearer opaque", ""),
        ("", "Bearer eyJhbGci.eyJpc3Mi/and=more", ""),
        ("", "ya29.eyJhbGci.eyJpc3Mi", ""),
        ("x-----BEGIN", "eyJa.b 1//x", "-----END x----- eyJ"),
    ],
)
def test_a_secret_beside_similar_text_is_masked(before: str, secret: str, after: str) -> None:
    cause = classify(Refusal(403, f"{before}{secret}{after}"), NOON).cause
    assert "[secret]" in cause
    assert secret not in cause
    assert not any(part in cause for part in ("Fresh", "client", "opaque", "hbG", "and=more"))


def test_text_that_is_similar_to_a_secret_is_not_masked() -> None:
    assert error_for(400, google("badRequest", "no keyJson")).cause.endswith("no keyJson")


@pytest.mark.parametrize(
    "unit",
    ["eyJ", "eyJ.", "eyJa.", "-----BEGIN", "-----END", "-----BEGIN-----END", "-", "Bearer ", "bearer", " ",
     "ya29.", "1//", "GOCSPX-", "exceeded ", "limit '", "Search Analytics load quota ", "x", "\x1b"],
)  # fmt: skip
def test_a_refusal_of_a_megabyte_is_cut_before_it_is_matched(unit: str) -> None:
    long = unit * (1_000_000 // len(unit))
    for body in (google(long, long, domain=long, status=long), modern(long, long, reason=long)):
        refusal = read_refusal(403, {}, json.dumps(body).encode(), NOON)
        assert len(refusal.message) <= 4_096
        assert all(len(reason) <= 100 for reason in refusal.reasons)
        assert len(classify(refusal, NOON).cause) < 700
    at_token = read_refusal(400, {}, json.dumps(token(long, long)).encode(), NOON)
    assert len(at_token.message) <= 4_096
    assert len(classify(at_token, NOON).cause) < 700
    # However it was made.
    assert len(classify(Refusal(400, long), NOON).cause) < 400


def test_only_the_first_reasons_are_kept() -> None:
    errors = [{"reason": f"reason {n}", "domain": f"domain {n}"} for n in range(10_000)]
    body = {"error": {"status": "PERMISSION_DENIED", "errors": errors, "details": errors}}

    refusal = read_refusal(403, {}, json.dumps(body).encode(), NOON)

    assert len(refusal.reasons) == 32
    assert {"PERMISSION_DENIED", "reason 0"} <= refusal.reasons
    assert len(classify(refusal, NOON).cause) < 400


def test_a_deeply_nested_refusal_leaves_its_status() -> None:
    assert read_refusal(403, {}, b'{"error":' + b"[" * 100_000, NOON) == Refusal(403)


def test_control_characters_of_a_refusal_are_escaped() -> None:
    error = error_for(403, google("for\x1bbidden", "clear \x1b[2J\x00 and turn \u202e"))
    assert error.cause == r"Search Console answered 403 (for\x1bbidden): clear \x1b[2J\x00 and turn \u202e"
