"""The sync of all workspaces: each on its own, counted, and only what is shared stops everyone."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from gsc_pipeline.days import Clock, Window, utc_now
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.errors import DamagedError, LakeError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.client import SearchConsole, Usage
from gsc_pipeline.state.store import StateError
from gsc_pipeline.sync.property import SyncOptions, fault_problem
from gsc_pipeline.sync.report import OnProgress, Problem, SyncReport, SyncSummary, append_run
from gsc_pipeline.sync.standing import record_standing
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces import Workspace

log = logging.getLogger(__name__)

_TOLD = 3
"""Workspaces whose reasons the final error repeats: with hundreds it would be a page."""

OpenConsole = Callable[[Workspace], SearchConsole]
"""Makes a workspace's own Search Console, with its own credential."""


class SyncFatalError(PipelineError):
    """Nothing was synced, or nothing can be: what is broken is shared, and needs a person.

    `summary` is there when every workspace was tried and failed.
    """

    def __init__(self, message: str, summary: SyncSummary | None = None) -> None:
        super().__init__(message)
        self.summary = summary

    def as_json(self) -> dict[str, Any]:
        """The object that `gsc sync --json` prints: the summary there is, and what is broken."""
        summary = self.summary or SyncSummary((), (), 0)
        return {**summary.as_json(), "error": str(self)}


def sync_all(
    workspaces: Sequence[Workspace],
    window: Window,
    open_console: OpenConsole,
    lake: Lake,
    *,
    options: SyncOptions | None = None,
    clock: Clock = utc_now,
    run_id: str | None = None,
    on_progress: OnProgress = lambda progress: None,
    on_report: Callable[[SyncReport], None] = lambda report: None,
) -> SyncSummary:
    """Sync the active ones of `workspaces`, each isolated from the others' failures.

    `on_report` is told of each workspace as it ends. Returns normally on partial failure. Raises
    SyncFatalError when the lake cannot be written, when there is no active workspace to try, and when
    every workspace failed.
    """
    active = [workspace for workspace in workspaces if workspace.active]
    if not active:
        raise SyncFatalError("no active workspace to sync: set active: true in the workspaces file")
    started = time.monotonic()
    run_id = run_id or uuid.uuid4().hex
    reports: list[SyncReport] = []
    for workspace in active:
        try:
            report = sync_isolated(
                workspace,
                window,
                open_console,
                lake,
                options=options,
                clock=clock,
                run_id=run_id,
                on_progress=on_progress,
            )
        except (LakeError, StateError) as error:
            raise SyncFatalError(str(error)) from error
        reports.append(report)
        on_report(report)
    summary = SyncSummary(
        successes=tuple(report for report in reports if report.is_success),
        failures=tuple(report for report in reports if not report.is_success),
        duration_ms=round((time.monotonic() - started) * 1000),
    )
    if not summary.successes:
        told = [f"{report.workspace}: {report.reason}" for report in summary.failures[:_TOLD]]
        if len(summary.failures) > _TOLD:
            told.append(f"and {len(summary.failures) - _TOLD} more workspaces, each with its own warning")
        raise SyncFatalError(f"no workspace could be synced: {'; '.join(told)}", summary)
    return summary


def sync_isolated(
    workspace: Workspace,
    window: Window,
    open_console: OpenConsole,
    lake: Lake,
    *,
    options: SyncOptions | None = None,
    clock: Clock = utc_now,
    run_id: str,
    on_progress: OnProgress = lambda progress: None,
) -> SyncReport:
    """Sync one workspace so that whatever happens to it is its own: an unexpected error is a report too.

    Raises only LakeError and StateError: lake and shared state are everyone's.
    """
    try:
        with closing(open_console(workspace)) as console:
            return sync_workspace(
                workspace,
                window,
                console,
                lake,
                options=options,
                clock=clock,
                run_id=run_id,
                on_progress=on_progress,
            )
    except DamagedError as error:
        if error.workspace not in ("", workspace.id):
            raise
        return _stopped(workspace, window, lake, clock(), run_id, Problem(str(error)))
    except (LakeError, StateError):
        raise
    except Exception as error:
        log.exception("workspace %s: unexpected error", workspace.id)
        return _stopped(workspace, window, lake, clock(), run_id, fault_problem(error))


def _stopped(
    workspace: Workspace, window: Window, lake: Lake, now: datetime, run_id: str, problem: Problem
) -> SyncReport:
    """The report of a sync that ended with an error, recorded as far as the lake takes it."""
    report = SyncReport(
        workspace=workspace.id,
        run_id=run_id,
        window=window,
        started_at=now,
        seconds=0.0,
        properties=0,
        days=(),
        problems=(problem,),
        usage=Usage(),
    )
    record_standing(lake, workspace.id, report.problems, {}, now)
    append_run(lake, report)
    return report
