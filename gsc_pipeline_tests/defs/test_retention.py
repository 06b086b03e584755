"""Old runs of the Dagster instance are deleted, and the status of assets and checks stays the same."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from deltalake import DeltaTable

from gsc_pipeline.days import Window, utc_now
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.dagster_private import delete_check_results
from gsc_pipeline.defs.jobs import WINDOW_TAG
from gsc_pipeline.defs.partitions import WORKSPACES
from gsc_pipeline.defs.resources import SharedState
from gsc_pipeline.defs.retention import forget_ticks, prune_runs
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.settings import load_settings
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import StateError
from gsc_pipeline.sync.ticks import Tick, TickBook
from gsc_pipeline_tests.defs.conftest import Orchestra, range_tags
from gsc_pipeline_tests.defs.test_automation import definitions, tick
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.world import World

ROOT = Path(__file__).parents[2]
TABLE = dg.AssetKey("table")
CHECK = dg.AssetCheckKey(TABLE, "sound")
DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])


@pytest.fixture(params=rest_in_soak(["sqlite", "postgresql"]))
def instance(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance as each dagster.yaml of the project makes it."""
    config = ROOT / "dagster.yaml"
    if request.param == "postgresql":
        monkeypatch.setenv("GSC_DATABASE_URL", str(request.getfixturevalue("postgres_url")))
        config = ROOT / "deploy" / "postgres" / "dagster.yaml"
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(config)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def run(
    instance: dg.DagsterInstance, days: str, *, good: str = "", fails: bool = False, checked: bool = True
) -> str:
    """One run over `days`, of which `good` are materialized; both are a name or `first...last`."""
    first, _, last = days.partition("...")
    first_good, _, last_good = good.partition("...")

    @dg.multi_asset(
        specs=[dg.AssetSpec(TABLE, skippable=True)],
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec("sound", asset=TABLE)] if checked else [],
    )
    def tables(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult]:
        keys = DAYS.get_partition_keys()
        if good:
            for day in keys[keys.index(first_good) : keys.index(last_good or first_good) + 1]:
                context.log_event(dg.AssetMaterialization(TABLE, partition=day))
        if checked:
            yield dg.AssetCheckResult(passed=not fails, check_name="sound", asset_key=TABLE)
        if fails:
            raise dg.Failure("the other days cannot be read", allow_retries=False)

    range_ = {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last or first,
    }
    return dg.materialize([tables], instance=instance, tags=range_, raise_on_error=False).run_id


def assets_and_checks(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: dg.PartitionsDefinition, *checks: Any
) -> dict[str, Any]:
    """What the UI shows of an asset: from Dagster's cache, and computed again."""

    def by_status() -> tuple[set[str], set[str]]:
        found: Any = get_and_update_asset_status_cache_value(
            instance, asset, partitions, dynamic_partitions_loader=instance
        )
        return (
            set(found.deserialize_materialized_partition_subsets(partitions).get_partition_keys()),
            set(found.deserialize_failed_partition_subsets(partitions).get_partition_keys()),
        )

    cached = by_status()
    instance.wipe_asset_cached_status([asset])
    newest = instance.get_latest_materialization_event(asset)
    (record,) = instance.get_asset_records([asset])
    storage = instance.event_log_storage
    return {
        "cached": cached,
        "anew": by_status(),
        "each": instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION),
        "newest": newest and (newest.run_id, newest.timestamp),
        "last run": record.asset_entry.last_run_id,
        "checks": {
            key: (result.run_id, result.status, result.evaluation and result.evaluation.passed)
            for key, result in storage.get_latest_asset_check_execution_by_key(checks).items()
        },
    }


def runs(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def shown(instance: dg.DagsterInstance) -> dict[str, Any]:
    return assets_and_checks(instance, TABLE, DAYS, CHECK)


def pruned(instance: dg.DagsterInstance, before: datetime | None = None, **limits: int) -> set[str]:
    """The runs that were deleted. What the UI shows is unchanged, and every run that it names exists."""
    instance.wipe_asset_cached_status([TABLE])
    there, seen = runs(instance), shown(instance)
    done = prune_runs(instance, before or utc_now(), **limits)
    assert shown(instance) == seen
    gone = there - runs(instance)
    assert done.deleted == len(gone)
    named = {seen["last run"], seen["newest"][0], *(result[0] for result in seen["checks"].values())}
    assert not named & gone
    return gone


def test_superseded_and_idle_runs_are_deleted_and_the_newest_of_each_partition_stays(
    instance: dg.DagsterInstance,
) -> None:
    superseded = run(instance, "mon...tue", good="mon...tue")
    of_monday = run(instance, "mon...wed", good="mon...wed")
    idle = run(instance, "mon...wed")
    of_wednesday = run(instance, "tue...wed", good="tue...wed")
    last_idle = run(instance, "mon...wed")
    assert pruned(instance) == {superseded, idle}
    assert runs(instance) == {of_monday, of_wednesday, last_idle}
    assert shown(instance)["anew"] == ({"mon", "tue", "wed"}, set())


@pytest.mark.soak
def test_a_run_stays_while_a_partition_is_red_because_of_it(
    instance: dg.DagsterInstance,
) -> None:
    red = run(instance, "mon...tue", fails=True, checked=False)
    run(instance, "wed", good="wed")
    assert pruned(instance) == set()
    assert shown(instance)["anew"] == ({"wed"}, {"mon", "tue"})
    run(instance, "mon", good="mon")
    assert pruned(instance) == set()
    run(instance, "tue", good="tue")
    assert pruned(instance) == {red}


@pytest.mark.soak
def test_a_run_that_hides_an_earlier_failure_stays_as_long_as_the_failed_run(
    instance: dg.DagsterInstance,
) -> None:
    half = run(instance, "mon...tue", good="mon", fails=True)
    hiding = run(instance, "tue")
    run(instance, "wed", good="wed")
    assert pruned(instance) == set()
    assert shown(instance)["anew"] == ({"mon", "wed"}, set())
    again = run(instance, "mon", good="mon")
    assert pruned(instance) == {half, hiding}
    assert again in runs(instance)


def test_the_newest_result_of_a_check_keeps_its_run(instance: dg.DagsterInstance) -> None:
    earlier = run(instance, "mon", good="mon")
    checking = run(instance, "mon")
    run(instance, "mon", good="mon", checked=False)
    assert pruned(instance) == {earlier}
    assert checking in runs(instance)


def test_recent_runs_and_those_in_progress_stay(instance: dg.DagsterInstance) -> None:
    old = run(instance, "mon", good="mon")
    instance.add_run(dg.DagsterRun("job", run_id="zombie", status=dg.DagsterRunStatus.STARTED))
    border = utc_now()
    run(instance, "mon", good="mon")
    run(instance, "mon", good="mon")
    assert pruned(instance, border) == {old}


@pytest.mark.soak
def test_a_call_examines_a_limited_number_of_runs_and_the_next_continues_after_them(
    instance: dg.DagsterInstance,
) -> None:
    kept = run(instance, "mon", good="mon")
    idle = [run(instance, "wed") for _ in range(3)]
    run(instance, "wed", good="wed")
    assert pruned(instance, at_most=2) == {idle[0]}
    assert pruned(instance, at_most=2) == {idle[1], idle[2]}
    assert not prune_runs(instance, utc_now(), at_most=1).is_through
    assert prune_runs(instance, utc_now(), at_most=1).is_through
    superseding = run(instance, "mon", good="mon")
    assert pruned(instance) == {kept}
    assert superseding in runs(instance)


def test_the_files_of_a_deleted_run_are_deleted(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    superseded = run(instance, "mon", good="mon")
    run(instance, "mon", good="mon")
    assert pruned(instance) == {superseded}
    assert not [path for path in (tmp_path / "home").rglob("*") if superseded in path.name]
    assert instance.get_run_by_id(superseded) is None


def test_old_results_of_a_check_are_deleted_and_the_newest_stays(instance: dg.DagsterInstance) -> None:
    for _ in range(3):
        run(instance, "mon", good="mon")
    storage: Any = instance.event_log_storage
    before = storage.get_latest_asset_check_execution_by_key([CHECK])
    assert delete_check_results(instance, utc_now() - timedelta(hours=1)) == 0
    assert delete_check_results(instance, utc_now() + timedelta(hours=1)) == 2
    assert storage.get_latest_asset_check_execution_by_key([CHECK]) == before
    assert len(storage.get_asset_check_execution_history(CHECK, limit=10)) == 1


def test_dagster_deletes_the_tags_of_a_deleted_run(instance: dg.DagsterInstance) -> None:
    for who in ("gone", "here"):
        instance.add_run(dg.DagsterRun("job", run_id=who, tags={"who": who}))
    instance.delete_run("gone")
    assert instance.get_run_tags(tag_keys=["who"]) == [("who", {"here"})]


def test_the_daily_job_cleans_up_instance_and_lake_and_reports_what_it_freed(
    world: World, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions(WORKSPACES, ["acme", "globex"])
    orchestra = Orchestra(world, instance, [world.workspace("acme"), world.workspace("globex")])
    first, *_ = tick(orchestra, auto_sync_days=2).run_requests
    first_day, last_day = map(date.fromisoformat, first.tags[WINDOW_TAG].split("/"))
    by_hand = range_tags("acme", Window.inclusive(first_day, last_day))
    superseded = orchestra.materialize(tags=by_hand).run_id
    orchestra.materialize(tags=by_hand)
    idle = orchestra.materialize(tags=first.tags).run_id
    orchestra.materialize(tags=first.tags)
    world.now = utc_now() + timedelta(days=31)
    done = definitions(orchestra).resolve_job_def("gsc_housekeeping").execute_in_process(instance=instance)
    assert done.success
    assert not {superseded, idle} & runs(instance)
    (output,) = [event for event in done.all_node_events if event.is_successful_output]
    numbers = {name: value.value for name, value in output.step_output_data.metadata.items()}
    name, measurements, metadata = orchestra.telemetry.emitted[-1]
    assert (name, metadata) == ("housekeeping.complete", {})
    assert measurements == {key: numbers[key] for key in measurements}
    assert set(measurements) == {
        "runs_deleted",
        "check_results_deleted",
        "ticks_deleted",
        "files_removed",
        "bytes_freed",
        "failures",
        "duration_ms",
    }
    assert numbers["failures"] == 0
    assert numbers["runs_deleted"] == 2
    assert numbers["ticks_deleted"] == 1
    assert numbers["check_results_deleted"] == 3
    assert numbers["runs_looked_at"] == 4


@pytest.mark.soak
def test_a_lake_that_cannot_be_cleaned_up_fails_the_job_after_the_instance_was(
    world: World, instance: dg.DagsterInstance
) -> None:
    superseded = run(instance, "mon", good="mon")
    run(instance, "mon", good="mon")
    log = world.folder / "lake" / SYNC_RUNS.name / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("not a commit", encoding="utf-8")
    world.now = utc_now() + timedelta(days=31)
    orchestra = Orchestra(world, instance, [world.workspace("acme")])
    done = (
        definitions(orchestra)
        .resolve_job_def("gsc_housekeeping")
        .execute_in_process(instance=instance, raise_on_error=False)
    )
    assert superseded not in runs(instance)
    (failure,) = [event.step_failure_data for event in done.all_node_events if event.is_step_failure]
    assert "the lake could not be cleaned up: " in failure.user_failure_data.description
    assert SYNC_RUNS.name in failure.user_failure_data.description
    assert failure.user_failure_data.metadata["runs_deleted"].value == 1
    name, measurements, _ = orchestra.telemetry.emitted[-1]
    assert (name, measurements["runs_deleted"], measurements["failures"]) == ("housekeeping.complete", 1, 1)


@pytest.mark.soak
def test_the_lake_is_cleaned_up_if_the_instance_cannot_be(world: World, instance: dg.DagsterInstance) -> None:
    class Unreachable(SharedState):
        def ticks(self) -> TickBook:
            raise StateError("the shared state cannot be used")

    for _ in range(6):
        world.sync(world.workspace("acme"))
        world.now += timedelta(hours=6)
    orchestra = Orchestra(world, instance, [world.workspace("acme")])
    settings = load_settings(start_date=orchestra.start)
    defs = build_defs(settings, orchestra.resources | {"state": Unreachable.of(settings)})
    job = defs.resolve_job_def("gsc_housekeeping")
    done = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    name, measurements, _ = orchestra.telemetry.emitted[-1]
    assert (name, measurements["failures"]) == ("housekeeping.complete", 1)
    # One file of what six syncs appended one each.
    assert len(DeltaTable(world.lake.table_uri(SYNC_RUNS)).file_uris()) == 1


def test_the_last_tick_that_has_ended_is_never_deleted(tmp_path: Path) -> None:
    book = TickBook(open_store(str(tmp_path / "state.db")))
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    ticks = [Tick(f"t{n}", noon + timedelta(hours=n), ("acme",), 1) for n in range(3)]
    for one in ticks:
        book.begin(one)
    assert forget_ticks(book, noon + timedelta(minutes=1)) == 1
    book.end(ticks[1], noon + timedelta(hours=3))
    assert forget_ticks(book, noon + timedelta(days=9)) == 0
    book.end(ticks[2], noon + timedelta(hours=3))
    assert forget_ticks(book, noon + timedelta(days=9)) == 1
    assert book.last_ended() == dataclasses.replace(ticks[2])
