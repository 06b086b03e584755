"""The sensors that register workspaces as partitions, and report syncs that were not Dagster runs."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta

import dagster as dg
import msgspec
from msgspec.structs import replace

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.auto_sync import tick_summary_sensor
from gsc_pipeline.defs.checks import as_evaluation, no_partial_failures
from gsc_pipeline.defs.deferred import deferred_sensor
from gsc_pipeline.defs.events import ASSETS, DayEvent, day_events, unrecorded, worth_recording
from gsc_pipeline.defs.insights_after_more import insights_after_more_sensor
from gsc_pipeline.defs.jobs import workspaces_in_progress
from gsc_pipeline.defs.keys import PLAIN, AssetKeys
from gsc_pipeline.defs.partitions import WORKSPACES, registration_gap
from gsc_pipeline.defs.portal_after_runs import portal_after_runs_sensor
from gsc_pipeline.defs.resources import LakeTables, WorkspacesFile
from gsc_pipeline.defs.startup import listed
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.history import FinishedSync, finished_syncs, synced_days
from gsc_pipeline.workspaces.registry import Workspace, credential_problems

FIRST_LOOK_BACK = timedelta(days=14)
"""How far back the first evaluation looks for syncs."""

LATE = timedelta(minutes=15)
"""How long after the end of a sync its row in `sync_runs` may appear: the clocks of machines differ, and
commits are retried."""

EVENTS_PER_EVALUATION = 400
"""The most events that one evaluation reports: two of each day, or one of each table of `gsc sync --more`. An
event takes about 20 ms, so more are reported over several evaluations."""


def all_sensors(settings: Settings, keys: AssetKeys = PLAIN) -> list[dg.SensorDefinition]:
    """Every sensor. They start switched on."""
    return [
        workspaces_sensor(),
        report_syncs_sensor(settings.start_date, keys=keys),
        deferred_sensor(settings),
        tick_summary_sensor(settings, keys),
        insights_after_more_sensor(),
        portal_after_runs_sensor(),
    ]


def workspaces_sensor() -> dg.SensorDefinition:
    """Registers the workspaces that the file lists, and removes the others when no run needs them.

    The rows of a removed workspace stay in the lake.
    """

    @dg.sensor(
        name="gsc_workspaces_in_step",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes the workspaces of the workspaces file partitions. A new workspace appears within "
        "half a minute. One that was removed from the file disappears when no run needs it; its rows stay in "
        "the lake. A file that cannot be used is this sensor's error; its skip reason names credentials that "
        "are missing or are not keys.",
    )
    def gsc_workspaces_in_step(
        context: dg.SensorEvaluationContext, workspaces: WorkspacesFile
    ) -> dg.SensorResult | dg.SkipReason:
        every = workspaces.load()
        gap = registration_gap(context.instance, [workspace.id for workspace in every])
        needed = workspaces_in_progress(context.instance) if gap["remove"] else set()
        unused = [workspace for workspace in gap["remove"] if workspace not in needed]
        if not gap["add"] and not unused:
            unusable = credential_problems(every)
            also = f". Syncs will fail for: {listed(unusable, '; ')}" if unusable else ""
            return dg.SkipReason(f"the partitions are those of the workspaces file{also}")
        requests = dg.DynamicPartitionsDefinition(name=WORKSPACES)
        return dg.SensorResult(
            dynamic_partitions_requests=[
                *([requests.build_add_request(gap["add"])] if gap["add"] else []),
                *([requests.build_delete_request(unused)] if unused else []),
            ]
        )

    return gsc_workspaces_in_step


class Cursor(msgspec.Struct, frozen=True):
    """The syncs that `gsc_report_syncs` has reported.

    `keys` are the reported syncs that finished after `until`, or less than LATE before it. Syncs that
    finished earlier are not read again. `partial` is a sync of which only the days before `next_day` are
    reported. `version` is the version of `sync_runs` at which nothing was left to report. `is_first` is true
    until the first such version. During that time only days without an event in the instance are reported.
    """

    until: datetime
    keys: tuple[str, ...] = ()
    partial: str = ""
    next_day: date = date.min
    version: int | None = None
    is_first: bool = False


def report_syncs_sensor(
    first_partition: date, events_per_evaluation: int = EVENTS_PER_EVALUATION, keys: AssetKeys = PLAIN
) -> dg.SensorDefinition:
    """Reports syncs that were not runs of this instance: what they brought up to date, and what fails.

    The sensor reads the syncs from the lake's table `sync_runs`, so they may run on any machine. Dagster
    stores the cursor after the events, so an interrupted evaluation is repeated. A day that is reported twice
    does no harm. `events_per_evaluation` is at least the number of tables of `gsc sync --more`.
    """

    @dg.sensor(
        name="gsc_report_syncs",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports what was synced into the lake outside this instance's runs, by `gsc sync` on "
        "any machine: a materialization of each day, of each table of `gsc sync --more`, and the check "
        "`no_partial_failures`.",
    )
    def gsc_report_syncs(
        context: dg.SensorEvaluationContext,
        workspaces: WorkspacesFile,
        lake: LakeTables,
        clock: dg.ResourceParam[Clock],
    ) -> dg.SensorResult | dg.SkipReason:
        tables, cursor = lake.open(), _cursor(context.cursor, clock())
        version = tables.version_of(SYNC_RUNS)
        if version == cursor.version:
            return dg.SkipReason("no sync has finished since the last evaluation")
        listed = {workspace.id: workspace for workspace in workspaces.load()}
        found = finished_syncs(tables, cursor.until - LATE)
        unknown = [sync for sync in found if sync.key not in cursor.keys and sync.workspace in listed]
        outside = _outside_runs(context.instance, unknown)
        days: list[DayEvent] = []
        more: list[FinishedSync] = []
        room = events_per_evaluation
        for sync in outside:
            if sync.tables is not None:
                if len(sync.tables) > room:
                    break
                more.append(sync)
                room -= len(sync.tables)
            else:
                due = _due(context.instance, tables, listed[sync.workspace], sync, cursor, keys)
                due = [day for day in due if day.day >= first_partition]
                fit = room // len(ASSETS)
                days += due[:fit]
                room -= len(due[:fit]) * len(ASSETS)
                if len(due) > fit:
                    cursor = replace(cursor, partial=sync.key, next_day=due[fit].day)
                    break
            cursor = replace(cursor, keys=(*cursor.keys, sync.key))
        else:
            cursor = _caught_up(cursor, found, version)
        context.update_cursor(msgspec.json.encode(cursor).decode())
        if not outside:
            return dg.SkipReason("every sync since the last evaluation was a run of this instance")
        failing = no_partial_failures(tables, list(listed.values()), keys)
        return dg.SensorResult(
            asset_events=[
                *(event for day in days for event in day.materializations(keys)),
                *(event for sync in more for event in _of_tables(sync, keys)),
                as_evaluation(failing),
            ],
            dynamic_partitions_requests=_registrations(
                context.instance, {*(day.workspace for day in days), *(sync.workspace for sync in more)}
            ),
        )

    return gsc_report_syncs


def _cursor(text: str | None, now: datetime) -> Cursor:
    if text:
        return msgspec.json.decode(text, type=Cursor)
    return Cursor(now - FIRST_LOOK_BACK, is_first=True)


def _outside_runs(instance: dg.DagsterInstance, syncs: Sequence[FinishedSync]) -> list[FinishedSync]:
    ids = list({sync.run_id for sync in syncs})
    runs = {run.run_id for run in instance.get_runs(dg.RunsFilter(run_ids=ids))} if ids else set()
    return [sync for sync in syncs if sync.run_id not in runs]


def _due(
    instance: dg.DagsterInstance,
    lake: Lake,
    workspace: Workspace,
    sync: FinishedSync,
    cursor: Cursor,
    keys: AssetKeys,
) -> list[DayEvent]:
    """The good days of a sync that are still to be reported, in order."""
    days = day_events(workspace.id, synced_days(lake, workspace, sync))
    first = cursor.next_day if sync.key == cursor.partial else date.min
    days = [day for day in days if day.is_good and day.day >= first]
    find = unrecorded if cursor.is_first else worth_recording
    return find(instance, days, keys)


def _of_tables(sync: FinishedSync, keys: AssetKeys) -> list[dg.AssetMaterialization]:
    """A materialization of each table that a sync of the other tables brought up to date."""
    return [
        dg.AssetMaterialization(keys.of(table), partition=sync.workspace, metadata={"run_id": sync.run_id})
        for table in sync.tables or ()
    ]


def _caught_up(cursor: Cursor, found: Sequence[FinishedSync], version: int | None) -> Cursor:
    until = max([cursor.until, *(sync.finished_at for sync in found)])
    known = {*cursor.keys}
    keys = (sync.key for sync in found if sync.key in known and sync.finished_at >= until - LATE)
    return Cursor(until, tuple(keys), version=version)


def _registrations(
    instance: dg.DagsterInstance, workspaces: Collection[str]
) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    missing = registration_gap(instance, sorted(workspaces))["add"]
    return [dg.DynamicPartitionsDefinition(name=WORKSPACES).build_add_request(missing)] if missing else []
