"""A rule of a workspace's content groups, and whether its parts can be used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

ALL = "all"
"""The whole property, where tables have rows by content group."""
OTHER = "other"
"""The group of pages that no rule names."""
MOST_RULES = 100
LONGEST_NAME = 100
"""Characters of a group's name."""


@dataclass(frozen=True, slots=True)
class ContentGroup:
    """A rule: pages below `path`, on any host, or whose URL contains a match of `regex` (RE2) are in `name`.

    Exactly one of `path` and `regex` is given.
    """

    name: str
    path: str | None = None
    regex: str | None = None


def group_name(value: str) -> str:
    """The value, if it can be the name of a content group. Raises ValueError."""
    if value.lower() in (ALL, OTHER):
        raise ValueError(f"expected another name: {ALL} and {OTHER} have a meaning of their own")
    if not value or value != value.strip() or not value.isprintable() or len(value) > LONGEST_NAME:
        raise ValueError(f"expected 1 to {LONGEST_NAME} printable characters, without spaces around them")
    return value


def group_path(value: str) -> str:
    """The value, if it can be the start of URLs' paths. Raises ValueError."""
    if not value.startswith("/") or not value.isprintable() or not {" ", "?", "#"}.isdisjoint(value):
        raise ValueError("expected the start of a URL's path, such as /blog/, without host, spaces, ? and #")
    return value


def group_regex(value: str) -> str:
    """The value, if DuckDB, which applies it, takes it for a regular expression. Raises ValueError."""
    if not value:
        raise ValueError("expected an RE2 regular expression")
    # Importing it takes a tenth of a second, and few workspaces have such a rule.
    import duckdb

    try:
        _connection().cursor().execute("SELECT regexp_matches('', ?)", [value])
    except duckdb.Error as error:
        problem = str(error).splitlines()[0].removeprefix("Invalid Input Error: ").rstrip(".")
        raise ValueError(f"expected an RE2 regular expression ({problem})") from None
    return value


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(":memory:")
