"""The sitemaps of a property, as the API lists them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gsc_pipeline.simulator.addresses import root_of
from gsc_pipeline.simulator.facts import Property
from gsc_pipeline.simulator.hashing import hashed, seed_of
from gsc_pipeline.simulator.wire.cycles import last_time, wire_time
from gsc_pipeline.simulator.wire.pages import known_pages

PAGES_FILE = "sitemap-pages.xml"
"""The sitemap that lists the property's pages."""

_FIRST_SUBMITTED = datetime(2024, 3, 1, tzinfo=UTC)


def listed_sitemaps(prop: Property, now: datetime) -> list[dict[str, Any]]:
    """The entries of a property at `now`, in the format of the wire.

    An index, the sitemap of all pages, one of news with errors and warnings, and a feed that Google has not
    downloaded yet and that lacks fields. Counts are strings, like every int64 of Google's. A property without
    pages has no entries.
    """
    pages = len(known_pages(prop, now))
    if not pages:
        return []
    week = now.toordinal() // 7
    of_pages = [_content("web", pages), _content("image", pages // 3)]
    warnings = int(hashed(seed_of(prop.site_url, "warnings"), week)[0] % 4)
    return [
        _entry(prop, "sitemap.xml", now, index=True, contents=of_pages),
        _entry(prop, PAGES_FILE, now, warnings=warnings, contents=of_pages),
        _entry(
            prop,
            "sitemap-news.xml",
            now,
            errors=2,
            warnings=5 + warnings,
            contents=[_content("news", 1 + pages // 9)],
        ),
        {
            "path": f"{root_of(prop.site_url)}feed.xml",
            "lastSubmitted": wire_time(_submitted(prop, "feed.xml")),
            "isPending": True,
            "isSitemapsIndex": False,
            "type": "rssFeed",
        },
    ]


def _entry(
    prop: Property,
    file: str,
    now: datetime,
    *,
    contents: list[dict[str, str]],
    index: bool = False,
    errors: int = 0,
    warnings: int = 0,
) -> dict[str, Any]:
    seed = seed_of(prop.site_url, file)
    every = timedelta(hours=20 + int(hashed(seed, 1)[0] % 60))
    return {
        "path": root_of(prop.site_url) + file,
        "lastSubmitted": wire_time(_submitted(prop, file)),
        "isPending": False,
        "isSitemapsIndex": index,
        "type": "sitemap",
        "lastDownloaded": wire_time(last_time(seed, every, now)),
        "warnings": str(warnings),
        "errors": str(errors),
        "contents": contents,
    }


def _content(type_: str, submitted: int) -> dict[str, str]:
    return {"type": type_, "submitted": str(submitted), "indexed": "0"}


def _submitted(prop: Property, file: str) -> datetime:
    minutes = int(hashed(seed_of(prop.site_url, file, "submitted"), 1)[0] % (200 * 24 * 60))
    return _FIRST_SUBMITTED + timedelta(minutes=minutes)
