"""What a read means: rows of the two tables from the API's grains, anonymised queries included.

The grain without `query` holds true totals; the grain with it leaves out queries asked by few people. The
residual between the two is the anonymised part, as rows of their own, in the shape of Google's bulk data
export. Pure functions on Arrow columns; no Python object per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import month_of
from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE_FLAGS, SITE_IMPRESSION, URL_IMPRESSION, TableSpec
from gsc_pipeline.search_console.search_types import SearchType

_SUMS = ("clicks", "impressions", "sum_position")


@dataclass(frozen=True, slots=True)
class DayOf:
    """Whose day it is: what all rows of one read have in common."""

    workspace: str
    site_url: str
    search_type: SearchType
    day: date


def site_rows(of: DayOf, totals: pa.Table, queries: pa.Table | None) -> pa.Table:
    """Rows of searchdata_site_impression for one day.

    `totals` by country and device, `queries` by query, country and device, or None for feeds, whose
    totals become rows without a query that are not anonymised. Country alone where there is no device.
    """
    keys = [name for name in ("country", "device") if name in totals.column_names]
    rows = _rows(totals, queries, keys)
    return _table(SITE_IMPRESSION, of, rows, {"sum_top_position": rows["sum_position"]})


def url_rows(of: DayOf, totals: pa.Table, queries: pa.Table | None) -> pa.Table:
    """Rows of searchdata_url_impression for one day: as `site_rows`, with `page` among the keys."""
    keys = [name for name in ("page", "country", "device") if name in totals.column_names]
    rows = _rows(totals, queries, keys)
    flags = dict.fromkeys(SEARCH_APPEARANCE_FLAGS)
    return _table(URL_IMPRESSION, of, rows, {"url": rows["page"], "is_anonymized_discover": False, **flags})


def search_type_in_tables(search_type: SearchType) -> str:
    """The bulk export's word for a search type: WEB … GOOGLE_NEWS."""
    return search_type.name


def _rows(totals: pa.Table, queries: pa.Table | None, keys: Sequence[str]) -> pa.Table:
    totals = _with_sum_position(totals)
    if queries is None:
        return _with_query(totals, anonymized=False)
    named = _with_sum_position(queries)
    named = named.append_column("is_anonymized_query", pa.repeat(False, named.num_rows))
    residual = _with_query(_residual(totals, named, keys), anonymized=True)
    return pa.concat_tables([named, residual.select(named.column_names).cast(named.schema)])


def sum_position(rows: pa.Table) -> pa.ChunkedArray:
    """Position as the sum over impressions counted from zero, so that every roll-up is exact.

    Search Console works the average out from such a sum, so rounding gives back the very integer.
    """
    zero_based = pc.subtract(rows["position"], 1.0)
    sums = pc.round(pc.multiply(zero_based, pc.cast(rows["impressions"], pa.float64())))
    return pc.cast(sums, pa.int64())


def _with_sum_position(rows: pa.Table) -> pa.Table:
    return rows.drop_columns("position").append_column("sum_position", sum_position(rows))


def _residual(totals: pa.Table, named: pa.Table, keys: Sequence[str]) -> pa.Table:
    """What the totals hold beyond the named rows, key by key; nothing negative, no row of zeros."""
    if totals.num_rows == 0:
        return totals.select([*keys, *_SUMS])
    sums = named.group_by(list(keys)).aggregate([(name, "sum") for name in _SUMS])
    sums = sums.rename_columns([*keys, *(f"{name}_named" for name in _SUMS)])
    both = totals.join(sums, keys=list(keys), join_type="left outer")
    rest = {name: _rest(both[name], both[f"{name}_named"]) for name in _SUMS}
    residual = pa.table({**{key: both[key] for key in keys}, **rest})
    something = pc.or_(pc.greater(residual["impressions"], 0), pc.greater(residual["clicks"], 0))
    return residual.filter(something)


def _rest(total: pa.ChunkedArray, named: pa.ChunkedArray) -> pa.ChunkedArray:
    zero = pa.scalar(0, pa.int64())
    return pc.max_element_wise(pc.subtract(total, pc.fill_null(named, zero)), zero, skip_nulls=False)


def _with_query(rows: pa.Table, *, anonymized: bool) -> pa.Table:
    rows = rows.append_column("query", pa.repeat("", rows.num_rows))
    return rows.append_column("is_anonymized_query", pa.repeat(anonymized, rows.num_rows))


def _table(table: TableSpec, of: DayOf, rows: pa.Table, extra: dict[str, object]) -> pa.Table:
    """The table's columns in its order: from `extra`, from what the day's rows share, or from `rows`."""
    shared: dict[str, object] = {
        "workspace": of.workspace,
        "month": month_of(of.day),
        "data_date": of.day,
        "site_url": of.site_url,
        "search_type": search_type_in_tables(of.search_type),
    }
    if "device" not in rows.column_names:
        shared["device"] = None
    columns = {**{name: rows[name] for name in rows.column_names}, **shared, **extra}
    return table_of(table, columns, rows.num_rows)


def table_of(table: TableSpec, columns: Mapping[str, object], length: int) -> pa.Table:
    """`length` rows of `table`; each of its columns is given whole, or as one value for all rows."""
    arrays = [_column(columns[field.name], field.type, length) for field in table.schema]
    return pa.table(arrays, schema=table.schema)


def _column(value: object, type_: pa.DataType, length: int) -> pa.ChunkedArray | pa.Array:
    if isinstance(value, pa.ChunkedArray | pa.Array):
        return value
    return pa.nulls(length, type_) if value is None else pa.repeat(pa.scalar(value, type_), length)
