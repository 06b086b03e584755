"""Writes entries of the workspaces file. What people have written in it stays as it is, to the byte."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from gsc_pipeline.search_console.auth import (
    CredentialSource,
    OAuthEnvironment,
    OAuthFile,
    ServiceAccountEnvironment,
    ServiceAccountFile,
)
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.text.files import replace
from gsc_pipeline.workspaces.registry import Workspace, parse_workspaces

_HEADER = "# The workspaces: docs/configuration.md explains every key.\nworkspaces:\n"

_KEYS = {
    ServiceAccountFile: "service_account_file",
    ServiceAccountEnvironment: "service_account_env",
    OAuthFile: "oauth_file",
    OAuthEnvironment: "oauth_env",
}


def new_file(workspaces: Sequence[Workspace], path: Path) -> str:
    """The text of a workspaces file at `path` with these workspaces. Raises ConfigurationError."""
    text = _HEADER + "".join(_entry(one, path.parent, indent=2) for one in workspaces)
    parse_workspaces(text, path)
    return text


def add(path: Path, workspace: Workspace) -> None:
    """Append a workspace to the file.

    The result is validated before it replaces the file. Raises ConfigurationError if it is invalid, if the
    list is written in a form that cannot be appended to, or if the file cannot be written.
    """
    try:
        before = path.read_bytes()
        text = before.decode()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(
            str(path), [f"cannot be read ({cause}): gsc init writes a new one"]
        ) from None
    known = parse_workspaces(text.removeprefix("\ufeff"), path)
    entry = _entry(workspace, path.parent, indent=_indent(text))
    line_end = "\r\n" if "\r\n" in text else "\n"
    if not text.endswith("\n"):
        text += line_end
    text += entry.replace("\n", line_end)
    if not _adds_one(text, path, known):
        raise ConfigurationError(
            str(path),
            ["is written in a form that cannot be appended to; add this entry:", *entry.splitlines()],
        )
    try:
        if path.read_bytes() != before:
            raise ConfigurationError(str(path), ["was changed at the same moment: try again"])
        replace(path, text, mode=stat.S_IMODE(path.stat().st_mode))
    except OSError as error:
        raise ConfigurationError(str(path), [f"cannot be written ({error.strerror})"]) from None


def _adds_one(text: str, path: Path, known: tuple[Workspace, ...]) -> bool:
    """Whether the text has one workspace more. Raises ConfigurationError if that one is invalid."""
    try:
        found = parse_workspaces(text.removeprefix("\ufeff"), path)
    except ConfigurationError as error:
        if any(problem.startswith("not valid YAML") for problem in error.problems):
            return False
        raise
    return len(found) == len(known) + 1 and found[:-1] == known


_LINE_BREAKS = frozenset("\x85\u2028\u2029")
"""What YAML takes for line breaks, besides those that it escapes."""


def _indent(text: str) -> int:
    """The column of the dashes of the list. The file is valid, so its only key is `workspaces`."""
    document: Any = yaml.compose(text.removeprefix("\ufeff"), Loader=yaml.SafeLoader)
    ((_, listed),) = document.value
    return int(listed.start_mark.column)


def _entry(workspace: Workspace, folder: Path, *, indent: int) -> str:
    properties = workspace.properties
    entry = {
        "id": workspace.id,
        "name": None if workspace.name == workspace.id else workspace.name,
        "active": None if workspace.active else False,
        "properties": "all" if properties is None else list(properties),
        "search_types": [one.value for one in workspace.search_types],
        "credentials": _credentials(workspace.credentials, folder),
        "brand_terms": list(workspace.brand_terms) or None,
    }
    given = {key: value for key, value in entry.items() if value is not None}
    # The innermost lists and mappings on one line each, and no line is broken.
    text = _dumped(given, allow_unicode=True)
    if not _LINE_BREAKS.isdisjoint(text):
        # The dumper writes these as they are, and a reader takes them for the end of a line.
        text = _dumped(given, allow_unicode=False)
    return "".join(f"{' ' * indent}{line}\n" for line in text.splitlines())


def _dumped(entry: dict[str, Any], *, allow_unicode: bool) -> str:
    text: str = yaml.safe_dump(
        [entry], sort_keys=False, allow_unicode=allow_unicode, default_flow_style=None, width=10**6
    )
    return text


def _credentials(source: CredentialSource, folder: Path) -> dict[str, str]:
    """As the file names it: paths under its folder relative to that."""
    if isinstance(source, ServiceAccountEnvironment | OAuthEnvironment):
        return {_KEYS[type(source)]: source.name}
    path, root = source.path.resolve(), folder.resolve()
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return {_KEYS[type(source)]: str(shown)}
