"""Checks of what is configured: the settings, the workspaces file and the annotations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gsc_pipeline.monitoring.doctor.checks import Result, State
from gsc_pipeline.settings import ConfigurationError, Settings
from gsc_pipeline.workspaces.annotations_file import OwnAnnotations
from gsc_pipeline.workspaces.registry import Workspace


def settings(load: Callable[[], Settings]) -> tuple[Result, Settings | None]:
    """Whether every variable is valid and none is mistyped; with the settings, if so."""
    try:
        found = load()
    except ConfigurationError as error:
        return _mistakes("settings", error, "correct these variables: docs/configuration.md lists all"), None
    given = sorted(str(Settings.model_fields[name].validation_alias) for name in found.model_fields_set)
    return Result.ok("settings", f"{', '.join(given)} set" if given else "all have their defaults"), found


def workspaces(load: Callable[[], Sequence[Workspace]]) -> tuple[Result, Sequence[Workspace] | None]:
    """Whether the file can be read and has no mistake; with the workspaces, if so."""
    name = "workspaces file"
    try:
        found = load()
    except ConfigurationError as error:
        step = "write or correct the file: docs/configuration.md explains every key"
        return _mistakes(name, error, step), None
    active = sum(workspace.active for workspace in found)
    if not active:
        return Result(name, State.WARN, "no workspace is active", "set active: true for those to sync"), found
    return Result.ok(name, f"{active} of {len(found)} workspaces are active"), found


def own_annotations(load: Callable[[], OwnAnnotations]) -> Result:
    """Whether the user's annotations can be read and have no mistake."""
    name, step = "annotations", "correct the file: docs/insights.md explains it"
    try:
        found = load()
    except ConfigurationError as error:
        return _mistakes(name, error, step)
    if found.problems:
        step = f"{step}. Until then, {found.until_corrected}"
        return Result(name, State.FAIL, "; ".join(found.problems), step)
    return Result.ok(name, "your file is valid" if found.valid is not None else "no file of your own")


def _mistakes(name: str, error: ConfigurationError, next_step: str) -> Result:
    return Result(name, State.FAIL, f"{error.source}: {'; '.join(error.problems)}", next_step)
