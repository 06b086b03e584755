"""The resources: groups of settings that the UI shows, with methods that return objects made from them.

`build_defs(resources=…)` replaces a resource by name. A replacement is a subclass that overrides a method.
"""

# Annotations are not deferred here: Dagster reads them when it makes a resource's class.

from collections.abc import Mapping, Sequence
from functools import cache
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from pydantic import Field, SecretStr

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.storage import absolute
from gsc_pipeline.monitoring.alerts import evaluate_in_time, send_heartbeat
from gsc_pipeline.search_console.breakers import BreakerState
from gsc_pipeline.settings import Settings, load_settings
from gsc_pipeline.sync.cut_days import PastCapOptions
from gsc_pipeline.sync.lease import Leases
from gsc_pipeline.sync.sync_all import OpenConsole
from gsc_pipeline.sync.telemetry import AutoSyncComplete, AutoSyncFailure, Event
from gsc_pipeline.sync.ticks import TickBook
from gsc_pipeline.workspaces.annotations_file import OwnAnnotations
from gsc_pipeline.workspaces.registry import Workspace, load_workspaces

if TYPE_CHECKING:
    from gsc_pipeline.report.write import Reports

SECRETS = ("state", "alert_urls", "heartbeat_url")
"""Settings whose values are not part of a resource's configuration. GSC_STATE may contain a password."""


def setting(name: str, **options: Any) -> Any:
    """A field that holds the setting of the same name."""
    known = Settings.model_fields[name]
    return Field(description=f"{known.validation_alias}: {known.description}", **options)


class SettingsResource(dg.ConfigurableResource[Any]):
    """A resource whose fields are settings (`gsc_pipeline.settings`) of the same names.

    The field of a secret refers to the environment variable that holds the secret. The field is None if the
    secret was set in code. `base` has every setting. It is not configuration, so the UI does not show it.
    """

    base: dg.ResourceDependency[Settings]

    @classmethod
    def of(cls, settings: Settings, **others: Any) -> Self:
        """The resource for `settings`. `others` are the fields that are not settings."""
        fields = {}
        for name in (name for name in cls.model_fields if name in Settings.model_fields):
            value = _plain(getattr(settings, name))
            variable = str(Settings.model_fields[name].validation_alias)
            if name not in SECRETS:
                fields[name] = value
            elif value and environ.get(variable) == value:
                fields[name] = dg.EnvVar(variable)
        return cls(base=settings, **fields, **others)

    def settings(self) -> Settings:
        """Every setting: those of this resource's fields, and for the others those of `base`."""
        own = {name: getattr(self, name) for name in type(self).model_fields if name in Settings.model_fields}
        given = {name: value for name, value in own.items() if value is not None}
        return load_settings(**self.base.model_dump() | given)


class WorkspacesFile(SettingsResource):
    """The file that lists the workspaces. It is read at each use, so an edit applies from the next run on."""

    workspaces_file: str = setting("workspaces_file")

    def load(self) -> tuple[Workspace, ...]:
        """All workspaces, inactive ones too. Raises ConfigurationError for a file that cannot be used."""
        return load_workspaces(Path(self.workspaces_file))


class AnnotationsFile(SettingsResource):
    """The file of your own annotations. It is read at each use, so an edit applies from the next run on."""

    annotations: str | None = setting("annotations", default=None)

    def load(self) -> OwnAnnotations:
        """Your annotations and the file's mistakes. Raises ConfigurationError for the workspaces file."""
        return _services(self.settings(), utc_now).own_annotations()


class LakeTables(SettingsResource):
    """The lake: the Delta tables under one address, and how many rows a sync gathers before it commits."""

    lake: str = setting("lake")
    commit_rows: int = setting("commit_rows")

    def open(self) -> Lake:
        """The lake, one object per process."""
        return _services(self.settings(), utc_now).lake


class SharedState(SettingsResource):
    """The database that processes share: ticks, leases, rate limits, circuit breakers, alerts sent."""

    state: str | None = setting("state", default=None)

    def ticks(self) -> TickBook:
        """The ticks of the schedules and their outcomes."""
        return TickBook(_services(self.settings(), utc_now).store)

    def leases(self) -> Leases:
        """What keeps two syncs of a workspace apart."""
        return _services(self.settings(), utc_now).leases


class SearchConsoleApi(SettingsResource):
    """The Search Console API: its address, time limits, retries, rate limits and circuit breakers."""

    allow_http: bool = setting("allow_http")
    api_url: str = setting("api_url")
    token_uris: str = setting("token_uris")
    past_cap: bool = setting("past_cap")
    past_cap_calls: int = setting("past_cap_calls")
    api_concurrency: int = setting("api_concurrency")
    api_attempts: int = setting("api_attempts")
    api_backoff_seconds: float = setting("api_backoff_seconds")
    api_longest_wait_seconds: float = setting("api_longest_wait_seconds")
    api_connect_timeout_seconds: float = setting("api_connect_timeout_seconds")
    api_read_timeout_seconds: float = setting("api_read_timeout_seconds")
    api_call_seconds: float = setting("api_call_seconds")
    api_answer_megabytes: float = setting("api_answer_megabytes")
    api_pages: int = setting("api_pages")
    api_limit_factor: float = setting("api_limit_factor")
    breaker_failures: int = setting("breaker_failures")
    breaker_seconds: float = setting("breaker_seconds")
    appearance_backfill_calls: int = setting("appearance_backfill_calls")
    inspections_per_day: int = setting("inspections_per_day")
    clock: dg.ResourceDependency[Clock]

    def past_cap_options(self) -> PastCapOptions:
        """How far days that the API cut off are completed."""
        return PastCapOptions(self.past_cap_calls if self.past_cap else 0)

    def opener(self, *, by_person: bool) -> OpenConsole:
        """Opens the clients of one sync. A person's sends its first call even while a circuit is open."""
        return _services(self.settings(), self.clock).opener(by_person=by_person)

    def breaker_state(self) -> BreakerState | None:
        """The circuit breaker of the API; None where it is switched off."""
        breaker = _services(self.settings(), self.clock).guards.breaker
        return breaker.state() if breaker else None

    def token_breaker_states(self, workspaces: Sequence[Workspace]) -> Mapping[str, BreakerState]:
        """The circuit breakers of token endpoints that are not closed, by the ids of their workspaces."""
        return _services(self.settings(), self.clock).token_breaker_states(workspaces)


class TelemetryLog(SettingsResource):
    """Receives the events of syncs, ticks and housekeeping, and appends them to the audit log."""

    audit_log: str = setting("audit_log")
    audit_log_megabytes: float = setting("audit_log_megabytes")
    clock: dg.ResourceDependency[Clock]

    def emit_event(self, event: Event) -> None:
        """Pass an event to every handler. Never raises."""
        _services(self.settings(), self.clock).telemetry.emit_event(event)


class Notifications(SettingsResource):
    """Sends alerts and the heartbeat when a tick has ended, to the addresses in the environment."""

    alert_urls: str | None = setting("alert_urls", default=None)
    heartbeat_url: str | None = setting("heartbeat_url", default=None)
    stale_after_hours: float = setting("stale_after_hours")
    clock: dg.ResourceDependency[Clock]

    def send(self, ended: AutoSyncComplete) -> None:
        """Evaluate the alerts, and send the heartbeat unless nothing was synced.

        The tick counts as ended, even if that is not recorded yet. Never raises: failures are logged.
        """
        settings = self.settings()
        if settings.alert_urls.get_secret_value():
            services = _services(settings, self.clock)
            monitor = services.health_monitor
            evaluate_in_time(services.alerts, lambda: monitor.observe_now(ended.tick))
        if not isinstance(ended, AutoSyncFailure):
            send_heartbeat(settings.heartbeat_url.get_secret_value())


class ReportsFolder(SettingsResource):
    """The folder or bucket that the clients' reports are written to, one HTML file per workspace."""

    reports: str = setting("reports")
    reports_link_back: bool = setting("reports_link_back")
    stale_after_hours: float = setting("stale_after_hours")

    def how(self) -> "Reports":
        """Where to write reports, as an absolute path or a URI, and whether they link to the portal."""
        from gsc_pipeline.report.write import Reports

        return Reports(absolute(self.reports), link_back=self.reports_link_back)


def all_resources(settings: Settings, given: Mapping[str, Any]) -> dict[str, Any]:
    """The resources by name: those in `given`, and the others as `settings` describe them."""
    clock: Clock = given.get("clock", utc_now)
    return {
        "workspaces": WorkspacesFile.of(settings),
        "annotations": AnnotationsFile.of(settings),
        "lake": LakeTables.of(settings),
        "state": SharedState.of(settings),
        "search_console": SearchConsoleApi.of(settings, clock=clock),
        "telemetry": TelemetryLog.of(settings, clock=clock),
        "notifications": Notifications.of(settings, clock=clock),
        "reports": ReportsFolder.of(settings),
        **given,
        "clock": dg.ResourceDefinition.hardcoded_resource(
            clock, description="The current time, in UTC. Tests replace it by a clock that they set."
        ),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value


@cache
def _services(settings: Settings, clock: Clock) -> Services:
    """The services, one object per process. Dagster makes new resources for every run and evaluation."""
    return Services(settings, clock)
