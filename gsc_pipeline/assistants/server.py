"""The server over the tools: the Model Context Protocol on standard input and output, or on loopback HTTP."""

from __future__ import annotations

import hmac
import inspect
import logging
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from importlib.metadata import version
from typing import Annotated, Any, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resources import TextResource
from mcp.server.mcpserver.tools import Tool
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, ValidationError, create_model
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from gsc_pipeline.assistants.answers import Answer
from gsc_pipeline.assistants.docs import INSTRUCTIONS, insights_page, rules_page, tables_page
from gsc_pipeline.assistants.invalid_messages import ValidMessages
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.errors import LakeError
from gsc_pipeline.monitoring.http import serve_until_stopped
from gsc_pipeline.text.printing import escaped

_Model = TypeVar("_Model", bound=BaseModel)

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PATH = "/mcp"

LONGEST_REQUEST = 256 * 1024
"""Bytes of an HTTP request."""

CONNECTION_SECONDS = 60.0
"""How long an HTTP connection may last. Every call ends within 30 seconds."""

_PAGES = {"rules": rules_page, "tables": tables_page, "insights": insights_page}


def make_server(tools: Sequence[Callable[..., Answer]]) -> MCPServer:
    """A server with these tools, which only read, and with the docs of the tables as resources."""
    server: MCPServer = _Server(
        "gsc_pipeline",
        title="Google Search Console data",
        instructions=INSTRUCTIONS,
        version=version("gsc_pipeline"),
        log_level="WARNING",
        tools=[_registered(tool) for tool in tools],
    )
    for name, page in _PAGES.items():
        server.add_resource(
            TextResource(
                uri=f"gsc://docs/{name}",
                name=name,
                description=page.__doc__,
                mime_type="text/markdown",
                text=page(),
            )
        )
    return server


def serve_stdio(server: MCPServer) -> None:
    """Serve until standard input ends, or a signal ends the process. Main thread only."""
    # Python's own handler would wait for the next line of standard input.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    server.run("stdio")


def serve_http(server: MCPServer, *, port: int, token: str, on_ready: Callable[[str], None]) -> None:
    """Serve on loopback until SIGINT or SIGTERM, for requests with the token. Main thread only.

    `on_ready` is called with the server's URL. The process ends here if a lake that hangs keeps a request.
    """
    is_over = serve_until_stopped(
        http_app(server, token),
        host=HOST,
        port=port,
        on_ready=lambda url: on_ready(url + PATH),
        connection_seconds=CONNECTION_SECONDS,
    )
    if not is_over:
        os._exit(0)


def http_app(server: MCPServer, token: str) -> Starlette:
    """The HTTP application. It refuses requests from web pages, for other hosts, or without the token."""
    app: Starlette = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=LONGEST_REQUEST,
        transport_security=TransportSecuritySettings(
            allowed_hosts=[f"{HOST}:*", "localhost:*"], allowed_origins=[]
        ),
    )
    app.add_middleware(_RequireToken, token=token)
    return app


class _Server(MCPServer):
    """A server that answers every line of standard input, also one that is no message."""

    @override
    async def run_stdio_async(self) -> None:
        """Serve standard input and output until the input ends."""
        server = self._lowlevel_server
        async with stdio_server() as (received, sent):
            messages = ValidMessages(received, sent.send)
            await server.run(messages, sent, server.create_initialization_options())


class _RequireToken:
    """Answers 401 to a request without the token, and 405 to one that is not a POST.

    There is nothing to listen to or to end, as each request is a session of its own.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
            # compare_digest takes the same time wherever the two differ.
            is_same = hmac.compare_digest(given.strip().encode(), self._token)
            if scheme.lower() != "bearer" or not is_same:
                refusal = PlainTextResponse(
                    "expected the header Authorization: Bearer TOKEN\n",
                    status_code=401,
                    headers={"WWW-Authenticate": "Bearer"},
                )
                await refusal(scope, receive, send)
                return
            if scope["method"] != "POST":
                await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Tool(Tool):
    """A tool whose errors of arguments are one line."""

    @override
    async def run(self, arguments: dict[str, Any], context: Any, convert_result: bool = False) -> Any:
        """Run the tool; null for an argument that may be left out is its default.

        A tool without arguments ignores those that it is given: some clients send one in any case.
        """
        fields = self.fn_metadata.arg_model.model_fields
        given = {
            name: value
            for name, value in arguments.items()
            if fields and (value is not None or name not in fields or fields[name].is_required())
        }
        try:
            return await super().run(given, context, convert_result)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            wrong = error.__cause__.errors(include_url=False, include_context=False, include_input=False)
            lines = [_wrong_argument(one["type"], one["loc"], one["msg"], fields) for one in wrong]
            raise ToolError(f"Error executing tool {self.name}: {'; '.join(lines)}") from None


def _wrong_argument(kind: str, place: Iterable[int | str], message: str, known: Iterable[str]) -> str:
    name = escaped(".".join(map(str, place)))
    if kind == "extra_forbidden":
        return f"unknown argument {name}: expected {', '.join(known)}"
    return f"argument {name}: {message}"


def _registered(tool: Callable[..., Answer]) -> Tool:
    """The tool, which refuses arguments that it does not have.

    Otherwise an assistant that gives `query` a workspace would take the numbers of all for its own.
    """
    reads = ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    made = _Tool.from_function(_answering(tool), annotations=reads)
    made.fn_metadata.arg_model = _strict(made.fn_metadata.arg_model)
    made.parameters = made.fn_metadata.arg_model.model_json_schema(by_alias=True)
    return made


def _strict(arguments: type[_Model]) -> type[_Model]:
    return create_model(arguments.__name__, __base__=arguments, __cls_kwargs__={"extra": "forbid"})


def _answering(tool: Callable[..., Answer]) -> Callable[..., CallToolResult]:
    """The tool with its answer as structured content, and as one line of JSON for clients without it."""

    @wraps(tool)
    def call(*args: Any, **kwargs: Any) -> CallToolResult:
        try:
            answer = tool(*args, **kwargs)
        except LakeError as error:
            # Its text may name files, and other workspaces.
            log.error("%s: %s", tool.__name__, error)
            raise ToolError("the lake cannot be read: whoever runs it should run gsc verify") from None
        except PipelineError as error:
            raise ToolError(str(error)) from None
        text = TextContent(type="text", text=answer.model_dump_json())
        return CallToolResult(content=[text], structured_content=answer.model_dump(mode="json"))

    signature = inspect.signature(tool, eval_str=True)
    structured = Annotated[CallToolResult, signature.return_annotation]
    call.__signature__ = signature.replace(return_annotation=structured)  # type: ignore[attr-defined]
    call.__doc__ = inspect.getdoc(tool)
    return call
