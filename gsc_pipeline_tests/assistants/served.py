"""A lake of two workspaces, and the official client of a server that serves one of them.

MCP's libraries are imported where they are used: each process of `make test` imports every module of tests,
and these take most of a second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio.from_thread import BlockingPortal, check_cancelled, start_blocking_portal

from gsc_pipeline.assistants.messages import Limits, Start
from gsc_pipeline.assistants.query_pool import QueryPool
from gsc_pipeline.assistants.tools import Tools
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source
from gsc_pipeline.lake.annotations.stored import bring_up_to_date
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.world import World

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters

GSC = str(Path(sys.executable).with_name("gsc"))
SECRET = "hunter2-of-globex"
"""Stands in a file beside the lake and in a variable of the server: no answer may contain it."""
FOREIGN = "sc-domain:globex.com"
"""Stands in rows of the workspace that is not served: no answer may contain it."""
DAYS = 16
FOREIGN_DAYS = 5
DAY = date(2026, 11, 10)
_NOTES = [
    ("For all", None, None),
    ("For acme", "acme", None),
    (f"Launch of {FOREIGN}", "globex", None),
    (f"Outage of {FOREIGN}", None, FOREIGN),
]
NOTES = [
    Annotation(Kind.NOTE, title, DAY, DAY, workspace=workspace, site_url=site, source=Source.YOURS)
    for title, workspace, site in _NOTES
]
"""The last two name what belongs to the workspace that is not served."""


@dataclass(frozen=True)
class Served:
    """A synced world with the workspaces acme and globex."""

    world: World
    acme: Workspace
    globex: Workspace
    secret_file: Path

    def environment(self) -> dict[str, str]:
        entries = [
            {"id": one.id, "properties": list(one.properties or ())} for one in (self.acme, self.globex)
        ]
        return {
            **self.world.environment(*entries),
            "GLOBEX_KEY": SECRET,
            # A query process gets the variables of object stores and proxies.
            "AZURE_STORAGE_KEY": SECRET,
            "HTTP_PROXY": f"http://proxy:{SECRET}@127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            "PATH": os.environ["PATH"],
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        }


@contextmanager
def two_workspaces(folder: Path) -> Iterator[Served]:
    names = ("sc-domain:acme.com", FOREIGN)
    properties = [SyntheticProperty(name, rows_a_day=5, plants=False) for name in names]
    with World.serving(folder, properties) as world:
        acme, globex = world.workspace(), world.workspace("globex", properties=[FOREIGN])
        for workspace, days in ((acme, DAYS), (globex, FOREIGN_DAYS)):
            assert not world.sync(workspace, world.last(days)).problems
        bring_up_to_date(world.lake, yours=NOTES)
        refresh_insights(world.lake, acme, now=world.now)
        secret_file = folder / "secret.csv"
        secret_file.write_text(f"secret\n{SECRET}\n", encoding="utf-8")
        yield Served(world, acme, globex, secret_file)


@dataclass(frozen=True)
class Reply:
    """A tool's answer: its structured content, its text, and whether it is an error."""

    is_error: bool
    text: str
    data: dict[str, Any]


class Assistant:
    """The official client, called from a test's own thread."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        self.portal, self.client = portal, client

    def call(self, tool: str, **arguments: Any) -> Reply:
        return self.portal.call(self._call, tool, arguments)

    def later(self, tool: str, **arguments: Any) -> Any:
        """The future of a call that runs meanwhile."""
        return self.portal.start_task_soon(self._call, tool, arguments)

    def query(self, sql: str, limit: int = 100) -> Reply:
        return self.call("query", sql=sql, limit=limit)

    async def _call(self, tool: str, arguments: dict[str, Any]) -> Reply:
        result = await self.client.call_tool(tool, arguments)
        text = "".join(getattr(one, "text", "") for one in result.content)
        return Reply(bool(result.is_error), text, result.structured_content or {})


@contextmanager
def connected(server: Any) -> Iterator[Assistant]:
    """A client of a server in this process, a command, or a URL's transport."""
    from mcp import Client

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Client(server)) as client:
        yield Assistant(portal, client)


def command(environment: Mapping[str, str], *arguments: str) -> StdioServerParameters:
    """`gsc mcp` with these arguments, in an environment without anything else."""
    from mcp.client.stdio import StdioServerParameters

    return StdioServerParameters(command=GSC, args=["mcp", *arguments], env=dict(environment))


@contextmanager
def in_process(served: Served, limits: Limits, *workspaces: Workspace) -> Iterator[Assistant]:
    """A client of a server in this process, which serves acme alone by default."""
    from gsc_pipeline.assistants.server import make_server

    world = served.world
    shown = workspaces or (served.acme,)
    pool = QueryPool(Start.of(world.lake.uri, shown, limits), check_cancelled=check_cancelled)
    tools = Tools(world.lake, shown, pool.run, limits, clock=lambda: world.now)
    try:
        with connected(make_server(tools.every())) as assistant:
            yield assistant
    finally:
        pool.close()
