"""The audit log: one whole JSON line per event, from any process, through rotation and errors."""

from __future__ import annotations

import json
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.monitoring.audit import KEPT, AuditLog
from gsc_pipeline.sync.telemetry import AutoSyncStarted, Telemetry
from gsc_pipeline_tests.waiting import HANG_SECONDS

AT = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)


def lines(path: Path) -> list[dict[str, Any]]:
    """Every line of the log, rotated files included; a torn one fails the test."""
    files = [file for file in path.parent.glob(f"{path.name}*") if not file.name.endswith(".lock")]
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def test_an_event_is_one_json_line_with_its_time_name_and_fields(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "gsc_audit.log"
    Telemetry(AuditLog(path, clock=lambda: AT)).emit_event(AutoSyncStarted("2026-11-21T18:00", 3))
    assert path.read_text("utf-8") == (
        '{"at": "2026-11-21T18:00:00+00:00", "event": "auto_sync.started", '
        '"total_workspaces": 3, "tick": "2026-11-21T18:00"}\n'
    )


def test_a_text_with_line_breaks_stays_on_its_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    AuditLog(path)("workspace_sync.complete", {}, {"reasons": ["first\nsecond\u2028third é"]})
    assert len(path.read_text("utf-8").split("\n")) == 2
    assert json.loads(path.read_text("utf-8"))["reasons"] == ["first\nsecond\u2028third é"]


def test_a_full_file_is_rotated_and_ten_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path, max_bytes=1)
    for number in range(KEPT + 5):
        log("event", {"number": number}, {})
    assert [line["number"] for line in map(json.loads, path.read_text("utf-8").splitlines())] == [KEPT + 4]
    assert sorted(line["number"] for line in lines(path)) == list(range(4, KEPT + 5))
    assert not path.with_name(f"audit.log.{KEPT + 1}").exists()


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").write_text("a file where the folder belongs")
    Telemetry(AuditLog(tmp_path / "logs" / "audit.log")).emit_event(AutoSyncStarted("now", 1))
    assert "auto_sync.started" in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_raises_an_error(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"space|argument"):
        AuditLog(path)("event", {}, {})


def test_a_file_that_cannot_be_opened_is_named_by_its_own_error(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.symlink_to(tmp_path / "no such folder" / "audit.log")
    with pytest.raises(FileNotFoundError, match=r"audit\.log"):
        AuditLog(path)("event", {}, {})


def _write(path: str, writer: int, count: int) -> None:
    log = AuditLog(Path(path), max_bytes=30_000)
    for number in range(count):
        log("event", {"writer": writer, "number": number}, {"padding": "x" * (number % 200)})


def test_no_line_of_many_processes_is_lost_or_torn_through_rotation(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_write, args=(str(path), writer, 150)) for writer in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HANG_SECONDS)
    assert [process.exitcode for process in processes] == [0] * 4
    written = sorted((line["writer"], line["number"]) for line in lines(path))
    assert written == [(writer, number) for writer in range(4) for number in range(150)]
    assert path.with_name("audit.log.1").exists()
    assert path.stat().st_size <= 30_000
