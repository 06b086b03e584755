"""What the health takes from the record of ticks: runs that crashed, and runs that may be retried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gsc_pipeline.monitoring.status import WorkspaceState
from gsc_pipeline.sync.ticks import TickBook

COUNTED_TICKS = 100
"""Ticks by which syncs in a row are counted."""

LONGEST_TICK = timedelta(hours=12)
"""A tick whose end is not recorded by then has no daemon that would record it."""


@dataclass(frozen=True, slots=True)
class TickView:
    """The newest tick that has ended, and the runs of ticks that have not.

    `missing` are the workspaces of that tick without an outcome. `unfinished` are the ids of runs that may
    still be retried. `begins` are the times at which the newest ticks began, oldest first.
    """

    begun_at: datetime | None = None
    missing: frozenset[str] = frozenset()
    is_in_progress: bool = False
    unfinished: frozenset[str] = frozenset()
    begins: tuple[datetime, ...] = ()

    @classmethod
    def of(cls, book: TickBook, now: datetime, ended: str = "") -> TickView:
        """The view of a record. `ended` names a tick whose end is not recorded yet. Raises StateError."""
        in_progress = [
            tick for tick in book.unended() if tick.name != ended and now - tick.begun_at < LONGEST_TICK
        ]
        last = book.named(ended) if ended else book.last_ended()
        reported = {outcome.workspace for outcome in book.outcomes(last)} if last else set()
        return cls(
            begun_at=last.begun_at if last else None,
            missing=frozenset(last.workspaces) - reported if last else frozenset(),
            is_in_progress=bool(in_progress),
            unfinished=frozenset(outcome.run_id for tick in in_progress for outcome in book.outcomes(tick)),
            begins=tuple(book.begun_at(COUNTED_TICKS)),
        )

    def crashed(self, states: Sequence[WorkspaceState]) -> list[str]:
        """The workspaces whose run crashed, was cancelled or never began, and that were not synced since."""
        return [
            state.workspace
            for state in states
            if state.workspace in self.missing
            and self.begun_at is not None
            and (state.last_sync is None or state.last_sync < self.begun_at)
        ]
