"""When an asset was last true for each workspace, and what keeps it from being so now.

Belongs here: what is due when. Does not: what the lake knows of a workspace (`status`), what Dagster does
of an asset, and showing it (`up_to_date`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.schemas import CTR_CURVE
from gsc_pipeline.status import WorkspaceState

UP, DUE, OVERDUE, NEVER, NO_DAY = "up to date", "due", "overdue", "never", "no final day yet"

_NO_SYNC = "no good run of gsc_sync for it: is the schedule gsc_auto_sync on?"
_NO_MORE = "no good run of gsc_more for it: is the schedule gsc_auto_sync_more on? If so, open its last run"
_NO_INSIGHTS = (
    "no good run of gsc_insights since: is the sensor gsc_tick_summary on? If so, open its last run. After "
    "days that were read by hand, materialize it"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One workspace in the table of one asset: its state, then dates, then what is wrong."""

    workspace: str
    state: str
    dates: Mapping[str, object]
    wrong: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether something is due that is not there."""
        return self.state in (OVERDUE, NEVER)


@dataclass(frozen=True, slots=True)
class Made:
    """The newest materialization of a workspace's partition, and the problems it tells of."""

    at: datetime
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at one moment: the lake's word on each active workspace, Dagster's on each asset.

    `made` answers the newest materialization of each workspace that an asset has one of. `insights` are
    when the lake says that they were made, and as of which day.
    """

    states: Sequence[WorkspaceState]
    made: Callable[[str], Mapping[str, Made]]
    insights: Mapping[str, tuple[datetime, date]]
    now: datetime
    stale_after: timedelta


JudgeAsset = Callable[[Look, str], Iterator[Row]]


def search_data(look: Look, asset: str) -> Iterator[Row]:
    """The two main tables: true as of a workspace's last good sync."""
    for state in look.states:
        good = state.last_good_sync
        is_old = good is None or look.now - good > look.stale_after
        yield Row(
            state.workspace,
            (NEVER if good is None else OVERDUE) if is_old else UP,
            {
                "last good sync (UTC)": _moment(good),
                "newest day": state.last_day or "",
                "final up to": state.final_up_to or "",
            },
            _failures(state) or (_NO_SYNC if is_old else ""),
        )


def daily(look: Look, asset: str) -> Iterator[Row]:
    """The tables of `gsc_more`: true as of a workspace's last materialization."""
    made = look.made(asset)
    for state in look.states:
        last = made.get(state.workspace)
        is_old = last is None or look.now - last.at > look.stale_after + ONE_DAY
        yield Row(
            state.workspace,
            (NEVER if last is None else OVERDUE) if is_old else UP,
            {"last true (UTC)": _moment(last.at if last else None)},
            (_failures(state, whole_only=True) or _NO_MORE)
            if is_old
            else "; ".join(last.problems if last else ()),
        )


def insights(look: Look, asset: str) -> Iterator[Row]:
    """They are made together, so that one tells of all; `gsc report` notes in the lake that it made them."""
    made = {workspace: one.at for workspace, one in look.made(CTR_CURVE.name).items()}
    for workspace, (refreshed_at, _) in look.insights.items():
        made[workspace] = max(refreshed_at, made.get(workspace, refreshed_at))
    yield from _derived(look, made)


def report(look: Look, asset: str) -> Iterator[Row]:
    """The report, which follows from the insights."""
    yield from _derived(look, {workspace: one.at for workspace, one in look.made(asset).items()})


def _derived(look: Look, made: Mapping[str, datetime]) -> Iterator[Row]:
    """What follows from the days: due when they have moved, overdue when that is long ago."""
    for state in look.states:
        last, moved = made.get(state.workspace), state.moved_at
        _, as_of = look.insights.get(state.workspace, (None, None))
        verdict, wrong = UP, ""
        if state.final_up_to is None:
            verdict = NO_DAY
        elif moved and (last is None or last < moved):
            verdict = DUE
            if look.now - moved > look.stale_after:
                verdict, wrong = (OVERDUE if last else NEVER), _NO_INSIGHTS
        yield Row(
            state.workspace,
            verdict,
            {"last true (UTC)": _moment(last), "as of": as_of or "", "data moved (UTC)": _moment(moved)},
            wrong,
        )


def _failures(state: WorkspaceState, *, whole_only: bool = False) -> str:
    """What fails now of a workspace, or only what stops all of it, each with its next step; and damage."""
    told = [f for f in state.failures if not (whole_only and f.site_url)]
    return "; ".join(
        [
            *state.damaged,
            *(
                f"{f'{f.site_url} ({f.search_type}): ' if f.site_url else ''}{f.cause}; {f.next_step}"
                for f in told
            ),
        ]
    )


def _moment(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" if at else "never"
