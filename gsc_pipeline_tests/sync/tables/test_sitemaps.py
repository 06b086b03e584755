"""Sitemaps: one row for each sitemap and Pacific day; a later sync of the day replaces the rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITEMAPS
from gsc_pipeline.search_console.sitemaps import Sitemap, SitemapContent
from gsc_pipeline.simulator import listed_sitemaps
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline.sync.tables.sitemaps import sync_sitemaps
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.doubles import ScriptedConsole
from gsc_pipeline_tests.replies import FORBIDDEN, UNAVAILABLE
from gsc_pipeline_tests.sync.tables.shared import is_stopped
from gsc_pipeline_tests.world import World, sorted_rows

SITE, SHOP = "sc-domain:acme.com", "https://shop.acme.com/"
NOON = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def sitemap(path: str = "https://acme.com/sitemap.xml", **changes: Any) -> Sitemap:
    values: dict[str, Any] = {
        "type": "sitemap",
        "is_index": False,
        "is_pending": False,
        "last_submitted": None,
        "last_downloaded": None,
        "warnings": 0,
        "errors": 0,
        "contents": (),
    }
    return Sitemap(path, **{**values, **changes})


def sync(lake: Lake, acme: Workspace, seen: list[Sitemap], now: datetime = NOON) -> TableReport:
    console = ScriptedConsole(sitemap_script=lambda site_url: seen)
    return sync_sitemaps(acme, console, lake, clock=lambda: now, run_id="r1")


def held(lake: Lake, *columns: str) -> list[dict[str, Any]]:
    return sorted_rows(lake.read(SITEMAPS, columns=list(columns) or None))


def test_a_row_has_the_sitemap_and_when_it_was_observed(lake: Lake, acme: Workspace) -> None:
    contents = (SitemapContent("web", 7, 1), SitemapContent("image", 5, 0))
    sync(lake, acme, [sitemap(warnings=2, last_downloaded=NOON - ONE_DAY, contents=contents)])
    assert held(lake) == [
        {
            "workspace": "acme",
            "month": "2026-11",
            "site_url": SITE,
            "observed_on": date(2026, 11, 21),
            "observed_at": NOON,
            "path": "https://acme.com/sitemap.xml",
            "type": "sitemap",
            "is_index": False,
            "is_pending": False,
            "last_submitted": None,
            "last_downloaded": NOON - ONE_DAY,
            "warnings": 2,
            "errors": 0,
            "submitted": 12,
            "indexed": 1,
            "contents": [
                {"kind": "web", "submitted": 7, "indexed": 1},
                {"kind": "image", "submitted": 5, "indexed": 0},
            ],
            "run_id": "r1",
        }
    ]


def test_a_later_sync_replaces_the_rows_of_the_same_pacific_day_only(lake: Lake, acme: Workspace) -> None:
    sync(lake, acme, [sitemap(errors=1), sitemap("https://acme.com/gone.xml")])
    sync(lake, acme, [sitemap(errors=2)], MIDNIGHT - timedelta(seconds=1))
    sync(lake, acme, [sitemap(errors=3)], MIDNIGHT)
    assert [(row["observed_on"], row["errors"]) for row in held(lake, "observed_on", "errors")] == [
        (date(2026, 11, 21), 2),
        (date(2026, 11, 22), 3),
    ]


def test_a_property_that_lost_its_sitemaps_has_none_today_and_keeps_yesterdays(
    lake: Lake, acme: Workspace
) -> None:
    assert sync(lake, acme, []).rows == 0
    sync(lake, acme, [sitemap()])
    sync(lake, acme, [sitemap()], MIDNIGHT)
    report = sync(lake, acme, [], MIDNIGHT)
    assert (report.read, report.rows) == (1, 0)
    assert [row["observed_on"] for row in held(lake, "observed_on")] == [date(2026, 11, 21)]


def test_one_empty_list_removes_no_row_of_a_property_that_had_sitemaps(lake: Lake, acme: Workspace) -> None:
    sync(lake, acme, [sitemap(errors=1)])
    lists = [[], [sitemap(errors=2)]]
    console = ScriptedConsole(sitemap_script=lambda site_url: lists.pop(0))
    report = sync_sitemaps(acme, console, lake, clock=lambda: NOON)
    assert (report.rows, lists) == (1, [])
    assert [row["errors"] for row in held(lake, "errors")] == [2]


def sync_world(world: World, *properties: str) -> TableReport:
    return world.sync_table(sync_sitemaps, world.workspace(properties=properties))


def test_the_lake_holds_exactly_what_search_console_lists(world: World) -> None:
    report = sync_world(world, SITE, SHOP)
    assert (report.read, report.problems) == (2, ())
    assert report.usage.calls == 2
    for prop in world.simulator.properties:
        listed = {entry["path"]: entry for entry in listed_sitemaps(prop, world.now)}
        rows = {row["path"]: row for row in held(world.lake) if row["site_url"] == prop.site_url}
        assert listed
        assert rows.keys() == listed.keys()
        for path, entry in listed.items():
            row = rows[path]
            assert row["type"] == entry["type"]
            assert row["errors"] == int(entry.get("errors", 0))
            assert row["warnings"] == int(entry.get("warnings", 0))
            assert row["is_pending"] == entry["isPending"]
            assert row["is_index"] == entry["isSitemapsIndex"]
            assert row["last_submitted"] == datetime.fromisoformat(entry["lastSubmitted"])
            assert (row["last_downloaded"] is None) == ("lastDownloaded" not in entry)
            contents = [
                {"kind": one["type"], "submitted": int(one["submitted"]), "indexed": int(one["indexed"])}
                for one in entry.get("contents", [])
            ]
            assert row["contents"] == contents
            assert row["submitted"] == sum(one["submitted"] for one in contents)


def test_if_a_list_cannot_be_read_its_rows_stay_and_the_other_properties_are_read(
    world: World,
) -> None:
    sync_world(world, SITE, SHOP)
    before = held(world.lake)
    for refusal, transient in (
        (FORBIDDEN, False),
        (UNAVAILABLE, True),
    ):
        world.faults[:] = [
            lambda call, refusal=refusal: (
                refusal if (call.kind, call.site_url) == ("sitemaps", SITE) else None
            )
        ]
        report = sync_world(world, SITE, SHOP)
        (problem,) = report.problems
        assert (problem.site_url, problem.transient) == (SITE, transient)
        assert not is_stopped(report)
        assert report.read == 1
    mine = ("run_id", "observed_at")
    assert [{k: v for k, v in row.items() if k not in mine} for row in held(world.lake)] == [
        {k: v for k, v in row.items() if k not in mine} for row in before
    ]
    assert len({row["run_id"] for row in held(world.lake)}) == 2
