"""What the project's dagster.yaml lets out of the queue, as decided by Dagster's own queue."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from gsc_pipeline.defs.build import build_defs
from gsc_pipeline.defs.jobs import INSIGHTS_WORKSPACE_TAG, MORE_WORKSPACE_TAG, shared_run_tags
from gsc_pipeline.settings import load_settings

ROOT = Path(__file__).parents[2]
QUEUED = dg.DagsterRunStatus.QUEUED
LOCATION = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("gsc_pipeline"), "__repository__")
DEFINITIONS = build_defs(load_settings())


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def add(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, job: str, **tags: str) -> str:
    """A run with the tags of its job, and others."""
    own = DEFINITIONS.resolve_job_def(job).run_tags if job.startswith("gsc_") else {}
    run = dg.DagsterRun(
        job_name=job, status=status, tags={**own, **tags}, remote_job_origin=RemoteJobOrigin(LOCATION, job)
    )
    return instance.add_run(run).run_id


def leaves_queue(instance: dg.DagsterInstance) -> list[str]:
    """The runs that the daemon would launch now."""
    with QueuedRunCoordinatorDaemon(interval_seconds=1) as daemon:
        found = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    return [run.run_id for run in found]


def test_a_sync_starts_while_every_other_job_and_a_backfill_wait_for_a_slot(
    instance: dg.DagsterInstance,
) -> None:
    for n in range(6):
        insights = shared_run_tags([f"w{n}"], minutes=30, tag=INSIGHTS_WORKSPACE_TAG)
        add(instance, QUEUED, "gsc_insights", **insights)
        add(instance, QUEUED, "gsc_more", **shared_run_tags([f"w{n}"], minutes=120, tag=MORE_WORKSPACE_TAG))
        add(instance, QUEUED, "__ASSET_JOB", **{"dagster/backfill": f"b{n}"})
    add(instance, QUEUED, "gsc_checks")
    add(instance, QUEUED, "gsc_housekeeping")
    first = leaves_queue(instance)
    assert len(first) == 3
    for run_id in first:
        instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", "any"), run_id)
    assert leaves_queue(instance) == []
    sync = add(instance, QUEUED, "gsc_sync", **shared_run_tags(["acme"], minutes=10))
    assert leaves_queue(instance) == [sync]


def test_syncs_take_every_slot_when_nothing_else_runs(instance: dg.DagsterInstance) -> None:
    runs = [add(instance, QUEUED, "gsc_sync", **shared_run_tags([f"w{n}"], minutes=10)) for n in range(5)]
    assert leaves_queue(instance) == runs[:4]


def test_of_two_groups_that_hold_the_same_workspace_the_insights_are_updated_one_after_another(
    instance: dg.DagsterInstance,
) -> None:
    for group in (["acme", "globex"], ["globex"]):
        add(
            instance,
            QUEUED,
            "gsc_insights",
            **shared_run_tags(group, minutes=30, tag=INSIGHTS_WORKSPACE_TAG),
        )
    (first,) = leaves_queue(instance)
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", "any"), first)
    assert leaves_queue(instance) == []
