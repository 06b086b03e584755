"""Search appearances by day."""

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
    "Clicks and impressions by day and search appearance, for the whole property and by page. An impression "
    "can have several appearances or none, so they do not add up to the day's totals.",
    keys=("workspace", "site_url", "search_type", "data_date", "grain", "search_appearance", "url"),
    schema=pa.schema(
        [
            DATA_DATE,
            SITE_URL,
            SEARCH_TYPE,
            GRAIN,
            column("search_appearance", TEXT, "The API's name: VIDEO, RECIPE_FEATURE, TRANSLATED_RESULT, …"),
            URL_OF_PAGE_GRAIN,
            column("impressions", COUNT, "Impressions of results with this appearance"),
            CLICKS,
            SUM_POSITION,
            column("is_final", FLAG, "False while the day may still change"),
            WORKSPACE,
            MONTH,
        ]
    ),
)
