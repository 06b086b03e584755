"""One HTTP request over a pool of connections, bounded in time and in size."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import urllib3

from gsc_pipeline.search_console.deadline import CoveredPool, CoveredTlsPool, Deadlines
from gsc_pipeline.search_console.errors import ServiceUnavailableError, WrongAnswerError, printable
from gsc_pipeline.text.addresses import host_of
from gsc_pipeline.text.secrets import keep, keep_passwords

MEGABYTE = 1_000_000

REFUSAL_BYTES = 64 * 1024
"""The most bytes that are read of a refusal or of an answer of a token endpoint."""

# Large enough to receive and unpack a usual answer at once: joining pieces copies it into new memory.
_PIECE = 8 * 1024 * 1024
_GZIP_MEMBERS = 1_000


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Limits of one request. `answer_bytes` limits both the compressed and the unpacked answer."""

    connections: int = 4
    connect_seconds: float = 10.0
    silent_seconds: float = 120.0
    call_seconds: float = 300.0
    answer_bytes: int = 64 * MEGABYTE


@dataclass(frozen=True, slots=True)
class Response:
    """A complete, unpacked answer. google-auth uses these attributes."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Transport:
    """Sends requests within limits. Thread-safe.

    https:// goes through the proxy that HTTPS_PROXY and NO_PROXY name. http:// never does: a proxy could read
    it, and it is for addresses on this machine.
    """

    def __init__(self, limits: TransportLimits | None = None) -> None:
        self._limits = limits or TransportLimits()
        self._deadlines = Deadlines()
        self._direct = self._covered(urllib3.PoolManager(**self._options))
        self._proxy = getproxies().get("https", "")
        keep_passwords(self._proxy)

    @property
    def _options(self) -> dict[str, Any]:
        connect = min(self._limits.connect_seconds, self._limits.call_seconds)
        return {
            "maxsize": self._limits.connections,
            "block": True,
            "retries": False,
            "timeout": urllib3.Timeout(connect=connect, read=self._limits.silent_seconds),
            # Google compresses only if the user agent contains "gzip" too.
            "headers": urllib3.make_headers(accept_encoding="gzip", user_agent="gsc_pipeline (gzip)"),
        }

    @cached_property
    def _proxied(self) -> urllib3.PoolManager:
        """The connections through the proxy. Raises an HTTPError if its address is invalid."""
        address = self._proxy if "://" in self._proxy else f"http://{self._proxy}"
        login = urllib3.util.parse_url(address).auth
        headers = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else {}
        keep(*headers.values())
        return self._covered(urllib3.ProxyManager(address, proxy_headers=headers, **self._options))

    @staticmethod
    def _covered(pools: urllib3.PoolManager) -> urllib3.PoolManager:
        pools.pool_classes_by_scheme = {"http": CoveredPool, "https": CoveredTlsPool}
        return pools

    def _pools_for(self, url: str) -> urllib3.PoolManager:
        is_direct = not self._proxy or not url.startswith("https://") or proxy_bypass(host_of(url))
        return self._direct if is_direct else self._proxied

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        server: str,
        answer_bytes: int | None = None,
    ) -> Response:
        """Return the complete answer, whatever its status. Redirects are not followed: they are answers.

        Raises ServiceUnavailableError if there is no answer, or if it is incomplete or late, and
        WrongAnswerError if it is larger than `answer_bytes` (default: the limit). Errors name `server`.
        """
        most = answer_bytes or self._limits.answer_bytes
        seconds = self._limits.call_seconds
        response, reason = None, ""
        with self._deadlines.within(seconds) as deadline:
            try:
                response = self._exchange(method, url, body, headers, most)
            except urllib3.exceptions.HTTPError as error:
                reason = _reason(error)
            except zlib.error as error:
                reason = f"the answer cannot be unpacked: {error}"
            except ValueError as error:
                # From Python's HTTP client, if a chunk has a negative length.
                reason = f"the answer cannot be read: {printable(str(error), 100)}"
            except _WrongBodyError as error:
                raise WrongAnswerError(f"the answer of {server} {error}") from None
        # A body without a length looks complete when the deadline shuts the connection down.
        if deadline.is_over:
            raise ServiceUnavailableError(f"no answer from {server} within {seconds:g} seconds")
        if response is None:
            raise ServiceUnavailableError(f"no answer from {server} ({reason})")
        return response

    def close(self) -> None:
        """Close all connections."""
        self._direct.clear()
        if "_proxied" in self.__dict__:
            self._proxied.clear()
        self._deadlines.close()

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], most: int
    ) -> Response:
        pools = self._pools_for(url)
        answer = pools.request(
            method,
            url,
            body=body,
            headers={**pools.headers, **headers},
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        is_whole = False
        try:
            if answer.status < 200:
                # The answer itself follows. Left on the connection, it would be taken for the next call's.
                raise urllib3.exceptions.ProtocolError(f"an interim answer, {answer.status}")
            if answer.status == 200:
                data, is_whole = b"".join(_unpacked(answer, most)), True
            else:
                data, is_whole = _refusal(answer)
        finally:
            # A connection with unread bytes cannot be reused.
            if not is_whole:
                answer.close()
            answer.release_conn()
        return Response(answer.status, answer.headers, data)


class _WrongBodyError(Exception):
    """The body cannot be used. The text continues "the answer of …"."""


def _refusal(answer: urllib3.BaseHTTPResponse) -> tuple[bytes, bool]:
    """The body of a refusal, and whether it was read to its end. Empty if it is too long or broken."""
    try:
        return b"".join(_unpacked(answer, REFUSAL_BYTES)), True
    except (_WrongBodyError, zlib.error, ValueError):
        return b"", False


def _unpacked(answer: urllib3.BaseHTTPResponse, most: int) -> Iterator[bytes]:
    """The body in pieces of bounded size. Raises an error if it is incomplete or longer than `most` bytes."""
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    sent = _bounded(_chunks(answer, min(_PIECE, most + 1)), most)
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
            raise _WrongBodyError(f"is larger than {most / MEGABYTE:g} MB")
        yield piece


def _chunks(answer: urllib3.BaseHTTPResponse, size: int) -> Iterator[bytes]:
    while chunk := answer.read(size):
        yield chunk


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack one or more gzip members. Raises zlib.error if one is broken or incomplete."""
    members, member = 0, None
    for chunk in chunks:
        left = chunk
        while left:
            if member is None:
                members += 1
                if members > _GZIP_MEMBERS:
                    raise _WrongBodyError(f"has more than {_GZIP_MEMBERS} gzip members")
                member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            # Unpack in pieces: the content can be a thousand times as large.
            if piece := member.decompress(left, _PIECE):
                yield piece
            left = member.unused_data if member.eof else member.unconsumed_tail
            if member.eof:
                member = None
    if member is not None:
        raise zlib.error("it is incomplete")


def without_secrets(url: str) -> str:
    """The URL without user, query and fragment, which may hold secrets."""
    return re.split(r"[?#]", re.sub(r"(?<=://)[^/?#]*@", "", url), maxsplit=1)[0]


_OBJECT = re.compile(r"^(<[^>]*>|\w+\(host=[^)]*\)): ")


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """The library's message, without the connection object and the repeated exception in it."""
    match error.args:
        case (str(text), Exception() as cause) if repr(cause) not in text:
            reason = f"{text.rstrip('.')}: {_OBJECT.sub('', str(cause))}"
        case (str(text), *_):
            reason = _OBJECT.sub("", text)
        case _:
            reason = str(error)
    return printable(reason, 200)
