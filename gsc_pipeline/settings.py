"""Every environment variable the project reads: typed, validated once, all errors at once.

Belongs here: names, types, defaults and limits of the knobs. Does not: the workspaces file
(`workspaces`), credentials (`search_console.auth` reads the variables a workspace names).
Reading settings touches no file and no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from gsc_pipeline.errors import PipelineError

LAKE_SCHEMES = ("s3", "gs", "az", "abfss", "file")


class ConfigurationError(PipelineError):
    """What was configured cannot be used. `problems` holds one line per mistake, all of them at once."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


def _api_url(value: str) -> str:
    if not re.fullmatch(r"https?://(\[[\da-fA-F:]+\]|[^/\s:]+)(:\d+)?(/\S*)?", value):
        raise ValueError("expected an address such as https://searchconsole.googleapis.com/")
    return value.rstrip("/") + "/"


def _http_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", text):
        raise ValueError("expected an address that begins with https://")
    return value


def _lake(value: str) -> str:
    scheme, _, _ = value.partition(":/")
    if ":/" in value and (scheme not in LAKE_SCHEMES or not value.startswith(f"{scheme}://")):
        raise ValueError(f"expected a folder, or {', '.join(f'{one}://' for one in LAKE_SCHEMES)}")
    return value


_POSTGRES = re.compile(r"postgres(ql)?://([^\s/@:?#]*(:[^\s/@:?#]*)?@)?[^\s/@?#]*(/[^\s/@?#]*)?(\?\S*)?")


def _state(value: str | None) -> str | None:
    # Strict, so that the database's library never has to quote a part of a password as a bad port or host.
    if value is not None and "://" in value and not _POSTGRES.fullmatch(value):
        raise ValueError(
            "expected the path of a file, or postgresql://user:password@host:5432/database, "
            "the password percent-encoded"
        )
    return value


def _owners(value: str) -> str:
    for owner in value.split():
        if not re.fullmatch(r"team:\w+|[^\s@:]+@[^\s@:]+\.[^\s@:]+", owner):
            raise ValueError("expected e-mail addresses or team:name, a space between")
    return value


def _cron(value: str) -> str:
    nicknames = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
    if not (value in nicknames or re.fullmatch(r"[\w*/,-]+( +[\w*/,-]+){4}", value)):
        raise ValueError("expected five cron fields such as 0 */6 * * *, or a nickname such as @daily")
    return value


def _day(value: object) -> object:
    """Only the calendar's notation: the library would take 20260101 for seconds since 1970."""
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
    """The settings of one installation. Every field is read from the variable named in its alias."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore", allow_inf_nan=False)

    workspaces_file: Path = _variable(
        "GSC_WORKSPACES_FILE", Path("workspaces.yaml"), "the file that lists the workspaces"
    )
    lake: Annotated[str, AfterValidator(_lake)] = _variable(
        "GSC_LAKE", "data/lake", "where the tables are: a folder, `s3://`, `gs://`, `az://`"
    )
    state: Annotated[str | None, AfterValidator(_state)] = _variable(
        "GSC_STATE",
        None,
        "what processes share of limits, circuit breakers and ticks: a file (`state.db` beside the lake "
        "unless set), or a `postgresql://` URL for several machines",
        secret=True,
    )
    api_url: Annotated[str, AfterValidator(_api_url)] = _variable(
        "GSC_API_URL", "https://searchconsole.googleapis.com/", "Google's API, or a simulator"
    )

    auto_sync_enabled: bool = _variable(
        "GSC_AUTO_SYNC_ENABLED", False, "whether the schedule starts switched on"
    )
    auto_sync_cron: Annotated[str, AfterValidator(_cron)] = _variable(
        "GSC_AUTO_SYNC_CRON",
        "0 */6 * * *",
        "when it fires, in UTC: five fields, or a nickname such as `@daily`",
    )
    auto_sync_days: int = _variable(
        "GSC_AUTO_SYNC_DAYS", 14, "complete Pacific days that each sync verifies", ge=1, le=500
    )
    workspaces_per_run: int = _variable(
        "GSC_WORKSPACES_PER_RUN",
        1,
        "workspaces that share a scheduled run: 20 make a tick of hundreds far cheaper",
        ge=1,
        le=100,
    )
    run_minutes: int = _variable(
        "GSC_RUN_MINUTES",
        10,
        "how long a scheduled run may take for each of its workspaces; then Dagster ends it",
        ge=1,
        le=350,
    )
    auto_sync_rollout: int = _variable(
        "GSC_AUTO_SYNC_ROLLOUT",
        100,
        "percent of the workspaces that the schedules sync, the same ones each time; more only adds",
        ge=0,
        le=100,
    )
    checks_cron: Annotated[str, AfterValidator(_cron)] = _variable(
        "GSC_CHECKS_CRON", "0 3-23/6 * * *", "when the data checks run, in UTC: midway between ticks"
    )
    stale_after_hours: float = _variable(
        "GSC_STALE_AFTER_HOURS",
        12.0,
        "a workspace without a good sync for this long is stale: twice the schedule's interval",
        gt=0,
    )
    start_date: Annotated[date, BeforeValidator(_day)] = _variable(
        "GSC_START_DATE", date(2025, 1, 1), "Dagster's first daily partition"
    )

    api_concurrency: int = _variable("GSC_API_CONCURRENCY", 4, "calls at once, per workspace", ge=1, le=64)
    api_attempts: int = _variable(
        "GSC_API_ATTEMPTS", 5, "tries of one call, in all, where trying again can help", ge=1, le=20
    )
    api_backoff_seconds: float = _variable(
        "GSC_API_BACKOFF_SECONDS",
        0.5,
        "the first wait is drawn up to this; each next up to twice as long",
        ge=0,
    )
    api_longest_wait_seconds: float = _variable(
        "GSC_API_LONGEST_WAIT_SECONDS",
        60.0,
        "no wait is longer; where Google asks for more, the property is left for the next sync",
        ge=0,
    )
    api_connect_timeout_seconds: float = _variable(
        "GSC_API_CONNECT_TIMEOUT_SECONDS", 10.0, "how long connecting may take", gt=0
    )
    api_read_timeout_seconds: float = _variable(
        "GSC_API_READ_TIMEOUT_SECONDS", 120.0, "how long the API may be silent", gt=0
    )
    api_call_seconds: float = _variable(
        "GSC_API_CALL_SECONDS", 300.0, "how long one try of a call may take in all", gt=0, le=3600
    )
    api_answer_megabytes: float = _variable(
        "GSC_API_ANSWER_MEGABYTES",
        64.0,
        "the largest answer that is taken, unpacked; 25,000 rows have 5 to 20",
        gt=0,
        le=1024,
    )
    api_pages: int = _variable(
        "GSC_API_PAGES",
        4,
        "pages of 25,000 rows after which an answer must have ended; Google's end after three",
        ge=1,
        le=1000,
    )
    api_limit_factor: float = _variable(
        "GSC_API_LIMIT_FACTOR",
        1.0,
        "how many times Google's published limits the calls may reach; 0 for no limiter at all",
        ge=0,
        le=100,
    )
    breaker_failures: int = _variable(
        "GSC_BREAKER_FAILURES",
        5,
        "failures in a row of the API or a token endpoint that end calls to it for a while; 0 for never",
        ge=0,
    )
    breaker_seconds: float = _variable(
        "GSC_BREAKER_SECONDS", 300.0, "how long that while is; then a single call tries", gt=0
    )
    inspections_per_day: int = _variable(
        "GSC_INSPECTIONS_PER_DAY",
        500,
        "URL inspections of a property a Pacific day; Google allows 2000, and 0 means none",
        ge=0,
        le=2000,
    )
    commit_rows: int = _variable(
        "GSC_COMMIT_ROWS", 150_000, "rows gathered in memory before they are committed", ge=1
    )

    keep_runs_days: int = _variable(
        "GSC_KEEP_RUNS_DAYS",
        30,
        "for how long Dagster keeps runs that no asset's status rests on, and results of checks",
        ge=1,
    )
    reports: Path = _variable(
        "GSC_REPORTS", Path("reports"), "the folder that `gsc report` and the asset write reports to"
    )
    owners: Annotated[str, AfterValidator(_owners)] = _variable(
        "GSC_OWNERS",
        "",
        "who answers for the data, in Dagster's UI: e-mail addresses or `team:name`, a space between",
    )

    vacuum_hours: int = _variable(
        "GSC_VACUUM_HOURS",
        168,
        "how long housekeeping leaves files that no table needs any more to whoever still reads them",
        ge=24,
    )
    log_format: Literal["text", "json"] = _variable(
        "GSC_LOG_FORMAT", "text", "how the command writes its log to standard error: `text` or `json`"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _variable(
        "GSC_LOG_LEVEL", "warning", "from which level on: `debug`, `info`, `warning`, `error`"
    )
    audit_log: str = _variable(
        "GSC_AUDIT_LOG",
        "logs/gsc_audit.log",
        "the file that tells each automatic sync as JSON lines, or `off`",
    )
    audit_log_megabytes: float = _variable(
        "GSC_AUDIT_LOG_MEGABYTES", 10.0, "the size at which that file is rotated; ten are kept", gt=0
    )
    health_cache_seconds: float = _variable(
        "GSC_HEALTH_CACHE_SECONDS", 15.0, "how long `gsc serve` answers from its last look", ge=0
    )
    metrics_by_workspace: bool = _variable(
        "GSC_METRICS_BY_WORKSPACE", False, "whether `/metrics` names the workspaces"
    )
    alert_urls: SecretStr = _variable(
        "GSC_ALERT_URLS",
        SecretStr(""),
        "where alerts go: addresses as apprise writes them, a space between; a secret",
    )
    alert_memory: Path = _variable(
        "GSC_ALERT_MEMORY", Path("data/alerts.json"), "the file that remembers what was alerted"
    )
    heartbeat_url: Annotated[SecretStr, AfterValidator(_http_url)] = _variable(
        "GSC_HEARTBEAT_URL", SecretStr(""), "an address to call after each good tick; a secret"
    )


def state_address(settings: Settings) -> str:
    """Where the shared state is: as set, else beside a lake in a folder, else under the working directory."""
    if settings.state is not None:
        return settings.state
    if "://" in settings.lake:
        return "data/state.db"
    return str(Path(settings.lake).absolute().with_name("state.db"))


def load_settings(**overrides: Any) -> Settings:
    """Read the environment. `overrides` are field names, for callers that set some by hand.

    Raises ConfigurationError naming every variable whose value cannot be used.
    """
    aliases = {name: str(field.validation_alias) for name, field in Settings.model_fields.items()}
    confidential = {
        aliases[name]
        for name, field in Settings.model_fields.items()
        if field.annotation is SecretStr or not field.repr
    }
    try:
        return Settings(**{aliases[name]: value for name, value in overrides.items()})
    except ValidationError as error:
        problems = [
            describe(details, confidential=str(details["loc"][0]) in confidential)
            for details in error.errors()
        ]
        raise ConfigurationError("environment", problems) from None


def describe(details: ErrorDetails, *, keys: Sequence[str] = (), confidential: bool = False) -> str:
    """One line for one validation error: path, value, what is expected.

    `keys` are those known where the error is. The value is left out when it is `confidential`.
    """
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in details["loc"])
    path = "".join(steps).removeprefix(".")
    if details["type"] == "missing":
        return f"{path}: missing"
    if details["type"] in ("extra_forbidden", "invalid_key"):
        return f"{path}: unknown key, expected one of {', '.join(keys)}"
    value = "" if confidential else shown(details["input"])
    return ": ".join(part for part in (path, value, _expectation(details, keys)) if part)


def shown(value: object) -> str:
    """A value as an error line quotes it: short, and of a mapping or a list only that it is one."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list():
            return "a list" if value else "an empty list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


_EXPECTATIONS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a number",
    "float_parsing": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "int_parsing": "a whole number",
    "less_than_equal": "{le:g} or less",
    "list_type": "a list",
    "literal_error": "{expected}",
    "too_short": "at least one",
}


def _expectation(details: ErrorDetails, keys: Sequence[str]) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "value_error":
            return str(context["error"])
        case "model_type":
            return f"expected a mapping with the keys {', '.join(keys)}"
        case "string_type":
            return "expected text" if details["input"] is None else "expected text, in quotes"
    return "expected " + _EXPECTATIONS.get(details["type"], details["msg"]).format(**context)
