"""Builds the objects of a process from its settings, each once. The command and Dagster start from here."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsc_pipeline.days import Clock, Window, pacific_today, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.monitoring.audit import AuditLog
from gsc_pipeline.search_console.auth import CredentialSource, TokenEndpoints
from gsc_pipeline.search_console.breakers import BreakerState, Circuit, SharedBreaker
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.guards import NO_GUARDS, Guards
from gsc_pipeline.search_console.limits import SharedLimiter
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.token_breakers import TokenBreakers
from gsc_pipeline.search_console.transport import MEGABYTE, Response, Transport, TransportLimits
from gsc_pipeline.settings import Settings, is_folder, state_address
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.cut_days import PastCapOptions
from gsc_pipeline.sync.lease import Leases
from gsc_pipeline.sync.sync_all import OpenConsole, sync_isolated
from gsc_pipeline.sync.telemetry import Telemetry
from gsc_pipeline.sync.ticks import TickBook
from gsc_pipeline.text.addresses import is_loopback
from gsc_pipeline.workspaces.registry import Workspace, load_workspaces

if TYPE_CHECKING:
    from gsc_pipeline.monitoring.alerts import Alerts
    from gsc_pipeline.monitoring.monitor import HealthMonitor
    from gsc_pipeline.monitoring.status import OpenCircuit
    from gsc_pipeline.sync.tables.more import MoreOptions
    from gsc_pipeline.workspaces.annotations_file import OwnAnnotations

log = logging.getLogger(__name__)

TRY_ONCE = TransportLimits(connections=1, connect_seconds=10.0, silent_seconds=15.0, call_seconds=20.0)
"""The limits of a call that only finds out whether it is answered."""


class Services:
    """The objects that the settings describe. Each is built when first used, and then shared.

    Building one does no I/O: files and connections are opened at their first use. With `reads_only`, nothing
    is written to the shared state.
    """

    def __init__(self, settings: Settings, clock: Clock = utc_now, *, reads_only: bool = False) -> None:
        self.settings = settings
        self.clock = clock
        self._reads_only = reads_only

    @cached_property
    def lake(self) -> Lake:
        """The lake."""
        return Lake(self.settings.lake)

    @cached_property
    def store(self) -> Store:
        """The state that processes share. Warns if it is a file and the lake is not."""
        settings, address = self.settings, state_address(self.settings)
        if settings.state is None and not is_folder(settings.lake) and not self._reads_only:
            log.warning(
                "GSC_STATE is unset: rate limits, circuit breakers, ticks and leases are in %s, on this "
                "machine only. Set GSC_STATE to a postgresql:// URL before another machine syncs into %s",
                address,
                settings.lake,
            )
        return open_store(address, reads_only=self._reads_only)

    @cached_property
    def leases(self) -> Leases:
        """What keeps two syncs of a workspace apart."""
        return Leases(self.store, self.clock)

    @cached_property
    def guards(self) -> Guards:
        """The rate limiter and the circuit breakers of all calls; those that are switched off are None."""
        return self._guards()

    def _guards(self, *, at_once: bool = False) -> Guards:
        settings = self.settings
        limiter = breaker = endpoints = None
        if settings.api_limit_factor:
            limiter = SharedLimiter(
                self.store,
                factor=settings.api_limit_factor,
                longest_wait_seconds=settings.api_longest_wait_seconds,
                clock=self.clock,
            )
        if settings.breaker_failures:
            options: dict[str, Any] = {
                "failures": settings.breaker_failures,
                "seconds": settings.breaker_seconds,
                # The longest that a call may take after it was let through, with a minute to spare.
                "probe_seconds": settings.api_connect_timeout_seconds + settings.api_call_seconds + 60,
                "at_once": at_once,
                "clock": self.clock,
            }
            breaker = SharedBreaker(self.store, settings.api_url, **options)
            endpoints = TokenBreakers(self.store, **options)
        return Guards(limiter, breaker, endpoints)

    @cached_property
    def telemetry(self) -> Telemetry:
        """Telemetry with the audit log as its handler, unless that is off."""
        if self.settings.audit_log == "off":
            return Telemetry()
        max_bytes = round(self.settings.audit_log_megabytes * 1_000_000)
        return Telemetry(AuditLog(Path(self.settings.audit_log), max_bytes=max_bytes, clock=self.clock))

    def own_annotations(self) -> OwnAnnotations:
        """The annotations of the user's file as it is now, empty without GSC_ANNOTATIONS.

        Raises ConfigurationError if the workspaces file cannot be used.
        """
        from gsc_pipeline.workspaces.annotations_file import OwnAnnotations, load_annotations

        if self.settings.annotations is None:
            return OwnAnnotations()
        listed = load_workspaces(self.settings.workspaces_file)
        return load_annotations(self.settings.annotations, [workspace.id for workspace in listed])

    @cached_property
    def alerts(self) -> Alerts:
        """Alerts to the addresses of GSC_ALERT_URLS."""
        from gsc_pipeline.monitoring.alerts import Alerts, SentAlerts, apprise_channels

        channels = apprise_channels(self.settings.alert_urls.get_secret_value())
        return Alerts(channels, SentAlerts(self.store, self.clock))

    @cached_property
    def health_monitor(self) -> HealthMonitor:
        """Evaluates the lake, the workspaces file and the shared state, without a Dagster instance."""
        return self.health_monitor_with(probe_instance=None)

    def health_monitor_with(self, *, probe_instance: Callable[[], datetime | None] | None) -> HealthMonitor:
        """A health monitor that also evaluates a Dagster instance, as `HealthMonitor` describes it."""
        from gsc_pipeline.monitoring.monitor import HealthMonitor
        from gsc_pipeline.monitoring.ticks import TickView

        breaker = self.guards.breaker
        return HealthMonitor(
            self.lake,
            lambda: load_workspaces(self.settings.workspaces_file),
            stale_after=timedelta(hours=self.settings.stale_after_hours),
            breaker_state=breaker.state if breaker else BreakerState,
            token_circuits=self.token_breaker_states,
            view_ticks=lambda ended: TickView.of(TickBook(self.store), self.clock(), ended),
            probe_instance=probe_instance,
            cache_seconds=self.settings.health_cache_seconds,
            clock=self.clock,
        )

    def sync_options(self, *, full: bool = False) -> SyncOptions:
        """The options of a sync; `full` reads every day that has data."""
        return SyncOptions(
            full=full,
            concurrency=self.settings.api_concurrency,
            commit_rows=self.settings.commit_rows,
            leases=self.leases,
            past_cap=PastCapOptions(self.settings.past_cap_calls if self.settings.past_cap else 0),
        )

    def more_options(self, *, window: Window | None = None, full: bool = False) -> MoreOptions:
        """The options of a sync of the other tables, with the days of search appearances if any are given."""
        from gsc_pipeline.sync.tables.more import MoreOptions

        return MoreOptions(
            window=window,
            full=full,
            backfill_calls=self.settings.appearance_backfill_calls,
            inspections_per_day=self.settings.inspections_per_day,
            concurrency=self.settings.api_concurrency,
            commit_rows=self.settings.commit_rows,
            leases=self.leases,
        )

    def open_console(self, workspace: Workspace) -> HttpSearchConsole:
        """A client with the workspace's credential, to be closed by the caller."""
        return self._console(self.guards, workspace.credentials)

    def console_of(self, credentials: CredentialSource) -> HttpSearchConsole:
        """A client for a person, as `opener` describes it, to be closed by the caller."""
        return self._console(self._guards(at_once=True), credentials)

    def open_unguarded(self, workspace: Workspace) -> HttpSearchConsole:
        """A client whose calls are sent at once, are not repeated, and leave no trace in the shared state."""
        return self._console(NO_GUARDS, workspace.credentials, TRY_ONCE)

    def call_without_token(self) -> Response:
        """The API's answer to a call that it refuses. Raises ServiceUnavailableError."""
        url = self.settings.api_url
        with closing(Transport(TRY_ONCE)) as transport:
            return transport.send("GET", f"{url}webmasters/v3/sites", body=None, headers={}, server=url)

    def opener(self, *, by_person: bool) -> OpenConsole:
        """Opens the clients of one sync, as `open_console` does.

        The sync of a person does not wait for an open circuit: its first call is sent at once, as a probe.
        """
        if not by_person:
            return self.open_console
        guards = self._guards(at_once=True)
        return lambda workspace: self._console(guards, workspace.credentials)

    def plain_console(self, credentials: CredentialSource) -> HttpSearchConsole:
        """A client for a few calls of a setup, to be closed by the caller. Writes no state of limits."""
        return self._console(NO_GUARDS, credentials)

    def _console(
        self,
        guards: Guards,
        credentials: CredentialSource,
        limits: TransportLimits | None = None,
    ) -> HttpSearchConsole:
        """A client; with `limits` of its own, its calls are not repeated."""
        settings = self.settings
        return HttpSearchConsole(
            credentials,
            base_url=settings.api_url,
            retry=RetryPolicy(
                attempts=1 if limits else settings.api_attempts,
                backoff_seconds=settings.api_backoff_seconds,
                longest_wait_seconds=settings.api_longest_wait_seconds,
            ),
            guards=guards,
            limits=limits or self.transport_limits,
            most_pages=settings.api_pages,
            token_uris=settings.token_uris.split(),
            clock=self.clock,
        )

    @property
    def transport_limits(self) -> TransportLimits:
        """The limits of a call."""
        settings = self.settings
        return TransportLimits(
            connections=settings.api_concurrency,
            connect_seconds=settings.api_connect_timeout_seconds,
            silent_seconds=settings.api_read_timeout_seconds,
            call_seconds=settings.api_call_seconds,
            answer_bytes=int(settings.api_answer_megabytes * MEGABYTE),
        )

    @property
    def token_endpoints(self) -> TokenEndpoints:
        """The token endpoints that credentials may be sent to."""
        settings = self.settings
        return TokenEndpoints(settings.token_uris.split(), loopback=is_loopback(settings.api_url))

    def token_breaker_states(self, workspaces: Sequence[Workspace]) -> Mapping[str, BreakerState]:
        """The circuit breakers of token endpoints that are not closed, by the ids of their workspaces."""
        breakers = self.guards.token_breakers
        return breakers.not_closed_for({one.id: one.credentials for one in workspaces}) if breakers else {}

    def open_circuits(self, workspaces: Sequence[Workspace]) -> list[OpenCircuit]:
        """The addresses whose circuit is not closed, and how many active workspaces use each.

        Raises StateError.
        """
        from gsc_pipeline.monitoring.status import OpenCircuit

        address = state_address(self.settings)
        breaker, endpoints = self.guards.breaker, self.guards.token_breakers
        # Without a file there is no state yet, and asking for it should not create one.
        if not breaker or not endpoints or ("://" not in address and not Path(address).exists()):
            return []
        active = [workspace for workspace in workspaces if workspace.active]
        states = {self.settings.api_url: breaker.state(), **endpoints.not_closed()}
        if all(state.state is Circuit.CLOSED for state in states.values()):
            # Most often. Below, each credential is read.
            return []
        waiting = Counter(endpoints.keys_of({one.id: one.credentials for one in active}).values())
        waiting[self.settings.api_url] = len(active)
        return [
            OpenCircuit(what, waiting[what], state.opened_at, state.retry_at, state.cause)
            for what, state in states.items()
            if state.opened_at and state.retry_at and waiting[what]
        ]

    def sync_workspaces(self, ids: Collection[str]) -> None:
        """Sync the active ones of these workspaces up to yesterday; their problems are logged."""
        open_console = self.opener(by_person=True)
        listed = load_workspaces(self.settings.workspaces_file)
        for workspace in (one for one in listed if one.active and one.id in ids):
            report = sync_isolated(
                workspace,
                Window.last_complete(1, pacific_today(self.clock())),
                open_console,
                self.lake,
                options=self.sync_options(),
                clock=self.clock,
                run_id=uuid.uuid4().hex,
            )
            for problem in report.problems:
                log.warning("workspace %s: %s", workspace.id, problem)
