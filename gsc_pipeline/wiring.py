"""The core's objects, made from settings: what the `gsc` command and the Dagster resources both start from.

Nothing here does I/O: files and connections are opened when first used.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsc_pipeline.audit import AuditLog
from gsc_pipeline.days import Clock, Window, pacific_today, utc_now
from gsc_pipeline.heartbeat import beat
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.breaker import BreakerState, SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.token_breakers import TokenBreakers
from gsc_pipeline.search_console.transport import MEGABYTE, Limits
from gsc_pipeline.settings import Settings, state_address
from gsc_pipeline.state.store import Store, open_store
from gsc_pipeline.sync.everyone import OpenConsole, sync_isolated
from gsc_pipeline.sync.property import SyncOptions
from gsc_pipeline.telemetry import AutoSyncComplete, AutoSyncFailure, Telemetry
from gsc_pipeline.workspaces import Workspace, load_workspaces

if TYPE_CHECKING:
    from gsc_pipeline.alerts import Alerts
    from gsc_pipeline.health import HealthMonitor
    from gsc_pipeline.status import LeftAlone
    from gsc_pipeline.sync.repair import SyncWorkspaces

log = logging.getLogger(__name__)


def console_opener(settings: Settings, clock: Clock = utc_now) -> OpenConsole:
    """What opens a workspace's live Search Console, as the settings say."""

    def open_console(workspace: Workspace) -> HttpSearchConsole:
        store = shared_state(settings)
        endpoints = token_breakers(settings, store, clock)
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
            token_breaker=endpoints.at if endpoints else None,
            on_close=store.close,
            limits=Limits(
                connections=settings.api_concurrency,
                connect_seconds=settings.api_connect_timeout_seconds,
                silent_seconds=settings.api_read_timeout_seconds,
                call_seconds=settings.api_call_seconds,
                answer_bytes=int(settings.api_answer_megabytes * MEGABYTE),
            ),
            most_pages=settings.api_pages,
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
    return SharedBreaker(store, settings.api_url, **_breaker_figures(settings), clock=clock)


def token_breakers(settings: Settings, store: Store, clock: Clock = utc_now) -> TokenBreakers | None:
    """The breakers on token endpoints that all processes share, None where they are switched off."""
    if settings.breaker_failures == 0:
        return None
    return TokenBreakers(store, **_breaker_figures(settings), clock=clock)


def held_back(
    settings: Settings, store: Store, clock: Clock = utc_now
) -> Callable[[Sequence[Workspace]], dict[str, BreakerState]]:
    """What tells which workspaces' token endpoint is left alone, by their ids, and how its breaker is."""
    endpoints = token_breakers(settings, store, clock)
    if endpoints is None:
        return lambda workspaces: {}
    return lambda workspaces: endpoints.held_back({one.id: one.credentials for one in workspaces})


def addresses_left_alone(
    settings: Settings, workspaces: Sequence[Workspace], clock: Clock = utc_now
) -> list[LeftAlone]:
    """What calls are held back from now, and how many active workspaces wait. Raises StateError."""
    from gsc_pipeline.status import LeftAlone

    address = state_address(settings)
    if settings.breaker_failures == 0 or ("://" not in address and not Path(address).exists()):
        return []
    active = [workspace for workspace in workspaces if workspace.active]
    with closing(shared_state(settings)) as store:
        breaker = circuit_breaker(settings, store, clock)
        endpoints = token_breakers(settings, store, clock)
        assert breaker
        assert endpoints
        states = {settings.api_url: breaker.state(), **endpoints.not_closed()}
        waiting = Counter(endpoints.keys_of({one.id: one.credentials for one in active}).values())
    waiting[settings.api_url] = len(active)
    return [
        LeftAlone(what, waiting[what], state.opened_at, state.retry_at, state.cause)
        for what, state in states.items()
        if state.opened_at and state.retry_at and waiting[what]
    ]


def _breaker_figures(settings: Settings) -> dict[str, Any]:
    return {
        "failures": settings.breaker_failures,
        "seconds": settings.breaker_seconds,
        # Whatever may pass between the moment a call is let through and its end, with room to spare.
        "probe_seconds": settings.api_connect_timeout_seconds + settings.api_call_seconds + 60,
    }


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


def workspace_syncer(settings: Settings, lake: Lake, clock: Clock = utc_now) -> SyncWorkspaces:
    """What syncs the active ones of some workspaces up to yesterday; their problems go to the log."""

    def sync(ids: Collection[str]) -> None:
        listed = load_workspaces(settings.workspaces_file)
        for workspace in (one for one in listed if one.active and one.id in ids):
            report = sync_isolated(
                workspace,
                Window.last_complete(1, pacific_today(clock())),
                console_opener(settings, clock),
                lake,
                options=sync_options(settings),
                clock=clock,
                run_id=uuid.uuid4().hex,
            )
            for problem in report.problems:
                log.warning("workspace %s: %s", workspace.id, problem)

    return sync


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
    """What judges the state of the lake, the workspaces file and the breakers that the settings name."""
    from gsc_pipeline.health import ClosedBreaker, HealthMonitor

    store = shared_state(settings)
    breaker = circuit_breaker(settings, store, clock)
    return HealthMonitor(
        Lake(settings.lake),
        lambda: load_workspaces(settings.workspaces_file),
        stale_after=timedelta(hours=settings.stale_after_hours),
        breaker_state=breaker.state if breaker else ClosedBreaker,
        held_back=held_back(settings, store, clock),
        probe_database=probe_database,
        cache_seconds=settings.health_cache_seconds,
        clock=clock,
    )


def alerts(settings: Settings) -> Alerts:
    """Alerts to the addresses that the settings name. Raises PipelineError for one that is none."""
    from gsc_pipeline.alerts import Alerts, FileAlertMemory, apprise_channels

    urls = settings.alert_urls.get_secret_value()
    return Alerts(apprise_channels(urls), FileAlertMemory(settings.alert_memory))
