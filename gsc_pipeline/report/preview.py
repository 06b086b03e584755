"""What a table of insights is at a glance: its foremost rows, and a small chart of the days.

Belongs here: choosing rows, and drawing. Does not: where they are shown (Dagster's modules), what is found
(`insights`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.schemas import (
    ANOMALIES,
    CANNIBALISATION,
    CONTENT_DECAY,
    CTR_CURVE,
    CTR_GAP,
    DAILY_PERFORMANCE,
    INDEX_COVERAGE,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)

Cell = str | int | float | bool | None

SHOWN = 10
"""Rows of a preview."""

CHARTED_DAYS = 90
"""Days of the chart: it is kept with every event of an asset, so it stays small."""

_LONGEST = 120
"""Letters of a text: queries and addresses can be thousands long."""


def _column(name: str) -> Callable[[pa.Table], pa.Array]:
    return lambda rows: rows[name]


_WEIGHT: dict[TableSpec, Callable[[pa.Table], pa.Array]] = {
    DAILY_PERFORMANCE: _column("data_date"),
    CTR_CURVE: lambda rows: pc.negate(rows["position"]),
    CTR_GAP: _column("gap_clicks"),
    STRIKING_DISTANCE: _column("potential_clicks"),
    CANNIBALISATION: _column("query_clicks"),
    CONTENT_DECAY: lambda rows: pc.abs(rows["change"]),
    WINNERS_AND_LOSERS: lambda rows: pc.abs(rows["change"]),
    ANOMALIES: _column("data_date"),
    # Problems first, the largest before the others.
    INDEX_COVERAGE: lambda rows: pc.multiply(pc.cast(rows["is_problem"], pa.int64()), rows["pages"]),
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing as an image that a page can hold in itself, and whose days it shows."""

    site_url: str
    search_type: str
    svg: str

    @property
    def data_uri(self) -> str:
        """The image as an address."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def foremost(table: TableSpec, rows: pa.Table) -> list[dict[str, Cell]]:
    """The rows that matter most, at most SHOWN, without the columns that a workspace's rows share.

    Texts are cut to what fits a cell; days are texts.
    """
    weighed = rows.append_column("weight", _WEIGHT[table](rows)).sort_by([("weight", "descending")])
    shown = weighed.slice(0, SHOWN).drop_columns(["weight", "workspace", "month"]).to_pylist()
    return [{name: _cell(value) for name, value in row.items()} for row in shown]


def chart(daily: pa.Table) -> Chart | None:
    """The last days of the property and search type with the most clicks; None without any.

    `daily` are a workspace's rows of daily_performance. One series alone: sums over properties would count
    a page twice that belongs to two.
    """
    # Drawing takes half a second to load.
    from gsc_pipeline.report.charts import Series, as_image, over_time

    sums = daily.group_by(["site_url", "search_type"]).aggregate([("clicks", "sum")])
    if not len(sums):
        return None
    order = [("clicks_sum", "descending"), ("site_url", "ascending"), ("search_type", "ascending")]
    (largest,) = sums.sort_by(order).slice(0, 1).to_pylist()
    site_url, search_type = largest["site_url"], largest["search_type"]
    is_its = (pc.field("site_url") == site_url) & (pc.field("search_type") == search_type)
    days = daily.filter(is_its).sort_by([("data_date", "ascending")])
    days = days.slice(max(len(days) - CHARTED_DAYS, 0))
    final = days.filter(pc.field("is_final"))["data_date"]
    last_final = pc.max(final).as_py()
    later = [day for day in days["data_date"].to_pylist() if last_final is None or day > last_final]
    series = Series(
        days["data_date"].to_pylist(),
        days["clicks"].to_pylist(),
        days["impressions"].to_pylist(),
        provisional_from=later[0] if later else None,
    )
    return Chart(site_url, search_type, as_image(over_time(series, (6.4, 2.8), name="preview")))


def _cell(value: object) -> Cell:
    if isinstance(value, float):
        return round(value, 4)
    if value is None or isinstance(value, bool | int):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
