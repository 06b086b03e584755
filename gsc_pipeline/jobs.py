"""The jobs that run on schedule, and the tags their runs carry."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from gsc_pipeline.checks import NO_PARTIAL_FAILURES
from gsc_pipeline.days import Window
from gsc_pipeline.events import ASSETS
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.partitions import PARTITION_TAG, RANGE_START_TAG
from gsc_pipeline.settings import Settings

WORKSPACE_TAG = "gsc/workspace"
"""The workspace of a scheduled run, or a name for those that share it: one run of each at a time."""
MORE_WORKSPACE_TAG = "gsc/workspace-more"
"""The same of a run of `gsc_more`, which need not wait for one of `gsc_sync`."""
WORKSPACES_TAG = "gsc/workspaces"
"""The workspaces of a scheduled run, with spaces between."""
INSIGHTS_WORKSPACE_TAG = "gsc/workspace-insights"
"""The same of a run of `gsc_insights`, which need not wait for either."""
TICK_TAG = "gsc/tick"
"""Present on runs of the schedules: the tick's time. A run without it was started by a person."""
WINDOW_TAG = "gsc/window"
"""The days of a scheduled run, as `first/last`."""
MAX_RUNTIME_TAG = "dagster/max_runtime"
IN_FLIGHT = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Statuses of runs that have not ended."""
FORGOTTEN_AFTER = timedelta(hours=6)
"""A run that began longer ago holds no workspace back, whatever Dagster believes: a process that vanished
leaves a run that is never said to end."""

LONGEST_MINUTES = 350
"""The longest that a scheduled run may take: shorter than what makes it forgotten."""

MORE_MINUTES = 120
"""For a workspace of `gsc_more`: URL inspections are slow, and what they read stays read."""
MORE_RUN_TAGS = {"dagster/priority": "0", MAX_RUNTIME_TAG: str(60 * MORE_MINUTES)}
"""Beside backfills."""

INSIGHTS_MINUTES = 30
"""For a workspace of `gsc_insights`. Insights and report of a large one take a minute."""
INSIGHTS_RUN_TAGS = {"dagster/priority": "0", MAX_RUNTIME_TAG: str(60 * INSIGHTS_MINUTES)}
"""Beside backfills."""


def sync_job(settings: Settings) -> Any:
    """`gsc_sync`: both tables, for a range of days. Ahead of backfills (priority 0).

    Without the data checks: they judge all workspaces, and each would be a step of every run.
    """
    return dg.define_asset_job(
        "gsc_sync",
        selection=dg.AssetSelection.assets(*ASSETS).without_checks()
        | dg.AssetSelection.checks(NO_PARTIAL_FAILURES.key),
        tags={"dagster/priority": "1", MAX_RUNTIME_TAG: str(settings.run_minutes * 60)},
        description="Brings `searchdata_site_impression` and `searchdata_url_impression` up to date for a "
        "window of days of the run's workspaces, and judges what fails. The tag `gsc/workspaces` names them, "
        "`gsc/window` the days. Green: all was read or verified, save properties that may not be read, which "
        "the log and the check `no_partial_failures` name. Red: the failure's text says what to do.",
    )


def more_job(tables: Iterable[TableSpec]) -> Any:
    """`gsc_more`: the tables that are kept by workspace alone, for the workspaces of a run."""
    return dg.define_asset_job(
        "gsc_more",
        selection=dg.AssetSelection.assets(*(table.name for table in tables)).without_checks(),
        tags=MORE_RUN_TAGS,
        description="Brings the tables beside the two main ones up to date for the run's workspaces: "
        "properties, sitemaps, hours, search appearances, URL inspections. A step each; a red one says what "
        "to do, and the others go on.",
    )


def insights_job(tables: Iterable[TableSpec], report: str) -> Any:
    """`gsc_insights`: what follows from the tables, after the data of a run's workspaces has moved."""
    return dg.define_asset_job(
        "gsc_insights",
        selection=dg.AssetSelection.assets(*(table.name for table in tables), report).without_checks(),
        tags=INSIGHTS_RUN_TAGS,
        description="Makes the insights and the reports of the run's workspaces from what the lake holds. "
        "Asks Google nothing. What has not moved is left as it is.",
    )


def checks_job(checks: Sequence[dg.AssetChecksDefinition]) -> Any:
    """`gsc_checks`: every data check, over all workspaces."""
    return dg.define_asset_job(
        "gsc_checks",
        selection=dg.AssetSelection.checks(*checks),
        description="Judges the lake's rows of all active workspaces by the data checks, and says on each "
        "asset's page when it was last true for each workspace (`up_to_date`). Green even where checks warn: "
        "see them.",
    )


def workspaces_of(tags: Mapping[str, str]) -> set[str]:
    """The workspaces that a run with these tags is about, however it was started."""
    if WORKSPACES_TAG in tags:
        return set(tags[WORKSPACES_TAG].split())
    # A range names the same workspace at both ends; keys are `day|workspace`, or the workspace alone.
    named = (tags[key] for key in (PARTITION_TAG, RANGE_START_TAG) if key in tags)
    return {name.rpartition("|")[2] for name in named}


def shared_run_tags(workspaces: Sequence[str], *, minutes: int, tag: str = WORKSPACE_TAG) -> dict[str, str]:
    """The tags of a scheduled run that is about one workspace, or several that share it.

    It has no partitions: Dagster would write an event for each of them beforehand, which takes longer than
    a sync in which nothing moved. The run may take `minutes` for each workspace, and less than what makes
    it forgotten; `tag` is the one by which Dagster starts one run at a time.
    """
    first, *others = workspaces
    return {
        tag: f"{first}+{len(others)}" if others else first,
        WORKSPACES_TAG: " ".join(workspaces),
        MAX_RUNTIME_TAG: str(60 * min(minutes * len(workspaces), LONGEST_MINUTES)),
    }


def run_tags(workspaces: Sequence[str], window: Window, minutes: int = 10) -> dict[str, str]:
    """The tags of a scheduled run of `gsc_sync` over the window of its workspaces."""
    return {
        **shared_run_tags(workspaces, minutes=minutes),
        WINDOW_TAG: f"{window.start}/{window.last}",
    }


def groups(workspaces: Sequence[str], size: int) -> list[Sequence[str]]:
    """The workspaces in the groups of at most `size` that share a run."""
    return [workspaces[first : first + size] for first in range(0, len(workspaces), size)]
