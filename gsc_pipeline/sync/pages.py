"""All pages of an answer, and its rows in a table that has a grain of the property and one of its pages.

Belongs here: paging and the columns that `searchdata_hourly` and `search_appearance` share. Does not: what
is read for them (`hourly`, `appearance`), the main tables' grains (`read`, `grains`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.requests import PAGE_ROWS, AppearanceRequest, HourlyRequest
from gsc_pipeline.sync.read import FULL_PAGE_SHARE


class Grain(StrEnum):
    """What a row of such a table is about."""

    PROPERTY = "property"
    PAGE = "page"


def read_pages(console: SearchConsole, site_url: str, request: HourlyRequest | AppearanceRequest) -> pa.Table:
    """Every page of an answer, each key once. Raises the SearchConsoleError of the first call that fails."""
    pages: list[pa.Table] = []
    received = 0
    while True:
        pages.append(console.query(site_url, request, start_row=received).rows)
        received += pages[-1].num_rows
        if pages[-1].num_rows < FULL_PAGE_SHARE * PAGE_ROWS:
            break
    if len(pages) == 1:
        return pages[0]
    rows, keys = pa.concat_tables(pages), list(request.dimensions)
    metrics = [name for name in rows.column_names if name not in keys]
    first = rows.group_by(keys, use_threads=False).aggregate([(name, "first") for name in metrics])
    return first.rename_columns([*keys, *metrics]).select(rows.column_names).cast(rows.schema)


def grain_rows(table: TableSpec, grain: Grain, rows: pa.Table, values: Mapping[str, object]) -> pa.Table:
    """Rows of `table` from those of an answer: `page`, clicks, impressions and position from `rows`.

    `values` gives the other columns, each a column as long as `rows`, or one value for all of them.
    """
    columns: dict[str, object] = {
        "grain": grain.value,
        "url": rows["page"] if grain is Grain.PAGE else None,
        "clicks": rows["clicks"],
        "impressions": rows["impressions"],
        "sum_position": _sum_position(rows),
        **values,
    }
    arrays = [_column(columns[field.name], field.type, rows.num_rows) for field in table.schema]
    return pa.table(arrays, schema=table.schema)


def _sum_position(rows: pa.Table) -> pa.ChunkedArray:
    """Search Console works the average out from such a sum, so rounding gives back the very integer."""
    zero_based = pc.subtract(rows["position"], 1.0)
    return pc.cast(pc.round(pc.multiply(zero_based, pc.cast(rows["impressions"], pa.float64()))), pa.int64())


def _column(value: object, type_: pa.DataType, length: int) -> pa.ChunkedArray | pa.Array:
    if isinstance(value, pa.ChunkedArray | pa.Array):
        return value
    return pa.repeat(pa.scalar(value, type_), length)
