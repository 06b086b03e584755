"""Dagster instances on SQLite files that are quick to create and to write to."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import dagster as dg


@contextmanager
def instance_on_files(folder: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in a new folder, with all events in one database.

    Dagster takes a third of a second to create an instance's databases, and as long to create a database for
    each run's events. Here the databases are copied, and all runs share one.
    """
    shutil.copytree(_template(), folder)
    with _open(folder) as instance:
        yield instance


@contextmanager
def _open(folder: Path) -> Iterator[dg.DagsterInstance]:
    events = {
        "module": "dagster._core.storage.event_log",
        "class": "ConsolidatedSqliteEventLogStorage",
        "config": {"base_dir": str(folder / "events")},
    }
    with dg.instance_for_test(temp_dir=str(folder), overrides={"event_log_storage": events}) as instance:
        yield instance


@cache
def _template() -> Path:
    folder = Path(mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with _open(folder) as instance:
        # Each of these creates its database.
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        instance.fetch_materializations(dg.AssetKey("any"), limit=1)
    return folder
