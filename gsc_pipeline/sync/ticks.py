"""The ticks of the schedules in the shared state: the workspaces of each, their runs, and their outcomes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

import msgspec

from gsc_pipeline.state.store import Execute, Row, Store
from gsc_pipeline.sync.telemetry import WorkspaceSyncComplete

COUNTS = ("days_read", "site_rows", "url_rows", "calls", "retries", "duration_ms")
"""The fields of an outcome that are summed over the attempts in a tick. The others are the last attempt's."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One firing of the schedule. `name`: the time it was due, in ISO form.

    `workspaces` includes those that are deferred. `runs`: how many runs it requested at once.
    """

    name: str
    begun_at: datetime
    workspaces: tuple[str, ...]
    runs: int
    ended_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Requested:
    """The runs requested for a tick at one time, each with its workspaces.

    `number` is 0 for those of the schedule, and counts the later requests for deferred workspaces.
    """

    number: int
    at: datetime
    runs: tuple[tuple[str, ...], ...]

    @property
    def workspaces(self) -> set[str]:
        """The workspaces of all runs."""
        return {workspace for run in self.runs for workspace in run}


class TickBook:
    """The ticks in a store. Every method raises StateError if the shared state cannot be reached."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, tick: Tick, deferred: Sequence[WorkspaceSyncComplete] = ()) -> bool:
        """Record a tick, with the outcomes of the workspaces for which it requests no run yet.

        False if the tick is recorded already, by an earlier evaluation.
        """

        def insert(execute: Execute) -> bool:
            is_new = execute(
                "INSERT INTO gsc_ticks (tick, begun_at, workspaces, runs) "
                "VALUES (:tick, :begun_at, :workspaces, :runs) ON CONFLICT (tick) DO NOTHING RETURNING tick",
                tick=tick.name,
                begun_at=tick.begun_at.timestamp(),
                workspaces=json.dumps(tick.workspaces),
                runs=tick.runs,
            )
            for outcome in deferred if is_new else ():
                _note(execute, outcome)
            return bool(is_new)

        return self._store.run(insert)

    def request(
        self, job: str, tick: str, number: int, at: datetime, runs: Iterable[Sequence[str]]
    ) -> tuple[tuple[str, ...], ...]:
        """Record the runs to request for a tick, each with its workspaces.

        Returns the runs that are recorded: those of an earlier evaluation, if there was one.
        """
        self._store.execute(
            "INSERT INTO gsc_tick_requests (job, tick, number, requested_at, workspaces) "
            "VALUES (:job, :tick, :number, :at, :runs) ON CONFLICT (job, tick, number) DO NOTHING",
            job=job,
            tick=tick,
            number=number,
            at=at.timestamp(),
            runs=json.dumps([list(run) for run in runs]),
        )
        return next(one.runs for one in self.requested(job, tick) if one.number == number)

    def requested(self, job: str, tick: str) -> list[Requested]:
        """The runs of a job that were requested for a tick, in the order of their numbers."""
        rows = self._store.execute(
            "SELECT number, requested_at, workspaces FROM gsc_tick_requests "
            "WHERE job = :job AND tick = :tick ORDER BY number",
            job=job,
            tick=tick,
        )
        return [Requested(number, _utc(at), tuple(map(tuple, json.loads(runs)))) for number, at, runs in rows]

    def note(self, outcome: WorkspaceSyncComplete) -> None:
        """Record a workspace's outcome. It replaces that of an earlier attempt, and its COUNTS are summed."""
        self._store.run(lambda execute: _note(execute, outcome))

    def named(self, name: str) -> Tick | None:
        """The tick that was due at that time, if it is recorded."""
        return next(iter(self._ticks("WHERE tick = :name", name=name)), None)

    def unended(self, since: datetime | None = None) -> list[Tick]:
        """The ticks that began at or after a moment and have not ended, oldest first."""
        return self._since("ended_at IS NULL", since)

    def unreported(self, since: datetime | None = None) -> list[Tick]:
        """The ticks that began at or after a moment and whose summary is due, oldest first."""
        return self._since("tick IN (SELECT tick FROM gsc_tick_summaries_due)", since)

    def last_ended(self) -> Tick | None:
        """The newest tick that has ended."""
        return next(iter(self._ticks("WHERE ended_at IS NOT NULL ORDER BY begun_at DESC LIMIT 1")), None)

    def begun_at(self, count: int) -> list[datetime]:
        """When the newest ticks began, oldest first; `count` of them at most."""
        rows = self._store.execute(
            "SELECT begun_at FROM gsc_ticks ORDER BY begun_at DESC LIMIT :count", count=count
        )
        return [datetime.fromtimestamp(at, UTC) for (at,) in reversed(rows)]

    def outcomes(self, tick: Tick) -> list[WorkspaceSyncComplete]:
        """The outcomes recorded so far, ordered by workspace."""
        rows = self._store.execute(
            "SELECT event FROM gsc_tick_outcomes WHERE tick = :tick ORDER BY workspace", tick=tick.name
        )
        return _events(rows)

    def end(self, tick: Tick, at: datetime) -> bool:
        """Record that the tick has ended and its summary is due. False if that is recorded already."""

        def update(execute: Execute) -> bool:
            is_new = execute(
                "UPDATE gsc_ticks SET ended_at = :at WHERE tick = :tick AND ended_at IS NULL RETURNING tick",
                tick=tick.name,
                at=at.timestamp(),
            )
            if is_new:
                execute(
                    "INSERT INTO gsc_tick_summaries_due (tick) VALUES (:tick) ON CONFLICT (tick) DO NOTHING",
                    tick=tick.name,
                )
            return bool(is_new)

        return self._store.run(update)

    def reported(self, tick: str) -> None:
        """Record that the tick's summary is reported."""
        self._store.execute("DELETE FROM gsc_tick_summaries_due WHERE tick = :tick", tick=tick)

    def forget(self, before: datetime) -> int:
        """Delete the ticks that began before `before`, with their outcomes. Returns how many ticks."""

        def delete(execute: Execute) -> int:
            old = execute(
                "DELETE FROM gsc_ticks WHERE begun_at < :before RETURNING tick", before=before.timestamp()
            )
            for (tick,) in old:
                for table in ("gsc_tick_outcomes", "gsc_tick_summaries_due"):
                    execute(f"DELETE FROM {table} WHERE tick = :tick", tick=tick)
            execute("DELETE FROM gsc_tick_requests WHERE requested_at < :before", before=before.timestamp())
            return len(old)

        return self._store.run(delete)

    def _since(self, which: str, since: datetime | None) -> list[Tick]:
        begun_at = since.timestamp() if since else 0.0
        return self._ticks(f"WHERE {which} AND begun_at >= :since ORDER BY begun_at", since=begun_at)

    def _ticks(self, which: str, **values: object) -> list[Tick]:
        rows = self._store.execute(
            f"SELECT tick, begun_at, workspaces, runs, ended_at FROM gsc_ticks {which}", **values
        )
        return [
            Tick(name, _utc(begun_at), tuple(json.loads(workspaces)), runs, ended_at and _utc(ended_at))
            for name, begun_at, workspaces, runs, ended_at in rows
        ]


def _note(execute: Execute, outcome: WorkspaceSyncComplete) -> None:
    key = {"tick": outcome.tick, "workspace": outcome.workspace}
    which = "FROM gsc_tick_outcomes WHERE tick = :tick AND workspace = :workspace"
    for earlier in _events(execute(f"SELECT event {which}", **key)):
        totals = {name: getattr(earlier, name) + getattr(outcome, name) for name in COUNTS}
        outcome = replace(outcome, **totals)
    execute(
        "INSERT INTO gsc_tick_outcomes (tick, workspace, event) VALUES (:tick, :workspace, :event) "
        "ON CONFLICT (tick, workspace) DO UPDATE SET event = excluded.event",
        **key,
        event=json.dumps(asdict(outcome)),
    )


def _events(rows: Iterable[Row]) -> list[WorkspaceSyncComplete]:
    return [msgspec.json.decode(event, type=WorkspaceSyncComplete) for (event,) in rows]


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
