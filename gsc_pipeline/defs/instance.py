"""What is read of the Dagster instance outside its runs: for `gsc serve` and for `gsc doctor`."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import TypeVar

import dagster as dg

from gsc_pipeline.defs.dagster_private import remote_launcher, schedule_state
from gsc_pipeline.monitoring.doctor.instance import InstanceError, ScheduleView
from gsc_pipeline.settings import Settings

T = TypeVar("T")


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


class OpenedInstance:
    """The instance in DAGSTER_HOME, opened by the first thread that reads of it.

    `refuse_unusable` is called before, and raises InstanceError if it is not to be opened. Every method
    raises InstanceError with the cause if the instance cannot be opened or read.
    """

    def __init__(self, refuse_unusable: Callable[[], None]) -> None:
        self._refuse_unusable = refuse_unusable
        self._lock = Lock()
        self._opened: dg.DagsterInstance | None = None

    def launcher(self) -> str:
        """The run launcher that may start runs on other machines; empty if it does not."""

        def read(instance: dg.DagsterInstance) -> str:
            # The launcher is configuration. Only a query shows whether the database answers.
            instance.get_runs_count(dg.RunsFilter(run_ids=["none"]))
            return remote_launcher(instance)

        return self._read(read)

    def heartbeat(self) -> datetime | None:
        """The oldest of the last heartbeats of the daemon's parts; None if one has never sent any."""
        return self._read(last_heartbeat)

    def schedule(self) -> ScheduleView:
        """The schedule gsc_auto_sync, and its last tick."""
        return self._read(_schedule)

    def _read(self, read: Callable[[dg.DagsterInstance], T]) -> T:
        try:
            with self._lock:
                if self._opened is None:
                    self._refuse_unusable()
                    self._opened = dg.DagsterInstance.get()
            return read(self._opened)
        except InstanceError:
            raise
        # An instance, its configuration and its database fail in many ways.
        except Exception as error:
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            first = "" if cause is error else f" ({error})"
            raise InstanceError(f"{type(cause).__name__}: {cause}{first}") from error


def _schedule(instance: dg.DagsterInstance) -> ScheduleView:
    found = schedule_state(instance, "gsc_auto_sync")
    if found is None:
        return ScheduleView()
    status, tick = found
    switched = None if status == "DECLARED_IN_CODE" else status
    if tick is None:
        return ScheduleView(switched)
    text = (tick.error.message if tick.error else tick.skip_reason) or ""
    at = datetime.fromtimestamp(tick.timestamp, UTC)
    return ScheduleView(switched, tick.status.value, at, text.strip())


def loaded_definitions(settings: Settings) -> str:
    """Load the definitions as Dagster does; returns what they hold. Raises what is wrong with them."""
    # Slow to import, and `gsc serve` needs none of it.
    from gsc_pipeline.defs.build import build_defs

    defs = build_defs(settings)
    dg.Definitions.validate_loadable(defs)
    repository = defs.get_repository_def()
    return (
        f"{len(repository.asset_graph.get_all_asset_keys())} assets, {len(repository.schedule_defs)} "
        f"schedules and {len(repository.sensor_defs)} sensors load"
    )
