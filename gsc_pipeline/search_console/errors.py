"""What can go wrong with Search Console, and the one function that tells which it is.

    SearchConsoleError
    ├── IllegalRequestError          our own request is wrong: loud, never retried
    ├── PropertyError                this property only; never retried
    │   ├── PropertyForbiddenError
    │   └── PropertyNotFoundError
    ├── CredentialError              the whole workspace; never retried
    │   ├── CredentialUnusableError  missing, not a key, revoked, refused
    │   └── ApiDisabledError
    ├── TokenExpiredError            renewed once, and the call repeated once
    └── TransientError               worth another try, after `retry_after` seconds where given
        ├── QuotaError
        │   ├── LoadQuotaError
        │   ├── DailyQuotaError
        │   └── NoFreeSlotError      our own limiter's word, nothing was sent
        ├── ServiceUnavailableError
        ├── WrongAnswerError         an answer that cannot be true, or answers something else
        └── CircuitOpenError         our own circuit breaker's word, nothing was sent

Rules: the error table in Google's documentation of the API, and what several connectors learnt the hard
way: a quota refusal may come as 403, and is then no lack of permission.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, ClassVar

import msgspec

from gsc_pipeline.days import ONE_DAY, PACIFIC

LOAD_QUOTA_WAIT_SECONDS = 15 * 60.0
"""How long Google asks to wait after a load-quota refusal."""

LONGEST_RETRY_AFTER_SECONDS = 24 * 3600.0
"""Retry-After is cut to this: no quota of Google's lasts longer than a day."""

MESSAGE_CHARACTERS = 4_096
REASONS = 32
REASON_CHARACTERS = 100
QUOTED_CHARACTERS = 300
"""What is kept of a refusal's message and reasons before anything is searched in them, and then shown."""


class SearchConsoleError(Exception):
    """A call that failed. `remedy` says what a person can do about it; neither text holds a secret."""

    remedy: ClassVar[str] = ""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.cause}; {self.remedy}" if self.remedy else self.cause


class IllegalRequestError(SearchConsoleError):
    """The API says our request is wrong: a fault of this project, or of GSC_API_URL."""

    remedy = "this is a fault of gsc_pipeline or of GSC_API_URL, please report it"


class PropertyError(SearchConsoleError):
    """This property cannot be read; others can."""


class PropertyForbiddenError(PropertyError):
    """The credential may not read this property, or the property is spelled differently."""

    remedy = "add the credential as a user of the property, and check the property's exact spelling"


class PropertyNotFoundError(PropertyError):
    """The API does not know this property."""

    remedy = "check the property's exact spelling in the workspaces file"


class CredentialError(SearchConsoleError):
    """The workspace's credential works for none of its properties."""


class CredentialUnusableError(CredentialError):
    """The credential is missing, is not a key, was revoked, or is refused."""

    remedy = "check the workspace's credentials entry and issue a new key if need be"


class ApiDisabledError(CredentialError):
    """The Search Console API is switched off in the credential's Google Cloud project."""

    remedy = "enable the Google Search Console API in the credential's Google Cloud project"


class TokenExpiredError(SearchConsoleError):
    """The access token is no longer taken."""


class TransientError(SearchConsoleError):
    """A failure that another try may not meet. `retry_after` in seconds, None where unknown."""

    def __init__(self, cause: str, retry_after: float | None = None) -> None:
        super().__init__(cause)
        self.retry_after = retry_after


class QuotaError(TransientError):
    """Too many calls in a short time."""

    remedy = "the next sync goes on; lower GSC_API_CONCURRENCY if it happens often"


class LoadQuotaError(QuotaError):
    """The queries asked for too much work in ten minutes or a day."""


class DailyQuotaError(QuotaError):
    """The day's calls are used up until midnight Pacific."""


class ServiceUnavailableError(TransientError):
    """Google's side, or the way to it, is broken for now."""

    remedy = "the next sync tries again; check GSC_API_URL and the network if it lasts"


class WrongAnswerError(TransientError):
    """An answer that came and cannot be true, or is no answer to what was asked.

    Whoever sends it is there, so the circuit breaker counts it as an answer.
    """

    remedy = "the next sync asks again; check GSC_API_URL if it lasts"


class NoFreeSlotError(QuotaError):
    """Not sent: within what the quota allows, the next call would be due later than a call may wait."""

    remedy = "the next sync goes on; lower GSC_API_CONCURRENCY or the runs at a time if it happens often"


class CircuitOpenError(TransientError):
    """Not sent: what it would go to failed several times in a row, and is left alone for a while."""

    remedy = "the next sync after that tries again; check that address and the network if it lasts"


FAILED_ANSWERS = (ServiceUnavailableError, WrongAnswerError)
"""What is about one call: the next may be answered well."""

DEFERRED = (LoadQuotaError, DailyQuotaError, NoFreeSlotError, CircuitOpenError)
"""What no wait within a sync outlasts: never repeated at once, left for the next sync."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refusing answer said: its status and whatever could be read of its body.

    `at_token_endpoint` is true for answers of the OAuth token endpoint, known by an `error` that is a
    string.
    """

    status: int
    message: str = ""
    reasons: frozenset[str] = field(default_factory=frozenset)
    retry_after: float | None = None
    at_token_endpoint: bool = False


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """Read a refusing answer; a body that is not Google's JSON (HTML, nothing) leaves only the status."""
    retry_after = _seconds(headers.get("Retry-After"))
    try:
        document = msgspec.json.decode(body)
        error = document["error"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        return Refusal(status, retry_after=retry_after)
    if isinstance(error, str):
        message = _message(document.get("error_description"))
        return Refusal(status, message, _bounded([error]), retry_after, at_token_endpoint=True)
    if not isinstance(error, dict):
        return Refusal(status, retry_after=retry_after)
    return Refusal(status, _message(error.get("message")), _bounded(_reasons(error)), retry_after)


def classify(refusal: Refusal, now: datetime) -> SearchConsoleError:
    """The error that a refusal means. `now` (aware) tells how far Pacific midnight is."""
    cause = _cause(refusal)
    if refusal.status == 408 or refusal.status >= 500:
        return ServiceUnavailableError(cause, refusal.retry_after)
    if refusal.at_token_endpoint:
        return _classify_at_token_endpoint(refusal, cause)
    if refusal.reasons & _DISABLED or _DISABLED_TEXT in refusal.message:
        return ApiDisabledError(cause)
    if refusal.reasons & _WRONG_SCOPE or _WRONG_SCOPE_TEXT in refusal.message:
        return CredentialUnusableError(cause)
    if refusal.status in (403, 429) and _is_quota(refusal):
        return _classify_quota(refusal, cause, now)
    match refusal.status:
        case 401:
            return TokenExpiredError(cause)
        case 403:
            return PropertyForbiddenError(cause)
        case 404:
            return PropertyNotFoundError(cause)
    return IllegalRequestError(cause)


# Each kind is known by its reasons or, because `errors` may be missing, by its text. Whole phrases: the
# address of a property may hold any word, and be in the text of a refusal for lack of permission.
_DISABLED = frozenset({"accessNotConfigured", "SERVICE_DISABLED"})
_DISABLED_TEXT = "has not been used in project"
_WRONG_SCOPE = frozenset({"ACCESS_TOKEN_SCOPE_INSUFFICIENT"})
_WRONG_SCOPE_TEXT = "insufficient authentication scopes"
_DAILY = frozenset({"dailyLimitExceeded", "dailyLimitExceededUnreg"})
_DAILY_TEXT = re.compile(r"daily limit exceeded|limit '[^']* per day'", re.IGNORECASE)
_QUOTA_TEXT = re.compile(r"quota exceeded|exceeded .{0,40}quota|(rate|daily) limit exceeded", re.IGNORECASE)
_UNAVAILABLE_AT_TOKEN_ENDPOINT = frozenset({"internal_failure", "server_error", "temporarily_unavailable"})
_QUOTA = _DAILY | {
    "quotaExceeded",
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "usageLimits",
    "RESOURCE_EXHAUSTED",
    "RATE_LIMIT_EXCEEDED",
}


def _is_quota(refusal: Refusal) -> bool:
    return (
        refusal.status == 429 or bool(refusal.reasons & _QUOTA) or bool(_QUOTA_TEXT.search(refusal.message))
    )


def _classify_quota(refusal: Refusal, cause: str, now: datetime) -> QuotaError:
    if refusal.reasons & _DAILY or _DAILY_TEXT.search(refusal.message):
        return DailyQuotaError(cause, _seconds_to_pacific_midnight(now))
    if "load quota" in refusal.message.lower():
        return LoadQuotaError(cause, max(refusal.retry_after or 0.0, LOAD_QUOTA_WAIT_SECONDS))
    return QuotaError(cause, refusal.retry_after)


def _classify_at_token_endpoint(refusal: Refusal, cause: str) -> SearchConsoleError:
    if refusal.status == 429:
        return QuotaError(cause, refusal.retry_after)
    if refusal.reasons & _UNAVAILABLE_AT_TOKEN_ENDPOINT:
        return ServiceUnavailableError(cause, refusal.retry_after)
    return CredentialUnusableError(cause)


def _message(value: object) -> str:
    return value[:MESSAGE_CHARACTERS] if isinstance(value, str) else ""


def _bounded(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word[:REASON_CHARACTERS] for word in islice(words, REASONS))


def _reasons(error: dict[str, Any]) -> Iterator[str]:
    """Every word by which an error names itself: its status, its errors' reasons and domains, its details."""
    entries = (entry for key in ("errors", "details") for entry in _dicts(error.get(key)))
    words = (entry.get(key) for entry in entries for key in ("reason", "domain"))
    return (word for word in chain([error.get("status")], words) if isinstance(word, str) and word)


def _dicts(value: object) -> Iterator[dict[str, Any]]:
    return (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else iter(())


_SIGNED = re.compile(r"eyJ[\w-]++(\.[\w.-]+)?")
_SECRETS = re.compile(
    r"(?i:bearer)\s++\S+|ya29\.[\w.-]+|1//[\w-]+|GOCSPX-[\w-]+|(?s:-----BEGIN.*?(-----END[^-]*-----|$))"
)
"""Signed assertions, and access and refresh tokens, client secrets and keys, by the shapes in which Google
issues them. A clumsy proxy or endpoint may repeat in its refusal what it was sent. Both patterns consume
whatever they looked at, so the work grows with the length of the text and no faster."""


def masked(text: str) -> str:
    """The text with everything that looks like a secret masked."""
    signed_masked = _SIGNED.sub(lambda match: "[secret]" if match[1] else match[0], text)
    return _SECRETS.sub("[secret]", signed_masked)


def printable(text: str, most: int = QUOTED_CHARACTERS) -> str:
    """The text on one line, cut to `most` characters, control characters escaped."""
    # Escaping makes a text longer, so cutting first bounds the work and cutting again the result.
    line = " ".join(text[: 4 * most].split())[:most]
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)[:most]


def _cause(refusal: Refusal) -> str:
    where = "the token endpoint answered" if refusal.at_token_endpoint else "Search Console answered"
    words = printable(masked(", ".join(sorted(refusal.reasons - {"global"}))))
    answered = " ".join(part for part in (where, str(refusal.status), words and f"({words})") if part)
    text = printable(masked(refusal.message[:MESSAGE_CHARACTERS])).rstrip(".")
    return f"{answered}: {text}" if text else answered


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds. Google sends seconds; its other form, a date, is left to the back-off."""
    try:
        seconds = float(retry_after[:REASON_CHARACTERS]) if retry_after else math.nan
    except ValueError:
        return None
    return None if math.isnan(seconds) else min(max(0.0, seconds), LONGEST_RETRY_AFTER_SECONDS)


def _seconds_to_pacific_midnight(now: datetime) -> float:
    here = now.astimezone(PACIFIC)
    midnight = datetime.combine(here.date() + ONE_DAY, datetime.min.time(), PACIFIC)
    return (midnight.astimezone(UTC) - now).total_seconds()
