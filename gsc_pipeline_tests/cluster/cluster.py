"""A cluster on this machine: PostgreSQL, Redis, a bucket, a simulator, and machines that share only these."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from celery import Celery
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import SQLAlchemyError

from gsc_pipeline.days import utc_now
from gsc_pipeline.defs.jobs import SYNC_JOB, TICK_TAG
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.simulator import Property
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import StateError, Store
from gsc_pipeline.sync.telemetry import WorkspaceSyncComplete
from gsc_pipeline.sync.ticks import Tick, TickBook
from gsc_pipeline_tests.cluster.bucket import BucketServer, serving_bucket
from gsc_pipeline_tests.cluster.machines import DAEMON, WORKER, Limits, Machine
from gsc_pipeline_tests.cluster.redis import RedisServer, serving_redis
from gsc_pipeline_tests.faults.test_daemon_killed import switch_on_since_ten_minutes
from gsc_pipeline_tests.postgres import new_database, serving_postgres
from gsc_pipeline_tests.waiting import wait_until
from gsc_pipeline_tests.world import World

WORKERS = 2


@dataclass
class Cluster:
    """One daemon, on one of the machines `heads`, and a worker on each of `workers`.

    `instance` reads the same database as the machines' instances do.
    """

    world: World
    postgres: Any
    redis: RedisServer
    bucket: BucketServer
    settings: dict[str, str]
    limits: Limits | None
    instance: dg.DagsterInstance
    store: Store
    heads: list[Machine] = field(default_factory=list)
    workers: list[Machine] = field(default_factory=list)

    @classmethod
    @contextmanager
    def running(
        cls,
        folder: Path,
        properties: Sequence[Property],
        *,
        settings: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> Iterator[Cluster]:
        """All servers, and the workers, which wait for runs. `tick` starts the daemon.

        `settings` are variables of every machine, `limits` replace those of dagster.yaml.
        """
        for name in ("services", "redis"):
            (folder / name).mkdir(parents=True)
        with (
            World.serving(folder / "services", properties, now=utc_now()) as world,
            serving_redis(folder / "redis") as redis,
            serving_bucket() as bucket,
            serving_postgres() as postgres,
            variables(bucket.environment),
        ):
            world.lake = Lake(bucket.uri)
            database = new_database(postgres)
            # The simulator's address, and no waits that the real API needs.
            shared = {name: value for name, value in world.environment().items() if "WORKSPACES" not in name}
            shared |= {
                **bucket.environment,
                "GSC_DATABASE_URL": database,
                "GSC_STATE": database,
                "GSC_CELERY_BROKER": redis.url(0),
                "GSC_CELERY_BACKEND": redis.url(1),
                **(settings or {}),
            }
            with _observer(folder, database) as instance, closing(open_store(database)) as store:
                cluster = cls(world, postgres, redis, bucket, shared, limits, instance, store)
                try:
                    cluster._add_machines(folder)
                    yield cluster
                finally:
                    for machine in cluster.machines:
                        machine.lose()

    @property
    def book(self) -> TickBook:
        """The ticks."""
        return TickBook(self.store)

    @property
    def machines(self) -> list[Machine]:
        """Every machine."""
        return [*self.heads, *self.workers]

    def tick(self, *entries: dict[str, Any], **settings: str) -> str:
        """Start the daemon so that it finds the schedule due for these workspaces. Returns the tick's name.

        `entries` are as in a workspaces file; every machine gets its own copy, with keys. `settings` are
        variables of the daemon for this tick.
        """
        self.world.environment(*entries)
        for machine in self.machines:
            machine.copy_workspaces(self.world.folder)
        # Due two minutes ago, and again in a day.
        wait_until(lambda: self._newest_tick() < _minutes_ago(2), "a minute that had no tick yet")
        due = _minutes_ago(2)
        cron = f"{due[14:16]} {due[11:13]} * * *"
        self.stop_daemon()
        switch_on_since_ten_minutes(self.instance, cron)
        for machine in self.heads:
            machine.settings = {**self.settings, "GSC_AUTO_SYNC_CRON": cron, **settings}
        self.heads[0].start(DAEMON)
        return due

    def stop_daemon(self) -> None:
        """Stop the daemon, on whichever machine it runs."""
        for machine in self.heads:
            if DAEMON in machine.processes:
                machine.stop(DAEMON)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition, and start again what has ended meanwhile, as systemd does.

        It is not met while the database is away.
        """

        def is_met() -> bool:
            for machine in self.machines:
                machine.restart_ended()
            try:
                return condition()
            except (SQLAlchemyError, StateError, DagsterPostgresException):
                return False

        wait_until(is_met, what, every=0.5, log=self.log)

    def finish(self, tick: str) -> Tick:
        """Wait until the tick's runs have ended and the daemon has summed it up. Returns the tick.

        Only each run has a limit, so that a tick of many workspaces may take long on a busy machine.
        """
        finished = 0
        while finished >= 0:
            finished = self._next(tick, finished)
        self.wait(lambda: self.summary(tick) is not None, f"the event of the tick {tick}")
        found = self.book.named(tick)
        assert found is not None
        return found

    def outcomes(self, tick: str) -> dict[str, WorkspaceSyncComplete]:
        """The outcomes of a tick's workspaces."""
        found = self.book.named(tick)
        assert found is not None
        return {one.workspace: one for one in self.book.outcomes(found)}

    def summary(self, tick: str) -> dict[str, Any] | None:
        """The event of the asset `auto_sync` for a tick: its metadata, as the UI shows them."""
        records = self.instance.fetch_materializations(dg.AssetKey("auto_sync"), limit=20).records
        events = [record.asset_materialization for record in records if record.asset_materialization]
        shown = [{name: one.value for name, one in event.metadata.items()} for event in events]
        return next((metadata for metadata in shown if metadata["tick"] == tick), None)

    def syncs(self, tick: str) -> list[dg.RunRecord]:
        """The runs of a tick's syncs, in the order of their start."""
        filters = dg.RunsFilter(job_name=SYNC_JOB, tags={TICK_TAG: tick})
        return sorted(self.instance.get_run_records(filters), key=lambda one: one.start_time or 0.0)

    def worker_of(self, run: dg.DagsterRun) -> str:
        """The Celery worker that executed a run, by its result; empty if none has begun."""
        with closing(Celery(backend=self.redis.url(1))) as celery:
            return str(celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG]).worker or "")

    def process_of(self, workspace: str) -> int:
        """The process that syncs a workspace now, by its lease."""
        query = "SELECT pid FROM gsc_sync_leases WHERE workspace = :workspace"
        ((pid,),) = self.store.execute(query, workspace=workspace)
        return int(pid)

    def log(self) -> str:
        """The ends of all logs, and how many runs are in which status."""
        runs = Counter(str(run.status) for run in self.instance.get_runs())
        return "\n".join([*(machine.log() for machine in self.machines), str(runs)])

    def _add_machines(self, folder: Path) -> None:
        self.heads += [Machine(name, folder / name, self.settings, self.limits) for name in ("head", "spare")]
        for name in [f"worker-{number}" for number in range(1, WORKERS + 1)]:
            self.workers.append(Machine(name, folder / name, self.settings, self.limits))
        for machine in self.machines:
            machine.set_up()
        for worker in self.workers:
            worker.start(WORKER)

    def _newest_tick(self) -> str:
        ticks = [*self.book.unended(), *filter(None, [self.book.last_ended()])]
        return max((tick.name for tick in ticks), default="")

    def _next(self, tick: str, finished: int) -> int:
        """Wait until more runs than `finished` have ended. Returns how many, or -1 when the tick has."""
        seen = finished

        def has_gone_on() -> bool:
            nonlocal seen
            has_ended = self._ended(tick)
            seen = -1 if has_ended else sum(record.dagster_run.is_finished for record in self.syncs(tick))
            return has_ended or seen > finished

        self.wait(has_gone_on, f"another run of the tick {tick} or its summary")
        return seen

    def _ended(self, tick: str) -> bool:
        found = self.book.named(tick)
        return found is not None and found.ended_at is not None


def _minutes_ago(minutes: int) -> str:
    return (utc_now() - timedelta(minutes=minutes)).replace(second=0, microsecond=0).isoformat()


@contextmanager
def _observer(folder: Path, database: str) -> Iterator[dg.DagsterInstance]:
    """An instance that reads the database without the machines' variables. It launches nothing."""
    home = folder / "observer"
    home.mkdir()
    config = {"storage": {"postgres": {"postgres_url": database}}, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@contextmanager
def variables(given: Mapping[str, str]) -> Iterator[None]:
    """Variables of this process while the block runs: Delta Lake's library reads a bucket's from there."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
