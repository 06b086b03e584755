"""A preview of an insight table for the Dagster UI: its first rows, and a small chart."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from gsc_pipeline.insights.measures import SERIES
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.report.charts import IMAGE_COLOURS, Series, Size, over_time
from gsc_pipeline.report.findings import SHOWN, preview_columns
from gsc_pipeline.report.marks import Mark, marks

Cell = str | int | float | bool | None

CHARTED_DAYS = 90
"""Days of the chart, which is stored with every event of an asset and so must be small."""

SIZE = Size(461, 202)

_LONGEST = 120
"""Characters of a text; queries and URLs can have thousands."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as an image, the property and search type it shows, and the annotations marked in it."""

    site_url: str
    search_type: str
    svg: str
    marks: tuple[Mark, ...]

    @property
    def data_uri(self) -> str:
        """The image as a data URI."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def preview_rows(table: TableSpec, rows: pd.DataFrame) -> list[dict[str, Cell]]:
    """The first SHOWN of the ranked rows. Long texts are cut; days are texts."""
    shown = rows.head(SHOWN)[preview_columns(table)].to_dict("records")
    return [{str(name): _cell(value) for name, value in row.items()} for row in shown]


def chart(daily: pd.DataFrame, annotations: Sequence[Annotation] = ()) -> Chart | None:
    """The last days of the property and search type with the most clicks; None without rows.

    `daily` holds a workspace's rows of daily_performance. Properties may overlap, so they are not summed.
    Those of the workspace's `annotations` that concern them are marked.
    """
    if daily.empty:
        return None
    clicks = daily.groupby(SERIES)["clicks"].sum()
    site_url, search_type = map(str, clicks.sort_values(ascending=False, kind="stable").index[0])
    series = Series.of(daily[(daily["site_url"] == site_url) & (daily["search_type"] == search_type)])
    recent = Series(series.frame.tail(CHARTED_DAYS), series.provisional_from)
    label = f"Clicks and impressions of {site_url}, {recent.days[0]} to {recent.days[-1]}"
    marked = marks(recent.days, [one for one in annotations if one.concerns(site_url, search_type)])
    svg = over_time(recent, SIZE, label=label, colours=IMAGE_COLOURS, marked=marked)
    return Chart(site_url, search_type, svg, tuple(marked))


def _cell(value: object) -> Cell:
    if pd.isna(value):  # type: ignore[call-overload]
        return None
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, bool | int):
        return value
    text = f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
