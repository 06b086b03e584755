"""Runs that a person starts: what they materialize, and that checks and downstream assets execute with it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.keys import CLIENT_REPORT
from gsc_pipeline.defs.partitions import RANGE_END_TAG, RANGE_START_TAG, WORKSPACES, partition_key
from gsc_pipeline.lake.schemas import INDEX_COVERAGE, INSIGHTS, SITEMAPS, URL_INSPECTIONS
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.defs.conftest import Orchestra, range_tags
from gsc_pipeline_tests.defs.test_asset import SITE, URL, keys
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.instances import instance_on_files
from gsc_pipeline_tests.replies import FORBIDDEN, UNAVAILABLE, all_queries, queries_of
from gsc_pipeline_tests.world import World

INSPECTED = [URL_INSPECTIONS.name, SITEMAPS.name, INDEX_COVERAGE.name]
RANGE = dg.AssetSelection.assets(SITE, URL)


@pytest.fixture
def orchestra(world: World) -> Iterator[Orchestra]:
    with instance_on_files(world.folder / "dagster") as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme", "globex"])
        yield Orchestra(world, instance, [world.workspace("acme"), world.workspace("globex")])


def run(
    orchestra: Orchestra,
    selection: dg.AssetSelection,
    *,
    key: str | None = None,
    tags: Mapping[str, str] | None = None,
    **settings: Any,
) -> dg.ExecuteInProcessResult:
    """One run of a selection with its checks, as the UI starts it, without a pause between attempts."""
    defs = build_defs(load_settings(**settings), orchestra.resources, retries=dg.RetryPolicy(max_retries=2))
    job = dg.define_asset_job("by_a_person", selection)
    return (
        dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
        .resolve_job_def(job.name)
        .execute_in_process(instance=orchestra.instance, partition_key=key, tags=tags, raise_on_error=False)
    )


def both_workspaces(window: Window) -> dict[str, str]:
    return {
        RANGE_START_TAG: partition_key(window.start, "acme"),
        RANGE_END_TAG: partition_key(window.last, "globex"),
    }


def counted(orchestra: Orchestra, *assets: str) -> Counter[tuple[str, str]]:
    """How many materializations the instance holds of each partition of the assets."""
    return Counter(
        (asset, str(record.partition_key))
        for asset in assets
        for record in orchestra.instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records
    )


def once(assets: list[str], partitions: set[str]) -> Counter[tuple[str, str]]:
    return Counter((asset, partition) for asset in assets for partition in partitions)


def skipped(result: dg.ExecuteInProcessResult) -> set[str]:
    return {str(event.step_key) for event in result.all_events if event.is_step_skipped}


def executed(result: dg.ExecuteInProcessResult) -> set[str]:
    return {str(event.step_key) for event in result.all_events if event.is_step_start}


def evaluated(result: dg.ExecuteInProcessResult) -> set[str]:
    return {evaluation.check_name for evaluation in result.get_asset_check_evaluations()}


def statuses(orchestra: Orchestra, partitions: set[str], asset: str = SITE) -> dict[str, str]:
    graph = build_defs(load_settings(), orchestra.resources).resolve_asset_graph()
    definition = graph.get(dg.AssetKey(asset)).partitions_def
    found = orchestra.instance.get_status_by_partition(dg.AssetKey(asset), sorted(partitions), definition)
    return {key: status.value for key, status in (found or {}).items() if status is not None}


def test_a_range_materializes_each_day_once_and_its_checks_execute(orchestra: Orchestra) -> None:
    window = orchestra.world.last(3)
    result = run(orchestra, RANGE, tags=range_tags("acme", window))
    assert result.success
    assert not skipped(result)
    assert counted(orchestra, SITE, URL) == once([SITE, URL], keys(window))
    rows = {day: numbers["dagster/partition_row_count"] for day, numbers in orchestra.materialized().items()}
    assert len(set(rows.values())) == 3
    assert {"no_partial_failures", "keys_unique", "totals_reconcile", "up_to_date"} <= evaluated(result)
    level, text = orchestra.summary(result)
    assert level == logging.INFO
    assert text.splitlines()[0].startswith("acme: complete, 3 read, 0 unchanged, 0 empty, 0 failed days; ")
    assert text.splitlines()[-1] == "1 of 1 workspaces complete, 0 partial, 0 failed"


def test_the_failing_day_of_a_range_is_red_the_others_are_green_once_and_what_follows_is_skipped(
    orchestra: Orchestra,
) -> None:
    window = orchestra.world.last(4)
    bad = window.start + ONE_DAY
    orchestra.world.faults.append(queries_of(bad, UNAVAILABLE))
    result = run(orchestra, RANGE, tags=range_tags("acme", window))
    assert not result.success
    good = keys(window) - {f"{bad}|acme"}
    assert counted(orchestra, SITE, URL) == once([SITE, URL], good)
    for asset in (SITE, URL):
        green = dict.fromkeys(good, "MATERIALIZED")
        assert statuses(orchestra, keys(window), asset) == {**green, f"{bad}|acme": "FAILED"}
    assert all(numbers["clicks"] for numbers in orchestra.materialized().values())
    assert executed(result) == {"searchdata"}
    assert evaluated(result) == {"no_partial_failures"}
    level, text = orchestra.summary(result)
    assert level == logging.WARNING
    assert "acme: partial, 0 read, 3 unchanged, 0 empty, 1 failed days" in text
    assert text.splitlines()[-1] == "0 of 1 workspaces complete, 1 partial, 0 failed"


@pytest.mark.soak
def test_days_that_a_retry_reads_are_materialized_once(orchestra: Orchestra) -> None:
    window = orchestra.world.last(3)
    fault = queries_of(window.start, UNAVAILABLE)

    def probes() -> int:
        return sum(call.body["dimensions"] == ["date"] for call in orchestra.world.queries())

    orchestra.world.faults.append(lambda call: fault(call) if probes() == 1 else None)
    result = run(orchestra, RANGE, tags=range_tags("acme", window))
    assert result.success
    assert sum(event.is_step_restarted for event in result.all_events) == 1
    assert counted(orchestra, SITE, URL) == once([SITE, URL], keys(window))


def test_a_range_over_two_workspaces_of_which_one_fails(orchestra: Orchestra) -> None:
    window = orchestra.world.last(2)
    orchestra.workspaces[0] = orchestra.world.workspace("acme", properties=("https://shop.acme.com/",))
    orchestra.world.faults.append(all_queries(FORBIDDEN, "https://shop.acme.com/"))
    result = run(orchestra, RANGE, tags=both_workspaces(window))
    assert not result.success
    assert counted(orchestra, SITE, URL) == once([SITE, URL], keys(window, "globex"))
    assert set(statuses(orchestra, keys(window, "acme")).values()) == {"FAILED"}
    level, text = orchestra.summary(result)
    assert level == logging.WARNING
    assert text.startswith("acme: failed, ")
    assert "\nglobex: complete, 2 read, " in text
    assert text.endswith("\n1 of 2 workspaces complete, 0 partial, 1 failed")


@pytest.mark.soak
def test_a_range_over_workspaces_that_the_instance_does_not_have(orchestra: Orchestra) -> None:
    for workspace in ("acme", "globex"):
        orchestra.instance.delete_dynamic_partition(WORKSPACES, workspace)
    window = orchestra.world.last(1)
    assert run(orchestra, RANGE, tags=both_workspaces(window)).success
    assert counted(orchestra, SITE, URL) == once([SITE, URL], keys(window, "acme") | keys(window, "globex"))


@pytest.mark.soak
def test_a_refused_property_leaves_the_run_green_and_everything_executes(orchestra: Orchestra) -> None:
    orchestra.workspaces[0] = orchestra.world.workspace(
        properties=("sc-domain:acme.com", "sc-domain:other.com")
    )
    window = orchestra.world.last(2)
    result = run(orchestra, RANGE, tags=range_tags("acme", window))
    assert result.success
    assert not skipped(result)
    assert counted(orchestra, SITE, URL) == once([SITE, URL], keys(window))
    assert "no_partial_failures" in evaluated(result)


@pytest.mark.soak
def test_a_day_that_search_console_does_not_show_is_green_and_says_so(orchestra: Orchestra) -> None:
    """It shows 16 months: two days around the first of them."""
    window = Window(date(2025, 7, 20), date(2025, 7, 22))
    result = run(orchestra, RANGE, tags=range_tags("acme", window), start_date=date(2025, 7, 1))
    assert result.success
    assert counted(orchestra, SITE, URL) == once([SITE, URL], keys(window))
    days = orchestra.materialized().values()
    assert {numbers["status"]: numbers["clicks"] > 0 for numbers in days} == {
        "unavailable": False,
        "final": True,
    }


def test_the_inspections_the_sitemaps_and_what_is_made_of_them_in_one_run(orchestra: Orchestra) -> None:
    orchestra.world.sync(orchestra.workspaces[0])
    result = run(orchestra, dg.AssetSelection.assets(*INSPECTED), key="acme")
    assert result.success
    assert not skipped(result)
    assert counted(orchestra, *INSPECTED) == once(INSPECTED, {"acme"})
    assert orchestra.materialized(INDEX_COVERAGE.name)["acme"]["rows"] > 0
    assert orchestra.materialized(SITEMAPS.name)["acme"]["calls"] > 0
    assert evaluated(result) == {"up_to_date"}


def test_what_is_made_of_a_table_that_fails_is_skipped(orchestra: Orchestra) -> None:
    orchestra.world.faults.append(lambda call: UNAVAILABLE if call.kind == "sitemaps" else None)
    result = run(orchestra, dg.AssetSelection.assets(*INSPECTED), key="acme")
    assert not result.success
    assert executed(result) == {URL_INSPECTIONS.name, SITEMAPS.name}
    assert counted(orchestra, *INSPECTED) == once([URL_INSPECTIONS.name], {"acme"})


@pytest.mark.soak
def test_the_insights_the_report_and_their_checks_in_one_run(orchestra: Orchestra) -> None:
    window = orchestra.world.last(12)
    fill(orchestra.world.lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=5), window)
    names = [*(table.name for table in INSIGHTS), CLIENT_REPORT]
    result = run(orchestra, dg.AssetSelection.assets(*names), key="acme")
    assert result.success
    assert not skipped(result)
    assert counted(orchestra, *names) == once(names, {"acme"})
    assert orchestra.materialized(CLIENT_REPORT)["acme"]["clicks"] > 0
    assert {one.asset_key.to_user_string() for one in result.get_asset_check_evaluations()} == set(names)


@pytest.mark.soak
def test_insights_whose_report_cannot_be_written_are_materialized_once(orchestra: Orchestra) -> None:
    window = orchestra.world.last(12)
    fill(orchestra.world.lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=5), window)
    (orchestra.world.folder / "reports").write_text("in the way", encoding="utf-8")
    names = [INDEX_COVERAGE.name, CLIENT_REPORT]
    result = run(orchestra, dg.AssetSelection.assets(*names), key="acme")
    assert not result.success
    assert counted(orchestra, *names) == once([INDEX_COVERAGE.name], {"acme"})
    assert statuses(orchestra, {"acme"}, CLIENT_REPORT) == {"acme": "FAILED"}
