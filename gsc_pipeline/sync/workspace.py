"""The sync of one workspace: all its properties and search types, one after another, and the report.

Belongs here: which properties, and which failure stops the workspace. Does not: the sync of a property
(`property`), several workspaces (`everyone`).
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from gsc_pipeline.days import Clock, Window, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import SearchConsoleError
from gsc_pipeline.sync.grains import search_type_in_tables
from gsc_pipeline.sync.ledger import DayRecord, LedgerKey, read_ledger
from gsc_pipeline.sync.properties import record_properties
from gsc_pipeline.sync.property import (
    STOPS_WORKSPACE,
    PropertySync,
    SyncContext,
    SyncOptions,
    problem_of,
)
from gsc_pipeline.sync.report import NO_PROPERTY, OnProgress, Problem, SyncReport, append_run
from gsc_pipeline.sync.standing import record_standing
from gsc_pipeline.workspaces import Workspace

log = logging.getLogger(__name__)


def sync_workspace(
    workspace: Workspace,
    window: Window,
    console: SearchConsole,
    lake: Lake,
    *,
    options: SyncOptions | None = None,
    clock: Clock = utc_now,
    run_id: str | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> SyncReport:
    """Bring the lake's copy of the workspace's days in `window` up to date.

    Returns a report that names every problem; a property's failure never stops another's read, a dead
    credential or an open circuit breaker stops the rest of the workspace. Raises only LakeError and
    StateError: the lake and the shared state are everyone's.
    """
    context = SyncContext(
        workspace=workspace,
        window=window,
        console=console,
        lake=lake,
        options=options or SyncOptions(),
        now=clock(),
        run_id=run_id or uuid.uuid4().hex,
        on_progress=on_progress,
    )
    started, usage = time.monotonic(), console.usage()
    parts, problems = _sync_properties(context)
    report = SyncReport(
        workspace=workspace.id,
        run_id=context.run_id,
        window=window,
        started_at=context.now,
        seconds=time.monotonic() - started,
        properties=len({part.site_url for part in parts}),
        days=tuple(outcome for part in parts for outcome in part.outcomes),
        problems=(*problems, *(problem for part in parts for problem in part.problems)),
        usage=console.usage() - usage,
    )
    waiting = {(part.site_url, part.search_type): part.failing_days for part in parts}
    record_standing(lake, workspace.id, report.problems, waiting, context.now)
    append_run(lake, report)
    return report


def _sync_properties(context: SyncContext) -> tuple[list[PropertySync], list[Problem]]:
    """Sync every property and search type; returns them, and the problems that are the workspace's own."""
    ledger = read_ledger(context.lake, context.workspace.id, context.window)
    try:
        site_urls = _site_urls(context)
    except SearchConsoleError as error:
        known = _parts(context, sorted({site_url for site_url, _ in ledger}), ledger)
        _leave_unverified(known, error)
        return known, [problem_of(error)]
    if not site_urls:
        return [], [NO_PROPERTY]
    parts = _parts(context, site_urls, ledger)
    with ThreadPoolExecutor(context.options.concurrency, thread_name_prefix="gsc-read") as executor:
        for i, part in enumerate(parts):
            try:
                part.run(executor)
            except STOPS_WORKSPACE as error:
                _leave_unverified(parts[i + 1 :], error)
                return parts, [problem_of(error)]
    return parts, []


def _site_urls(context: SyncContext) -> Sequence[str]:
    """The properties to sync. Where they are whatever the credential may read, changes are recorded."""
    workspace = context.workspace
    if workspace.properties is not None:
        return workspace.properties
    sites = context.console.sites()
    for change in record_properties(context.lake, workspace.id, sites, context.now, context.run_id):
        log.info("workspace %s: property %s %s", workspace.id, change.site_url, change.change)
    return sorted(site.site_url for site in sites if site.is_readable)


def _parts(
    context: SyncContext, site_urls: Sequence[str], ledger: Mapping[LedgerKey, Mapping[date, DayRecord]]
) -> list[PropertySync]:
    return [
        PropertySync(context, site_url, kind, ledger.get((site_url, search_type_in_tables(kind)), {}))
        for site_url in site_urls
        for kind in context.workspace.search_types
    ]


def _leave_unverified(parts: Sequence[PropertySync], error: SearchConsoleError) -> None:
    for part in parts:
        part.leave_unverified(error)
