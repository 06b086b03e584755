"""The numbers for Prometheus, made at each scrape from one look at everything.

Belongs here: names, help texts and units. Does not: finding the numbers out (`health`, `figures`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gsc_pipeline.health import HealthMonitor, Observation


class _Metrics(Collector):
    """Collects by looking: the registry keeps nothing between scrapes."""

    def __init__(self, monitor: HealthMonitor, by_workspace: bool) -> None:
        self._monitor = monitor
        self._by_workspace = by_workspace

    def collect(self) -> Iterator[Metric]:
        seen = self._monitor.look()
        yield from _reachable(seen)
        # Without a lake the rest is absent rather than zero: a counter must not fall.
        if seen.health.lake_ok:
            yield from _state(seen)
            yield from _totals(seen)
            if self._by_workspace:
                yield from _each_workspace(seen)


def metrics_text(monitor: HealthMonitor, *, by_workspace: bool = False) -> Callable[[], bytes]:
    """What renders the metrics in Prometheus' text format, from a registry of its own.

    `by_workspace` adds the series that name workspaces.
    """
    # Describing would collect: the lake is first read by the first scrape.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(monitor, by_workspace))
    return lambda: generate_latest(registry)


def _reachable(seen: Observation) -> Iterator[Metric]:
    health = seen.health
    yield _gauge("gsc_lake_up", "Whether the lake can be read", health.lake_ok)
    yield _gauge("gsc_database_up", "Whether the database answers", health.database_ok)
    yield _gauge(
        "gsc_breaker_open", "Whether API calls are held back", health.breaker in ("open", "half_open")
    )


def _state(seen: Observation) -> Iterator[Metric]:
    health, figures = seen.health, seen.figures.workspaces.values()
    yield _gauge("gsc_workspaces", "Active workspaces", health.workspaces_total)
    yield _gauge(
        "gsc_workspaces_stale", "Active workspaces without a good sync for long", health.workspaces_stale
    )
    yield _gauge(
        "gsc_workspaces_failing", "Active workspaces of which something fails", health.workspaces_failing
    )
    yield _gauge(
        "gsc_workspaces_held_back",
        "Active workspaces whose token endpoint is left alone",
        health.workspaces_held_back,
    )
    yield _gauge("gsc_failed_days", "Days waiting to be read again", sum(one.failed_days for one in figures))
    yield _gauge(
        "gsc_sync_seconds",
        "Seconds that the latest sync of each active workspace took, summed",
        sum(one.latest_seconds for one in figures),
    )
    if health.last_good_sync_at is not None:
        text = "When the latest good sync of any active workspace began"
        yield _gauge("gsc_last_good_sync_timestamp_seconds", text, health.last_good_sync_at.timestamp())


def _totals(seen: Observation) -> Iterator[Metric]:
    for name, text, value in (
        ("gsc_rows_read", "Rows written to both tables by all syncs", seen.figures.rows),
        ("gsc_api_calls", "API calls of all syncs, repeats included", seen.figures.calls),
        ("gsc_api_retries", "Repeats among the API calls", seen.figures.retries),
    ):
        yield CounterMetricFamily(name, text, value)


def _each_workspace(seen: Observation) -> Iterator[Metric]:
    failed = GaugeMetricFamily(
        "gsc_workspace_failed_days", "Days of the workspace waiting to be read again", labels=["workspace"]
    )
    good = GaugeMetricFamily(
        "gsc_workspace_last_good_sync_timestamp_seconds",
        "When the workspace's latest good sync began",
        labels=["workspace"],
    )
    for workspace, one in seen.figures.workspaces.items():
        failed.add_metric([workspace], one.failed_days)
        if one.last_good_sync_at is not None:
            good.add_metric([workspace], one.last_good_sync_at.timestamp())
    yield from (failed, good)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, float(value))
