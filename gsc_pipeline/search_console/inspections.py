"""Decodes URL inspections.

Enumerations stay strings, so that new values of Google's are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from gsc_pipeline.search_console.answers import parse_time
from gsc_pipeline.search_console.errors import WrongAnswerError
from gsc_pipeline.search_console.json_answers import AnswerObject, decode_strictly


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of one inspection. Missing values are None; `raw` is the whole result as JSON."""

    verdict: str | None
    coverage_state: str | None
    robots_txt_state: str | None
    indexing_state: str | None
    page_fetch_state: str | None
    crawled_as: str | None
    last_crawled_at: datetime | None
    google_canonical: str | None
    user_canonical: str | None
    sitemaps: tuple[str, ...]
    referring_urls: tuple[str, ...]
    amp_verdict: str | None
    mobile_usability_verdict: str | None
    rich_results_verdict: str | None
    rich_result_types: tuple[str, ...]
    result_link: str | None
    raw: str


class _IndexStatus(msgspec.Struct):
    verdict: str | None = None
    coverageState: str | None = None
    robotsTxtState: str | None = None
    indexingState: str | None = None
    pageFetchState: str | None = None
    crawledAs: str | None = None
    lastCrawlTime: str | None = None
    googleCanonical: str | None = None
    userCanonical: str | None = None
    sitemap: list[str] = []
    referringUrls: list[str] = []


class _Verdict(msgspec.Struct):
    verdict: str | None = None


class _RichResult(msgspec.Struct):
    richResultType: str | None = None


class _RichResults(msgspec.Struct):
    verdict: str | None = None
    detectedItems: list[_RichResult] = []


class _Result(msgspec.Struct):
    inspectionResultLink: str | None = None
    indexStatusResult: _IndexStatus = msgspec.field(default_factory=_IndexStatus)
    ampResult: _Verdict = msgspec.field(default_factory=_Verdict)
    mobileUsabilityResult: _Verdict = msgspec.field(default_factory=_Verdict)
    richResultsResult: _RichResults = msgspec.field(default_factory=_RichResults)


class _Answer(AnswerObject, kw_only=True):
    inspectionResult: msgspec.Raw


_ANSWER = msgspec.json.Decoder(_Answer)
_RESULT = msgspec.json.Decoder(_Result)


def decode_inspection(body: bytes) -> Inspection:
    """Decode the body of an inspection.

    Raises ServiceUnavailableError if it is not JSON, WrongAnswerError if it has another form.
    """
    raw = bytes(decode_strictly(_ANSWER, body, "the inspection").inspectionResult)
    result = decode_strictly(_RESULT, raw, "the inspection")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise WrongAnswerError(f"the inspection could not be read ({error})") from None
    index, rich = result.indexStatusResult, result.richResultsResult
    types = (item.richResultType for item in rich.detectedItems)
    return Inspection(
        verdict=index.verdict,
        coverage_state=index.coverageState,
        robots_txt_state=index.robotsTxtState,
        indexing_state=index.indexingState,
        page_fetch_state=index.pageFetchState,
        crawled_as=index.crawledAs,
        last_crawled_at=parse_time(index.lastCrawlTime or ""),
        google_canonical=index.googleCanonical,
        user_canonical=index.userCanonical,
        sitemaps=tuple(index.sitemap),
        referring_urls=tuple(index.referringUrls),
        amp_verdict=result.ampResult.verdict,
        mobile_usability_verdict=result.mobileUsabilityResult.verdict,
        rich_results_verdict=rich.verdict,
        rich_result_types=tuple(type_ for type_ in types if type_),
        result_link=result.inspectionResultLink,
        raw=text,
    )
