"""Sitemaps as the API lists them: counts are strings, and unknown values have no key."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from gsc_pipeline.simulator import Simulator, SyntheticProperty, listed_sitemaps
from gsc_pipeline_tests.simulator.conftest import NOON
from gsc_pipeline_tests.simulator.wire import Wire

PREFIX = "https://shop.acme.example/"


def listed(wire: Wire, site_url: str) -> Any:
    answer = wire.get(f"sites/{quote(site_url, safe='')}/sitemaps")
    assert answer.status == 200
    return answer.json()


def test_the_wire_lists_an_index_a_sitemap_one_with_errors_and_a_pending_feed(
    wire: Wire, acme: SyntheticProperty
) -> None:
    entries = listed(wire, acme.site_url)["sitemap"]
    assert entries == listed_sitemaps(acme, NOON)
    root = "https://www.acme.example/"
    by_path = {entry["path"].removeprefix(root): entry for entry in entries}
    assert list(by_path) == ["sitemap.xml", "sitemap-pages.xml", "sitemap-news.xml", "feed.xml"]
    assert [entry["isSitemapsIndex"] for entry in entries] == [True, False, False, False]
    assert (by_path["sitemap-pages.xml"]["errors"], by_path["sitemap-news.xml"]["errors"]) == ("0", "2")
    assert int(by_path["sitemap-news.xml"]["warnings"]) > 0
    for content in by_path["sitemap-pages.xml"]["contents"]:
        assert list(content) == ["type", "submitted", "indexed"]
        assert content["submitted"].isdigit()
        assert content["indexed"] == "0"
    assert by_path["feed.xml"] == {
        "path": f"{root}feed.xml",
        "lastSubmitted": by_path["feed.xml"]["lastSubmitted"],
        "isPending": True,
        "isSitemapsIndex": False,
        "type": "rssFeed",
    }


def test_downloads_change_with_time_and_submissions_do_not(acme: SyntheticProperty) -> None:
    moments = [NOON + timedelta(days=days) for days in range(0, 20, 4)]
    for place in range(3):
        entries = [listed_sitemaps(acme, now)[place] for now in moments]
        assert len({entry["lastSubmitted"] for entry in entries}) == 1
        downloads = [datetime.fromisoformat(entry["lastDownloaded"]) for entry in entries]
        assert downloads == sorted(set(downloads))
        assert all(
            timedelta(0) <= now - at < timedelta(days=4) for now, at in zip(moments, downloads, strict=True)
        )


def test_without_any_sitemap_the_key_is_absent() -> None:
    empty = SyntheticProperty("sc-domain:empty.example", rows_a_day=0)
    with Wire.to(Simulator([empty], clock=lambda: NOON)) as wire:
        assert listed(wire, empty.site_url) == {}


def test_the_sitemaps_of_a_prefix_property_are_under_its_prefix() -> None:
    entries = listed_sitemaps(SyntheticProperty(PREFIX, rows_a_day=50), NOON)
    assert all(entry["path"].startswith(PREFIX) for entry in entries)


@pytest.mark.parametrize("level", ["siteUnverifiedUser", None], ids=["unverified", "unknown"])
def test_sitemaps_need_permission(level: str | None) -> None:
    props = [] if level is None else [SyntheticProperty(PREFIX, rows_a_day=50, permission_level=level)]
    simulator = Simulator(props, clock=lambda: NOON)
    with Wire.to(simulator) as wire:
        assert wire.get(f"sites/{quote(PREFIX, safe='')}/sitemaps").status == 403
    assert (simulator.calls[-1].kind, simulator.calls[-1].site_url) == ("sitemaps", PREFIX)
