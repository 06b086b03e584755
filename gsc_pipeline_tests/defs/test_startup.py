"""What several machines have to share is validated before a tick or a run does anything."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.defs.jobs import WINDOW_TAG, WORKSPACES_TAG
from gsc_pipeline.defs.startup import refuse_unshared_storage
from gsc_pipeline.settings import ConfigurationError, load_settings
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.defs.test_automation import tick

CELERY = {
    "run_launcher": {
        "module": "dagster_celery.launcher",
        "class": "CeleryRunLauncher",
        "config": {"broker": "redis://127.0.0.1:9/0", "backend": "redis://127.0.0.1:9/1"},
    }
}
STATE = "postgresql://gsc@db.example.com/gsc"


@pytest.fixture
def celery(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance whose runs start on Celery's workers."""
    folder = tmp_path / "instance"
    folder.mkdir()
    with dg.instance_for_test(temp_dir=str(folder), overrides=CELERY) as instance:
        yield instance


def problem(instance: dg.DagsterInstance, **settings: object) -> str:
    try:
        refuse_unshared_storage(instance, load_settings(**settings))
    except ConfigurationError as error:
        (line,) = str(error).splitlines()
        return line
    return ""


def test_state_and_lake_of_many_machines_have_to_be_within_reach_of_each(celery: dg.DagsterInstance) -> None:
    assert problem(celery, lake="s3://lake", state=STATE) == ""
    unset = problem(celery, lake="s3://lake")
    assert unset.startswith("environment: GSC_STATE is unset, so that each machine has a file: expected a")
    assert unset.endswith("Runs are started by CeleryRunLauncher, on machines that share no files")
    assert "GSC_STATE is a file of each machine" in problem(celery, lake="s3://lake", state="shared/state.db")
    for lake in ("data/lake", "file:///data/lake"):
        told = problem(celery, lake=lake, state=STATE)
        assert told.startswith(f"environment: GSC_LAKE is a folder ({lake}): expected s3://")
    both = problem(celery)
    assert "GSC_STATE is unset" in both
    assert "GSC_LAKE is a folder" in both


def test_on_one_machine_files_are_accepted(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        assert problem(instance) == ""
        assert problem(instance, lake="s3://lake") == ""


def test_ticks_and_runs_of_many_machines_with_a_file_as_state_are_refused(
    orchestra: Orchestra, celery: dg.DagsterInstance
) -> None:
    orchestra.instance = celery
    for schedule in ("gsc_auto_sync", "gsc_auto_sync_more"):
        with pytest.raises(Exception, match=schedule) as raised:
            tick(orchestra, schedule=schedule)
        assert str(raised.value.__cause__).startswith("environment: GSC_STATE is unset")
    assert orchestra.ticks.last_ended() is None
    window = orchestra.world.last(2)
    tags = {WORKSPACES_TAG: "acme", WINDOW_TAG: f"{window.start}/{window.last}"}
    result = orchestra.materialize(tags=tags)
    (failed,) = result.get_step_failure_events()
    told = str(failed.step_failure_data.user_failure_data.description)  # type: ignore[union-attr]
    assert told.startswith("nothing was read: environment: GSC_STATE is ")
    assert "Runs are started by CeleryRunLauncher" in told
    assert orchestra.world.queries() == []


def test_a_bucket_with_the_state_in_a_file_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        services = Services(load_settings(lake="s3://lake"))
        assert services.store is services.store
        assert Services(load_settings(lake="s3://lake", state=STATE)).store
        assert Services(load_settings()).store
    (line,) = caplog.messages
    assert line.startswith("GSC_STATE is unset: rate limits, circuit breakers, ticks and leases are in data/")
    assert line.endswith("before another machine syncs into s3://lake")
