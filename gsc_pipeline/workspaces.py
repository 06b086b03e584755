"""Workspaces (tenants) and the YAML file that lists them.

Belongs here: what a workspace is, and reading the file with every mistake reported at once. Does not:
reading credentials (`search_console.auth`) or asking Google what `properties: all` means (`sync`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from gsc_pipeline.search_console.auth import (
    CredentialSource,
    OAuthEnvironment,
    ServiceAccountEnvironment,
    ServiceAccountFile,
)
from gsc_pipeline.search_console.search_types import SearchType, search_type_from_wire
from gsc_pipeline.settings import ConfigurationError, describe

ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
"""A workspace's id. Dagster silently loses a partition key with a "|", and its command line splits keys
at "...", so an id is a slug; paths and predicates are built from it too."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """One tenant: its own credentials and properties.

    `properties` is None for `properties: all`, which means whatever the credential may read.
    """

    id: str
    name: str
    credentials: CredentialSource
    properties: tuple[str, ...] | None
    search_types: tuple[SearchType, ...]
    brand_terms: tuple[str, ...] = ()
    active: bool = True


def load_workspaces(path: Path) -> tuple[Workspace, ...]:
    """Read and validate the workspaces file.

    Relative credential paths are taken from the file's own folder. Raises ConfigurationError with every
    mistake, each as path, value and what is expected.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(
            str(path), [f"cannot be read ({cause}): set GSC_WORKSPACES_FILE to a workspaces file"]
        ) from None
    try:
        document = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise ConfigurationError(str(path), [f"not valid YAML: {_yaml_problem(error)}"]) from None
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(str(path), (describe(details) for details in error.errors())) from None
    duplicates = _duplicate_ids([entry.id for entry in file.workspaces])
    if duplicates:
        raise ConfigurationError(str(path), duplicates)
    return tuple(entry.workspace(path.parent) for entry in file.workspaces)


def select(workspaces: Sequence[Workspace], ids: Iterable[str]) -> tuple[Workspace, ...]:
    """The active workspaces among `ids`, or all active ones when `ids` is empty.

    Raises ConfigurationError for ids that the file does not list.
    """
    wanted = set(ids)
    unknown = sorted(wanted - {workspace.id for workspace in workspaces})
    if unknown:
        known = ", ".join(workspace.id for workspace in workspaces) or "none"
        raise ConfigurationError(
            "workspaces", [f"{workspace_id}: unknown workspace (known: {known})" for workspace_id in unknown]
        )
    return tuple(w for w in workspaces if w.active and (not wanted or w.id in wanted))


def _duplicate_ids(ids: Sequence[str]) -> list[str]:
    return [
        f"workspaces[{i}].id: {id_!r}: used by workspaces[{ids.index(id_)}] already, expected a unique id"
        for i, id_ in enumerate(ids)
        if ids.index(id_) < i
    ]


def _property(value: str) -> str:
    if value.startswith("sc-domain:") and len(value) > len("sc-domain:") and "/" not in value:
        return value
    parts = urlsplit(value)
    if parts.scheme in ("http", "https") and parts.netloc and parts.path.endswith("/"):
        return value
    raise ValueError(
        "expected a property as Search Console spells it: sc-domain:example.com, or https://example.com/ "
        "with its final slash"
    )


def _none_for_all(value: Any) -> Any:
    if value == "all":
        return None
    if not isinstance(value, list):
        raise ValueError("expected a list of properties, or the word all")
    return value


def _unique(values: Sequence[Any]) -> Sequence[Any]:
    if len(set(values)) < len(values):
        raise ValueError("expected no value twice")
    return values


def _slug(value: str) -> str:
    if not re.fullmatch(ID_PATTERN, value):
        raise ValueError("expected a slug: lower-case letters, digits and hyphens, at most 63")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Credentials(_Strict):
    service_account_file: str | None = None
    service_account_env: str | None = None
    oauth_env: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> _Credentials:
        given = [name for name in type(self).model_fields if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("expected exactly one of service_account_file, service_account_env, oauth_env")
        return self

    def source(self, folder: Path) -> CredentialSource:
        if self.service_account_file:
            return ServiceAccountFile(folder / self.service_account_file)
        if self.service_account_env:
            return ServiceAccountEnvironment(self.service_account_env)
        return OAuthEnvironment(str(self.oauth_env))


class _Entry(_Strict):
    id: Annotated[str, AfterValidator(_slug)]
    name: str | None = None
    active: bool = True
    properties: Annotated[
        Annotated[
            list[Annotated[str, AfterValidator(_property)]], Field(min_length=1), AfterValidator(_unique)
        ]
        | None,
        BeforeValidator(_none_for_all),
    ]
    search_types: Annotated[
        list[Literal["web", "image", "video", "news", "discover", "googleNews"]],
        Field(min_length=1),
        AfterValidator(_unique),
    ] = ["web"]
    credentials: _Credentials
    brand_terms: list[str] = []

    def workspace(self, folder: Path) -> Workspace:
        return Workspace(
            id=self.id,
            name=self.name or self.id,
            active=self.active,
            properties=None if self.properties is None else tuple(self.properties),
            search_types=tuple(search_type_from_wire(name) for name in self.search_types),
            credentials=self.credentials.source(folder),
            brand_terms=tuple(self.brand_terms),
        )


class _File(_Strict):
    workspaces: Annotated[list[_Entry], Field(min_length=1)]


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, refusing a key given twice: the plain one silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{getattr(error, 'problem', None) or 'unreadable'}{where}"
