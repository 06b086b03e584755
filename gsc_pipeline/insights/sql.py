"""The SQL that aggregates rows into the inputs of the insights.

`facts` is a view of one table. Each query reads it once, because it may be a stream. `chosen` is a table of
days: site_url, search_type, data_date, as_of, days, and period if two windows are compared. `{is_brand}` is
the condition of `is_brand_sql`.
"""

from __future__ import annotations

from collections.abc import Sequence

from gsc_pipeline.insights.canonical_queries import make_forms_sql, make_found_sql, of_found_sql
from gsc_pipeline.insights.measures import COMPARED_INPUT
from gsc_pipeline.lake.lake import sql_text
from gsc_pipeline.workspaces.seo_tests import PageSet, SeoTest

NAMED_BY_DAY = """
    SELECT site_url, search_type, data_date,
           coalesce(sum(clicks) FILTER (is_brand), 0)::BIGINT AS brand_clicks,
           coalesce(sum(impressions) FILTER (is_brand), 0)::BIGINT AS brand_impressions,
           coalesce(sum(clicks) FILTER (NOT is_brand), 0)::BIGINT AS non_brand_clicks,
           coalesce(sum(impressions) FILTER (NOT is_brand), 0)::BIGINT AS non_brand_impressions
    FROM (SELECT *, {is_brand} AS is_brand FROM facts WHERE query <> '') GROUP BY ALL"""

_SUMS = ("clicks", "impressions", "sum_position")

_PLACED = """
    (SELECT site_url, search_type, as_of, days, query, device, clicks, impressions,
            sum_top_position AS sum_position, round(sum_top_position / impressions)::BIGINT + 1 AS position
     FROM facts JOIN chosen USING (site_url, search_type, data_date)
     WHERE query <> '' AND sum_top_position <= $deepest * impressions AND device IS NOT NULL
       AND impressions > 0)"""

# In one pass over many rows: sums by position, and by query.
MAKE_PLACED = f"""
    CREATE OR REPLACE TEMP TABLE placed AS
    SELECT site_url, search_type, as_of, days, device, position, query, is_brand,
           sum(clicks)::BIGINT AS clicks, sum(impressions)::BIGINT AS impressions
    FROM (SELECT *, {{is_brand}} AS is_brand FROM {_PLACED})
    GROUP BY GROUPING SETS ((site_url, search_type, as_of, days, device, position, is_brand),
                            (site_url, search_type, as_of, days, device, query))"""

POSITIONS = "SELECT * EXCLUDE (query, is_brand) FROM placed WHERE NOT is_brand"

MAKE_PLACED_FORMS = make_forms_sql("placed", "impressions", "device")

_QUERY_POSITIONS = f"""
    (SELECT site_url, search_type, as_of, days, query, device, position,
            sum(clicks)::BIGINT AS clicks, sum(impressions)::BIGINT AS impressions,
            sum(sum_position)::BIGINT AS sum_position
     FROM {_PLACED}
     SEMI JOIN (SELECT * FROM forms WHERE all_impressions >= $least)
         USING (site_url, search_type, query, device)
     GROUP BY ALL)"""

MAKE_PLACED_QUERIES = make_found_sql(_QUERY_POSITIONS, "impressions", "device")

# Ordered, here and below, because floats are summed afterwards and their last digits depend on the order.
QUERY_POSITIONS = f"""
    SELECT * FROM ({of_found_sql("device, position", *_SUMS)}) WHERE NOT {{is_brand}} ORDER BY ALL"""

MAKE_QUERIES = """
    CREATE OR REPLACE TEMP TABLE queries AS
    SELECT site_url, search_type, as_of, days, query, device,
           sum(clicks)::BIGINT AS clicks, sum(impressions)::BIGINT AS impressions,
           sum(sum_top_position)::BIGINT AS sum_position
    FROM facts JOIN chosen USING (site_url, search_type, data_date)
    WHERE query <> '' GROUP BY ALL"""

MAKE_QUERY_FORMS = make_forms_sql("queries", "impressions")

MAKE_SHOWN_QUERIES = make_found_sql("queries", "impressions")

QUERIES = f"SELECT *, {{is_brand}} AS is_brand FROM ({of_found_sql('device', *_SUMS)}) ORDER BY ALL"

MAKE_QUERY_PAGES = """
    CREATE OR REPLACE TEMP TABLE query_pages AS
    SELECT site_url, search_type, as_of, days, query, url,
           sum(clicks)::BIGINT AS clicks, sum(impressions)::BIGINT AS impressions,
           sum(sum_position)::BIGINT AS sum_position
    FROM facts JOIN chosen USING (site_url, search_type, data_date)
    WHERE query <> '' GROUP BY ALL"""

MAKE_PAGE_FORMS = make_forms_sql("query_pages", "clicks", wanted=True)

MAKE_CLICKED_QUERIES = make_found_sql("query_pages", "clicks")

SHARED_QUERIES = f"""
    SELECT *, {{is_brand}} AS is_brand FROM ({of_found_sql("url", *_SUMS)})
    QUALIFY count(*) OVER (PARTITION BY site_url, search_type, dimension, query) >= 2
    ORDER BY ALL"""

TOP_PAGES = """
    SELECT site_url, search_type, dimension, query, canonical_query, url FROM (
        SELECT wanted.*, url, clicks, impressions
        FROM query_pages JOIN wanted USING (site_url, search_type, query) WHERE dimension = 'query'
        UNION ALL
        SELECT site_url, search_type, dimension, spelling, canonical_query, url, sum(clicks), sum(impressions)
        FROM query_pages JOIN (
            SELECT site_url, search_type, forms.query, dimension, wanted.query AS spelling, canonical_query
            FROM forms JOIN wanted USING (site_url, search_type, canonical_query)
            WHERE dimension = 'canonical_query') USING (site_url, search_type, query)
        GROUP BY ALL)
    QUALIFY row_number() OVER (
        PARTITION BY site_url, search_type, dimension, query, canonical_query
        ORDER BY impressions DESC, clicks DESC, url) = 1"""


def _both_periods(position: str) -> str:
    """The sums of each window; those of positions are null without impressions."""
    return f"""
           coalesce(sum(clicks) FILTER (period = 'before'), 0)::BIGINT AS clicks_before,
           coalesce(sum(clicks) FILTER (period = 'now'), 0)::BIGINT AS clicks,
           coalesce(sum(impressions) FILTER (period = 'before'), 0)::BIGINT AS impressions_before,
           coalesce(sum(impressions) FILTER (period = 'now'), 0)::BIGINT AS impressions,
           (sum({position}) FILTER (period = 'before'))::BIGINT AS sum_position_before,
           (sum({position}) FILTER (period = 'now'))::BIGINT AS sum_position"""


COMPARED_PAGES = f"""
    SELECT site_url, search_type, as_of, days, url AS item, {_both_periods("sum_position")}
    FROM facts JOIN chosen USING (site_url, search_type, data_date)
    WHERE url <> '' GROUP BY ALL
    HAVING greatest(impressions_before, impressions) >= $least_impressions
        OR clicks_before >= $least_clicks"""

MAKE_COMPARED_QUERIES = f"""
    CREATE OR REPLACE TEMP TABLE compared AS
    SELECT site_url, search_type, as_of, days, query, {_both_periods("sum_top_position")}
    FROM facts JOIN chosen USING (site_url, search_type, data_date)
    WHERE query <> '' GROUP BY ALL"""

MAKE_COMPARED_FORMS = make_forms_sql("compared", "impressions", shown="impressions_before + impressions")

MAKE_COMPARED_FOUND = make_found_sql("compared", "impressions")

COMPARED_QUERIES = f"""
    SELECT * RENAME (query AS item) FROM (
        SELECT * FROM ({of_found_sql("", *COMPARED_INPUT)})
        WHERE greatest(impressions_before, impressions) >= $least)"""

COMPARED_PARTS = f"""
    SELECT site_url, search_type, device, country, {_both_periods("sum_top_position")}
    FROM facts JOIN chosen USING (site_url, search_type, data_date) GROUP BY ALL"""

INSPECTIONS = """
    SELECT site_url, url, inspected_on, verdict, coverage_state, page_fetch_state,
           len(sitemaps) > 0 AS is_in_sitemap
    FROM facts
    QUALIFY row_number() OVER (PARTITION BY site_url, url ORDER BY inspected_at DESC, run_id) = 1"""

LAST_INSPECTION = "SELECT count(*) AS inspections, max(inspected_at) AS last FROM facts"

LISTED_SITEMAPS = """
    SELECT site_url, path, observed_on, errors, warnings, submitted FROM facts
    QUALIFY observed_on = max(observed_on) OVER (PARTITION BY site_url) ORDER BY site_url, path"""


def is_brand_sql(brand_terms: Sequence[str]) -> str:
    """The SQL condition that a query contains one of the terms; case and accents are ignored."""

    def plain(text: str) -> str:
        # Σ is lowered to σ, but a last one is written ς.
        return f"replace(strip_accents(lower({text})), 'ς', 'σ')"

    held = (f"contains({plain('query')}, {plain(sql_text(term))})" for term in brand_terms)
    return f"({' OR '.join(held) or 'false'})"


def member_sql(pages: PageSet, group: str) -> str:
    """The SQL condition that `url` is one of the pages; `group` is the expression of its content group."""
    if pages.pages:
        return f"url IN ({', '.join(map(sql_text, pages.pages))})"
    if pages.group:
        return f"({group}) = {sql_text(pages.group)}"
    return f"regexp_matches(url, {sql_text(pages.regex)})"


# In a table of its own: DuckDB would move conditions on the result of a DISTINCT to each of its rows.
MAKE_TESTED_URLS = """
    CREATE OR REPLACE TEMP TABLE tested_urls AS
    SELECT DISTINCT url FROM facts SEMI JOIN chosen USING (site_url, search_type, data_date)
    WHERE url <> ''"""


def make_tested_sql(tests: Sequence[SeoTest], group: str) -> str:
    """Makes the table `tested` from `tested_urls`: each URL in a set, and in_variant_0, ... for test 0.

    Membership is found once for each URL, because the group of a URL takes much longer than reading a row.
    """
    conditions = {
        f"in_{name}_{number}": member_sql(pages, "content_group")
        for number, test in enumerate(tests)
        for name, pages in (("variant", test.variant), ("control", test.control))
    }
    has_groups = any(pages.group for test in tests for pages in (test.variant, test.control))
    members = ", ".join(f"{condition} AS {name}" for name, condition in conditions.items())
    return f"""
    CREATE OR REPLACE TEMP TABLE tested AS
    SELECT url, {members}
    FROM (SELECT url, {group if has_groups else "NULL"} AS content_group FROM tested_urls)
    WHERE {" OR ".join(conditions)}"""


def test_days_sql(tests: Sequence[SeoTest]) -> str:
    """The sums of both sets of pages of each test by property, search type and day, from `tested`.

    Columns: those of a series, data_date, and variant_clicks_0, ..., where 0 is the number of the test. A
    page of both sets counts for the variant.
    """
    sums = []
    for number, test in enumerate(tests):
        of_series = f"site_url = {sql_text(test.site_url)} AND search_type = {sql_text(test.search_type)}"
        changed, both = f"in_variant_{number}", f"in_variant_{number} AND in_control_{number}"
        unchanged = f"in_control_{number} AND NOT in_variant_{number}"
        sums += [
            f"sum({metric}) FILTER ({of_series} AND {those}) AS {name}_{metric}_{number}"
            for name, those, metrics in (
                ("variant", changed, ("clicks", "impressions")),
                ("control", unchanged, ("clicks", "impressions")),
                ("shared", both, ("impressions",)),
            )
            for metric in metrics
        ]
    return f"""
    SELECT site_url, search_type, data_date, {", ".join(sums)}
    FROM facts SEMI JOIN chosen USING (site_url, search_type, data_date) JOIN tested USING (url)
    GROUP BY ALL"""
