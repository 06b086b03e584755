"""What completed the days that the API cut off.

`sync.cut_days` writes `past_cap`, `sync.folder_days` writes `folder_days`.
"""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import (
    COUNT,
    DATA_DATE,
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

PAST_CAP = TableSpec(
    "past_cap",
    "What requests with filters last brought of a day that the API cut off: rows, clicks and calls.",
    keys=("workspace", "site_url", "search_type", "grain"),
    schema=pa.schema(
        [
            WORKSPACE,
            SITE_URL,
            SEARCH_TYPE,
            column("grain", TEXT, "The answer that was cut: queries, pages, or queries by page"),
            DATA_DATE,
            column("tried_at", TIMESTAMP, "When a sync last sent such requests"),
            column(
                "sees_every_row",
                FLAG,
                "Whether filters see the rows past the cap; if not, they are tried again after 30 days; null "
                "if that is not known",
                nullable=True,
            ),
            column("rows", COUNT, "Rows of the day that the whole answer lacked"),
            column("clicks", COUNT, "Clicks of these rows"),
            column("impressions", COUNT, "Impressions of these rows"),
            column("calls", COUNT, "API calls for them"),
            column("is_complete", FLAG, "Whether no rows of the day are missing"),
        ]
    ),
    partition_by=("workspace",),
)

FOLDER_DAYS = TableSpec(
    "folder_days",
    "What the rows of a folder's property brought of a day of its parent that the API cut off.",
    keys=("workspace", "site_url", "search_type", "data_date", "folder"),
    schema=pa.schema(
        [
            WORKSPACE,
            SITE_URL,
            SEARCH_TYPE,
            DATA_DATE,
            MONTH,
            column("folder", TEXT, "The folder's property"),
            column("read_at", TIMESTAMP, "last_read_at of the day in sync_ledger"),
            column("folder_read_at", TIMESTAMP, "last_read_at of the folder's day in sync_ledger"),
            column("rows", COUNT, "Rows of the folder that the property lacked"),
            column("clicks", COUNT, "Clicks of these rows"),
            column("impressions", COUNT, "Impressions of these rows"),
            column(
                "differences",
                COUNT,
                "Pages in a country and on a device whose numbers differ, of which nothing was taken",
            ),
            column("largest_difference", TEXT, "The one with the most impressions; empty without any"),
        ]
    ),
    partition_by=("workspace",),
)
