"""Rows of a table that has two grains, the property and its pages.

Belongs here: the columns that `searchdata_hourly` and `search_appearance` share. Does not: what is read for
them (`hourly`, `appearance`), the main tables' rows (`grains`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pyarrow as pa

from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.sync.grains import sum_position, table_of


class Grain(StrEnum):
    """What a row of such a table is about."""

    PROPERTY = "property"
    PAGE = "page"


def grain_rows(table: TableSpec, grain: Grain, rows: pa.Table, values: Mapping[str, object]) -> pa.Table:
    """Rows of `table` from those of an answer: `page`, clicks, impressions and position from `rows`.

    `values` gives the other columns, each a column as long as `rows`, or one value for all of them.
    """
    columns: dict[str, object] = {
        "grain": grain.value,
        "url": rows["page"] if grain is Grain.PAGE else None,
        "clicks": rows["clicks"],
        "impressions": rows["impressions"],
        "sum_position": sum_position(rows),
        **values,
    }
    return table_of(table, columns, rows.num_rows)
