"""One HTTP request over a pool of connections, bounded in time and in size.

Whatever keeps an answer away is one kind of error, `ServiceUnavailableError`. What an answer means is told in
`errors` and `answers`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import urllib3

from gsc_pipeline.search_console.deadline import CoveredPool, CoveredTlsPool, Deadlines
from gsc_pipeline.search_console.errors import ServiceUnavailableError, WrongAnswerError, printable

MEGABYTE = 1_000_000

REFUSAL_BYTES = 64 * 1024
"""The most that is read of a refusal, and of an answer of a token endpoint."""

# So large that an answer of the usual size is received and unpacked in one go, which is quickest.
_CHUNK = 1024 * 1024
_PIECE = 8 * 1024 * 1024
_GZIP_MEMBERS = 1_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request. `answer_bytes` counts an answer's bytes as they are sent and unpacked."""

    connections: int = 4
    connect_seconds: float = 10.0
    silent_seconds: float = 120.0
    call_seconds: float = 300.0
    answer_bytes: int = 64 * MEGABYTE


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer, unpacked. google-auth reads these names."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Transport:
    """Sends requests, each within the limits. Safe for many threads."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._deadlines = Deadlines()
        connect = min(self._limits.connect_seconds, self._limits.call_seconds)
        self._pools = urllib3.PoolManager(
            maxsize=self._limits.connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=connect, read=self._limits.silent_seconds),
            # Google compresses only for clients whose agent says gzip as well.
            headers=urllib3.make_headers(accept_encoding="gzip", user_agent="gsc_pipeline (gzip)"),
        )
        self._pools.pool_classes_by_scheme = {"http": CoveredPool, "https": CoveredTlsPool}

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        whom: str,
        answer_bytes: int | None = None,
    ) -> Response:
        """The whole answer, whatever its status; redirects are answers too.

        Raises ServiceUnavailableError, naming `whom`, when none came, it was cut short or it took too long,
        and WrongAnswerError when it is larger than `answer_bytes` (by default the limit).
        """
        most = answer_bytes or self._limits.answer_bytes
        seconds = self._limits.call_seconds
        response, reason = None, ""
        with self._deadlines.within(seconds) as deadline:
            try:
                response = self._exchange(method, url, body, {**self._pools.headers, **headers}, most)
            except urllib3.exceptions.HTTPError as error:
                reason = _reason(error)
            except zlib.error as error:
                reason = f"the answer cannot be unpacked: {error}"
            except _WrongBodyError as error:
                raise WrongAnswerError(f"the answer of {whom} {error}") from None
        # A body that ends with its connection looks whole when the connection is shut down.
        if deadline.is_over:
            raise ServiceUnavailableError(f"no answer from {whom} within {seconds:g} seconds")
        if response is None:
            raise ServiceUnavailableError(f"no answer from {whom} ({reason})")
        return response

    def close(self) -> None:
        """Give back connections."""
        self._pools.clear()
        self._deadlines.close()

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], most: int
    ) -> Response:
        answer = self._pools.request(
            method,
            url,
            body=body,
            headers=headers,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        is_whole = False
        try:
            if answer.status == 200:
                data, is_whole = b"".join(_unpacked(answer, most)), True
            else:
                data, is_whole = _refusal(answer)
        finally:
            # A connection with bytes left on it cannot be used again.
            if not is_whole:
                answer.close()
            answer.release_conn()
        return Response(answer.status, answer.headers, data)


class _WrongBodyError(Exception):
    """What is wrong with the body, to be said after "the answer"."""


def _refusal(answer: urllib3.BaseHTTPResponse) -> tuple[bytes, bool]:
    """The body of a refusal and whether it was read to its end. Nothing of one that is too long or broken:
    its status tells enough.
    """
    try:
        return b"".join(_unpacked(answer, REFUSAL_BYTES)), True
    except (_WrongBodyError, zlib.error):
        return b"", False


def _unpacked(answer: urllib3.BaseHTTPResponse, most: int) -> Iterator[bytes]:
    """The body in pieces of bounded size. Raises an error where it is not whole or longer than `most`."""
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    sent = _bounded(_chunks(answer, min(_CHUNK, most + 1)), most)
    if encoding in ("", "identity"):
        return sent
    if encoding in ("gzip", "x-gzip"):
        return _bounded(_gunzipped(sent), most)
    raise _WrongBodyError(f"is encoded as {printable(encoding, 40)}, which was not asked for")


def _bounded(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > most:
            raise _WrongBodyError(f"is larger than {_megabytes(most)}")
        yield piece


def _chunks(answer: urllib3.BaseHTTPResponse, size: int) -> Iterator[bytes]:
    while chunk := answer.read(size):
        yield chunk


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """One gzip member or several in a row. Raises zlib.error where one is broken or cut short."""
    members, member = 0, None
    for chunk in chunks:
        left = chunk
        while left:
            if member is None:
                members += 1
                if members > _GZIP_MEMBERS:
                    raise _WrongBodyError(f"has more than {_GZIP_MEMBERS} gzip members")
                member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            # A few bytes may unpack to a thousand times as many.
            if piece := member.decompress(left, _PIECE):
                yield piece
            left = member.unused_data if member.eof else member.unconsumed_tail
            if member.eof:
                member = None
    if member is not None:
        raise zlib.error("it is cut short")


def without_secrets(url: str) -> str:
    """The address without a user, query or fragment: what may be shown and kept of one that others wrote."""
    return re.split(r"[?#]", re.sub(r"(?<=://)[^/?#]*@", "", url), maxsplit=1)[0]


def _megabytes(count: int) -> str:
    return f"{count / MEGABYTE:g} MB"


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """The library's text without the connection object it starts with or the exception it repeats."""
    match error.args:
        case (str(text), Exception() as cause) if repr(cause) not in text:
            reason = f"{text.rstrip('.')}: {cause}"
        case (str(text), *_):
            reason = re.sub(r"^(<[^>]*>|\w+\(host=[^)]*\)): ", "", text)
        case _:
            reason = str(error)
    return printable(reason, 200)
