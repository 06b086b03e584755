"""Revisions: final days whose totals moved, as rows that stay.

Written when the probe shows the change, before the day is read again: a read that fails or a crash must
not lose what was seen. The same change seen twice is one row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa

from gsc_pipeline.days import month_of
from gsc_pipeline.lake.lake import Lake, Target, sql_text
from gsc_pipeline.lake.schemas import REVISIONS
from gsc_pipeline.sync.decide import Decision, Verdict
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, Status


@dataclass(frozen=True, slots=True)
class Revision:
    """One settled day's totals before and after. `record` is what the ledger said before."""

    record: DayRecord
    before: DayTotals
    after: DayTotals


@dataclass(frozen=True, slots=True)
class _SameRevisions:
    """The rows of these revisions, should an earlier sync have written them and then died."""

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
    """The decisions that change a day which was final, or known to be empty."""
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
    """Add the revisions to their table, in one commit. LakeError on failure."""
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
