"""Decodes the list of a property's sitemaps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import msgspec

from gsc_pipeline.search_console.answers import parse_time
from gsc_pipeline.search_console.errors import WrongAnswerError, printable
from gsc_pipeline.search_console.json_answers import AnswerObject, Count, Text, decode_strictly


@dataclass(frozen=True, slots=True)
class SitemapContent:
    """How many URLs of one type (`web`, `image`, …) a sitemap submits, and how many are indexed."""

    type: str
    submitted: int
    indexed: int


@dataclass(frozen=True, slots=True)
class Sitemap:
    """One submitted sitemap. `type` is empty if the API gives none. Times are in UTC."""

    path: str
    type: str
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


# Not strict, because the API writes 64-bit counts as strings.
_SITEMAPS = msgspec.json.Decoder(_Sitemaps, strict=False)


def decode_sitemaps(body: bytes) -> list[Sitemap]:
    """Decode the body of a sitemaps.list answer.

    Raises ServiceUnavailableError if it is not JSON, WrongAnswerError if it has another form.
    """
    answer = decode_strictly(_SITEMAPS, body, "the list of sitemaps")
    paths = Counter(entry.path for entry in answer.sitemap)
    twice = [path for path, times in paths.most_common(1) if times > 1]
    if twice:
        raise WrongAnswerError(f"the list of sitemaps names {printable(twice[0], 100)} twice")
    return [
        Sitemap(
            path=entry.path,
            type=entry.type,
            is_index=entry.isSitemapsIndex,
            is_pending=entry.isPending,
            last_submitted=parse_time(entry.lastSubmitted),
            last_downloaded=parse_time(entry.lastDownloaded),
            warnings=entry.warnings,
            errors=entry.errors,
            contents=tuple(SitemapContent(one.type, one.submitted, one.indexed) for one in entry.contents),
        )
        for entry in answer.sitemap
    ]
