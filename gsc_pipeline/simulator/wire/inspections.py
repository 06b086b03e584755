"""URL inspections: valid requests, results, and the quota."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from gsc_pipeline.days import pacific_today
from gsc_pipeline.simulator.addresses import belongs, root_of
from gsc_pipeline.simulator.facts import Property
from gsc_pipeline.simulator.hashing import hashed, seed_of, uniform
from gsc_pipeline.simulator.wire.cycles import last_time, wire_time
from gsc_pipeline.simulator.wire.pages import known_pages
from gsc_pipeline.simulator.wire.queries import Refusal, known_fields
from gsc_pipeline.simulator.wire.sitemaps import PAGES_FILE

_DAYS_BETWEEN_CHANGES = 45
_FIELDS = ("inspectionUrl", "siteUrl", "languageCode")


@dataclass(frozen=True, slots=True)
class InspectionQuota:
    """The number of inspections of a property in a minute and in a Pacific day."""

    a_minute: int = 600
    a_day: int = 2_000


DEFAULT_QUOTA = InspectionQuota()
"""Google's quota."""


@dataclass(frozen=True, slots=True)
class _State:
    """A state of a page, and the share of known pages that have it. Empty texts are left out of results."""

    share: float
    verdict: str
    coverage: str
    robots: str = "ALLOWED"
    indexing: str = "INDEXING_ALLOWED"
    fetch: str = "SUCCESSFUL"
    canonical: str = ""
    submitted: bool = True
    crawled: bool = True


_STATES = (
    _State(0.72, "PASS", "Submitted and indexed", canonical="own"),
    _State(0.09, "PASS", "Indexed, not submitted in sitemap", canonical="own", submitted=False),
    _State(0.05, "NEUTRAL", "Crawled - currently not indexed"),
    _State(
        0.04, "NEUTRAL", "Discovered - currently not indexed",
        "ROBOTS_TXT_STATE_UNSPECIFIED", "INDEXING_STATE_UNSPECIFIED", "PAGE_FETCH_STATE_UNSPECIFIED",
        crawled=False,
    ),
    _State(0.02, "NEUTRAL", "Excluded by ‘noindex’ tag", indexing="BLOCKED_BY_META_TAG"),
    _State(0.02, "NEUTRAL", "Page with redirect", submitted=False),
    _State(0.02, "NEUTRAL", "Alternate page with proper canonical tag", canonical="home"),
    _State(0.02, "NEUTRAL", "Not found (404)", fetch="NOT_FOUND"),
    _State(0.01, "FAIL", "Server error (5xx)", fetch="SERVER_ERROR"),
    _State(
        0.01, "NEUTRAL", "Blocked by robots.txt",
        "DISALLOWED", "INDEXING_STATE_UNSPECIFIED", "BLOCKED_ROBOTS_TXT", crawled=False,
    ),
)  # fmt: skip
_UNKNOWN = _State(
    0.0, "NEUTRAL", "URL is unknown to Google",
    "ROBOTS_TXT_STATE_UNSPECIFIED", "INDEXING_STATE_UNSPECIFIED", "PAGE_FETCH_STATE_UNSPECIFIED",
    submitted=False, crawled=False,
)  # fmt: skip


class QuotaUsed:
    """Counts the inspections of each property."""

    def __init__(self, quota: InspectionQuota) -> None:
        self.quota = quota
        self._used: Counter[tuple[str, str]] = Counter()

    def spend(self, site_url: str, now: datetime) -> str | None:
        """Count an inspection and return None, or return which quota is used up."""
        minute, day = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M}", str(pacific_today(now))
        for period, key, limit in (("minute", minute, self.quota.a_minute), ("day", day, self.quota.a_day)):
            if self._used[site_url, key] >= limit:
                return f"Inspection requests per {period} per site"
        self._used[site_url, minute] += 1
        self._used[site_url, day] += 1
        return None


def inspected_url(body: object) -> str:
    """The address to inspect. Raises Refusal if the request is not valid."""
    body = known_fields(body, _FIELDS)
    for name, value in body.items():
        if not isinstance(value, str):
            raise Refusal(f"Invalid value at '{name}': a text was expected.", name)
    for name in ("inspectionUrl", "siteUrl"):
        if not body.get(name):
            raise Refusal(f"Missing required field: {name}.", name)
    url: str = body["inspectionUrl"]
    if not belongs(body["siteUrl"], url):
        raise Refusal(f"The inspected URL is not part of this property: {url}", "inspectionUrl")
    return url


def inspection(prop: Property, url: str, now: datetime) -> dict[str, Any]:
    """The `inspectionResult` of the page at `now`.

    A page keeps its state for weeks and is crawled every few days. Pages without impressions are unknown to
    Google. Unknown values have no key.
    """
    seed = seed_of(prop.site_url, url, "inspection")
    state = _state(seed, now) if url in known_pages(prop, now) else _UNKNOWN
    root = root_of(prop.site_url)
    canonical = {"": "", "own": url, "home": root}[state.canonical]
    status: dict[str, Any] = {
        "verdict": state.verdict,
        "coverageState": state.coverage,
        "robotsTxtState": state.robots,
        "indexingState": state.indexing,
        "pageFetchState": state.fetch,
    }
    if state.crawled:
        every = timedelta(hours=20 + int(hashed(seed, 2)[0] % 340))
        status["lastCrawlTime"] = wire_time(last_time(seed, every, now))
        status["crawledAs"] = "MOBILE" if uniform(seed, 3)[0] < 0.9 else "DESKTOP"
    if canonical:
        status["googleCanonical"] = canonical
        if uniform(seed, 4)[0] < 0.8:
            status["userCanonical"] = canonical
    if state.submitted:
        status["sitemap"] = [root + PAGES_FILE]
    if state is not _UNKNOWN and url != root:
        status["referringUrls"] = [root]
    result: dict[str, Any] = {
        "inspectionResultLink": "https://search.google.com/search-console/inspect"
        f"?resource_id={quote(prop.site_url, safe='')}&id={seed:x}&utm_medium=link",
        "indexStatusResult": status,
        "mobileUsabilityResult": {"verdict": "VERDICT_UNSPECIFIED"},
    }
    if state.verdict == "PASS" and uniform(seed, 5)[0] < 0.3:
        result["richResultsResult"] = _rich_results(seed)
    return result


def _state(seed: int, now: datetime) -> _State:
    change = (now.astimezone(UTC).toordinal() + int(hashed(seed, 6)[0] % 1_000)) // _DAYS_BETWEEN_CHANGES
    chance = float(uniform(seed, 7, change)[0])
    for state in _STATES:
        chance -= state.share
        if chance < 0:
            return state
    return _STATES[0]


def _rich_results(seed: int) -> dict[str, Any]:
    item: dict[str, Any] = {"name": "Unnamed item"}
    if uniform(seed, 8)[0] < 0.5:
        item["issues"] = [{"issueMessage": 'Missing field "review"', "severity": "WARNING"}]
    detected = {"richResultType": "Product snippets", "items": [item]}
    return {"verdict": "PASS", "detectedItems": [detected]}
