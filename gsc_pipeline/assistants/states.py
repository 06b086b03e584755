"""The states of the served workspaces, and their freshness, which is a part of every answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date, datetime
from typing import TypeVar

from gsc_pipeline.assistants.answers import Freshness
from gsc_pipeline.days import Clock
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.monitoring.status import StateReader, WorkspaceState
from gsc_pipeline.workspaces.registry import Workspace

T = TypeVar("T", date, datetime)


class ServedStates:
    """Reads the states of the served workspaces. Thread-safe."""

    def __init__(self, lake: Lake, workspaces: Sequence[Workspace], clock: Clock) -> None:
        self._workspaces, self._clock = tuple(workspaces), clock
        only = self._workspaces[0].id if len(self._workspaces) == 1 else None
        self._reader = StateReader(lake, only)
        self._lock = threading.Lock()

    def read(self) -> list[WorkspaceState]:
        """The state of each served workspace, in their order. Raises LakeError."""
        with self._lock:
            return self._reader.read(self._workspaces)

    def freshness(self, workspace: str | None = None) -> Freshness:
        """How current one workspace is, or all of them. Raises LakeError."""
        return self.freshness_of([one for one in self.read() if workspace in (None, one.workspace)])

    def freshness_of(self, states: Sequence[WorkspaceState]) -> Freshness:
        """How current the workspaces with these states are."""
        newest = [one.last_day for one in states if one.last_day is not None]
        return Freshness(
            answered_at=self._clock(),
            workspaces=len(states),
            last_complete_sync=_earliest([one.last_good_sync for one in states]),
            final_up_to=_earliest([one.final_up_to for one in states]),
            newest_day=max(newest, default=None),
            provisional_days=sum(one.provisional for one in states),
            failed_days=sum(one.failed for one in states),
            cut_days=sum(one.truncated for one in states),
            notes=list(_notes(states)),
        )


def _earliest(times: Sequence[T | None]) -> T | None:
    """The earliest; None if one of them is None, as that workspace has none yet."""
    known = [one for one in times if one is not None]
    return min(known, default=None) if len(known) == len(times) else None


def _notes(states: Sequence[WorkspaceState]) -> list[str]:
    counts = {
        "provisional days: {}. Their numbers may still rise": sum(one.provisional for one in states),
        "cut days: {}. Their totals are complete, their lists are not": sum(one.truncated for one in states),
        "failed days: {}. status has the cause": sum(one.failed for one in states),
        "workspaces without data: {}": sum(one.last_day is None for one in states),
        "workspaces with damaged files: {}. Whoever runs the lake should run gsc verify": sum(
            bool(one.damaged) for one in states
        ),
    }
    return [note.format(count) for note, count in counts.items() if count]
