"""The tables that are written beside others and declared for lineage and catalogue alone.

No event records their changes: every sync writes most, and an event costs as much as a sync without changes.
"""

from collections.abc import Sequence

import dagster as dg

from gsc_pipeline.defs.events import ASSETS
from gsc_pipeline.defs.metadata import about, column_schema
from gsc_pipeline.lake.schemas import (
    ANNOTATIONS,
    PAST_CAP,
    REVISIONS,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    TableSpec,
)

_BY_SYNC = "the job `gsc_sync` with every sync, and by `gsc sync` in a shell"
_BY_INSIGHTS = (
    "the job `gsc_insights` from the code and your file (GSC_ANNOTATIONS), and by `gsc annotations update`, "
    "which adds Google's newest ranking updates"
)


def bookkeeping_specs() -> list[dg.AssetSpec]:
    """The ledger, which counts the rows of the two tables, and what follows from its days."""
    return [
        _spec(SYNC_LEDGER, ASSETS, "search_console"),
        *(
            _spec(one, [SYNC_LEDGER.name], "bookkeeping")
            for one in (SYNC_RUNS, REVISIONS, STANDING_FAILURES, PAST_CAP)
        ),
        _spec(ANNOTATIONS, (), "bookkeeping", _BY_INSIGHTS),
    ]


def _spec(table: TableSpec, deps: Sequence[str], group: str, made_by: str = _BY_SYNC) -> dg.AssetSpec:
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
