"""Syncs all workspaces, each isolated from the failures of the others."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import datetime
from typing import Any

from gsc_pipeline.days import Clock, Window, utc_now
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.errors import DamagedError, LakeError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.client import SearchConsole, Usage
from gsc_pipeline.state.store import StateError
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.failures import record_standing
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.sync.recorder import RunRecorder
from gsc_pipeline.sync.report import OnProgress, Progress, Report, SyncReport, SyncSummary
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces.registry import Workspace

log = logging.getLogger(__name__)

_LISTED = 3
"""How many workspaces the error lists, each with its reason, if every workspace failed."""

OpenConsole = Callable[[Workspace], SearchConsole]
"""Opens a Search Console client with the workspace's own credential."""


class SyncFatalError(PipelineError):
    """The sync as a whole failed.

    The lake or the shared state is unavailable, no workspace is active, or every workspace failed. `summary`
    is set only if every workspace failed.
    """

    def __init__(self, message: str, summary: SyncSummary[Any] | None = None) -> None:
        super().__init__(message)
        self.summary = summary

    def as_json(self) -> dict[str, Any]:
        """The object that `gsc sync --json` prints: the summary, if there is one, and the error."""
        summary = self.summary or SyncSummary((), (), (), 0)
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
) -> SyncSummary[SyncReport]:
    """Sync the active workspaces among `workspaces`, each isolated from the failures of the others.

    Calls `on_report` after each workspace. Returns normally if some workspaces fail, but not all. Raises
    SyncFatalError if the lake or the shared state is unavailable, if no workspace is active, or if every
    workspace failed.
    """
    run_id = run_id or uuid.uuid4().hex
    recorder = RunRecorder(lake.for_run(run_id), clock)

    def sync(workspace: Workspace) -> SyncReport:
        return sync_isolated(
            workspace,
            window,
            open_console,
            lake,
            options=options,
            clock=clock,
            run_id=run_id,
            on_progress=on_progress,
            recorder=recorder,
        )

    return sync_each(workspaces, sync, on_report, within=recorder)


def sync_each(
    workspaces: Sequence[Workspace],
    sync: Callable[[Workspace], Report],
    on_report: Callable[[Report], None],
    within: AbstractContextManager[object] | None = None,
) -> SyncSummary[Report]:
    """Call `sync` for each active workspace, `within` a context, and sum the reports up.

    Calls `on_report` after each workspace. Raises SyncFatalError as `sync_all` does.
    """
    active = [workspace for workspace in workspaces if workspace.active]
    if not active:
        raise SyncFatalError("no active workspace to sync: set active: true in the workspaces file")
    started = time.monotonic()
    reports: list[Report] = []
    try:
        with within or nullcontext():
            for workspace in active:
                reports.append(sync(workspace))
                on_report(reports[-1])
    except (LakeError, StateError) as error:
        raise SyncFatalError(str(error)) from error
    summary = SyncSummary.of(reports, round((time.monotonic() - started) * 1000))
    if len(summary.failures) == len(reports):
        reasons = [f"{report.workspace}: {report.reason}" for report in summary.failures[:_LISTED]]
        if len(summary.failures) > _LISTED:
            reasons.append(f"and {len(summary.failures) - _LISTED} more workspaces, see their warnings")
        raise SyncFatalError(f"no workspace could be synced: {'; '.join(reasons)}", summary)
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
    recorder: RunRecorder | None = None,
) -> SyncReport:
    """Sync one workspace.

    Syncs of several workspaces share a `recorder`, so that idle ones share a commit; without one, the sync is
    recorded when it returns. Where `options` have leases, a workspace that another sync holds is not read,
    and nothing is recorded in the lake. Raises only LakeError and StateError: all workspaces share the lake
    and the state.
    """
    lake = lake.for_run(run_id)
    leases = options.leases if options else None
    with (
        nullcontext(recorder) if recorder else RunRecorder(lake, clock) as runs,
        leases.held(workspace.id, run_id) if leases else nullcontext() as holder,
    ):

        def progress(now: Progress) -> None:
            # This workspace may take hours, and others wait to be recorded.
            runs.write_if_due()
            on_progress(now)

        if holder:
            return _report(workspace, window, clock(), run_id, holder.problem(clock()))
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
                    on_progress=progress,
                    recorder=runs,
                )
        except DamagedError as error:
            if error.workspace not in ("", workspace.id):
                raise
            return _stopped(workspace, window, lake, runs, clock(), run_id, Problem(str(error)))
        except (LakeError, StateError):
            raise
        except Exception as error:
            log.exception("workspace %s: unexpected error", workspace.id)
            return _stopped(workspace, window, lake, runs, clock(), run_id, Problem.of_fault(error))


def _stopped(
    workspace: Workspace,
    window: Window,
    lake: Lake,
    runs: RunRecorder,
    now: datetime,
    run_id: str,
    problem: Problem,
) -> SyncReport:
    """The report of a sync that an error ended; it is recorded in the lake as well."""
    report = _report(workspace, window, now, run_id, problem)
    record_standing(lake, workspace.id, report.problems, {}, now)
    runs.add(report)
    return report


def _report(workspace: Workspace, window: Window, now: datetime, run_id: str, problem: Problem) -> SyncReport:
    """The report of a sync that read nothing."""
    return SyncReport(
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
