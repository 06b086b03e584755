"""Decoding lists of sitemaps and inspections: missing, unusual and unknown values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.search_console.answers import parse_time
from gsc_pipeline.search_console.errors import (
    IllegalRequestError,
    PropertyForbiddenError,
    TransientError,
    WrongAnswerError,
)
from gsc_pipeline.search_console.inspections import Inspection, decode_inspection
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


def test_counts_written_as_strings_become_integers() -> None:
    assert sitemaps({"sitemap": [ENTRY]}) == [
        Sitemap(
            path="https://acme.com/sitemap.xml",
            type="sitemap",
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


def test_a_sitemap_needs_only_a_path() -> None:
    (alone,) = sitemaps({"sitemap": [{"path": "https://acme.com/feed"}]})
    assert (alone.type, alone.last_downloaded, alone.warnings, alone.contents) == ("", None, 0, ())


def test_no_sitemaps_are_an_empty_list() -> None:
    assert sitemaps({}) == []


def test_a_list_that_names_a_sitemap_twice_is_a_wrong_answer() -> None:
    with pytest.raises(WrongAnswerError, match=r"names https://acme\.com/feed twice"):
        sitemaps(
            {"sitemap": [{"path": "https://acme.com/feed"}, {"path": "https://acme.com/feed", "errors": 1}]}
        )


@pytest.mark.parametrize("name", ["type", "lastSubmitted", "isPending", "warnings", "contents"])
def test_a_missing_key_does_not_affect_the_others(name: str) -> None:
    (found,) = sitemaps({"sitemap": [{key: value for key, value in ENTRY.items() if key != name}]})
    assert found.path == ENTRY["path"]
    assert found.last_downloaded is not None


def test_unknown_types_are_kept() -> None:
    entry = {**ENTRY, "type": "hologram", "contents": [{"type": "smell"}], "novelty": {"a": 1}}
    (found,) = sitemaps({"sitemap": [entry]})
    assert (found.type, found.contents[0].type) == ("hologram", "smell")
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
def test_an_answer_of_another_form_is_not_a_list_of_sitemaps(document: Any) -> None:
    with pytest.raises(WrongAnswerError, match="could not be read"):
        sitemaps(document)


def test_an_inspection_has_its_fields_and_the_whole_result() -> None:
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


def test_an_empty_inspection_has_no_values() -> None:
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
def test_an_answer_of_another_form_is_not_an_inspection(document: Any) -> None:
    with pytest.raises(WrongAnswerError, match="could not be read"):
        inspection(document)


@pytest.mark.parametrize("key", ["sitemap", "inspectionResult", "novelty"])
def test_a_deeply_nested_answer_is_a_wrong_answer(key: str) -> None:
    body = f'{{"{key}":{"[" * 1_000_000}{"]" * 1_000_000}}}'.encode()
    for decode in (decode_sitemaps, decode_inspection):
        with pytest.raises(WrongAnswerError, match="could not be read"):
            decode(body)


@given(st.binary(max_size=40))
def test_invalid_utf8_is_a_wrong_answer(body: bytes) -> None:
    for decode in (decode_sitemaps, decode_inspection):
        try:
            decode(body)
        except TransientError:
            continue
        assert json.loads(body) is not None


@given(st.datetimes(timezones=st.just(UTC)), st.integers(0, 999))
def test_times_keep_their_microseconds_with_any_number_of_digits(at: datetime, nanoseconds: int) -> None:
    assert parse_time(f"{at:%H:%M}") is None
    assert parse_time(f"{at.isoformat(timespec='microseconds')[:26]}{nanoseconds:03}Z") == at


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_a_text_that_is_not_a_time_is_none(text: str) -> None:
    assert parse_time(text) is None


def test_a_client_lists_sitemaps(wire: Wire) -> None:
    found = wire.console().sitemaps(SHOP)
    assert found
    assert all(sitemap.path.startswith(SHOP) for sitemap in found)
    assert [call.site_url for call in wire.simulator.calls if call.kind == "sitemaps"] == [SHOP]
    (exchange,) = [one for one in wire.simulator.exchanges if one.path.endswith("/sitemaps")]
    assert exchange.path == "/webmasters/v3/sites/https%3A%2F%2Fshop.acme.com%2F/sitemaps"


def test_a_client_inspects_a_page(wire: Wire) -> None:
    found = wire.console().inspect(SHOP, f"{SHOP}never-heard-of")
    assert found.coverage_state == "URL is unknown to Google"
    (call,) = [call for call in wire.simulator.calls if call.kind == "inspect"]
    assert call.body == {"siteUrl": SHOP, "inspectionUrl": f"{SHOP}never-heard-of"}


def test_a_page_of_another_property_is_an_illegal_request(wire: Wire) -> None:
    with pytest.raises(IllegalRequestError, match="not part of this property"):
        wire.console().inspect(SHOP, "https://elsewhere.example/")


def test_a_forbidden_property_is_refused_for_both(wire: Wire) -> None:
    with pytest.raises(PropertyForbiddenError):
        wire.console().sitemaps(NOT_OURS)
    with pytest.raises(PropertyForbiddenError):
        wire.console().inspect(NOT_OURS, "https://not-ours.com/")


@pytest.mark.parametrize("kind", ["sitemaps", "inspect"])
def test_an_unreadable_answer_is_retried(wire: Wire, kind: str) -> None:
    wire.answer_instead(kind, Reply(200, {"sitemap": 1}), Reply(503, b"<html>"), None)
    console = wire.console()
    if kind == "sitemaps":
        assert console.sitemaps(SHOP)
    else:
        wire.answer_instead(kind, Reply(200, {}), Reply(503, b"<html>"), None)
        assert console.inspect(DOMAIN, "https://acme.com/").raw
    assert (console.usage().calls, console.usage().retries) == (3, 2)
