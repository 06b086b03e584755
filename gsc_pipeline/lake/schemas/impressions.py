"""The two tables with the columns of Google's bulk data export. `sync.grains` makes their rows."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import (
    CLICKS,
    COUNT,
    COUNTRY,
    DATA_DATE,
    DEVICE,
    FLAG,
    IS_ANONYMIZED_QUERY,
    IS_TRUNCATED,
    MONTH,
    QUERY,
    SEARCH_TYPE,
    SITE_URL,
    TEXT,
    WORKSPACE,
    TableSpec,
    column,
)

# Flags of the bulk data export that the API does not give together with other dimensions. They are null
# except in days that were imported from an export, and exist so that SQL written for it runs unchanged.
SEARCH_APPEARANCE_FLAGS = (
    "is_amp_top_stories",
    "is_amp_blue_link",
    "is_job_listing",
    "is_job_details",
    "is_tpf_qa",
    "is_tpf_faq",
    "is_tpf_howto",
    "is_weblite",
    "is_action",
    "is_events_listing",
    "is_events_details",
    "is_forums",
    "is_search_appearance_android_app",
    "is_amp_story",
    "is_amp_image_result",
    "is_video",
    "is_organic_shopping",
    "is_review_snippet",
    "is_special_announcement",
    "is_recipe_feature",
    "is_recipe_rich_snippet",
    "is_subscribed_content",
    "is_page_experience",
    "is_practice_problems",
    "is_math_solvers",
    "is_translated_result",
    "is_edu_q_and_a",
    "is_product_snippets",
    "is_merchant_listings",
    "is_learning_videos",
)

_FROM_EXPORT_ONLY = (
    "Search appearance: set in days imported from the bulk export, null in days read from the API, which "
    "does not give it at this grain"
)

SITE_IMPRESSION = TableSpec(
    "searchdata_site_impression",
    "Clicks and impressions by property, day, query, country and device, aggregated by property: a search "
    "that shows three pages of the property is one impression.",
    keys=(
        "workspace",
        "site_url",
        "search_type",
        "data_date",
        "query",
        "is_anonymized_query",
        "country",
        "device",
    ),
    schema=pa.schema(
        [
            DATA_DATE,
            SITE_URL,
            QUERY,
            IS_ANONYMIZED_QUERY,
            COUNTRY,
            SEARCH_TYPE,
            DEVICE,
            column("impressions", COUNT, "Searches that showed the property"),
            CLICKS,
            column(
                "sum_top_position",
                COUNT,
                "Sum of the zero-based topmost positions of all impressions; null for feeds",
                nullable=True,
            ),
            WORKSPACE,
            MONTH,
            IS_TRUNCATED,
        ]
    ),
)

URL_IMPRESSION = TableSpec(
    "searchdata_url_impression",
    "Clicks and impressions by page, day, query, country and device, aggregated by page: a search that shows "
    "three pages of the property is three impressions.",
    keys=(
        "workspace",
        "site_url",
        "search_type",
        "data_date",
        "url",
        "query",
        "is_anonymized_query",
        "country",
        "device",
        "is_anonymized_discover",
        *SEARCH_APPEARANCE_FLAGS,
    ),
    schema=pa.schema(
        [
            DATA_DATE,
            SITE_URL,
            column("url", TEXT, "The page's URL; empty for anonymised rows of Discover"),
            QUERY,
            IS_ANONYMIZED_QUERY,
            column(
                "is_anonymized_discover",
                FLAG,
                "True for rows of Discover without a page and a country, which only the bulk export has",
            ),
            COUNTRY,
            SEARCH_TYPE,
            DEVICE,
            *(column(flag, FLAG, _FROM_EXPORT_ONLY, nullable=True) for flag in SEARCH_APPEARANCE_FLAGS),
            column("impressions", COUNT, "Times the page was shown in search results"),
            CLICKS,
            column(
                "sum_position",
                COUNT,
                "Sum of the zero-based positions of all impressions; null for feeds",
                nullable=True,
            ),
            WORKSPACE,
            MONTH,
            IS_TRUNCATED,
        ]
    ),
)
