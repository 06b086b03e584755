"""What goes back over the wire when it is not data: Google's two shapes of error, and made-up replies.

Belongs here: `Reply` and the error bodies. Does not: when to send which (`server`), data (`answers`).
"""

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
    """An answer to send instead of the true one.

    `body` is sent as it is when bytes, as JSON when a mapping; None keeps the true answer, its status
    included. `headers` are added, or replace those of the same name; with a content-encoding the body is sent
    as it is. `cut_after` closes the connection after so many bytes of the body, with the full length
    promised in the headers.
    """

    status: int = 200
    body: bytes | Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None


def google_error(
    status: int,
    reason: str,
    message: str,
    domain: str = "global",
    *,
    location: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error as Google's APIs shape them: code, message, a list of reasons, a status name."""
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
    """An error as Google's token endpoint shapes them: `error` is a string, the status 400."""
    return Reply(400, {"error": error, "error_description": description})
