"""The events of a sync, made from its reports: what telemetry, metadata and summaries tell alike.

Belongs here: counts and rates. Does not: when the events are due, or who is told (`telemetry`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gsc_pipeline.sync.report import Outcome, SyncReport
from gsc_pipeline.telemetry import AutoSyncComplete, AutoSyncFailure, WorkspaceSyncComplete


def workspace_ended(report: SyncReport, tick: str) -> WorkspaceSyncComplete:
    """What to tell of one workspace's sync."""
    read = [day for day in report.days if day.outcome is Outcome.READ]
    site_rows, url_rows = sum(day.site_rows for day in read), sum(day.url_rows for day in read)
    return WorkspaceSyncComplete(
        tick=tick,
        workspace=report.workspace,
        run_id=report.run_id,
        outcome="success" if report.is_success else "failure",
        duration_ms=round(report.seconds * 1000),
        days_read=len(read),
        days_unchanged=report.count(Outcome.UNCHANGED),
        days_failed=report.count(Outcome.FAILED),
        site_rows=site_rows,
        url_rows=url_rows,
        calls=report.usage.calls,
        retries=report.usage.retries,
        urls_per_second=_rate(url_rows, report.seconds),
        queries_per_second=_rate(site_rows, report.seconds),
        reasons=tuple(str(problem) for problem in report.problems),
    )


def tick_ended(
    tick: str,
    ended: Sequence[WorkspaceSyncComplete],
    *,
    duration_ms: int,
    missing: Mapping[str, str] | None = None,
) -> AutoSyncComplete:
    """What to tell of a tick whose workspaces have `ended`; AutoSyncFailure when none was synced.

    `missing` are workspaces of the tick that left no report, each with why: they count as failures.
    """
    failed = {one.workspace: "; ".join(one.reasons) for one in ended if one.outcome != "success"}
    reasons = {**failed, **(missing or {})}
    successes = len(ended) - len(failed)
    kind = AutoSyncComplete if successes or not reasons else AutoSyncFailure
    return kind(
        tick=tick,
        total_workspaces=successes + len(reasons),
        successes=successes,
        failures=len(reasons),
        duration_ms=duration_ms,
        urls_per_second=_rate(sum(one.url_rows for one in ended), duration_ms / 1000),
        queries_per_second=_rate(sum(one.site_rows for one in ended), duration_ms / 1000),
        reasons=reasons,
    )


def _rate(rows: int, seconds: float) -> float:
    return round(rows / seconds, 1) if seconds else 0.0
