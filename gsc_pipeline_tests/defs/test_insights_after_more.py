"""After a run of `gsc_more`, insights are updated where it wrote inspections or sitemaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.jobs import (
    INSIGHTS_WORKSPACE_TAG,
    MORE_MINUTES,
    MORE_WORKSPACE_TAG,
    shared_run_tags,
    workspaces_of,
)
from gsc_pipeline.defs.keys import CLIENT_REPORT
from gsc_pipeline.lake.schemas import INDEX_COVERAGE, URL_INSPECTIONS
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import token_error
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.replies import UNAVAILABLE
from gsc_pipeline_tests.world import asks_token_for


@pytest.fixture
def orchestra(orchestra_now: Orchestra) -> Orchestra:
    return orchestra_now


def run(orchestra: Orchestra, job: str, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
    defs = build_defs(load_settings(), orchestra.resources, retries=dg.RetryPolicy(max_retries=0))
    return defs.resolve_job_def(job).execute_in_process(
        instance=orchestra.instance, tags=tags, raise_on_error=False
    )


def run_more(orchestra: Orchestra, *workspaces: str) -> dg.ExecuteInProcessResult:
    tags = shared_run_tags(workspaces, minutes=MORE_MINUTES, tag=MORE_WORKSPACE_TAG)
    return run(orchestra, "gsc_more", tags)


def evaluate(orchestra: Orchestra, cursor: str | None = None) -> tuple[Sequence[dg.RunRequest], str]:
    """The requests of one evaluation, and the cursor after it."""
    defs = build_defs(load_settings(), orchestra.resources)
    with dg.build_sensor_context(
        instance=orchestra.instance,
        cursor=cursor,
        resources=orchestra.resources,
        repository_def=defs.get_repository_def(),
    ) as context:
        found: Any = defs.resolve_sensor_def("gsc_insights_after_more").evaluate_tick(context)
        return found.run_requests or [], found.cursor


def test_index_coverage_and_the_report_are_updated_once_and_without_a_call(orchestra: Orchestra) -> None:
    world = orchestra.world
    for workspace in orchestra.workspaces:
        world.sync(workspace, world.last(9))
    world.faults.append(
        lambda call: token_error("invalid_grant", "revoked") if asks_token_for("globex", call) else None
    )
    assert evaluate(orchestra)[0] == []
    more = run_more(orchestra, "acme", "globex")
    assert not more.success
    calls = len(world.simulator.calls)

    (request,), cursor = evaluate(orchestra)
    assert workspaces_of(request.tags) == {"acme"}
    assert evaluate(orchestra, cursor)[0] in ([], [request])
    assert run(orchestra, "gsc_insights", dict(request.tags)).success
    inspected = world.lake.read(URL_INSPECTIONS).num_rows
    rows = world.lake.read(INDEX_COVERAGE, workspace="acme").to_pylist()
    states = [row for row in rows if row["source"] == "inspections" and row["content_group"] == "all"]
    assert sum(row["pages"] for row in states) == inspected > 0
    assert orchestra.materialized(INDEX_COVERAGE.name)["acme"]["changed"]
    assert set(orchestra.materialized(CLIENT_REPORT)) == {"acme"}
    assert len(world.simulator.calls) == calls


@pytest.mark.soak
def test_insights_notice_pages_that_are_inspected_after_them(orchestra: Orchestra) -> None:
    orchestra.world.sync(orchestra.workspaces[0], orchestra.world.last(9))
    insights = shared_run_tags(["acme"], minutes=1, tag=INSIGHTS_WORKSPACE_TAG)
    assert run(orchestra, "gsc_insights", insights).success
    assert orchestra.world.lake.read(INDEX_COVERAGE).num_rows == 0
    run_more(orchestra, "acme")
    assert run(orchestra, "gsc_insights", insights).success
    assert orchestra.world.lake.read(INDEX_COVERAGE).num_rows > 0


def test_a_run_that_wrote_neither_inspections_nor_sitemaps_requests_nothing(orchestra: Orchestra) -> None:
    orchestra.world.faults.append(lambda call: UNAVAILABLE if call.kind in ("sitemaps", "inspect") else None)
    run_more(orchestra, "acme")
    assert evaluate(orchestra)[0] == []


@pytest.mark.soak
def test_a_damaged_file_of_one_workspace_holds_up_no_other(orchestra: Orchestra) -> None:
    for workspace in orchestra.workspaces:
        orchestra.world.sync(workspace, orchestra.world.last(9))
        run_more(orchestra, workspace.id)
    folder = orchestra.world.folder / "lake" / URL_INSPECTIONS.name / "workspace=acme"
    for file in folder.rglob("*.parquet"):
        file.write_bytes(b"damaged")
    requests, _ = evaluate(orchestra)
    assert sorted(workspaces_of(request.tags).pop() for request in requests) == ["acme", "globex"]
