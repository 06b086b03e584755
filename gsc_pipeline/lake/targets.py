"""The rows that a replacement of a table targets, as SQL conditions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

import pyarrow.compute as pc

from gsc_pipeline.days import month_of
from gsc_pipeline.lake.parquet_source import sql_list, sql_text


class RowSelection(Protocol):
    """A selection of rows of a table."""

    def predicate(self) -> str:
        """The SQL condition for these rows."""


@dataclass(frozen=True, slots=True)
class Target:
    """The rows of some days of one property and search type, as the target of a replacement."""

    workspace: str
    site_url: str
    search_type: str
    days: tuple[date, ...]

    @property
    def months(self) -> list[str]:
        """The months of the days, as YYYY-MM."""
        return sorted({month_of(day) for day in self.days})

    def condition(self) -> pc.Expression:
        """The condition for these rows among those of the workspace."""
        return (
            (pc.field("site_url") == self.site_url)
            & (pc.field("search_type") == self.search_type)
            & pc.field("data_date").isin(list(self.days))
        )

    def predicate(self) -> str:
        """The SQL condition for these rows, with partition columns first to read only their files."""
        return f"month IN ({sql_list(self.months)}) AND {self.predicate_in_any_month()}"

    def predicate_in_any_month(self) -> str:
        """The SQL condition for the rows of these days, also those stored under another month than theirs."""
        days = ", ".join(f"DATE '{day}'" for day in sorted(self.days))
        return (
            f"workspace = {sql_text(self.workspace)} AND site_url = {sql_text(self.site_url)} "
            f"AND search_type = {sql_text(self.search_type)} AND data_date IN ({days})"
        )


@dataclass(frozen=True, slots=True)
class WorkspaceRows:
    """All rows of a workspace, as the target of a replacement."""

    workspace: str

    def predicate(self) -> str:
        """The SQL condition for these rows."""
        return f"workspace = {sql_text(self.workspace)}"


@dataclass(frozen=True, slots=True)
class WorkspaceMonths:
    """The rows of some months of a workspace, as the target of a replacement."""

    workspace: str
    months: tuple[str, ...]

    def predicate(self) -> str:
        """The SQL condition for these rows."""
        return f"workspace = {sql_text(self.workspace)} AND month IN ({sql_list(self.months)})"
