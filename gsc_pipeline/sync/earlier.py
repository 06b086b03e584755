"""Reads what the tables hold of a cut day, in the form of the API's answers, to go on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, URL_IMPRESSION
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.sync.cut_days import CutGrain, Earlier
from gsc_pipeline.sync.past_cap import sums_by

_COUNTS = ("clicks", "impressions")


@dataclass(frozen=True, slots=True)
class EarlierRows(Earlier):
    """The rows of the target's day in the lake. Its methods raise LakeError."""

    lake: Lake
    target: Target

    @override
    def named(self, of: CutGrain) -> pa.Table:
        return _with_position(self._rows(of, ("query",), ~pc.field("is_anonymized_query")))

    @override
    def cut(self, of: CutGrain) -> pa.Table:
        return self._rows(of, (), pc.field("is_truncated"))

    @override
    def pages(self) -> pa.Table:
        rows = self._rows(CutGrain.PAGE_QUERIES, (), pc.scalar(True))
        return _with_position(sums_by(rows, _keys(rows), (*_COUNTS, "sum_position")))

    def _rows(self, of: CutGrain, columns: Sequence[str], where: pc.Expression) -> pa.Table:
        is_by_page = of is not CutGrain.QUERIES
        table = URL_IMPRESSION if is_by_page else SITE_IMPRESSION
        sum_position = "sum_position" if is_by_page else "sum_top_position"
        pages = ["url"] if is_by_page else []
        rows = self.lake.read(
            table,
            columns=[*pages, *columns, "country", "device", *_COUNTS, sum_position],
            where=where & self.target.condition(),
            workspace=self.target.workspace,
            months=self.target.months,
        )
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
