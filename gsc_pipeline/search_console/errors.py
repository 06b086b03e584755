"""The errors of Search Console calls, and the function that classifies a refusal.

    SearchConsoleError
    ├── IllegalRequestError          our request is wrong; never retried
    ├── PropertyError                this property only; never retried
    │   ├── PropertyForbiddenError
    │   └── PropertyNotFoundError
    ├── CredentialError              the whole workspace; never retried
    │   ├── CredentialUnusableError  missing, not a key, revoked, refused
    │   │   ├── InvalidGrantError    a refresh token was revoked or has expired
    │   │   ├── TokenEndpointError   would be sent to an address that is not Google's
    │   │   └── WrongScopeError      was granted for other APIs only
    │   └── ApiDisabledError
    ├── TokenExpiredError            the token is refreshed and the call retried, once
    └── TransientError               may be retried, after `retry_after` seconds if given
        ├── QuotaError
        │   ├── LoadQuotaError
        │   ├── DailyQuotaError
        │   └── NoFreeSlotError      raised by our rate limiter; nothing was sent
        ├── ServiceUnavailableError
        │   └── UnansweredError      raised by our circuit breaker for one property; nothing was sent
        ├── WrongAnswerError         an answer that cannot be true
        └── CircuitOpenError         raised by our circuit breaker; nothing was sent

The rules are those of the error table in the API's documentation, with one addition: a quota refusal can have
status 403, which then does not mean that a permission is missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import chain, islice
from typing import Any

import msgspec

from gsc_pipeline.days import ONE_DAY, PACIFIC
from gsc_pipeline.text.printing import escaped
from gsc_pipeline.text.secrets import masked

LOAD_QUOTA_WAIT_SECONDS = 15 * 60.0
"""How long Google asks clients to wait after a load-quota refusal."""

LONGEST_RETRY_AFTER_SECONDS = 24 * 3600.0
"""The longest Retry-After that is accepted: no quota lasts longer than a day."""

MESSAGE_CHARACTERS = 4_096
REASONS = 32
REASON_CHARACTERS = 100
QUOTED_CHARACTERS = 300
"""Limits on a refusal's message and reasons: what is kept for matching, and what errors quote."""


class SearchConsoleError(Exception):
    """A failed call. `remedy` is the next step for the user. Secrets in the cause are masked."""

    remedy: str = ""

    def __init__(self, cause: str) -> None:
        cause = masked(cause)
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.cause}; {self.remedy}" if self.remedy else self.cause


class IllegalRequestError(SearchConsoleError):
    """The API calls our request invalid: a bug in this project, or a wrong GSC_API_URL."""

    remedy = "check GSC_API_URL; if it is right, this is a bug in gsc_pipeline: please report it"


class PropertyError(SearchConsoleError):
    """This property cannot be read; others can."""


class PropertyForbiddenError(PropertyError):
    """The credential may not read this property, or the property is misspelled."""

    remedy = "add the credential as a user of the property, and check the property's exact spelling"


class PropertyNotFoundError(PropertyError):
    """The API does not know this property."""

    remedy = "check the property's exact spelling in the workspaces file"


class CredentialError(SearchConsoleError):
    """The workspace's credential cannot be used for any property."""


class CredentialUnusableError(CredentialError):
    """The credential is missing, is not a key, was revoked, or is refused."""

    remedy = "check the workspace's credentials entry and create a new key if necessary"


class InvalidGrantError(CredentialUnusableError):
    """The token endpoint answered `invalid_grant`: it does not accept the refresh token, code or assertion.

    `remedy` replaces the general one.
    """

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.remedy = remedy or self.remedy


class TokenEndpointError(CredentialUnusableError):
    """The credential names a token endpoint that it may not be sent to. Nothing was sent."""

    remedy = "create a new key at Google, or list the address in GSC_TOKEN_URIS if you trust it"


class WrongScopeError(CredentialUnusableError):
    """The credential's token is valid, but not for Search Console."""

    remedy = "sign in again and grant the scope https://www.googleapis.com/auth/webmasters.readonly"


class ApiDisabledError(CredentialError):
    """The Search Console API is switched off in the credential's Google Cloud project."""

    remedy = "enable the Google Search Console API in the credential's Google Cloud project"


class TokenExpiredError(SearchConsoleError):
    """The access token is no longer accepted."""


class TransientError(SearchConsoleError):
    """A failure that may pass. `retry_after` is in seconds, None if unknown.

    `retry_at` (UTC) is set if no call can succeed before that time: the call is deferred, not retried.
    """

    def __init__(
        self, cause: str, retry_after: float | None = None, *, retry_at: datetime | None = None
    ) -> None:
        super().__init__(cause)
        self.retry_after = retry_after
        self.retry_at = retry_at


class QuotaError(TransientError):
    """Too many calls in a short time."""

    remedy = "the next sync continues; if it happens often, lower GSC_API_CONCURRENCY"


class LoadQuotaError(QuotaError):
    """The queries caused too much load in ten minutes or in a day."""


class DailyQuotaError(QuotaError):
    """The day's calls are used up. The quota is reset at midnight Pacific time."""

    # Fewer calls at once make them no fewer.
    remedy = (
        "the first sync after midnight Pacific time continues; if it happens often, request a higher quota "
        "for the Google Cloud project, or sync fewer days"
    )


class ServiceUnavailableError(TransientError):
    """Google, or the network to it, does not work at the moment."""

    remedy = "the next sync retries; if it persists, check GSC_API_URL and the network"
    on_give_up: Callable[[], None] | None = None
    """Set by the circuit breaker: to be called if the call is not retried."""


class UnansweredError(ServiceUnavailableError):
    """Not sent: earlier calls of the same property or day failed, and nothing was answered since."""


class WrongAnswerError(TransientError):
    """An answer that cannot be true, or that does not belong to the request.

    The server is reachable, so the circuit breaker counts it as an answer.
    """

    remedy = "the next sync retries; if it persists, check GSC_API_URL"


class NoFreeSlotError(QuotaError):
    """Not sent: the rate limiter would delay the call for longer than a call may wait."""

    remedy = (
        "the next sync continues; if it happens often, lower GSC_API_CONCURRENCY or run fewer syncs at once"
    )


class CircuitOpenError(TransientError):
    """Not sent: the circuit is open after several calls in a row failed."""

    remedy = "a sync after that time retries; if it persists, check that address and the network"


FAILED_ANSWERS = (ServiceUnavailableError, WrongAnswerError)
"""Failures of a single call. The next call may succeed."""

DEFERRED = (LoadQuotaError, DailyQuotaError, NoFreeSlotError, CircuitOpenError)
"""Errors that last longer than a sync can wait: not retried within it, deferred to the next sync."""

NOT_SENT = (NoFreeSlotError, CircuitOpenError, UnansweredError)
"""Errors of calls that were not sent."""

WAS_NOT_SENT = "not sent: "
"""How the texts of these errors begin, and the reasons of days for which nothing was sent."""


def forget_frames(error: Exception) -> None:
    """Drop the traceback of an error that was handled.

    Its frames hold the futures of a day's calls, and one of these holds the error: a cycle, which would keep
    the rows of each day that failed until Python's garbage collector runs.
    """
    error.__traceback__ = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusing answer: its status and what could be read of its body.

    `at_token_endpoint` is true for answers of an OAuth token endpoint, whose `error` is a string.
    """

    status: int
    message: str = ""
    reasons: frozenset[str] = field(default_factory=frozenset)
    retry_after: float | None = None
    at_token_endpoint: bool = False


def read_refusal(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Refusal:
    """Read a refusing answer. If the body is not Google's JSON (HTML, or empty), only its status is used.

    `now` (with a time zone) is what a Retry-After with a date is compared with.
    """
    retry_after = _seconds(headers.get("Retry-After"), now)
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
    """The error for a refusal. `now` (with a time zone) is used for the time until midnight Pacific."""
    cause = _cause(refusal)
    if refusal.status == 408 or refusal.status >= 500:
        return ServiceUnavailableError(cause, refusal.retry_after)
    if 300 <= refusal.status < 400:
        # Of something between Google and us, such as a network's sign-in page, and not of our request.
        return WrongAnswerError(cause)
    if refusal.at_token_endpoint:
        return _classify_at_token_endpoint(refusal, cause)
    if refusal.reasons & _DISABLED or _DISABLED_TEXT in refusal.message:
        return ApiDisabledError(cause)
    if refusal.reasons & _WRONG_SCOPE or _WRONG_SCOPE_TEXT in refusal.message:
        return WrongScopeError(cause)
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


# Refusals are recognised by their reasons, or by their text if `errors` is missing. Texts are matched by
# whole phrases, because the message can quote the property's URL, which may contain any word.
_DISABLED = frozenset({"accessNotConfigured", "SERVICE_DISABLED"})
_DISABLED_TEXT = "has not been used in project"
_WRONG_SCOPE = frozenset({"ACCESS_TOKEN_SCOPE_INSUFFICIENT"})
_WRONG_SCOPE_TEXT = "insufficient authentication scopes"
_DAILY = frozenset({"dailyLimitExceeded", "dailyLimitExceededUnreg"})
_DAILY_TEXT = re.compile(r"daily limit exceeded|limit '[^']* per day'", re.IGNORECASE)
_QUOTA_TEXT = re.compile(r"quota exceeded|exceeded .{0,40}quota|(rate|daily) limit exceeded", re.IGNORECASE)
_INVALID_GRANT = "invalid_grant"
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
        seconds = _seconds_to_pacific_midnight(now)
        return DailyQuotaError(cause, seconds, retry_at=now + timedelta(seconds=seconds))
    if "load quota" in refusal.message.lower():
        seconds = max(refusal.retry_after or 0.0, LOAD_QUOTA_WAIT_SECONDS)
        return LoadQuotaError(cause, seconds, retry_at=now + timedelta(seconds=seconds))
    return QuotaError(cause, refusal.retry_after)


def _classify_at_token_endpoint(refusal: Refusal, cause: str) -> SearchConsoleError:
    if refusal.status == 429:
        return QuotaError(cause, refusal.retry_after)
    if refusal.reasons & _UNAVAILABLE_AT_TOKEN_ENDPOINT:
        return ServiceUnavailableError(cause, refusal.retry_after)
    return InvalidGrantError(cause) if _INVALID_GRANT in refusal.reasons else CredentialUnusableError(cause)


def _message(value: object) -> str:
    return value[:MESSAGE_CHARACTERS] if isinstance(value, str) else ""


def _bounded(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word[:REASON_CHARACTERS] for word in islice(words, REASONS))


def _reasons(error: dict[str, Any]) -> Iterator[str]:
    """All words that classify an error: its status, and the reasons and domains in `errors` and `details`."""
    entries = (entry for key in ("errors", "details") for entry in _dicts(error.get(key)))
    words = (entry.get(key) for entry in entries for key in ("reason", "domain"))
    return (word for word in chain([error.get("status")], words) if isinstance(word, str) and word)


def _dicts(value: object) -> Iterator[dict[str, Any]]:
    return (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else iter(())


def printable(text: str, most: int = QUOTED_CHARACTERS) -> str:
    """The text on one line of at most `most` characters: secrets masked, control characters escaped."""
    # Masked before it is cut to `most`. Cut before that to bound the work.
    line = " ".join(masked(text[:MESSAGE_CHARACTERS]).split())[:most]
    return escaped(line)[:most]


def _cause(refusal: Refusal) -> str:
    where = "the token endpoint answered" if refusal.at_token_endpoint else "Search Console answered"
    words = printable(", ".join(sorted(refusal.reasons - {"global"})))
    answered = " ".join(part for part in (where, str(refusal.status), words and f"({words})") if part)
    text = printable(refusal.message).rstrip(".")
    return f"{answered}: {text}" if text else answered


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Retry-After, a number of seconds or an HTTP date, in seconds from now; None if it is neither."""
    if not retry_after:
        return None
    text = retry_after[:REASON_CHARACTERS]
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
            # Without a zone (the date ends in -0000) it is in UTC, as every HTTP date.
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else min(max(0.0, seconds), LONGEST_RETRY_AFTER_SECONDS)


def _seconds_to_pacific_midnight(now: datetime) -> float:
    here = now.astimezone(PACIFIC)
    midnight = datetime.combine(here.date() + ONE_DAY, datetime.min.time(), PACIFIC)
    return (midnight.astimezone(UTC) - now).total_seconds()
