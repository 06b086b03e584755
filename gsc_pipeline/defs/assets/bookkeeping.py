"""The tables that are written beside others and declared for lineage and catalogue alone.

No event records their changes: every sync writes most, and an event costs as much as a sync without changes.
"""

from collections.abc import Sequence

import dagster as dg

from gsc_pipeline.defs.events import ASSETS
from gsc_pipeline.defs.keys import PLAIN, AssetKeys
from gsc_pipeline.defs.metadata import about, column_schema
from gsc_pipeline.lake.schemas import (
    ANNOTATIONS,
    FOLDER_DAYS,
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

_BY_SYNC = "the job `gsc_sync` with every sync, and by `gsc sync` in a shell"
_BY_MORE = "the job `gsc_more` with every sync, and by `gsc sync --more` in a shell"
_BY_INSIGHTS = (
    "the job `gsc_insights` from the code and your file (GSC_ANNOTATIONS), and by `gsc annotations update`, "
    "which adds Google's newest ranking updates"
)


def bookkeeping_specs(keys: AssetKeys = PLAIN) -> list[dg.AssetSpec]:
    """The two ledgers, the tables that syncs write beside `sync_ledger`, and the annotations."""
    counted = [SEARCH_APPEARANCE.name, SEARCHDATA_HOURLY.name]
    return [
        _spec(SYNC_LEDGER, ASSETS, "search_console", _BY_SYNC, keys),
        *(
            _spec(one, [SYNC_LEDGER.name], "bookkeeping", _BY_SYNC, keys)
            for one in (SYNC_RUNS, REVISIONS, STANDING_FAILURES, PAST_CAP, FOLDER_DAYS)
        ),
        _spec(MORE_LEDGER, counted, "bookkeeping", _BY_MORE, keys),
        _spec(ANNOTATIONS, (), "bookkeeping", _BY_INSIGHTS, keys),
    ]


def _spec(table: TableSpec, deps: Sequence[str], group: str, made_by: str, keys: AssetKeys) -> dg.AssetSpec:
    return dg.AssetSpec(
        keys.of(table.name),
        description=about(
            table.description,
            made_by=f"{made_by}. It cannot be materialized alone, and no event records its changes.",
            table=table,
        ),
        deps=[keys.of(dep) for dep in deps],
        group_name=group,
        kinds={"deltalake"},
        metadata={"dagster/column_schema": column_schema(table)},
    )
