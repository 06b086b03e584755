"""Parts of a cluster fail during a tick. The tick ends, its summary says what happened, the lake is true."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.defs.jobs import WORKSPACES_TAG
from gsc_pipeline.lake.schemas import SYNC_LEDGER
from gsc_pipeline.simulator import Call, SyntheticProperty
from gsc_pipeline_tests.cluster.cluster import Cluster
from gsc_pipeline_tests.cluster.machines import DAEMON, WORKER, Limits, Machine
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true

pytestmark = [pytest.mark.slow, pytest.mark.soak]

DAYS, EACH = 3, 6
PARTS = (
    "process", "worker", "redis", "restart", "database", "unavailable", "slow", "gone", "daemon",
)  # fmt: skip
"""What fails in each test. Each has workspaces of its own, more than the workers have slots."""


def ids(part: str) -> list[str]:
    return [f"{part}-{number}" for number in range(EACH)]


def site(workspace: str) -> str:
    return f"sc-domain:{workspace}.example"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    properties = [
        SyntheticProperty(site(id_), rows_a_day=20, plants=False) for part in PARTS for id_ in ids(part)
    ]
    folder = tmp_path_factory.mktemp("cluster")
    settings = {"GSC_AUTO_SYNC_DAYS": str(DAYS), "GSC_WORKSPACES_PER_RUN": "1"}
    limits = Limits(poll_seconds=2, lost_after_seconds=30)
    with Cluster.running(folder, properties, settings=settings, limits=limits) as running:
        yield running


@pytest.fixture(autouse=True)
def whole(cluster: Cluster) -> None:
    """Every worker is there, whatever an earlier test did."""
    cluster.world.faults.clear()
    for worker in cluster.workers:
        if WORKER not in worker.processes:
            worker.start(WORKER)


def tick(cluster: Cluster, part: str, **settings: str) -> str:
    """Start a tick of the part's workspaces, each with a run of its own."""
    return cluster.tick(*({"id": id_, "properties": [site(id_)]} for id_ in ids(part)), **settings)


@contextmanager
def at_the_first_read(cluster: Cluster, part: str, act: Callable[[str], Any]) -> Iterator[list[str]]:
    """Call `act` with the first workspace of the part that reads rows. Yields where it is noted."""
    met: list[str] = []

    def fault(call: Call) -> None:
        workspace = (call.site_url or "").removeprefix("sc-domain:").removesuffix(".example")
        if call.kind == "query" and workspace in ids(part) and not met:
            met.append(workspace)
            act(workspace)

    cluster.world.faults.append(fault)
    yield met
    assert met, "nothing read rows, so nothing failed"


def assert_tick_is_true(cluster: Cluster, due: str, part: str) -> None:
    """Assert that every workspace of the tick is complete, and that the lake has exactly its rows."""
    outcomes = cluster.outcomes(due)
    found = {id_: (str(one.outcome), one.reasons) for id_, one in outcomes.items()}
    assert found == dict.fromkeys(ids(part), ("complete", ())), cluster.log()
    summary = cluster.summary(due) or {}
    assert [summary.get(name) for name in ("total_workspaces", "successes")] == [EACH, EACH]
    assert_lake_is_true(
        cluster.world, list(cluster.world.last(DAYS)), site_urls=[site(id_) for id_ in ids(part)]
    )
    ledger = cluster.world.lake.read(SYNC_LEDGER, columns=["workspace", "data_date", "status"]).to_pylist()
    days = Counter((row["workspace"], row["data_date"]) for row in ledger if row["workspace"] in ids(part))
    assert set(days.values()) == {1}
    assert not {row["status"] for row in ledger} & {"failed", "writing"}
    assert all(record.dagster_run.is_finished for record in cluster.syncs(due))


def failed(cluster: Cluster, due: str) -> dict[str, str]:
    """The failed runs of a tick: for each one's workspace, what Dagster says of its end."""
    return {
        record.dagster_run.tags[WORKSPACES_TAG]: "\n".join(
            event.message for event in cluster.instance.all_logs(record.dagster_run.run_id) if event.message
        )
        for record in cluster.syncs(due)
        if record.dagster_run.status is dg.DagsterRunStatus.FAILURE
    }


def machine_of(cluster: Cluster, pid: int) -> Machine:
    """The machine on which a worker's process runs."""
    group = os.getpgid(pid)
    return next(one for one in cluster.workers if one.processes[WORKER].pid == group)


def test_a_run_whose_process_is_killed_is_repeated_and_named(cluster: Cluster) -> None:
    def kill(workspace: str) -> None:
        os.kill(cluster.process_of(workspace), signal.SIGKILL)

    with at_the_first_read(cluster, "process", kill) as met:
        due = tick(cluster, "process")
        cluster.finish(due)
    assert_tick_is_true(cluster, due, "process")
    ended = failed(cluster, due)
    assert list(ended) == met
    assert "Celery task failed" in ended[met[0]]
    assert "gsc@worker-" in ended[met[0]]


def test_the_runs_of_a_worker_that_is_lost_are_repeated_on_another(cluster: Cluster) -> None:
    lost: list[Machine] = []

    def kill(workspace: str) -> None:
        lost.append(machine_of(cluster, cluster.process_of(workspace)))
        lost[0].kill(WORKER)

    with at_the_first_read(cluster, "worker", kill) as met:
        due = tick(cluster, "worker")
        cluster.finish(due)
    assert_tick_is_true(cluster, due, "worker")
    ended = failed(cluster, due)
    # A run that the worker had received and not begun ends after `start_timeout_seconds` instead.
    assert f"gsc@{lost[0].name} has not confirmed" in ended[met[0]]
    good = [one.dagster_run for one in cluster.syncs(due) if one.dagster_run.is_success]
    again = {run.tags[WORKSPACES_TAG]: cluster.worker_of(run) for run in good}
    assert again[met[0]] != f"gsc@{lost[0].name}"


def test_a_redis_that_is_killed_and_comes_back_costs_no_run(cluster: Cluster) -> None:
    def kill(workspace: str) -> None:
        cluster.redis.kill()
        threading.Timer(30, cluster.redis.start).start()

    with at_the_first_read(cluster, "redis", kill):
        due = tick(cluster, "redis")
        cluster.finish(due)
    assert_tick_is_true(cluster, due, "redis")
    assert failed(cluster, due) == {}


@pytest.mark.parametrize(("part", "seconds"), [("restart", 2), ("database", 30)])
def test_a_database_that_is_away_delays_the_tick(cluster: Cluster, part: str, seconds: float) -> None:
    def stop(workspace: str) -> None:
        cluster.postgres.stop()
        threading.Timer(seconds, cluster.postgres.ensure_postgres_running).start()

    with at_the_first_read(cluster, part, stop):
        due = tick(cluster, part, GSC_RUN_MINUTES="2")
        cluster.finish(due)
    assert_tick_is_true(cluster, due, part)


def test_a_bucket_that_answers_503_is_asked_again(cluster: Cluster) -> None:
    with at_the_first_read(cluster, "unavailable", lambda _: cluster.bucket.answer_503(20)):
        due = tick(cluster, "unavailable")
        cluster.finish(due)
    assert_tick_is_true(cluster, due, "unavailable")


def test_a_slow_bucket_is_waited_for(cluster: Cluster) -> None:
    with at_the_first_read(cluster, "slow", lambda _: cluster.bucket.delay(30, by=2)):
        due = tick(cluster, "slow")
        cluster.finish(due)
    assert_tick_is_true(cluster, due, "slow")


def test_a_bucket_that_is_gone_for_a_minute_delays_the_tick(cluster: Cluster) -> None:
    back = threading.Event()

    def leave(workspace: str) -> None:
        def stay_away() -> None:
            with cluster.bucket.gone():
                back.wait(60)

        threading.Thread(target=stay_away).start()

    with at_the_first_read(cluster, "gone", leave):
        due = tick(cluster, "gone")
        cluster.finish(due)
    back.set()
    assert_tick_is_true(cluster, due, "gone")


def test_the_daemon_moves_to_another_machine_during_a_tick(cluster: Cluster) -> None:
    first, second = cluster.heads

    def lose(workspace: str) -> None:
        first.lose()
        second.start(DAEMON)

    with at_the_first_read(cluster, "daemon", lose):
        due = tick(cluster, "daemon")
        cluster.finish(due)
    assert_tick_is_true(cluster, due, "daemon")
    assert failed(cluster, due) == {}
    runs = Counter(one.dagster_run.tags[WORKSPACES_TAG] for one in cluster.syncs(due))
    assert runs == Counter(ids("daemon"))
