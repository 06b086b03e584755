"""The tables of the insights. The package `insights` computes their rows."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import (
    CLICKS,
    COUNT,
    DATA_DATE,
    DAY,
    DECIMAL,
    FLAG,
    MONTH,
    SEARCH_TYPE,
    SITE_URL,
    SUM_POSITION,
    TEXT,
    TIMESTAMP,
    WORKSPACE,
    TableSpec,
    column,
)

_MONTH = column("month", TEXT, "The month of as_of, YYYY-MM")
_AS_OF = column("as_of", DAY, "The last final day of the property and search type, on which the window ends")
_DAYS = column("days", COUNT, "Final days in the window; if two windows are compared, in each of them")
# Release 0.1.0 had none of the columns that may be null.
_QUERY = (
    column("dimension", TEXT, "query or canonical_query; null if written by release 0.1.0", nullable=True),
    column("query", TEXT, "The query; of a canonical query, its most shown spelling"),
    column("canonical_query", TEXT, "The canonical form of the query", nullable=True),
    column("queries", COUNT, "Number of queries that the row sums; 1 if dimension is query", nullable=True),
)
_IS_BRAND = column("is_brand", FLAG, "Whether the query contains one of the workspace's brand terms")
_IMPRESSIONS = column("impressions", COUNT, "Impressions in search results")
_CTR = column("ctr", DECIMAL, "Clicks divided by impressions, 0 to 1")
_CTR_OR_NULL = column(
    "ctr", DECIMAL, "Clicks divided by impressions; null without impressions", nullable=True
)
_POSITION = column("position", DECIMAL, "Average position, weighted by impressions; 1 is the top")
_POSITION_OR_NULL = column(
    "position", DECIMAL, "Average position; null without impressions and for feeds", nullable=True
)
_TOP_URL = column(
    "url",
    TEXT,
    "Page with the most impressions for the query; null if unknown",
    nullable=True,
)
_ANNOTATION_OF_WINDOWS = column(
    "annotation",
    TEXT,
    "Data faults and changes of counting that cover more days of one window; null if both are counted alike",
    nullable=True,
)
_CONTENT_GROUP = column("content_group", TEXT, "The content group; `all` is the whole property")
_GROUP_OF_URL = column(
    "content_group", TEXT, "The content group of the page; null if the page is unknown", nullable=True
)
# Release 0.2.0 has these tables without the columns, so they are null until the next refresh.
_ADDED_GROUP = column(
    "content_group",
    TEXT,
    "The content group; `all` is the whole property; null if written by release 0.2.0 or earlier, and then "
    "the whole property",
    nullable=True,
)
_METRIC = column("metric", TEXT, "clicks, impressions or position")
_FOUND_IN = (WORKSPACE, _MONTH, SITE_URL, SEARCH_TYPE, _AS_OF)
_COMPARED = (
    column("clicks_before", COUNT, "Clicks in the earlier window"),
    column("clicks", COUNT, "Clicks in the window"),
    column("change", COUNT, "Clicks gained; negative if lost"),
    column("change_share", DECIMAL, "change divided by clicks_before; null if that is 0", nullable=True),
    column("impressions_before", COUNT, "Impressions in the earlier window"),
    column("impressions", COUNT, "Impressions in the window"),
    column(
        "position_before",
        DECIMAL,
        "Average position in the earlier window; null without impressions and for feeds",
        nullable=True,
    ),
    _POSITION_OR_NULL,
)


def _split(part: str, what: str) -> tuple[pa.Field, pa.Field]:
    return (
        column(f"{part}_clicks", COUNT, f"Clicks {what}; null for feeds", nullable=True),
        column(f"{part}_impressions", COUNT, f"Impressions {what}; null for feeds", nullable=True),
    )


DAILY_PERFORMANCE = TableSpec(
    "daily_performance",
    "Totals by day, split into brand, non-brand and anonymised queries, and what the API cut off.",
    keys=("workspace", "site_url", "search_type", "data_date"),
    schema=pa.schema(
        [
            WORKSPACE,
            MONTH,
            SITE_URL,
            SEARCH_TYPE,
            DATA_DATE,
            column("is_final", FLAG, "False if the day may still change or its last read failed"),
            column("truncated", FLAG, "Whether the API cut off rows of the day"),
            CLICKS,
            _IMPRESSIONS,
            _CTR_OR_NULL,
            _POSITION_OR_NULL,
            *_split("brand", "of queries that contain a brand term"),
            *_split("non_brand", "of other queries that Google names"),
            *_split("anonymised", "of queries that Google does not name: total minus named and cut"),
            *_split("cut", "of countries and devices whose queries the API cut off"),
        ]
    ),
)

CTR_CURVE = TableSpec(
    "ctr_curve",
    "Click-through rate of the property by position and device, without brand queries.",
    keys=("workspace", "site_url", "search_type", "device", "position"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            column("device", TEXT, "DESKTOP MOBILE TABLET"),
            column("position", COUNT, "Rounded position; 1 is the top"),
            CLICKS,
            _IMPRESSIONS,
            _CTR_OR_NULL,
            column("expected_ctr", DECIMAL, "ctr, or interpolated if there are too few impressions"),
        ]
    ),
)

CTR_GAP = TableSpec(
    "ctr_gap",
    "Queries with far fewer clicks than ctr_curve predicts for their positions.",
    keys=("workspace", "site_url", "search_type", "dimension", "query", "device"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            *_QUERY,
            column("device", TEXT, "DESKTOP MOBILE TABLET"),
            _TOP_URL,
            _GROUP_OF_URL,
            CLICKS,
            _IMPRESSIONS,
            _CTR,
            _POSITION,
            column("expected_ctr", DECIMAL, "CTR that ctr_curve predicts for the positions of the query"),
            column("gap_clicks", DECIMAL, "Missing clicks: impressions × (expected_ctr − ctr)"),
        ]
    ),
)

STRIKING_DISTANCE = TableSpec(
    "striking_distance",
    "Queries just below the top positions, and the clicks that a better position would add.",
    keys=("workspace", "site_url", "search_type", "dimension", "query"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            *_QUERY,
            _IS_BRAND,
            _TOP_URL,
            _GROUP_OF_URL,
            CLICKS,
            _IMPRESSIONS,
            _CTR,
            _POSITION,
            column(
                "expected_ctr",
                DECIMAL,
                "CTR that ctr_curve predicts for the better position; null without a curve",
                nullable=True,
            ),
            column(
                "potential_clicks",
                DECIMAL,
                "Impressions × (expected_ctr − ctr), at least 0; null without a curve",
                nullable=True,
            ),
        ]
    ),
)

CANNIBALISATION = TableSpec(
    "cannibalisation",
    "Queries whose clicks are split between pages, one row for each page with a notable share.",
    keys=("workspace", "site_url", "search_type", "dimension", "query", "url"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            *_QUERY,
            _IS_BRAND,
            column("url", TEXT, "One of the pages that share the clicks of the query"),
            _GROUP_OF_URL,
            column("pages", COUNT, "Number of pages with a notable share of the query's clicks"),
            column("hhi", DECIMAL, "Sum of squares of its pages' impression shares; 1 is one page"),
            column("query_clicks", COUNT, "Clicks of the query on all pages"),
            column("query_impressions", COUNT, "Impressions of the query, counted by page"),
            CLICKS,
            column("click_share", DECIMAL, "The page's share of query_clicks, 0 to 1"),
            _IMPRESSIONS,
            column("impression_share", DECIMAL, "The page's share of query_impressions, 0 to 1"),
            _POSITION,
        ]
    ),
)

CONTENT_DECAY = TableSpec(
    "content_decay",
    "Pages and content groups that lost a notable share of their clicks against an equal, earlier window.",
    keys=("workspace", "site_url", "search_type", "dimension", "url", "compared_with"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            column(
                "dimension",
                TEXT,
                "page or content_group; null if written by release 0.2.0 or earlier, and then a page",
                nullable=True,
            ),
            column("url", TEXT, "The page's URL, or the name of the content group"),
            _GROUP_OF_URL,
            column(
                "compared_with", TEXT, "previous (the window just before) or year_before (52 weeks earlier)"
            ),
            *_COMPARED,
            _ANNOTATION_OF_WINDOWS,
        ]
    ),
)

WINNERS_AND_LOSERS = TableSpec(
    "winners_and_losers",
    "Queries, pages and content groups whose clicks changed against the previous window by more than chance.",
    keys=("workspace", "site_url", "search_type", "dimension", "item"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            column("dimension", TEXT, "query, canonical_query, page or content_group"),
            column(
                "item",
                TEXT,
                "The query, the canonical query's most shown spelling, the page's URL, or the name of the "
                "content group",
            ),
            column(
                "content_group",
                TEXT,
                "The content group of the page, or the group itself; null for queries",
                nullable=True,
            ),
            column("kind", TEXT, "winner, loser, new (no impressions before) or lost (no impressions now)"),
            *_COMPARED,
            _ANNOTATION_OF_WINDOWS,
        ]
    ),
)

ANOMALIES = TableSpec(
    "anomalies",
    "Final days far from the same weekday of the weeks before.",
    keys=("workspace", "site_url", "search_type", "content_group", "data_date", "metric"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _ADDED_GROUP,
            DATA_DATE,
            _METRIC,
            column("value", DECIMAL, "Value of the metric on the day"),
            column("expected", DECIMAL, "Median of the same weekday in the weeks before"),
            column("spread", DECIMAL, "Spread of those days: 1.4826 × MAD, but at least what chance causes"),
            column("robust_z", DECIMAL, "(value − expected) / spread"),
            column("weeks", COUNT, "Number of those weekdays with data"),
            column(
                "annotation",
                TEXT,
                "Titles of the annotations that set the day apart from those weekdays; null without any",
                nullable=True,
            ),
        ]
    ),
)

INDEX_COVERAGE = TableSpec(
    "index_coverage",
    "Index states of inspected pages, one row per state and content group, and sitemaps, one row each.",
    keys=("workspace", "site_url", "content_group", "source", "item", "is_problem"),
    schema=pa.schema(
        [
            WORKSPACE,
            _MONTH,
            SITE_URL,
            column("as_of", DAY, "Day of the latest inspection or record"),
            _ADDED_GROUP,
            column("source", TEXT, "inspections or sitemaps"),
            column("item", TEXT, "Google's name of the state, or the URL of the sitemap"),
            column("is_problem", FLAG, "Whether it needs attention"),
            column("verdict", TEXT, "Google's verdict for the pages; null for sitemaps", nullable=True),
            column("pages", COUNT, "Inspected pages in the state, or URLs that the sitemap submits"),
            column(
                "share",
                DECIMAL,
                "Their share of the group's inspected pages; null for sitemaps",
                nullable=True,
            ),
            column("errors", COUNT, "Errors in the sitemap; null for states", nullable=True),
            column("warnings", COUNT, "Warnings in the sitemap; null for states", nullable=True),
            column("example_url", TEXT, "One of the pages; null for sitemaps", nullable=True),
        ]
    ),
)

CONTENT_GROUP_DAYS = TableSpec(
    "content_group_days",
    "Totals by day of each content group, counted by page.",
    keys=("workspace", "site_url", "search_type", "data_date", "content_group"),
    schema=pa.schema(
        [
            WORKSPACE,
            MONTH,
            SITE_URL,
            SEARCH_TYPE,
            DATA_DATE,
            column("content_group", TEXT, "The content group; `other` holds the pages of no group"),
            CLICKS,
            _IMPRESSIONS,
            SUM_POSITION,
            _POSITION_OR_NULL,
            column("read_at", TIMESTAMP, "Time at which the day was last read from the API"),
            column("rules", TEXT, "Hash of the rules that put pages into groups"),
        ]
    ),
)

CHANGE_POINTS = TableSpec(
    "change_points",
    "Days from which the level of a series differs, adjusted for weekdays, and how certain that is.",
    keys=("workspace", "site_url", "search_type", "content_group", "metric", "first_day"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _CONTENT_GROUP,
            _METRIC,
            column("kind", TEXT, "step, slope (a change over more than a week) or dark (no impressions)"),
            column("first_day", DAY, "The most likely first day of the change; of a slope, where it begins"),
            column(
                "earliest_day", DAY, "First day of the interval that holds first_day with 90 % probability"
            ),
            column("latest_day", DAY, "Last day of that interval"),
            column(
                "level_before",
                DECIMAL,
                "Mean of a day in the 28 days before, weekdays alike; fewer after the change before",
            ),
            column(
                "level_after",
                DECIMAL,
                "The same of the 28 days from it (of a slope: from its end), fewer before the next change",
            ),
            column(
                "change",
                DECIMAL,
                "level_after / level_before − 1; of a position, the difference; null if level_before is 0",
                nullable=True,
            ),
            column("confidence", DECIMAL, "1 − the probability of such a change by chance alone, 0 to 1"),
            column(
                "updates_and_notes",
                TEXT,
                "Ranking updates and notes that the change begins in, in words; null without any",
                nullable=True,
            ),
        ]
    ),
)

FORECASTS = TableSpec(
    "forecasts",
    "Expected clicks and impressions of the next 28 days, and what was expected of the last 28.",
    keys=("workspace", "site_url", "search_type", "content_group", "metric", "made_on", "data_date"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _CONTENT_GROUP,
            column("metric", TEXT, "clicks or impressions"),
            DATA_DATE,
            column("made_on", DAY, "The last day that the forecast uses: as_of, or four weeks earlier"),
            column("expected", DECIMAL, "Expected value; null if refused", nullable=True),
            column("low", DECIMAL, "The value is higher with 90 % probability", nullable=True),
            column("high", DECIMAL, "The value is lower with 90 % probability", nullable=True),
            column("actual", DECIMAL, "The day's value, if it is final", nullable=True),
            column("method", TEXT, "seasonal_naive, exponential_smoothing, or refused"),
            column("reason", TEXT, "Why there is no forecast, or what it rests on; else null", nullable=True),
        ]
    ),
)

SEO_TESTS = TableSpec(
    "seo_tests",
    "Results of the tests in the workspaces file: changed pages against unchanged ones.",
    keys=("workspace", "test", "metric"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            column("test", TEXT, "The name of the test"),
            column("metric", TEXT, "clicks or impressions"),
            column("start_day", DAY, "The first day with the change"),
            column(
                "last_day",
                DAY,
                "The last day that is compared; without a result the last final day of the test or null",
                nullable=True,
            ),
            _DAYS,
            column("variant_before", DECIMAL, "Mean of a day of the changed pages, before", nullable=True),
            column("variant_after", DECIMAL, "The same since the start", nullable=True),
            column("control_before", DECIMAL, "Mean of a day of the unchanged ones, before", nullable=True),
            column("control_after", DECIMAL, "The same since the start", nullable=True),
            column("effect", DECIMAL, "Relative effect on the changed ones; 0.1 is 10 % more", nullable=True),
            column("low", DECIMAL, "The effect is larger with 97.5 % probability", nullable=True),
            column("high", DECIMAL, "The effect is smaller with 97.5 % probability", nullable=True),
            column("placebos", COUNT, "Earlier windows without a change that the interval is made from"),
            column(
                "parallelism",
                DECIMAL,
                "Correlation of the weeks of both sets of pages before the start; null if unknown",
                nullable=True,
            ),
            column("verdict", TEXT, "too_early, effect, no_effect, control_moved or unusable"),
            column("statement", TEXT, "The result in a sentence"),
        ]
    ),
)

INSIGHT_REFRESHES = TableSpec(
    "insight_refreshes",
    "The last refresh of each workspace's insights: one row per workspace.",
    keys=("workspace",),
    schema=pa.schema(
        [
            WORKSPACE,
            _MONTH,
            column("as_of", DAY, "The last final day among the workspace's properties"),
            column("refreshed_at", TIMESTAMP, "Time of the refresh"),
            column("fingerprint", TEXT, "Hash of data, thresholds, brand terms and definitions"),
        ]
    ),
)

INSIGHTS = (
    DAILY_PERFORMANCE,
    CONTENT_GROUP_DAYS,
    CTR_CURVE,
    CTR_GAP,
    STRIKING_DISTANCE,
    CANNIBALISATION,
    CONTENT_DECAY,
    WINNERS_AND_LOSERS,
    ANOMALIES,
    INDEX_COVERAGE,
    CHANGE_POINTS,
    FORECASTS,
    SEO_TESTS,
)
"""The tables of the insights, in the order of the documentation: each after those that it is made of."""
