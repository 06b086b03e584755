"""What Google's index knows of single pages, inspection by inspection."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import DAY, MOMENT, SITE_URL, TEXT, WORKSPACE, TableSpec, column


def _word(name: str, description: str) -> pa.Field:
    """A word of Google's, kept as it is on the wire."""
    return column(name, TEXT, description, nullable=True)


URL_INSPECTIONS = TableSpec(
    "url_inspections",
    "Inspections of pages: what Google's index knew of a page at a moment. Every inspection is a row.",
    keys=("workspace", "site_url", "url", "inspected_at"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("month", TEXT, "The month of inspected_on, YYYY-MM"),
            SITE_URL,
            column("url", TEXT, "The page's address"),
            column("inspected_at", MOMENT, "When it was inspected"),
            column("inspected_on", DAY, "The Pacific day of that, to whose quota it counts"),
            _word("verdict", "Whether it is on Google: PASS, PARTIAL, FAIL, NEUTRAL, VERDICT_UNSPECIFIED"),
            _word("coverage_state", "Why, in words: Submitted and indexed, Excluded by ‘noindex’ tag, …"),
            _word("robots_txt_state", "ALLOWED, DISALLOWED"),
            _word("indexing_state", "INDEXING_ALLOWED, BLOCKED_BY_META_TAG, BLOCKED_BY_HTTP_HEADER, …"),
            _word("page_fetch_state", "SUCCESSFUL, SOFT_404, NOT_FOUND, SERVER_ERROR, REDIRECT_ERROR, …"),
            _word("crawled_as", "DESKTOP, MOBILE"),
            column("last_crawled_at", MOMENT, "When Google last crawled it", nullable=True),
            _word("google_canonical", "The address that Google takes for the page's own"),
            _word("user_canonical", "The address that the page names as its own"),
            column("sitemaps", pa.list_(TEXT), "Sitemaps that list it, as far as Google tells"),
            column("referring_urls", pa.list_(TEXT), "Pages that link to it, as far as Google tells"),
            _word("amp_verdict", "The verdict on its AMP version"),
            _word("mobile_usability_verdict", "The verdict on its use on a telephone"),
            _word("rich_results_verdict", "The verdict on its rich results"),
            column("rich_result_types", pa.list_(TEXT), "Kinds of rich results found: Breadcrumbs, FAQ, …"),
            _word("result_link", "The inspection in Search Console"),
            column("result_json", TEXT, "The whole result as the API gave it"),
            column("run_id", TEXT, "The sync that inspected it"),
        ]
    ),
)
