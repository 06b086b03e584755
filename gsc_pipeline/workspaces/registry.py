"""Workspaces (tenants), the YAML file that lists them, and their roll-out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from gsc_pipeline.search_console.auth import (
    CredentialSource,
    OAuthEnvironment,
    OAuthFile,
    ServiceAccountEnvironment,
    ServiceAccountFile,
    read_key,
)
from gsc_pipeline.search_console.errors import CredentialUnusableError
from gsc_pipeline.search_console.search_types import SEARCH_TYPES, SearchType, search_type_from_wire
from gsc_pipeline.settings import ConfigurationError, describe, shown
from gsc_pipeline.text.addresses import host_of
from gsc_pipeline.workspaces.content_groups import (
    MOST_RULES,
    ContentGroup,
    group_name,
    group_path,
    group_regex,
)
from gsc_pipeline.workspaces.seo_tests import (
    FORMS,
    MOST_TESTS,
    PageSet,
    SeoTest,
    group_problems,
    test_problems,
)
from gsc_pipeline.workspaces.thresholds import Thresholds

_SHOWN = 20
"""An error names up to this many known workspaces."""

ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
"""A workspace's id is a slug: Dagster drops partition keys with a "|" and splits them at "..." on its
command line, and paths and predicates contain the id."""


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


def load_workspaces(path: Path) -> tuple[Workspace, ...]:
    """Read and validate the workspaces file.

    Relative paths of key files are relative to its folder. Raises ConfigurationError with every error: path,
    value, what is expected.
    """
    return parse_workspaces(_read_text(path, "set GSC_WORKSPACES_FILE to a workspaces file"), path)


def parse_workspaces(text: str, path: Path) -> tuple[Workspace, ...]:
    """The workspaces in the text of a workspaces file at `path`. Raises ConfigurationError as above."""
    document = _parse_yaml(text, path)
    repeats = [*_repeats(document), *_misplaced_folders(document), *_misplaced_tests(document)]
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        problems = [_problem(details) for details in error.errors()]
        raise ConfigurationError(str(path), problems + repeats) from None
    if repeats:
        raise ConfigurationError(str(path), repeats)
    return tuple(entry.workspace(path.parent) for entry in file.workspaces)


def read_yaml(path: Path, next_step: str) -> Any:
    """The document in a YAML file, read strictly.

    Raises ConfigurationError; it names `next_step` if the file cannot be read.
    """
    return _parse_yaml(_read_text(path, next_step), path)


def _read_text(path: Path, next_step: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(str(path), [f"cannot be read ({cause}): {next_step}"]) from None


def _parse_yaml(text: str, path: Path) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(str(path), [f"not valid YAML: {_yaml_problem(error)}"]) from None


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


def credential_problems(workspaces: Iterable[Workspace]) -> list[str]:
    """A line for each credential of an active workspace that is missing or no key. Calls no server."""
    users: dict[CredentialSource, list[str]] = {}
    for workspace in workspaces:
        if workspace.active:
            users.setdefault(workspace.credentials, []).append(workspace.id)
    found = []
    for source, ids in users.items():
        try:
            read_key(source)
        except CredentialUnusableError as error:
            more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
            found.append(f"workspace {ids[0]}{more}: {error}")
    return found


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


def _problem(details: ErrorDetails) -> str:
    loc = tuple(step for step in details["loc"] if step not in _PROPERTY_FORMS)
    details["loc"] = loc
    is_about_a_key = details["type"] in ("extra_forbidden", "invalid_key")
    model = _model_at(loc[: len(loc) - is_about_a_key])
    keys = tuple(model.model_fields) if model else ()
    # A user may have pasted the key itself instead of the path of its file.
    return describe(details, keys=keys, confidential="credentials" in loc)


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
            if not (isinstance(site_url, str) and isinstance(of, str) and _PROPERTY.fullmatch(site_url)):
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
            if isinstance(site_url, str) and _PROPERTY.fullmatch(site_url):
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


_DOMAIN = "sc-domain:"
_PROPERTY = re.compile(r"sc-domain:[^/\s]+|https?://[^/\s?#]+/([^\s?#]*/)?")


def property_of(value: str) -> str:
    """The value, if it is spelled as a property is. Raises ValueError."""
    if not _PROPERTY.fullmatch(value):
        raise ValueError("expected sc-domain:example.com, or https://example.com/ with its final slash")
    return value


def _none_for_all(value: Any) -> Any:
    if value == "all":
        return None
    if not isinstance(value, list):
        raise ValueError("expected a list of properties, or all")
    return value


def slug(value: str) -> str:
    """The value, if it can be the id of a workspace. Raises ValueError."""
    if not re.fullmatch(ID_PATTERN, value):
        raise ValueError(
            "expected lower-case letters, digits and hyphens, at most 63, the first one not a hyphen"
        )
    return value


def day_of(value: Any) -> Any:
    """The value, if it is a day. Raises ValueError: a time or a quoted text is none."""
    if type(value) is not date:
        raise ValueError("expected a date such as 2026-11-20, without quotes")
    return value


def _day_of_test(value: Any) -> Any:
    day = day_of(value)
    if not _DAYS_OF_TESTS[0] <= day <= _DAYS_OF_TESTS[1]:
        raise ValueError(f"expected a day from {_DAYS_OF_TESTS[0]} to {_DAYS_OF_TESTS[1]}")
    return day


_DAYS_OF_TESTS = (date(2000, 1, 1), date(2199, 12, 31))
"""So that days can be counted from one."""


def _page(value: str) -> str:
    if not host_of(value) or not value.isprintable():
        raise ValueError("expected the address of a page, which begins with https:// or http://")
    return value


def _group(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("expected the name of a content group")
    return value


def _key_file(value: str) -> str:
    if "{" in value or "PRIVATE KEY" in value:
        raise ValueError("expected the path of a key file, not the key itself")
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("expected the name of an environment variable")
    return value


def _thresholds(value: Any) -> Thresholds:
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of thresholds to numbers")
    return Thresholds.of(value)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Credentials(_Strict):
    service_account_file: Annotated[str, AfterValidator(_key_file)] | None = None
    service_account_env: Annotated[str, AfterValidator(_variable)] | None = None
    oauth_file: Annotated[str, AfterValidator(_key_file)] | None = None
    oauth_env: Annotated[str, AfterValidator(_variable)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> _Credentials:
        given = [name for name in type(self).model_fields if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of {', '.join(type(self).model_fields)}")
        return self

    def source(self, folder: Path) -> CredentialSource:
        if self.service_account_file:
            return ServiceAccountFile(folder / self.service_account_file)
        if self.service_account_env:
            return ServiceAccountEnvironment(self.service_account_env)
        if self.oauth_file:
            return OAuthFile(folder / self.oauth_file)
        return OAuthEnvironment(str(self.oauth_env))


class _Property(_Strict):
    site_url: Annotated[str, AfterValidator(property_of)]
    folders_of: Annotated[str, AfterValidator(property_of)]


class _ContentGroup(_Strict):
    name: Annotated[str, AfterValidator(group_name)]
    path: Annotated[str, AfterValidator(group_path)] | None = None
    regex: Annotated[str, AfterValidator(group_regex)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> _ContentGroup:
        if (self.path is None) == (self.regex is None):
            raise ValueError("expected exactly one of path, regex")
        return self


_PROPERTY_FORMS = ("<address>", "<folder>")
"""The forms of a property's entry. Pydantic adds them to the place of an error."""


def _form_of(value: object) -> str:
    # A space after the colon of sc-domain:example.com makes it a mapping too.
    is_folder = isinstance(value, dict) and not value.keys().isdisjoint(_Property.model_fields)
    return _PROPERTY_FORMS[is_folder]


class _PageSet(_Strict):
    pages: Annotated[list[Annotated[str, AfterValidator(_page)]], Field(min_length=1)] | None = None
    group: Annotated[str, AfterValidator(_group)] | None = None
    regex: Annotated[str, AfterValidator(group_regex)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> _PageSet:
        if sum(getattr(self, name) is not None for name in FORMS) != 1:
            raise ValueError(f"expected exactly one of {', '.join(FORMS)}")
        return self

    def page_set(self) -> PageSet:
        return PageSet(tuple(self.pages or ()), self.group or "", self.regex or "")


class _SeoTest(_Strict):
    name: Annotated[str, AfterValidator(slug)]
    property: Annotated[str, AfterValidator(property_of)]
    search_type: Literal["web", "image", "video", "news", "discover", "googleNews"] = "web"
    start: Annotated[date, BeforeValidator(_day_of_test)]
    end: Annotated[date, BeforeValidator(_day_of_test)] | None = None
    variant: _PageSet
    control: _PageSet

    def seo_test(self) -> SeoTest:
        return SeoTest(
            name=self.name,
            site_url=self.property,
            search_type=search_type_from_wire(self.search_type).name,
            start=self.start,
            end=self.end,
            variant=self.variant.page_set(),
            control=self.control.page_set(),
        )


class _Entry(_Strict):
    id: Annotated[str, AfterValidator(slug)]
    name: str | None = None
    active: bool = True
    properties: Annotated[
        Annotated[
            list[
                Annotated[
                    Annotated[str, AfterValidator(property_of), Tag("<address>")]
                    | Annotated[_Property, Tag("<folder>")],
                    Discriminator(_form_of),
                ]
            ],
            Field(min_length=1),
        ]
        | None,
        BeforeValidator(_none_for_all),
    ]
    search_types: Annotated[
        list[Literal["web", "image", "video", "news", "discover", "googleNews"]],
        Field(min_length=1),
    ] = ["web"]
    credentials: _Credentials
    brand_terms: list[str] = []
    thresholds: Annotated[Thresholds, BeforeValidator(_thresholds)] = Field(default_factory=Thresholds)
    content_groups: Annotated[list[_ContentGroup], Field(max_length=MOST_RULES)] = []
    seo_tests: Annotated[list[_SeoTest], Field(max_length=MOST_TESTS)] = []

    def workspace(self, folder: Path) -> Workspace:
        listed = self.properties or []
        site_urls = tuple(one if isinstance(one, str) else one.site_url for one in listed)
        return Workspace(
            id=self.id,
            name=self.name or self.id,
            active=self.active,
            properties=None if self.properties is None else site_urls,
            search_types=tuple(search_type_from_wire(name) for name in self.search_types),
            credentials=self.credentials.source(folder),
            brand_terms=tuple(self.brand_terms),
            thresholds=self.thresholds,
            folders=tuple(Folder(one.site_url, one.folders_of) for one in listed if not isinstance(one, str)),
            content_groups=tuple(ContentGroup(**rule.model_dump()) for rule in self.content_groups),
            seo_tests=tuple(one.seo_test() for one in self.seo_tests),
        )


class _File(_Strict):
    workspaces: Annotated[list[_Entry], Field(min_length=1)]


_MODELS: Mapping[int, type[BaseModel]] = {0: _File, 2: _Entry, 3: _Credentials}
"""The model of a mapping, by its depth in the document."""
_LISTED: Mapping[int | str, type[BaseModel]] = {
    "properties": _Property,
    "content_groups": _ContentGroup,
    "seo_tests": _SeoTest,
}
"""The model of the mappings in a list of an entry, by its key."""


def _model_at(place: tuple[int | str, ...]) -> type[BaseModel] | None:
    if len(place) == 5 and place[2] == "seo_tests":
        return _PageSet
    return _LISTED.get(place[2]) if len(place) == 4 else _MODELS.get(len(place))


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, made strict where it is not.

    It refuses duplicate keys, of which the safe loader keeps the last. Text that only looks like a date or a
    number (2026-99-99) is a YAML error with a line, not a ValueError.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"key {key.value!r} given twice", problem_mark=key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"{node.value!r} cannot be read as {kind}", problem_mark=node.start_mark
            ) from None


def _yaml_problem(error: yaml.YAMLError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{problem.removeprefix('but ')}{where}"
