"""Records finished syncs in `sync_runs`: those of idle workspaces together, in one commit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import pyarrow.compute as pc

from gsc_pipeline.days import Clock, month_of, utc_now
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.errors import LakeError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.sync.report import SyncReport, append_runs

log = logging.getLogger(__name__)

HELD_FOR = timedelta(minutes=2)
"""The row of an idle sync is written after this time, if nothing has written it before.

A row may appear some minutes after its sync (`LATE` in `defs.sensors`), so this has to be shorter."""


class RunRecorder:
    """Writes the rows of finished syncs to `sync_runs`. A context manager, whose end writes the last rows.

    A sync that is not idle is recorded at once. The row of an idle one is held until the next commit, for
    HELD_FOR or until the end. A process that is killed loses the rows that it holds, and no data.
    """

    def __init__(self, lake: Lake, clock: Clock = utc_now) -> None:
        self._lake = lake
        self._clock = clock
        self._held: list[SyncReport] = []
        self._held_since = datetime.max
        self._is_unsure = False
        """Whether a commit of the held rows was begun and did not return."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.write()
            return
        try:
            self.write()
        # The first error says what is wrong, and is the one to raise.
        except PipelineError as later:
            log.warning("%s not recorded in %s: %s", self._in_words, SYNC_RUNS.name, later)

    def add(self, report: SyncReport) -> None:
        """Record a sync. If it is not idle, its row and those held are written now.

        Raises LakeError if that fails. The sync is then not recorded; the held rows are still held.
        """
        if not self._held:
            self._held_since = self._clock()
        self._held.append(report)
        if report.is_idle:
            self.write_if_due()
            return
        try:
            self.write()
        except Exception:
            self._held = [one for one in self._held if one is not report]
            raise

    def write(self) -> None:
        """Write the held rows in one commit. Raises LakeError, and then still holds them."""
        if self._is_unsure and self._held:
            self._leave_out_written()
        if self._held:
            self._is_unsure = True
            append_runs(self._lake, self._held)
            # In this order, an interrupt between the lines repeats no row.
            self._held = []
            self._is_unsure = False

    def write_if_due(self) -> None:
        """Write the rows that have been held for HELD_FOR. If that fails, they are held for as long again."""
        if not self._held or self._clock() - self._held_since < HELD_FOR:
            return
        self._held_since = self._clock()
        try:
            self.write()
        except LakeError as error:
            # No reason to end the sync of the workspace that is being read. The last write raises.
            log.warning("%s not recorded in %s yet: %s", self._in_words, SYNC_RUNS.name, error)

    def holds(self, report: SyncReport) -> bool:
        """Whether the report's row is held."""
        return any(one is report for one in self._held)

    def drop(self) -> Sequence[SyncReport]:
        """Give up the held rows, and return their reports."""
        held, self._held = self._held, []
        return held

    @property
    def _in_words(self) -> str:
        return f"{len(self._held)} finished {'sync is' if len(self._held) == 1 else 'syncs are'}"

    def _leave_out_written(self) -> None:
        """Stop holding the rows that the lake has: a commit may succeed although its call failed."""
        rows = self._lake.read(
            SYNC_RUNS,
            columns=["workspace", "run_id", "started_at", "seconds"],
            where=pc.field("run_id").isin([report.run_id for report in self._held]),
            months=list({month_of(report.started_at.date()) for report in self._held}),
        )
        written = {tuple(row.values()) for row in rows.to_pylist()}
        self._held = [
            report
            for report in self._held
            if (report.workspace, report.run_id, report.started_at, report.seconds) not in written
        ]
        self._is_unsure = False
