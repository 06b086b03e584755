"""The settings: defaults, variables, errors."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from gsc_pipeline.settings import ConfigurationError, Settings, load_settings, state_address


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("GSC_"):
            monkeypatch.delenv(name)


def problems(**variables: str) -> list[str]:
    """The errors of an environment with these variables."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        with pytest.raises(ConfigurationError) as caught:
            load_settings()
    assert str(caught.value) == "\n".join(f"environment: {line}" for line in caught.value.problems)
    return list(caught.value.problems)


def test_without_variables_the_defaults_are_as_documented() -> None:
    settings = load_settings()

    assert settings.workspaces_file == Path("workspaces.yaml")
    assert settings.lake == "data/lake"
    assert settings.api_url == "https://searchconsole.googleapis.com/"
    assert settings.auto_sync_enabled is False
    assert settings.auto_sync_cron == "0 */6 * * *"
    assert settings.auto_sync_days == 14
    assert settings.start_date == date(2025, 1, 1)


def test_every_variable_sets_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, tuple[str, object]] = {
        "workspaces_file": ("conf/tenants.yaml", Path("conf/tenants.yaml")),
        "annotations": ("notes.yaml", Path("notes.yaml")),
        "lake": ("s3://bucket/lake", "s3://bucket/lake"),
        "allow_http": ("true", True),
        "api_url": ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
        "token_uris": ("https://a.example/token", "https://a.example/token"),
        "search_status_url": ("https://a.example/incidents", "https://a.example/incidents"),
        "auto_sync_enabled": ("true", True),
        "auto_sync_cron": ("@daily", "@daily"),
        "auto_sync_days": ("500", 500),
        "workspaces_per_run": ("20", 20),
        "run_minutes": ("30", 30),
        "start_date": ("2025-07-01", date(2025, 7, 1)),
        "past_cap": ("false", False),
        "past_cap_calls": ("50", 50),
        "appearance_backfill_calls": ("0", 0),
        "api_concurrency": ("64", 64),
        "api_attempts": ("1", 1),
        "api_backoff_seconds": ("0", 0.0),
        "api_longest_wait_seconds": ("0", 0.0),
        "api_connect_timeout_seconds": ("0.5", 0.5),
        "api_read_timeout_seconds": ("30", 30.0),
        "api_call_seconds": ("90", 90.0),
        "api_answer_megabytes": ("8.5", 8.5),
        "api_pages": ("6", 6),
        "checks_cron": ("@hourly", "@hourly"),
        "stale_after_hours": ("1.5", 1.5),
        "state": (
            "postgresql://sync:s3cr%40t@db:5432/pipeline",
            "postgresql://sync:s3cr%40t@db:5432/pipeline",
        ),
        "auto_sync_rollout": ("25", 25),
        "api_limit_factor": ("0.05", 0.05),
        "breaker_failures": ("0", 0),
        "breaker_seconds": ("60", 60.0),
        "inspections_per_day": ("2000", 2000),
        "commit_rows": ("1", 1),
        "keep_runs_days": ("7", 7),
        "reports": ("out/reports", "out/reports"),
        "reports_link_back": ("true", True),
        "owners": ("seo@acme.com team:search", "seo@acme.com team:search"),
        "vacuum_hours": ("24", 24),
        "log_format": ("json", "json"),
        "log_level": ("info", "info"),
        "audit_log": ("off", "off"),
        "audit_log_megabytes": ("0.5", 0.5),
        "health_cache_seconds": ("0", 0.0),
        "metrics_by_workspace": ("true", True),
        "mcp_token": ("0123456789abcdef", SecretStr("0123456789abcdef")),
        "mcp_seconds": ("5", 5.0),
        "mcp_megabytes": ("512", 512),
        "mcp_rows": ("50", 50),
        "alert_urls": ("json://a/ json://b/", SecretStr("json://a/ json://b/")),
        "heartbeat_url": ("https://hc.example/uuid", SecretStr("https://hc.example/uuid")),
    }
    assert set(given) == set(Settings.model_fields)
    for field, (text, _) in given.items():
        monkeypatch.setenv(f"GSC_{field.upper()}", text)

    settings = load_settings()

    assert {field: getattr(settings, field) for field in given} == {
        field: value for field, (_, value) in given.items()
    }


def test_a_short_token_for_assistants_is_refused_and_not_quoted() -> None:
    (line,) = problems(GSC_MCP_TOKEN="sesame")
    assert "16 letters" in line
    assert "sesame" not in line


def test_every_invalid_variable_is_reported_at_once_with_its_value_and_what_is_expected() -> None:
    assert problems(
        GSC_API_URL="searchconsole.googleapis.com",
        GSC_AUTO_SYNC_ENABLED="maybe",
        GSC_AUTO_SYNC_CRON="every six hours",
        GSC_AUTO_SYNC_DAYS="0",
        GSC_START_DATE="yesterday",
        GSC_API_CONCURRENCY="65",
        GSC_API_ATTEMPTS="1.5",
        GSC_API_BACKOFF_SECONDS="-1",
        GSC_API_LONGEST_WAIT_SECONDS="inf",
        GSC_API_CONNECT_TIMEOUT_SECONDS="0",
        GSC_API_READ_TIMEOUT_SECONDS="soon",
        GSC_COMMIT_ROWS="many",
        GSC_LAKE="s3://fine/",
    ) == [
        "GSC_API_URL: 'searchconsole.googleapis.com': "
        "expected an address such as https://searchconsole.googleapis.com/",
        "GSC_AUTO_SYNC_ENABLED: 'maybe': expected true or false",
        "GSC_AUTO_SYNC_CRON: 'every six hours': "
        "expected five cron fields such as 0 */6 * * *, or a nickname such as @daily",
        "GSC_AUTO_SYNC_DAYS: '0': expected 1 or more",
        "GSC_START_DATE: 'yesterday': expected a date such as 2026-11-20",
        "GSC_API_CONCURRENCY: '65': expected 64 or less",
        "GSC_API_ATTEMPTS: '1.5': expected a whole number",
        "GSC_API_BACKOFF_SECONDS: '-1': expected 0 or more",
        "GSC_API_LONGEST_WAIT_SECONDS: 'inf': expected a number",
        "GSC_API_CONNECT_TIMEOUT_SECONDS: '0': expected more than 0",
        "GSC_API_READ_TIMEOUT_SECONDS: 'soon': expected a number",
        "GSC_COMMIT_ROWS: 'many': expected a whole number",
    ]


@pytest.mark.parametrize(
    "url", ["http://", "ftp://host/", "https://host:port/", "https://host/a b", "https://h/ "]
)
def test_an_invalid_api_address_is_refused(url: str) -> None:
    assert problems(GSC_API_URL=url) == [
        f"GSC_API_URL: {url!r}: expected an address such as https://searchconsole.googleapis.com/"
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://searchconsole.googleapis.com",
        "http://localhost:8080",
        "http://[::1]:8080",
        "https://proxy/gsc",
        "http://127.8.9.1:8080",
    ],
)
def test_a_final_slash_of_the_api_address_makes_no_difference(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSC_API_URL", url)
    without = load_settings()
    monkeypatch.setenv("GSC_API_URL", url + "/")

    assert load_settings() == without
    assert without.api_url == url + "/"


@pytest.mark.parametrize(
    "url",
    ["http://gsc.example", "http://10.0.0.1:8080/", "http://127.0.0.1.example/", "http://localhost.example"],
)
def test_tokens_go_over_http_to_this_machine_only_unless_that_is_allowed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = "expected https://, as others could read the tokens, or GSC_ALLOW_HTTP=true"
    assert problems(GSC_API_URL=url) == [f"GSC_API_URL: {url!r}: {expected}"]
    assert problems(GSC_TOKEN_URIS=f"https://a/token {url}") == [
        f"GSC_TOKEN_URIS: 'https://a/token {url}': {expected}"
    ]

    monkeypatch.setenv("GSC_ALLOW_HTTP", "true")
    assert load_settings(api_url=url, token_uris=url).token_uris == url


def test_an_address_with_a_password_is_refused_without_it() -> None:
    expected = "expected an address without user and password"
    for login in ("anna:s3cret-w0rd@", "anna:s3cret/w0rd@", "s3cret-w0rd@"):
        (line,) = problems(GSC_API_URL=f"https://{login}gsc.example/")
        assert line.endswith(expected)
        assert "w0rd" not in line
        assert "w0rd" not in "".join(problems(GSC_TOKEN_URIS=f"https://{login}gsc.example/"))


def test_the_secrets_of_the_settings_are_masked_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSC_STATE", "postgresql://sync:pass-w0rd-of-state@db:5432/gsc")
    monkeypatch.setenv("GSC_HEARTBEAT_URL", "https://hc.example/5f2c8e1a-heartbeat")
    load_settings()
    error = ConfigurationError("x", ["could not use pass-w0rd-of-state at 5f2c8e1a-heartbeat"])
    assert str(error) == "x: could not use [secret] at [secret]"


@pytest.mark.parametrize("cron", ["0 */6 * * *", "15,45 0-6 1 jan-jun mon", "@hourly"])
def test_cron_expressions_and_nicknames_are_accepted(cron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSC_AUTO_SYNC_CRON", cron)

    assert load_settings().auto_sync_cron == cron


@pytest.mark.parametrize("cron", ['"0 */6 * * *"', "0 */6 * *", "0 0 */6 * * *", "@often"])
def test_an_invalid_cron_expression_is_refused(cron: str) -> None:
    assert len(problems(GSC_AUTO_SYNC_CRON=cron)) == 1


def test_a_variable_that_is_almost_ours_is_an_error_and_others_are_their_users_own() -> None:
    found = problems(
        GSC_WORKSPACE_FILE="w.yaml",
        GSC_LOGLEVEL="info",
        GSC_ALERT_URL="json://user:secret@host",
        GSC_AUTO_SYNC_DAYS="many",
        GSC_ACME_KEY="{}",
        GSC_API_KEY="x",
        GSC_DATABASE_URL="x",
        GSC_TEST_CLOCK="x",
        GSC_STATE_PASSWORD="x",
    )
    assert found[:3] == [
        "GSC_ALERT_URL: unknown variable, expected GSC_ALERT_URLS",
        "GSC_LOGLEVEL: unknown variable, expected GSC_LOG_LEVEL",
        "GSC_WORKSPACE_FILE: unknown variable, expected GSC_WORKSPACES_FILE",
    ]
    assert [line.split(":")[0] for line in found[3:]] == ["GSC_AUTO_SYNC_DAYS"]


def test_no_setting_is_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        monkeypatch.setenv(str(field.validation_alias).lower(), "")
    load_settings()


def test_an_invalid_secret_is_not_repeated_in_the_error() -> None:
    assert problems(GSC_HEARTBEAT_URL="hc-ping.example/secret") == [
        "GSC_HEARTBEAT_URL: expected an address that begins with https://"
    ]
    assert "secret" not in repr(load_settings(heartbeat_url="https://hc.example/secret"))


@pytest.mark.parametrize("text", ["0", "1767225600", "2025-02-30", "2025-07-01T00:00:00", "01.07.2025"])
def test_a_start_date_is_a_calendar_date_and_never_a_number_of_seconds(text: str) -> None:
    assert problems(GSC_START_DATE=text) == [f"GSC_START_DATE: {text!r}: expected a date such as 2026-11-20"]


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = load_settings()
    for field in Settings.model_fields:
        monkeypatch.setenv(f"GSC_{field.upper()}", "")

    assert load_settings() == defaults


def test_long_values_are_shortened_in_errors() -> None:
    (line,) = problems(GSC_AUTO_SYNC_DAYS="9" * 59 + "x" * 1_000)

    assert line == f"GSC_AUTO_SYNC_DAYS: '{'9' * 56}...: expected a whole number"


def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSC_AUTO_SYNC_DAYS", "3")

    assert load_settings(auto_sync_days=5, start_date=date(2026, 1, 1)).auto_sync_days == 5


def test_reading_settings_opens_no_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GSC_AUTO_SYNC_DAYS=99\n")
    program = """
import sys
from gsc_pipeline.settings import load_settings
events, watched = [], set()
sys.addaudithook(lambda name, args: events.append((name, args)) if name.split(".")[0] in watched else None)
watched = {"open", "os", "socket", "sqlite3"}
print(load_settings().auto_sync_days)
watched = set()
print(events)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GSC_")}

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment | {"GSC_WORKSPACES_FILE": "tenants.yaml", "GSC_LAKE": "lake"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["14", "[]"]
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


@pytest.mark.parametrize(
    ("lake", "where"),
    [
        ("data/lake", "data/state.db"),
        ("/srv/gsc/lake", "/srv/gsc/state.db"),
        ("s3://bucket/lake", "data/state.db"),
    ],
)
def test_the_shared_state_is_beside_the_lake_unless_set(lake: str, where: str) -> None:
    assert Path(state_address(load_settings(lake=lake))).absolute() == Path(where).absolute()
    assert state_address(load_settings(lake=lake, state="elsewhere.db")) == "elsewhere.db"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db/pipeline",
        "postgres://sync@db:5432/pipeline",
        "postgresql://sync:p%2Fw@/pipeline?host=/run/postgresql",
        "postgresql://sync:pw@[::1]:5432/pipeline?sslmode=require",
    ],
)
def test_a_postgresql_url_is_accepted_for_the_shared_state(url: str) -> None:
    assert state_address(load_settings(state=url)) == url


@pytest.mark.parametrize(
    "url",
    ["mysql://sync:s3cret@db/x", "postgresql://sync:s3cret/x@db/pipeline", "postgresql://s:s3cret@t@db/x"],
)
def test_an_invalid_address_of_the_shared_state_is_refused_without_its_password(url: str) -> None:
    (problem,) = problems(GSC_STATE=url)
    assert problem == (
        "GSC_STATE: expected the path of a file, or postgresql://user:password@host:5432/database, "
        "the password percent-encoded"
    )


def test_settings_printed_as_a_whole_hide_the_password() -> None:
    settings = load_settings(state="postgresql://sync:s3cret@db/pipeline")
    assert "s3cret" not in f"{settings!r} {settings}"


def test_a_lake_or_reports_in_a_store_without_a_bucket_are_refused() -> None:
    assert problems(GSC_LAKE="s3:///lake", GSC_REPORTS="ftp://host/reports") == [
        "GSC_LAKE: 's3:///lake': expected the name of a bucket, as in s3://bucket/folder",
        "GSC_REPORTS: 'ftp://host/reports': expected a folder, or s3://, gs://, az://, abfss://, file://",
    ]
