"""One lake of two workspaces for all tests of the server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gsc_pipeline.assistants.messages import Limits
from gsc_pipeline_tests.assistants.served import (
    Assistant,
    Served,
    command,
    connected,
    in_process,
    two_workspaces,
)


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with two_workspaces(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture(scope="package")
def assistant(served: Served) -> Iterator[Assistant]:
    """The client of `gsc mcp --workspace acme` in a process of its own, over standard input and output."""
    with connected(command(served.environment(), "--workspace", "acme")) as found:
        yield found


@pytest.fixture(scope="package")
def local(served: Served) -> Iterator[Assistant]:
    """The client of a server for acme in this process."""
    with in_process(served, Limits(rows=200)) as found:
        yield found
