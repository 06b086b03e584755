"""URL inspections: states, permissions, refused requests, and the quota."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3

from gsc_pipeline.simulator import InspectionQuota, Simulator, SyntheticProperty, inspection
from gsc_pipeline.simulator.wire.inspections import QuotaUsed
from gsc_pipeline_tests.simulator.conftest import NOON
from gsc_pipeline_tests.simulator.wire import ANYONE, Wire

DOMAIN = "sc-domain:acme.example"
SHOP = "https://shop.acme.example/"
RESTRICTED = "sc-domain:restricted.example"
HOME = "https://www.acme.example/"


@pytest.fixture(scope="module")
def prop() -> SyntheticProperty:
    return SyntheticProperty(DOMAIN, rows_a_day=2_000)


@pytest.fixture(scope="module")
def pages(prop: SyntheticProperty) -> list[str]:
    facts = prop.facts("web", NOON.date())
    assert facts is not None
    return [str(page) for page in facts.labels.page]


@pytest.fixture(scope="module")
def simulator(prop: SyntheticProperty) -> Simulator:
    return Simulator(
        [
            prop,
            SyntheticProperty(SHOP, rows_a_day=50, permission_level="siteFullUser"),
            SyntheticProperty(RESTRICTED, rows_a_day=50, permission_level="siteRestrictedUser"),
            SyntheticProperty("sc-domain:theirs.example", rows_a_day=50, readers=["someone@else.example"]),
        ],
        clock=lambda: NOON,
    )


@pytest.fixture(scope="module")
def console(simulator: Simulator) -> Iterator[Wire]:
    with Wire.to(simulator) as wire:
        yield wire


def inspect(wire: Wire, body: Any) -> urllib3.BaseHTTPResponse:
    return wire.pool.request(
        "POST", f"{wire.url}/v1/urlInspection/index:inspect", headers=wire.headers, json=body
    )


def test_an_inspection_returns_the_state_of_a_page(console: Wire, prop: SyntheticProperty) -> None:
    answer = inspect(console, {"inspectionUrl": HOME, "siteUrl": DOMAIN, "languageCode": "en-US"})
    assert answer.status == 200
    result = answer.json()["inspectionResult"]
    assert result == inspection(prop, HOME, NOON)
    assert result["inspectionResultLink"].startswith("https://search.google.com/search-console/inspect?")
    assert result["mobileUsabilityResult"] == {"verdict": "VERDICT_UNSPECIFIED"}
    status = result["indexStatusResult"]
    assert status["verdict"] in ("PASS", "NEUTRAL", "FAIL")
    assert {"coverageState", "robotsTxtState", "indexingState", "pageFetchState"} <= status.keys()


def test_most_pages_are_indexed_and_unknown_values_have_no_key(
    prop: SyntheticProperty, pages: list[str]
) -> None:
    found = [inspection(prop, page, NOON)["indexStatusResult"] for page in pages]
    states = {status["coverageState"] for status in found}
    indexed = [status for status in found if status["verdict"] == "PASS"]
    assert 0.65 < len(indexed) / len(found) < 0.95
    assert {"Submitted and indexed", "Crawled - currently not indexed"} < states
    for status in found:
        assert ("googleCanonical" in status) == (
            status["verdict"] == "PASS" or "canonical" in status["coverageState"]
        )
        crawled = status.get("lastCrawlTime")
        assert crawled is None or NOON - timedelta(days=20) < datetime.fromisoformat(crawled) <= NOON
    never = [status for status in found if "lastCrawlTime" not in status]
    assert never
    assert all("crawledAs" not in status for status in never)


def test_states_change_within_weeks_and_crawls_within_days(prop: SyntheticProperty, pages: list[str]) -> None:
    def at(days: int) -> list[dict[str, Any]]:
        now = NOON + timedelta(days=days)
        return [inspection(prop, page, now)["indexStatusResult"] for page in pages]

    today, tomorrow, later = at(0), at(1), at(90)
    changed = [
        sum(one["coverageState"] != other["coverageState"] for one, other in zip(today, then, strict=True))
        for then in (tomorrow, later)
    ]
    assert changed[0] < 0.05 * len(pages)
    assert 0.1 * len(pages) < changed[1] < 0.7 * len(pages)
    assert sum(
        one.get("lastCrawlTime") != two.get("lastCrawlTime")
        for one, two in zip(today, tomorrow, strict=True)
    ) > 0.05 * len(pages)  # fmt: skip


def test_a_page_without_impressions_is_unknown_to_google(prop: SyntheticProperty) -> None:
    status = inspection(prop, f"{HOME}never-seen", NOON)["indexStatusResult"]
    assert status == {
        "verdict": "NEUTRAL",
        "coverageState": "URL is unknown to Google",
        "robotsTxtState": "ROBOTS_TXT_STATE_UNSPECIFIED",
        "indexingState": "INDEXING_STATE_UNSPECIFIED",
        "pageFetchState": "PAGE_FETCH_STATE_UNSPECIFIED",
    }


@pytest.mark.parametrize(
    "body",
    [
        {"siteUrl": DOMAIN},
        {"inspectionUrl": HOME},
        {"inspectionUrl": "", "siteUrl": DOMAIN},
        {"inspectionUrl": HOME, "siteUrl": DOMAIN, "url": HOME},
        {"inspectionUrl": 7, "siteUrl": DOMAIN},
        [],
        {"inspectionUrl": "https://www.other.example/", "siteUrl": DOMAIN},
        {"inspectionUrl": "https://notacme.example/", "siteUrl": DOMAIN},
        {"inspectionUrl": "www.acme.example", "siteUrl": DOMAIN},
        {"inspectionUrl": "https://[acme.example/", "siteUrl": DOMAIN},
        {"inspectionUrl": "http://shop.acme.example/", "siteUrl": SHOP},
        {"inspectionUrl": HOME, "siteUrl": SHOP},
    ],
    ids=str,
)
def test_an_invalid_request_is_refused(console: Wire, body: Any) -> None:
    answer = inspect(console, body)
    assert (answer.status, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("url", ["https://acme.example/", "http://a.b.acme.example/x?y", HOME])
def test_a_domain_covers_its_subdomains_and_both_schemes(console: Wire, url: str) -> None:
    assert inspect(console, {"inspectionUrl": url, "siteUrl": DOMAIN}).status == 200


@pytest.mark.parametrize("domain", ["restricted.example", "theirs.example", "unknown.example"])
def test_only_full_users_of_the_property_may_inspect(console: Wire, domain: str) -> None:
    body = {"inspectionUrl": f"https://www.{domain}/", "siteUrl": f"sc-domain:{domain}"}
    answer = inspect(console, body)
    assert (answer.status, answer.json()["error"]["errors"][0]["reason"]) == (403, "forbidden")


def test_inspections_are_recorded_with_their_property(simulator: Simulator, console: Wire) -> None:
    body = {"inspectionUrl": SHOP, "siteUrl": SHOP}
    assert inspect(console, body).status == 200
    call = simulator.calls[-1]
    assert (call.method, call.kind, call.site_url, call.body, call.subject) == (
        "POST",
        "inspect",
        SHOP,
        body,
        ANYONE,
    )


def test_a_property_without_quota_is_refused_and_others_are_not(prop: SyntheticProperty) -> None:
    now = [NOON]
    shop = SyntheticProperty(SHOP, rows_a_day=50)
    quota = InspectionQuota(a_minute=2, a_day=3)
    simulator = Simulator([prop, shop], clock=lambda: now[0], inspection_quota=quota)
    body = {"inspectionUrl": HOME, "siteUrl": DOMAIN}
    with Wire.to(simulator) as wire:
        assert [inspect(wire, body).status for _ in range(3)] == [200, 200, 429]
        assert inspect(wire, {"inspectionUrl": SHOP, "siteUrl": SHOP}).status == 200
        now[0] += timedelta(minutes=1)
        assert inspect(wire, body).status == 200
        now[0] += timedelta(minutes=1)
        error = inspect(wire, body).json()["error"]
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert (error["errors"][0]["reason"], error["errors"][0]["domain"]) == ("quotaExceeded", "usageLimits")
    assert "per day" in error["message"]


def test_the_daily_quota_resets_at_pacific_midnight() -> None:
    midnight = datetime(2026, 11, 21, 8, tzinfo=UTC)
    used = QuotaUsed(InspectionQuota())
    for minute in (4, 3, 2):
        spent = [used.spend(DOMAIN, midnight - timedelta(minutes=minute)) for _ in range(601)]
        assert spent[:600] == [None] * 600
        assert spent[600] is not None
    last = midnight - timedelta(seconds=1)
    assert [used.spend(DOMAIN, last) for _ in range(201)].count(None) == 200
    assert used.spend("sc-domain:other.example", last) is None
    assert used.spend(DOMAIN, midnight) is None
