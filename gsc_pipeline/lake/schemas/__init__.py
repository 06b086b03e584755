"""The tables of the lake: names, grains, columns and their meaning."""

from gsc_pipeline.lake.schemas.annotations import ANNOTATIONS
from gsc_pipeline.lake.schemas.appearance import SEARCH_APPEARANCE
from gsc_pipeline.lake.schemas.bookkeeping import (
    MORE_LEDGER,
    REVISIONS,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    WRITING,
)
from gsc_pipeline.lake.schemas.hourly import SEARCHDATA_HOURLY
from gsc_pipeline.lake.schemas.impressions import SEARCH_APPEARANCE_FLAGS, SITE_IMPRESSION, URL_IMPRESSION
from gsc_pipeline.lake.schemas.insights import (
    ANOMALIES,
    CANNIBALISATION,
    CHANGE_POINTS,
    CONTENT_DECAY,
    CONTENT_GROUP_DAYS,
    CTR_CURVE,
    CTR_GAP,
    DAILY_PERFORMANCE,
    FORECASTS,
    INDEX_COVERAGE,
    INSIGHT_REFRESHES,
    INSIGHTS,
    SEO_TESTS,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
)
from gsc_pipeline.lake.schemas.inspections import URL_INSPECTIONS
from gsc_pipeline.lake.schemas.past_cap import FOLDER_DAYS, PAST_CAP
from gsc_pipeline.lake.schemas.properties import PROPERTIES
from gsc_pipeline.lake.schemas.sitemaps import SITEMAPS
from gsc_pipeline.lake.schemas.spec import PARTITION_COLUMNS, TableSpec

TABLES = (
    SITE_IMPRESSION,
    URL_IMPRESSION,
    SEARCHDATA_HOURLY,
    SEARCH_APPEARANCE,
    PROPERTIES,
    SITEMAPS,
    URL_INSPECTIONS,
    SYNC_LEDGER,
    SYNC_RUNS,
    REVISIONS,
    STANDING_FAILURES,
    PAST_CAP,
    FOLDER_DAYS,
    MORE_LEDGER,
    *INSIGHTS,
    INSIGHT_REFRESHES,
    ANNOTATIONS,
)

LEDGER_COUNTS = {"site_rows": SITE_IMPRESSION, "url_rows": URL_IMPRESSION}
"""The ledger's columns that count rows, and the two tables whose rows they count."""

COMPARED = (SYNC_LEDGER, *LEDGER_COUNTS.values())
"""The ledger and the tables whose rows it counts."""

__all__ = [
    "ANNOTATIONS",
    "ANOMALIES",
    "CANNIBALISATION",
    "CHANGE_POINTS",
    "COMPARED",
    "CONTENT_DECAY",
    "CONTENT_GROUP_DAYS",
    "CTR_CURVE",
    "CTR_GAP",
    "DAILY_PERFORMANCE",
    "FOLDER_DAYS",
    "FORECASTS",
    "INDEX_COVERAGE",
    "INSIGHTS",
    "INSIGHT_REFRESHES",
    "LEDGER_COUNTS",
    "MORE_LEDGER",
    "PARTITION_COLUMNS",
    "PAST_CAP",
    "PROPERTIES",
    "REVISIONS",
    "SEARCHDATA_HOURLY",
    "SEARCH_APPEARANCE",
    "SEARCH_APPEARANCE_FLAGS",
    "SEO_TESTS",
    "SITEMAPS",
    "SITE_IMPRESSION",
    "STANDING_FAILURES",
    "STRIKING_DISTANCE",
    "SYNC_LEDGER",
    "SYNC_RUNS",
    "TABLES",
    "URL_IMPRESSION",
    "URL_INSPECTIONS",
    "WINNERS_AND_LOSERS",
    "WRITING",
    "TableSpec",
]
