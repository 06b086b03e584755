"""What a credential may see, over time."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import MOMENT, SITE_URL, TEXT, WORKSPACE, TableSpec, column

PROPERTIES = TableSpec(
    "properties",
    "The properties that a workspace's credential can see: a row whenever one appears, its permission level "
    "changes, or it is lost.",
    keys=("workspace", "site_url", "observed_at"),
    schema=pa.schema(
        [
            WORKSPACE,
            column("month", TEXT, "The month of observed_at (in UTC), YYYY-MM"),
            SITE_URL,
            column("observed_at", MOMENT, "When the change was seen"),
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
