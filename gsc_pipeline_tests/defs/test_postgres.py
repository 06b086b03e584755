"""Everything on PostgreSQL: Dagster's instance as deploy/postgres makes it, and the state processes share."""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
import pytest
import yaml

from gsc_pipeline.days import Window, utc_now
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.sync.ticks import TickBook
from gsc_pipeline_tests.defs.test_processes import (
    ROOT,
    daemon,
    daemon_log,
    environment,
    finished_runs,
    live,
    materialize,
    partitions_known,
)
from gsc_pipeline_tests.faults.test_daemon_killed import switch_on_ten_minutes_ago
from gsc_pipeline_tests.postgres import new_database, serving_postgres
from gsc_pipeline_tests.waiting import wait_until
from gsc_pipeline_tests.world import World, contents

pytestmark = pytest.mark.slow

__all__ = ["live"]

CONFIG = ROOT / "deploy" / "postgres" / "dagster.yaml"
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


def on(url: str, live: World, monkeypatch: pytest.MonkeyPatch, **more: str) -> dict[str, str]:
    """The environment in which all of Dagster's and the pipeline's state is in the database."""
    home = live.folder / "home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(CONFIG)
    monkeypatch.setenv("GSC_DATABASE_URL", url)
    audit_log = str(live.folder / "audit.log")
    return environment(live, GSC_DATABASE_URL=url, GSC_STATE=url, GSC_AUDIT_LOG=audit_log, **more)


@pytest.fixture(scope="module")
def own_server() -> Iterator[Any]:
    """A server that these tests may stop and fill up."""
    with serving_postgres() as server:
        yield server


@pytest.fixture
def own_url(own_server: Any) -> str:
    """An empty database of it."""
    own_server.ensure_postgres_running()
    return new_database(own_server)


def gsc_sync(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    gsc = str(Path(sys.executable).with_name("gsc"))
    command = [gsc, "sync", "--days", "2", "acme"]
    return subprocess.run(command, env=env, check=False, capture_output=True, text=True)


def take_every_connection(url: str, taken: ExitStack) -> None:
    """Take every connection that the server allows, until `taken` is closed."""
    with suppress(psycopg2.OperationalError):
        while True:
            taken.enter_context(closing(psycopg2.connect(url)))


def as_synced_without_faults(live: World, window: Window) -> dict[str, Any]:
    """The contents that the lake should have for acme's window."""
    with tempfile.TemporaryDirectory() as folder, World.serving(Path(folder), now=live.now) as calm:
        calm.sync(calm.workspace("acme"), window)
        return contents(calm.lake)


def test_both_instances_differ_only_in_their_storage() -> None:
    plain, postgres = (yaml.safe_load(path.read_text()) for path in (ROOT / "dagster.yaml", CONFIG))
    storage = postgres.pop("storage")
    assert postgres == plain
    assert storage["postgres"]["postgres_url"] == {"env": "GSC_DATABASE_URL"}


def test_without_the_variable_the_instance_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GSC_DATABASE_URL", raising=False)
    (tmp_path / "dagster.yaml").symlink_to(CONFIG)
    with pytest.raises(Exception, match="GSC_DATABASE_URL"), dg.DagsterInstance.from_config(str(tmp_path)):
        pass


@pytest.mark.soak
def test_on_an_empty_database_the_schedule_fires_and_the_queue_runs_every_workspace(
    live: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = utc_now() - timedelta(minutes=2)
    env = on(
        postgres_url,
        live,
        monkeypatch,
        GSC_AUTO_SYNC_ENABLED="true",
        # A tick that was due two minutes ago: nobody waits for the next minute.
        GSC_AUTO_SYNC_CRON=f"{due.minute} {due.hour} * * *",
        GSC_AUTO_SYNC_DAYS="2",
    )
    switch_on_ten_minutes_ago(env)
    with daemon(env):
        wait_until(lambda: len(finished_runs(env)) >= 2, "two runs", every=1, log=daemon_log(env))
    runs = finished_runs(env)
    assert {run.status for run in runs} == {SUCCESS}
    once = [(run.tags["gsc/tick"], run.tags["gsc/workspace"]) for run in runs]
    assert len(once) == len(set(once))
    assert {workspace for _, workspace in once} == {"acme", "globex"}
    assert {key.partition("|")[2] for key in partitions_known(env)} == {"acme", "globex"}
    assert {run.run_id for run in runs} <= set(live.lake.read(SYNC_RUNS)["run_id"].to_pylist())
    with closing(open_store(postgres_url)) as store:
        (first, *_) = store.execute("SELECT tick FROM gsc_ticks ORDER BY tick")
        outcomes = store.execute("SELECT workspace FROM gsc_tick_outcomes WHERE tick = :tick", tick=first[0])
    assert {workspace for (workspace,) in outcomes} == {"acme", "globex"}
    assert not list((live.folder / "home").rglob("*.db"))


EVALUATE = """
import datetime, json, sys
import dagster as dg
from gsc_pipeline.definitions import defs

with dg.DagsterInstance.get() as instance:
    sys.stdin.readline()
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime.datetime.fromisoformat(sys.argv[1]),
        resources=defs.resources,
        repository_def=defs.get_repository_def(),
    ) as context:
        asked = defs.resolve_schedule_def("gsc_auto_sync").evaluate_tick(context)
    print(json.dumps([[one.run_key, one.tags["gsc/workspace"]] for one in asked.run_requests]))
"""


@pytest.mark.soak
def test_a_tick_that_two_processes_evaluate_at_once_is_one_tick_with_the_same_runs(
    live: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = on(postgres_url, live, monkeypatch)
    at = (utc_now() - timedelta(minutes=1)).replace(microsecond=0)
    command = [sys.executable, "-c", EVALUATE, at.isoformat()]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, env=env, text=True, **pipes) for _ in range(2)]
    # Both wait for this line, each with its instance open, on a database that was empty for both.
    for process in both:
        process.stdin.write("go\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    ends = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    asked = [json.loads(out.splitlines()[-1]) for out, _ in ends]
    assert asked[0] == asked[1]
    assert [workspace for _, workspace in asked[0]] == ["acme", "globex"]
    with closing(open_store(postgres_url)) as store:
        (tick,) = TickBook(store).unended()
    assert (tick.workspaces, tick.runs) == (("acme", "globex"), 2)
    events = [json.loads(line) for line in (live.folder / "audit.log").read_text().splitlines()]
    assert [event["event"] for event in events] == ["auto_sync.started"]


@pytest.mark.soak
def test_a_run_survives_a_restart_of_the_database(
    live: World, own_server: Any, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = on(own_url, live, monkeypatch)
    window = live.last(2)
    starting = threading.Timer(2, own_server.ensure_postgres_running)
    stops: list[str] = []

    def stop_at_the_first_query(call: Any) -> None:
        if call.kind == "query" and not stops:
            stops.append(call.kind)
            own_server.stop()
            starting.start()

    live.faults.append(stop_at_the_first_query)
    done = materialize(env, "--partition-range", f"{window.start}|acme...{window.last}|acme")
    assert stops, done.stderr
    starting.join()
    (run,) = finished_runs(env)
    assert run.status is SUCCESS, done.stderr[-4000:]
    assert partitions_known(env) == {f"{day}|acme" for day in window}
    assert contents(live.lake) == as_synced_without_faults(live, window)
    again = gsc_sync(env)
    assert again.returncode == 0, again.stderr
    assert contents(live.lake) == as_synced_without_faults(live, window)


@pytest.mark.soak
def test_a_database_that_stays_away_ends_the_run_and_the_next_run_reads_the_rest(
    live: World, own_server: Any, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = on(own_url, live, monkeypatch)
    window = live.last(2)
    keys = f"{window.start}|acme...{window.last}|acme"
    stops: list[str] = []

    def stop_at_the_first_query(call: Any) -> None:
        if call.kind == "query" and not stops:
            stops.append(call.kind)
            own_server.stop()

    live.faults.append(stop_at_the_first_query)
    # Away for as long as the run lives, so for longer than anything tries again.
    done = materialize(env, "--partition-range", keys)
    assert stops
    assert done.returncode != 0
    own_server.ensure_postgres_running()
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        (run,) = instance.get_runs()
    # Its end could not be noted either: the daemon sees to that, by the run's time limit.
    assert run.status is dg.DagsterRunStatus.STARTED
    assert partitions_known(env) == set()
    again = materialize(env, "--partition-range", keys)
    assert again.returncode == 0, again.stderr
    assert partitions_known(env) == {f"{day}|acme" for day in window}
    assert contents(live.lake) == as_synced_without_faults(live, window)


@pytest.mark.soak
def test_a_database_without_a_free_connection_is_named_and_nothing_is_lost(
    live: World, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = on(own_url, live, monkeypatch)
    window = live.last(2)
    assert gsc_sync(env).returncode == 0
    before = contents(live.lake)
    with ExitStack() as taken:
        take_every_connection(own_url, taken)
        run = materialize(env, "--partition-range", f"{window.start}|acme...{window.last}|acme")
        sync = gsc_sync(env)
    assert run.returncode != 0
    assert "too many clients" in run.stderr
    assert sync.returncode != 0
    assert "the shared state in PostgreSQL" in sync.stderr + sync.stdout
    assert "too many clients" in sync.stderr + sync.stdout
    assert contents(live.lake) == before
    assert gsc_sync(env).returncode == 0
    assert contents(live.lake) == before == as_synced_without_faults(live, window)
