"""The undocumented names of Dagster that the project uses exist, work as it needs, and are in one place."""

import ast
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.defs import dagster_private as private
from gsc_pipeline_tests.instances import record_schedule

TABLE = dg.AssetKey("table")
DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])
UNDOCUMENTED = {
    "asset_entry",
    "compute_log_manager",
    "daemon_cursor_storage",
    "event_log_storage",
    "event_specific_data",
    "index_connection",
    "path_for_shard",
    "run_launcher",
    "run_storage",
    "schedule_storage",
}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


def run(instance: dg.DagsterInstance, day: str, *, fails: bool = False, idle: bool = False) -> str:
    """One run over the partition of a day, which materializes it unless it fails or is idle."""

    @dg.multi_asset(specs=[dg.AssetSpec(TABLE, skippable=True)], partitions_def=DAYS)
    def tables(context: dg.AssetExecutionContext) -> Iterator[None]:
        if not fails and not idle:
            context.log_event(dg.AssetMaterialization(TABLE, partition=day))
        if fails:
            raise dg.Failure("it cannot be read", allow_retries=False)
        yield from ()

    done = dg.materialize([tables], instance=instance, partition_key=day, raise_on_error=False)
    return done.run_id


def failed(instance: dg.DagsterInstance) -> set[str]:
    """The partitions that the UI shows as failed."""
    found = instance.get_status_by_partition(TABLE, DAYS.get_partition_keys(), DAYS) or {}
    return {key for key, status in found.items() if status and status.value == "FAILED"}


def test_no_other_module_uses_an_undocumented_attribute() -> None:
    folder = Path(private.__file__).parent
    for module in {*folder.rglob("*.py")} - {Path(private.__file__)}:
        nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
        attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        assert not attributes & UNDOCUMENTED, module.name
        assert "getattr" not in names or module.name == "resources.py", module.name


def test_every_function_here_says_why_and_is_tested() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    for node in ast.parse(Path(private.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            assert len(ast.get_docstring(node) or "") > 60, node.name
            assert f"private.{node.name}(" in tests, node.name


def test_a_planned_partition_is_red_when_its_run_fails(instance: dg.DagsterInstance) -> None:
    failing = instance.get_run_by_id(run(instance, "mon", fails=True))
    assert failing
    private.plan_partition(instance, failing, "tables", dg.AssetKey("table"), "tue")
    assert failed(instance) == {"mon", "tue"}


def test_the_runs_that_an_assets_page_names_are_the_newest_materialization_and_the_last(
    instance: dg.DagsterInstance,
) -> None:
    run(instance, "mon")
    newest = run(instance, "tue")
    last = run(instance, "wed", idle=True)
    assert private.runs_named_by_assets(instance, [TABLE]) == {newest, last}
    assert private.runs_named_by_assets(instance, [dg.AssetKey("unknown")]) == set()


def test_the_last_attempts_are_the_runs_that_left_a_partition_unmade(instance: dg.DagsterInstance) -> None:
    run(instance, "mon", fails=True)
    idle = run(instance, "mon", idle=True)
    failing = run(instance, "tue", fails=True)
    run(instance, "wed")
    assert private.last_attempts(instance, TABLE) == {"mon": idle, "tue": failing}


def test_the_runs_that_planned_a_partition_are_found_whether_they_made_it_or_not(
    instance: dg.DagsterInstance,
) -> None:
    both = {run(instance, "mon"), run(instance, "mon", fails=True)}
    run(instance, "tue")
    assert private.runs_that_planned(instance, TABLE, ["mon", "wed"]) == both


def test_the_files_of_a_deleted_run_are_deleted(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    deleted, kept = run(instance, "mon"), run(instance, "mon")
    instance.delete_run(deleted)
    assert [path for path in tmp_path.rglob("*") if deleted in path.name]
    private.delete_run_files(instance, deleted)
    assert not [path for path in tmp_path.rglob("*") if deleted in path.name]
    assert instance.all_logs(kept)


def test_old_results_of_a_check_are_deleted_except_the_newest(instance: dg.DagsterInstance) -> None:
    check = dg.AssetCheckKey(TABLE, "sound")
    for passed in (True, True, False):
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(TABLE, "sound", passed=passed))
    newest = instance.get_latest_asset_check_evaluation_record(check)
    assert newest
    assert private.delete_check_results(instance, utc_now() - timedelta(hours=1)) == 0
    assert private.delete_check_results(instance, utc_now() + timedelta(hours=1)) == 1
    assert instance.get_latest_asset_check_evaluation_record(check) == newest


def test_a_cursor_is_read_as_it_was_stored(instance: dg.DagsterInstance) -> None:
    assert private.read_cursor(instance, "until") is None
    private.store_cursor(instance, "until", "2026-11-21")
    assert private.read_cursor(instance, "until") == "2026-11-21"


def test_a_schedule_is_next_due_after_the_moment_and_in_utc() -> None:
    six = datetime(2026, 11, 21, 6, tzinfo=UTC)
    assert private.next_due("0 */6 * * *", six) == six + timedelta(hours=6)
    assert private.next_due("@daily", six) == datetime(2026, 11, 22, tzinfo=UTC)


def test_the_default_launcher_starts_runs_here_and_celery_elsewhere(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    assert private.remote_launcher(instance) == ""
    assert private.remote_launcher(dg.DagsterInstance.ephemeral()) == ""
    launcher = {"module": "dagster_celery.launcher", "class": "CeleryRunLauncher"}
    (tmp_path / "celery").mkdir()
    with dg.instance_for_test(
        temp_dir=str(tmp_path / "celery"), overrides={"run_launcher": launcher}
    ) as other:
        assert private.remote_launcher(other) == "CeleryRunLauncher"


def test_the_state_of_a_schedule_is_how_it_was_switched_and_its_last_tick(
    instance: dg.DagsterInstance,
) -> None:
    assert private.schedule_state(instance, "gsc_auto_sync") is None
    record_schedule(instance, "RUNNING")
    assert private.schedule_state(instance, "gsc_auto_sync") == ("RUNNING", None)
    record_schedule(instance, "STOPPED", "SUCCESS", 1_000.0)
    record_schedule(instance, "STOPPED", "FAILURE", 2_000.0, "no such file")
    found = private.schedule_state(instance, "gsc_auto_sync")
    assert found
    status, tick = found
    assert (status, tick.status.value, tick.timestamp) == ("STOPPED", "FAILURE", 2_000.0)
    assert tick.error.message == "no such file"
    assert private.schedule_state(instance, "another") is None
