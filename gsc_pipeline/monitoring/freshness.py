"""The freshness of each asset for each workspace: when it was last updated, and what is wrong now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.schemas import CTR_CURVE
from gsc_pipeline.monitoring.status import WorkspaceState
from gsc_pipeline.sync.failures import StandingFailure

_NO_SYNC = "no complete sync: is the schedule gsc_auto_sync on?"
_NO_MORE = (
    "no successful run of gsc_more: is the schedule gsc_auto_sync_more on? If it is, open the workspace's "
    "last run"
)
_NO_INSIGHTS = (
    "no successful run of gsc_insights since the data changed: is the sensor gsc_tick_summary on? If it is, "
    "open the last run. After a sync by hand, materialize the asset"
)


class FreshnessState(StrEnum):
    """How fresh an asset is for a workspace."""

    UP_TO_DATE = "up to date"
    DUE = "due"
    """The data has changed since the last update, but the update is not overdue yet."""
    OVERDUE = "overdue"
    NEVER = "never"
    """The asset was never updated, and its first update is overdue."""
    NO_FINAL_DAY = "no final day yet"


@dataclass(frozen=True, slots=True)
class AssetFreshness:
    """One workspace's row in the table of one asset: its state, dates by column, and what is wrong."""

    workspace: str
    state: FreshnessState
    dates: Mapping[str, object]
    problems: str = ""

    @property
    def is_late(self) -> bool:
        """Whether an update is missing."""
        return self.state in (FreshnessState.OVERDUE, FreshnessState.NEVER)


@dataclass(frozen=True, slots=True)
class Materialization:
    """The newest materialization of a workspace's partition, and the problems in its metadata."""

    at: datetime
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FreshnessInputs:
    """The inputs of the evaluation: the active workspaces in the lake, and the assets in Dagster.

    `materializations` returns the newest materialization of an asset for each workspace. `insights` has, by
    workspace, the time of the last refresh in the lake, and the last final day that it used.
    """

    states: Sequence[WorkspaceState]
    materializations: Callable[[str], Mapping[str, Materialization]]
    insights: Mapping[str, tuple[datetime, date]]
    now: datetime
    stale_after: timedelta


EvaluateAsset = Callable[[FreshnessInputs, str], Iterator[AssetFreshness]]
"""Evaluates one asset for every workspace."""


def problem_texts(state: WorkspaceState, failures: Sequence[StandingFailure]) -> list[str]:
    """The damage of a workspace and the given standing failures, each with the next step."""
    texts = [
        f"{f'{one.site_url} ({one.search_type}): ' if one.site_url else ''}{one.cause}; {one.next_step}"
        for one in failures
    ]
    return [*state.damaged, *texts]


def search_data(inputs: FreshnessInputs, asset: str) -> Iterator[AssetFreshness]:
    """The two main tables, which every complete sync updates."""
    for state in inputs.states:
        last = state.last_good_sync
        is_late = last is None or inputs.now - last > inputs.stale_after
        yield AssetFreshness(
            state.workspace,
            _state(last, is_late=is_late),
            {
                "last good sync (UTC)": _minute(last),
                "newest day": state.last_day or "",
                "final up to": state.final_up_to or "",
            },
            _problems(state) or (_NO_SYNC if is_late else ""),
        )


def daily(inputs: FreshnessInputs, asset: str) -> Iterator[AssetFreshness]:
    """The tables of `gsc_more`, which are materialized once a day."""
    newest = inputs.materializations(asset)
    for state in inputs.states:
        last = newest.get(state.workspace)
        at = last.at if last else None
        is_late = at is None or inputs.now - at > inputs.stale_after + ONE_DAY
        if is_late:
            problems = _problems(state, whole_only=True) or _NO_MORE
        else:
            problems = "; ".join(last.problems if last else ())
        yield AssetFreshness(
            state.workspace, _state(at, is_late=is_late), {"last updated (UTC)": _minute(at)}, problems
        )


def insights(inputs: FreshnessInputs, asset: str) -> Iterator[AssetFreshness]:
    """The insights, which are updated together. The lake also records updates by `gsc report`."""
    updated = {workspace: one.at for workspace, one in inputs.materializations(CTR_CURVE.name).items()}
    for workspace, (refreshed_at, _) in inputs.insights.items():
        updated[workspace] = max(refreshed_at, updated.get(workspace, refreshed_at))
    yield from _derived(inputs, updated)


def report(inputs: FreshnessInputs, asset: str) -> Iterator[AssetFreshness]:
    """The report, which is made after the insights."""
    yield from _derived(
        inputs, {workspace: one.at for workspace, one in inputs.materializations(asset).items()}
    )


def _derived(inputs: FreshnessInputs, updated: Mapping[str, datetime]) -> Iterator[AssetFreshness]:
    """Assets computed from the search data.

    An asset is due if the data has changed since its last update, and overdue if the data changed more than
    `stale_after` ago.
    """
    for state in inputs.states:
        last, changed = updated.get(state.workspace), state.moved_at
        _, as_of = inputs.insights.get(state.workspace, (None, None))
        freshness, problems = FreshnessState.UP_TO_DATE, ""
        if state.final_up_to is None:
            freshness = FreshnessState.NO_FINAL_DAY
        elif changed and (last is None or last < changed):
            freshness = FreshnessState.DUE
            if inputs.now - changed > inputs.stale_after:
                freshness, problems = _state(last, is_late=True), _NO_INSIGHTS
        yield AssetFreshness(
            state.workspace,
            freshness,
            {
                "last updated (UTC)": _minute(last),
                "as of": as_of or "",
                "data changed (UTC)": _minute(changed),
            },
            problems,
        )


def _state(last: datetime | None, *, is_late: bool) -> FreshnessState:
    if not is_late:
        return FreshnessState.UP_TO_DATE
    return FreshnessState.OVERDUE if last else FreshnessState.NEVER


def _problems(state: WorkspaceState, *, whole_only: bool = False) -> str:
    """The damage and the standing failures of a workspace, with next steps.

    `whole_only` leaves out the failures of single properties.
    """
    failures = [failure for failure in state.failures if not (whole_only and failure.site_url)]
    return "; ".join(problem_texts(state, failures))


def _minute(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" if at else "never"
