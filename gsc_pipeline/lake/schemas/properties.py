"""The properties that a credential can see, over time."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import SITE_URL, TEXT, TIMESTAMP, WORKSPACE, TableSpec, column

PROPERTIES = TableSpec(
    "properties",
    "Changes in the properties that a workspace's credential can see: a row when one appears, its permission "
    "level changes, or it disappears.",
    keys=("workspace", "site_url", "observed_at"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("month", TEXT, "The month of observed_at (in UTC), YYYY-MM"),
            SITE_URL,
            column("observed_at", TIMESTAMP, "When the change was seen"),
            column("change", TEXT, "added, changed (another permission level) or lost"),
            column(
                "permission_level",
                TEXT,
                "siteOwner siteFullUser siteRestrictedUser siteUnverifiedUser; null when lost",
                nullable=True,
            ),
            column("previous_level", TEXT, "The level before; null when added", nullable=True),
            column("run_id", TEXT, "The sync that saw the change"),
        ]
    ),
)
