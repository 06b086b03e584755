"""Known events that move numbers without the site having changed, and notes on them."""

from __future__ import annotations

import pyarrow as pa

from gsc_pipeline.lake.schemas.spec import DAY, TEXT, TableSpec, column

ANNOTATIONS = TableSpec(
    "annotations",
    "Known faults of Search Console's data, changes of its counting, ranking updates of Google, your notes.",
    keys=("source", "kind", "title", "first_day", "workspace", "site_url"),
    schema=pa.schema(
        [
            column("source", TEXT, "shipped (with the code), google (its status page) or yours (your file)"),
            column("kind", TEXT, "data_fault, counting_change, ranking_update or note"),
            column("title", TEXT, "What happened, in one line"),
            column("description", TEXT, "More about it; null if nothing is known", nullable=True),
            column("first_day", DAY, "Its first day, in Pacific time"),
            column("last_day", DAY, "Its last day; null while it goes on", nullable=True),
            column("search_types", pa.list_(TEXT), "The search types concerned; null for all", nullable=True),
            column(
                "metrics",
                pa.list_(TEXT),
                "What it concerns of clicks, impressions, ctr and position; null for all",
                nullable=True,
            ),
            column("workspace", TEXT, "The workspace of a note; null for all", nullable=True),
            column("site_url", TEXT, "The property of a note; null for all", nullable=True),
            column("url", TEXT, "Where it is published; null if nowhere", nullable=True),
        ]
    ),
    partition_by=(),
)
