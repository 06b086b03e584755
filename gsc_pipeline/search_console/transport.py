"""One HTTP request over a pool of connections; whatever keeps its answer away is one kind of error.

Belongs here: what an answer that never came is called. Does not: what an answer means (`errors`,
`answers`), or trying again (`retries`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import urllib3

from gsc_pipeline.search_console.errors import ServiceUnavailableError


def send(
    http: urllib3.PoolManager,
    method: str,
    url: str,
    *,
    body: bytes | None,
    headers: Mapping[str, str],
    whom: str,
) -> urllib3.BaseHTTPResponse:
    """The whole answer, whatever its status; redirects are answers too.

    Raises ServiceUnavailableError, naming `whom`, when none came or it was cut short.
    """
    try:
        return http.request(method, url, body=body, headers=headers, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnavailableError(f"no answer from {whom} ({_reason(error)})") from None


def without_secrets(url: str) -> str:
    """The address without a user, query or fragment: what may be shown and kept of one that others wrote."""
    return re.split(r"[?#]", re.sub(r"(?<=://)[^/?#]*@", "", url), maxsplit=1)[0]


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """The library's text without the connection object it starts with or the exception it repeats."""
    match error.args:
        case (str(text), Exception() as cause) if repr(cause) not in text:
            reason = f"{text.rstrip('.')}: {cause}"
        case (str(text), *_):
            reason = re.sub(r"^(<[^>]*>|\w+\(host=[^)]*\)): ", "", text)
        case _:
            reason = str(error)
    return " ".join(reason.split())[:200]
