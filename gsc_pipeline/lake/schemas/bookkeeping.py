"""The ledgers of days, revisions of final days, syncs, and current failures."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import (
    COUNT,
    DATA_DATE,
    DAY,
    DECIMAL,
    FLAG,
    MONTH,
    SEARCH_TYPE,
    SITE_URL,
    TEXT,
    TIMESTAMP,
    WORKSPACE,
    TableSpec,
    column,
)

WRITING = "writing"
"""The ledger's status of a day whose rows are being replaced. Its counts are not valid."""

_STATUS = column(
    "status", TEXT, "final, provisional (may still change), empty, failed, or writing (being replaced)"
)
_FIRST_READ_AT = column("first_read_at", TIMESTAMP, "When the day was first read", nullable=True)
_LAST_READ = (
    column("api_calls", COUNT, "API calls of its last read"),
    column("reason", TEXT, "Why it was last read, or why it failed"),
    column("run_id", TEXT, "The sync that wrote this row"),
)
"""What both ledgers say of a day."""

_WITHOUT_A_QUERY = tuple(
    column(
        f"{part}_{measure}",
        COUNT,
        f"{measure.capitalize()} {of}; null if read by release 0.2.0 or earlier",
        nullable=True,
    )
    for part, of in {
        "anonymised": "of the day's anonymised queries in searchdata_site_impression",
        "cut": "of its rows with is_truncated: named queries that the API cut off, and anonymised ones",
    }.items()
    for measure in ("clicks", "impressions")
)

SYNC_LEDGER = TableSpec(
    "sync_ledger",
    "The state of each day of each property and search type: status, totals, and when it was read.",
    keys=("workspace", "site_url", "search_type", "data_date"),
    schema=pa.schema(
        [
            WORKSPACE,
            SITE_URL,
            SEARCH_TYPE,
            DATA_DATE,
            MONTH,
            _STATUS,
            column("clicks", COUNT, "The day's clicks at the last successful read", nullable=True),
            column("impressions", COUNT, "The day's impressions at the last successful read", nullable=True),
            column(
                "position",
                DECIMAL,
                "The day's average position, one-based, at the last successful read",
                nullable=True,
            ),
            column("site_rows", COUNT, "Rows of the day in searchdata_site_impression"),
            column("url_rows", COUNT, "Rows of the day in searchdata_url_impression"),
            column("truncated", FLAG, "The API cut off rows of one of the tables"),
            _FIRST_READ_AT,
            column(
                "last_read_at",
                TIMESTAMP,
                "When its current rows were read, or completed from a folder's",
                nullable=True,
            ),
            *_LAST_READ,
            column(
                "url_clicks",
                COUNT,
                "Clicks of the day's rows in searchdata_url_impression; null if read by release 0.1.0",
                nullable=True,
            ),
            column(
                "url_impressions",
                COUNT,
                "Impressions of these rows; null if read by release 0.1.0",
                nullable=True,
            ),
            column(
                "source",
                TEXT,
                "Where the day's rows are from: api or bulk_export; null if there are none, or if release "
                "0.2.0 read them from the API",
                nullable=True,
            ),
            *_WITHOUT_A_QUERY,
            column(
                "lacks_pages",
                FLAG,
                "Pages are missing in searchdata_url_impression, because the API cut them off; null if read "
                "by release 0.2.0 or earlier",
                nullable=True,
            ),
            column(
                "part_calls",
                COUNT,
                "API calls for parts of its cut answers, on the Pacific day of last_read_at; null if read by "
                "release 0.2.0 or earlier",
                nullable=True,
            ),
            column(
                "parts_left",
                FLAG,
                "Whether parts were not asked for, which a later sync may do; null as above",
                nullable=True,
            ),
        ]
    ),
    partition_by=("workspace",),
)

MORE_LEDGER = TableSpec(
    "more_ledger",
    "The state of each day of each property and search type in search_appearance and searchdata_hourly: "
    "status, totals, whether rows were cut off, and when it was read.",
    keys=("workspace", "table_name", "site_url", "search_type", "data_date"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("table_name", TEXT, "The table: search_appearance or searchdata_hourly"),
            SITE_URL,
            SEARCH_TYPE,
            DATA_DATE,
            MONTH,
            _STATUS,
            column("clicks", COUNT, "The property's clicks of the day when it was read", nullable=True),
            column("impressions", COUNT, "The property's impressions then", nullable=True),
            column("position", DECIMAL, "The property's average position then, one-based", nullable=True),
            column("site_rows", COUNT, "Rows of the day at grain property"),
            column("url_rows", COUNT, "Rows of the day at grain page"),
            column("truncated", FLAG, "The API cut off rows at grain page"),
            _FIRST_READ_AT,
            column("last_read_at", TIMESTAMP, "When its current rows were read", nullable=True),
            *_LAST_READ,
        ]
    ),
    partition_by=("workspace",),
)

SYNC_RUNS = TableSpec(
    "sync_runs",
    "One row per workspace and sync. A sync of the search data without problems verified every day of its "
    "window.",
    keys=("workspace", "run_id"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("month", TEXT, "The month of started_at, YYYY-MM"),
            column("run_id", TEXT, "The id of the Dagster run, or of the sync itself"),
            column("started_at", TIMESTAMP, "When it started"),
            column("seconds", DECIMAL, "How long it took"),
            column(
                "outcome",
                TEXT,
                "complete, partial or failed; imported for an import of the bulk export, more for gsc sync "
                "--more; release 0.1.0 wrote success and failure",
            ),
            column("first_day", DAY, "The first day of the window"),
            column("last_day", DAY, "The last day of the window"),
            column("properties", COUNT, "Properties in the sync"),
            column("days_read", COUNT, "Days (of a property and search type) whose rows were read"),
            column("days_unchanged", COUNT, "Days verified and found unchanged"),
            column("days_empty", COUNT, "Days found without data"),
            column("days_failed", COUNT, "Days that could not be read or verified"),
            column("rows", COUNT, "Rows written to both tables; by gsc sync --more, to the other tables"),
            column("calls", COUNT, "API calls, retries included"),
            column("retries", COUNT, "Retries among the calls"),
            column("problems", pa.list_(TEXT), "The problems, one line each"),
            column(
                "calls_by_duration",
                pa.list_(COUNT),
                "Numbers of calls that took up to 0.1, 0.25, 0.5, 1, 2.5, 5, 10 and 30 seconds, and longer, "
                "each call counted once; null if release 0.1.0 wrote the row",
                nullable=True,
            ),
            column(
                "call_milliseconds",
                COUNT,
                "How long these calls took in all; null if release 0.1.0 wrote the row",
                nullable=True,
            ),
            column(
                "tables",
                pa.list_(TEXT),
                "The tables that gsc sync --more brought up to date; null for all other rows",
                nullable=True,
            ),
        ]
    ),
    partition_by=("month",),
)

REVISIONS = TableSpec(
    "revisions",
    "Days whose totals changed after they were final or empty: the totals before and after, and when the "
    "change was seen.",
    keys=("workspace", "site_url", "search_type", "data_date", "previous_run_id"),
    schema=pa.schema(
        [
            WORKSPACE,
            SITE_URL,
            SEARCH_TYPE,
            DATA_DATE,
            MONTH,
            column("clicks_before", COUNT, "The day's clicks before the change"),
            column("clicks_after", COUNT, "The day's clicks after it; zero if the day disappeared"),
            column("impressions_before", COUNT, "The day's impressions before the change"),
            column("impressions_after", COUNT, "The day's impressions after it"),
            column("position_before", DECIMAL, "The day's average position before the change", nullable=True),
            column("position_after", DECIMAL, "The day's average position after it", nullable=True),
            column("seen_at", TIMESTAMP, "When the change was seen"),
            column("previous_run_id", TEXT, "The sync that read the previous numbers"),
            column("run_id", TEXT, "The sync that saw the change"),
        ]
    ),
)

STANDING_FAILURES = TableSpec(
    "standing_failures",
    "Current failures: the cause, the next step, since when and how often. A row disappears with its cause.",
    keys=("workspace", "site_url", "search_type"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("site_url", TEXT, "The property; empty if the whole workspace fails"),
            column("search_type", TEXT, "The search type; empty if the whole workspace fails"),
            column("cause", TEXT, "The error of the last sync"),
            column("next_step", TEXT, "What to do about it"),
            column("transient", FLAG, "Whether the failure may pass without action"),
            column("days", COUNT, "Number of days that could not be read"),
            column("first_day", DAY, "The first of them", nullable=True),
            column("last_day", DAY, "The last of them", nullable=True),
            column("since", TIMESTAMP, "When a sync first failed in this way"),
            column("last_seen_at", TIMESTAMP, "When a sync last failed in this way"),
            column("times", COUNT, "Number of consecutive syncs that failed in this way"),
            column(
                "is_refusal",
                FLAG,
                "Whether the credential may not read the property; null if release 0.1.0 wrote the row",
                nullable=True,
            ),
            column("month", TEXT, "The month of since, YYYY-MM"),
        ]
    ),
    partition_by=("workspace",),
)
