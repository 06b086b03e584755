"""URL inspections: the state of pages in Google's index."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import DAY, SITE_URL, TEXT, TIMESTAMP, WORKSPACE, TableSpec, column


def _value(name: str, description: str) -> pa.Field:
    """A value of Google's, unchanged."""
    return column(name, TEXT, description, nullable=True)


URL_INSPECTIONS = TableSpec(
    "url_inspections",
    "Inspections of pages: the state of a page in Google's index when it was inspected.",
    keys=("workspace", "site_url", "url", "inspected_at"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("month", TEXT, "The month of inspected_on, YYYY-MM"),
            SITE_URL,
            column("url", TEXT, "The page's URL"),
            column("inspected_at", TIMESTAMP, "When it was inspected"),
            column("inspected_on", DAY, "The Pacific day of the inspection, whose quota it counts against"),
            _value("verdict", "Whether it is on Google: PASS, PARTIAL, FAIL, NEUTRAL, VERDICT_UNSPECIFIED"),
            _value(
                "coverage_state", "The reason, as text: Submitted and indexed, Excluded by ‘noindex’ tag, …"
            ),
            _value("robots_txt_state", "ALLOWED, DISALLOWED"),
            _value("indexing_state", "INDEXING_ALLOWED, BLOCKED_BY_META_TAG, BLOCKED_BY_HTTP_HEADER, …"),
            _value("page_fetch_state", "SUCCESSFUL, SOFT_404, NOT_FOUND, SERVER_ERROR, REDIRECT_ERROR, …"),
            _value("crawled_as", "DESKTOP, MOBILE"),
            column("last_crawled_at", TIMESTAMP, "When Google last crawled it", nullable=True),
            _value("google_canonical", "The canonical URL that Google chose"),
            _value("user_canonical", "The canonical URL that the page declares"),
            column("sitemaps", pa.list_(TEXT), "Sitemaps that list it, as far as Google says"),
            column("referring_urls", pa.list_(TEXT), "Pages that link to it, as far as Google says"),
            _value("amp_verdict", "The verdict on its AMP version"),
            _value("mobile_usability_verdict", "The verdict on its mobile usability"),
            _value("rich_results_verdict", "The verdict on its rich results"),
            column("rich_result_types", pa.list_(TEXT), "Types of rich results found: Breadcrumbs, FAQ, …"),
            _value("result_link", "The URL of the inspection in Search Console"),
            column("result_json", TEXT, "The complete result from the API, as JSON"),
            column("run_id", TEXT, "The sync that inspected it"),
        ]
    ),
)
