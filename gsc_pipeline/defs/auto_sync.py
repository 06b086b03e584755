"""The asset `auto_sync`: one event for each tick of the schedule, when the tick's last run has ended."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.deferred import KEPT_FOR, LAUNCHED_WITHIN, launched, retry_times, sync_runs
from gsc_pipeline.defs.events import ASSETS
from gsc_pipeline.defs.jobs import (
    FORGOTTEN_AFTER,
    IN_FLIGHT,
    INSIGHTS_JOB,
    SYNC_JOB,
    TICK_TAG,
    groups,
    insights_run_tags,
    workspaces_of,
)
from gsc_pipeline.defs.keys import AUTO_SYNC, PLAIN, AssetKeys
from gsc_pipeline.defs.metadata import about, table_metadata
from gsc_pipeline.defs.partitions import WORKSPACES
from gsc_pipeline.defs.resources import Notifications, SharedState, TelemetryLog
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.outcome import tally
from gsc_pipeline.sync.telemetry import AutoSyncComplete, AutoSyncFailure, WorkspaceSyncComplete
from gsc_pipeline.sync.ticks import Tick, TickBook

ENDED_BADLY = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def auto_sync_spec(keys: AssetKeys = PLAIN) -> dg.AssetSpec:
    """The asset, which a sensor reports."""
    return dg.AssetSpec(
        keys.of(AUTO_SYNC),
        group_name="search_console",
        description=about(
            "One event for each tick of the schedule: how many workspaces are complete, partial or failed, "
            "the reasons with what to do, and how long the tick took. The check `every_workspace_synced` "
            "shows whether the newest tick is complete.",
            made_by="the sensor `gsc_tick_summary`, when the last run of a tick of `gsc_auto_sync` has "
            "ended. It cannot be materialized by hand. If it has no event, no tick has ended: is the "
            "schedule on?",
        ),
        deps=[keys.of(name) for name in ASSETS],
        kinds={"dagster"},
    )


def auto_sync_check(keys: AssetKeys = PLAIN) -> dg.AssetChecksDefinition:
    """The check of the newest tick that has ended."""

    @dg.asset_check(
        asset=keys.of(AUTO_SYNC),
        name="every_workspace_synced",
        description="Whether the newest tick is complete. Green: every workspace is. Yellow: some are "
        "partial or failed. Red: all failed. The table lists the reasons. Missing: no tick has ended yet.",
    )
    def every_workspace_synced(state: SharedState) -> dg.AssetCheckResult:
        ticks = state.ticks()
        tick = ticks.last_ended()
        if tick is None:
            return dg.AssetCheckResult(passed=True, description="no tick has ended yet")
        outcomes = ticks.outcomes(tick)
        ended = _summary(tick, outcomes, [])
        passed, severity, description = _verdict(ended)
        return dg.AssetCheckResult(
            passed=passed, severity=severity, description=description, metadata=_reasons(ended)
        )

    return every_workspace_synced


def tick_summary_sensor(settings: Settings, keys: AssetKeys = PLAIN) -> dg.SensorDefinition:
    """Reports each tick when all its runs have ended: event, check, telemetry, alerts, heartbeat.

    Then starts `gsc_insights` for the workspaces whose data has changed. The next evaluation marks the tick
    as reported, so an interrupted one is repeated. Reporting it twice does no harm.
    """

    @dg.sensor(
        name="gsc_tick_summary",
        job_name=INSIGHTS_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records each tick of `gsc_auto_sync` as an event of the asset `auto_sync` when its last "
        "run has ended, sends alerts and the heartbeat, and starts `gsc_insights` for the workspaces whose "
        "data has changed.",
    )
    def gsc_tick_summary(
        context: dg.SensorEvaluationContext,
        state: SharedState,
        telemetry: TelemetryLog,
        notifications: Notifications,
        clock: dg.ResourceParam[Clock],
    ) -> dg.SensorResult | dg.SkipReason:
        now, ticks = clock(), state.ticks()
        # Dagster stores the cursor with the events and the requests of the evaluation that returned them.
        for name in json.loads(context.cursor or "[]"):
            ticks.reported(name)
        unended, unreported = ticks.unended(now - KEPT_FOR), ticks.unreported(now - KEPT_FOR)
        runs = sync_runs(context.instance, [*unended, *unreported])
        for tick in unended:
            if _is_over(tick, ticks, runs[tick.name], now, settings.auto_sync_cron):
                ticks.end(tick, now)
        due = ticks.unreported(now - KEPT_FOR)
        events: list[Any] = []
        requests: list[dg.RunRequest] = []
        for tick in due:
            outcomes = ticks.outcomes(tick)
            ended = _summary(tick, outcomes, [record.dagster_run for record in runs.get(tick.name, ())])
            telemetry.emit_event(ended)
            try:
                notifications.send(ended)
            # Alerts may fail in any way, and `gsc serve` and the next tick evaluate them again.
            except Exception:
                context.log.exception(f"no alert or heartbeat could be sent for the tick {tick.name}")
            events += _events(ended, keys.of(AUTO_SYNC))
            changed = _changed(context.instance, outcomes)
            requests += _insights_requests(ticks, tick, groups(changed, settings.workspaces_per_run))
        context.update_cursor(json.dumps([tick.name for tick in due]))
        if not events:
            return dg.SkipReason("no tick has ended")
        return dg.SensorResult(asset_events=events, run_requests=requests)

    return gsc_tick_summary


def _changed(instance: dg.DagsterInstance, outcomes: Sequence[WorkspaceSyncComplete]) -> list[str]:
    """The workspaces of which a day was read and that are still registered."""
    known = set(instance.get_dynamic_partitions(WORKSPACES))
    return [one.workspace for one in outcomes if one.days_read > 0 and one.workspace in known]


def _insights_requests(ticks: TickBook, tick: Tick, runs: Sequence[Sequence[str]]) -> list[dg.RunRequest]:
    at = tick.ended_at or tick.begun_at
    return [
        dg.RunRequest(
            run_key=f"{tick.name}|{group[0]}",
            tags={TICK_TAG: tick.name, **insights_run_tags(group)},
        )
        for group in ticks.request(INSIGHTS_JOB, tick.name, 0, at, runs)
    ]


def _is_over(tick: Tick, ticks: TickBook, runs: Sequence[dg.RunRecord], now: datetime, cron: str) -> bool:
    """Whether the tick's runs have ended, and no workspace waits to be tried again."""
    requested = ticks.requested(SYNC_JOB, tick.name)
    if any(_may_go_on(record, now) for record in runs):
        return False
    if retry_times(tick, ticks.outcomes(tick), requested, now, cron):
        return False
    count = tick.runs + sum(len(one.runs) for one in requested if one.number > 0)
    last = max((one.at for one in requested), default=tick.begun_at)
    return len(launched(runs)) >= count or now - last > LAUNCHED_WITHIN


def _summary(
    tick: Tick, outcomes: Sequence[WorkspaceSyncComplete], runs: Collection[dg.DagsterRun]
) -> AutoSyncComplete:
    duration = (tick.ended_at or tick.begun_at) - tick.begun_at
    return AutoSyncComplete.of(
        tick.name,
        outcomes,
        duration_ms=round(duration.total_seconds() * 1000),
        missing=_missing(tick, outcomes, runs),
    )


def _may_go_on(record: dg.RunRecord, now: datetime) -> bool:
    """Whether the run is in progress, or crashed and about to be retried by the daemon."""
    run = record.dagster_run
    if run.status in IN_FLIGHT:
        # A run whose process has vanished stays in progress for ever.
        return record.create_timestamp.replace(tzinfo=UTC) > now - FORGOTTEN_AFTER
    will_retry = run.tags.get("dagster/will_retry") == "true" and "dagster/auto_retry_run_id" not in run.tags
    return run.status in ENDED_BADLY and will_retry


def _missing(
    tick: Tick, outcomes: Sequence[WorkspaceSyncComplete], runs: Collection[dg.DagsterRun]
) -> dict[str, str]:
    """The workspaces of the tick without an outcome, each with the reason."""
    reasons = {
        workspace: f"run {run.run_id} ended as {run.status.value}"
        for run in runs
        if run.status in ENDED_BADLY
        for workspace in workspaces_of(run.tags)
    }
    reported = {outcome.workspace for outcome in outcomes}
    return {
        workspace: reasons.get(workspace, "no run reported an outcome")
        for workspace in tick.workspaces
        if workspace not in reported
    }


def _events(ended: AutoSyncComplete, asset: dg.AssetKey) -> list[Any]:
    passed, severity, description = _verdict(ended)
    return [
        dg.AssetMaterialization(asset, metadata={**_numbers(ended), **_reasons(ended)}),
        dg.AssetCheckEvaluation(
            asset_key=asset,
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
    return not ended.reasons, severity, tally(ended.successes, ended.partial, ended.failures)


def _numbers(ended: AutoSyncComplete) -> dict[str, Any]:
    return {"tick": dg.MetadataValue.text(ended.tick), **ended.measurements}


def _reasons(ended: AutoSyncComplete) -> dict[str, Any]:
    return {"reasons": table_metadata(("workspace", "reason"), sorted(ended.reasons.items()))}
