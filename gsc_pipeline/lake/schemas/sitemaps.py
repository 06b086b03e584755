"""The sitemaps of each property by day."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import (
    COUNT,
    DAY,
    FLAG,
    SITE_URL,
    TEXT,
    TIMESTAMP,
    WORKSPACE,
    TableSpec,
    column,
)

_CONTENT = pa.struct([pa.field("kind", TEXT), pa.field("submitted", COUNT), pa.field("indexed", COUNT)])

SITEMAPS = TableSpec(
    "sitemaps",
    "The sitemaps submitted for each property, once a day.",
    keys=("workspace", "site_url", "observed_on", "path"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("month", TEXT, "The month of observed_on, YYYY-MM"),
            SITE_URL,
            column("observed_on", DAY, "The Pacific day of this observation"),
            column("observed_at", TIMESTAMP, "When it was last observed on that day"),
            column("path", TEXT, "The sitemap's URL"),
            column(
                "type",
                TEXT,
                "sitemap, rssFeed, atomFeed, …; null if not given",
                nullable=True,
            ),
            column("is_index", FLAG, "True for a sitemap index"),
            column("is_pending", FLAG, "True until Google has processed it"),
            column("last_submitted", TIMESTAMP, "When it was last submitted", nullable=True),
            column("last_downloaded", TIMESTAMP, "When Google last fetched it", nullable=True),
            column("warnings", COUNT, "Warnings Google found in it"),
            column("errors", COUNT, "Errors Google found in it"),
            column("submitted", COUNT, "Number of URLs that it submits"),
            column("indexed", COUNT, "Number of them that are indexed; Google has returned 0 for years"),
            column("contents", pa.list_(_CONTENT), "The same by type of content: web, image, video, news, …"),
            column("run_id", TEXT, "The sync that wrote this row"),
        ]
    ),
)
