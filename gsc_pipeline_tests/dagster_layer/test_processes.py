"""Dagster as people and machines start it: its command line, its daemon, its queue, each a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from gsc_pipeline.days import ONE_DAY, utc_now
from gsc_pipeline.lake.schemas import PROPERTIES, SITE_IMPRESSION, SITEMAPS, SYNC_RUNS
from gsc_pipeline_tests.world import World

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ASSETS = "searchdata_url_impression,searchdata_site_impression"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[World]:
    with World.serving(tmp_path, now=utc_now()) as world:
        yield world


def environment(live: World, **more: str) -> dict[str, str]:
    home = live.folder / "home"
    home.mkdir(exist_ok=True)
    if not (home / "dagster.yaml").exists():
        (home / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    two = [{"id": id_, "properties": ["sc-domain:acme.com"]} for id_ in ("acme", "globex")]
    return {**os.environ, **live.environment(*two), "DAGSTER_HOME": str(home), **more}


def materialize(env: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    dagster = str(Path(sys.executable).with_name("dagster"))
    command = [dagster, "asset", "materialize", "--select", ASSETS, "-m", "gsc_pipeline.definitions"]
    return subprocess.run([*command, *options], env=env, check=False, capture_output=True, text=True)


def partitions_known(env: dict[str, str]) -> set[str]:
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        return set(instance.get_materialized_partitions(dg.AssetKey(SITE_IMPRESSION.name)))


def test_dagster_asset_materialize_takes_a_key_and_a_range_on_an_instance_that_has_seen_nothing(
    live: World,
) -> None:
    env = environment(live)
    day = live.today - 3 * ONE_DAY
    one = materialize(env, "--partition", f"{day}|acme")
    assert one.returncode == 0, one.stderr
    assert partitions_known(env) == {f"{day}|acme"}
    last = live.today - ONE_DAY
    some = materialize(env, "--partition-range", f"{day}|acme...{last}|acme")
    assert some.returncode == 0, some.stderr
    assert partitions_known(env) == {f"{day + n * ONE_DAY}|acme" for n in range(3)}


def test_a_table_that_is_kept_by_workspace_takes_the_workspace_alone_as_its_partition(live: World) -> None:
    env = environment(live)
    dagster = str(Path(sys.executable).with_name("dagster"))
    command = [dagster, "asset", "materialize", "-m", "gsc_pipeline.definitions"]
    done = subprocess.run(
        [*command, "--select", "sitemaps,properties", "--partition", "acme"],
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        for table in (SITEMAPS, PROPERTIES):
            assert set(instance.get_materialized_partitions(dg.AssetKey(table.name))) == {"acme"}
            assert live.lake.read(table).num_rows


def test_dagster_asset_materialize_refuses_a_workspace_that_is_not_listed(live: World) -> None:
    env = environment(live)
    done = materialize(env, "--partition", f"{live.today - ONE_DAY}|nobody")
    assert done.returncode != 0
    assert "2" in done.stderr
    assert not live.queries()


def test_gsc_sync_tells_the_instance_that_dagster_home_names(live: World) -> None:
    env = environment(live)
    gsc = str(Path(sys.executable).with_name("gsc"))
    done = subprocess.run([gsc, "sync", "--days", "2"], env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    days = [live.today - n * ONE_DAY for n in (1, 2)]
    assert partitions_known(env) == {f"{day}|{id_}" for day in days for id_ in ("acme", "globex")}


def test_gsc_sync_stands_when_the_instance_cannot_be_told(live: World) -> None:
    gsc = str(Path(sys.executable).with_name("gsc"))
    env = environment(live)
    (live.folder / "broken").mkdir()
    (live.folder / "broken" / "dagster.yaml").write_text("storage: [", encoding="utf-8")
    env["DAGSTER_HOME"] = str(live.folder / "broken")
    done = subprocess.run([gsc, "sync", "--days", "1"], env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert "could not be told" in done.stderr


@contextmanager
def daemon(env: dict[str, str]) -> Iterator[None]:
    """Dagster's own daemon with the project's workspace.yaml, ended with all that it started."""
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run"]
    log = Path(env["DAGSTER_HOME"]) / "daemon.log"
    # Two processes that find no database at once both make one, and one of them fails.
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]):
        pass
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--workspace", str(ROOT / "workspace.yaml")],
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def finished_runs(env: dict[str, str]) -> list[dg.DagsterRun]:
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        runs = instance.get_runs(dg.RunsFilter(statuses=ended))
    # Insights follow a tick by themselves.
    return [run for run in runs if run.job_name != "gsc_insights"]


def test_the_schedule_fires_and_the_queue_runs_every_workspace(live: World) -> None:
    env = environment(
        live, GSC_AUTO_SYNC_ENABLED="true", GSC_AUTO_SYNC_CRON="* * * * *", GSC_AUTO_SYNC_DAYS="2"
    )
    deadline = time.monotonic() + 180
    with daemon(env):
        while len(finished_runs(env)) < 2:
            log = (Path(env["DAGSTER_HOME"]) / "daemon.log").read_text()
            assert time.monotonic() < deadline, log[-4000:]
            time.sleep(1)
    runs = finished_runs(env)
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert {run.tags["gsc/workspace"] for run in runs} == {"acme", "globex"}
    assert all(run.tags["dagster/schedule_name"] == "gsc_auto_sync" for run in runs)
    assert {key.partition("|")[2] for key in partitions_known(env)} == {"acme", "globex"}
    assert {run.run_id for run in runs} <= set(live.lake.read(SYNC_RUNS)["run_id"].to_pylist())
