"""Evaluates the health of the installation, for the health page, the metrics and the alerts.

A reason is a problem that a person has to solve. Properties that may not be read, and failed days that the
next sync reads again, are counted but are not reasons until they last.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from gsc_pipeline.monitoring.status import WorkspaceState
from gsc_pipeline.monitoring.ticks import TickView
from gsc_pipeline.search_console.breakers import BreakerState, Circuit

FAILED_SYNCS = 2
"""After so many failed syncs in a row a workspace is a reason, where others are synced."""

INCOMPLETE_SYNCS = 3
"""After so many syncs in a row that were not complete a workspace is a reason."""


def is_lasting(state: WorkspaceState) -> bool:
    """Whether a workspace's syncs have failed, or have not been complete, for so long that it is a reason."""
    return state.failed_in_a_row >= FAILED_SYNCS or state.incomplete_in_a_row >= INCOMPLETE_SYNCS


class ReasonKind(StrEnum):
    """The kinds of reasons. An alert is sent when the set of kinds changes, not when a number does."""

    LAKE = "lake"
    NO_LAKE = "no_lake"
    STATE = "state"
    DATABASE = "database"
    DAEMON = "daemon"
    WORKSPACES_FILE = "workspaces_file"
    BREAKER = "breaker"
    DAMAGE = "damage"
    DARK = "dark"
    FAILED_ALL = "failed_all"
    FAILED = "failed"
    PARTIAL = "partial"
    CRASHED = "crashed"
    STALE = "stale"


OF_SYNCS = frozenset({ReasonKind.FAILED_ALL, ReasonKind.FAILED, ReasonKind.PARTIAL, ReasonKind.CRASHED})
"""The kinds that are evaluated when no tick is in progress: until then a run may be retried."""

OF_LAKE = OF_SYNCS | {ReasonKind.STALE, ReasonKind.DAMAGE, ReasonKind.DARK}
"""The kinds that cannot be evaluated without the lake."""


@dataclass(frozen=True, slots=True)
class HealthReason:
    """One thing that is wrong, and what to do. The text names no workspace.

    `workspaces` are those of which alerts report each new one.
    """

    kind: ReasonKind
    text: str
    workspaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """The health of the installation. It has counts; its JSON form names no workspace.

    Only active workspaces count. If the lake cannot be read, the counts are zero. A workspace is complete,
    partial or failed as its last sync was, without ticks in progress; one that was never synced is none of
    these. `workspaces_failing` counts those with standing failures, `workspaces_stale` those without a
    complete sync for long, `workspaces_held_back` those whose token endpoint's circuit is open. `breaker` is
    the state of the API's circuit breaker: closed, open, half_open or unknown. `unknown` are the kinds of
    reasons that may be incomplete.
    """

    ok: bool
    reasons: tuple[HealthReason, ...]
    observed_at: datetime
    last_good_sync_at: datetime | None
    last_tick_at: datetime | None
    daemon_heartbeat_at: datetime | None
    workspaces_total: int
    workspaces_complete: int
    workspaces_partial: int
    workspaces_failed: int
    workspaces_crashed: int
    workspaces_stale: int
    workspaces_failing: int
    workspaces_damaged: int
    workspaces_held_back: int
    breaker: str
    lake_ok: bool
    database_ok: bool
    unknown: frozenset[ReasonKind] = frozenset()

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of the reasons."""
        return frozenset(reason.kind.value for reason in self.reasons)

    def as_json(self) -> dict[str, Any]:
        """The answer of the health page."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        del values["unknown"]
        values["reasons"] = [{"kind": reason.kind.value, "text": reason.text} for reason in self.reasons]
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in values.items()}


def evaluate_health(
    states: Sequence[WorkspaceState],
    breaker: BreakerState | None,
    *,
    now: datetime,
    stale_after: timedelta,
    found: Sequence[HealthReason] = (),
    unknown: Collection[ReasonKind] = (),
    open_token_circuits: Sequence[BreakerState] = (),
    ticks: TickView | None = None,
    daemon_heartbeat_at: datetime | None = None,
) -> Health:
    """Evaluate the states of the active workspaces. `breaker` is that of the API, None if it is unknown.

    `found` has the reasons that do not follow from the states, such as inputs that could not be read, and
    `unknown` the kinds that could not be evaluated for them. `open_token_circuits` has one breaker for each
    workspace whose token endpoint's circuit is open. If these are at least half of the workspaces, the open
    circuits are a reason.
    """
    ticks = ticks or TickView()
    crashed = ticks.crashed(states)
    reasons = [
        *found,
        *_circuits(breaker, open_token_circuits, len(states)),
        *_syncs(states, ticks, crashed),
        *_lasting(states, now, stale_after),
    ]
    last_syncs = [state.last_good_sync for state in states if state.last_good_sync is not None]
    kinds = {reason.kind for reason in reasons}
    return Health(
        ok=not reasons,
        reasons=tuple(reasons),
        observed_at=now,
        last_good_sync_at=max(last_syncs, default=None),
        last_tick_at=ticks.begun_at,
        daemon_heartbeat_at=daemon_heartbeat_at,
        workspaces_total=len(states),
        workspaces_complete=sum(bool(s.last_good_sync and not s.incomplete_in_a_row) for s in states),
        workspaces_partial=sum(bool(s.incomplete_in_a_row and not s.failed_in_a_row) for s in states),
        workspaces_failed=sum(bool(s.failed_in_a_row) for s in states),
        workspaces_crashed=len(crashed),
        workspaces_stale=len(states) - sum(at >= now - stale_after for at in last_syncs),
        workspaces_failing=sum(bool(state.failures) for state in states),
        workspaces_damaged=sum(bool(state.damaged) for state in states),
        workspaces_held_back=len(open_token_circuits),
        breaker=breaker.state.value if breaker else "unknown",
        lake_ok=kinds.isdisjoint({ReasonKind.LAKE, ReasonKind.NO_LAKE}),
        database_ok=ReasonKind.DATABASE not in kinds,
        unknown=frozenset(unknown) | (OF_SYNCS if ticks.is_in_progress else frozenset()),
    )


def _circuits(
    breaker: BreakerState | None, open_token_circuits: Sequence[BreakerState], total: int
) -> list[HealthReason]:
    reasons = []
    if breaker and breaker.state is not Circuit.CLOSED:
        text = f"the API does not answer, so no calls are sent{_next_try(breaker.retry_at)}"
        reasons.append(HealthReason(ReasonKind.BREAKER, text))
    if open_token_circuits and 2 * len(open_token_circuits) >= total:
        text = (
            f"the token endpoint of {len(open_token_circuits)} of {total} active workspaces does not "
            "answer, so no calls are sent for them"
        )
        retry_at = min((one.retry_at for one in open_token_circuits if one.retry_at), default=None)
        reasons.append(HealthReason(ReasonKind.BREAKER, text + _next_try(retry_at)))
    return reasons


def _syncs(states: Sequence[WorkspaceState], ticks: TickView, crashed: list[str]) -> list[HealthReason]:
    """The reasons in the last syncs: all failed, some failed twice or stay partial, some crashed."""
    reasons = []
    synced = [state for state in states if state.last_sync or state.workspace in crashed]
    not_synced = [state for state in synced if state.failed_in_a_row or state.workspace in crashed]
    if synced and len(synced) == len(not_synced):
        text = (
            f"the last sync of every active workspace that was ever synced failed ({len(synced)} of "
            f"{len(states)}): `gsc status` names the causes and what to do"
        )
        reasons.append(HealthReason(ReasonKind.FAILED_ALL, text))
    else:
        failed = [s.workspace for s in states if s.failed_in_a_row >= FAILED_SYNCS]
        partial = [s.workspace for s in states if is_lasting(s) and s.workspace not in failed]
        if failed:
            text = (
                f"the last {FAILED_SYNCS} syncs of {len(failed)} of {len(states)} active workspaces failed: "
                "`gsc status` names them, the causes and what to do"
            )
            reasons.append(HealthReason(ReasonKind.FAILED, text, tuple(failed)))
        if partial:
            text = (
                f"the last {INCOMPLETE_SYNCS} syncs of {len(partial)} of {len(states)} active workspaces "
                "could not read every day: `gsc status` lists the properties, the causes and what to do"
            )
            reasons.append(HealthReason(ReasonKind.PARTIAL, text, tuple(partial)))
    if crashed:
        text = (
            f"the runs of {len(crashed)} of {len(states)} active workspaces in the tick of "
            f"{ticks.begun_at:%Y-%m-%d %H:%M} UTC crashed, were cancelled or never began: Dagster's asset "
            "auto_sync has the reasons. The next tick syncs these workspaces again"
        )
        reasons.append(HealthReason(ReasonKind.CRASHED, text, tuple(crashed)))
    return reasons


def _lasting(states: Sequence[WorkspaceState], now: datetime, stale_after: timedelta) -> list[HealthReason]:
    reasons = []
    if damaged := sum(bool(state.damaged) for state in states):
        text = (
            f"the lake's data of {damaged} of {len(states)} active workspaces is damaged: "
            "`gsc verify` lists what is wrong, `gsc verify --repair` repairs it"
        )
        reasons.append(HealthReason(ReasonKind.DAMAGE, text))
    # A workspace that is synced, but not completely, is a reason of another kind when that lasts.
    if idle := sum(state.last_sync is None or now - state.last_sync > stale_after for state in states):
        hours = stale_after / timedelta(hours=1)
        text = (
            f"{idle} of {len(states)} active workspaces have not been synced for {hours:g} hours: is the "
            "schedule gsc_auto_sync on? `gsc status` names them"
        )
        reasons.append(HealthReason(ReasonKind.STALE, text))
    return reasons


def _next_try(at: datetime | None) -> str:
    return f"; next try at {at:%H:%M:%S} UTC" if at else ""
