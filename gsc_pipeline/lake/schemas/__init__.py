"""The tables of the lake: names, grains, columns, types, meaning; a module per family of tables."""

from gsc_pipeline.lake.schemas.bookkeeping import REVISIONS, SYNC_LEDGER, SYNC_RUNS
from gsc_pipeline.lake.schemas.impressions import SEARCH_APPEARANCE_FLAGS, SITE_IMPRESSION, URL_IMPRESSION
from gsc_pipeline.lake.schemas.properties import PROPERTIES
from gsc_pipeline.lake.schemas.spec import PARTITION_COLUMNS, TableSpec

TABLES = (
    SITE_IMPRESSION,
    URL_IMPRESSION,
    PROPERTIES,
    SYNC_LEDGER,
    SYNC_RUNS,
    REVISIONS,
)

__all__ = [
    "PARTITION_COLUMNS",
    "PROPERTIES",
    "REVISIONS",
    "SEARCH_APPEARANCE_FLAGS",
    "SITE_IMPRESSION",
    "SYNC_LEDGER",
    "SYNC_RUNS",
    "TABLES",
    "URL_IMPRESSION",
    "TableSpec",
]
