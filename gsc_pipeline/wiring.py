"""The core's objects, made from settings: what the `gsc` command and the Dagster resources both start from.

Nothing here does I/O: files and connections are opened when first used.
"""

from __future__ import annotations

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.search_console.breaker import SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.settings import Settings, state_address
from gsc_pipeline.state.store import Store, open_store
from gsc_pipeline.sync.everyone import OpenConsole
from gsc_pipeline.sync.property import SyncOptions
from gsc_pipeline.workspaces import Workspace


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
