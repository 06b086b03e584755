"""Lists of sitemaps and inspections, as JSON and over the wire: what is absent, odd or new is survived."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.search_console.errors import (
    IllegalRequestError,
    PropertyForbiddenError,
    TransientError,
    WrongAnswerError,
)
from gsc_pipeline.search_console.inspections import Inspection, decode_inspection
from gsc_pipeline.search_console.moments import moment
from gsc_pipeline.search_console.sitemaps import Sitemap, SitemapContent, decode_sitemaps
from gsc_pipeline.simulator import Reply
from gsc_pipeline_tests.search_console.conftest import DOMAIN, NOT_OURS, SHOP, Wire

ENTRY = {
    "path": "https://acme.com/sitemap.xml",
    "lastSubmitted": "2026-11-01T10:20:30.123Z",
    "isPending": False,
    "isSitemapsIndex": True,
    "type": "sitemap",
    "lastDownloaded": "2026-11-20T01:02:03Z",
    "warnings": "3",
    "errors": "0",
    "contents": [{"type": "web", "submitted": "9007199254740991", "indexed": "0"}],
}


def sitemaps(document: Any) -> list[Sitemap]:
    return decode_sitemaps(json.dumps(document).encode())


def inspection(document: Any) -> Inspection:
    return decode_inspection(json.dumps(document).encode())


def test_counts_that_are_texts_on_the_wire_become_the_whole_numbers_they_are() -> None:
    assert sitemaps({"sitemap": [ENTRY]}) == [
        Sitemap(
            path="https://acme.com/sitemap.xml",
            kind="sitemap",
            is_index=True,
            is_pending=False,
            last_submitted=datetime(2026, 11, 1, 10, 20, 30, 123_000, UTC),
            last_downloaded=datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC),
            warnings=3,
            errors=0,
            contents=(SitemapContent("web", 9007199254740991, 0),),
        )
    ]
    assert sitemaps({"sitemap": [{**ENTRY, "warnings": 3, "errors": 0}]})[0].warnings == 3


def test_a_sitemap_of_which_only_the_path_is_told_is_one() -> None:
    (alone,) = sitemaps({"sitemap": [{"path": "https://acme.com/feed"}]})
    assert (alone.kind, alone.last_downloaded, alone.warnings, alone.contents) == ("", None, 0, ())


def test_no_sitemaps_are_an_empty_list() -> None:
    assert sitemaps({}) == []


@pytest.mark.parametrize("name", ["type", "lastSubmitted", "isPending", "warnings", "contents"])
def test_any_absent_key_leaves_the_others_as_they_are(name: str) -> None:
    (found,) = sitemaps({"sitemap": [{key: value for key, value in ENTRY.items() if key != name}]})
    assert found.path == ENTRY["path"]
    assert found.last_downloaded is not None


def test_words_that_are_new_are_kept_as_they_are() -> None:
    entry = {**ENTRY, "type": "hologram", "contents": [{"type": "smell"}], "novelty": {"a": 1}}
    (found,) = sitemaps({"sitemap": [entry]})
    assert (found.kind, found.contents[0].kind) == ("hologram", "smell")
    result = inspection({"inspectionResult": {"indexStatusResult": {"verdict": "MAYBE", "novelty": 1}}})
    assert result.verdict == "MAYBE"


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"sitemap": {}},
        {"sitemap": None},
        {"sitemap": [{}]},
        {"sitemap": [{**ENTRY, "path": ""}]},
        {"sitemap": [{**ENTRY, "errors": "many"}]},
        {"sitemap": [{**ENTRY, "errors": -1}]},
        {"sitemap": [{**ENTRY, "warnings": "-1"}]},
        {"sitemap": [{**ENTRY, "contents": [{"submitted": str(2**53)}]}]},
        {"sitemap": [{**ENTRY, "contents": [{"indexed": -1}]}]},
        {"error": {"code": 503}},
        {"error": None, "sitemap": [ENTRY]},
        "sitemap",
        None,
    ],
)
def test_what_is_no_list_of_sitemaps_is_never_taken_for_one(document: Any) -> None:
    with pytest.raises(WrongAnswerError, match="could not be read"):
        sitemaps(document)


def test_an_inspection_is_columns_and_the_whole_answer_beside() -> None:
    result = {
        "inspectionResultLink": "https://search.google.com/x",
        "indexStatusResult": {
            "verdict": "PASS",
            "coverageState": "Submitted and indexed",
            "robotsTxtState": "ALLOWED",
            "indexingState": "INDEXING_ALLOWED",
            "lastCrawlTime": "2026-11-19T05:06:07Z",
            "pageFetchState": "SUCCESSFUL",
            "googleCanonical": "https://acme.com/a",
            "userCanonical": "https://acme.com/b",
            "sitemap": ["https://acme.com/sitemap.xml"],
            "referringUrls": ["https://acme.com/"],
            "crawledAs": "MOBILE",
        },
        "ampResult": {"verdict": "FAIL"},
        "mobileUsabilityResult": {"verdict": "VERDICT_UNSPECIFIED"},
        "richResultsResult": {
            "verdict": "PARTIAL",
            "detectedItems": [{"richResultType": "FAQ", "items": [{"name": "é\n\"'"}]}, {}],
        },
    }
    found = inspection({"inspectionResult": result})
    assert json.loads(found.raw) == result
    assert found == Inspection(
        verdict="PASS",
        coverage_state="Submitted and indexed",
        robots_txt_state="ALLOWED",
        indexing_state="INDEXING_ALLOWED",
        page_fetch_state="SUCCESSFUL",
        crawled_as="MOBILE",
        last_crawled_at=datetime(2026, 11, 19, 5, 6, 7, tzinfo=UTC),
        google_canonical="https://acme.com/a",
        user_canonical="https://acme.com/b",
        sitemaps=("https://acme.com/sitemap.xml",),
        referring_urls=("https://acme.com/",),
        amp_verdict="FAIL",
        mobile_usability_verdict="VERDICT_UNSPECIFIED",
        rich_results_verdict="PARTIAL",
        rich_result_types=("FAQ",),
        result_link="https://search.google.com/x",
        raw=found.raw,
    )


def test_an_inspection_that_says_nothing_is_one_with_nothing_known() -> None:
    found = inspection({"inspectionResult": {}})
    assert (found.verdict, found.last_crawled_at, found.sitemaps, found.raw) == (None, None, (), "{}")


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        None,
        {"inspectionResult": []},
        {"inspectionResult": None},
        {"inspectionResult": "PASS"},
        {"inspectionResult": {"ampResult": "PASS"}},
        {"inspectionResult": {}, "error": {"code": 503}},
    ],
)
def test_what_is_no_inspection_is_never_taken_for_one(document: Any) -> None:
    with pytest.raises(WrongAnswerError, match="could not be read"):
        inspection(document)


@pytest.mark.parametrize("key", ["sitemap", "inspectionResult", "novelty"])
def test_what_is_nested_deeply_is_no_answer(key: str) -> None:
    body = f'{{"{key}":{"[" * 100_000}{"]" * 100_000}}}'.encode()
    for decode in (decode_sitemaps, decode_inspection):
        with pytest.raises(WrongAnswerError, match="could not be read"):
            decode(body)


@given(st.binary(max_size=40))
def test_broken_bytes_are_no_answer(body: bytes) -> None:
    for decode in (decode_sitemaps, decode_inspection):
        try:
            decode(body)
        except TransientError:
            continue
        assert json.loads(body) is not None


@given(st.datetimes(timezones=st.just(UTC)), st.integers(0, 999))
def test_moments_keep_their_microseconds_whatever_follows(at: datetime, nanoseconds: int) -> None:
    assert moment(f"{at:%H:%M}") is None
    assert moment(f"{at.isoformat(timespec='microseconds')[:26]}{nanoseconds:03}Z") == at


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_a_text_that_names_no_moment_is_none(text: str) -> None:
    assert moment(text) is None


def test_sitemaps_are_listed_over_the_wire(wire: Wire) -> None:
    found = wire.console().sitemaps(SHOP)
    assert found
    assert all(sitemap.path.startswith(SHOP) for sitemap in found)
    assert [call.site_url for call in wire.simulator.calls if call.kind == "sitemaps"] == [SHOP]
    (exchange,) = [one for one in wire.simulator.exchanges if one.path.endswith("/sitemaps")]
    assert exchange.path == "/webmasters/v3/sites/https%3A%2F%2Fshop.acme.com%2F/sitemaps"


def test_a_page_is_inspected_over_the_wire(wire: Wire) -> None:
    found = wire.console().inspect(SHOP, f"{SHOP}never-heard-of")
    assert found.coverage_state == "URL is unknown to Google"
    (call,) = [call for call in wire.simulator.calls if call.kind == "inspect"]
    assert call.body == {"siteUrl": SHOP, "inspectionUrl": f"{SHOP}never-heard-of"}


def test_a_page_of_another_property_is_an_illegal_request(wire: Wire) -> None:
    with pytest.raises(IllegalRequestError, match="not part of this property"):
        wire.console().inspect(SHOP, "https://elsewhere.example/")


def test_a_property_that_is_not_ours_is_refused_for_both(wire: Wire) -> None:
    with pytest.raises(PropertyForbiddenError):
        wire.console().sitemaps(NOT_OURS)
    with pytest.raises(PropertyForbiddenError):
        wire.console().inspect(NOT_OURS, "https://not-ours.com/")


@pytest.mark.parametrize("kind", ["sitemaps", "inspect"])
def test_an_answer_that_cannot_be_read_is_asked_for_again(wire: Wire, kind: str) -> None:
    wire.answer_instead(kind, Reply(200, {"sitemap": 1}), Reply(503, b"<html>"), None)
    console = wire.console()
    if kind == "sitemaps":
        assert console.sitemaps(SHOP)
    else:
        wire.answer_instead(kind, Reply(200, {}), Reply(503, b"<html>"), None)
        assert console.inspect(DOMAIN, "https://acme.com/").raw
    assert (console.usage().calls, console.usage().retries) == (3, 2)
