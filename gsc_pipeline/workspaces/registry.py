"""Workspaces (tenants), the YAML file that lists them, and their roll-out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from gsc_pipeline.search_console.auth import CredentialSource, read_key
from gsc_pipeline.search_console.errors import CredentialUnusableError
from gsc_pipeline.search_console.search_types import SEARCH_TYPES, SearchType, search_type_from_wire
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.text.addresses import host_of
from gsc_pipeline.text.validation import shown
from gsc_pipeline.workspaces.content_groups import ContentGroup
from gsc_pipeline.workspaces.entries import PROPERTY, Entry, File, problem_of
from gsc_pipeline.workspaces.seo_tests import SeoTest, group_problems, test_problems
from gsc_pipeline.workspaces.strict_yaml import parse_yaml, read_text
from gsc_pipeline.workspaces.thresholds import Thresholds

_DOMAIN = "sc-domain:"

_SHOWN = 20
"""An error names up to this many known workspaces."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A URL-prefix property whose rows complete those of the property `of`, which has all its pages."""

    site_url: str
    of: str


@dataclass(frozen=True, slots=True)
class Workspace:
    """One tenant, with its own credentials and properties.

    `properties` is None for `properties: all`: every property that the credential may read. The `folders` are
    among them. Their own rows are in the two large tables only; whatever counts the workspace counts their
    pages in the property that they complete. Of the `content_groups` the first that matches a page has it.
    """

    id: str
    name: str
    credentials: CredentialSource
    properties: tuple[str, ...] | None
    search_types: tuple[SearchType, ...]
    brand_terms: tuple[str, ...] = ()
    active: bool = True
    thresholds: Thresholds = field(default_factory=Thresholds)
    folders: tuple[Folder, ...] = ()
    content_groups: tuple[ContentGroup, ...] = ()
    seo_tests: tuple[SeoTest, ...] = ()

    def folders_of(self, site_url: str) -> tuple[str, ...]:
        """The folders of a property, and the folders of these."""
        own = [one.site_url for one in self.folders if one.of == site_url]
        return (*own, *(below for one in own for below in self.folders_of(one)))

    @property
    def folder_urls(self) -> tuple[str, ...]:
        """The properties that are folders of others."""
        return tuple(one.site_url for one in self.folders)


NEXT_STEP = "name your workspaces file in GSC_WORKSPACES_FILE, or write one with gsc init"
"""What to do where there is no workspaces file."""


def load_workspaces(path: Path) -> tuple[Workspace, ...]:
    """Read and validate the workspaces file.

    Relative paths of key files are relative to its folder. Raises ConfigurationError with every error: path,
    value, what is expected.
    """
    return parse_workspaces(read_text(path, NEXT_STEP), path)


def parse_workspaces(text: str, path: Path) -> tuple[Workspace, ...]:
    """The workspaces in the text of a workspaces file at `path`. Raises ConfigurationError as above."""
    document = parse_yaml(text, path)
    repeats = [*_repeats(document), *_misplaced_folders(document), *_misplaced_tests(document)]
    try:
        file = File.model_validate(document)
    except ValidationError as error:
        problems = [problem_of(details) for details in error.errors()]
        raise ConfigurationError(str(path), problems + repeats) from None
    if repeats:
        raise ConfigurationError(str(path), repeats)
    return tuple(_workspace(entry, path.parent) for entry in file.workspaces)


def _workspace(entry: Entry, folder: Path) -> Workspace:
    listed = entry.properties or []
    site_urls = tuple(one if isinstance(one, str) else one.site_url for one in listed)
    return Workspace(
        id=entry.id,
        name=entry.name or entry.id,
        active=entry.active,
        properties=None if entry.properties is None else site_urls,
        search_types=tuple(search_type_from_wire(name) for name in entry.search_types),
        credentials=entry.credentials.source(folder),
        brand_terms=tuple(entry.brand_terms),
        thresholds=entry.thresholds,
        folders=tuple(Folder(one.site_url, one.folders_of) for one in listed if not isinstance(one, str)),
        content_groups=tuple(ContentGroup(**rule.model_dump()) for rule in entry.content_groups),
        seo_tests=tuple(one.seo_test() for one in entry.seo_tests),
    )


def select(workspaces: Sequence[Workspace], ids: Iterable[str]) -> tuple[Workspace, ...]:
    """The active workspaces among `ids`, or all active ones when `ids` is empty.

    Raises ConfigurationError for unknown ids.
    """
    wanted = set(ids)
    unknown = sorted(wanted - {workspace.id for workspace in workspaces})
    if unknown:
        raise _unknown(workspaces, unknown)
    return tuple(w for w in workspaces if w.active and (not wanted or w.id in wanted))


def named(workspaces: Sequence[Workspace], workspace_id: str) -> Workspace:
    """The workspace with this id, active or not. Raises ConfigurationError when there is none."""
    for workspace in workspaces:
        if workspace.id == workspace_id:
            return workspace
    raise _unknown(workspaces, [workspace_id])


def credential_users(workspaces: Iterable[Workspace]) -> dict[CredentialSource, list[Workspace]]:
    """The active workspaces of each credential."""
    users: dict[CredentialSource, list[Workspace]] = {}
    for workspace in workspaces:
        if workspace.active:
            users.setdefault(workspace.credentials, []).append(workspace)
    return users


def credential_problems(workspaces: Iterable[Workspace]) -> list[str]:
    """A line for each credential of an active workspace that cannot be read as a key. Calls no server."""
    found = []
    for source, users in credential_users(workspaces).items():
        try:
            read_key(source)
        except CredentialUnusableError as error:
            found.append(f"workspace {first_and_count(users)}: {error}")
    return found


def first_and_count(workspaces: Sequence[Workspace]) -> str:
    """The id of the first workspace, and how many more there are."""
    more = f" and {len(workspaces) - 1} more" if len(workspaces) > 1 else ""
    return f"{workspaces[0].id}{more}"


def holds(outer: str, inner: str) -> bool:
    """Whether every page of the property `inner` belongs to the property `outer`."""
    if not outer.startswith(_DOMAIN):
        return inner.startswith(outer)
    domain = outer.removeprefix(_DOMAIN)
    host = inner.removeprefix(_DOMAIN) if inner.startswith(_DOMAIN) else urlsplit(inner).hostname or ""
    return host == domain or host.endswith(f".{domain}")


def is_rolled_out(workspace_id: str, percent: float) -> bool:
    """Whether a roll-out to `percent` (0 to 100) of the workspaces includes this one.

    A hash of the id decides, so the answer is the same on every machine, whatever else the file lists. A
    higher percentage only adds workspaces.
    """
    digest = hashlib.sha256(f"auto_sync {workspace_id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48 * 100 < percent


def _unknown(workspaces: Sequence[Workspace], ids: Iterable[str]) -> ConfigurationError:
    known = [workspace.id for workspace in workspaces]

    def near(id_: str) -> str:
        shown = (get_close_matches(id_, known) if len(known) > _SHOWN else known) or known[:_SHOWN]
        more = f", and {len(known) - len(shown)} more" if len(shown) < len(known) else ""
        return (", ".join(shown) or "none") + more

    return ConfigurationError("workspaces", [f"{one}: unknown workspace (known: {near(one)})" for one in ids])


def _repeats(document: Any) -> Iterator[str]:
    """An error for each duplicate, found in the raw document so that it is reported beside other errors."""
    entries = _entries(document)
    groups = [[(f"{path}.id", entry.get("id")) for path, entry in entries]]
    for path, entry in entries:
        for key in ("properties", "search_types"):
            values = enumerate(_as_list(entry.get(key)))
            groups.append([(f"{path}.{key}[{i}]", _site_url_of(value)) for i, value in values])
        rules = enumerate(_as_list(entry.get("content_groups")))
        named = [(i, rule.get("name")) for i, rule in rules if isinstance(rule, dict)]
        groups.append([(f"{path}.content_groups[{i}].name", name) for i, name in named])
        groups.append([(f"{test}.name", one.get("name")) for test, one in _tests(path, entry)])
    for group in groups:
        first: dict[str, str] = {}
        for path, value in group:
            if isinstance(value, str) and first.setdefault(value, path) != path:
                yield f"{path}: {shown(value)}: expected only once, but {first[value]} is the same"


def _misplaced_folders(document: Any) -> Iterator[str]:
    """An error for each folder that is not below another property of its workspace."""
    for path, entry in _entries(document):
        listed = _as_list(entry.get("properties"))
        site_urls = [_site_url_of(one) for one in listed]
        for i, one in enumerate(listed):
            site_url, of = _site_url_of(one), one.get("folders_of") if isinstance(one, dict) else None
            if not (isinstance(site_url, str) and isinstance(of, str) and PROPERTY.fullmatch(site_url)):
                continue
            if of not in site_urls:
                yield (
                    f"{path}.properties[{i}].folders_of: {shown(of)}: expected another property of this "
                    "workspace, spelled as in its list"
                )
            elif site_url.startswith(_DOMAIN) or site_url == of or not holds(of, site_url):
                yield (
                    f"{path}.properties[{i}].site_url: {shown(site_url)}: expected a URL prefix below "
                    f"{of}, the property whose folder it is to be"
                )


def _misplaced_tests(document: Any) -> Iterator[str]:
    """An error for each SEO test whose property, pages or days do not fit the rest of the file."""
    entries, known_types = _entries(document), [one.value for one in SEARCH_TYPES]
    for path, entry in entries:
        listed = _as_list(entry.get("properties"))
        site_urls = [_site_url_of(one) for one in listed if not isinstance(one, dict)]
        search_types = _as_list(entry.get("search_types", ["web"]))
        for place, test in _tests(path, entry):
            site_url, search_type = test.get("property"), test.get("search_type", "web")
            if isinstance(site_url, str) and PROPERTY.fullmatch(site_url):
                if listed and site_url not in site_urls:
                    yield (
                        f"{place}.property: {shown(site_url)}: expected a property of this workspace, "
                        "spelled as in its list, and no folder of another"
                    )
                yield from _foreign_pages(place, test, site_url)
            if search_type in known_types and search_type not in search_types:
                yield (
                    f"{place}.search_type: {shown(search_type)}: expected one of this workspace's "
                    "search_types"
                )
            yield from test_problems(place, test)
            rules = [
                one.get("name") for one in _as_list(entry.get("content_groups")) if isinstance(one, dict)
            ]
            yield from group_problems(place, test, rules)


def _foreign_pages(place: str, test: dict[Any, Any], site_url: str) -> Iterator[str]:
    for name in ("variant", "control"):
        pages = _as_list(test[name].get("pages")) if isinstance(test.get(name), dict) else []
        for i, page in enumerate(pages):
            if isinstance(page, str) and host_of(page) and not holds(site_url, page):
                yield f"{place}.{name}.pages[{i}]: {shown(page)}: expected a page of {site_url}"


def _tests(path: str, entry: dict[Any, Any]) -> list[tuple[str, dict[Any, Any]]]:
    """The raw entries of a workspace's SEO tests, with their paths."""
    listed = enumerate(_as_list(entry.get("seo_tests")))
    return [(f"{path}.seo_tests[{i}]", test) for i, test in listed if isinstance(test, dict)]


def _entries(document: Any) -> list[tuple[str, dict[Any, Any]]]:
    """The entries of the workspaces in the raw document, with their paths."""
    listed = _as_list(document.get("workspaces")) if isinstance(document, dict) else []
    return [(f"workspaces[{i}]", entry) for i, entry in enumerate(listed) if isinstance(entry, dict)]


def _site_url_of(value: object) -> object:
    """The address in the raw entry of a property."""
    return value.get("site_url") if isinstance(value, dict) else value


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
