"""Insights and report as assets: the events of a run, and which workspaces a tick requests one for."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.jobs import INSIGHTS_WORKSPACE_TAG, workspaces_of
from gsc_pipeline.defs.keys import CLIENT_REPORT
from gsc_pipeline.defs.partitions import WORKSPACES
from gsc_pipeline.defs.resources import AnnotationsFile
from gsc_pipeline.insights.scope import WHOLE
from gsc_pipeline.insights.tables import read_ranked
from gsc_pipeline.lake.schemas import (
    ANNOTATIONS,
    CHANGE_POINTS,
    CONTENT_GROUP_DAYS,
    FORECASTS,
    INSIGHTS,
    SEO_TESTS,
    SITE_IMPRESSION,
)
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.defs.test_automation import SIX, tick
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.instances import instance_on_files
from gsc_pipeline_tests.report.insight_rows import change, forecast, group_days, seo_test, write
from gsc_pipeline_tests.world import World

pytestmark = pytest.mark.slow

PLANTED = SyntheticProperty("sc-domain:acme.com", rows_a_day=60)
NAMES = [table.name for table in INSIGHTS]
FEW = Window(date(2026, 11, 10), date(2026, 11, 21))
WINDOW = Window(date(2026, 9, 20), date(2026, 11, 21))


@pytest.fixture
def orchestra(world: World) -> Iterator[Orchestra]:
    with orchestrated(world) as one:
        yield one


@contextmanager
def orchestrated(world: World) -> Iterator[Orchestra]:
    with instance_on_files(world.folder / "dagster") as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme", "globex"])
        yield Orchestra(world, instance, [world.workspace("acme"), world.workspace("globex")])


@dataclass(frozen=True)
class Made:
    """The lake and the events after two runs with no new data in between."""

    world: World
    first: dict[str, dict[str, Any]]
    second: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Over two months of acme, the last two days of them provisional."""
    with World.serving(tmp_path_factory.mktemp("made")) as world, orchestrated(world) as orchestra:
        fill(world.lake, "acme", PLANTED, WINDOW, provisional=2)
        assert run(orchestra).success
        first = recorded(orchestra)
        world.now += timedelta(hours=6)
        assert run(orchestra).success
        yield Made(world, first, recorded(orchestra))


def run(
    orchestra: Orchestra, annotations: AnnotationsFile | None = None, **tags: str
) -> dg.ExecuteInProcessResult:
    """One run of the job for acme, as a person would start it; with `tags`, as the daemon would."""
    without_pauses = dg.RetryPolicy(max_retries=2)
    resources = orchestra.resources | ({"annotations": annotations} if annotations else {})
    defs = build_defs(load_settings(), resources=resources, retries=without_pauses)
    return defs.resolve_job_def("gsc_insights").execute_in_process(
        instance=orchestra.instance,
        partition_key=None if tags else "acme",
        tags=tags,
        raise_on_error=False,
    )


def recorded(orchestra: Orchestra) -> dict[str, dict[str, Any]]:
    """The metadata of the newest event of acme's partition, by asset."""
    events = {name: orchestra.materialized(name) for name in (*NAMES, CLIENT_REPORT)}
    return {name: partitions["acme"] for name, partitions in events.items() if partitions}


def test_a_run_fills_every_table_and_records_the_foremost_rows_of_each(made: Made) -> None:
    assert set(made.first) == {*NAMES, CLIENT_REPORT}
    for table in INSIGHTS:
        numbers = made.first[table.name]
        assert numbers["rows"] == made.world.lake.read(table).num_rows
        assert (numbers["changed"], numbers["as_of"]) == (True, "2026-11-18")
        shown = numbers["foremost_rows"].records if "foremost_rows" in numbers else []
        # Content groups have rows too, and are not shown.
        assert len(shown) == min(10, len(WHOLE.of(table, read_ranked(made.world.lake, table, "acme"))))


def test_a_planted_finding_is_what_the_ui_shows_first(made: Made) -> None:
    planted = {plant.query for plant in PLANTED.plants if plant.pattern == "striking_distance"}
    first = made.first["striking_distance"]["foremost_rows"].records[0].data
    assert first["query"] in planted
    assert first["potential_clicks"] > 0
    assert not {"workspace", "month"} & set(first)


def test_the_event_of_the_days_has_a_small_chart(made: Made) -> None:
    text = made.first["daily_performance"]["chart"]
    assert text.startswith("sc-domain:acme.com, WEB")
    encoded, _, legend = text.partition("data:image/svg+xml;base64,")[2].partition(")")
    svg = base64.b64decode(encoded).decode()
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "var(--" not in svg
    assert "Impressions" in svg
    assert 'class="mark"' in svg
    assert "1. `September 2026 spam update (2026-09-24 to 2026-10-08)`" in legend
    assert len(text) < 60_000


@pytest.mark.soak
def test_events_of_changes_forecasts_groups_and_tests_have_a_chart_with_sentences(
    orchestra: Orchestra,
) -> None:
    lake = orchestra.world.lake
    fill(lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=5), FEW)
    assert run(orchestra).success
    # Nothing changes until the second run, so that it finds these rows.
    write(lake, CHANGE_POINTS, [change(date(2026, 11, 14), 40, 20)])
    write(lake, FORECASTS, forecast())
    write(lake, CONTENT_GROUP_DAYS, group_days({"/blog/": 5, "other": 3}, days=9))
    write(lake, SEO_TESTS, [seo_test("titles", "effect", "Clicks rose.", effect=0.1, low=0.0, high=0.2)])
    assert run(orchestra).success
    charts = {name: recorded(orchestra)[name].get("chart", "") for name in NAMES}
    assert {name for name, chart in charts.items() if "data:image/svg+xml;base64," in chart} == {
        "daily_performance",
        "change_points",
        "forecasts",
        "content_group_days",
        "seo_tests",
    }
    assert "1. `A: Clicks fell by 50% (from 40 to 20 a day). It began on 14 Nov" in charts["change_points"]
    assert "we expect 11,264 clicks" in charts["forecasts"]
    assert "`titles, clicks: Clicks rose.`" in charts["seo_tests"]


def test_events_list_the_annotations_of_the_last_days(made: Made) -> None:
    for name in NAMES:
        listed = made.first[name].get("annotations")
        assert (listed is not None) is (name in ("daily_performance", "anomalies"))
    rows = [record.data for record in made.first["anomalies"]["annotations"].records]
    assert [(row["kind"], row["days"], row["search_types"]) for row in rows] == [
        ("counting change", "since 2026-09-24", "WEB"),
        ("ranking update", "2026-09-24 to 2026-10-08", "all"),
        ("ranking update", "2026-08-18 to 2026-08-21", "all"),
    ]
    assert made.world.lake.version_of(ANNOTATIONS) == 1


@pytest.mark.soak
def test_a_mistake_in_the_file_of_annotations_is_named_and_stops_no_workspace(orchestra: Orchestra) -> None:
    world = orchestra.world
    file, listed = world.folder / "annotations.yaml", world.environment()["GSC_WORKSPACES_FILE"]
    own = AnnotationsFile.of(load_settings(annotations=file, workspaces_file=listed))
    fill(world.lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=5), FEW)
    relaunch = "{title: Relaunch, first_day: 2026-11-18}"
    for others, problem in (
        (", {title: Sale}", "annotations[1].first_day: missing"),
        (", {", "not valid YAML"),
    ):
        file.write_text(f"annotations: [{relaunch}{others}]", encoding="utf-8")
        assert run(orchestra, annotations=own).success
        event = recorded(orchestra)["daily_performance"]
        newest = event["annotations"].records[0].data
        assert (newest["title"], newest["source"]) == ("Relaunch", "yours")
        assert f"annotations.yaml: {problem}" in event["annotations_left_out"]


def test_a_second_run_records_that_nothing_has_changed(made: Made) -> None:
    for name in NAMES:
        assert (made.first[name]["changed"], made.second[name]["changed"]) == (True, False)
        assert made.first[name]["rows"] == made.second[name]["rows"]
    assert made.second["daily_performance"]["foremost_rows"].records


def test_the_report_is_a_file_with_the_figures_of_its_event(made: Made) -> None:
    numbers = made.second[CLIENT_REPORT]
    file = made.world.folder / "reports" / "acme.html"
    assert numbers["path"] == str(file)
    assert numbers["kilobytes"] == round(file.stat().st_size / 1000, 1)
    assert numbers["last_day"] == "2026-11-18"
    assert f"{numbers['clicks']:,}" in file.read_text(encoding="utf-8")
    assert isinstance(numbers["clicks_change_percent"], float)


@pytest.mark.soak
def test_a_workspace_without_a_final_day_has_empty_insights_and_no_report(orchestra: Orchestra) -> None:
    assert run(orchestra).success
    numbers = recorded(orchestra)["daily_performance"]
    assert (numbers["rows"], numbers["as_of"]) == (0, "no day is final yet")
    assert not {"chart", "foremost_rows"} & set(numbers)
    assert CLIENT_REPORT not in recorded(orchestra)


@pytest.mark.soak
def test_a_report_that_cannot_be_written_fails_its_step_and_names_the_folder(orchestra: Orchestra) -> None:
    fill(orchestra.world.lake, "acme", SyntheticProperty("sc-domain:acme.com", rows_a_day=5), FEW)
    (orchestra.world.folder / "reports").write_text("in the way", encoding="utf-8")
    result = run(orchestra)
    assert not result.success
    assert recorded(orchestra)["daily_performance"]["rows"]
    (failure,) = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    assert "name another folder" in failure.user_failure_data.description
    assert not any(event.is_step_restarted for event in result.all_events)


def evaluate(orchestra: Orchestra, **settings: Any) -> Any:
    defs = build_defs(load_settings(**settings), resources=orchestra.resources)
    with dg.build_sensor_context(
        instance=orchestra.instance,
        resources=orchestra.resources,
        repository_def=defs.get_repository_def(),
    ) as context:
        return defs.resolve_sensor_def("gsc_tick_summary").evaluate_tick(context)


def test_when_a_tick_has_ended_insights_are_requested_for_the_changed_workspaces_alone(
    orchestra: Orchestra,
) -> None:
    globex = orchestra.workspaces[1]
    orchestra.world.sync(globex, orchestra.world.last(9))
    for request in tick(orchestra, auto_sync_days=2).run_requests:
        orchestra.materialize(tags=request.tags)
    (due,) = evaluate(orchestra).run_requests
    assert workspaces_of(due.tags) == {"acme"}
    assert due.tags[INSIGHTS_WORKSPACE_TAG] == "acme"
    assert due.run_key == f"{SIX.isoformat()}|acme"
    assert run(orchestra, **due.tags).success
    assert recorded(orchestra)["daily_performance"]["rows"] == 2


@pytest.mark.soak
def test_a_tick_in_which_nothing_changed_requests_no_insights(orchestra: Orchestra) -> None:
    for workspace in orchestra.workspaces:
        orchestra.world.sync(workspace, orchestra.world.last(9))
    for request in tick(orchestra, auto_sync_days=2).run_requests:
        orchestra.materialize(tags=request.tags)
    found = evaluate(orchestra)
    assert len(found.asset_events) == 2
    assert found.run_requests == []


@pytest.mark.soak
def test_a_workspace_that_was_removed_from_the_file_does_not_affect_the_others(orchestra: Orchestra) -> None:
    for request in tick(orchestra, auto_sync_days=2).run_requests:
        orchestra.materialize(tags=request.tags)
    orchestra.instance.delete_dynamic_partition(WORKSPACES, "globex")
    (due,) = evaluate(orchestra, workspaces_per_run=2).run_requests
    assert workspaces_of(due.tags) == {"acme"}


@pytest.mark.soak
def test_workspaces_that_share_a_run_each_get_their_insights_and_their_report(orchestra: Orchestra) -> None:
    for request in tick(orchestra, auto_sync_days=4).run_requests:
        orchestra.materialize(tags=request.tags)
    (due,) = evaluate(orchestra, workspaces_per_run=2).run_requests
    assert run(orchestra, **due.tags).success
    for name in ("daily_performance", CLIENT_REPORT):
        assert set(orchestra.materialized(name)) == {"acme", "globex"}
    files = {file.name for file in (orchestra.world.folder / "reports").iterdir()}
    assert files == {"acme.html", "globex.html"}


@pytest.mark.soak
def test_a_damaged_file_of_one_workspace_does_not_affect_those_that_share_its_run(
    orchestra: Orchestra,
) -> None:
    lake = orchestra.world.lake
    for request in tick(orchestra, auto_sync_days=4).run_requests:
        orchestra.materialize(tags=request.tags)
    (due,) = evaluate(orchestra, workspaces_per_run=2).run_requests
    for file in Path(lake.table_uri(SITE_IMPRESSION)).glob("workspace=acme/**/*.parquet"):
        file.write_bytes(b"PAR1 not any more")
    result = run(orchestra, **due.tags)
    (failure,) = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    assert failure.user_failure_data.description.startswith("acme: ")
    assert "globex" not in failure.user_failure_data.description
    assert set(orchestra.materialized("daily_performance")) == {"globex"}
    assert [file.name for file in (orchestra.world.folder / "reports").iterdir()] == ["globex.html"]
