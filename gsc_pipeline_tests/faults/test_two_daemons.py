"""Two real daemons on one instance, as by a mistake or while one replaces the other: one tick stays one."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import dagster as dg
import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.state.store import open_store
from gsc_pipeline.ticks import TickBook
from gsc_pipeline_tests.faults.test_daemon_killed import (
    IDS,
    configure,
    daemon,
    environment,
    runs,
    switch_on_ten_minutes_ago,
    wait_for,
)
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.world import World

pytestmark = pytest.mark.slow


def test_a_tick_that_two_daemons_meet_syncs_every_workspace_once_and_is_told_once(tmp_path: Path) -> None:
    properties = [SyntheticProperty(f"sc-domain:{id_}.example", rows_a_day=5, plants=False) for id_ in IDS]
    with World.serving(tmp_path, properties, now=utc_now()) as world, ExitStack() as daemons:
        audit_log = world.folder / "audit.log"
        env = {**environment(world), "GSC_AUDIT_LOG": str(audit_log)}
        configure(env, launches=True)
        switch_on_ten_minutes_ago(env)
        book = TickBook(daemons.enter_context(closing(open_store(str(world.folder / "state.db")))))
        for _ in range(2):
            daemons.enter_context(daemon(env))
        # The insights that follow are no part of this.
        wait_for(env, lambda found: book.last_ended() is not None, every=0.5)
        # Dagster looks for a run of the same key and then makes one: both may look first, and the second run
        # finds that there is nothing to do.
        assert {id_ for run in runs(env) for id_ in run.tags["gsc/workspaces"].split()} == set(IDS)
        assert {run.status for run in runs(env)} == {dg.DagsterRunStatus.SUCCESS}
        assert Counter(world.lake.read(SYNC_RUNS)["workspace"].to_pylist()) == Counter(IDS)
        events = Counter(json.loads(line)["event"] for line in audit_log.read_text().splitlines())
        assert events == {"auto_sync.started": 1, "workspace_sync.complete": 6, "auto_sync.complete": 1}
        world.now = utc_now()
        assert_lake_is_true(world, list(world.last(2)))
        log = (Path(env["DAGSTER_HOME"]) / "daemon.log").read_text()
        assert "You likely have multiple daemon processes running at once" in log
