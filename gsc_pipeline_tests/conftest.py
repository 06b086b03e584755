"""Fixtures that every part of the tests may need: a lake, a workspace, a simulator to sync from."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.postgres import postgres_server, postgres_url, state_address
from gsc_pipeline_tests.world import World

__all__ = ["postgres_server", "postgres_url", "state_address"]

# A busy machine is no failure.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

# A shell without job control starts its background processes with SIGINT ignored. Tests send it to processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONG_FILES = ("assistants", "sync", "defs", "report", "cli", "monitoring", "lake", "insights", "test_docs.py")
"""The folders with files that take long, as measured; those of the others take some seconds each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first, so that no process has one left at the end."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> tuple[bool, bool]:
        room = item.path.relative_to(here).parts[0]
        return item.get_closest_marker("slow") is None, room not in LONG_FILES

    items.sort(key=place)


ONE_START = ("assistants",)
"""The folders whose files share what takes long to start."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, give one process all files of a folder that share a start."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LoadStartScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            room = Path(file).parent
            return str(room) if room.name in ONE_START else file

    return LoadStartScheduling(config, log)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture(scope="session")
def acme() -> Workspace:
    """A workspace with one property, for doubles: its credential is never read."""
    return Workspace(
        id="acme",
        name="Acme",
        credentials=ServiceAccountFile(Path("nowhere.json")),
        properties=("sc-domain:acme.com",),
        search_types=(QueryType.WEB,),
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A simulator over real HTTP, with keys, workspaces and a lake of its own."""
    with World.serving(tmp_path) as world:
        yield world
