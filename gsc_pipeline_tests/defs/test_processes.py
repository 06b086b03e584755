"""Dagster's command line, daemon and queue, each as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.days import ONE_DAY, utc_now
from gsc_pipeline.lake.schemas import (
    INDEX_COVERAGE,
    SITE_IMPRESSION,
    SITEMAPS,
    SYNC_RUNS,
    URL_INSPECTIONS,
)
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.tables import TABLES
from gsc_pipeline.sync.ticks import TickBook
from gsc_pipeline_tests.faults.test_daemon_killed import switch_on_ten_minutes_ago
from gsc_pipeline_tests.replies import UNAVAILABLE, all_queries
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
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


def materialize(env: dict[str, str], *options: str, select: str = ASSETS) -> subprocess.CompletedProcess[str]:
    dagster = str(Path(sys.executable).with_name("dagster"))
    command = [dagster, "asset", "materialize", "--select", select, "-m", "gsc_pipeline.definitions"]
    return subprocess.run([*command, *options], env=env, check=False, capture_output=True, text=True)


def partitions_known(env: dict[str, str]) -> set[str]:
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        return set(instance.get_materialized_partitions(dg.AssetKey(SITE_IMPRESSION.name)))


def test_dagster_asset_materialize_takes_a_range_on_a_new_instance(live: World) -> None:
    env = environment(live)
    first, last = live.today - 2 * ONE_DAY, live.today - ONE_DAY
    done = materialize(env, "--partition-range", f"{first}|acme...{last}|acme")
    assert done.returncode == 0, done.stderr
    assert partitions_known(env) == {f"{first}|acme", f"{last}|acme"}


@pytest.mark.soak
def test_dagster_asset_materialize_takes_a_key_on_a_new_instance(live: World) -> None:
    env = environment(live)
    day = live.today - 3 * ONE_DAY
    done = materialize(env, "--partition", f"{day}|acme")
    assert done.returncode == 0, done.stderr
    assert partitions_known(env) == {f"{day}|acme"}


@pytest.mark.soak
def test_the_tables_of_a_workspace_and_what_is_made_of_them_take_the_workspace_alone(live: World) -> None:
    env = environment(live)
    tables = (SITEMAPS, URL_INSPECTIONS, INDEX_COVERAGE)
    done = materialize(env, "--partition", "acme", select=",".join(table.name for table in tables))
    assert done.returncode == 0, done.stderr
    assert "STEP_SKIPPED" not in done.stderr
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        for table in tables:
            made = instance.fetch_materializations(dg.AssetKey(table.name), limit=9).records
            assert [record.partition_key for record in made] == ["acme"]
            check = dg.AssetCheckKey(dg.AssetKey(table.name), "up_to_date")
            assert instance.get_latest_asset_check_evaluation_record(check)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("select", "options", "cause"),
    [
        ("*", (), "no '--partition' option was provided"),
        ("*", ("--partition", "acme"), "no PartitionsDefinition shared by all"),
        ("sync_ledger", (), "must be a subset of existing executable asset keys"),
        (SITE_IMPRESSION.name, ("--partition", "2026-11-20|acme"), "required_multi_asset_neighbors()"),
    ],
)
def test_a_selection_that_no_run_can_make_is_refused_with_the_reason(
    live: World, select: str, options: tuple[str, ...], cause: str
) -> None:
    done = materialize(environment(live), *options, select=select)
    assert done.returncode != 0
    assert cause in done.stderr
    assert not live.simulator.calls


@pytest.mark.soak
def test_dagster_asset_materialize_refuses_a_workspace_that_is_not_listed(live: World) -> None:
    env = environment(live)
    done = materialize(env, "--partition", f"{live.today - ONE_DAY}|nobody")
    assert done.returncode != 0
    assert "2" in done.stderr
    assert not live.queries()


@contextmanager
def daemon(env: dict[str, str]) -> Iterator[None]:
    """Dagster's daemon with the project's workspace.yaml, ended with every process that it started."""
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
            process.wait(HANG_SECONDS)


def daemon_log(env: dict[str, str]) -> Callable[[], str]:
    return (Path(env["DAGSTER_HOME"]) / "daemon.log").read_text


def finished_runs(env: dict[str, str]) -> list[dg.DagsterRun]:
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        runs = instance.get_runs(dg.RunsFilter(statuses=ended))
    # Insights and the portal follow a tick by themselves.
    return [run for run in runs if run.job_name not in ("gsc_insights", "gsc_portal")]


@pytest.mark.soak
def test_the_schedule_fires_and_the_queue_runs_every_workspace(live: World) -> None:
    env = environment(
        live, GSC_AUTO_SYNC_ENABLED="true", GSC_AUTO_SYNC_CRON="* * * * *", GSC_AUTO_SYNC_DAYS="2"
    )
    with daemon(env):
        wait_until(
            lambda: {run.tags["gsc/workspace"] for run in finished_runs(env)} == {"acme", "globex"},
            "a run of each workspace",
            every=1,
            log=daemon_log(env),
        )
        # While the daemon lives: its end may kill a run of the next minute's tick.
        runs = finished_runs(env)
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert {run.tags["gsc/workspace"] for run in runs} == {"acme", "globex"}
    assert all(run.tags["dagster/schedule_name"] == "gsc_auto_sync" for run in runs)
    assert {key.partition("|")[2] for key in partitions_known(env)} == {"acme", "globex"}
    assert {run.run_id for run in runs} <= set(live.lake.read(SYNC_RUNS)["run_id"].to_pylist())


@pytest.mark.soak
def test_a_tick_that_an_open_circuit_skipped_is_made_up_by_the_daemon(live: World) -> None:
    due = utc_now() - timedelta(minutes=2)
    env = environment(
        live,
        GSC_AUTO_SYNC_ENABLED="true",
        # A tick was due two minutes ago, and the next is a day away.
        GSC_AUTO_SYNC_CRON=f"{due.minute} {due.hour} * * *",
        GSC_AUTO_SYNC_DAYS="2",
        GSC_BREAKER_FAILURES="1",
        GSC_BREAKER_SECONDS="3600",
    )
    live.faults.append(all_queries(UNAVAILABLE))
    gsc = str(Path(sys.executable).with_name("gsc"))
    subprocess.run([gsc, "sync", "--days", "2"], env=env, check=False, capture_output=True)
    live.faults.clear()
    sent = len(live.queries())
    switch_on_ten_minutes_ago(env)
    with daemon(env), closing(open_store(str(live.folder / "state.db"))) as store:
        book = TickBook(store)
        wait_until(lambda: bool(book.unended()), "the tick", every=1, log=daemon_log(env))
        (tick,) = book.unended()
        assert (tick.workspaces, tick.runs) == (("acme", "globex"), 0)
        assert len(live.queries()) == sent
        # The hour is over.
        for table in TABLES:
            if "breaker" in table:
                store.execute(f"DELETE FROM {table}")
        for outcome in book.outcomes(tick):
            book.note(replace(outcome, retry_at=utc_now().isoformat()))
        wait_until(lambda: bool(summaries(env)), "the tick's summary", every=1, log=daemon_log(env))
    (summary,) = summaries(env)
    assert (summary["total_workspaces"].value, summary["successes"].value) == (2, 2)
    runs = finished_runs(env)
    assert sorted(run.tags["gsc/workspaces"] for run in runs) == ["acme", "globex"]
    assert {(run.tags["gsc/try"], run.status) for run in runs} == {("1", dg.DagsterRunStatus.SUCCESS)}


def summaries(env: dict[str, str]) -> list[Any]:
    """The metadata of each event of the asset `auto_sync`."""
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        records = instance.fetch_materializations(dg.AssetKey("auto_sync"), limit=9).records
    return [record.asset_materialization.metadata for record in records if record.asset_materialization]


@pytest.mark.soak
def test_a_sync_by_hand_shows_in_the_instance_of_a_running_daemon(live: World) -> None:
    env = environment(live)
    gsc = str(Path(sys.executable).with_name("gsc"))
    elsewhere = {name: value for name, value in env.items() if name != "DAGSTER_HOME"}
    days = [live.today - n * ONE_DAY for n in (1, 2)]
    expected = {f"{day}|{id_}" for day in days for id_ in ("acme", "globex")}
    with daemon(env):
        done = subprocess.run(
            [gsc, "sync", "--days", "2"], env=elsewhere, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        wait_until(
            lambda: partitions_known(env) == expected, "the days of the sync", every=1, log=daemon_log(env)
        )
