"""The queries behind the insights' inputs, each over the views of one workspace's tables.

Belongs here: SQL that sums rows. `chosen` is a table of days with site_url, search_type, data_date, as_of,
days, and for comparisons period; `{is_brand}` stands for a condition on query (`is_brand_sql`). Does not:
which days are chosen (`windows`), what the sums mean (the insights' own modules).
"""

from __future__ import annotations

from collections.abc import Sequence

from gsc_pipeline.lake.lake import sql_text

LEDGER = """
    SELECT site_url, search_type, data_date, status, clicks, impressions, position, truncated
    FROM sync_ledger ORDER BY site_url, search_type, data_date"""

NAMED_BY_DAY = """
    SELECT site_url, search_type, data_date,
           coalesce(sum(clicks) FILTER (is_brand), 0)::BIGINT AS brand_clicks,
           coalesce(sum(impressions) FILTER (is_brand), 0)::BIGINT AS brand_impressions,
           coalesce(sum(clicks) FILTER (NOT is_brand), 0)::BIGINT AS non_brand_clicks,
           coalesce(sum(impressions) FILTER (NOT is_brand), 0)::BIGINT AS non_brand_impressions
    FROM (SELECT site_url, search_type, data_date, clicks, impressions, {is_brand} AS is_brand
          FROM searchdata_site_impression WHERE query <> '')
    GROUP BY ALL"""

MAKE_QUERY_POSITIONS = """
    CREATE OR REPLACE TEMP TABLE query_positions AS
    SELECT site_url, search_type, as_of, days, query, device,
           round(sum_top_position / impressions)::BIGINT + 1 AS position,
           sum(clicks)::BIGINT AS clicks, sum(impressions)::BIGINT AS impressions,
           sum(sum_top_position)::BIGINT AS sum_position
    FROM searchdata_site_impression JOIN chosen USING (site_url, search_type, data_date)
    WHERE data_date BETWEEN $first AND $last AND query <> '' AND impressions > 0
      AND sum_top_position <= $deepest * impressions AND device IS NOT NULL AND NOT {is_brand}
    GROUP BY ALL"""

POSITIONS = """
    SELECT site_url, search_type, as_of, days, device, position,
           sum(clicks)::BIGINT AS clicks, sum(impressions)::BIGINT AS impressions
    FROM query_positions GROUP BY ALL"""

QUERY_POSITIONS = """
    SELECT * FROM query_positions
    QUALIFY sum(impressions) OVER (PARTITION BY site_url, search_type, query, device) >= $least"""

QUERIES = """
    SELECT *, {is_brand} AS is_brand FROM (
        SELECT site_url, search_type, as_of, days, query, device,
               sum(clicks)::BIGINT AS clicks, sum(impressions)::BIGINT AS impressions,
               sum(sum_top_position)::BIGINT AS sum_position
        FROM searchdata_site_impression JOIN chosen USING (site_url, search_type, data_date)
        WHERE data_date BETWEEN $first AND $last AND query <> '' GROUP BY ALL)
    QUALIFY sum(impressions) OVER (PARTITION BY site_url, search_type, query) >= $least"""

MAKE_QUERY_PAGES = """
    CREATE OR REPLACE TEMP TABLE query_pages AS
    SELECT site_url, search_type, as_of, days, query, url,
           sum(clicks)::BIGINT AS clicks, sum(impressions)::BIGINT AS impressions,
           sum(sum_position)::BIGINT AS sum_position
    FROM searchdata_url_impression JOIN chosen USING (site_url, search_type, data_date)
    WHERE data_date BETWEEN $first AND $last AND query <> '' GROUP BY ALL"""

SHARED_QUERIES = """
    SELECT *, {is_brand} AS is_brand FROM query_pages
    WINDOW of_query AS (PARTITION BY site_url, search_type, query)
    QUALIFY sum(clicks) OVER of_query >= $least AND count(*) OVER of_query >= 2"""

TOP_PAGES = """
    SELECT site_url, search_type, query, url
    FROM query_pages SEMI JOIN wanted USING (site_url, search_type, query)
    QUALIFY row_number() OVER (
        PARTITION BY site_url, search_type, query ORDER BY impressions DESC, clicks DESC, url) = 1"""

COMPARED = """
    SELECT site_url, search_type, as_of, days, {of} AS item, {sums}
    FROM {table} JOIN chosen USING (site_url, search_type, data_date)
    WHERE data_date BETWEEN $first AND $last  AND {of} <> '' GROUP BY ALL
    HAVING greatest(impressions_before, impressions) >= $least_impressions
        OR clicks_before >= $least_clicks"""

INSPECTIONS = """
    SELECT site_url, url, inspected_on, verdict, coverage_state, page_fetch_state,
           len(sitemaps) > 0 AS is_in_sitemap
    FROM url_inspections
    QUALIFY row_number() OVER (PARTITION BY site_url, url ORDER BY inspected_at DESC, run_id) = 1"""

LISTED_SITEMAPS = """
    SELECT site_url, path, observed_on, errors, warnings, submitted, is_pending FROM sitemaps
    QUALIFY observed_on = max(observed_on) OVER (PARTITION BY site_url)"""

FINGERPRINT = f"""
    SELECT (SELECT (count(*), max(last_read_at), sum(clicks), sum(impressions), sum(position),
                    count(*) FILTER (status = 'final'), count(*) FILTER (status = 'empty'),
                    count(*) FILTER (status = 'failed'), count(*) FILTER (truncated)) FROM sync_ledger)::TEXT,
           (SELECT (count(*), max(inspected_at)) FROM url_inspections)::TEXT,
           (SELECT list((site_url, path, errors, warnings, submitted, is_pending) ORDER BY site_url, path)
            FROM ({LISTED_SITEMAPS}))::TEXT"""


def compared_sql(table: str, of: str, position: str) -> str:
    """The sums of two windows by `of`, a column of `table`, whose sums of positions are in `position`."""
    sums = [
        f"coalesce(sum({column}) FILTER (period = '{period}'), 0)::BIGINT AS {name}{suffix}"
        for suffix, period in (("_before", "before"), ("", "now"))
        for name, column in (("clicks", "clicks"), ("impressions", "impressions"))
    ]
    sums += [
        f"(sum({position}) FILTER (period = '{period}'))::BIGINT AS sum_position{suffix}"
        for suffix, period in (("_before", "before"), ("", "now"))
    ]
    return COMPARED.format(table=table, of=of, sums=", ".join(sums))


def is_brand_sql(brand_terms: Sequence[str]) -> str:
    """The condition that a query holds one of the terms, upper and lower case and accents aside."""
    terms = [term for term in brand_terms if term.strip()]
    if not terms:
        return "false"
    held = (
        f"contains(strip_accents(lower(query)), strip_accents(lower({sql_text(term)})))" for term in terms
    )
    return f"({' OR '.join(held)})"
