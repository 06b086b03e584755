"""The core's objects, made from settings: what the `gsc` command and the Dagster resources both start from.

Nothing here does I/O: files and connections are opened when first used.
"""

from __future__ import annotations

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.settings import Settings
from gsc_pipeline.sync.everyone import OpenConsole
from gsc_pipeline.sync.property import SyncOptions
from gsc_pipeline.workspaces import Workspace


def console_opener(settings: Settings, clock: Clock = utc_now) -> OpenConsole:
    """What opens a workspace's live Search Console, as the settings say."""

    def open_console(workspace: Workspace) -> HttpSearchConsole:
        return HttpSearchConsole(
            workspace.credentials,
            base_url=settings.api_url,
            retry=RetryPolicy(
                attempts=settings.api_attempts,
                backoff_seconds=settings.api_backoff_seconds,
                longest_wait_seconds=settings.api_longest_wait_seconds,
            ),
            connections=settings.api_concurrency,
            connect_timeout_seconds=settings.api_connect_timeout_seconds,
            read_timeout_seconds=settings.api_read_timeout_seconds,
            clock=clock,
        )

    return open_console


def sync_options(settings: Settings, *, full: bool = False) -> SyncOptions:
    """How a sync is to go about it, as the settings say."""
    return SyncOptions(full=full, concurrency=settings.api_concurrency, commit_rows=settings.commit_rows)
