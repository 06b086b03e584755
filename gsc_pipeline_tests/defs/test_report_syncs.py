"""The sensor that reports syncs which were no runs of the instance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.defs.sensors import report_syncs_sensor
from gsc_pipeline.lake.schemas import (
    PROPERTIES,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITE_IMPRESSION,
    SYNC_RUNS,
    URL_IMPRESSION,
)
from gsc_pipeline.monitoring.status import workspace_state
from gsc_pipeline.sync.bulk_export.merge import ImportOptions, import_export
from gsc_pipeline.sync.tables.more import MORE_TABLES, sync_more
from gsc_pipeline_tests.bulk_exports import write_export
from gsc_pipeline_tests.defs.conftest import Orchestra, range_tags
from gsc_pipeline_tests.replies import FORBIDDEN, UNAVAILABLE, all_queries, queries_of

SHOP = "https://shop.acme.com/"
BOTH = ("sc-domain:acme.com", SHOP)


class Daemon:
    """Evaluates the sensor and applies its results, as Dagster's daemon does."""

    def __init__(self, orchestra: Orchestra, events_per_evaluation: int = 400) -> None:
        self._orchestra = orchestra
        self._sensor = report_syncs_sensor(orchestra.start, events_per_evaluation)
        self.cursor: str | None = None

    def evaluate(self, *, dies: bool = False) -> list[str]:
        """The partitions reported of the site table; `dies` before the cursor is saved."""
        with dg.build_sensor_context(
            instance=self._orchestra.instance,
            cursor=self.cursor,
            resources=self._orchestra.resources,
        ) as context:
            found: Any = self._sensor(context)
            after = context.cursor
        if not dies:
            self.cursor = after
        if not isinstance(found, dg.SensorResult):
            return []
        for event in found.asset_events:
            self._orchestra.instance.report_runless_asset_event(event)
        return reported(found.asset_events, SITE_IMPRESSION.name)


def reported(events: Sequence[Any], asset: str) -> list[str]:
    made = [event for event in events if isinstance(event, dg.AssetMaterialization)]
    return [str(event.partition) for event in made if event.asset_key == dg.AssetKey(asset)]


def keys(workspace: str, window: Window) -> list[str]:
    return [f"{day}|{workspace}" for day in window]


def test_a_sync_by_hand_is_reported_once_with_its_numbers_and_the_check(orchestra: Orchestra) -> None:
    world, daemon = orchestra.world, Daemon(orchestra)
    report = world.sync(world.workspace())
    assert daemon.evaluate() == keys("acme", world.last(5))
    assert daemon.evaluate() == []
    found, days = orchestra.materialized(), {day.day: day.record for day in report.days}
    for day, record in days.items():
        numbers = found[f"{day}|acme"]
        assert record.totals
        assert (numbers["clicks"], numbers["impressions"]) == (
            record.totals.clicks,
            record.totals.impressions,
        )
        assert numbers["dagster/partition_row_count"] == record.site_rows
        assert numbers["status"] == record.status.value
    assert orchestra.materialized(URL_IMPRESSION.name).keys() == found.keys()
    assert orchestra.check().passed


def test_an_import_is_reported_and_is_no_sync_of_the_workspace(orchestra: Orchestra) -> None:
    world, daemon = orchestra.world, Daemon(orchestra)
    assert daemon.evaluate() == []
    days = [world.today - 4 * ONE_DAY, world.today - 3 * ONE_DAY]
    folder = write_export(world.folder / "export", world.simulator.properties[:1], days)
    options, workspace = ImportOptions(), world.workspace()
    import_export([str(folder)], workspace, world.lake, options=options, now=world.now, run_id="import")
    assert daemon.evaluate() == [f"{day}|acme" for day in days]
    state = workspace_state(workspace, world.lake)
    assert (state.last_sync, state.last_good_sync, state.incomplete_in_a_row) == (None, None, 0)
    assert state.final == len(days)
    (row,) = world.lake.read(SYNC_RUNS).to_pylist()
    assert (row["outcome"], row["days_read"], row["calls"], row["problems"]) == ("imported", 2, 0, [])


def test_a_sync_of_the_other_tables_is_reported_once_and_is_no_sync_of_the_search_data(
    orchestra: Orchestra,
) -> None:
    world, daemon = orchestra.world, Daemon(orchestra)
    assert daemon.evaluate() == []
    world.faults.append(lambda call: UNAVAILABLE if call.kind == "sitemaps" else None)
    workspace = world.workspace()
    sync_more([workspace], world.open_console, world.lake, clock=lambda: world.now, run_id="by hand")
    assert daemon.evaluate() == daemon.evaluate() == []
    for table in (one.table.name for one in MORE_TABLES):
        events = orchestra.materialized(table)
        assert list(events) == ([] if table == "sitemaps" else ["acme"])
        assert all(metadata == {"run_id": "by hand"} for metadata in events.values())
    assert orchestra.check().passed
    state = workspace_state(workspace, world.lake)
    assert (state.last_sync, state.last_good_sync, state.incomplete_in_a_row) == (None, None, 0)
    (row,) = world.lake.read(SYNC_RUNS).to_pylist()
    assert (row["outcome"], row["days_read"]) == ("more", 0)
    assert row["calls"] > row["retries"]
    assert row["rows"] == world.lake.read(PROPERTIES).num_rows + sum(
        world.lake.read(table).num_rows for table in (SEARCHDATA_HOURLY, SEARCH_APPEARANCE)
    )
    assert "503" in row["problems"][0]


def test_an_idle_sync_by_hand_adds_no_event(orchestra: Orchestra) -> None:
    world, daemon = orchestra.world, Daemon(orchestra)
    world.sync(world.workspace())
    daemon.evaluate()
    world.now += timedelta(minutes=5)
    world.sync(world.workspace())
    assert daemon.evaluate() == []


def test_a_run_of_the_instance_is_not_reported_again(orchestra: Orchestra) -> None:
    world, daemon = orchestra.world, Daemon(orchestra)
    orchestra.materialize(tags=range_tags("acme", world.last(3)))
    events = orchestra.instance.fetch_materializations(dg.AssetKey(SITE_IMPRESSION.name), limit=100).records
    assert daemon.evaluate() == []
    world.now += timedelta(minutes=5)
    world.sync(world.workspace("globex"))
    assert daemon.evaluate() == keys("globex", world.last(5))
    again = orchestra.instance.fetch_materializations(dg.AssetKey(SITE_IMPRESSION.name), limit=100).records
    assert len(again) == len(events) + 5


def test_an_evaluation_whose_cursor_is_lost_is_repeated(orchestra: Orchestra) -> None:
    world, daemon = orchestra.world, Daemon(orchestra)
    world.sync(world.workspace("globex"))
    daemon.evaluate()
    world.now += timedelta(minutes=5)
    world.sync(world.workspace())
    assert daemon.evaluate(dies=True) == keys("acme", world.last(5))
    assert daemon.evaluate() == keys("acme", world.last(5))
    assert daemon.evaluate() == []


def test_a_row_that_appears_late_is_still_reported(orchestra: Orchestra) -> None:
    world, daemon = orchestra.world, Daemon(orchestra)
    world.sync(world.workspace())
    daemon.evaluate()
    world.now -= timedelta(minutes=10)
    world.sync(world.workspace("globex"))
    assert daemon.evaluate() == keys("globex", world.last(5))


def test_a_long_sync_is_reported_over_several_evaluations(orchestra: Orchestra) -> None:
    world, daemon = orchestra.world, Daemon(orchestra, events_per_evaluation=8)
    world.sync(world.workspace(), world.last(10))
    world.now += timedelta(minutes=5)
    world.sync(world.workspace("globex"), world.last(2))
    portions = [daemon.evaluate() for _ in range(4)]
    assert [len(portion) for portion in portions] == [4, 4, 4, 0]
    assert [key for portion in portions for key in portion] == [
        *keys("acme", world.last(10)),
        *keys("globex", world.last(2)),
    ]


def test_a_sync_of_the_other_tables_waits_for_an_evaluation_with_room_for_all(orchestra: Orchestra) -> None:
    world, daemon = orchestra.world, Daemon(orchestra, events_per_evaluation=8)
    world.sync(world.workspace(), world.last(2))
    world.now += timedelta(minutes=5)
    sync_more([world.workspace()], world.open_console, world.lake, clock=lambda: world.now, run_id="by hand")
    assert daemon.evaluate() == keys("acme", world.last(2))
    assert not orchestra.materialized(PROPERTIES.name)
    assert daemon.evaluate() == daemon.evaluate() == []
    for table in MORE_TABLES:
        key = dg.AssetKey(table.table.name)
        assert len(orchestra.instance.fetch_materializations(key, limit=10).records) == 1


def test_a_failed_day_is_not_reported_and_a_refused_property_does_not_hold_days_back(
    orchestra: Orchestra,
) -> None:
    world, daemon = orchestra.world, Daemon(orchestra)
    orchestra.workspaces[0] = world.workspace(properties=BOTH)
    bad_day = world.today - 2 * ONE_DAY
    world.faults.append(all_queries(FORBIDDEN, SHOP))
    world.faults.append(queries_of(bad_day, UNAVAILABLE))
    world.sync(orchestra.workspaces[0])
    good = [key for key in keys("acme", world.last(5)) if not key.startswith(str(bad_day))]
    assert daemon.evaluate() == good
    check = orchestra.check()
    assert not check.passed
    assert check.metadata["failed_days"].value == 6
    assert SHOP in orchestra.materialized()[good[0]]["not_read"]


def test_days_before_the_first_partition_are_not_reported(orchestra: Orchestra) -> None:
    world = orchestra.world
    orchestra.start = world.today - 3 * ONE_DAY
    world.sync(world.workspace())
    assert Daemon(orchestra).evaluate() == keys("acme", world.last(3))


def test_the_first_evaluation_reports_only_days_without_an_event(orchestra: Orchestra) -> None:
    world = orchestra.world
    world.sync(world.workspace(), world.last(2))
    Daemon(orchestra).evaluate()
    assert Daemon(orchestra).evaluate() == []


def test_nothing_is_evaluated_while_no_sync_finishes(orchestra: Orchestra) -> None:
    daemon = Daemon(orchestra)
    assert daemon.evaluate() == []
    orchestra.world.sync(orchestra.world.workspace())
    daemon.evaluate()
    before = daemon.cursor
    daemon.evaluate()
    assert daemon.cursor == before
