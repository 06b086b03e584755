"""The checks of `gsc doctor`, put together for an environment, and their table."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.cli.tables import print_rows
from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.lake.storage import folder_of
from gsc_pipeline.monitoring.doctor import configuration, google, instance, machine, storage
from gsc_pipeline.monitoring.doctor.checks import Check, Diagnosis, Result, run_checks
from gsc_pipeline.settings import Settings, load_settings, state_address, unshared_storage
from gsc_pipeline.text.secrets import keep_passwords
from gsc_pipeline.workspaces.registry import Workspace, credential_users, first_and_count, load_workspaces

if TYPE_CHECKING:
    from gsc_pipeline.defs.instance import OpenedInstance

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}

NEED_SETTINGS = (
    "workspaces file",
    "api",
    "lake",
    "lake writes",
    "shared state",
    "syncs",
    "code location",
    "dagster instance",
)
"""Checks that are not run while the settings are invalid."""


@dataclass(frozen=True)
class Probes:
    """What the checks read of the machine, for tests to replace."""

    clock: Clock = utc_now
    versions: Callable[[], Result] = machine.versions
    disk_space: Callable[[Collection[Path]], Result] = machine.disk_space
    available_memory: Callable[[], int | None] = machine.available_memory
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def diagnose(probes: Probes = Probes()) -> Diagnosis:
    """Run every check. Writes nothing, but for a probe in the lake that is removed again."""
    for value in probes.environment.values():
        # Errors of databases and storages may quote their addresses.
        keep_passwords(value)
    settings_result, settings = configuration.settings(load_settings)
    first = Diagnosis((settings_result,))
    if settings is None:
        checks = _of_machine(probes, [Path.cwd()])
        unknown = tuple(Result.unknown(name, "the settings are invalid") for name in NEED_SETTINGS)
        return first + run_checks(checks) + Diagnosis(unknown)
    found: list[Sequence[Workspace]] = []
    file = run_checks([Check("workspaces file", partial(_workspaces, settings, found))])
    listed = found[0] if found else None
    return first + file + run_checks(checks_of(settings, listed, probes))


def checks_of(settings: Settings, listed: Sequence[Workspace] | None, probes: Probes) -> list[Check]:
    """The checks of an installation. `listed` is None if the workspaces file cannot be used."""
    services = Services(settings, probes.clock, reads_only=True)
    return [
        Check("annotations", partial(configuration.own_annotations, services.own_annotations)),
        *_of_machine(probes, _folders(settings, probes.environment)),
        *_of_google(services, listed, probes),
        *_of_storage(services, listed, probes),
        *_of_dagster(settings, probes),
    ]


def print_diagnosis(found: Diagnosis) -> None:
    """Print a row for each check, in its colour, and the count of each state."""
    print_rows(
        ["check", "state", "detail", "next step"],
        [(one.name, one.state.value, one.detail, one.next_step) for one in found.results],
        colours=COLOURS,
    )
    counts = [(sum(one.state.value == state for one in found.results), state) for state in COLOURS]
    print(", ".join(f"{count} {state}" for count, state in counts if count))  # noqa: T201


def _workspaces(settings: Settings, found: list[Sequence[Workspace]]) -> Result:
    result, workspaces = configuration.workspaces(lambda: load_workspaces(settings.workspaces_file))
    if workspaces is not None:
        found.append(workspaces)
    return result


def _folders(settings: Settings, environment: Mapping[str, str]) -> list[Path]:
    """The folders of this machine that are written to."""
    state, home = state_address(settings), environment.get("DAGSTER_HOME", "")
    places = [settings.reports, settings.lake, *([home] if home else [])]
    places += [] if "://" in state else [str(Path(state).parent)]
    return [folder.absolute() for place in places if (folder := folder_of(place))]


def _of_machine(probes: Probes, folders: Collection[Path]) -> list[Check]:
    return [
        Check("versions", probes.versions),
        Check("disk space", lambda: probes.disk_space(folders)),
        Check("memory", lambda: machine.memory(probes.available_memory)),
    ]


def _of_google(services: Services, listed: Sequence[Workspace] | None, probes: Probes) -> list[Check]:
    def quota() -> Result:
        limiter = services.guards.limiter
        return google.quota(limiter.slowed() if limiter else [])

    address, call = services.settings.api_url, services.call_without_token
    checks = [Check("api", lambda: google.api(address, call, probes.clock))]
    if listed is None:
        unknown = Result.unknown("credentials", "the workspaces are unknown")
        checks.append(Check("credentials", lambda: unknown))
    for users in credential_users(listed or ()).values():
        name = f"credential of {first_and_count(users)}"
        checks.append(Check(name, partial(google.credential, name, users, services.open_unguarded)))
    return [
        *checks,
        Check("circuits", lambda: google.circuits(services.open_circuits(listed or ()))),
        Check("quota", quota),
    ]


def _of_storage(services: Services, listed: Sequence[Workspace] | None, probes: Probes) -> list[Check]:
    settings = services.settings
    syncs = Check("syncs", lambda: storage.syncs(services.health_monitor.observe_now))
    if listed is None:
        syncs = Check("syncs", lambda: Result.unknown("syncs", "the workspaces are unknown"))
    return [
        Check("lake", lambda: storage.lake_tables(services.lake)),
        Check("lake writes", lambda: storage.lake_writes(services.lake, probes.environment)),
        Check("shared state", lambda: storage.shared_state(services.store, state_address(settings))),
        syncs,
    ]


def _of_dagster(settings: Settings, probes: Probes) -> list[Check]:
    """The checks of Dagster's part. They import Dagster themselves, so that a failed import is a result."""
    enabled, folder = settings.auto_sync_enabled, probes.environment.get("DAGSTER_HOME", "")

    @cache
    def view() -> OpenedInstance:
        from gsc_pipeline.defs.instance import OpenedInstance

        return OpenedInstance(lambda: instance.refuse_unusable(folder))

    def code_location() -> Result:
        from gsc_pipeline.defs.instance import loaded_definitions

        return instance.code_location(lambda: loaded_definitions(settings))

    def schedule() -> Result:
        from gsc_pipeline.defs.schedules import why_on_or_off

        return instance.schedule(view(), enabled=enabled, why=why_on_or_off(settings))

    def last_tick() -> Result:
        from gsc_pipeline.defs.dagster_private import next_due

        due_after = partial(next_due, settings.auto_sync_cron)
        return instance.last_tick(view(), probes.clock(), enabled=enabled, due_after=due_after)

    code = Check("code location", code_location)
    if not folder:
        return [code, Check("dagster instance", lambda: instance.unused(enabled=enabled))]
    return [
        code,
        Check(
            "dagster instance",
            lambda: (
                instance.home(folder) or instance.opened(view(), lambda: unshared_storage(settings), folder)
            ),
        ),
        Check("schedule", schedule),
        Check("daemon", lambda: instance.daemon(view(), probes.clock())),
        Check("last tick", last_tick),
    ]
