"""What `verify` reports of a lake that another process changes at the same time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.sync.report import DayResult, SyncReport
from gsc_pipeline.sync.verify import Wrong, verify
from gsc_pipeline_tests.doubles import ChangedMeanwhile
from gsc_pipeline_tests.world import World


def synced_meanwhile(
    world: World, then: Callable[[], object] = lambda: None
) -> tuple[Lake, list[SyncReport]]:
    """A lake that another process syncs a day later while it is verified, and the report of that sync."""
    acme = world.workspace()
    world.sync(acme)
    world.now += timedelta(days=1)
    reports: list[SyncReport] = []

    def change() -> None:
        reports.append(world.sync(acme))
        then()

    return ChangedMeanwhile(world.lake.uri, SYNC_LEDGER, SITE_IMPRESSION, change), reports


def test_a_verification_beside_a_sync_finds_nothing(world: World) -> None:
    lake, reports = synced_meanwhile(world)
    found = verify(lake)
    assert found.findings() == []
    assert found.compared == 6
    assert reports[0].count(DayResult.READ) > 1


def test_a_day_without_rows_is_found_although_a_sync_changes_its_record_meanwhile(world: World) -> None:
    """The two comparisons find other numbers of the day."""
    last_day = world.today - ONE_DAY
    target = Target("acme", "sc-domain:acme.com", "WEB", (last_day,))

    def lose_rows() -> None:
        world.lake.replace(SITE_IMPRESSION, target, SITE_IMPRESSION.schema.empty_table())

    lake, reports = synced_meanwhile(world, then=lose_rows)
    assert [(one.day, one.wrong) for one in verify(lake).days] == [(last_day, Wrong.SITE_ROWS)]
    assert last_day in {one.day for one in reports[0].days if one.result is DayResult.READ}
