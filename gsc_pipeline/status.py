"""What the lake holds of each workspace, made from the ledger and the runs.

Belongs here: the state of a workspace as `gsc status` and other watchers see it. Does not: showing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from gsc_pipeline.lake.agreement import Disagreement, disagreements
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_LEDGER, SYNC_RUNS, TableSpec
from gsc_pipeline.lake.sql import connect, reading
from gsc_pipeline.sync.standing import StandingFailure, of_configured, read_standing
from gsc_pipeline.workspaces import Workspace

FAILURE_COLUMNS = (
    "workspace",
    "property",
    "search type",
    "cause",
    "next step",
    "days",
    "since (UTC)",
    "times",
)
"""What fails now, as every table of it is headed."""

_DAYS = """
    SELECT workspace,
           count(*) FILTER (status = 'final'), count(*) FILTER (status IN ('provisional', 'writing')),
           count(*) FILTER (status = 'empty'), count(*) FILTER (status = 'failed'),
           count(*) FILTER (truncated),
           min(data_date) FILTER (last_read_at IS NOT NULL), max(data_date) FILTER (last_read_at IS NOT NULL),
           max(data_date) FILTER (status = 'final'), sum(clicks), sum(impressions)
    FROM sync_ledger GROUP BY workspace
"""
_RUNS = """
    SELECT workspace, max(started_at), max(started_at) FILTER (outcome = 'success'),
           max(started_at) FILTER (days_read > 0)
    FROM sync_runs GROUP BY workspace
"""


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """An address that a circuit breaker keeps calls from, and how many active workspaces wait for it.

    At `retry_at` the next call finds out whether it is back.
    """

    what: str
    workspaces: int
    since: datetime
    retry_at: datetime
    cause: str

    def as_json(self) -> dict[str, Any]:
        """As JSON types, dates in ISO form."""
        return _json_types(asdict(self))


@dataclass(frozen=True, slots=True)
class WorkspaceState:
    """One workspace: days by status (of a property and search type), first and last day read, what fails.

    `final_up_to` is the newest day that is final, `moved_at` when the last sync began that found news.
    `damaged` says which files could not be read, whose part of the numbers is left out, and in which months
    the tables do not hold what the ledger counts.
    """

    workspace: str
    active: bool
    final: int = 0
    provisional: int = 0
    empty: int = 0
    failed: int = 0
    truncated: int = 0
    first_day: date | None = None
    last_day: date | None = None
    final_up_to: date | None = None
    clicks: int = 0
    impressions: int = 0
    last_sync: datetime | None = None
    last_good_sync: datetime | None = None
    moved_at: datetime | None = None
    failures: tuple[StandingFailure, ...] = ()
    damaged: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The state as JSON types, dates in ISO form."""
        return {**_json_types(asdict(self)), "failures": [_json_types(asdict(f)) for f in self.failures]}


def workspace_states(workspaces: Sequence[Workspace], lake: Lake) -> list[WorkspaceState]:
    """The state of each listed workspace, in the file's order.

    Where files are damaged, each workspace is looked at by itself. Raises LakeError for anything else.
    """
    tables = [SYNC_LEDGER, SYNC_RUNS]
    try:
        with reading(lake, tables), connect(lake, (), whole=tables) as connection:
            days = {row[0]: row[1:] for row in connection.execute(_DAYS).fetchall()}
            runs = {row[0]: row[1:] for row in connection.execute(_RUNS).fetchall()}
        failures = of_configured(read_standing(lake), workspaces)
        unlike = disagreements(lake)
    except DamagedError:
        return [_state_apart(workspace, lake) for workspace in workspaces]
    return [
        _state(
            workspace,
            days.get(workspace.id),
            runs.get(workspace.id),
            tuple(failure for failure in failures if failure.workspace == workspace.id),
            tuple(_with_next_step(one) for one in unlike if one.workspace == workspace.id),
        )
        for workspace in workspaces
    ]


def _state_apart(workspace: Workspace, lake: Lake) -> WorkspaceState:
    """The state of one workspace, as far as its files can be read."""
    damaged: list[str] = []

    def row_of(table: TableSpec, sql: str) -> Sequence[Any] | None:
        try:
            rows = lake.read(table, workspace=workspace.id)
        except DamagedError as error:
            damaged.append(str(error))
            return None
        with connect(lake, ()) as connection:
            connection.register(table.name, rows)
            found = connection.execute(sql).fetchone()
        return found[1:] if found else None

    days, runs = row_of(SYNC_LEDGER, _DAYS), row_of(SYNC_RUNS, _RUNS)
    failures: list[StandingFailure] = []
    try:
        failures = of_configured(read_standing(lake, workspace.id), [workspace])
        damaged += map(_with_next_step, disagreements(lake, workspace.id))
    except DamagedError as error:
        damaged.append(str(error))
    return _state(workspace, days, runs, tuple(failures), tuple(dict.fromkeys(damaged)))


def _with_next_step(one: Disagreement) -> str:
    return f"{one}: run gsc verify {one.workspace}"


def failure_cells(failure: StandingFailure) -> tuple[object, ...]:
    """A failure as a row under FAILURE_COLUMNS."""
    days = {0: "", 1: str(failure.last_day)}.get(
        failure.days, f"{failure.days} from {failure.first_day} to {failure.last_day}"
    )
    since = f"{failure.since:%Y-%m-%d %H:%M}"
    return (
        failure.workspace,
        failure.site_url or "(all)",
        failure.search_type,
        failure.cause,
        failure.next_step,
        days,
        since,
        failure.times,
    )


def _json_types(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, date | datetime) else v for k, v in values.items()}


def _state(
    workspace: Workspace,
    days: Sequence[Any] | None,
    runs: Sequence[Any] | None,
    failures: tuple[StandingFailure, ...],
    damaged: tuple[str, ...],
) -> WorkspaceState:
    final, provisional, empty, failed, truncated, *read = days or (0,) * 5 + (None,) * 5
    first_day, last_day, final_up_to, clicks, impressions = read
    last_sync, last_good_sync, moved_at = runs or (None,) * 3
    return WorkspaceState(
        workspace=workspace.id,
        active=workspace.active,
        final=final,
        provisional=provisional,
        empty=empty,
        failed=failed,
        truncated=truncated,
        first_day=first_day,
        last_day=last_day,
        final_up_to=final_up_to,
        clicks=int(clicks or 0),
        impressions=int(impressions or 0),
        last_sync=last_sync,
        last_good_sync=last_good_sync,
        moved_at=moved_at,
        failures=failures,
        damaged=damaged,
    )
