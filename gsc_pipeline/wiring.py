"""The core's objects, made from settings: what the `gsc` command and the Dagster resources both start from.

Nothing here does I/O: files and connections are opened when first used.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gsc_pipeline.audit import AuditLog
from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.heartbeat import beat
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.breaker import SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.settings import Settings, state_address
from gsc_pipeline.state.store import Store, open_store
from gsc_pipeline.sync.everyone import OpenConsole
from gsc_pipeline.sync.property import SyncOptions
from gsc_pipeline.telemetry import AutoSyncComplete, AutoSyncFailure, Telemetry
from gsc_pipeline.workspaces import Workspace, load_workspaces

if TYPE_CHECKING:
    from gsc_pipeline.alerts import Alerts
    from gsc_pipeline.health import HealthMonitor


def console_opener(settings: Settings, clock: Clock = utc_now) -> OpenConsole:
    """What opens a workspace's live Search Console, as the settings say."""

    def open_console(workspace: Workspace) -> HttpSearchConsole:
        store = shared_state(settings)
        return HttpSearchConsole(
            workspace.credentials,
            base_url=settings.api_url,
            retry=RetryPolicy(
                attempts=settings.api_attempts,
                backoff_seconds=settings.api_backoff_seconds,
                longest_wait_seconds=settings.api_longest_wait_seconds,
            ),
            limiter=_limiter(settings, store, clock),
            breaker=circuit_breaker(settings, store, clock),
            on_close=store.close,
            connections=settings.api_concurrency,
            connect_timeout_seconds=settings.api_connect_timeout_seconds,
            read_timeout_seconds=settings.api_read_timeout_seconds,
            clock=clock,
        )

    return open_console


def shared_state(settings: Settings) -> Store:
    """What all processes share. To be closed by the caller; opens its connection when first used."""
    return open_store(state_address(settings))


def circuit_breaker(settings: Settings, store: Store, clock: Clock = utc_now) -> SharedBreaker | None:
    """The breaker on the API that all processes share, None where it is switched off."""
    if settings.breaker_failures == 0:
        return None
    return SharedBreaker(
        store,
        settings.api_url,
        failures=settings.breaker_failures,
        seconds=settings.breaker_seconds,
        # Whatever may pass between the moment a call is let through and its end, with room to spare.
        probe_seconds=2 * (settings.api_connect_timeout_seconds + settings.api_read_timeout_seconds),
        clock=clock,
    )


def _limiter(settings: Settings, store: Store, clock: Clock) -> SharedLimiter | None:
    if settings.api_limit_factor == 0:
        return None
    return SharedLimiter(
        store,
        factor=settings.api_limit_factor,
        longest_wait_seconds=settings.api_longest_wait_seconds,
        clock=clock,
    )


def sync_options(settings: Settings, *, full: bool = False) -> SyncOptions:
    """How a sync is to go about it, as the settings say."""
    return SyncOptions(full=full, concurrency=settings.api_concurrency, commit_rows=settings.commit_rows)


def telemetry(settings: Settings, clock: Clock = utc_now) -> Telemetry:
    """Telemetry with the handlers that the settings ask for."""
    if settings.audit_log == "off":
        return Telemetry()
    max_bytes = round(settings.audit_log_megabytes * 1_000_000)
    return Telemetry(AuditLog(Path(settings.audit_log), max_bytes=max_bytes, clock=clock))


def after_tick(
    settings: Settings, tell: Telemetry, clock: Clock = utc_now
) -> Callable[[AutoSyncComplete], None]:
    """What is done when a tick has ended: telemetry is told, alerts are evaluated, the heart beats."""

    @cache
    def monitor() -> HealthMonitor:
        # One for the process: its first look reads every file of the runs, a later one what is new.
        return health_monitor(settings, clock=clock)

    def ended(tick: AutoSyncComplete) -> None:
        tell.tell(tick)
        if settings.alert_urls.get_secret_value():
            alerts(settings).evaluate(monitor().look().health)
        if not isinstance(tick, AutoSyncFailure):
            beat(settings.heartbeat_url.get_secret_value())

    return ended


def health_monitor(
    settings: Settings,
    *,
    probe_database: Callable[[], None] = lambda: None,
    clock: Clock = utc_now,
) -> HealthMonitor:
    """What judges the state of the lake, the workspaces file and the breaker that the settings name."""
    from gsc_pipeline.health import ClosedBreaker, HealthMonitor

    breaker = circuit_breaker(settings, shared_state(settings), clock)
    return HealthMonitor(
        Lake(settings.lake),
        lambda: load_workspaces(settings.workspaces_file),
        stale_after=timedelta(hours=settings.stale_after_hours),
        breaker_state=breaker.state if breaker else ClosedBreaker,
        probe_database=probe_database,
        cache_seconds=settings.health_cache_seconds,
        clock=clock,
    )


def alerts(settings: Settings) -> Alerts:
    """Alerts to the addresses that the settings name. Raises PipelineError for one that is none."""
    from gsc_pipeline.alerts import Alerts, FileAlertMemory, apprise_channels

    urls = settings.alert_urls.get_secret_value()
    return Alerts(apprise_channels(urls), FileAlertMemory(settings.alert_memory))
