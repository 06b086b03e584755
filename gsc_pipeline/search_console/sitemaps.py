"""The sitemaps of a property, as the API lists them.

Belongs here: what the wire's JSON means. Does not: what is kept of it (`sync.sitemaps`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from gsc_pipeline.search_console.json_answers import AnswerObject, Count, Text, decode_strictly
from gsc_pipeline.search_console.moments import moment


@dataclass(frozen=True, slots=True)
class SitemapContent:
    """How many addresses of one kind (`web`, `image`, …) a sitemap submits, and how many are indexed."""

    kind: str
    submitted: int
    indexed: int


@dataclass(frozen=True, slots=True)
class Sitemap:
    """One submitted sitemap. `kind` is the API's word, empty where it gives none; moments are aware."""

    path: str
    kind: str
    is_index: bool
    is_pending: bool
    last_submitted: datetime | None
    last_downloaded: datetime | None
    warnings: int
    errors: int
    contents: tuple[SitemapContent, ...]


class _Content(msgspec.Struct):
    type: str = ""
    submitted: Count = 0
    indexed: Count = 0


class _Sitemap(msgspec.Struct):
    path: Text
    type: str = ""
    isSitemapsIndex: bool = False
    isPending: bool = False
    lastSubmitted: str = ""
    lastDownloaded: str = ""
    warnings: Count = 0
    errors: Count = 0
    contents: list[_Content] = []


class _Sitemaps(AnswerObject):
    sitemap: list[_Sitemap] = msgspec.field(default_factory=list)


# Not strict, because the wire writes 64-bit counts as texts.
_SITEMAPS = msgspec.json.Decoder(_Sitemaps, strict=False)


def decode_sitemaps(body: bytes) -> list[Sitemap]:
    """Decode the body of a sitemaps.list answer.

    Raises ServiceUnavailableError where it is no JSON, WrongAnswerError where it is no such answer.
    """
    answer = decode_strictly(_SITEMAPS, body, "the list of sitemaps")
    return [
        Sitemap(
            path=entry.path,
            kind=entry.type,
            is_index=entry.isSitemapsIndex,
            is_pending=entry.isPending,
            last_submitted=moment(entry.lastSubmitted),
            last_downloaded=moment(entry.lastDownloaded),
            warnings=entry.warnings,
            errors=entry.errors,
            contents=tuple(SitemapContent(one.type, one.submitted, one.indexed) for one in entry.contents),
        )
        for entry in answer.sitemap
    ]
