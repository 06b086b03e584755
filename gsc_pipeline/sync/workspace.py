"""Syncs one workspace: its properties and search types, one after another."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import date
from types import MappingProxyType

import pyarrow as pa

from gsc_pipeline.days import Clock, Window, utc_now
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.agreement import disagreements
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import LEDGER_COUNTS, SYNC_LEDGER
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import SearchConsoleError
from gsc_pipeline.sync.context import SyncContext, SyncOptions
from gsc_pipeline.sync.damage import RESTORE, DamagedDays, find_damage
from gsc_pipeline.sync.day_order import STOPS_WORKSPACE
from gsc_pipeline.sync.failures import record_standing
from gsc_pipeline.sync.folder_days import complete_from_folders
from gsc_pipeline.sync.grains import search_type_in_tables
from gsc_pipeline.sync.ledger import DayRecord, LedgerKey, cut_records, read_rows, records_of
from gsc_pipeline.sync.problems import NO_PROPERTY, Problem
from gsc_pipeline.sync.property import PropertySync
from gsc_pipeline.sync.recorder import RunRecorder
from gsc_pipeline.sync.report import DayResult, OnProgress, SyncedDay, SyncReport
from gsc_pipeline.sync.tables.properties import known_properties, once_readable, record_properties
from gsc_pipeline.workspaces.registry import Workspace

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
    recorder: RunRecorder | None = None,
) -> SyncReport:
    """Bring the workspace's days in `window` up to date in the lake.

    The report lists every problem. The failure of one property does not stop the others. An unusable
    credential or an open circuit breaker stops the rest of the workspace. Without a `recorder`, the sync is
    recorded in `sync_runs` when it returns. Raises only LakeError and StateError: all workspaces share the
    lake and the state.
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
    results = [part.results for part in parts]
    folders = complete_from_folders(
        workspace,
        window,
        lake,
        now=context.now,
        run_id=context.run_id,
        commit_rows=context.options.commit_rows,
        asks_for_parts=context.options.past_cap.calls > 0,
    )
    report = SyncReport(
        workspace=workspace.id,
        run_id=context.run_id,
        window=window,
        started_at=context.now,
        seconds=time.monotonic() - started,
        properties=len({part.site_url for part in parts}),
        days=_with_completed([day for one in results for day in one.days], folders.records),
        problems=(*problems, *folders.problems, *(problem for one in results for problem in one.problems)),
        usage=console.usage() - usage,
    )
    waiting = {(part.site_url, part.search_type): part.results.failed_days for part in parts}
    record_standing(lake, workspace.id, report.problems, waiting, context.now)
    with nullcontext(recorder) if recorder else RunRecorder(lake, clock) as runs:
        runs.add(report)
    return report


def _sync_properties(context: SyncContext) -> tuple[list[PropertySync], list[Problem]]:
    """Sync every property and search type. Returns their syncs, and the problems of the workspace itself."""
    try:
        rows = read_rows(context.lake, context.workspace.id)
        if not rows.num_rows:
            context.lake.refuse_if_lost(SYNC_LEDGER)
        damages = _find_damage(context, rows)
        ledger = records_of(rows, context.window, damages.all_days)
        cut = cut_records(rows)
    except DamagedError as error:
        return [], [Problem(str(error))]
    problems = [Problem(str(error)) for error in damages.unreadable]
    try:
        site_urls, lost = _site_urls(context)
    except SearchConsoleError as error:
        known = _parts(context, sorted({site_url for site_url, _ in ledger}), ledger, damages)
        _fail_unverified(known, error)
        return known, [*problems, Problem.of(error)]
    problems += lost
    parts = _parts(context, site_urls, ledger, damages, cut)
    problems += _damage_elsewhere(damages, parts)
    if not site_urls:
        return [], [*problems, NO_PROPERTY]
    with ThreadPoolExecutor(context.options.concurrency, thread_name_prefix="gsc-read") as executor:
        for i, part in enumerate(parts):
            try:
                part.run(executor)
            except STOPS_WORKSPACE as error:
                _fail_unverified(parts[i + 1 :], error)
                return parts, [*problems, Problem.of(error)]
            except (PipelineError, SearchConsoleError):
                raise
            # An unexpected error of one property does not stop the others.
            except Exception as error:
                log.exception("workspace %s: %s: unexpected error", context.workspace.id, part.site_url)
                part.add_fault(error)
    return parts, problems


def _with_completed(
    days: Sequence[SyncedDay], completed: Mapping[tuple[str, str, date], DayRecord]
) -> tuple[SyncedDay, ...]:
    """The days of the sync. A day that folders completed has its new record, and counts as read."""
    left = dict(completed)
    found = []
    for one in days:
        record = left.pop((one.site_url, one.search_type, one.day), None)
        found.append(one if record is None else replace(one, result=DayResult.READ, record=record))
    older = [SyncedDay(*key[:2], DayResult.READ, record) for key, record in left.items()]
    return (*found, *older)


def _find_damage(context: SyncContext, ledger: pa.Table) -> DamagedDays:
    found = disagreements(context.lake, context.workspace.id, ledger)
    for table in LEDGER_COUNTS.values() if found else ():
        context.lake.refuse_if_lost(table)
    for one in found:
        log.warning(
            "workspace %s: %s; the days that differ are read again",
            one.workspace,
            one,
            extra={"event": "lake.disagrees", **asdict(one)},
        )
    return find_damage(context.lake, context.workspace.id, found, context.now) if found else DamagedDays()


def _damage_elsewhere(damages: DamagedDays, parts: Sequence[PropertySync]) -> list[Problem]:
    """Problems for damaged days of properties and search types that this sync does not read."""
    read = {(part.site_url, part.search_type) for part in parts}
    return [
        Problem(
            f"{site_url} ({search_type}), which is not synced, has {len(days)} damaged days, the first "
            f"{min(days)}: {days[min(days)].reason}",
            next_step=RESTORE,
        )
        for (site_url, search_type), days in sorted(damages.days.items())
        if (site_url, search_type) not in read
    ]


def _site_urls(context: SyncContext) -> tuple[Sequence[str], list[Problem]]:
    """The properties to sync, and a problem for each property that the credential can no longer read.

    If the workspaces file lists no properties for the workspace, every property that the credential can read
    is synced, and the changes of the API's list are recorded. An empty list after one with properties is not
    recorded, because the answer may be wrong.
    """
    workspace = context.workspace
    if workspace.properties is not None:
        return workspace.properties, []
    sites = context.console.sites()
    known = known_properties(context.lake, workspace.id)
    if sites or not known:
        changes = record_properties(context.lake, workspace.id, sites, context.now, context.run_id, known)
        for change in changes:
            log.info("workspace %s: property %s %s", workspace.id, change.site_url, change.change)
    readable = sorted(site.site_url for site in sites if site.is_readable)
    return readable, [
        Problem(
            "no longer among the properties that the credential may read",
            site_url,
            is_refusal=True,
            next_step="add the credential as a user of it again, or list the properties to sync in the "
            "workspaces file",
        )
        for site_url in sorted(once_readable(known) - set(readable))
    ]


def _parts(
    context: SyncContext,
    site_urls: Sequence[str],
    ledger: Mapping[LedgerKey, Mapping[date, DayRecord]],
    damages: DamagedDays,
    cut: Mapping[LedgerKey, Sequence[DayRecord]] = MappingProxyType({}),
) -> list[PropertySync]:
    keys = [
        (site_url, kind, (site_url, search_type_in_tables(kind)))
        for site_url in site_urls
        for kind in context.workspace.search_types
    ]
    return [
        PropertySync(
            context, site_url, kind, ledger.get(key, {}), damages.days.get(key, {}), cut.get(key, ())
        )
        for site_url, kind, key in keys
    ]


def _fail_unverified(parts: Sequence[PropertySync], error: SearchConsoleError) -> None:
    for part in parts:
        part.fail_unverified(error)
