"""What the server and its query processes send each other, as JSON lines, and the limits of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gsc_pipeline.errors import PipelineError

if TYPE_CHECKING:
    from gsc_pipeline.workspaces.registry import Workspace


class CallError(PipelineError):
    """A call was refused or failed. The text says what to change and quotes no row."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may use.

    A query is interrupted after `seconds`; its process is ended `grace_seconds` later if that had no effect.
    `megabytes` is DuckDB's memory. `rows`, `columns`, and `characters` of all values, are of one result;
    `cell_characters` of one value, `cell_items` of a list or structure, `sql_characters` of an assistant's
    SQL.
    """

    seconds: float = 20.0
    grace_seconds: float = 4.0
    megabytes: int = 1024
    threads: int = 2
    rows: int = 1000
    columns: int = 200
    characters: int = 50_000
    cell_characters: int = 2_000
    cell_items: int = 100
    sql_characters: int = 20_000

    @property
    def call_seconds(self) -> float:
        """The most seconds of a call."""
        return self.seconds + self.grace_seconds

    @property
    def process_megabytes(self) -> int:
        """The memory of a query process: DuckDB's, and room for code, Arrow's buffers and the result.

        DuckDB does not count every value that it builds, so its own limit is not enough.
        """
        return 2 * self.megabytes + 1536


@dataclass(frozen=True, slots=True)
class Start:
    """The first line to a query process: whose rows of which lake it serves.

    `properties` are those that a workspace names, by its id. Its credential may see those of others too.
    """

    lake: str
    workspaces: tuple[str, ...]
    limits: Limits
    properties: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, lake: str, workspaces: Sequence[Workspace], limits: Limits) -> Start:
        """For these workspaces."""
        named = {one.id: one.properties for one in workspaces if one.properties is not None}
        return cls(lake, tuple(one.id for one in workspaces), limits, named)


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement, and the most rows to return of its result."""

    sql: str
    rows: int


@dataclass(frozen=True, slots=True)
class Request:
    """Statements to run over one state of the lake, within the seconds of one call."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result and its type in DuckDB."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Result:
    """The rows of a statement. `has_more`: some were left out. `cut_values`: values that were shortened."""

    columns: tuple[ResultColumn, ...]
    rows: list[list[Any]]
    has_more: bool
    cut_values: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The results of a request, in the order of its statements; or an error, for the assistant to read."""

    results: tuple[Result, ...] = field(default=())
    error: str = ""
