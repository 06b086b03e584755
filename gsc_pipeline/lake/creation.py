"""Refuses the creation of a table whose rows another table still counts: that table was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import TableNotFoundError

from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION, TableSpec

if TYPE_CHECKING:
    from gsc_pipeline.lake.lake import Lake

_CLAIMS = {SITE_IMPRESSION.name: "site_rows", URL_IMPRESSION.name: "url_rows"}
"""The ledger's column that counts the rows of each of the two large tables."""


def claimed_elsewhere(lake: Lake, table: TableSpec) -> DamagedError | None:
    """The error to raise instead of creating a table that does not exist; None where it may be created."""
    if table.name in _CLAIMS:
        column = _CLAIMS[table.name]
        if lake.read(SYNC_LEDGER, columns=[column], where=pc.field(column) > 0).num_rows:
            return _lost(table, f"{table.name} is missing although {SYNC_LEDGER.name} counts rows in it")
    if table.name == SYNC_LEDGER.name:
        for counted in (SITE_IMPRESSION, URL_IMPRESSION):
            if _has_rows(lake, counted):
                return _lost(table, f"{table.name} is missing although {counted.name} holds rows")
    return None


def _has_rows(lake: Lake, table: TableSpec) -> bool:
    try:
        files = pa.table(lake.open(table).get_add_actions(flatten=True))
    except TableNotFoundError:
        return False
    return bool(pc.sum(files["num_records"]).as_py())


def _lost(table: TableSpec, what: str) -> DamagedError:
    text = f"{what}: restore its folder from a backup, or run gsc verify --repair"
    return DamagedError(text, table=table.name)
