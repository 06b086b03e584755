"""Builds the rows of the tables from the API's answers, at each grain.

The grain without `query` holds the true totals. The grain with `query` omits queries asked by few people. The
residual between the two is the anonymised part, which is stored in separate rows, as in Google's bulk data
export. If the API cut off the grain with `query`, the residual also has the queries beyond the cut. Its row
then says so (`is_truncated`), unless an answer to a request with filters has all queries of the cell.

All functions are pure and work on Arrow columns, without a Python object per row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import month_of
from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE_FLAGS, SITE_IMPRESSION, URL_IMPRESSION, TableSpec
from gsc_pipeline.search_console.requests import PageFilters
from gsc_pipeline.search_console.search_types import SearchType
from gsc_pipeline.sync.past_cap import EVERYTHING, FEW_VALUES, are_among, is_complete
from gsc_pipeline.sync.sums_at import SumsAt, integers

_SUMS = ("clicks", "impressions", "sum_position")


_ENCODED = {
    **dict.fromkeys(("workspace", "month", "site_url", "search_type"), pa.dictionary(pa.int8(), pa.string())),
    **dict.fromkeys(FEW_VALUES, pa.dictionary(pa.int32(), pa.string())),
}
"""How `encoded_table_of` encodes columns: those with one value for all rows, and those with few."""


class Grain(StrEnum):
    """The grain of a row of `searchdata_hourly` or `search_appearance`: by property, or also by page."""

    PROPERTY = "property"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class DayOf:
    """One day of one property and search type: the values that all rows of one read share."""

    workspace: str
    site_url: str
    search_type: SearchType
    day: date


def site_rows(
    of: DayOf,
    totals: pa.Table,
    queries: pa.Table | None,
    complete: Iterable[PageFilters] = EVERYTHING,
    cut: pa.Table | None = None,
) -> pa.Table:
    """Rows of searchdata_site_impression for one day.

    `totals` are grouped by country and device, `queries` by query, country and device. For feeds `queries`
    is None: their totals become rows without a query that are not anonymised. `device` may be absent.
    `complete`: the filters of the answers with queries that were not cut. `cut`: the keys that earlier reads
    left cut; None for all.
    """
    keys = [name for name in ("country", "device") if name in totals.column_names]
    rows = _rows(totals, queries, keys, complete, cut)
    return _table(SITE_IMPRESSION, of, rows, {"sum_top_position": rows["sum_position"]})


def url_rows(
    of: DayOf,
    totals: pa.Table,
    queries: pa.Table | None,
    complete: Iterable[PageFilters] = EVERYTHING,
    cut: pa.Table | None = None,
) -> pa.Table:
    """Rows of searchdata_url_impression for one day. The arguments of `site_rows`, grouped also by `page`."""
    keys = [name for name in ("page", "country", "device") if name in totals.column_names]
    rows = _rows(totals, queries, keys, complete, cut)
    flags = dict.fromkeys(SEARCH_APPEARANCE_FLAGS)
    return _table(URL_IMPRESSION, of, rows, {"url": rows["page"], "is_anonymized_discover": False, **flags})


def sums_without_a_query(rows: pa.Table) -> dict[str, Any]:
    """The ledger's sums of a day's rows of the site table without a query: anonymised, and of cut cells.

    Empty if an earlier release wrote the rows, which did not tell the two apart.
    """
    residual = rows.filter(rows["is_anonymized_query"])
    is_cut = residual["is_truncated"]
    if is_cut.null_count:
        return {}
    parts = {"anonymised": residual.filter(pc.invert(is_cut)), "cut": residual.filter(is_cut)}
    return {
        f"{name}_{measure}": pc.sum(part[measure]).as_py() or 0
        for name, part in parts.items()
        for measure in ("clicks", "impressions")
    }


def grain_rows(table: TableSpec, grain: Grain, rows: pa.Table, values: Mapping[str, object]) -> pa.Table:
    """Rows of a table with a `grain` column: `page`, clicks, impressions and position come from `rows`.

    `values` has the other columns: each is an array as long as `rows`, or one value for all rows.
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


def search_type_in_tables(search_type: SearchType) -> str:
    """The name of a search type in the tables, as in the bulk export: WEB … GOOGLE_NEWS."""
    return search_type.name


def _rows(
    totals: pa.Table,
    queries: pa.Table | None,
    keys: Sequence[str],
    complete: Iterable[PageFilters],
    cut: pa.Table | None,
) -> pa.Table:
    totals = _with_sum_position(totals)
    if queries is None:
        return _with_values(totals, query="", is_anonymized_query=False, is_truncated=False)
    named = _with_values(_with_sum_position(queries), is_anonymized_query=False, is_truncated=False)
    residual = _residual(totals, named, keys)
    is_truncated = pc.invert(is_complete(residual, complete))
    if cut is not None:
        is_truncated = pc.and_(is_truncated, are_among(residual, cut, keys))
    residual = _with_values(residual, query="", is_anonymized_query=True, is_truncated=is_truncated)
    return pa.concat_tables([named, residual.select(named.column_names).cast(named.schema)])


def sum_position(rows: pa.Table) -> pa.ChunkedArray:
    """The sum of zero-based positions over all impressions, which makes every roll-up exact.

    Search Console computes the average position from such a sum, so rounding recovers the exact integer.
    """
    zero_based = pc.subtract(rows["position"], 1.0)
    sums = pc.round(pc.multiply(zero_based, pc.cast(rows["impressions"], pa.float64())))
    return pc.cast(sums, pa.int64())


def _with_sum_position(rows: pa.Table) -> pa.Table:
    return rows.drop_columns("position").append_column("sum_position", sum_position(rows))


def _residual(totals: pa.Table, named: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The totals minus the named rows, by key. Never negative; rows of zeros are dropped."""
    found = SumsAt(named, totals, keys)
    rest = {name: np.maximum(integers(totals[name]) - found.sums(name), 0) for name in _SUMS}
    residual = pa.table({**{key: totals[key] for key in keys}, **rest})
    return residual.filter(pa.array((rest["impressions"] > 0) | (rest["clicks"] > 0)))


def _with_values(rows: pa.Table, **values: pa.ChunkedArray | str | bool) -> pa.Table:
    """The rows with more columns, each an array or one value for all rows."""
    for name, value in values.items():
        column = value if isinstance(value, pa.ChunkedArray) else pa.repeat(value, rows.num_rows)
        rows = rows.append_column(name, column)
    return rows


def _table(table: TableSpec, of: DayOf, rows: pa.Table, extra: dict[str, object]) -> pa.Table:
    """Rows of `table`, whose columns come from `extra`, from the values that `of` gives, or from `rows`."""
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
    return encoded_table_of(table, columns, rows.num_rows)


def table_of(table: TableSpec, columns: Mapping[str, object], length: int) -> pa.Table:
    """`length` rows of `table`. Each of `columns` is an array of that length, or one value for all rows."""
    arrays = [_column(columns[field.name], field.type, length) for field in table.schema]
    return pa.table(arrays, schema=table.schema)


def encoded_table_of(table: TableSpec, columns: Mapping[str, object], length: int) -> pa.Table:
    """`table_of` with the text columns of few values encoded by a dictionary, which takes half the memory."""
    schema = table.schema
    for name, type_ in _ENCODED.items():
        if name in schema.names:
            place = schema.get_field_index(name)
            schema = schema.set(place, schema.field(place).with_type(type_))
    return pa.table([_encoded(columns[field.name], field.type, length) for field in schema], schema=schema)


def _encoded(value: object, type_: pa.DataType, length: int) -> pa.ChunkedArray | pa.Array:
    if not pa.types.is_dictionary(type_) or value is None:
        return _column(value, type_, length)
    if isinstance(value, pa.ChunkedArray | pa.Array):
        return value if pa.types.is_dictionary(value.type) else pc.dictionary_encode(value)
    places = pa.repeat(pa.scalar(0, type_.index_type), length)
    return pa.DictionaryArray.from_arrays(places, pa.array([value], type_.value_type))


def _column(value: object, type_: pa.DataType, length: int) -> pa.ChunkedArray | pa.Array:
    if isinstance(value, pa.ChunkedArray | pa.Array):
        return value
    return pa.nulls(length, type_) if value is None else pa.repeat(pa.scalar(value, type_), length)
