"""Sums by canonical query, besides those by query: the SQL, and the rows of both dimensions.

A canonical query has all queries of a property and search type with the same canonical form
(`lake.canonical`). It is named by its most shown spelling; of equally often shown ones, by the first in order
of text. SQL sums only what has two or more spellings, because the sums of any other are those of its query.
"""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.measures import SERIES
from gsc_pipeline.lake.canonical import letters_key_sql, with_canonical_query_sql

BY_QUERY = "query"
BY_CANONICAL_QUERY = "canonical_query"
"""Values of the column `dimension`."""

NAMED_QUERY = [*SERIES, "dimension", "query", "canonical_query"]
"""Name a query, or a canonical query by its most shown spelling."""


def make_forms_sql(
    source: str, least: str, per: str = "", *, shown: str = "impressions", wanted: bool = False
) -> str:
    """Creates the table `forms`: queries of the table `source`, their canonical forms, and the sums of both.

    Queries are joined within a property, a search type, and the column `per` if given. Columns: these, query,
    canonical_query, spellings, spelling (the most shown), clicks and impressions of the query, all_clicks and
    all_impressions of the canonical query. `shown` is the expression of the source's impressions.

    It has all queries of each canonical query that has at least `$least` of `least` (clicks or impressions)
    or, if `wanted`, is in the table `wanted`. Most queries are rare, and a form takes much longer to
    compute than a key of letters: so only queries whose key reaches `$least` get a form. Needs
    `create_letters_key`.
    """
    keys = ", ".join(("site_url", "search_type", *([per] if per else [])))
    also = f"UNION SELECT {keys}, {letters_key_sql('canonical_query')} FROM wanted" if wanted else ""
    return f"""
    CREATE OR REPLACE TEMP TABLE forms AS
    WITH counted AS MATERIALIZED (
        SELECT *, {letters_key_sql("query")} AS letters_key FROM (
            SELECT {keys}, query, sum(clicks)::BIGINT AS clicks, sum({shown})::BIGINT AS impressions
            FROM {source} WHERE query IS NOT NULL GROUP BY ALL)
    ), candidates AS MATERIALIZED (
        SELECT * EXCLUDE letters_key FROM counted SEMI JOIN (
            SELECT {keys}, letters_key FROM counted GROUP BY ALL HAVING sum({least}) >= $least {also}
        ) USING ({keys}, letters_key)
    ), formed AS MATERIALIZED (
        {with_canonical_query_sql("(SELECT DISTINCT query FROM candidates)")}
    ), named AS MATERIALIZED (
        SELECT * FROM candidates JOIN formed USING (query)
    ), joined AS (
        SELECT {keys}, canonical_query, count(*) AS spellings,
               arg_min(query, (-impressions, query)) AS spelling,
               sum(clicks)::BIGINT AS all_clicks, sum(impressions)::BIGINT AS all_impressions
        FROM named GROUP BY ALL HAVING count(*) > 1
    )
    SELECT {keys}, query, canonical_query, coalesce(spellings, 1) AS spellings,
           coalesce(spelling, query) AS spelling, clicks, impressions,
           coalesce(all_clicks, clicks) AS all_clicks,
           coalesce(all_impressions, impressions) AS all_impressions
    FROM named LEFT JOIN joined USING ({keys}, canonical_query)"""


def make_found_sql(source: str, least: str, per: str = "") -> str:
    """Creates the table `found`: the rows of `source` whose query, alone or with its other spellings, has at
    least `$least` of `least` (clicks or impressions). `is_listed`: the query has as many alone.

    Columns: those of `source`, canonical_query, spellings, spelling and is_listed. Needs `forms`.
    """
    keys = ", ".join(("site_url", "search_type", *([per] if per else []), "query"))
    return f"""
    CREATE OR REPLACE TEMP TABLE found AS
    SELECT * FROM {source} JOIN (
        SELECT {keys}, canonical_query, spellings, spelling, {least} >= $least AS is_listed
        FROM forms WHERE all_{least} >= $least) USING ({keys})"""


def of_found_sql(keys: str, *sums: str) -> str:
    """Selects the sums of `found` by query and by canonical query; `keys` are more columns of both."""
    same = ", ".join(("site_url", "search_type", "as_of", "days", *([keys] if keys else [])))
    of_spellings = ", ".join(f"sum({name})::BIGINT AS {name}" for name in sums)
    return f"""
    SELECT 'query' AS dimension, query, canonical_query, spellings, {same}, {", ".join(sums)}
    FROM found WHERE is_listed
    UNION ALL
    SELECT 'canonical_query', spelling, canonical_query, spellings, {same}, {of_spellings}
    FROM found WHERE spellings > 1 GROUP BY ALL"""


def of_both_dimensions(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of an insight, with those of canonical queries that have one spelling added.

    Replaces the column `spellings` by `queries`, the number of queries that a row sums.
    """
    is_query = rows["dimension"] == BY_QUERY
    alone = rows[is_query & (rows["spellings"] == 1)].assign(dimension=BY_CANONICAL_QUERY)
    queries = rows["spellings"].mask(is_query, 1)
    both = pd.concat([rows.assign(queries=queries), alone.assign(queries=alone["spellings"])])
    return both.drop(columns="spellings").reset_index(drop=True)
