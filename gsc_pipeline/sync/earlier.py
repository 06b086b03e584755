"""Reads what the tables hold of a cut day, in the form of the API's answers, to go on from there."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.lake import Lake, Target
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION, TableSpec
from gsc_pipeline.sync.cut_days import CutGrain, Earlier
from gsc_pipeline.sync.past_cap import sums_by

_COUNTS = ("clicks", "impressions")


def read_earlier(lake: Lake, target: Target) -> Earlier:
    """The rows of the target's day. Raises LakeError."""
    site = _rows(lake, SITE_IMPRESSION, target, "sum_top_position")
    url = _rows(lake, URL_IMPRESSION, target, "sum_position")
    named, cut = {}, {}
    for of, rows in ((CutGrain.QUERIES, site), (CutGrain.PAGE_QUERIES, url)):
        named[of] = _with_position(rows.filter(pc.invert(rows["is_anonymized_query"])))
        cut[of] = rows.filter(rows["is_truncated"])
    pages = sums_by(url, _keys(url), (*_COUNTS, "sum_position"))
    return Earlier(named, cut, _with_position(pages))


def _rows(lake: Lake, table: TableSpec, target: Target, sum_position: str) -> pa.Table:
    (day,) = target.days
    where = (
        (pc.field("site_url") == target.site_url)
        & (pc.field("search_type") == target.search_type)
        & (pc.field("data_date") == day)
    )
    flags = ("is_anonymized_query", "is_truncated")
    columns = [
        name
        for name in ("url", "query", "country", "device", *flags, *_COUNTS, sum_position)
        if name in table.schema.names
    ]
    rows = lake.read(table, columns=columns, where=where, workspace=target.workspace, months=target.months)
    if rows["device"].null_count:
        rows = rows.drop_columns("device")
    names = {"url": "page", sum_position: "sum_position"}
    return rows.rename_columns([names.get(name, name) for name in rows.column_names])


def _keys(rows: pa.Table) -> Sequence[str]:
    return [name for name in ("page", "country", "device") if name in rows.column_names]


def _with_position(rows: pa.Table) -> pa.Table:
    """The rows with the average position, counted from one; null for feeds and without impressions."""
    shown = pc.if_else(pc.greater(rows["impressions"], 0), rows["impressions"], None)
    zero_based = pc.divide(pc.cast(rows["sum_position"], pa.float64()), pc.cast(shown, pa.float64()))
    return rows.append_column("position", pc.add(zero_based, 1.0)).drop_columns("sum_position")
