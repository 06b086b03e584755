"""The tables that a sync writes beside the two of its data. They are declared, for lineage and catalogue.

No event records their changes: every sync writes them, and an event costs as much as a sync without changes.
"""

from collections.abc import Sequence

import dagster as dg

from gsc_pipeline.defs.events import ASSETS
from gsc_pipeline.defs.metadata import about, column_schema
from gsc_pipeline.lake.schemas import (
    MORE_LEDGER,
    PAST_CAP,
    REVISIONS,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    TableSpec,
)


def bookkeeping_specs() -> list[dg.AssetSpec]:
    """The ledgers, which count the rows of other tables, and what follows from the days of the first."""
    by_sync = "the job `gsc_sync` with every sync, and by `gsc sync` in a shell"
    by_more = "the job `gsc_more` with every sync, and by `gsc sync --more` in a shell"
    counted = [SEARCH_APPEARANCE.name, SEARCHDATA_HOURLY.name]
    return [
        _spec(SYNC_LEDGER, ASSETS, "search_console", by_sync),
        *(
            _spec(one, [SYNC_LEDGER.name], "bookkeeping", by_sync)
            for one in (SYNC_RUNS, REVISIONS, STANDING_FAILURES, PAST_CAP)
        ),
        _spec(MORE_LEDGER, counted, "bookkeeping", by_more),
    ]


def _spec(table: TableSpec, deps: Sequence[str], group: str, made_by: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=about(
            table.description,
            made_by=f"{made_by}. It cannot be materialized alone, and no event records its changes.",
            table=table,
        ),
        deps=deps,
        group_name=group,
        kinds={"deltalake"},
        metadata={"dagster/column_schema": column_schema(table)},
    )
