"""Answers lines on standard input that are no message of the protocol.

The library drops them, and a client would wait for an answer for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, Self

from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError


class Received(Protocol):
    """The library's stream of messages, and of the errors of lines that are none."""

    async def aclose(self) -> None:
        """Close the stream."""

    async def __anext__(self) -> SessionMessage | Exception:
        """The next message or error."""


class ValidMessages:
    """The messages of a stream. Lines that are none are answered with `send`, and left out."""

    def __init__(self, received: Received, send: Callable[[SessionMessage], Awaitable[None]]) -> None:
        self._received, self._send = received, send

    async def receive(self) -> SessionMessage:
        """The next message. Raises StopAsyncIteration at the end."""
        return await self.__anext__()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._received.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        while isinstance(item := await self._received.__anext__(), Exception):
            if (answer := answer_to(item)) is not None:
                await self._send(SessionMessage(answer))
        return item

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def answer_to(error: Exception) -> JSONRPCError | None:
    """The answer to a line that is no message; None for an empty line or for an answer of the client."""
    if not isinstance(error, ValidationError):
        return _error(None, PARSE_ERROR, "Parse error")
    found = error.errors(include_url=False, include_context=False)
    if any(one["type"] == "json_invalid" for one in found):
        text = found[0]["input"]
        return _error(None, PARSE_ERROR, "Parse error") if text.strip() else None
    # A line is also compared with an answer, whose fields a request lacks: then the input is the whole line.
    whole = next((one["input"] for one in found if one["type"] == "missing"), None)
    message: dict[str, Any] = whole if isinstance(whole, dict) else {}
    if "result" in message or "error" in message:
        return None
    given = message.get("id")
    is_id = isinstance(given, str | int) and not isinstance(given, bool)
    return _error(given if is_id else None, INVALID_REQUEST, "Invalid request")


def _error(request: str | int | None, code: int, text: str) -> JSONRPCError:
    return JSONRPCError(jsonrpc="2.0", id=request, error=ErrorData(code=code, message=text))
