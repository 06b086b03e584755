"""What deploy/celery's launcher makes of a run whose worker is silent: a real Redis, and no worker."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from gsc_pipeline.defs.celery_launcher import MonitoredCeleryRunLauncher
from gsc_pipeline_tests.cluster.redis import RedisServer, serving_redis


def run(task: str) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="gsc_sync", tags={DAGSTER_CELERY_TASK_ID_TAG: task})


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with serving_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


def launcher(redis: RedisServer, lost_after_seconds: int) -> MonitoredCeleryRunLauncher:
    return MonitoredCeleryRunLauncher(
        lost_after_seconds, default_queue="dagster", broker=redis.url(0), backend=redis.url(1)
    )


def test_a_run_that_its_worker_no_longer_confirms_has_failed_and_the_worker_is_named(
    redis: RedisServer,
) -> None:
    made = launcher(redis, lost_after_seconds=0)
    made.celery.backend.store_result("lost", {"pid": 1, "hostname": "gsc@lost"}, "STARTED")
    health = made.check_run_worker_health(run("lost"))
    assert health.status is WorkerStatus.FAILED
    assert health.msg
    assert "gsc@lost has not confirmed" in health.msg


def test_a_worker_that_is_silent_for_a_moment_costs_no_run(redis: RedisServer) -> None:
    made = launcher(redis, lost_after_seconds=1_000)
    made.celery.backend.store_result("busy", {"pid": 1, "hostname": "gsc@busy"}, "STARTED")
    assert made.check_run_worker_health(run("busy")).status is WorkerStatus.RUNNING


def test_a_run_that_could_not_record_its_end_has_failed(redis: RedisServer) -> None:
    made = launcher(redis, lost_after_seconds=0)
    made.celery.backend.store_result("ended", 1, "SUCCESS")
    health = made.check_run_worker_health(run("ended"))
    assert health.status is WorkerStatus.FAILED
    assert "recorded no end" in str(health.msg)


def test_a_task_that_failed_is_reported_at_once(redis: RedisServer) -> None:
    made = launcher(redis, lost_after_seconds=1_000)
    made.celery.backend.store_result("failed", RuntimeError("the process was killed"), "FAILURE")
    assert made.check_run_worker_health(run("failed")).status is WorkerStatus.FAILED
