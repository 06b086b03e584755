"""Dagster instances on SQLite files that are quick to create and to write to."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import dagster as dg
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import event
from sqlalchemy.engine import Engine


@event.listens_for(Engine, "connect")
def _without_waiting_for_the_disk(connection: Any, _record: object) -> None:
    """A run makes some hundred commits, and no test ends with a loss of power."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


_migrations_in = ScriptDirectory.from_config
_read_before: dict[str | None, ScriptDirectory] = {}


def _migrations_read_once(config: Config) -> ScriptDirectory:
    """Dagster reads its ninety migrations for each database that it opens, in 20 ms of CPU."""
    folder = config.get_main_option("script_location")
    if folder not in _read_before:
        _read_before[folder] = _migrations_in(config)
    return _read_before[folder]


ScriptDirectory.from_config = _migrations_read_once  # type: ignore[method-assign, assignment]


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


def record_schedule(
    instance: dg.DagsterInstance, status: str, tick: str = "", at: float = 0.0, error: str = ""
) -> None:
    """Record that the schedule gsc_auto_sync has a status, and its last tick, as the daemon and the UI do."""
    place = GrpcServerCodeLocationOrigin("127.0.0.1", port=9, location_name="gsc_pipeline")
    origin = RemoteRepositoryOrigin(place, "__repository__").get_instigator_origin("gsc_auto_sync")
    kind, data = InstigatorType.SCHEDULE, ScheduleInstigatorData("0 */6 * * *")
    state = InstigatorState(origin, kind, InstigatorStatus(status), data)
    known = instance.get_instigator_state(origin.get_id(), state.selector_id)
    (instance.update_instigator_state if known else instance.add_instigator_state)(state)
    if tick:
        info = SerializableErrorInfo(error, [], None) if error else None
        instance.create_tick(
            TickData(
                state.instigator_origin_id, "gsc_auto_sync", kind, TickStatus(tick), at,
                run_ids=[], error=info, selector_id=state.selector_id,
            )
        )  # fmt: skip


def record_heartbeats(instance: dg.DagsterInstance, at: float) -> None:
    """Record that every part of the daemon sent a heartbeat."""
    for part in instance.get_required_daemon_types():
        instance.add_daemon_heartbeat(DaemonHeartbeat(at, part, None))
