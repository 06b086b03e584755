"""SEO tests of a workspace: which pages were changed, which were not, and from which day on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from gsc_pipeline.text.validation import shown

FORMS = ("pages", "group", "regex")
"""The forms of a set of pages, of which an entry has exactly one."""


MOST_TESTS = 100
"""Tests of a workspace."""


@dataclass(frozen=True, slots=True)
class PageSet:
    """A set of pages by exactly one of: their URLs, a content group, or an RE2 pattern within the URL."""

    pages: tuple[str, ...] = ()
    group: str = ""
    regex: str = ""

    def __str__(self) -> str:
        if self.pages:
            return f"{len(self.pages)} {'page' if len(self.pages) == 1 else 'pages'}"
        return f"the group {self.group}" if self.group else f"pages that match {self.regex}"


@dataclass(frozen=True, slots=True)
class SeoTest:
    """A change of the pages `variant` from `start` on, to be compared with the unchanged pages `control`.

    `search_type` is spelled as in the lake (WEB). `end` is the last day with the change; None while it stays.
    A page of both sets belongs to the variant only.
    """

    name: str
    site_url: str
    search_type: str
    start: date
    variant: PageSet
    control: PageSet
    end: date | None = None


def page_name(workspace: str, test: str) -> str:
    """The file of the test's page beside the report. No id has a dot, so no other workspace has this file."""
    return f"{workspace}.test-{test}.html"


def test_problems(path: str, test: dict[Any, Any]) -> Iterator[str]:
    """A line for each error that no single value of a test's entry shows. `path` is its place."""
    start, end = test.get("start"), test.get("end")
    if type(start) is date and type(end) is date and end < start:
        yield f"{path}.end: {end}: expected {start}, the first day with the change, or later"
    variant, control = (_as_dict(test.get(name)) for name in ("variant", "control"))
    for form in ("group", "regex"):
        value = control.get(form)
        if isinstance(value, str) and value and value == variant.get(form):
            yield f"{path}.control.{form}: {shown(value)}: expected other pages than those of the variant"
    yield from _repeated_pages(path, _pages_of(variant), _pages_of(control))


def group_problems(path: str, test: dict[Any, Any], rules: Sequence[Any]) -> Iterator[str]:
    """A line for each group that no page can be in. `rules` are the names of the workspace's groups."""
    for name in ("variant", "control"):
        group = _as_dict(test.get(name)).get("group")
        if not isinstance(group, str) or not group.strip() or group in (*rules, "other"):
            continue
        if rules:
            yield f"{path}.{name}.group: {shown(group)}: expected one of content_groups, such as {rules[0]}"
        elif not re.fullmatch(r"/([^/?#]+/)?", group):
            yield (
                f"{path}.{name}.group: {shown(group)}: expected the first folder of a path, such as /blog/, "
                "because the workspace has no content_groups"
            )


def _repeated_pages(path: str, variant: Sequence[Any], control: Sequence[Any]) -> Iterator[str]:
    first: dict[str, str] = {}
    for name, pages in (("variant", variant), ("control", control)):
        for number, page in enumerate(pages):
            place = f"{path}.{name}.pages[{number}]"
            if isinstance(page, str) and first.setdefault(page, place) != place:
                yield f"{place}: {shown(page)}: expected only once, but {first[page]} is the same"


def _pages_of(entry: dict[Any, Any]) -> Sequence[Any]:
    pages = entry.get("pages")
    return pages if isinstance(pages, list) else []


def _as_dict(value: object) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
