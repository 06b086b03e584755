"""Finished syncs and their days, as the lake's tables `sync_runs` and `sync_ledger` record them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Window
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.sync.failures import is_configured, read_standing
from gsc_pipeline.sync.ledger import Status, all_records, read_rows
from gsc_pipeline.sync.report import DayResult, SyncedDay
from gsc_pipeline.workspaces.registry import Workspace

LONGEST_SYNC = timedelta(days=31)
"""A sync that took longer than this may not be found."""


@dataclass(frozen=True, slots=True)
class FinishedSync:
    """One row of `sync_runs`. Several workspaces may share a `run_id`.

    `tables` are those that a sync of the other tables brought up to date; None for all other syncs.
    """

    workspace: str
    run_id: str
    window: Window
    finished_at: datetime
    tables: tuple[str, ...] | None = None

    @property
    def key(self) -> str:
        """A unique key of the sync within the lake."""
        return f"{self.run_id}|{self.workspace}"


def finished_syncs(lake: Lake, since: datetime) -> list[FinishedSync]:
    """The syncs that finished at `since` or later, the oldest first. Raises LakeError."""
    rows = lake.read(
        SYNC_RUNS,
        columns=["workspace", "run_id", "started_at", "seconds", "first_day", "last_day", "tables"],
        where=pc.field("started_at") >= pa.scalar(since - LONGEST_SYNC),
    )
    seconds = pc.cast(pc.round(pc.multiply(rows["seconds"], 1e6)), pa.int64()).cast(pa.duration("us"))
    finished_at = pc.add(rows["started_at"], seconds)
    rows = rows.append_column("finished_at", finished_at).filter(
        pc.greater_equal(finished_at, pa.scalar(since, finished_at.type))
    )
    order = [("finished_at", "ascending"), ("workspace", "ascending"), ("run_id", "ascending")]
    return [
        FinishedSync(
            row["workspace"],
            row["run_id"],
            Window.inclusive(row["first_day"], row["last_day"]),
            row["finished_at"].astimezone(UTC),
            None if row["tables"] is None else tuple(row["tables"]),
        )
        for row in rows.sort_by(order).to_pylist()
    ]


def synced_days(lake: Lake, workspace: Workspace, sync: FinishedSync) -> list[SyncedDay]:
    """The days of the sync's window, and other days that it wrote, as the ledger has them now.

    Properties and search types that are no longer configured are left out. A day that is failed or being
    written in the ledger counts as failed. Of the others, a day that the sync wrote counts as read or empty,
    any other day as unchanged. Raises LakeError.
    """
    refused = {
        (failure.site_url, failure.search_type)
        for failure in read_standing(lake, workspace.id)
        if failure.is_refusal
    }
    days = []
    for key, records in all_records(read_rows(lake, workspace.id)).items():
        if not is_configured(workspace, *key):
            continue
        for record in records:
            is_written = record.run_id == sync.run_id
            if not is_written and record.data_date not in sync.window:
                continue
            result = DayResult.READ if is_written else DayResult.UNCHANGED
            if record.status in (Status.FAILED, Status.WRITING):
                result = DayResult.FAILED
            elif is_written and record.status is Status.EMPTY:
                result = DayResult.EMPTY
            days.append(SyncedDay(*key, result, record, is_refusal=key in refused))
    return days
