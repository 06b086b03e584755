"""The scope of insights: whole properties or one content group, with queries as typed or canonical."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from gsc_pipeline.lake.schemas import (
    ANOMALIES,
    CANNIBALISATION,
    CONTENT_DECAY,
    CTR_GAP,
    FORECASTS,
    INDEX_COVERAGE,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)
from gsc_pipeline.workspaces.content_groups import ALL, OTHER

_WITH_ALL = (ANOMALIES, INDEX_COVERAGE, FORECASTS)
"""Tables that have rows of the group `all` beside those of each group."""

_OF_QUERIES = (CTR_GAP, STRIKING_DISTANCE, CANNIBALISATION, WINNERS_AND_LOSERS)
_OF_PAGES = (WINNERS_AND_LOSERS, CONTENT_DECAY)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows of every table a report, a preview or an assistant shows.

    `content_group` is one group, or `all`. `canonical`: findings by query are by canonical query.
    """

    content_group: str = ALL
    canonical: bool = False

    @property
    def is_group(self) -> bool:
        """Whether it is one content group."""
        return self.content_group != ALL

    @property
    def words(self) -> str:
        """The scope in a title; nothing for a whole workspace with queries as typed."""
        group = "other pages" if self.content_group == OTHER else self.content_group
        parts = [group] if self.is_group else []
        return ", ".join([*parts, *(["canonical queries"] if self.canonical else [])])

    @property
    def dimension(self) -> str:
        """The dimension of findings by query."""
        return "canonical_query" if self.canonical else "query"

    def of(self, table: TableSpec, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of a finding within the scope; none for a group if the table does not name groups."""
        if not self.applies_to(rows):
            return rows.head(0)
        wanted: dict[str, set[str]] = {}
        if self.is_group or table in _WITH_ALL:
            wanted["content_group"] = {self.content_group}
        if table in _OF_QUERIES:
            wanted["dimension"] = {self.dimension}
        if table in _OF_PAGES:
            wanted.setdefault("dimension", set()).add("page")
        for column, values in wanted.items():
            earlier = _written_earlier(table, column)
            rows = rows[rows[column].isin(values) | (rows[column].isna() & (earlier in values))]
        return rows.reset_index(drop=True)

    def applies_to(self, rows: pd.DataFrame) -> bool:
        """Whether the rows can be selected: by content group, only those of a table that names groups."""
        return not self.is_group or "content_group" in rows

    def file_stem(self, workspace: str, groups: Iterable[str] = ()) -> str:
        """The name of the report's file without its ending: `acme`, `acme.group-blog`, `acme.canonical`.

        `groups` are all groups of the workspace: one whose name is like another's has a hash in its file's.
        No id has a dot, so no other workspace has a file of this name.
        """
        parts = [workspace]
        if self.is_group:
            slug = _slug(self.content_group)
            is_alone = not any(_slug(one) == slug for one in groups if one != self.content_group)
            digest = hashlib.sha256(self.content_group.encode()).hexdigest()[:8]
            name = slug if slug and is_alone else f"{slug}-{digest}".strip("-")
            parts.append(f"group-{name}")
        return ".".join([*parts, *(["canonical"] if self.canonical else [])])


WHOLE = Scope()


def _written_earlier(table: TableSpec, column: str) -> str | None:
    """What a missing value stands for in rows of releases without the column: they had no groups."""
    if column == "content_group":
        return ALL if table in _WITH_ALL else None
    return "page" if table is CONTENT_DECAY else "query"


def _slug(text: str) -> str:
    """The text as part of a file's name: lower-case letters without accents, digits and dashes."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
