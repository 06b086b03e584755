"""The user's file of annotations: notes, and faults or changes that the project does not ship."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source
from gsc_pipeline.search_console.search_types import search_type_from_wire
from gsc_pipeline.settings import ConfigurationError, describe, shown
from gsc_pipeline.text.addresses import host_of
from gsc_pipeline.workspaces.entries import day_of, property_of, slug
from gsc_pipeline.workspaces.strict_yaml import read_yaml


def load_annotations(path: Path, workspaces: Collection[str]) -> tuple[Annotation, ...]:
    """Read and validate the user's annotations, which may name these `workspaces` (ids).

    Raises ConfigurationError with a line for each wrong entry: path, value, what is expected.
    """
    document = read_yaml(path, "set GSC_ANNOTATIONS to a file of annotations, or unset it")
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(str(path), [_problem(details) for details in error.errors()]) from None
    entries = list(enumerate(file.annotations))
    problems = [problem for number, one in entries for problem in one.problems(number, workspaces)]
    problems += _repeats(file.annotations)
    if problems:
        raise ConfigurationError(str(path), problems)
    return tuple(one.annotation() for one in file.annotations)


def _url(value: str) -> str:
    if not host_of(value):
        raise ValueError("expected an address that begins with https://")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_Day = Annotated[date, BeforeValidator(day_of)]


class _Entry(_Strict):
    title: str
    first_day: _Day
    last_day: _Day | None = None
    kind: Literal["data_fault", "counting_change", "ranking_update", "note"] = "note"
    search_types: list[Literal["web", "image", "video", "news", "discover", "googleNews"]] = []
    metrics: list[Literal["clicks", "impressions", "ctr", "position"]] = []
    workspace: Annotated[str, AfterValidator(slug)] | None = None
    property: Annotated[str, AfterValidator(property_of)] | None = None
    description: str = ""
    url: Annotated[str, AfterValidator(_url)] = ""

    def problems(self, number: int, workspaces: Collection[str]) -> Iterator[str]:
        """The lines about what no single value shows."""
        try:
            self.annotation()
        except ValueError as error:
            yield f"annotations[{number}].{error}"
        if self.workspace is not None and self.workspace not in workspaces:
            near = get_close_matches(self.workspace, workspaces, n=1) or sorted(workspaces)[:1]
            example = f", such as {near[0]}" if near else ""
            yield (
                f"annotations[{number}].workspace: {shown(self.workspace)}: expected the id of a workspace"
                f"{example}"
            )

    def annotation(self) -> Annotation:
        return Annotation(
            kind=Kind(self.kind),
            title=self.title,
            first_day=self.first_day,
            last_day=self.last_day,
            search_types=tuple(search_type_from_wire(name).name for name in self.search_types),
            metrics=tuple(self.metrics),
            workspace=self.workspace,
            site_url=self.property,
            description=" ".join(self.description.split()),
            url=self.url,
            source=Source.YOURS,
        )


class _File(_Strict):
    annotations: list[_Entry]


def _problem(details: ErrorDetails) -> str:
    is_about_a_key = details["type"] in ("extra_forbidden", "invalid_key")
    is_entry = len(details["loc"]) - is_about_a_key == 2
    return describe(details, keys=tuple((_Entry if is_entry else _File).model_fields))


def _repeats(entries: list[_Entry]) -> Iterator[str]:
    first: dict[tuple[object, ...], int] = {}
    for number, one in enumerate(entries):
        key = (one.kind, one.title, one.first_day, one.workspace, one.property)
        if first.setdefault(key, number) != number:
            yield f"annotations[{number}]: the same as annotations[{first[key]}]: expected only once"
