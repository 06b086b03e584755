"""The pages over a real socket: health for probes, numbers for Prometheus."""

from __future__ import annotations

import json
import os
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
from gsc_pipeline.health import ClosedBreaker, HealthMonitor
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.serving.app import make_app
from gsc_pipeline.serving.metrics import metrics_text
from gsc_pipeline.serving.server import serve_until_stopped
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.sync.test_failures import FORBIDDEN, all_queries
from gsc_pipeline_tests.world import NOON, World

Get = Callable[[str], urllib3.BaseHTTPResponse]


def visit(
    world: World, workspaces: list[Workspace], ask: Callable[[Get], None], **options: Any
) -> HealthMonitor:
    """Serve the world's state, let `ask` make requests, and end by the signal that service managers send."""
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
            with urllib3.PoolManager(retries=False, timeout=20) as pool:
                ask(lambda path: pool.request("GET", url + path))
        # Told to the test at its end: an assertion in a thread fails nothing.
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


def test_health_is_200_while_all_is_well_and_503_with_its_reasons_when_not(world: World) -> None:
    acme = world.workspace()

    def ask(get: Get) -> None:
        before = get("/health/sync")
        assert before.status == 503
        assert [reason["kind"] for reason in before.json()["reasons"]] == ["stale"]
        world.sync(acme)
        after = get("/health/sync")
        assert (after.status, after.json()["ok"], after.json()["reasons"]) == (200, True, [])
        assert after.json()["last_good_sync_at"] == NOON.isoformat()
        assert after.headers["Cache-Control"] == "no-store"
        live = get("/health/live")
        assert (live.status, live.json()) == (200, {"ok": True})
        assert get("/other").status == 404

    visit(world, [acme], ask)


def test_a_process_that_lives_says_so_whatever_else_is_wrong(world: World, tmp_path: Path) -> None:
    def broken() -> None:
        raise ConnectionError("no database")

    def ask(get: Get) -> None:
        assert get("/health/live").status == 200
        assert get("/health/sync").json()["database_ok"] is False

    visit(world, [world.workspace()], ask, probe_database=broken)


def test_metrics_tell_the_state_in_aggregate(world: World) -> None:
    acme, globex = world.workspace(), world.workspace("globex")
    report = world.sync(acme)
    world.faults.append(all_queries(FORBIDDEN))
    lost = world.sync(globex)
    found: list[str] = []
    visit(world, [acme, globex], lambda get: found.append(get("/metrics").data.decode()))
    numbers = samples(found[0])
    assert numbers == {
        "gsc_lake_up": 1,
        "gsc_database_up": 1,
        "gsc_breaker_open": 0,
        "gsc_workspaces": 2,
        "gsc_workspaces_stale": 1,
        "gsc_workspaces_failing": 1,
        "gsc_workspaces_held_back": 0,
        "gsc_failed_days": 5,
        "gsc_sync_seconds": pytest.approx(report.seconds + lost.seconds),
        "gsc_last_good_sync_timestamp_seconds": NOON.timestamp(),
        "gsc_rows_read_total": report.rows,
        "gsc_api_calls_total": report.usage.calls + lost.usage.calls,
        "gsc_api_retries_total": 0,
    }
    assert "acme" not in found[0]


def test_workspaces_are_named_only_where_that_was_asked_for(world: World) -> None:
    acme, new = world.workspace(), world.workspace("new")
    world.sync(acme)
    found: list[str] = []
    visit(world, [acme, new], lambda get: found.append(get("/metrics").data.decode()), by_workspace=True)
    numbers = samples(found[0])
    assert numbers["gsc_workspace_last_good_sync_timestamp_seconds[acme]"] == NOON.timestamp()
    assert numbers["gsc_workspace_failed_days[new]"] == 0
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
        breaker_state=lambda: ClosedBreaker("open"),
    )
    assert samples(found[0]) == {"gsc_lake_up": 0, "gsc_database_up": 1, "gsc_breaker_open": 1}


def test_a_port_that_is_taken_is_one_clear_error(world: World) -> None:
    monitor = HealthMonitor(world.lake, list, stale_after=timedelta(hours=1))
    app = make_app(monitor, lambda: b"")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PipelineError, match=f"127.0.0.1 port {port} .*choose another --port"):
            serve_until_stopped(app, host="127.0.0.1", port=port, on_ready=json.dumps)
