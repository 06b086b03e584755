"""Telemetry, alerts and health as the settings configure them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.settings import load_settings
from gsc_pipeline.sync.telemetry import AutoSyncStarted
from gsc_pipeline_tests.monitoring.test_audit import lines
from gsc_pipeline_tests.waiting import HANG_SECONDS


def test_the_audit_log_is_where_the_settings_say_and_rotated_at_their_size(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.log"
    emitter = Services(load_settings(audit_log=str(path), audit_log_megabytes=0.0001)).telemetry
    for number in range(3):
        emitter.emit_event(AutoSyncStarted("now", number))
    assert sorted(line["total_workspaces"] for line in lines(path)) == [0, 1, 2]
    assert path.with_name("audit.log.2").exists()


def test_off_means_no_audit_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Services(load_settings(audit_log="off")).telemetry.emit_event(AutoSyncStarted("now", 1))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_workspaces_file_is_a_reason_and_no_crash(tmp_path: Path) -> None:
    settings = load_settings(workspaces_file=tmp_path / "none.yaml", lake=str(tmp_path / "lake"))
    assert Services(settings).health_monitor.observe(HANG_SECONDS).health.kinds == {"workspaces_file"}
