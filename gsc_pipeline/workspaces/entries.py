"""The models of the workspaces file: what each of its entries may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from unicodedata import combining

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)
from pydantic_core import ErrorDetails

from gsc_pipeline.search_console.auth import (
    CredentialSource,
    OAuthEnvironment,
    OAuthFile,
    ServiceAccountEnvironment,
    ServiceAccountFile,
)
from gsc_pipeline.search_console.search_types import search_type_from_wire
from gsc_pipeline.text.addresses import host_of
from gsc_pipeline.text.validation import describe
from gsc_pipeline.workspaces.content_groups import MOST_RULES, group_name, group_path, group_regex
from gsc_pipeline.workspaces.seo_tests import FORMS, MOST_TESTS, PageSet, SeoTest
from gsc_pipeline.workspaces.thresholds import Thresholds

ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
"""A workspace's id is a slug: Dagster drops partition keys with a "|" and splits them at "..." on its
command line, and paths and predicates contain the id."""

SearchTypeName = Literal["web", "image", "video", "news", "discover", "googleNews"]

PROPERTY = re.compile(r"sc-domain:[^/\s]+|https?://[^/\s?#]+/([^\s?#]*/)?")


def property_of(value: str) -> str:
    """The value, if it is spelled as a property is. Raises ValueError."""
    if not PROPERTY.fullmatch(value):
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


def _brand_term(value: str) -> str:
    # Accents are ignored where queries are compared, so every query would contain one that stands alone.
    if not any(one.isprintable() and not one.isspace() and not combining(one) for one in value):
        raise ValueError("expected what brand queries contain, such as the name of the brand")
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


class Strict(BaseModel):
    """A mapping without unknown keys, whose values are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Credentials(Strict):
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


class _Property(Strict):
    site_url: Annotated[str, AfterValidator(property_of)]
    folders_of: Annotated[str, AfterValidator(property_of)]


class _ContentGroup(Strict):
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


class _PageSet(Strict):
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


class _SeoTest(Strict):
    name: Annotated[str, AfterValidator(slug)]
    property: Annotated[str, AfterValidator(property_of)]
    search_type: SearchTypeName = "web"
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


class Entry(Strict):
    """One workspace, as the file has it."""

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
    search_types: Annotated[list[SearchTypeName], Field(min_length=1)] = ["web"]
    credentials: _Credentials
    brand_terms: list[Annotated[str, AfterValidator(_brand_term)]] = []
    thresholds: Annotated[Thresholds, BeforeValidator(_thresholds)] = Field(default_factory=Thresholds)
    content_groups: Annotated[list[_ContentGroup], Field(max_length=MOST_RULES)] = []
    seo_tests: Annotated[list[_SeoTest], Field(max_length=MOST_TESTS)] = []


class File(Strict):
    """The whole file."""

    workspaces: Annotated[list[Entry], Field(min_length=1)]


_MODELS: Mapping[int, type[BaseModel]] = {0: File, 2: Entry, 3: _Credentials}
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


def problem_of(details: ErrorDetails) -> str:
    """The line for an error of `File`: path, value, what is expected."""
    loc = tuple(step for step in details["loc"] if step not in _PROPERTY_FORMS)
    details["loc"] = loc
    is_about_a_key = details["type"] in ("extra_forbidden", "invalid_key")
    model = _model_at(loc[: len(loc) - is_about_a_key])
    keys = tuple(model.model_fields) if model else ()
    # A user may have pasted the key itself instead of the path of its file.
    return describe(details, keys=keys, confidential="credentials" in loc)
