"""The tables of the lake: names, grains, columns, types, meaning.

Belongs here: every column that is ever written, with its description (the docs and Dagster's UI show
these). Does not: how rows are made (`sync.grains`) or stored (`lake.lake`).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

PARTITION_COLUMNS = ("workspace", "month")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table: its name, what a row is, the columns that identify a row, and its Arrow schema."""

    name: str
    description: str
    keys: tuple[str, ...]
    schema: pa.Schema


def _column(name: str, type_: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, type_, nullable=nullable, metadata={"description": description})


_TEXT, _COUNT, _FLAG, _DAY, _DECIMAL = pa.string(), pa.int64(), pa.bool_(), pa.date32(), pa.float64()
_MOMENT = pa.timestamp("us", tz="UTC")

_WORKSPACE = _column("workspace", _TEXT, "The workspace's id in the workspaces file")
_MONTH = _column("month", _TEXT, "The month of data_date, YYYY-MM")
_DATA_DATE = _column("data_date", _DAY, "The day, in Pacific time, as Search Console counts")
_SITE_URL = _column("site_url", _TEXT, "The property, as Search Console spells it")
_SEARCH_TYPE = _column("search_type", _TEXT, "WEB IMAGE VIDEO NEWS DISCOVER GOOGLE_NEWS")
_QUERY = _column("query", _TEXT, "What people searched for; empty when anonymised, and for feeds")
_IS_ANONYMIZED_QUERY = _column(
    "is_anonymized_query", _FLAG, "True for the row that holds what no listed query does"
)
_COUNTRY = _column("country", _TEXT, "Lower-case ISO alpha-3; zzz where unknown")
_DEVICE = _column("device", _TEXT, "DESKTOP MOBILE TABLET; null for Discover", nullable=True)
_CLICKS = _column("clicks", _COUNT, "Clicks from search results")


# Flags of the bulk data export that the API cannot give together with other dimensions: always null
# here, present so that SQL written for the export runs unchanged.
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

SITE_IMPRESSION = TableSpec(
    "searchdata_site_impression",
    "Clicks and impressions by property, day, query, country and device, counted by property: a search "
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
            _DATA_DATE,
            _SITE_URL,
            _QUERY,
            _IS_ANONYMIZED_QUERY,
            _COUNTRY,
            _SEARCH_TYPE,
            _DEVICE,
            _column("impressions", _COUNT, "Searches that showed the property"),
            _CLICKS,
            _column(
                "sum_top_position",
                _COUNT,
                "Sum over impressions of the topmost position, counted from zero; null for feeds",
                nullable=True,
            ),
            _WORKSPACE,
            _MONTH,
        ]
    ),
)

URL_IMPRESSION = TableSpec(
    "searchdata_url_impression",
    "Clicks and impressions by page, day, query, country and device, counted by page: a search that shows "
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
    ),
    schema=pa.schema(
        [
            _DATA_DATE,
            _SITE_URL,
            _column("url", _TEXT, "The page's address"),
            _QUERY,
            _IS_ANONYMIZED_QUERY,
            _column("is_anonymized_discover", _FLAG, "False: the API does not give anonymised Discover rows"),
            _COUNTRY,
            _SEARCH_TYPE,
            _DEVICE,
            *(
                _column(flag, _FLAG, "Always null: the API does not give it at this grain", nullable=True)
                for flag in SEARCH_APPEARANCE_FLAGS
            ),
            _column("impressions", _COUNT, "Times the page was shown in search results"),
            _CLICKS,
            _column(
                "sum_position",
                _COUNT,
                "Sum over impressions of the page's position, counted from zero; null for feeds",
                nullable=True,
            ),
            _WORKSPACE,
            _MONTH,
        ]
    ),
)

SYNC_LEDGER = TableSpec(
    "sync_ledger",
    "What is known of each day of each property and search type, how sure, and since when.",
    keys=("workspace", "site_url", "search_type", "data_date"),
    schema=pa.schema(
        [
            _WORKSPACE,
            _SITE_URL,
            _SEARCH_TYPE,
            _DATA_DATE,
            _MONTH,
            _column("status", _TEXT, "final, provisional (may still change), empty, or failed"),
            _column("clicks", _COUNT, "The day's clicks as the last good read found them", nullable=True),
            _column("impressions", _COUNT, "The day's impressions, likewise", nullable=True),
            _column(
                "position", _DECIMAL, "The day's average position, counted from one, likewise", nullable=True
            ),
            _column("site_rows", _COUNT, "Rows of the day in searchdata_site_impression"),
            _column("url_rows", _COUNT, "Rows of the day in searchdata_url_impression"),
            _column("truncated", _FLAG, "The API's cap on rows a day was reached for either table"),
            _column("first_read_at", _MOMENT, "When the day was first read", nullable=True),
            _column("last_read_at", _MOMENT, "When its present rows were read", nullable=True),
            _column("api_calls", _COUNT, "Calls its last read took"),
            _column("reason", _TEXT, "Why it was last read, or why it failed"),
            _column("run_id", _TEXT, "The sync that wrote this row"),
        ]
    ),
)

SYNC_RUNS = TableSpec(
    "sync_runs",
    "One row per workspace and sync. A day inside the window of a sync without problems was verified then.",
    keys=("workspace", "run_id"),
    schema=pa.schema(
        [
            _WORKSPACE,
            _column("month", _TEXT, "The month of started_at, YYYY-MM"),
            _column("run_id", _TEXT, "The sync: the Dagster run's id, or one of its own"),
            _column("started_at", _MOMENT, "When it started"),
            _column("seconds", _DECIMAL, "How long it took"),
            _column("outcome", _TEXT, "success (something was read or verified) or failure"),
            _column("first_day", _DAY, "The first day of the window"),
            _column("last_day", _DAY, "The last day of the window"),
            _column("properties", _COUNT, "Properties in the sync"),
            _column("days_read", _COUNT, "Days (of a property and search type) whose rows were read"),
            _column("days_unchanged", _COUNT, "Days verified and found unchanged"),
            _column("days_empty", _COUNT, "Days found without data"),
            _column("days_failed", _COUNT, "Days that could not be read or verified"),
            _column("rows", _COUNT, "Rows written to both tables"),
            _column("calls", _COUNT, "API calls, repeats included"),
            _column("retries", _COUNT, "Repeats among the calls"),
            _column("problems", pa.list_(_TEXT), "What went wrong, a line each"),
        ]
    ),
)

TABLES = (SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER, SYNC_RUNS)
