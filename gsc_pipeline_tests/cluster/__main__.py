"""`python -m gsc_pipeline_tests.cluster`: one tick on a cluster, checked against the truth."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.cli.tables import print_rows
from gsc_pipeline.days import Window
from gsc_pipeline.defs.jobs import WORKSPACES_TAG
from gsc_pipeline.demo.world import WORKSPACES, properties
from gsc_pipeline.simulator import Property, SyntheticProperty
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline_tests.cluster.cluster import Cluster
from gsc_pipeline_tests.faults.test_three_days import assert_copies_are_true

MORE, PER_RUN, DAYS = 50, 5, 14


def many() -> list[Property]:
    """The demonstration's properties, and those of fifty small workspaces more."""
    small = (
        SyntheticProperty(
            f"sc-domain:{id_}.example", rows_a_day=30, plants=False, readers=[f"{id_}@example.com"]
        )
        for id_ in ids()
    )
    return [*properties(), *small]


def ids() -> list[str]:
    """The ids of the small workspaces."""
    return [f"client-{number:02d}" for number in range(1, MORE + 1)]


def entries() -> list[dict[str, Any]]:
    """The entries of the workspaces file."""
    small = ({"id": id_, "properties": [f"sc-domain:{id_}.example"]} for id_ in ids())
    return [*(dict(workspace) for workspace in WORKSPACES), *small]


def main() -> int:
    """Sync all workspaces by one tick, show who did what, check the lake, and return the exit code."""
    settings = {"GSC_WORKSPACES_PER_RUN": str(PER_RUN), "GSC_AUTO_SYNC_DAYS": str(DAYS)}
    with tempfile.TemporaryDirectory() as folder:
        say(f"Starting PostgreSQL, Redis, a bucket, a simulator and Celery workers under {folder}")
        try:
            with Cluster.running(Path(folder), many(), settings=settings) as cluster:
                return sync_and_check(cluster)
        except pytest.skip.Exception as missing:
            say(f"make cluster: {missing}")
            return 1


def sync_and_check(cluster: Cluster) -> int:
    """One tick on a running cluster. Returns the exit code."""
    say(f"Starting the daemon: a tick of gsc_auto_sync is due for {len(entries())} workspaces")
    due = cluster.tick(*entries())
    tick = cluster.finish(due)
    by_workspace = {
        workspace: cluster.worker_of(record.dagster_run)
        for record in cluster.syncs(due)
        for workspace in record.dagster_run.tags[WORKSPACES_TAG].split()
    }
    outcomes = cluster.outcomes(due)
    show_workers(cluster, due)
    show_workspaces(cluster, due, by_workspace)
    for id_, one in sorted(outcomes.items()):
        for reason in one.reasons:
            say(f"{id_}: {reason}")
    say("Comparing both tables in the bucket with the simulator's numbers")
    window = Window.last_complete(DAYS, cluster.world.today)
    assert_copies_are_true(cluster.world, cluster.world.simulator.properties, window)
    complete = [one for one in outcomes.values() if one.outcome == Outcome.COMPLETE]
    workers = set(by_workspace.values())
    seconds = ((tick.ended_at or tick.begun_at) - tick.begun_at).total_seconds()
    say(f"{len(complete)} workspaces were synced by {len(workers)} workers in {seconds:.0f} s")
    is_good = len(complete) == len(entries()) and len(workers) == len(cluster.workers)
    return 0 if is_good else 1


def show_workers(cluster: Cluster, due: str) -> None:
    """Print a row for each worker."""
    runs: Counter[str] = Counter()
    workspaces: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for record in cluster.syncs(due):
        worker = cluster.worker_of(record.dagster_run)
        runs[worker] += 1
        workspaces[worker] += len(record.dagster_run.tags[WORKSPACES_TAG].split())
        seconds[worker] += round((record.end_time or 0.0) - (record.start_time or 0.0))
    print_rows(
        ["worker", "runs", "workspaces", "seconds in runs"],
        [(worker, runs[worker], workspaces[worker], seconds[worker]) for worker in sorted(runs)],
    )


def show_workspaces(cluster: Cluster, due: str, by_workspace: dict[str, str]) -> None:
    """Print a row for each workspace."""
    print_rows(
        ["workspace", "outcome", "worker", "days read", "rows", "calls", "seconds"],
        [
            (
                id_,
                str(one.outcome),
                by_workspace.get(id_, ""),
                one.days_read,
                one.site_rows + one.url_rows,
                one.calls,
                round(one.duration_ms / 1000, 1),
            )
            for id_, one in sorted(cluster.outcomes(due).items())
        ],
    )


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
