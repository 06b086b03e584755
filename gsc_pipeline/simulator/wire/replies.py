"""Replies other than data: the two formats of Google's errors, and replies of fault injection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A response to send.

    `body` is bytes, or a mapping that is encoded as JSON. In a fault, a body of None keeps body and status of
    the true answer. `headers` are added, or replace those of the same name; with a content-encoding, the body
    is not compressed. `cut_after` closes the connection after so many bytes of the body, while the headers
    have its full length. The reply is sent after `seconds`.
    """

    status: int = 200
    body: bytes | Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    seconds: float = 0.0


def google_error(
    status: int,
    reason: str,
    message: str,
    domain: str = "global",
    *,
    location: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error in the format of Google's APIs: code, message, a list of reasons, a status name."""
    error: dict[str, str] = {"message": message, "domain": domain, "reason": reason}
    if location is not None:
        error |= {"location": location, "locationType": "header" if status == 401 else "parameter"}
    body = {
        "code": status,
        "message": message,
        "errors": [error],
        "status": _STATUS_NAMES.get(status, "UNKNOWN"),
    }
    return Reply(status, {"error": body}, headers or {})


def token_error(error: str, description: str) -> Reply:
    """An error in the format of Google's token endpoint: `error` is a string, the status 400."""
    return Reply(400, {"error": error, "error_description": description})
