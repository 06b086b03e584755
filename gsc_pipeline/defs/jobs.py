"""The jobs, and the tags of their runs."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from gsc_pipeline.days import Window
from gsc_pipeline.defs.checks import no_partial_failures_spec
from gsc_pipeline.defs.events import ASSETS
from gsc_pipeline.defs.keys import CLIENT_REPORT, PLAIN, PORTAL, AssetKeys
from gsc_pipeline.defs.partitions import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG, WORKSPACES
from gsc_pipeline.lake.schemas import INSIGHTS
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.tables.more import MORE_TABLES

SYNC_JOB = "gsc_sync"
MORE_JOB = "gsc_more"
INSIGHTS_JOB = "gsc_insights"
PORTAL_JOB = "gsc_portal"
CHECKS_JOB = "gsc_checks"
HOUSEKEEPING_JOB = "gsc_housekeeping"

WORKSPACE_TAG = "gsc/workspace"
"""The workspace of a scheduled run of `gsc_sync`, or a name for the workspaces that share the run. Dagster
executes one run per value of this tag at a time."""
MORE_WORKSPACE_TAG = "gsc/workspace-more"
"""The same for a run of `gsc_more`, which does not wait for one of `gsc_sync`."""
INSIGHTS_WORKSPACE_TAG = "gsc/workspace-insights"
"""The same for a run of `gsc_insights`, of which one executes at a time, whatever its value: a tick and
`gsc_more` group workspaces differently, so two groups may hold the same one."""
WORKSPACES_TAG = "gsc/workspaces"
"""The workspaces of a scheduled run, separated by spaces."""
TICK_TAG = "gsc/tick"
"""The time of the tick that requested the run. A run without it was started by a person."""
TRY_TAG = "gsc/try"
"""The number of the later try of a tick's deferred workspaces; runs of the schedule have no such tag."""
QUEUE_TAG = "gsc/queue"
"""`background` for the runs of every job but `gsc_sync`: dagster.yaml limits how many run at a time."""
WINDOW_TAG = "gsc/window"
"""The days of a scheduled run, as `first/last`."""
MAX_RUNTIME_TAG = "dagster/max_runtime"
IN_FLIGHT = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.SUSPENDED,
    dg.DagsterRunStatus.CANCELING,
]
"""Statuses of runs in progress."""
FORGOTTEN_AFTER = timedelta(hours=6)
"""A run in progress that was created longer ago is ignored: its process has probably vanished."""

LONGEST_MINUTES = 350
"""The longest time that a scheduled run may take, shorter than FORGOTTEN_AFTER."""

MORE_MINUTES = 120
"""For each workspace of a run of `gsc_more`: URL inspections are slow, and what they read is kept."""

INSIGHTS_MINUTES = 30
"""For each workspace of a run of `gsc_insights`. Insights and report of a large one take a minute."""

PORTAL_MINUTES = 30
"""The portal of 1,000 workspaces takes less than a minute."""


def background(minutes: int, *, priority: int = 0) -> dict[str, str]:
    """The tags of the runs of a job that leaves slots to syncs, and may take so long."""
    return {
        QUEUE_TAG: "background",
        "dagster/priority": str(priority),
        MAX_RUNTIME_TAG: str(60 * minutes),
    }


def sync_job(settings: Settings, keys: AssetKeys = PLAIN) -> Any:
    """`gsc_sync`: both tables, for a window of days. Its priority is above that of backfills (0).

    The job leaves out the data checks: they cover all workspaces, and each would be a step of every run.
    """
    return dg.define_asset_job(
        SYNC_JOB,
        selection=dg.AssetSelection.assets(*map(keys.of, ASSETS)).without_checks()
        | dg.AssetSelection.checks(no_partial_failures_spec(keys).key),
        tags={"dagster/priority": "1", MAX_RUNTIME_TAG: str(settings.run_minutes * 60)},
        executor_def=dg.in_process_executor,
        description="Syncs `searchdata_site_impression` and `searchdata_url_impression` for the workspaces "
        "in the tag `gsc/workspaces` and the days in `gsc/window`. Green: every day was read or verified; "
        "properties that may not be read are named in the log and by the check `no_partial_failures`. Red: "
        "something failed; the failure's text says what to do.",
    )


def more_job(keys: AssetKeys = PLAIN) -> Any:
    """`gsc_more`: the tables that are partitioned by workspace only."""
    return dg.define_asset_job(
        MORE_JOB,
        selection=dg.AssetSelection.assets(
            *(keys.of(one.table.name) for one in MORE_TABLES)
        ).without_checks(),
        tags=background(MORE_MINUTES),
        executor_def=dg.in_process_executor,
        description="Syncs properties, sitemaps, hours, search appearances and URL inspections for the "
        "workspaces in the tag `gsc/workspaces`, one step per table. Green: every table is up to date. Red: "
        "a step failed, and its text says what to do; the tables of the other steps are up to date.",
    )


def insights_job(keys: AssetKeys = PLAIN) -> Any:
    """`gsc_insights`: the insights and the report, from what the lake holds."""
    return dg.define_asset_job(
        INSIGHTS_JOB,
        selection=dg.AssetSelection.assets(
            *(keys.of(table.name) for table in INSIGHTS), keys.of(CLIENT_REPORT)
        ).without_checks(),
        tags=background(INSIGHTS_MINUTES),
        executor_def=dg.in_process_executor,
        description="Updates the insights and reports of the workspaces in the tag `gsc/workspaces` from the "
        "lake, without calls to Google. Insights whose data has not changed are not updated. Green: all "
        "are up to date. Red: an update failed; the failure's text says what to do.",
    )


def portal_job(keys: AssetKeys = PLAIN) -> Any:
    """`gsc_portal`: the page of all workspaces."""
    return dg.define_asset_job(
        PORTAL_JOB,
        selection=dg.AssetSelection.assets(keys.of(PORTAL)).without_checks(),
        tags=background(PORTAL_MINUTES),
        executor_def=dg.in_process_executor,
        description="Writes the portal, `index.html`, from the lake, without calls to Google. Green: it is "
        "written. Red: it could not be written; the failure's text says what to do.",
    )


def checks_job(checks: Sequence[dg.AssetChecksDefinition]) -> Any:
    """`gsc_checks`: every data check, over all workspaces."""
    return dg.define_asset_job(
        CHECKS_JOB,
        selection=dg.AssetSelection.checks(*checks),
        tags={QUEUE_TAG: "background"},
        executor_def=dg.in_process_executor,
        description="Runs the data checks over the lake's rows of all active workspaces, and `up_to_date` on "
        "every asset. Green: the checks ran; each asset's *Checks* page shows their results. Red: a check "
        "could not run.",
    )


def workspaces_of(tags: Mapping[str, str], registered: Sequence[str] = ()) -> set[str]:
    """The workspaces of a run with these tags, whether a schedule or a person started it.

    `registered` are the workspaces in the order of their registration, in which Dagster counts those of a
    range. Both ends and what lies between them belong to it, whatever their order.
    """
    if WORKSPACES_TAG in tags:
        return set(tags[WORKSPACES_TAG].split())
    # Keys are `day|workspace`, or the workspace alone.
    keys = (tags[key] for key in (PARTITION_TAG, RANGE_START_TAG, RANGE_END_TAG) if key in tags)
    named = {key.rpartition("|")[2] for key in keys}
    places = sorted(registered.index(workspace) for workspace in named & set(registered))
    return named | set(registered[places[0] : places[-1] + 1] if places else ())


LATE = timedelta(minutes=2)
"""The end of a run may be stored this much later than the time that it names: machines' clocks differ."""

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def ended_runs(instance: dg.DagsterInstance, job: str, since: datetime) -> Sequence[dg.RunRecord]:
    """The runs of the job that have ended since a moment, and those of LATE before it."""
    return instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_ENDED, updated_after=since - LATE))


def workspaces_in_progress(
    instance: dg.DagsterInstance, job: str | None = None, since: datetime | None = None, but_tick: str = ""
) -> set[str]:
    """The workspaces of the runs in progress, by one query for all.

    With `job`, only of its runs; with `since`, only of runs created later. Leaves out those of `but_tick`.
    """
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=IN_FLIGHT, created_after=since))
    others = [run for run in runs if not but_tick or run.tags.get(TICK_TAG) != but_tick]
    registered = instance.get_dynamic_partitions(WORKSPACES) if others else []
    return {workspace for run in others for workspace in workspaces_of(run.tags, registered)}


def shared_run_tags(workspaces: Sequence[str], *, minutes: int, tag: str = WORKSPACE_TAG) -> dict[str, str]:
    """The tags of a scheduled run for one workspace, or for several workspaces that share the run.

    Without partitions: Dagster would write an event for each of them beforehand, which takes longer than a
    sync in which nothing changed. The run may take `minutes` for each workspace, LONGEST_MINUTES at most.
    Dagster starts one run at a time for each value of `tag`.

    Assets that are partitioned by workspace depend on others, which Dagster cannot look up in a run without a
    partition: their runs name the first one. A `partition_key` would be looked up itself, and one that was
    removed meanwhile would fail the sensor.
    """
    first, *others = workspaces
    return {
        **({} if tag == WORKSPACE_TAG else {PARTITION_TAG: first}),
        tag: f"{first}+{len(others)}" if others else first,
        WORKSPACES_TAG: " ".join(workspaces),
        MAX_RUNTIME_TAG: str(60 * min(minutes * len(workspaces), LONGEST_MINUTES)),
    }


def insights_run_tags(workspaces: Sequence[str]) -> dict[str, str]:
    """The tags of a run of `gsc_insights` that a sensor requests."""
    return shared_run_tags(workspaces, minutes=INSIGHTS_MINUTES, tag=INSIGHTS_WORKSPACE_TAG)


def run_tags(workspaces: Sequence[str], window: Window, minutes: int = 10) -> dict[str, str]:
    """The tags of a scheduled run of `gsc_sync` over a window of days."""
    return {
        **shared_run_tags(workspaces, minutes=minutes),
        WINDOW_TAG: f"{window.start}/{window.last}",
    }


def groups(workspaces: Sequence[str], size: int) -> list[Sequence[str]]:
    """The workspaces in groups of at most `size`. The workspaces of a group share a run."""
    return [workspaces[first : first + size] for first in range(0, len(workspaces), size)]
