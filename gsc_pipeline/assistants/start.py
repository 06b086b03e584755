"""Starts the server for assistants with the settings' limits."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence

from gsc_pipeline.assistants.messages import Limits, Start
from gsc_pipeline.assistants.query_pool import QueryPool
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.settings import Settings
from gsc_pipeline.text.secrets import keep
from gsc_pipeline.workspaces.registry import Workspace

_TOKEN_BYTES = 32


def serve_assistants(settings: Settings, workspaces: Sequence[Workspace], *, port: int | None) -> None:
    """Serve these workspaces until stopped: on loopback HTTP with `port`, else on standard input and output.

    What a person reads goes to standard error. Raises PipelineError if the extra `mcp` is not installed.
    """
    try:
        from gsc_pipeline.assistants.server import make_server, serve_http, serve_stdio
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise PipelineError("gsc mcp needs the package mcp: pip install 'gsc_pipeline[mcp]'") from None
    from anyio.from_thread import check_cancelled

    from gsc_pipeline.assistants.tools import Tools

    limits = Limits(seconds=settings.mcp_seconds, megabytes=settings.mcp_megabytes, rows=settings.mcp_rows)
    lake = Lake(settings.lake)
    pool = QueryPool(Start.of(lake.uri, workspaces, limits), check_cancelled=check_cancelled)
    server = make_server(Tools(lake, workspaces, pool.run, limits).every())
    try:
        pool.warm_up()
        if port is None:
            serve_stdio(server)
        else:
            token = settings.mcp_token.get_secret_value() or _new_token()
            serve_http(server, port=port, token=token, on_ready=_say)
    finally:
        pool.close()


def _new_token() -> str:
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    _say(f"GSC_MCP_TOKEN is unset. The token of this start: {token}")
    keep(token)
    return token


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
