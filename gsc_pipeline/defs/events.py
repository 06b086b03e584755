"""Days of a sync as Dagster events: one materialization per good day and asset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg

from gsc_pipeline.defs.keys import PLAIN, AssetKeys
from gsc_pipeline.defs.partitions import partition_key
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION
from gsc_pipeline.sync.ledger import DayTotals, Status
from gsc_pipeline.sync.report import DayResult, SyncedDay

ASSETS = (SITE_IMPRESSION.name, URL_IMPRESSION.name)

UNAVAILABLE = "unavailable"
"""The status of a day that Search Console does not show: before its history, or not there yet."""


@dataclass(frozen=True, slots=True)
class DayEvent:
    """One workspace's day over all its properties and search types."""

    workspace: str
    day: date
    parts: tuple[SyncedDay, ...]

    @property
    def key(self) -> str:
        """The partition's key."""
        return partition_key(self.day, self.workspace)

    @property
    def is_good(self) -> bool:
        """Whether the day is up to date, apart from properties that may not be read."""
        failed = [part for part in self.parts if part.result is DayResult.FAILED]
        return len(failed) < len(self.parts) and all(part.is_refusal for part in failed)

    @property
    def has_changed(self) -> bool:
        """Whether the lake's rows of the day were written."""
        return any(part.result in (DayResult.READ, DayResult.EMPTY) for part in self.parts)

    @property
    def status(self) -> str:
        """The least certain status of the parts that were read; UNAVAILABLE if none was read."""
        known = {part.record.status for part in self.parts if part.result is not DayResult.FAILED}
        order = (Status.PROVISIONAL, Status.FINAL, Status.EMPTY)
        return next((status.value for status in order if status in known), UNAVAILABLE)

    @property
    def not_read(self) -> str:
        """The properties and search types that failed, each with its cause."""
        failed = [part for part in self.parts if part.result is DayResult.FAILED]
        return "; ".join(f"{part.site_url} ({part.search_type}): {part.record.reason}" for part in failed)

    def materializations(self, keys: AssetKeys = PLAIN) -> list[dg.AssetMaterialization]:
        """One event for each asset, with the day's numbers."""
        totals = [part.record.totals or DayTotals() for part in self.parts]
        shared: dict[str, int | float | str | bool] = {
            "clicks": sum(total.clicks for total in totals),
            "impressions": sum(total.impressions for total in totals),
            "calls": sum(part.api_calls for part in self.parts),
            "seconds": round(sum(part.seconds for part in self.parts), 3),
            "status": self.status,
            "truncated": any(part.record.truncated for part in self.parts),
            **({"not_read": self.not_read} if self.not_read else {}),
        }
        rows = {
            SITE_IMPRESSION.name: sum(part.record.site_rows for part in self.parts),
            URL_IMPRESSION.name: sum(part.record.url_rows for part in self.parts),
        }
        return [
            dg.AssetMaterialization(
                keys.of(asset), partition=self.key, metadata={"dagster/partition_row_count": count, **shared}
            )
            for asset, count in rows.items()
        ]


def day_events(workspace: str, days: Iterable[SyncedDay], requested: Iterable[date] = ()) -> list[DayEvent]:
    """The days of all properties and search types of a workspace, joined by day, in order.

    A day in `requested` is there even if no property has it.
    """
    by_day: dict[date, list[SyncedDay]] = {day: [] for day in requested}
    for day in days:
        by_day.setdefault(day.day, []).append(day)
    return [DayEvent(workspace, day, tuple(parts)) for day, parts in sorted(by_day.items())]


def worth_recording(
    instance: dg.DagsterInstance, days: Sequence[DayEvent], keys: AssetKeys = PLAIN
) -> list[DayEvent]:
    """The days that changed, or have no event in the instance. A sync without changes logs no events."""
    without = {day.key for day in unrecorded(instance, days, keys)}
    return [day for day in days if day.has_changed or day.key in without]


def unrecorded(
    instance: dg.DagsterInstance, days: Sequence[DayEvent], keys: AssetKeys = PLAIN
) -> list[DayEvent]:
    """The days without an event in the instance."""
    if not days:
        return []
    known = instance.get_latest_storage_id_by_partition(
        keys.of(SITE_IMPRESSION.name),
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        partitions={day.key for day in days},
    )
    return [day for day in days if day.key not in known]
