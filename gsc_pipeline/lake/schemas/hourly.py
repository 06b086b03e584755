"""Hourly clicks and impressions."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import (
    CLICKS,
    COUNT,
    DATA_DATE,
    FLAG,
    GRAIN,
    MONTH,
    SEARCH_TYPE,
    SITE_URL,
    SUM_POSITION,
    TIMESTAMP,
    URL_OF_PAGE_GRAIN,
    WORKSPACE,
    TableSpec,
    column,
)

SEARCHDATA_HOURLY = TableSpec(
    "searchdata_hourly",
    "Clicks and impressions by hour, for the whole property and by page. Search Console shows the last ten "
    "days; rows of earlier days are kept.",
    keys=("workspace", "site_url", "search_type", "grain", "hour_start", "url"),
    schema=pa.schema(
        [
            DATA_DATE,
            column(
                "hour", COUNT, "The hour of the Pacific day, 0 to 23; hour 1 occurs twice when clocks go back"
            ),
            column("hour_start", TIMESTAMP, "When the hour began"),
            SITE_URL,
            SEARCH_TYPE,
            GRAIN,
            URL_OF_PAGE_GRAIN,
            column("impressions", COUNT, "Searches that showed the property; times the page was shown"),
            CLICKS,
            SUM_POSITION,
            column("is_complete", FLAG, "False while the hour may still change"),
            WORKSPACE,
            MONTH,
        ]
    ),
)
