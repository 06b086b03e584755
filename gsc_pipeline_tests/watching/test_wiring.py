"""What the settings make of telemetry and alerts."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.settings import load_settings
from gsc_pipeline.telemetry import AutoSyncStarted
from gsc_pipeline.wiring import alerts, health_monitor, telemetry
from gsc_pipeline_tests.watching.test_audit import lines


def test_the_audit_log_is_where_the_settings_say_and_rotated_at_their_size(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.log"
    told = telemetry(load_settings(audit_log=str(path), audit_log_megabytes=0.0001))
    for number in range(3):
        told.tell(AutoSyncStarted("now", number))
    assert sorted(line["total_workspaces"] for line in lines(path)) == [0, 1, 2]
    assert path.with_name("audit.log.2").exists()


def test_off_means_no_audit_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    telemetry(load_settings(audit_log="off")).tell(AutoSyncStarted("now", 1))
    assert list(tmp_path.iterdir()) == []


def test_an_alert_address_that_is_none_is_found_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="GSC_ALERT_URLS"):
        alerts(load_settings(alert_urls=SecretStr("nonsense"), alert_memory=tmp_path / "alerts.json"))


def test_a_missing_workspaces_file_is_a_reason_and_no_crash(tmp_path: Path) -> None:
    settings = load_settings(workspaces_file=tmp_path / "none.yaml", lake=str(tmp_path / "lake"))
    assert health_monitor(settings).look().health.kinds == {"workspaces_file"}
