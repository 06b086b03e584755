"""The HTTP server over a real socket: health for probes, metrics for Prometheus."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.monitoring.http import make_app, serve_until_stopped
from gsc_pipeline.monitoring.metrics import metrics_text
from gsc_pipeline.monitoring.monitor import HealthMonitor
from gsc_pipeline.monitoring.sync_runs import BUCKETS
from gsc_pipeline.monitoring.ticks import TickView
from gsc_pipeline.search_console.breakers import BreakerState, Circuit
from gsc_pipeline.search_console.call_times import CALL_BOUNDS
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.replies import FORBIDDEN, all_queries
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import NOON, World

DASHBOARD = Path(__file__).parents[2] / "deploy/grafana/gsc_pipeline.json"

Get = Callable[[str], urllib3.BaseHTTPResponse]


def visit(
    world: World, workspaces: list[Workspace], ask: Callable[[Get], None], **options: Any
) -> HealthMonitor:
    """Serve the world's state, let `ask` make requests, and end by SIGTERM, as service managers do."""
    by_workspace = options.pop("by_workspace", False)
    lake = options.pop("lake", world.lake)
    monitor = HealthMonitor(
        lake,
        lambda: workspaces,
        stale_after=timedelta(hours=12),
        cache_seconds=0.0,
        clock=lambda: world.now,
        **options,
    )
    errors: list[BaseException] = []

    def client(url: str) -> None:
        try:
            with urllib3.PoolManager(retries=False, timeout=HANG_SECONDS) as pool:
                ask(lambda path: pool.request("GET", url + path))
        # Raised again at the end: an assertion in a thread fails no test.
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    app = make_app(monitor, metrics_text(monitor, by_workspace=by_workspace))
    threads: list[threading.Thread] = []

    def ready(url: str) -> None:
        threads.append(threading.Thread(target=client, args=(url,)))
        threads[0].start()

    serve_until_stopped(app, host="127.0.0.1", port=0, on_ready=ready)
    threads[0].join()
    if errors:
        raise errors[0]
    return monitor


def samples(text: str) -> dict[str, float]:
    """Every number of a scrape, labels in its name, as Prometheus' own parser reads it."""
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_health_is_200_when_ok_and_503_with_reasons_otherwise(world: World) -> None:
    acme = world.workspace()

    def ask(get: Get) -> None:
        before = get("/health/sync")
        assert before.status == 503
        assert [reason["kind"] for reason in before.json()["reasons"]] == ["no_lake"]
        world.sync(acme)
        after = get("/health/sync")
        assert (after.status, after.json()["ok"], after.json()["reasons"]) == (200, True, [])
        assert after.json()["last_good_sync_at"] == NOON.isoformat()
        assert (after.json()["observed_at"], after.json()["age_seconds"]) == (NOON.isoformat(), 0)
        assert after.headers["Cache-Control"] == "no-store"
        live = get("/health/live")
        assert (live.status, live.json()) == (200, {"ok": True})
        assert get("/other").status == 404

    visit(world, [acme], ask)


def test_live_is_200_whatever_else_is_wrong(world: World, tmp_path: Path) -> None:
    def broken() -> None:
        raise ConnectionError("no database")

    def ask(get: Get) -> None:
        assert get("/health/live").status == 200
        assert get("/health/sync").json()["database_ok"] is False

    visit(world, [world.workspace()], ask, probe_instance=broken)


def test_metrics_are_counts_and_sums_that_name_no_workspace(world: World) -> None:
    acme, globex = world.workspace(), world.workspace("globex")
    report = world.sync(acme)
    world.faults.append(all_queries(FORBIDDEN))
    lost = world.sync(globex)
    calls, times = report.usage.calls + lost.usage.calls, report.usage.times + lost.usage.times
    found: list[str] = []
    visit(
        world,
        [acme, globex],
        lambda get: found.append(get("/metrics").data.decode()),
        probe_instance=lambda: NOON,
        view_ticks=lambda ended: TickView(NOON - timedelta(hours=1)),
    )
    assert samples(found[0]) == {
        "gsc_healthy": 1,
        "gsc_lake_up": 1,
        "gsc_database_up": 1,
        "gsc_breaker_open": 0,
        "gsc_observed_timestamp_seconds": NOON.timestamp(),
        "gsc_last_tick_timestamp_seconds": (NOON - timedelta(hours=1)).timestamp(),
        "gsc_daemon_heartbeat_timestamp_seconds": NOON.timestamp(),
        "gsc_workspaces": 2,
        "gsc_workspaces_complete": 1,
        "gsc_workspaces_partial": 0,
        "gsc_workspaces_failed": 1,
        "gsc_workspaces_crashed": 0,
        "gsc_workspaces_stale": 1,
        "gsc_workspaces_failing": 1,
        "gsc_workspaces_damaged": 0,
        "gsc_workspaces_held_back": 0,
        "gsc_consecutive_failed_syncs": 1,
        "gsc_consecutive_incomplete_syncs": 1,
        "gsc_failed_days": 5,
        "gsc_sync_seconds": pytest.approx(report.seconds + lost.seconds),
        "gsc_last_good_sync_timestamp_seconds": NOON.timestamp(),
        "gsc_rows_read_total": report.rows,
        "gsc_api_calls_total": calls,
        "gsc_api_retries_total": 0,
        "gsc_sync_duration_seconds_count": 2,
        "gsc_sync_duration_seconds_sum": pytest.approx(report.seconds + lost.seconds, abs=0.001),
        "gsc_sync_duration_seconds_bucket[+Inf]": 2,
        **{
            f"gsc_sync_duration_seconds_bucket[{bound}]": sum(one.seconds <= bound for one in (report, lost))
            for bound in BUCKETS
        },
        "gsc_api_call_duration_seconds_count": calls,
        "gsc_api_call_duration_seconds_sum": pytest.approx(times.milliseconds / 1000),
        "gsc_api_call_duration_seconds_bucket[+Inf]": calls,
        **{
            f"gsc_api_call_duration_seconds_bucket[{bound}]": sum(times.counts[: place + 1])
            for place, bound in enumerate(CALL_BOUNDS)
        },
    }
    assert "acme" not in found[0]


def test_metrics_name_workspaces_only_on_request(world: World) -> None:
    acme, new = world.workspace(), world.workspace("new")
    world.sync(acme)
    found: list[str] = []
    visit(world, [acme, new], lambda get: found.append(get("/metrics").data.decode()), by_workspace=True)
    numbers = samples(found[0])
    assert numbers["gsc_workspace_last_good_sync_timestamp_seconds[acme]"] == NOON.timestamp()
    assert numbers["gsc_workspace_failed_days[new]"] == 0
    assert numbers["gsc_workspace_consecutive_failed_syncs[new]"] == 0
    assert "gsc_workspace_last_good_sync_timestamp_seconds[new]" not in numbers


def test_without_a_lake_the_metrics_say_so_and_no_counter_falls(world: World, tmp_path: Path) -> None:
    log = tmp_path / "broken" / SYNC_RUNS.name / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("not a commit", encoding="utf-8")
    found: list[str] = []
    broken = Lake(str(tmp_path / "broken"))
    visit(
        world,
        [world.workspace()],
        lambda get: found.append(get("/metrics").data.decode()),
        lake=broken,
        breaker_state=lambda: BreakerState(Circuit.OPEN),
    )
    assert samples(found[0]) == {
        "gsc_healthy": 0,
        "gsc_lake_up": 0,
        "gsc_database_up": 1,
        "gsc_breaker_open": 1,
        "gsc_observed_timestamp_seconds": NOON.timestamp(),
    }


def test_without_a_workspaces_file_no_counter_falls(world: World) -> None:
    def no_file() -> list[Workspace]:
        raise PipelineError("workspaces.yaml cannot be read")

    world.sync(world.workspace())
    monitor = HealthMonitor(world.lake, no_file, stale_after=timedelta(hours=12), clock=lambda: world.now)
    monitor.observe(HANG_SECONDS)
    assert "gsc_rows_read_total" not in samples(metrics_text(monitor)().decode())


def test_every_metric_of_the_dashboard_exists(world: World) -> None:
    world.sync(world.workspace())
    monitor = HealthMonitor(
        world.lake,
        lambda: [world.workspace()],
        stale_after=timedelta(hours=12),
        probe_instance=lambda: NOON,
        view_ticks=lambda ended: TickView(NOON),
        clock=lambda: world.now,
    )
    monitor.observe(HANG_SECONDS)
    shown = {name.partition("[")[0] for name in samples(metrics_text(monitor)().decode())}
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(queries) > len(panels) / 2
    used = {name for query in queries for name in re.findall(r"\bgsc_\w+", query)}
    assert used <= shown
    left_out = {
        f"gsc_{of}_duration_seconds_{part}" for of in ("sync", "api_call") for part in ("count", "sum")
    }
    assert shown - used <= left_out | {"gsc_observed_timestamp_seconds", "gsc_sync_seconds"}
    places = [tuple(panel["gridPos"].values()) for panel in panels]
    assert len(set(places)) == len({panel["id"] for panel in panels}) == len(panels)


def test_a_port_that_is_taken_is_one_clear_error(world: World) -> None:
    monitor = HealthMonitor(world.lake, list, stale_after=timedelta(hours=1))
    app = make_app(monitor, lambda: b"")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PipelineError, match=f"127.0.0.1 port {port} .*choose another --port"):
            serve_until_stopped(app, host="127.0.0.1", port=port, on_ready=json.dumps)
