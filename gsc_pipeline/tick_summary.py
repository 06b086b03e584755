"""The asset `auto_sync`: each tick of the schedule as a whole, told when its last run has ended.

Belongs here: noticing that a tick has ended, its event, its check, the runs that follow from it. Does not:
what a summary says (`sync.events`), the book of ticks (`ticks`), who else is told (`wiring.after_tick`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from gsc_pipeline.assets.specs import about, table_metadata
from gsc_pipeline.jobs import (
    FORGOTTEN_AFTER,
    IN_FLIGHT,
    INSIGHTS_MINUTES,
    INSIGHTS_WORKSPACE_TAG,
    TICK_TAG,
    WORKSPACE_TAG,
    WORKSPACES_TAG,
    groups,
    shared_run_tags,
    workspaces_of,
)
from gsc_pipeline.partitions import PARTITION_TAG, WORKSPACES
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.events import tick_ended
from gsc_pipeline.telemetry import AutoSyncComplete, AutoSyncFailure, WorkspaceSyncComplete
from gsc_pipeline.ticks import Tick

AUTO_SYNC = dg.AssetSpec(
    "auto_sync",
    group_name="search_console",
    description=about(
        "Each tick of the schedule as a whole: how many workspaces were synced, how many were not and why "
        "(`reasons`, with what to do), how long it took. The check `every_workspace_synced` judges the "
        "newest.",
        made_by="the sensor `gsc_tick_summary`, when the last run of a tick of `gsc_auto_sync` has ended: "
        "there is nothing to materialize. No event means that no tick has ended: is the schedule on?",
    ),
    deps=["searchdata_site_impression", "searchdata_url_impression"],
    kinds={"dagster"},
)

LAUNCHED_WITHIN = timedelta(hours=1)
"""Runs that a tick asked for and that have not appeared by then never will: the daemon died on the way."""

ENDED_BADLY = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def auto_sync_check() -> dg.AssetChecksDefinition:
    """Judges the last tick whose summary was told."""

    @dg.asset_check(
        asset=AUTO_SYNC.key,
        name="every_workspace_synced",
        description="The last tick synced every workspace: a warning if some failed, an error if all did.",
    )
    def every_workspace_synced(pipeline: dg.ResourceParam[Pipeline]) -> dg.AssetCheckResult:
        tick = pipeline.ticks.last_ended()
        if tick is None:
            return dg.AssetCheckResult(passed=True, description="no tick has ended yet")
        outcomes = pipeline.ticks.outcomes(tick)
        ended = tick_ended(tick.name, outcomes, duration_ms=0, missing=_missing(tick, outcomes, {}))
        passed, severity, description = _verdict(ended)
        return dg.AssetCheckResult(
            passed=passed, severity=severity, description=description, metadata=_reasons(ended)
        )

    return every_workspace_synced


def tick_summary_sensor(insights: Any, settings: Settings) -> dg.SensorDefinition:
    """Tells of each tick once, when all its runs have ended: event, check, telemetry, alerts, heartbeat.

    Then the job `insights` is due for each workspace whose data moved.
    """

    @dg.sensor(
        name="gsc_tick_summary",
        job=insights,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sums up each tick of gsc_auto_sync when its last run has ended, and asks for the "
        "insights of the workspaces of which something was read.",
    )
    def gsc_tick_summary(
        context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
    ) -> dg.SensorResult | dg.SkipReason:
        events: list[Any] = []
        requests: list[dg.RunRequest] = []
        for tick in pipeline.ticks.unended():
            now = pipeline.clock()
            if not _is_over(context.instance, tick, now):
                continue
            outcomes = pipeline.ticks.outcomes(tick)
            missing = _missing(tick, outcomes, _ended_badly(context.instance, tick))
            duration_ms = round((now - tick.begun_at).total_seconds() * 1000)
            ended = tick_ended(tick.name, outcomes, duration_ms=duration_ms, missing=missing)
            if pipeline.ticks.end(tick, now):
                pipeline.after_tick(ended)
                events += _events(ended)
                requests += _insights_due(context.instance, tick, outcomes, settings.workspaces_per_run)
        if not events:
            return dg.SkipReason("no tick has ended")
        return dg.SensorResult(asset_events=events, run_requests=requests)

    return gsc_tick_summary


def _insights_due(
    instance: dg.DagsterInstance, tick: Tick, outcomes: Sequence[WorkspaceSyncComplete], per_run: int
) -> list[dg.RunRequest]:
    """Runs for the workspaces of which a day was read, and which have not left the file since."""
    known = set(instance.get_dynamic_partitions(WORKSPACES))
    moved = [
        outcome.workspace for outcome in outcomes if outcome.days_read > 0 and outcome.workspace in known
    ]
    return [
        dg.RunRequest(
            run_key=f"{tick.name}|{group[0]}",
            tags={
                TICK_TAG: tick.name,
                # One of them as the run's partition: without any, Dagster fails to look up what an
                # insight is made of. In a tag, it need not look the key up; one that is gone by then would
                # fail the sensor, and with it all that it has to tell.
                PARTITION_TAG: group[0],
                **shared_run_tags(group, minutes=INSIGHTS_MINUTES, tag=INSIGHTS_WORKSPACE_TAG),
            },
        )
        for group in groups(moved, per_run)
    ]


def _is_over(instance: dg.DagsterInstance, tick: Tick, now: datetime) -> bool:
    # With an age limit: a process that vanished leaves a run that is never said to end.
    recent = now - FORGOTTEN_AFTER
    if _syncs(instance, tick, statuses=IN_FLIGHT, created_after=recent):
        return False
    if any(_is_to_be_repeated(run.tags) for run in _bad_runs(instance, tick)):
        return False
    # A run that was made twice, or repeated, stands for itself only.
    launched = {run.tags[WORKSPACES_TAG] for run in _syncs(instance, tick)}
    return len(launched) >= tick.runs or now - tick.begun_at > LAUNCHED_WITHIN


def _syncs(instance: dg.DagsterInstance, tick: Tick, **filters: Any) -> list[dg.DagsterRun]:
    """The tick's runs of `gsc_sync`; those of another schedule that was due at the same moment are not."""
    runs = instance.get_runs(dg.RunsFilter(tags={TICK_TAG: tick.name}, **filters))
    return [run for run in runs if WORKSPACE_TAG in run.tags]


def _is_to_be_repeated(tags: Mapping[str, str]) -> bool:
    """Whether the daemon is about to start a crashed run again."""
    return tags.get("dagster/will_retry") == "true" and "dagster/auto_retry_run_id" not in tags


def _bad_runs(instance: dg.DagsterInstance, tick: Tick) -> Sequence[dg.DagsterRun]:
    return _syncs(instance, tick, statuses=ENDED_BADLY)


def _ended_badly(instance: dg.DagsterInstance, tick: Tick) -> dict[str, str]:
    """How the runs ended that left no word of their workspaces."""
    return {
        workspace: f"its run {run.run_id} ended as {run.status.value}"
        for run in _bad_runs(instance, tick)
        for workspace in workspaces_of(run.tags)
    }


def _missing(
    tick: Tick, outcomes: Sequence[WorkspaceSyncComplete], known: Mapping[str, str]
) -> dict[str, str]:
    """The workspaces of which there is no outcome, and why, where that is known."""
    heard_of = {outcome.workspace for outcome in outcomes}
    return {
        workspace: known.get(workspace, "its run left no word")
        for workspace in tick.workspaces
        if workspace not in heard_of
    }


def _events(ended: AutoSyncComplete) -> list[Any]:
    passed, severity, description = _verdict(ended)
    return [
        dg.AssetMaterialization(AUTO_SYNC.key, metadata={**_numbers(ended), **_reasons(ended)}),
        dg.AssetCheckEvaluation(
            asset_key=AUTO_SYNC.key,
            check_name="every_workspace_synced",
            passed=passed,
            severity=severity,
            description=description,
            metadata=_reasons(ended),
        ),
    ]


def _verdict(ended: AutoSyncComplete) -> tuple[bool, dg.AssetCheckSeverity, str]:
    severity = (
        dg.AssetCheckSeverity.ERROR if isinstance(ended, AutoSyncFailure) else dg.AssetCheckSeverity.WARN
    )
    return not ended.failures, severity, f"{ended.successes} of {ended.total_workspaces} workspaces synced"


def _numbers(ended: AutoSyncComplete) -> dict[str, Any]:
    return {"tick": dg.MetadataValue.text(ended.tick), **ended.measurements}


def _reasons(ended: AutoSyncComplete) -> dict[str, Any]:
    return {"reasons": table_metadata(("workspace", "reason"), sorted(ended.reasons.items()))}
