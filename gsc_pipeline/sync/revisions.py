"""Revisions: changes of the totals of days that were final or empty, one row per change.

A revision is written before its day is read again, so a failed read or a crash does not lose the revision. If
two syncs find the same change, the table has one row of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa

from gsc_pipeline.days import month_of
from gsc_pipeline.lake.lake import Lake, sql_text
from gsc_pipeline.lake.schemas import REVISIONS
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.sync.decide import Decision, Verdict
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, Status


@dataclass(frozen=True, slots=True)
class Revision:
    """The totals of one day before and after a change. `record` is the ledger's record before it."""

    record: DayRecord
    before: DayTotals
    after: DayTotals


@dataclass(frozen=True, slots=True)
class _SameRevisions:
    """Selects these revisions' rows, which an earlier sync may have written before it was interrupted."""

    target: Target
    revisions: Sequence[Revision]

    def predicate(self) -> str:
        each = " OR ".join(
            f"(data_date = DATE '{revision.record.data_date}' "
            f"AND previous_run_id = {sql_text(revision.record.run_id)})"
            for revision in self.revisions
        )
        return f"{self.target.predicate()} AND ({each})"


def find_revisions(decisions: Sequence[Decision], records: Mapping[date, DayRecord]) -> list[Revision]:
    """The revisions in `decisions`: changes of days that were final or empty."""
    found = []
    for decision in decisions:
        record = records.get(decision.day)
        settled = record is not None and record.status in (Status.FINAL, Status.EMPTY)
        if record is None or not settled or decision.verdict not in (Verdict.READ, Verdict.CLEAR):
            continue
        before = record.totals or DayTotals()
        if not before.is_same(decision.totals):
            found.append(Revision(record, before, decision.totals))
    return found


def write_revisions(
    lake: Lake,
    workspace: str,
    site_url: str,
    search_type: str,
    revisions: Sequence[Revision],
    *,
    seen_at: datetime,
    run_id: str,
) -> None:
    """Write the revisions in one commit. Raises LakeError."""
    days = tuple(revision.record.data_date for revision in revisions)
    target = Target(workspace, site_url, search_type, days)
    rows = [
        {
            "workspace": workspace,
            "site_url": site_url,
            "search_type": search_type,
            "data_date": revision.record.data_date,
            "month": month_of(revision.record.data_date),
            "clicks_before": revision.before.clicks,
            "clicks_after": revision.after.clicks,
            "impressions_before": revision.before.impressions,
            "impressions_after": revision.after.impressions,
            "position_before": revision.before.position,
            "position_after": revision.after.position,
            "seen_at": seen_at,
            "previous_run_id": revision.record.run_id,
            "run_id": run_id,
        }
        for revision in revisions
    ]
    table = pa.Table.from_pylist(rows, schema=REVISIONS.schema)
    lake.replace(REVISIONS, _SameRevisions(target, revisions), table)
