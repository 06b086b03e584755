"""The tables that a sync writes beside the two of its data. They are declared, for lineage and catalogue.

No event records their changes: every sync writes them, and an event costs as much as a sync without changes.
"""

from collections.abc import Sequence

import dagster as dg

from gsc_pipeline.defs.events import ASSETS
from gsc_pipeline.defs.metadata import about, column_schema
from gsc_pipeline.lake.schemas import (
    FOLDER_DAYS,
    PAST_CAP,
    REVISIONS,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    TableSpec,
)


def bookkeeping_specs() -> list[dg.AssetSpec]:
    """The ledger, which counts the rows of the two tables, and what follows from its days."""
    return [
        _spec(SYNC_LEDGER, ASSETS, "search_console"),
        *(
            _spec(one, [SYNC_LEDGER.name], "bookkeeping")
            for one in (SYNC_RUNS, REVISIONS, STANDING_FAILURES, PAST_CAP, FOLDER_DAYS)
        ),
    ]


def _spec(table: TableSpec, deps: Sequence[str], group: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=about(
            table.description,
            made_by="the job `gsc_sync` with every sync, and by `gsc sync` in a shell. It cannot be "
            "materialized alone, and no event records its changes.",
            table=table,
        ),
        deps=deps,
        group_name=group,
        kinds={"deltalake"},
        metadata={"dagster/column_schema": column_schema(table)},
    )
