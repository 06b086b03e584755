"""A probe of the Dagster instance, for the health that `gsc serve` reports."""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg


def instance_probe() -> Callable[[], datetime | None]:
    """A function that returns the last heartbeat of the daemon of the instance in DAGSTER_HOME.

    The daemon has several parts (scheduler, sensors, run queue, ...): the oldest heartbeat counts. None if
    one of them has never sent any. The function raises if the instance's database does not answer. The first
    call that can opens the instance; later ones use it again.
    """
    opened: list[dg.DagsterInstance] = []

    def probe() -> datetime | None:
        if not opened:
            opened.append(dg.DagsterInstance.get())
        return last_heartbeat(opened[0])

    return probe


def last_heartbeat(instance: dg.DagsterInstance) -> datetime | None:
    """The oldest of the last heartbeats of the daemon's parts; None if one has never sent any."""
    required = [status for status in instance.get_daemon_statuses().values() if status.required]
    heartbeats = [status.last_heartbeat.timestamp for status in required if status.last_heartbeat]
    if not required or len(heartbeats) < len(required):
        return None
    return datetime.fromtimestamp(min(heartbeats), UTC)
