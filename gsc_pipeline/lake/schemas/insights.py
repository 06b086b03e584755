"""What the insights found: a table each, in the words of analysts. How they are found: `insights`."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import (
    CLICKS,
    COUNT,
    DATA_DATE,
    DAY,
    DECIMAL,
    FLAG,
    MOMENT,
    MONTH,
    SEARCH_TYPE,
    SITE_URL,
    TEXT,
    WORKSPACE,
    TableSpec,
    column,
)

_MONTH = column("month", TEXT, "The month of as_of, YYYY-MM")
_AS_OF = column("as_of", DAY, "The property's last final day: the window ends on it")
_DAYS = column("days", COUNT, "Final days that were counted, in each window where there are two")
_QUERY = column("query", TEXT, "What people searched for")
_IS_BRAND = column("is_brand", FLAG, "Whether the query holds one of the workspace's brand terms")
_IMPRESSIONS = column("impressions", COUNT, "Times shown in search results")
_CTR = column("ctr", DECIMAL, "Clicks by impressions, 0 to 1")
_POSITION = column("position", DECIMAL, "Average position, weighted by impressions, counted from one")
_POSITION_IF_ANY = column("position", DECIMAL, "Average position, likewise; null for feeds", nullable=True)
_TOP_URL = column("url", TEXT, "The page shown most often for it in the window", nullable=True)
_FOUND_IN = (WORKSPACE, _MONTH, SITE_URL, SEARCH_TYPE, _AS_OF)
_COMPARED = (
    column("clicks_before", COUNT, "Clicks in the window before"),
    column("clicks", COUNT, "Clicks in the window"),
    column("change", COUNT, "Clicks won; negative where lost"),
    column("change_share", DECIMAL, "The change as a part of clicks_before; null without any", nullable=True),
    column("impressions_before", COUNT, "Impressions in the window before"),
    column("impressions", COUNT, "Impressions in the window"),
    column("position_before", DECIMAL, "Average position before; null unless shown", nullable=True),
    column("position", DECIMAL, "Average position; null unless shown, and for feeds", nullable=True),
)


def _split(part: str, what: str) -> tuple[pa.Field, pa.Field]:
    return (
        column(f"{part}_clicks", COUNT, f"Clicks {what}; null for feeds", nullable=True),
        column(f"{part}_impressions", COUNT, f"Impressions {what}; null for feeds", nullable=True),
    )


DAILY_PERFORMANCE = TableSpec(
    "daily_performance",
    "Each day's true totals, and how they divide into brand, non-brand and anonymised queries.",
    keys=("workspace", "site_url", "search_type", "data_date"),
    schema=pa.schema(
        [
            WORKSPACE,
            MONTH,
            SITE_URL,
            SEARCH_TYPE,
            DATA_DATE,
            column("is_final", FLAG, "False while the day may still change, or if its last read failed"),
            column("truncated", FLAG, "The API's cap on rows was reached: anonymised holds the rest too"),
            CLICKS,
            _IMPRESSIONS,
            column("ctr", DECIMAL, "Clicks by impressions, 0 to 1; null unless shown", nullable=True),
            column("position", DECIMAL, "Average position; null unless shown, and for feeds", nullable=True),
            *_split("brand", "of queries that hold a brand term"),
            *_split("non_brand", "of the other named queries"),
            *_split("anonymised", "that no named query holds: total less named"),
        ]
    ),
)

CTR_CURVE = TableSpec(
    "ctr_curve",
    "The property's own click-through rate by position and device, without brand queries.",
    keys=("workspace", "site_url", "search_type", "device", "position"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            column("device", TEXT, "DESKTOP MOBILE TABLET"),
            column("position", COUNT, "The position, rounded, counted from one"),
            CLICKS,
            _IMPRESSIONS,
            column("ctr", DECIMAL, "Clicks by impressions; null unless shown", nullable=True),
            column("expected_ctr", DECIMAL, "The same, read between its neighbours where shown too seldom"),
        ]
    ),
)

CTR_GAP = TableSpec(
    "ctr_gap",
    "Queries that get far fewer clicks than the property's own curve gives at their positions.",
    keys=("workspace", "site_url", "search_type", "query", "device"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            _QUERY,
            column("device", TEXT, "DESKTOP MOBILE TABLET"),
            _TOP_URL,
            CLICKS,
            _IMPRESSIONS,
            _CTR,
            _POSITION,
            column("expected_ctr", DECIMAL, "What the curve gives at the positions it was shown at"),
            column("gap_clicks", DECIMAL, "Impressions × (expected_ctr − ctr): the clicks that are missing"),
        ]
    ),
)

STRIKING_DISTANCE = TableSpec(
    "striking_distance",
    "Queries just below the best positions, and the clicks that a better one would bring.",
    keys=("workspace", "site_url", "search_type", "query"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            _QUERY,
            _IS_BRAND,
            _TOP_URL,
            CLICKS,
            _IMPRESSIONS,
            _CTR,
            _POSITION,
            column(
                "expected_ctr",
                DECIMAL,
                "What the curve gives at the better position; null without a curve",
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
    "Queries whose clicks are split between pages, a row for each page with a notable part of them.",
    keys=("workspace", "site_url", "search_type", "query", "url"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            _QUERY,
            _IS_BRAND,
            column("url", TEXT, "One of the pages that share the query"),
            column("pages", COUNT, "How many pages share it, each with a notable part of its clicks"),
            column(
                "hhi", DECIMAL, "Sum of squares of all its pages' parts of its impressions: 1 is one page"
            ),
            column("query_clicks", COUNT, "The query's clicks on all its pages"),
            column("query_impressions", COUNT, "The query's impressions, counted by page"),
            CLICKS,
            column("click_share", DECIMAL, "The page's part of the query's clicks, 0 to 1"),
            _IMPRESSIONS,
            column("impression_share", DECIMAL, "The page's part of the query's impressions, 0 to 1"),
            _POSITION,
        ]
    ),
)

CONTENT_DECAY = TableSpec(
    "content_decay",
    "Pages that lost a good part of their clicks against an equal window before.",
    keys=("workspace", "site_url", "search_type", "url", "compared_with"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            column("url", TEXT, "The page's address"),
            column("compared_with", TEXT, "previous (the window just before) or year_before (52 weeks back)"),
            *_COMPARED,
        ]
    ),
)

WINNERS_AND_LOSERS = TableSpec(
    "winners_and_losers",
    "Queries and pages whose clicks changed against the equal window just before, more than by chance.",
    keys=("workspace", "site_url", "search_type", "dimension", "item"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            _DAYS,
            column("dimension", TEXT, "query or page"),
            column("item", TEXT, "The query, or the page's address"),
            column("kind", TEXT, "winner, loser, new (not shown before) or lost (not shown any more)"),
            *_COMPARED,
        ]
    ),
)

ANOMALIES = TableSpec(
    "anomalies",
    "Final days that stand out against the same weekday of the weeks before.",
    keys=("workspace", "site_url", "search_type", "data_date", "metric"),
    schema=pa.schema(
        [
            *_FOUND_IN,
            DATA_DATE,
            column("metric", TEXT, "clicks, impressions or position"),
            column("value", DECIMAL, "What it was"),
            column("expected", DECIMAL, "The median of the same weekday in the weeks before"),
            column("spread", DECIMAL, "Their deviation: 1.4826 × MAD, but no less than chance alone makes"),
            column("robust_z", DECIMAL, "(value − expected) by spread: how far out, and to which side"),
            column("weeks", COUNT, "How many such weekdays there were"),
        ]
    ),
)

INDEX_COVERAGE = TableSpec(
    "index_coverage",
    "What Google's index says of the inspected pages, state by state, and of the sitemaps, one by one.",
    keys=("workspace", "site_url", "source", "item", "is_problem"),
    schema=pa.schema(
        [
            WORKSPACE,
            _MONTH,
            SITE_URL,
            column("as_of", DAY, "The last day on which it was looked at"),
            column("source", TEXT, "inspections or sitemaps"),
            column("item", TEXT, "The state in Google's words, or the sitemap's address"),
            column("is_problem", FLAG, "Whether someone should look at it"),
            column("verdict", TEXT, "Google's verdict on the pages; null for sitemaps", nullable=True),
            column("pages", COUNT, "Inspected pages in the state; addresses the sitemap submits"),
            column("share", DECIMAL, "Their part of all inspected pages; null for sitemaps", nullable=True),
            column("errors", COUNT, "Errors Google found in the sitemap; null for states", nullable=True),
            column("warnings", COUNT, "Warnings, likewise", nullable=True),
            column("example_url", TEXT, "One of the pages; null for sitemaps", nullable=True),
        ]
    ),
)

INSIGHT_REFRESHES = TableSpec(
    "insight_refreshes",
    "What each workspace's insights were last made from: one row per workspace.",
    keys=("workspace",),
    schema=pa.schema(
        [
            WORKSPACE,
            _MONTH,
            column("as_of", DAY, "The last final day among the workspace's properties"),
            column("refreshed_at", MOMENT, "When the insights were made"),
            column("fingerprint", TEXT, "Changes when data, thresholds, brand terms or definitions do"),
        ]
    ),
)

INSIGHTS = (
    DAILY_PERFORMANCE,
    CTR_CURVE,
    CTR_GAP,
    STRIKING_DISTANCE,
    CANNIBALISATION,
    CONTENT_DECAY,
    WINNERS_AND_LOSERS,
    ANOMALIES,
    INDEX_COVERAGE,
)
"""The tables that the insights fill, in the order in which people ask for them."""
