"""The user's file of annotations: notes, and faults or changes that the project does not ship."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source
from gsc_pipeline.search_console.search_types import search_type_from_wire
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.text.addresses import host_of
from gsc_pipeline.text.secrets import masked
from gsc_pipeline.text.validation import describe, shown
from gsc_pipeline.workspaces.entries import SearchTypeName, Strict, day_of, property_of, slug
from gsc_pipeline.workspaces.strict_yaml import read_yaml


@dataclass(frozen=True, slots=True)
class OwnAnnotations:
    """The user's annotations, and a line for each wrong entry of the file: path, value, what is expected.

    `valid` has the other entries. It is None without a file, or if nothing of the file can be used.
    """

    valid: tuple[Annotation, ...] | None = None
    problems: tuple[str, ...] = ()

    @property
    def until_corrected(self) -> str:
        """What becomes of the annotations while the file has mistakes."""
        return "the lake keeps your earlier ones" if self.valid is None else "the entry is left out"

    @property
    def warnings(self) -> tuple[str, ...]:
        """The problems, each with what becomes of the annotations."""
        return tuple(f"{problem} (until corrected, {self.until_corrected})" for problem in self.problems)


def load_annotations(path: Path, workspaces: Collection[str]) -> OwnAnnotations:
    """Read the user's annotations, which may name these `workspaces` (ids). A wrong entry is left out."""
    try:
        document = read_yaml(path, "set GSC_ANNOTATIONS to a file of annotations, or unset it")
        entries = _File.model_validate(document).annotations
    except ConfigurationError as error:
        return OwnAnnotations(problems=tuple(str(error).splitlines()))
    except ValidationError as error:
        problems = [_problem(details, _File) for details in error.errors()]
        return OwnAnnotations(problems=tuple(f"{path}: {problem}" for problem in problems))
    valid: dict[tuple[object, ...], tuple[int, Annotation]] = {}
    found: list[str] = []
    for number, content in enumerate(entries):
        try:
            entry = _Entry.model_validate(content)
        except ValidationError as error:
            found += [_problem(details, _Entry, number) for details in error.errors()]
            continue
        if problems := list(entry.problems(workspaces)):
            found += [f"annotations[{number}]{problem}" for problem in problems]
        elif (key := entry.key()) in valid:
            first, _ = valid[key]
            found.append(f"annotations[{number}]: the same as annotations[{first}]: expected only once")
        else:
            valid[key] = number, entry.annotation()
    problems_of_file = tuple(f"{path}: {masked(problem)}" for problem in found)
    return OwnAnnotations(tuple(one for _, one in valid.values()), problems_of_file)


def _url(value: str) -> str:
    if not host_of(value):
        raise ValueError("expected an address that begins with https://")
    return value


_Day = Annotated[date, BeforeValidator(day_of)]


class _Entry(Strict):
    title: str
    first_day: _Day
    last_day: _Day | None = None
    kind: Literal["data_fault", "counting_change", "ranking_update", "note"] = "note"
    search_types: list[SearchTypeName] = Field(default_factory=list)
    metrics: list[Literal["clicks", "impressions", "ctr", "position"]] = Field(default_factory=list)
    workspace: Annotated[str, AfterValidator(slug)] | None = None
    property: Annotated[str, AfterValidator(property_of)] | None = None
    description: str = ""
    url: Annotated[str, AfterValidator(_url)] = ""

    def key(self) -> tuple[object, ...]:
        """Entries with the same key are the same annotation."""
        return self.kind, self.title, self.first_day, self.workspace, self.property

    def problems(self, workspaces: Collection[str]) -> Iterator[str]:
        """The lines about what no single value shows, without the entry's place."""
        try:
            self.annotation()
        except ValueError as error:
            yield f".{error}"
        if self.workspace is not None and self.workspace not in workspaces:
            near = get_close_matches(self.workspace, workspaces, n=1) or sorted(workspaces)[:1]
            example = f", such as {near[0]}" if near else ""
            yield f".workspace: {shown(self.workspace)}: expected the id of a workspace{example}"

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


class _File(Strict):
    annotations: list[Any]


def _problem(details: ErrorDetails, of: type[Strict], number: int | None = None) -> str:
    """A validation error in one line; `number` is the place of the entry that it is about."""
    place = () if number is None else ("annotations", number)
    return describe({**details, "loc": (*place, *details["loc"])}, keys=tuple(of.model_fields))
