"""A final day that changes is read again, and each change is recorded exactly once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import REVISIONS
from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.errors import ServiceUnavailableError
from gsc_pipeline.search_console.requests import AnalyticsRequest, DailyTotals
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.report import DayResult, SyncReport
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.doubles import ScriptedConsole, answer

WINDOW = Window(date(2026, 11, 10), date(2026, 11, 13))
DAY = date(2026, 11, 11)


@dataclass
class Site:
    """A property with one query a day, whose clicks a test sets; every day is final."""

    clicks: dict[date, int] = field(default_factory=lambda: dict.fromkeys(WINDOW, 5))
    unreadable: bool = False
    now: datetime = datetime(2026, 11, 20, tzinfo=UTC)

    def console(self) -> ScriptedConsole:
        return ScriptedConsole(self.script)

    def script(self, site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, DailyTotals):
            rows = [(str(day), clicks, 10 * clicks, 2.5) for day, clicks in sorted(self.clicks.items())]
            return answer(("date",), rows, first_incomplete=WINDOW.end + ONE_DAY)
        if self.unreadable:
            raise ServiceUnavailableError("down")
        clicks = self.clicks.get(request.day)
        keys = {"page": "https://acme.com/", "query": "shoes", "country": "usa", "device": "MOBILE"}
        row = (*(keys[name] for name in request.dimensions), clicks, 10 * (clicks or 0), 2.5)
        return answer(request.dimensions, [row] if clicks else [])

    def sync(self, workspace: Workspace, lake: Lake, *, full: bool = False) -> SyncReport:
        self.now += timedelta(hours=6)
        return sync_workspace(
            workspace,
            WINDOW,
            self.console(),
            lake,
            options=SyncOptions(full=full),
            clock=lambda: self.now,
        )


def revisions(lake: Lake) -> list[tuple[date, int, int]]:
    rows = lake.read(REVISIONS).to_pylist()
    return sorted((row["data_date"], row["clicks_before"], row["clicks_after"]) for row in rows)


@pytest.fixture
def site(acme: Workspace, lake: Lake) -> Site:
    site = Site()
    site.sync(acme, lake)
    return site


def test_a_final_day_that_changed_is_read_again_and_its_change_recorded(
    site: Site, acme: Workspace, lake: Lake
) -> None:
    site.clicks[DAY] = 7
    report = site.sync(acme, lake)
    assert [day.day for day in report.days if day.result is DayResult.READ] == [DAY]
    (row,) = lake.read(REVISIONS).to_pylist()
    assert (row["data_date"], row["clicks_before"], row["clicks_after"]) == (DAY, 5, 7)
    assert (row["impressions_before"], row["impressions_after"]) == (50, 70)
    assert (row["seen_at"], row["run_id"]) == (site.now, report.run_id)


def test_no_change_is_recorded_without_one_even_if_a_full_read_reads_the_day(
    site: Site, acme: Workspace, lake: Lake
) -> None:
    site.sync(acme, lake)
    site.sync(acme, lake, full=True)
    assert revisions(lake) == []


def test_a_change_whose_day_cannot_be_read_yet_is_recorded_once(
    site: Site, acme: Workspace, lake: Lake
) -> None:
    site.clicks[DAY] = 7
    site.unreadable = True
    assert site.sync(acme, lake).count(DayResult.FAILED) == 1
    site.unreadable = False
    assert site.sync(acme, lake).count(DayResult.READ) == 1
    assert revisions(lake) == [(DAY, 5, 7)]


def test_every_change_of_a_day_is_a_row_of_its_own(site: Site, acme: Workspace, lake: Lake) -> None:
    for clicks in (7, 5, 7):
        site.clicks[DAY] = clicks
        site.sync(acme, lake)
    assert revisions(lake) == [(DAY, 5, 7), (DAY, 5, 7), (DAY, 7, 5)]


def test_a_day_that_disappeared_and_one_that_came_late_are_revisions(
    site: Site, acme: Workspace, lake: Lake
) -> None:
    del site.clicks[DAY]
    site.sync(acme, lake)
    site.clicks[DAY] = 3
    site.sync(acme, lake)
    assert revisions(lake) == [(DAY, 0, 3), (DAY, 5, 0)]


def test_a_sync_killed_after_recording_a_change_does_not_record_it_twice(
    site: Site, acme: Workspace, lake: Lake
) -> None:
    class Dead(BaseException):
        """The process is killed."""

    def die(site_url: str, request: AnalyticsRequest, start_row: int) -> Answer:
        if isinstance(request, DailyTotals):
            return site.script(site_url, request, start_row)
        raise Dead

    site.clicks[DAY] = 7
    site.clicks[DAY + ONE_DAY] = 8
    with pytest.raises(Dead):
        sync_workspace(acme, WINDOW, ScriptedConsole(die), lake, clock=lambda: site.now)
    assert len(revisions(lake)) == 2
    site.sync(acme, lake)
    assert revisions(lake) == [(DAY, 5, 7), (DAY + ONE_DAY, 5, 8)]
