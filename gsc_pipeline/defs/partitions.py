"""The partitions, one per workspace and day: keys, ranges, and which workspaces are registered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import dagster as dg
from typing_extensions import override

from gsc_pipeline.days import ONE_DAY, PACIFIC, Window

WORKSPACES = "gsc_workspaces"
"""The prefix avoids collisions: names of dynamic partitions are global to a Dagster instance."""

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

ListedIds = Callable[[], Collection[str]]


class ListedWorkspaces(dg.DynamicPartitionsDefinition):
    """The workspaces as a partition dimension. A workspace is a key as soon as the workspaces file lists it.

    The schedules and the sensor register workspaces with the Dagster instance, and each run its own. A key
    that is not registered yet is looked up in the file, so the command line works on a new instance. There
    the order of the keys, which ranges follow, is that of the file.
    """

    _listed_ids: ListedIds

    def __new__(cls, listed_ids: ListedIds) -> ListedWorkspaces:
        """`listed_ids` returns the ids that the workspaces file lists when it is called."""
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
        is_registered = super().has_partition_key(partition_key, current_time, dynamic_partitions_store)
        return is_registered or partition_key in self._listed_ids()

    @override
    def get_partition_keys(self, *given: Any, **options: Any) -> Sequence[str]:
        registered = super().get_partition_keys(*given, **options)
        return [*registered, *(id_ for id_ in self._listed_ids() if id_ not in registered)]


def partitions_definition(start: date, listed_ids: ListedIds) -> dg.MultiPartitionsDefinition:
    """Workspace × day. A day becomes a partition when it ends in Pacific time."""
    days = dg.DailyPartitionsDefinition(start_date=start.isoformat(), timezone=PACIFIC.key)
    return dg.MultiPartitionsDefinition({"date": days, "workspace": ListedWorkspaces(listed_ids)})


def partition_key(day: date, workspace: str) -> str:
    """The key of one workspace's day: `2026-11-20|acme`. Dagster sorts the dimensions by their names."""
    return f"{day}|{workspace}"


def windows_by_workspace(keys: Iterable[str]) -> dict[str, list[Window]]:
    """The keys as windows of consecutive days, by workspace."""
    days: dict[str, list[date]] = {}
    for key in keys:
        day, _, workspace = key.partition("|")
        days.setdefault(workspace, []).append(date.fromisoformat(day))
    return {workspace: _windows(sorted(set(its_days))) for workspace, its_days in days.items()}


def register(instance: dg.DagsterInstance, workspaces: Collection[str]) -> None:
    """Register the workspaces as partitions of the instance. If all are registered, this takes one query."""
    if missing := registration_gap(instance, workspaces)["add"]:
        instance.add_dynamic_partitions(WORKSPACES, missing)


def registration_gap(instance: dg.DagsterInstance, listed: Collection[str]) -> Mapping[str, list[str]]:
    """The listed workspaces that are not registered (`add`), and registered ones not listed (`remove`)."""
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
