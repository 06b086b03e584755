"""Standing failures: what fails now, since when, how often, and what to do about it. The list empties itself.

Belongs here: making a workspace's list from its last sync and the list before. Does not: who reads it (the
check, `gsc status`), what single days say (`ledger`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime

import pyarrow as pa

from gsc_pipeline.days import month_of
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake, OfWorkspace
from gsc_pipeline.lake.schemas import STANDING_FAILURES
from gsc_pipeline.sync.ledger import LedgerKey
from gsc_pipeline.sync.report import Problem
from gsc_pipeline.workspaces import Workspace

log = logging.getLogger(__name__)

LONGEST_CAUSE = 1_000
"""Characters of what a failure says, however many problems it stands for."""

_WORKSPACE: LedgerKey = ("", "")
_EARLIER = Problem(
    "an earlier read failed", next_step="a sync up to yesterday reads it again", transient=True
)


@dataclass(frozen=True, slots=True)
class StandingFailure:
    """One property and search type that fails, or a whole workspace: then both are empty.

    `days` wait to be read again, from `first_day` to `last_day`; none where every day is as known and
    only new ones cannot be had. `times` counts the syncs in a row that met the failure.
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


def read_standing(lake: Lake, workspace: str | None = None) -> list[StandingFailure]:
    """What fails, of one workspace or of all, in the order of their names."""
    rows = lake.read(STANDING_FAILURES, workspace=workspace).drop_columns("month").to_pylist()
    failures = [StandingFailure(**row) for row in rows]
    return sorted(failures, key=lambda failure: (failure.workspace, failure.site_url, failure.search_type))


def of_configured(
    failures: Sequence[StandingFailure], workspaces: Collection[Workspace]
) -> list[StandingFailure]:
    """Those of active workspaces, and of properties and search types that they still have."""
    active = {workspace.id: workspace for workspace in workspaces if workspace.active}
    return [f for f in failures if f.workspace in active and _is_configured(f, active[f.workspace])]


def record_standing(
    lake: Lake,
    workspace: str,
    problems: Sequence[Problem],
    waiting: Mapping[LedgerKey, Sequence[date]],
    now: datetime,
) -> None:
    """Bring a workspace's list up to date after a sync that met `problems`. No commit when nothing changed.

    `waiting` are the days of each property and search type that the ledger calls failed.
    """
    try:
        before = read_standing(lake, workspace)
    except DamagedError as error:
        # The list is made from this sync anyway; what is lost is since when each failure stands.
        log.warning(
            "workspace %s: standing failures are recorded without their history: %s", workspace, error
        )
        before = None
    after = standing_after(workspace, before or [], problems, waiting, now)
    if after == before:
        return
    rows = [{**asdict(failure), "month": month_of(failure.since.date())} for failure in after]
    table = pa.Table.from_pylist(rows, schema=STANDING_FAILURES.schema)
    lake.replace(STANDING_FAILURES, OfWorkspace(workspace), table)


def standing_after(
    workspace: str,
    before: Sequence[StandingFailure],
    problems: Sequence[Problem],
    waiting: Mapping[LedgerKey, Sequence[date]],
    now: datetime,
) -> list[StandingFailure]:
    """The list after a sync. A failure of the whole workspace stands for those of its properties."""
    known = {(failure.site_url, failure.search_type): failure for failure in before}
    met: dict[LedgerKey, Problem] = {}
    days = {key: list(its_days) for key, its_days in waiting.items() if its_days}
    for problem in problems:
        key = (problem.site_url, problem.search_type)
        met[key] = _both(met[key], problem) if key in met else problem
        if problem.days:
            days[key] = sorted({*days.get(key, []), *problem.days})
    if _WORKSPACE in met:
        rest = [key for key in days if key not in met]
        days[_WORKSPACE] = sorted({day for key in rest for day in days.pop(key)})
    return [
        _failure(workspace, key, known.get(key), met.get(key), days.get(key, []), now)
        for key in sorted(met.keys() | days.keys())
    ]


def _both(one: Problem, other: Problem) -> Problem:
    """Two problems of the same property and search type as one."""
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
    """One row. A sync that did not try again leaves what was told, and when, as it was."""
    first_day, last_day = min(days, default=None), max(days, default=None)
    if problem is None and before is not None:
        return replace(before, days=len(days), first_day=first_day, last_day=last_day)
    told = problem or _EARLIER
    return StandingFailure(
        workspace=workspace,
        site_url=key[0],
        search_type=key[1],
        cause=told.cause,
        next_step=told.next_step,
        transient=told.transient,
        days=len(days),
        first_day=first_day,
        last_day=last_day,
        since=before.since if before else now,
        last_seen_at=now,
        times=before.times + 1 if before else 1,
    )


def _is_configured(failure: StandingFailure, workspace: Workspace) -> bool:
    if not failure.site_url:
        return True
    properties, kinds = workspace.properties, {kind.name for kind in workspace.search_types}
    is_wanted = failure.search_type in kinds or not failure.search_type
    return (properties is None or failure.site_url in properties) and is_wanted
