"""The settings: every environment variable of the project, typed, with all errors reported at once.

Reading settings touches no file and no network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.text.addresses import host_of, is_private
from gsc_pipeline.text.secrets import keep, keep_address, keep_passwords, masked
from gsc_pipeline.text.validation import describe

PREFIX = "GSC_"
_LIKENESS = 0.85
"""How alike a variable and a setting are, from 0 to 1, for it to be taken for a mistyped one."""

LAKE_SCHEMES = ("s3", "gs", "az", "abfss", "file")


class ConfigurationError(PipelineError):
    """The configuration is invalid. `problems` has one line per error, for all errors."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source = source
        self.problems = tuple(map(masked, problems))
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


def _api_url(value: str, info: ValidationInfo) -> str:
    if "@" in value:
        raise ValueError("expected an address without user and password")
    if not host_of(value) or re.search(r"[?#]", value):
        raise ValueError("expected an address such as https://searchconsole.googleapis.com/")
    return _private(value, info).rstrip("/") + "/"


def _token_uris(value: str, info: ValidationInfo) -> str:
    for address in value.split():
        if "@" in address or not host_of(address):
            raise ValueError(
                "expected addresses such as https://oauth2.example.com/token, separated by spaces"
            )
        _private(address, info)
    return value


def _private(address: str, info: ValidationInfo) -> str:
    if not (info.data.get("allow_http") or is_private(address)):
        raise ValueError("expected https://, as others could read the tokens, or GSC_ALLOW_HTTP=true")
    return address


def _status_url(value: str) -> str:
    if "@" in value or not is_private(value):
        raise ValueError("expected an https:// address without user and password")
    return value


def _http_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", text):
        raise ValueError("expected an address that begins with https://")
    return value


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not re.fullmatch(r"[\w.~+/=-]{16,}", text, re.ASCII):
        raise ValueError("expected 16 letters, digits, - or _, or more, as from `openssl rand -hex 32`")
    return value


def folder_or_uri(value: str) -> str:
    """The value, if it is a folder or the URI of a bucket or folder. Raises ValueError."""
    scheme, _, rest = value.partition(":/")
    if ":/" in value and (scheme not in LAKE_SCHEMES or not rest.startswith("/")):
        raise ValueError(f"expected a folder, or {', '.join(f'{one}://' for one in LAKE_SCHEMES)}")
    if ":/" in value and scheme != "file" and not re.match(r"/[^/\s]", rest):
        raise ValueError(f"expected the name of a bucket, as in {scheme}://bucket/folder")
    return value


_POSTGRES = re.compile(r"postgres(ql)?://([^\s/@:?#]*(:[^\s/@:?#]*)?@)?[^\s/@?#]*(/[^\s/@?#]*)?(\?\S*)?")


def _state(value: str | None) -> str | None:
    # Strict, so that psycopg2 never quotes a part of the password as a bad port or host.
    if value is not None and "://" in value and not _POSTGRES.fullmatch(value):
        raise ValueError(
            "expected the path of a file, or postgresql://user:password@host:5432/database, "
            "the password percent-encoded"
        )
    return value


def _owners(value: str) -> str:
    for owner in value.split():
        if not re.fullmatch(r"team:\w+|[^\s@:]+@[^\s@:]+\.[^\s@:]+", owner):
            raise ValueError("expected e-mail addresses or team:name, separated by spaces")
    return value


def _cron(value: str) -> str:
    nicknames = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
    if not (value in nicknames or re.fullmatch(r"[\w*/,-]+( +[\w*/,-]+){4}", value)):
        raise ValueError("expected five cron fields such as 0 */6 * * *, or a nickname such as @daily")
    return value


def _day(value: object) -> object:
    """Accept ISO dates only: pydantic would take 20260101 for seconds since 1970."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("expected a date such as 2026-11-20") from None
    return value


def _variable(
    name: str,
    default: object,
    description: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    secret: bool = False,
) -> Any:
    return Field(
        default, validation_alias=name, description=description, ge=ge, gt=gt, le=le, repr=not secret
    )


class Settings(BaseSettings):
    """The settings of an installation. Every field is read from the variable that its alias names."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore", allow_inf_nan=False)

    workspaces_file: Path = _variable(
        "GSC_WORKSPACES_FILE", Path("workspaces.yaml"), "the file that lists the workspaces"
    )
    annotations: Path | None = _variable(
        "GSC_ANNOTATIONS", None, "your own annotations of days, as a YAML file (docs/insights.md)"
    )
    lake: Annotated[str, AfterValidator(folder_or_uri)] = _variable(
        "GSC_LAKE", "data/lake", "where the tables are: a folder, `s3://`, `gs://`, `az://`"
    )
    state: Annotated[str | None, AfterValidator(_state)] = _variable(
        "GSC_STATE",
        None,
        "where processes share rate limits, circuit breakers, ticks and sent alerts: a file (by default "
        "`state.db` beside the lake), or a `postgresql://` URL for several machines",
        secret=True,
    )
    allow_http: bool = _variable(
        "GSC_ALLOW_HTTP",
        False,
        "whether keys and tokens may be sent over `http://` to other machines, where others can read them",
    )
    api_url: Annotated[str, AfterValidator(_api_url)] = _variable(
        "GSC_API_URL", "https://searchconsole.googleapis.com/", "Google's API, or a simulator"
    )
    token_uris: Annotated[str, AfterValidator(_token_uris)] = _variable(
        "GSC_TOKEN_URIS",
        "",
        "token endpoints, besides Google's, that keys may name as their `token_uri`: addresses, separated by "
        "spaces",
    )

    search_status_url: Annotated[str, AfterValidator(_status_url)] = _variable(
        "GSC_SEARCH_STATUS_URL",
        "https://status.search.google.com/incidents.json",
        "where `gsc annotations update` reads Google's ranking updates",
    )

    auto_sync_enabled: bool = _variable(
        "GSC_AUTO_SYNC_ENABLED", False, "whether the schedules are on by default"
    )
    auto_sync_cron: Annotated[str, AfterValidator(_cron)] = _variable(
        "GSC_AUTO_SYNC_CRON",
        "0 */6 * * *",
        "when the main schedule fires, in UTC: five cron fields, or a nickname such as `@daily`",
    )
    auto_sync_days: int = _variable(
        "GSC_AUTO_SYNC_DAYS", 14, "complete Pacific days that each sync verifies", ge=1, le=500
    )
    workspaces_per_run: int = _variable(
        "GSC_WORKSPACES_PER_RUN",
        1,
        "workspaces that share a scheduled run; 20 make a tick of hundreds of workspaces far cheaper",
        ge=1,
        le=100,
    )
    run_minutes: int = _variable(
        "GSC_RUN_MINUTES",
        10,
        "how long a scheduled run may take for each of its workspaces before Dagster ends it",
        ge=1,
        le=350,
    )
    auto_sync_rollout: int = _variable(
        "GSC_AUTO_SYNC_ROLLOUT",
        100,
        "percent of the workspaces that the schedules sync; a higher percentage only adds workspaces",
        ge=0,
        le=100,
    )
    checks_cron: Annotated[str, AfterValidator(_cron)] = _variable(
        "GSC_CHECKS_CRON", "0 3-23/6 * * *", "when the data checks run, in UTC: midway between ticks"
    )
    stale_after_hours: float = _variable(
        "GSC_STALE_AFTER_HOURS",
        12.0,
        "a workspace without a complete sync for this long is stale; twice the schedule's interval",
        gt=0,
    )
    start_date: Annotated[date, BeforeValidator(_day)] = _variable(
        "GSC_START_DATE", date(2025, 1, 1), "Dagster's first daily partition"
    )

    past_cap: bool = _variable(
        "GSC_PAST_CAP", True, "ask for the rows of final days that the API cut off, by device and country"
    )
    past_cap_calls: int = _variable(
        "GSC_PAST_CAP_CALLS", 200, "most such calls on one day for a property and search type", ge=10
    )
    api_concurrency: int = _variable(
        "GSC_API_CONCURRENCY", 4, "concurrent API calls of a workspace", ge=1, le=64
    )
    api_attempts: int = _variable(
        "GSC_API_ATTEMPTS", 5, "most attempts of one call, if a retry can help", ge=1, le=20
    )
    api_backoff_seconds: float = _variable(
        "GSC_API_BACKOFF_SECONDS",
        0.5,
        "the first wait is random up to this; the limit doubles with each retry",
        ge=0,
    )
    api_longest_wait_seconds: float = _variable(
        "GSC_API_LONGEST_WAIT_SECONDS",
        60.0,
        "the longest wait; if Google asks for more, the property is deferred to the next sync",
        ge=0,
    )
    api_connect_timeout_seconds: float = _variable(
        "GSC_API_CONNECT_TIMEOUT_SECONDS", 10.0, "timeout for connecting", gt=0
    )
    api_read_timeout_seconds: float = _variable(
        "GSC_API_READ_TIMEOUT_SECONDS", 120.0, "timeout for the next byte of an answer", gt=0
    )
    api_call_seconds: float = _variable(
        "GSC_API_CALL_SECONDS", 300.0, "timeout for one attempt of a call as a whole", gt=0, le=3600
    )
    api_answer_megabytes: float = _variable(
        "GSC_API_ANSWER_MEGABYTES",
        64.0,
        "the largest answer that is accepted, decompressed; 25,000 rows have 5 to 20 MB",
        gt=0,
        le=1024,
    )
    api_pages: int = _variable(
        "GSC_API_PAGES",
        4,
        "the most pages of 25,000 rows that one query may have; Google's answers end after three",
        ge=1,
        le=1000,
    )
    api_limit_factor: float = _variable(
        "GSC_API_LIMIT_FACTOR",
        1.0,
        "calls are limited to Google's published limits times this; 0 switches the limiter off",
        ge=0,
        le=100,
    )
    breaker_failures: int = _variable(
        "GSC_BREAKER_FAILURES",
        5,
        "calls given up in a row, of the API or a token endpoint, that open its circuit; 0 for never",
        ge=0,
    )
    breaker_seconds: float = _variable(
        "GSC_BREAKER_SECONDS", 300.0, "how long a circuit stays open before one call probes the address", gt=0
    )
    appearance_backfill_calls: int = _variable(
        "GSC_APPEARANCE_BACKFILL_CALLS",
        500,
        "most calls of a workspace's sync for search appearances of days before the last 14, within ten "
        "minutes; 0 for none",
        ge=0,
    )
    inspections_per_day: int = _variable(
        "GSC_INSPECTIONS_PER_DAY",
        500,
        "URL inspections per property and Pacific day; Google allows 2000, 0 for none",
        ge=0,
        le=2000,
    )
    commit_rows: int = _variable(
        "GSC_COMMIT_ROWS", 150_000, "rows held in memory before they are committed", ge=1
    )

    keep_runs_days: int = _variable(
        "GSC_KEEP_RUNS_DAYS",
        30,
        "how long Dagster keeps check results, and runs that no asset's status depends on",
        ge=1,
    )
    reports: Annotated[str, AfterValidator(folder_or_uri)] = _variable(
        "GSC_REPORTS",
        "reports",
        "where `gsc report` and the asset write reports to: a folder, `s3://`, `gs://`, `az://`",
    )
    reports_link_back: bool = _variable(
        "GSC_REPORTS_LINK_BACK",
        False,
        "whether `gsc report --all` and the asset write reports that link to the portal beside them",
    )
    owners: Annotated[str, AfterValidator(_owners)] = _variable(
        "GSC_OWNERS",
        "",
        "the owners in Dagster's UI: e-mail addresses or `team:name`, separated by spaces",
    )

    vacuum_hours: int = _variable(
        "GSC_VACUUM_HOURS",
        168,
        "how long housekeeping keeps replaced files, for readers that still use them",
        ge=24,
    )
    log_format: Literal["text", "json"] = _variable(
        "GSC_LOG_FORMAT", "text", "the form of the command's log on standard error: `text` or `json`"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _variable(
        "GSC_LOG_LEVEL", "warning", "the lowest level in that log: `debug`, `info`, `warning`, `error`"
    )
    audit_log: str = _variable(
        "GSC_AUDIT_LOG",
        "logs/gsc_audit.log",
        "the file for the events of automatic syncs, as JSON lines; or `off`",
    )
    audit_log_megabytes: float = _variable(
        "GSC_AUDIT_LOG_MEGABYTES",
        10.0,
        "the size at which that file is rotated; ten rotated files are kept",
        gt=0,
    )
    health_cache_seconds: float = _variable(
        "GSC_HEALTH_CACHE_SECONDS", 15.0, "how long `gsc serve` answers from its last observation", ge=0
    )
    metrics_by_workspace: bool = _variable(
        "GSC_METRICS_BY_WORKSPACE", False, "whether `/metrics` names the workspaces"
    )
    mcp_token: Annotated[SecretStr, AfterValidator(_token)] = _variable(
        "GSC_MCP_TOKEN",
        SecretStr(""),
        "the token that clients of `gsc mcp --http` send, of 16 characters or more; by default each start "
        "prints a new one; a secret",
    )
    mcp_seconds: float = _variable(
        "GSC_MCP_SECONDS", 20.0, "how long a query of an assistant may take", gt=0, le=20
    )
    mcp_megabytes: int = _variable(
        "GSC_MCP_MEGABYTES", 1024, "the memory that such a query may use in DuckDB", ge=128
    )
    mcp_rows: int = _variable(
        "GSC_MCP_ROWS", 1000, "the most rows of an answer to an assistant", ge=1, le=10_000
    )
    alert_urls: SecretStr = _variable(
        "GSC_ALERT_URLS",
        SecretStr(""),
        "the addresses for alerts, in apprise's notation, separated by spaces; a secret",
    )
    heartbeat_url: Annotated[SecretStr, AfterValidator(_http_url)] = _variable(
        "GSC_HEARTBEAT_URL",
        SecretStr(""),
        "an address to call after each tick that synced something; a secret",
    )


def state_address(settings: Settings) -> str:
    """The address of the shared state: GSC_STATE, else beside a lake in a folder, else in data/."""
    if settings.state is not None:
        return settings.state
    if "://" in settings.lake:
        return "data/state.db"
    return str(Path(settings.lake).absolute().with_name("state.db"))


def is_folder(lake: str) -> bool:
    """Whether a lake is in a folder of this machine, not in an object store."""
    return "://" not in lake or lake.startswith("file://")


def unshared_storage(settings: Settings) -> list[str]:
    """A line for each setting that keeps in a file of one machine what several machines have to share."""
    problems = []
    if not (settings.state or "").startswith(("postgresql://", "postgres://")):
        where = "a file of each machine" if settings.state else "unset, so that each machine has a file"
        problems.append(f"GSC_STATE is {where}: expected a postgresql:// URL")
    if is_folder(settings.lake):
        problems.append(f"GSC_LAKE is a folder ({settings.lake}): expected s3://, gs://, az:// or abfss://")
    return problems


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment. `overrides` replace them, by field name.

    Their secrets are masked from now on. Raises ConfigurationError with every variable whose value is
    invalid, or whose name is almost a setting's.
    """
    aliases = {name: str(field.validation_alias) for name, field in Settings.model_fields.items()}
    confidential = {
        aliases[name]
        for name, field in Settings.model_fields.items()
        if field.annotation is SecretStr or not field.repr
    }
    problems = _mistyped(os.environ, aliases.values())
    settings = None
    try:
        settings = Settings(**{aliases[name]: value for name, value in overrides.items()})
    except ValidationError as error:
        problems += [
            describe(details, confidential=str(details["loc"][0]) in confidential)
            for details in error.errors()
        ]
    if settings is None or problems:
        raise ConfigurationError("environment", problems) from None
    _keep_secrets(settings)
    return settings


def _keep_secrets(settings: Settings) -> None:
    keep_passwords(settings.state or "")
    keep(settings.mcp_token.get_secret_value())
    for address in (
        *settings.alert_urls.get_secret_value().split(),
        settings.heartbeat_url.get_secret_value(),
    ):
        keep_address(address)


def _mistyped(variables: Iterable[str], known: Iterable[str]) -> list[str]:
    """An error for each variable that is none of ours but almost. Others are their users' own."""
    names = list(known)
    near = {
        name: get_close_matches(name.upper(), names, n=1, cutoff=_LIKENESS)
        for name in sorted(variables)
        if name.upper().startswith(PREFIX) and name.upper() not in names
    }
    return [f"{name}: unknown variable, expected {found[0]}" for name, found in near.items() if found]
