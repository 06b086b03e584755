"""Metrics for Prometheus, made from one observation at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gsc_pipeline.monitoring.monitor import HealthMonitor, Observation
from gsc_pipeline.monitoring.sync_runs import BUCKETS, SyncTotals
from gsc_pipeline.search_console.call_times import CALL_BOUNDS


class _Metrics(Collector):
    def __init__(self, monitor: HealthMonitor, by_workspace: bool) -> None:
        self._monitor = monitor
        self._by_workspace = by_workspace

    def collect(self) -> Iterator[Metric]:
        observation = self._monitor.observe()
        yield from _reachable(observation)
        # If the lake cannot be read, the other metrics are absent rather than zero: a counter must not fall.
        if observation.totals is not None:
            yield from _state(observation)
            yield from _totals(observation.totals)
            if self._by_workspace:
                yield from _each_workspace(observation)


def metrics_text(monitor: HealthMonitor, *, by_workspace: bool = False) -> Callable[[], bytes]:
    """A function that renders the metrics in Prometheus' text format, from a registry of its own.

    `by_workspace` adds the series that name workspaces.
    """
    # With auto_describe, `register` would collect the metrics, and so read the lake before the first scrape.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(monitor, by_workspace))
    return lambda: generate_latest(registry)


def _reachable(observation: Observation) -> Iterator[Metric]:
    health = observation.health
    is_open = health.breaker in ("open", "half_open")
    yield _gauge("gsc_healthy", "Whether /health/sync answers 200", health.ok)
    yield _gauge("gsc_lake_up", "Whether the lake exists and can be read", health.lake_ok)
    yield _gauge("gsc_database_up", "Whether the database answers", health.database_ok)
    yield _gauge("gsc_breaker_open", "Whether the API's circuit is open", is_open)
    for name, text, at in (
        ("gsc_observed", "When these numbers were observed", health.observed_at),
        ("gsc_last_tick", "When the newest tick that has ended began", health.last_tick_at),
        ("gsc_daemon_heartbeat", "The last heartbeat of Dagster's daemon", health.daemon_heartbeat_at),
    ):
        if at is not None:
            yield _gauge(f"{name}_timestamp_seconds", text, at.timestamp())


def _state(observation: Observation) -> Iterator[Metric]:
    health, states = observation.health, observation.states
    yield _gauge("gsc_workspaces", "Active workspaces", health.workspaces_total)
    for name, text, count in (
        ("complete", "whose last sync was complete", health.workspaces_complete),
        ("partial", "whose last sync was partial", health.workspaces_partial),
        ("failed", "whose last sync failed", health.workspaces_failed),
        ("crashed", "whose run of the newest tick crashed or never began", health.workspaces_crashed),
        ("stale", "without a complete sync for GSC_STALE_AFTER_HOURS", health.workspaces_stale),
        ("failing", "with standing failures", health.workspaces_failing),
        ("damaged", "with damaged data in the lake", health.workspaces_damaged),
        ("held_back", "whose token endpoint's circuit is open", health.workspaces_held_back),
    ):
        yield _gauge(f"gsc_workspaces_{name}", f"Active workspaces {text}", count)
    for name, text, most in (
        ("failed", "failed", max((state.failed_in_a_row for state in states), default=0)),
        ("incomplete", "were not complete", max((state.incomplete_in_a_row for state in states), default=0)),
    ):
        yield _gauge(f"gsc_consecutive_{name}_syncs", f"The most last syncs of a workspace that {text}", most)
    days = sum(state.failing_days for state in states)
    yield _gauge("gsc_failed_days", "Failed days that are still to be read", days)
    seconds = sum(state.last_sync_seconds for state in states)
    yield _gauge("gsc_sync_seconds", "Seconds of the latest sync of each active workspace, summed", seconds)
    if health.last_good_sync_at is not None:
        text = "When the latest complete sync of any active workspace started"
        yield _gauge("gsc_last_good_sync_timestamp_seconds", text, health.last_good_sync_at.timestamp())


def _totals(totals: SyncTotals) -> Iterator[Metric]:
    yield CounterMetricFamily("gsc_rows_read", "Rows written to both tables by all syncs", totals.rows)
    yield CounterMetricFamily("gsc_api_calls", "API calls of all syncs, retries included", totals.calls)
    yield CounterMetricFamily("gsc_api_retries", "Retries among the API calls", totals.retries)
    bounds = [*zip(map(str, BUCKETS), totals.within, strict=True), ("+Inf", totals.syncs)]
    text = "How long each sync of a workspace took, repeated attempts included"
    yield HistogramMetricFamily("gsc_sync_duration_seconds", text, bounds, totals.milliseconds / 1000)
    times = totals.call_times
    bounds = list(zip((*map(str, CALL_BOUNDS), "+Inf"), accumulate(times.counts), strict=True))
    text = "How long each API call took, without waits for rate limits and before retries"
    yield HistogramMetricFamily("gsc_api_call_duration_seconds", text, bounds, times.milliseconds / 1000)


def _each_workspace(observation: Observation) -> Iterator[Metric]:
    failed = GaugeMetricFamily(
        "gsc_workspace_failed_days",
        "Failed days of the workspace that are still to be read",
        labels=["workspace"],
    )
    complete = GaugeMetricFamily(
        "gsc_workspace_last_good_sync_timestamp_seconds",
        "When the workspace's latest complete sync started",
        labels=["workspace"],
    )
    in_a_row = GaugeMetricFamily(
        "gsc_workspace_consecutive_failed_syncs",
        "The last syncs of the workspace that failed",
        labels=["workspace"],
    )
    for state in observation.states:
        failed.add_metric([state.workspace], state.failing_days)
        in_a_row.add_metric([state.workspace], state.failed_in_a_row)
        if state.last_good_sync is not None:
            complete.add_metric([state.workspace], state.last_good_sync.timestamp())
    yield from (failed, in_a_row, complete)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, float(value))
