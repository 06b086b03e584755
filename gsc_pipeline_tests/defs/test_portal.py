"""The asset `portal`, and the sensor that starts its job when syncs and reports have ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.jobs import INSIGHTS_WORKSPACE_TAG, PORTAL_JOB, run_tags, shared_run_tags
from gsc_pipeline.defs.keys import PORTAL
from gsc_pipeline.defs.portal_after_runs import REPORTS_FOLLOW_WITHIN
from gsc_pipeline.settings import load_settings
from gsc_pipeline_tests.defs.conftest import Orchestra

SENSOR = "gsc_portal_after_runs"


@pytest.fixture
def orchestra(orchestra_now: Orchestra) -> Orchestra:
    return orchestra_now


def run(orchestra: Orchestra, job: str, **tags: str) -> dg.ExecuteInProcessResult:
    defs = build_defs(load_settings(), orchestra.resources, retries=dg.RetryPolicy(max_retries=0))
    return defs.resolve_job_def(job).execute_in_process(
        instance=orchestra.instance, tags=tags, raise_on_error=False
    )


def event(orchestra: Orchestra) -> dict[str, Any]:
    """The metadata of the newest materialization of the portal."""
    found = orchestra.instance.get_latest_materialization_event(dg.AssetKey(PORTAL))
    assert found is not None
    assert found.asset_materialization is not None
    return {name: value.value for name, value in found.asset_materialization.metadata.items()}


def test_the_portal_is_written_once_after_the_syncs_and_reports_of_a_tick(orchestra: Orchestra) -> None:
    world = orchestra.world
    assert orchestra.evaluate(SENSOR).run_requests == []
    world.sync(orchestra.workspaces[0])
    insights = shared_run_tags(["acme"], minutes=1, tag=INSIGHTS_WORKSPACE_TAG)
    assert run(orchestra, "gsc_insights", **insights).success
    waiting = orchestra.instance.create_run_for_job(
        build_defs(load_settings(), orchestra.resources).resolve_job_def("gsc_insights"), tags=insights
    )
    assert "in progress" in str(orchestra.evaluate(SENSOR).skip_message)
    orchestra.instance.delete_run(waiting.run_id)
    (requested,) = orchestra.evaluate(SENSOR).run_requests
    assert run(orchestra, PORTAL_JOB).success
    # Dagster starts a run key once.
    assert {again.run_key for again in orchestra.evaluate(SENSOR).run_requests} == {requested.run_key}

    numbers = event(orchestra)
    file = world.folder / "reports" / "index.html"
    assert (numbers["path"], numbers["workspaces"]) == (str(file), 2)
    html = file.read_text(encoding="utf-8")
    assert 'href="acme.html"' in html
    assert 'href="globex.html"' not in html
    assert "globex" in html


def test_the_portal_waits_for_the_reports_that_may_follow_a_sync(orchestra: Orchestra) -> None:
    assert orchestra.evaluate(SENSOR).run_requests == []
    assert run(orchestra, "gsc_sync", **run_tags(["acme"], orchestra.world.last(1))).success
    assert "reports may follow" in str(orchestra.evaluate(SENSOR).skip_message)
    orchestra.world.now += REPORTS_FOLLOW_WITHIN + timedelta(hours=1)
    (requested,) = orchestra.evaluate(SENSOR).run_requests
    # Reports that end later are another reason.
    insights = shared_run_tags(["acme"], minutes=1, tag=INSIGHTS_WORKSPACE_TAG)
    assert run(orchestra, "gsc_insights", **insights).success
    (again,) = orchestra.evaluate(SENSOR).run_requests
    assert again.run_key != requested.run_key


def test_a_portal_that_cannot_be_written_is_red_and_names_the_folder(orchestra: Orchestra) -> None:
    (orchestra.world.folder / "reports").write_text("in the way", encoding="utf-8")
    result = run(orchestra, PORTAL_JOB)
    (failure,) = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    assert "name another folder" in failure.user_failure_data.description
