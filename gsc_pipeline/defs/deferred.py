"""Deferred workspaces of a tick: which they are, when they may be tried again, and the sensor that does so.

A workspace is deferred while a circuit is open, a quota is used up, or another process syncs it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from gsc_pipeline.days import Clock, Window, pacific_today
from gsc_pipeline.defs.dagster_private import next_due
from gsc_pipeline.defs.jobs import (
    FORGOTTEN_AFTER,
    SYNC_JOB,
    TICK_TAG,
    TRY_TAG,
    WORKSPACE_TAG,
    WORKSPACES_TAG,
    groups,
    run_tags,
    workspaces_in_progress,
)
from gsc_pipeline.defs.resources import SearchConsoleApi, SharedState, WorkspacesFile
from gsc_pipeline.search_console.breakers import BreakerState, Circuit
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.telemetry import WorkspaceSyncComplete
from gsc_pipeline.sync.ticks import Requested, Tick, TickBook
from gsc_pipeline.workspaces.registry import Workspace, select

PAUSES = (timedelta(0), timedelta(minutes=15), timedelta(hours=1))
"""The least pause before each later try of a workspace in a tick. There is at most one try for each pause."""

LAUNCHED_WITHIN = timedelta(hours=1)
"""A run that does not exist this long after it was requested will not be created: the daemon died before."""

KEPT_FOR = timedelta(days=2)
"""A tick that began longer ago is left as it is, whether it has ended or not."""


@dataclass(frozen=True, slots=True)
class Deferral:
    """Why a workspace cannot be synced at the moment, and when it may be tried again."""

    reason: str
    retry_at: datetime


def deferrals(search_console: SearchConsoleApi, active: Sequence[Workspace]) -> dict[str, Deferral]:
    """Why and until when an open circuit defers workspaces, by their ids."""
    breaker = search_console.breaker_state()
    if breaker and breaker.state is Circuit.OPEN:
        return {one.id: _deferral("the circuit breaker", breaker) for one in active}
    endpoints = search_console.token_breaker_states(active)
    return {
        id_: _deferral("the circuit breaker of the token endpoint", endpoint)
        for id_, endpoint in endpoints.items()
        if endpoint.state is Circuit.OPEN
    }


def _deferral(what: str, state: BreakerState) -> Deferral:
    assert state.retry_at is not None
    return Deferral(f"{what} is open until {state.retry_at:%H:%M:%S} UTC: {state.cause}", state.retry_at)


def retry_times(
    tick: Tick,
    outcomes: Iterable[WorkspaceSyncComplete],
    requested: Iterable[Requested],
    now: datetime,
    cron: str,
) -> dict[str, datetime]:
    """When each deferred workspace of a tick may be tried again.

    Leaves out those that were tried as often as PAUSES allow, and those that the next tick will try first.
    """
    next_tick = next_due(cron, datetime.fromisoformat(tick.name))
    tries = [one for one in requested if one.number > 0]
    times: dict[str, datetime] = {}
    for outcome in outcomes if now < next_tick else ():
        earlier = [one.at for one in tries if outcome.workspace in one.workspaces]
        if outcome.retry_at and len(earlier) < len(PAUSES):
            pauses = [earlier[-1] + PAUSES[len(earlier)]] if earlier else []
            at = max([datetime.fromisoformat(outcome.retry_at), *pauses])
            times |= {outcome.workspace: at} if at < next_tick else {}
    return times


def sync_runs(instance: dg.DagsterInstance, ticks: Sequence[Tick]) -> dict[str, list[dg.RunRecord]]:
    """The runs of `gsc_sync` by tick, by one query, without those of schedules due at the same moment."""
    runs: dict[str, list[dg.RunRecord]] = {tick.name: [] for tick in ticks}
    if not ticks:
        return runs
    # Clocks of machines differ.
    since = min(tick.begun_at for tick in ticks) - timedelta(hours=1)
    for record in instance.get_run_records(dg.RunsFilter(tags={TICK_TAG: list(runs)}, created_after=since)):
        if WORKSPACE_TAG in record.dagster_run.tags:
            runs[record.dagster_run.tags[TICK_TAG]].append(record)
    return runs


def launched(runs: Iterable[dg.RunRecord]) -> set[tuple[int, str]]:
    """The requests of a tick that have a run: for each its number in the tick, and its workspaces."""
    tags = [record.dagster_run.tags for record in runs]
    return {(int(some.get(TRY_TAG, 0)), some[WORKSPACES_TAG]) for some in tags}


def sync_window(settings: Settings, at: datetime) -> Window | None:
    """The days that a tick due at a moment syncs; None if no day since GSC_START_DATE is over."""
    window = Window.last_complete(settings.auto_sync_days, pacific_today(at))
    if window.end <= settings.start_date:
        return None
    return Window(max(window.start, settings.start_date), window.end)


def sync_requests(
    settings: Settings, tick: str, number: int, runs: Iterable[Sequence[str]]
) -> list[dg.RunRequest]:
    """Requests of runs of `gsc_sync`. Their run keys make a second evaluation harmless."""
    window = sync_window(settings, datetime.fromisoformat(tick))
    assert window is not None
    tries = {TRY_TAG: str(number)} if number else {}
    return [
        dg.RunRequest(
            run_key="|".join([tick, *tries.values(), run[0]]),
            tags={TICK_TAG: tick, **tries, **run_tags(run, window, settings.run_minutes)},
        )
        for run in runs
    ]


def deferred_sensor(settings: Settings) -> dg.SensorDefinition:
    """Requests runs for deferred workspaces of ticks that have not ended, when they may be tried again."""

    @dg.sensor(
        name="gsc_auto_sync_deferred",
        job_name=SYNC_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tries the deferred workspaces of a tick of `gsc_auto_sync` again: those for which a "
        "circuit was open, a quota was used up, or that another process synced. At most three times a tick, "
        "and not after the next tick has begun.",
    )
    def gsc_auto_sync_deferred(
        context: dg.SensorEvaluationContext,
        workspaces: WorkspacesFile,
        search_console: SearchConsoleApi,
        state: SharedState,
        clock: dg.ResourceParam[Clock],
    ) -> list[dg.RunRequest] | dg.SkipReason:
        now, book = clock(), state.ticks()
        ticks = book.unended(now - KEPT_FOR)
        waiting: dict[str, datetime] = {}
        for tick in ticks:
            requested = book.requested(SYNC_JOB, tick.name)
            times = retry_times(tick, book.outcomes(tick), requested, now, settings.auto_sync_cron)
            due = [id_ for id_, at in times.items() if at <= now]
            ready = _ready(context.instance, workspaces, search_console, due, now) if due else []
            if ready:
                number = max((one.number for one in requested), default=0) + 1
                book.request(SYNC_JOB, tick.name, number, now, groups(ready, settings.workspaces_per_run))
            waiting |= times
        requests = _unlaunched(context.instance, settings, book, ticks, now)
        if requests or not waiting:
            return requests or dg.SkipReason("no workspace is deferred")
        first = f"{min(waiting.values()):%Y-%m-%d %H:%M:%S} UTC"
        return dg.SkipReason(f"{len(waiting)} workspaces are deferred, the first until {first}")

    return gsc_auto_sync_deferred


def _ready(
    instance: dg.DagsterInstance,
    workspaces: WorkspacesFile,
    search_console: SearchConsoleApi,
    ids: Collection[str],
    now: datetime,
) -> list[str]:
    """Those of the workspaces that are active, have no open circuit and no run in progress."""
    active = [one for one in select(workspaces.load(), []) if one.id in ids]
    blocked = deferrals(search_console, active).keys() | workspaces_in_progress(
        instance, SYNC_JOB, now - FORGOTTEN_AFTER
    )
    return [one.id for one in active if one.id not in blocked]


def _unlaunched(
    instance: dg.DagsterInstance, settings: Settings, book: TickBook, ticks: Iterable[Tick], now: datetime
) -> list[dg.RunRequest]:
    """Requests of later tries that have no run yet, also those that an interrupted evaluation recorded."""
    tries = {
        tick: [
            one
            for one in book.requested(SYNC_JOB, tick.name)
            if one.number > 0 and now - one.at <= LAUNCHED_WITHIN
        ]
        for tick in ticks
    }
    runs = sync_runs(instance, [tick for tick, ones in tries.items() if ones])
    requests = []
    for tick, ones in tries.items():
        known = launched(runs.get(tick.name, ()))
        for one in ones:
            new = [run for run in one.runs if (one.number, " ".join(run)) not in known]
            requests += sync_requests(settings, tick.name, one.number, new)
    return requests
