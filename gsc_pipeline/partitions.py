"""The partitions: one per workspace and day, and the tags that ask for a range of them in one run.

Belongs here: keys, ranges, and keeping Dagster's list of workspaces in step with the workspaces file.
Does not: which days exist in Search Console (`sync.decide`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime

import dagster as dg
from typing_extensions import override

from gsc_pipeline.dagster_private import instance_in_scope
from gsc_pipeline.days import ONE_DAY, PACIFIC, Window

WORKSPACES = "gsc_workspaces"
"""Names of dynamic partitions are global to a Dagster instance, hence the prefix."""

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

ListedIds = Callable[[], Collection[str]]


class ListedWorkspaces(dg.DynamicPartitionsDefinition):
    """The workspaces as a partition dimension: a workspace is one as soon as the file lists it.

    Dagster learns of new workspaces from the sensor and the schedule. A key named on the command line of
    an instance where neither has run yet is looked up in the file, and registered.
    """

    _listed_ids: ListedIds

    def __new__(cls, listed_ids: ListedIds) -> ListedWorkspaces:
        """`listed_ids` answers the ids that the workspaces file lists at the time it is called."""
        self: ListedWorkspaces = super().__new__(cls, name=WORKSPACES)
        self._listed_ids = listed_ids
        return self

    @override
    def has_partition_key(
        self,
        partition_key: str,
        current_time: datetime | None = None,
        dynamic_partitions_store: dg.DagsterInstance | None = None,  # type: ignore[override]
    ) -> bool:
        if super().has_partition_key(partition_key, current_time, dynamic_partitions_store):
            return True
        instance = instance_in_scope()
        if instance is None or partition_key not in self._listed_ids():
            return False
        instance.add_dynamic_partitions(WORKSPACES, [partition_key])
        return True


def partitions_definition(start: date, listed_ids: ListedIds) -> dg.MultiPartitionsDefinition:
    """Workspace × day. A day becomes a partition when it is over in California."""
    days = dg.DailyPartitionsDefinition(start_date=start.isoformat(), timezone=PACIFIC.key)
    return dg.MultiPartitionsDefinition({"date": days, "workspace": ListedWorkspaces(listed_ids)})


def partition_key(day: date, workspace: str) -> str:
    """The key of one workspace's day: `2026-11-20|acme`. Dagster sorts the dimensions by their names."""
    return f"{day}|{workspace}"


def windows_by_workspace(keys: Iterable[str]) -> dict[str, list[Window]]:
    """The unbroken windows that the keys make up, by workspace."""
    days: dict[str, list[date]] = {}
    for key in keys:
        day, _, workspace = key.partition("|")
        days.setdefault(workspace, []).append(date.fromisoformat(day))
    return {workspace: _windows(sorted(set(its_days))) for workspace, its_days in days.items()}


def registration_gap(instance: dg.DagsterInstance, listed: Collection[str]) -> Mapping[str, list[str]]:
    """What Dagster's list lacks of the workspaces file (`add`), and what only Dagster has (`remove`)."""
    registered = instance.get_dynamic_partitions(WORKSPACES)
    return {
        "add": [workspace for workspace in listed if workspace not in registered],
        "remove": [workspace for workspace in registered if workspace not in listed],
    }


def _windows(days: list[date]) -> list[Window]:
    windows: list[Window] = []
    for day in days:
        if windows and windows[-1].end == day:
            windows[-1] = Window(windows[-1].start, day + ONE_DAY)
        else:
            windows.append(Window(day, day + ONE_DAY))
    return windows
