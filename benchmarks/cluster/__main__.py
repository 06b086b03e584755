"""`python -m benchmarks.cluster`: what a tick without changes costs, with and without Celery workers.

It starts the cluster of `make cluster`, syncs every workspace once, lets one tick pass, and measures four
further ticks in which nothing has changed. It writes CLUSTER.md after each.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks.cluster.cpu import cpu_of, peak_mib, pids_of
from benchmarks.cluster.page import Measured, page
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline_tests.cluster.cluster import Cluster
from gsc_pipeline_tests.cluster.machines import DAEMON, DEPLOY, WORKER, Machine

DAYS = 1
SHARED = 20


def main(words: Sequence[str] | None = None) -> None:
    """Measure as many workspaces as the command line says, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--workspaces", type=int, default=200, help="of the ticks with 20 workspaces a run")
    parser.add_argument("--single", type=int, help="of those with one a run; by default as many")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "CLUSTER.md")
    options = parser.parse_args(words)
    single = min(options.single or options.workspaces, options.workspaces)
    with tempfile.TemporaryDirectory(prefix="gsc-cluster-") as folder:
        measure(Path(folder), options.workspaces, single, options.out)


def measure(folder: Path, count: int, single: int, out: Path) -> None:
    """Measure the four combinations on one cluster."""
    ids = [f"client-{number:04d}" for number in range(count)]
    properties = [
        SyntheticProperty(_site(id_), rows_a_day=1, plants=False, readers=[f"{id_}@example.com"])
        for id_ in ids
    ]
    settings = {"GSC_AUTO_SYNC_DAYS": str(DAYS), "GSC_AUDIT_LOG": "off"}
    done: list[Measured] = []
    with Cluster.running(folder, properties, settings=settings) as cluster:
        _say(f"gsc sync of {count} workspaces")
        _sync(cluster, ids)
        _say("A tick that warms the workers, and records the days in Dagster")
        _tick(cluster, ids, SHARED, is_celery=True)
        _tick(cluster, ids[: max(single, 8)], 1, is_celery=True)
        for is_celery in (True, False):
            for per_run, some in ((1, ids[:single]), (SHARED, ids)):
                _say(f"Idle tick of {len(some)}, {per_run} a run, {'Celery' if is_celery else 'default'}")
                found = _tick(cluster, some, per_run, is_celery=is_celery)
                _say(str(found))
                done.append(found)
                out.write_text(page(done), encoding="utf-8")


def _site(id_: str) -> str:
    return f"sc-domain:{id_}.example"


def _sync(cluster: Cluster, ids: Sequence[str]) -> None:
    """Sync every workspace once, by one process."""
    cluster.world.environment(*({"id": id_, "properties": [_site(id_)]} for id_ in ids))
    head = cluster.heads[0]
    head.copy_workspaces(cluster.world.folder)
    done = head.run("gsc", "sync", "--days", str(DAYS))
    if done.returncode:
        raise SystemExit(f"gsc sync failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _tick(cluster: Cluster, ids: Sequence[str], per_run: int, *, is_celery: bool) -> Measured:
    """One tick of these workspaces, and its CPU from the moment at which the schedule has evaluated it."""
    cluster.stop_daemon()
    _choose_launcher(cluster.heads[0], is_celery=is_celery)
    entries = [{"id": id_, "properties": [_site(id_)]} for id_ in ids]
    due = cluster.tick(*entries, GSC_WORKSPACES_PER_RUN=str(per_run))
    cluster.wait(lambda: cluster.book.named(due) is not None, "the tick")
    daemon = cluster.heads[0].processes[DAEMON].pid
    database = cluster.postgres.get_postmaster_info().process.pid
    load = os.getloadavg()[0]
    before = _reading(cluster, daemon), cpu_of(database).total
    tick = cluster.finish(due)
    after = _reading(cluster, daemon), cpu_of(database).total
    runs, scheduling = (later - earlier for later, earlier in zip(after[0], before[0], strict=True))
    records = cluster.syncs(due)
    outcomes = cluster.outcomes(due).values()
    assert len(outcomes) == len(ids), f"{len(outcomes)} of {len(ids)} workspaces"
    assert all(one.outcome == Outcome.COMPLETE and not one.days_read for one in outcomes), outcomes
    return Measured(
        launcher="Celery workers" if is_celery else "default",
        per_run=per_run,
        workspaces=len(ids),
        runs=len(records),
        wall=max(record.end_time or 0.0 for record in records) - tick.begun_at.timestamp(),
        runs_cpu=runs,
        daemon_cpu=scheduling,
        database_cpu=after[1] - before[1],
        worker_mib=_largest_child(cluster) if is_celery else 0.0,
        load=load,
    )


def _reading(cluster: Cluster, daemon: int) -> tuple[float, float]:
    """CPU of the processes that execute runs, and of the daemon with its code server, until now."""
    of_daemon = cpu_of(daemon)
    of_workers = sum(cpu_of(worker.processes[WORKER].pid).total for worker in cluster.workers)
    return of_daemon.started + of_workers, of_daemon.lasting


def _largest_child(cluster: Cluster) -> float:
    pids = [pid for worker in cluster.workers for pid in pids_of(worker.processes[WORKER].pid)]
    return max(map(peak_mib, pids))


def _choose_launcher(head: Machine, *, is_celery: bool) -> None:
    """Write the daemon's dagster.yaml, with Celery's launcher as in deploy/celery or with none."""
    config = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
    if not is_celery:
        del config["run_launcher"]
    (head.folder / "home" / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
