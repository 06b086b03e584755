"""Every environment variable the project reads: typed, validated once, all errors at once.

Belongs here: names, types, defaults and limits of the knobs. Does not: the workspaces file
(`workspaces`), credentials (`search_console.auth` reads the variables a workspace names).
Reading settings touches no file and no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict


class ConfigurationError(Exception):
    """What was configured cannot be used. `problems` holds one line per mistake, all of them at once."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


def _api_url(value: str) -> str:
    if not re.match(r"https?://[^/\s]+", value):
        raise ValueError("expected an address such as https://searchconsole.googleapis.com/")
    return value.rstrip("/") + "/"


def _cron(value: str) -> str:
    if not (value.startswith("@") or len(value.split()) == 5):
        raise ValueError("expected five cron fields such as '0 */6 * * *', or a nickname such as @daily")
    return value


class Settings(BaseSettings):
    """The settings of one installation. Every field is read from the variable named in its alias."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    workspaces_file: Path = Field(Path("workspaces.yaml"), validation_alias="GSC_WORKSPACES_FILE")
    lake: str = Field("data/lake", validation_alias="GSC_LAKE", description="a folder, or s3:// gs:// az://")
    api_url: Annotated[str, AfterValidator(_api_url)] = Field(
        "https://searchconsole.googleapis.com/", validation_alias="GSC_API_URL"
    )

    auto_sync_enabled: bool = Field(False, validation_alias="GSC_AUTO_SYNC_ENABLED")
    auto_sync_cron: Annotated[str, AfterValidator(_cron)] = Field(
        "0 */6 * * *", validation_alias="GSC_AUTO_SYNC_CRON", description="in UTC"
    )
    auto_sync_days: int = Field(14, ge=1, le=500, validation_alias="GSC_AUTO_SYNC_DAYS")
    start_date: date = Field(
        date(2025, 1, 1), validation_alias="GSC_START_DATE", description="the first daily partition"
    )

    api_concurrency: int = Field(
        4, ge=1, le=64, validation_alias="GSC_API_CONCURRENCY", description="calls at once, per workspace"
    )
    api_attempts: int = Field(5, ge=1, le=20, validation_alias="GSC_API_ATTEMPTS")
    api_backoff_seconds: float = Field(0.5, ge=0, validation_alias="GSC_API_BACKOFF_SECONDS")
    api_longest_wait_seconds: float = Field(
        60,
        ge=0,
        validation_alias="GSC_API_LONGEST_WAIT_SECONDS",
        description="longer waits defer the property",
    )
    api_connect_timeout_seconds: float = Field(10, gt=0, validation_alias="GSC_API_CONNECT_TIMEOUT_SECONDS")
    api_read_timeout_seconds: float = Field(120, gt=0, validation_alias="GSC_API_READ_TIMEOUT_SECONDS")
    commit_rows: int = Field(
        500_000, ge=1, validation_alias="GSC_COMMIT_ROWS", description="rows held in memory before a commit"
    )


def load_settings(**overrides: Any) -> Settings:
    """Read the environment. `overrides` are field names, for callers that set some by hand.

    Raises ConfigurationError naming every variable whose value cannot be used.
    """
    aliases = {name: str(field.validation_alias) for name, field in Settings.model_fields.items()}
    try:
        return Settings(**{aliases[name]: value for name, value in overrides.items()})
    except ValidationError as error:
        raise ConfigurationError("environment", (describe(details) for details in error.errors())) from None


def describe(details: ErrorDetails) -> str:
    """One line for one validation error: path, value, what is expected."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in details["loc"]).lstrip(
        "."
    )
    message = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if details["type"] == "missing":
        return f"{path}: missing"
    if details["type"] == "extra_forbidden":
        return f"{path}: unknown key"
    expected = message if message.startswith(("expected", "must")) else f"expected {message}"
    return f"{path}: {_shown(details['input'])}: {expected}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
