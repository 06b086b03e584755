"""The heartbeat of Dagster's daemon, as a real instance records it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagster._daemon.types import DaemonHeartbeat

from gsc_pipeline.defs.instance import last_heartbeat
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.monitoring.monitor import HealthMonitor
from gsc_pipeline_tests.instances import instance_on_files


def test_the_oldest_heartbeat_of_the_daemons_parts_counts_once_each_has_sent_one(tmp_path: Path) -> None:
    with instance_on_files(tmp_path / "dagster") as instance:
        assert last_heartbeat(instance) is None
        parts = sorted(instance.get_required_daemon_types())
        assert {"SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR"} <= set(parts)
        for number, part in enumerate(parts):
            assert last_heartbeat(instance) is None
            instance.add_daemon_heartbeat(DaemonHeartbeat(1_000_000.0 + number, part, None))
        assert last_heartbeat(instance) == datetime.fromtimestamp(1_000_000, UTC)
        instance.add_daemon_heartbeat(DaemonHeartbeat(2_000_000.0, parts[0], None))
        assert last_heartbeat(instance) == datetime.fromtimestamp(1_000_001, UTC)


def test_a_dead_daemon_is_a_reason(tmp_path: Path) -> None:
    now = [datetime(2026, 11, 21, 12, 0, tzinfo=UTC)]
    with instance_on_files(tmp_path / "dagster") as instance:
        monitor = HealthMonitor(
            Lake(str(tmp_path / "lake")),
            list,
            stale_after=timedelta(hours=12),
            probe_instance=lambda: last_heartbeat(instance),
            clock=lambda: now[0],
        )

        def beat() -> None:
            for part in instance.get_required_daemon_types():
                instance.add_daemon_heartbeat(DaemonHeartbeat(now[0].timestamp(), part, None))

        beat()
        assert monitor.observe_now().health.daemon_heartbeat_at == now[0]
        now[0] += timedelta(minutes=6)
        assert "daemon" in monitor.observe_now().health.kinds
        beat()
        assert "daemon" not in monitor.observe_now().health.kinds
