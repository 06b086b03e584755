"""The sitemaps of each property, day by day."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import (
    COUNT,
    DAY,
    FLAG,
    MOMENT,
    SITE_URL,
    TEXT,
    WORKSPACE,
    TableSpec,
    column,
)

_CONTENT = pa.struct([pa.field("kind", TEXT), pa.field("submitted", COUNT), pa.field("indexed", COUNT)])

SITEMAPS = TableSpec(
    "sitemaps",
    "The sitemaps submitted for each property, as Search Console shows them, once a day.",
    keys=("workspace", "site_url", "observed_on", "path"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("month", TEXT, "The month of observed_on, YYYY-MM"),
            SITE_URL,
            column("observed_on", DAY, "The Pacific day on which it was seen so"),
            column("observed_at", MOMENT, "When, on that day, it was last looked at"),
            column("path", TEXT, "The sitemap's address"),
            column(
                "type",
                TEXT,
                "sitemap, rssFeed, atomFeed, …; null where not given",
                nullable=True,
            ),
            column("is_index", FLAG, "True for a list of sitemaps"),
            column("is_pending", FLAG, "True until Google has processed it"),
            column("last_submitted", MOMENT, "When it was last submitted", nullable=True),
            column("last_downloaded", MOMENT, "When Google last fetched it", nullable=True),
            column("warnings", COUNT, "Warnings Google found in it"),
            column("errors", COUNT, "Errors Google found in it"),
            column("submitted", COUNT, "Addresses it submits, of all kinds"),
            column("indexed", COUNT, "Of these, indexed; Google has answered 0 here for years"),
            column("contents", pa.list_(_CONTENT), "The same by kind: web, image, video, news, …"),
            column("run_id", TEXT, "The sync that wrote this row"),
        ]
    ),
)
