"""Standing failures: what fails now, since when, how often, and what to do about it.

Each sync updates the list of its workspace: it removes a failure that it did not meet, unless failed days of
the failure are still to be read.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from typing import Protocol, TypeVar

import pyarrow as pa

from gsc_pipeline.days import month_of
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import STANDING_FAILURES
from gsc_pipeline.lake.targets import WorkspaceRows
from gsc_pipeline.sync.ledger import LedgerKey
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.workspaces.registry import Workspace

log = logging.getLogger(__name__)

LONGEST_CAUSE = 1_000
"""The most characters of the cause, and of the next step, of a failure that combines several problems."""

_WORKSPACE: LedgerKey = ("", "")
_EARLIER = Problem(
    "an earlier read failed", next_step="a sync up to yesterday reads it again", transient=True
)


@dataclass(frozen=True, slots=True)
class StandingFailure:
    """A property and search type that fails. For a failure of the whole workspace both are empty.

    `days` counts the days to read again, from `first_day` to `last_day`. It is zero if the recorded days are
    up to date and only new days cannot be read. `times` counts the consecutive syncs that met the failure.
    """

    workspace: str
    site_url: str
    search_type: str
    cause: str
    next_step: str
    transient: bool
    days: int
    first_day: date | None
    last_day: date | None
    since: datetime
    last_seen_at: datetime
    times: int
    is_refusal: bool | None = None
    """Whether the credential may not read the property; None if release 0.1.0 wrote the row."""


class OfProperty(Protocol):
    """Something known of a property and search type; of a whole workspace if both are empty."""

    @property
    def workspace(self) -> str:
        """The id of the workspace."""

    @property
    def site_url(self) -> str:
        """The property."""

    @property
    def search_type(self) -> str:
        """The search type."""


Known = TypeVar("Known", bound=OfProperty)


def read_standing(lake: Lake, workspace: str | None = None) -> list[StandingFailure]:
    """The failures of one workspace or of all, ordered by workspace, property and search type."""
    return failures_of(lake.read(STANDING_FAILURES, workspace=workspace))


def failures_of(rows: pa.Table) -> list[StandingFailure]:
    """The failures in rows of `standing_failures`, ordered by workspace, property and search type."""
    names = [field.name for field in fields(StandingFailure)]
    failures = [StandingFailure(**row) for row in rows.select(names).to_pylist()]
    return sorted(failures, key=lambda failure: (failure.workspace, failure.site_url, failure.search_type))


def of_configured(found: Sequence[Known], workspaces: Collection[Workspace]) -> list[Known]:
    """Those of active workspaces, and of the properties and search types that they still have."""
    active = {workspace.id: workspace for workspace in workspaces if workspace.active}
    return [
        one
        for one in found
        if one.workspace in active
        and (not one.site_url or is_configured(active[one.workspace], one.site_url, one.search_type))
    ]


def is_configured(workspace: Workspace, site_url: str, search_type: str = "") -> bool:
    """Whether the workspace has the property and, if given, the search type."""
    types = {kind.name for kind in workspace.search_types}
    is_wanted = not search_type or search_type in types
    return is_wanted and (workspace.properties is None or site_url in workspace.properties)


def record_standing(
    lake: Lake,
    workspace: str,
    problems: Sequence[Problem],
    waiting: Mapping[LedgerKey, Sequence[date]],
    now: datetime,
) -> None:
    """Update a workspace's list after a sync that met `problems`. No commit if nothing changed.

    `waiting` has, by property and search type, the days that are failed in the ledger.
    """
    try:
        before = read_standing(lake, workspace)
    except DamagedError as error:
        # This sync rebuilds the list. Only the start and the count of each failure are lost.
        log.warning(
            "workspace %s: standing failures are recorded without their history: %s", workspace, error
        )
        before = None
    after = standing_after(workspace, before or [], problems, waiting, now)
    if after == before:
        return
    rows = [{**asdict(failure), "month": month_of(failure.since.date())} for failure in after]
    table = pa.Table.from_pylist(rows, schema=STANDING_FAILURES.schema)
    lake.replace(STANDING_FAILURES, WorkspaceRows(workspace), table)


def standing_after(
    workspace: str,
    before: Sequence[StandingFailure],
    problems: Sequence[Problem],
    waiting: Mapping[LedgerKey, Sequence[date]],
    now: datetime,
) -> list[StandingFailure]:
    """The list after a sync.

    A failure of the whole workspace includes the failed days of every property without a problem of its own.
    """
    known = {(failure.site_url, failure.search_type): failure for failure in before}
    met: dict[LedgerKey, Problem] = {}
    days = {key: list(its_days) for key, its_days in waiting.items() if its_days}
    for problem in problems:
        key = (problem.site_url, problem.search_type)
        met[key] = _combined(met[key], problem) if key in met else problem
        if problem.days:
            days[key] = sorted({*days.get(key, []), *problem.days})
    if _WORKSPACE in met:
        rest = [key for key in days if key not in met]
        days[_WORKSPACE] = sorted({day for key in rest for day in days.pop(key)})
    return [
        _failure(workspace, key, known.get(key), met.get(key), days.get(key, []), now)
        for key in sorted(met.keys() | days.keys())
    ]


def _combined(one: Problem, other: Problem) -> Problem:
    """Two problems of the same property and search type, combined."""
    if one.cause == other.cause:
        return one
    steps = [step for step in dict.fromkeys((one.next_step, other.next_step)) if step]
    return replace(
        one,
        cause=f"{one.cause}; {other.cause}"[:LONGEST_CAUSE],
        next_step="; ".join(steps)[:LONGEST_CAUSE],
        transient=one.transient and other.transient,
    )


def _failure(
    workspace: str,
    key: LedgerKey,
    before: StandingFailure | None,
    problem: Problem | None,
    days: Sequence[date],
    now: datetime,
) -> StandingFailure:
    """One failure of the list. If the sync has no problem for it, only the days are updated."""
    first_day, last_day = min(days, default=None), max(days, default=None)
    if problem is None and before is not None:
        return replace(before, days=len(days), first_day=first_day, last_day=last_day)
    shown = problem or _EARLIER
    return StandingFailure(
        workspace=workspace,
        site_url=key[0],
        search_type=key[1],
        cause=shown.cause,
        next_step=shown.next_step,
        transient=shown.transient,
        days=len(days),
        first_day=first_day,
        last_day=last_day,
        since=before.since if before else now,
        last_seen_at=now,
        times=before.times + 1 if before else 1,
        is_refusal=shown.is_refusal,
    )
