"""What is known of each day, what moved after it was final, what each sync did, and what fails now."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import (
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

WRITING = "writing"
"""The ledger's status of a day whose rows are being replaced: its counts say nothing."""

SYNC_LEDGER = TableSpec(
    "sync_ledger",
    "What is known of each day of each property and search type, how sure, and since when.",
    keys=("workspace", "site_url", "search_type", "data_date"),
    schema=pa.schema(
        [
            WORKSPACE,
            SITE_URL,
            SEARCH_TYPE,
            DATA_DATE,
            MONTH,
            column(
                "status",
                TEXT,
                "final, provisional (may still change), empty, failed, or writing (being replaced)",
            ),
            column("clicks", COUNT, "The day's clicks as the last good read found them", nullable=True),
            column("impressions", COUNT, "The day's impressions, likewise", nullable=True),
            column(
                "position", DECIMAL, "The day's average position, counted from one, likewise", nullable=True
            ),
            column("site_rows", COUNT, "Rows of the day in searchdata_site_impression"),
            column("url_rows", COUNT, "Rows of the day in searchdata_url_impression"),
            column("truncated", FLAG, "The API's cap on rows a day was reached for either table"),
            column("first_read_at", MOMENT, "When the day was first read", nullable=True),
            column("last_read_at", MOMENT, "When its present rows were read", nullable=True),
            column("api_calls", COUNT, "Calls its last read took"),
            column("reason", TEXT, "Why it was last read, or why it failed"),
            column("run_id", TEXT, "The sync that wrote this row"),
            column(
                "url_clicks",
                COUNT,
                "Clicks of the day's rows in searchdata_url_impression; null where release 0.1.0 read it",
                nullable=True,
            ),
            column("url_impressions", COUNT, "Impressions of those rows, likewise", nullable=True),
        ]
    ),
    partition_by=("workspace",),
)

SYNC_RUNS = TableSpec(
    "sync_runs",
    "One row per workspace and sync. A day inside the window of a sync without problems was verified then.",
    keys=("workspace", "run_id"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("month", TEXT, "The month of started_at, YYYY-MM"),
            column("run_id", TEXT, "The sync: the Dagster run's id, or one of its own"),
            column("started_at", MOMENT, "When it started"),
            column("seconds", DECIMAL, "How long it took"),
            column("outcome", TEXT, "success (something was read or verified) or failure"),
            column("first_day", DAY, "The first day of the window"),
            column("last_day", DAY, "The last day of the window"),
            column("properties", COUNT, "Properties in the sync"),
            column("days_read", COUNT, "Days (of a property and search type) whose rows were read"),
            column("days_unchanged", COUNT, "Days verified and found unchanged"),
            column("days_empty", COUNT, "Days found without data"),
            column("days_failed", COUNT, "Days that could not be read or verified"),
            column("rows", COUNT, "Rows written to both tables"),
            column("calls", COUNT, "API calls, repeats included"),
            column("retries", COUNT, "Repeats among the calls"),
            column("problems", pa.list_(TEXT), "What went wrong, a line each"),
        ]
    ),
    partition_by=("month",),
)

REVISIONS = TableSpec(
    "revisions",
    "Days whose totals moved after they were final or known to be empty: what Search Console said before "
    "and after, and when it was seen.",
    keys=("workspace", "site_url", "search_type", "data_date", "previous_run_id"),
    schema=pa.schema(
        [
            WORKSPACE,
            SITE_URL,
            SEARCH_TYPE,
            DATA_DATE,
            MONTH,
            column("clicks_before", COUNT, "The day's clicks as they were"),
            column("clicks_after", COUNT, "The day's clicks as they are; zero where the day vanished"),
            column("impressions_before", COUNT, "The day's impressions as they were"),
            column("impressions_after", COUNT, "The day's impressions as they are"),
            column("position_before", DECIMAL, "The day's average position as it was", nullable=True),
            column("position_after", DECIMAL, "The day's average position as it is", nullable=True),
            column("seen_at", MOMENT, "When the change was seen"),
            column("previous_run_id", TEXT, "The sync that had read the numbers before"),
            column("run_id", TEXT, "The sync that saw the change"),
        ]
    ),
)

STANDING_FAILURES = TableSpec(
    "standing_failures",
    "What fails now, since when, how often in a row, and what to do about it. A row goes with its cause.",
    keys=("workspace", "site_url", "search_type"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("site_url", TEXT, "The property; empty where the whole workspace fails"),
            column("search_type", TEXT, "The search type; empty where the whole workspace fails"),
            column("cause", TEXT, "What the last sync was told"),
            column("next_step", TEXT, "What to do about it"),
            column("transient", FLAG, "Whether it may pass by itself"),
            column("days", COUNT, "Days that wait to be read again"),
            column("first_day", DAY, "The first of them", nullable=True),
            column("last_day", DAY, "The last of them", nullable=True),
            column("since", MOMENT, "The sync that first failed so"),
            column("last_seen_at", MOMENT, "The last sync that failed so"),
            column("times", COUNT, "Syncs in a row that failed so"),
            column("month", TEXT, "The month of since, YYYY-MM"),
        ]
    ),
    partition_by=("workspace",),
)
