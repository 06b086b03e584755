"""Kill -9 of the real daemon between creating and launching runs: nothing is launched twice, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData

from gsc_pipeline.days import utc_now
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.sync.test_truth import assert_lake_is_true
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
from gsc_pipeline_tests.world import World

pytestmark = [pytest.mark.slow, pytest.mark.soak]

ROOT = Path(__file__).parents[2]
IDS = [f"w{n}" for n in range(6)]


def environment(world: World) -> dict[str, str]:
    home = world.folder / "home"
    home.mkdir()
    entries = [{"id": id_, "properties": [f"sc-domain:{id_}.example"]} for id_ in IDS]
    due = utc_now() - timedelta(minutes=2)
    return {
        **os.environ,
        **world.environment(*entries),
        "DAGSTER_HOME": str(home),
        "GSC_AUTO_SYNC_ENABLED": "true",
        # A tick was due two minutes ago, and the next is a day away.
        "GSC_AUTO_SYNC_CRON": f"{due.minute} {due.hour} * * *",
        "GSC_AUTO_SYNC_DAYS": "2",
        "GSC_WORKSPACES_PER_RUN": "2",
    }


def configure(env: dict[str, str], *, launches: bool) -> None:
    """The project's dagster.yaml; without `launches`, one by which no run leaves the queue."""
    config = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    if not launches:
        config["concurrency"]["runs"]["max_concurrent_runs"] = 0
    (Path(env["DAGSTER_HOME"]) / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def switch_on_ten_minutes_ago(env: dict[str, str]) -> None:
    """Pretend that the schedule has been on since then, so that the daemon runs the tick that was due."""
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        switch_on_since_ten_minutes(instance, env["GSC_AUTO_SYNC_CRON"])


def switch_on_since_ten_minutes(instance: dg.DagsterInstance, cron: str) -> None:
    """The same in an open instance, whatever its state was."""
    location = RegisteredCodeLocationOrigin("gsc_pipeline")
    origin = RemoteRepositoryOrigin(location, "__repository__").get_instigator_origin("gsc_auto_sync")
    since = (utc_now() - timedelta(minutes=10)).timestamp()
    data = ScheduleInstigatorData(cron, since)
    state = InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, data)
    known = instance.get_instigator_state(origin.get_id(), origin.get_selector().get_id())
    if known is None:
        instance.add_instigator_state(state)
    else:
        instance.update_instigator_state(state)


@contextmanager
def daemon(env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon in a process group of its own, which ends together with it."""
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run"]
    with (Path(env["DAGSTER_HOME"]) / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--workspace", str(ROOT / "workspace.yaml")],
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(HANG_SECONDS)


def wait_for(env: dict[str, str], is_met: Callable[[list[dg.DagsterRun]], bool], every: float) -> None:
    log = (Path(env["DAGSTER_HOME"]) / "daemon.log").read_text
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        wait_until(lambda: is_met(list(instance.get_runs())), "runs of the daemon", every=every, log=log)


def runs(env: dict[str, str]) -> list[dg.DagsterRun]:
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        return [run for run in instance.get_runs() if run.job_name == "gsc_sync"]


@pytest.mark.parametrize("created", [1, 3], ids=["after the first run is created", "before any is launched"])
def test_a_daemon_killed_between_creating_and_launching_runs_is_replaced_without_loss(
    tmp_path: Path, created: int
) -> None:
    properties = [SyntheticProperty(f"sc-domain:{id_}.example", rows_a_day=5, plants=False) for id_ in IDS]
    with World.serving(tmp_path, properties, now=utc_now()) as world:
        env = environment(world)
        configure(env, launches=False)
        switch_on_ten_minutes_ago(env)
        with daemon(env) as first:
            wait_for(env, lambda found: len(found) >= created, every=0.02)
            os.killpg(first.pid, signal.SIGKILL)
            assert first.wait(HANG_SECONDS) == -signal.SIGKILL
        assert not world.queries()
        assert all(not run.is_finished for run in runs(env))

        configure(env, launches=True)
        with daemon(env):
            wait_for(env, lambda found: len(found) >= 3 and all(run.is_finished for run in found), every=0.5)
        assert {run.status for run in runs(env)} == {dg.DagsterRunStatus.SUCCESS}
        asked = Counter(id_ for run in runs(env) for id_ in run.tags["gsc/workspaces"].split())
        assert asked == Counter(IDS)
        world.now = utc_now()
        assert_lake_is_true(world, list(world.last(2)))
