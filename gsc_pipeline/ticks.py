"""The book of ticks: which workspaces each firing of the schedule asked for, and what became of each.

Belongs here: those records, in the state that all processes share. Does not: asking for runs, and noticing
that they have ended (Dagster's modules), what a summary says (`sync.events`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import msgspec

from gsc_pipeline.state.store import Store
from gsc_pipeline.telemetry import WorkspaceSyncComplete


@dataclass(frozen=True, slots=True)
class Tick:
    """One firing of the schedule: `name` is the moment it was due, in ISO form."""

    name: str
    begun_at: datetime
    workspaces: tuple[str, ...]
    runs: int


class TickBook:
    """Every method raises StateError where the shared state cannot be reached."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, tick: Tick) -> bool:
        """Note that runs were asked for. False when the tick is known: it is being evaluated again."""
        return bool(
            self._store.execute(
                "INSERT INTO gsc_ticks (tick, begun_at, workspaces, runs) "
                "VALUES (:tick, :begun_at, :workspaces, :runs) ON CONFLICT (tick) DO NOTHING RETURNING tick",
                tick=tick.name,
                begun_at=tick.begun_at.timestamp(),
                workspaces=json.dumps(tick.workspaces),
                runs=tick.runs,
            )
        )

    def claim(self, tick: str, workspaces: str, run_id: str) -> str:
        """The id of the run that syncs these workspaces for the tick: this one, unless another came first."""
        ((first,),) = self._store.execute(
            "INSERT INTO gsc_tick_runs (tick, workspaces, run_id) VALUES (:tick, :workspaces, :run_id) "
            "ON CONFLICT (tick, workspaces) DO UPDATE SET run_id = gsc_tick_runs.run_id RETURNING run_id",
            tick=tick,
            workspaces=workspaces,
            run_id=run_id,
        )
        return str(first)

    def note(self, outcome: WorkspaceSyncComplete) -> None:
        """Note what became of one workspace; a later attempt of the same tick replaces it."""
        self._store.execute(
            "INSERT INTO gsc_tick_outcomes (tick, workspace, event) VALUES (:tick, :workspace, :event) "
            "ON CONFLICT (tick, workspace) DO UPDATE SET event = excluded.event",
            tick=outcome.tick,
            workspace=outcome.workspace,
            event=json.dumps(asdict(outcome)),
        )

    def named(self, name: str) -> Tick | None:
        """The tick that was due at that moment, if runs were asked for already."""
        return next(iter(self._ticks("WHERE tick = :name", name=name)), None)

    def unended(self) -> list[Tick]:
        """The ticks whose summary is still to be told, oldest first."""
        return self._ticks("WHERE ended_at IS NULL ORDER BY begun_at")

    def last_ended(self) -> Tick | None:
        """The newest tick whose summary was told."""
        return next(iter(self._ticks("WHERE ended_at IS NOT NULL ORDER BY begun_at DESC LIMIT 1")), None)

    def outcomes(self, tick: Tick) -> list[WorkspaceSyncComplete]:
        """What became of the workspaces so far, by their ids."""
        rows = self._store.execute(
            "SELECT event FROM gsc_tick_outcomes WHERE tick = :tick ORDER BY workspace", tick=tick.name
        )
        return [msgspec.json.decode(event, type=WorkspaceSyncComplete) for (event,) in rows]

    def end(self, tick: Tick, at: datetime) -> bool:
        """Note that the summary is told. False when another process has done so."""
        return bool(
            self._store.execute(
                "UPDATE gsc_ticks SET ended_at = :at WHERE tick = :tick AND ended_at IS NULL RETURNING tick",
                tick=tick.name,
                at=at.timestamp(),
            )
        )

    def forget(self, before: datetime) -> int:
        """Remove ticks that began before a moment, with their outcomes; answers how many."""
        old = self._store.execute(
            "DELETE FROM gsc_ticks WHERE begun_at < :before RETURNING tick", before=before.timestamp()
        )
        for (tick,) in old:
            for table in ("gsc_tick_outcomes", "gsc_tick_runs"):
                self._store.execute(f"DELETE FROM {table} WHERE tick = :tick", tick=tick)
        return len(old)

    def _ticks(self, which: str, **values: object) -> list[Tick]:
        rows = self._store.execute(
            f"SELECT tick, begun_at, workspaces, runs FROM gsc_ticks {which}", **values
        )
        return [
            Tick(name, datetime.fromtimestamp(begun_at, UTC), tuple(json.loads(workspaces)), runs)
            for name, begun_at, workspaces, runs in rows
        ]
