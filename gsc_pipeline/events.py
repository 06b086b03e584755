"""A sync's report as Dagster events: one materialization per good day and asset.

Belongs here: which partitions a report makes good, and the numbers each carries. Used by the asset inside
a run, and by `gsc sync` to tell an instance about a sync that was no run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg

from gsc_pipeline.checks import no_partial_failures
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION
from gsc_pipeline.partitions import WORKSPACES, partition_key
from gsc_pipeline.sync.ledger import Status
from gsc_pipeline.sync.report import DayOutcome, Outcome, SyncReport
from gsc_pipeline.workspaces import Workspace

ASSETS = (SITE_IMPRESSION.name, URL_IMPRESSION.name)


@dataclass(frozen=True, slots=True)
class DayEvent:
    """One workspace's day over all its properties and search types."""

    workspace: str
    day: date
    parts: tuple[DayOutcome, ...]

    @property
    def key(self) -> str:
        """The partition's key."""
        return partition_key(self.day, self.workspace)

    @property
    def has_moved(self) -> bool:
        """Whether the lake's rows of the day were written."""
        return any(part.outcome in (Outcome.READ, Outcome.EMPTY) for part in self.parts)

    @property
    def status(self) -> str:
        """The least sure of the statuses of the parts that were read; failed only where none was."""
        order = (Status.PROVISIONAL, Status.FINAL, Status.EMPTY, Status.FAILED)
        return min((part.status for part in self.parts), key=order.index).value

    @property
    def not_read(self) -> str:
        """The properties and search types that failed, each with its cause."""
        failed = [part for part in self.parts if part.outcome is Outcome.FAILED]
        return "; ".join(f"{part.site_url} ({part.search_type}): {part.reason}" for part in failed)

    def materializations(self) -> list[dg.AssetMaterialization]:
        """One event for each asset, with the day's numbers."""
        totals = [part.totals for part in self.parts]
        shared: dict[str, int | float | str | bool] = {
            "clicks": sum(total.clicks for total in totals),
            "impressions": sum(total.impressions for total in totals),
            "calls": sum(part.api_calls for part in self.parts),
            "seconds": round(sum(part.seconds for part in self.parts), 3),
            "status": self.status,
            "truncated": any(part.truncated for part in self.parts),
            **({"not_read": self.not_read} if self.not_read else {}),
        }
        rows = {
            SITE_IMPRESSION.name: sum(part.site_rows for part in self.parts),
            URL_IMPRESSION.name: sum(part.url_rows for part in self.parts),
        }
        return [
            dg.AssetMaterialization(
                asset, partition=self.key, metadata={"dagster/partition_row_count": count, **shared}
            )
            for asset, count in rows.items()
        ]


def good_days(report: SyncReport) -> list[DayEvent]:
    """The report's days of which something is known and nothing failed for a passing reason, in order.

    A day that one property may not read is good for the others; the check names that property.
    """
    return [day for day, is_good in _judged(report) if is_good]


def failed_days(report: SyncReport) -> list[DayEvent]:
    """The report's other days, in order: they wait to be read again."""
    return [day for day, is_good in _judged(report) if not is_good]


def _judged(report: SyncReport) -> list[tuple[DayEvent, bool]]:
    days: dict[date, list[DayOutcome]] = {}
    for outcome in report.days:
        days.setdefault(outcome.day, []).append(outcome)
    unfinished = {day for problem in report.problems if problem.transient for day in problem.days}
    return [
        (
            DayEvent(report.workspace, day, tuple(parts)),
            day not in unfinished and any(part.outcome is not Outcome.FAILED for part in parts),
        )
        for day, parts in sorted(days.items())
    ]


def worth_recording(instance: dg.DagsterInstance, days: Sequence[DayEvent]) -> list[DayEvent]:
    """The days that moved, and those the instance has no event of: an idle sync costs no event."""
    known = instance.get_latest_storage_id_by_partition(
        dg.AssetKey(SITE_IMPRESSION.name),
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        partitions={day.key for day in days},
    )
    return [day for day in days if day.has_moved or day.key not in known]


def report_to_instance(
    instance: dg.DagsterInstance,
    reports: Iterable[SyncReport],
    lake: Lake,
    *,
    listed: Sequence[Workspace],
    first_partition: date,
) -> int:
    """Tell an instance about syncs that were no runs: partitions and checks. Returns the days told of."""
    instance.add_dynamic_partitions(WORKSPACES, [workspace.id for workspace in listed])
    days = [day for report in reports for day in good_days(report) if day.day >= first_partition]
    told = worth_recording(instance, days) if days else []
    for day in told:
        for event in day.materializations():
            instance.report_runless_asset_event(event)
    result = no_partial_failures(lake, listed)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(SITE_IMPRESSION.name),
            check_name=str(result.check_name),
            passed=result.passed,
            severity=result.severity,
            description=result.description,
            metadata=result.metadata,
        )
    )
    return len(told)
