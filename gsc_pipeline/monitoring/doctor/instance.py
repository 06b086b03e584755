"""Checks of the Dagster instance, by what `defs.instance` reads of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import yaml

from gsc_pipeline.monitoring.doctor.checks import Result, State
from gsc_pipeline.monitoring.monitor import daemon_reason

LATE = timedelta(minutes=15)
"""How long after it was due a tick may begin: the daemon was restarted, or is busy."""

_DAGSTER_YAML = "use the dagster.yaml of gsc_pipeline's repository, or correct this one"


class InstanceError(Exception):
    """The instance cannot be opened or read."""


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule in the instance.

    `status` is RUNNING or STOPPED as switched in the UI, and None where the code decides. `tick` is the
    status of the last tick (SUCCESS, SKIPPED, FAILURE, STARTED), None if there was none.
    """

    status: str | None = None
    tick: str | None = None
    tick_at: datetime | None = None
    tick_text: str = ""


class InstanceView(Protocol):
    """What is read of an instance. Every method raises InstanceError."""

    def launcher(self) -> str:
        """The run launcher that may start runs on other machines; empty if it does not."""

    def heartbeat(self) -> datetime | None:
        """The oldest of the last heartbeats of the daemon's parts."""

    def schedule(self) -> ScheduleView:
        """The schedule gsc_auto_sync."""


def unused(*, enabled: bool) -> Result:
    """The result where DAGSTER_HOME is unset: the command works without Dagster, the schedule does not."""
    text = "DAGSTER_HOME is unset: instance, schedule, daemon and last tick are not checked"
    if not enabled:
        return Result.ok("dagster instance", text)
    step = "set it as for the daemon: GSC_AUTO_SYNC_ENABLED is true, so a schedule is wanted"
    return Result("dagster instance", State.WARN, text, step)


def home(folder: str) -> Result | None:
    """What is wrong with DAGSTER_HOME and its dagster.yaml, before the instance is opened."""
    name, path = "dagster instance", Path(folder)
    step = "set DAGSTER_HOME to the absolute path of a folder that holds dagster.yaml"
    if not path.is_absolute():
        return Result(name, State.FAIL, f"DAGSTER_HOME={folder} is not an absolute path", step)
    if not path.is_dir():
        return Result(name, State.FAIL, f"DAGSTER_HOME={folder} is not a folder", step)
    file = path / "dagster.yaml"
    if not file.exists():
        text = f"{file} is missing: no limits on runs at once, no end for runs whose process died"
        return Result(name, State.WARN, text, "link or copy the repository's dagster.yaml there")
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        cause = getattr(error, "problem", None) or getattr(error, "strerror", None) or "not UTF-8 text"
        return Result(name, State.FAIL, f"{file} cannot be read ({cause})", _DAGSTER_YAML)
    storage = config.get("storage") if isinstance(config, dict) else None
    sqlite = storage.get("sqlite") if isinstance(storage, dict) else None
    base = sqlite.get("base_dir") if isinstance(sqlite, dict) else None
    if isinstance(base, str) and not Path(base).is_absolute():
        text = f"{file}: storage.sqlite.base_dir {base} is relative, so each folder has another instance"
        return Result(name, State.FAIL, text, "make it an absolute path")
    if not storage and not (path / "schedules").exists() and not (path / "storage").exists():
        text = f"{folder} holds no instance yet"
        return Result(name, State.WARN, text, "start dagster dev, or dagster-webserver and dagster-daemon")
    return None


def refuse_unusable(folder: str) -> None:
    """Raise InstanceError if `home` finds something wrong. Opening an instance could create files there."""
    if problem := home(folder):
        raise InstanceError(problem.detail)


def opened(view: InstanceView, unshared: Callable[[], Sequence[str]], folder: str) -> Result:
    """Whether the instance answers, and state and lake are where its runs find them."""
    name = "dagster instance"
    try:
        launcher = view.launcher()
    except InstanceError as error:
        step = f"correct {folder}/dagster.yaml, or start the database that it names"
        return Result(name, State.FAIL, str(error), step)
    problems = unshared() if launcher else ()
    if problems:
        text = f"runs are started by {launcher}, on machines that share no files: {'; '.join(problems)}"
        return Result(name, State.FAIL, text, "set these variables on every machine")
    return Result.ok(name, f"{folder} answers")


def code_location(load: Callable[[], str]) -> Result:
    """Whether the definitions load. `load` returns what they hold."""
    try:
        return Result.ok("code location", load())
    # Definitions may fail to load in any way.
    except Exception as error:  # noqa: BLE001
        text = f"the definitions do not load: {type(error).__name__}: {error}"
        step = "run dg check defs (or python -c 'import gsc_pipeline.definitions') and see its last lines"
        return Result("code location", State.FAIL, text, step)


def is_on(view: ScheduleView, *, enabled: bool) -> bool:
    """Whether the schedule fires: as it was switched in the UI, else as the code says."""
    return view.status == "RUNNING" if view.status else enabled


def schedule(view: InstanceView, *, enabled: bool, why: str) -> Result:
    """Whether the schedule is on, and why. `why` explains the state that the settings give it."""
    try:
        found = view.schedule()
    except InstanceError:
        return Result.unknown("schedule", "the instance cannot be read")
    if found.status:
        switched = "on" if found.status == "RUNNING" else "off"
        why = f"Switched {switched} in the UI, which overrides GSC_AUTO_SYNC_ENABLED."
    text = f"gsc_auto_sync is {'on' if is_on(found, enabled=enabled) else 'off'}. {why}"
    if is_on(found, enabled=enabled):
        return Result.ok("schedule", text)
    step = "switch gsc_auto_sync on in the UI (Automation)"
    if not found.status:
        step += ", or set GSC_AUTO_SYNC_ENABLED=true"
    return Result("schedule", State.WARN, text, step)


def daemon(view: InstanceView, now: datetime) -> Result:
    """Whether Dagster's daemon runs, by its last heartbeat."""
    try:
        heartbeat = view.heartbeat()
    except InstanceError:
        return Result.unknown("daemon", "the instance cannot be read")
    reason = daemon_reason(heartbeat, now)
    if reason:
        step = "start `dagster-daemon run` (make up starts it too); if it runs, see its log"
        return Result("daemon", State.FAIL, reason.text, step)
    return Result.ok("daemon", f"its last heartbeat is of {heartbeat:%H:%M:%S} UTC")


def last_tick(
    view: InstanceView, now: datetime, *, enabled: bool, due_after: Callable[[datetime], datetime]
) -> Result:
    """How the schedule's last tick was evaluated, and whether one is overdue."""
    name = "last tick"
    try:
        found = view.schedule()
    except InstanceError:
        return Result.unknown(name, "the instance cannot be read")
    if found.tick is None or found.tick_at is None:
        return Result.ok(name, f"none yet; the next is due at {due_after(now):%Y-%m-%d %H:%M} UTC")
    text = f"{found.tick_at:%Y-%m-%d %H:%M} UTC: {found.tick.lower()}"
    text += f" ({found.tick_text})" if found.tick_text else ""
    if found.tick == "FAILURE":
        step = "correct what the error names; the next tick tries again. Automation shows the whole error"
        return Result(name, State.FAIL, text, step)
    due = due_after(found.tick_at)
    if is_on(found, enabled=enabled) and now > due + LATE:
        step = "see whether dagster-daemon runs, and its log"
        return Result(name, State.FAIL, f"{text}; the one of {due:%Y-%m-%d %H:%M} UTC is overdue", step)
    return Result.ok(name, text)
