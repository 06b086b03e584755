"""What the credentials of workspaces may read, as the API says."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from gsc_pipeline.search_console.answers import Site
from gsc_pipeline.search_console.auth import CredentialSource, account_of
from gsc_pipeline.search_console.errors import SearchConsoleError
from gsc_pipeline.workspaces.registry import Workspace

_LIKENESS = 0.75
"""How alike two properties are, from 0 to 1, for one to be taken for the other, misspelled."""

ListSites = Callable[[CredentialSource], Sequence[Site]]
"""The properties that a credential can see. Raises SearchConsoleError."""


@dataclass(frozen=True, slots=True)
class PropertyAccess:
    """A property of a workspace: its permission, empty for none, and the next step if it cannot be read."""

    site_url: str
    permission: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class WorkspaceAccess:
    """What a workspace may read; or `error`, why its credential cannot be used."""

    workspace: str
    credentials: CredentialSource
    properties: tuple[PropertyAccess, ...] = ()
    error: str = ""

    @property
    def is_good(self) -> bool:
        """Whether every property can be read."""
        return not self.error and not any(one.next_step for one in self.properties)

    def as_json(self) -> dict[str, Any]:
        """As `gsc workspaces check --json` prints it."""
        return {
            "workspace": self.workspace,
            "ok": self.is_good,
            "credential": str(self.credentials),
            "error": self.error or None,
            "properties": [
                {
                    "property": one.site_url,
                    "permission": one.permission or None,
                    "readable": not one.next_step,
                    "next_step": one.next_step or None,
                }
                for one in self.properties
            ],
        }


def check_access(workspaces: Sequence[Workspace], list_sites: ListSites) -> list[WorkspaceAccess]:
    """What each workspace may read. Each credential is used once, and the failure of one stops no other."""
    answers: dict[CredentialSource, Sequence[Site] | SearchConsoleError] = {}
    for workspace in workspaces:
        if workspace.credentials not in answers:
            try:
                answers[workspace.credentials] = list_sites(workspace.credentials)
            except SearchConsoleError as error:
                answers[workspace.credentials] = error
    return [_access(workspace, answers[workspace.credentials]) for workspace in workspaces]


def _access(workspace: Workspace, answer: Sequence[Site] | SearchConsoleError) -> WorkspaceAccess:
    if isinstance(answer, SearchConsoleError):
        return WorkspaceAccess(workspace.id, workspace.credentials, error=str(answer))
    return access_of(workspace, answer)


def access_of(workspace: Workspace, sites: Sequence[Site]) -> WorkspaceAccess:
    """What a workspace may read, whose credential can see these properties."""
    source = workspace.credentials
    if workspace.properties is None:
        found = [PropertyAccess(site.site_url, site.permission) for site in sites if site.is_readable]
        error = "" if found else f"may read no property; {how_to_add(source)}"
        return WorkspaceAccess(workspace.id, source, tuple(found), error)
    seen = {site.site_url: site for site in sites}
    found = [_property(one, seen, source) for one in workspace.properties]
    return WorkspaceAccess(workspace.id, source, tuple(found))


def _property(site_url: str, seen: dict[str, Site], source: CredentialSource) -> PropertyAccess:
    site = seen.get(site_url)
    if site is not None and site.is_readable:
        return PropertyAccess(site_url, site.permission)
    if site is not None:
        return PropertyAccess(site_url, site.permission, f"verify the property, or {how_to_add(source)}")
    names = {_name(one.site_url): one.site_url for one in seen.values() if one.is_readable}
    near = get_close_matches(_name(site_url), names, n=1, cutoff=_LIKENESS)
    spelled = f"spell it {names[near[0]]}, or " if near else ""
    return PropertyAccess(site_url, "", spelled + how_to_add(source))


def _name(site_url: str) -> str:
    """The property without what many have in common."""
    return re.sub(r"^(sc-domain:|https?://)", "", site_url)


def how_to_add(source: CredentialSource) -> str:
    """How to let a credential read a property."""
    return f"add {account_of(source)} as a user in Search Console (Settings, Users and permissions)"
