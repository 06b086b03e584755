"""How results looked: search appearances, day by day."""

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
    TEXT,
    URL_OF_PAGE_GRAIN,
    WORKSPACE,
    TableSpec,
    column,
)

SEARCH_APPEARANCE = TableSpec(
    "search_appearance",
    "Clicks and impressions by day and search appearance, once for the whole property and once by page. One "
    "impression may have several appearances, so they do not sum to the day's totals.",
    keys=("workspace", "site_url", "search_type", "data_date", "grain", "search_appearance", "url"),
    schema=pa.schema(
        [
            DATA_DATE,
            SITE_URL,
            SEARCH_TYPE,
            GRAIN,
            column("search_appearance", TEXT, "The API's word: VIDEO, RECIPE_FEATURE, TRANSLATED_RESULT, …"),
            URL_OF_PAGE_GRAIN,
            column("impressions", COUNT, "Times results that looked so were shown"),
            CLICKS,
            SUM_POSITION,
            column("is_final", FLAG, "False while the day may still change"),
            WORKSPACE,
            MONTH,
        ]
    ),
)
