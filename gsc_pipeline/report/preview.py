"""A preview of an insight table for the Dagster UI: its first rows, and a small chart."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from string import ascii_uppercase

import pandas as pd

from gsc_pipeline.insights.measures import SERIES
from gsc_pipeline.insights.scope import WHOLE
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import (
    CHANGE_POINTS,
    CONTENT_GROUP_DAYS,
    DAILY_PERFORMANCE,
    FORECASTS,
    SEO_TESTS,
    TableSpec,
)
from gsc_pipeline.report.changes import changes, ranked, sentences, shifts
from gsc_pipeline.report.charts import IMAGE_COLOURS, Panel, Series, Size, drawn, over_time
from gsc_pipeline.report.effects import effects
from gsc_pipeline.report.findings import SHOWN, preview_columns
from gsc_pipeline.report.marks import marks
from gsc_pipeline.report.outlook import METRICS, coming_in_words, how_made, outlook, panel, past_in_words
from gsc_pipeline.report.words import shortened
from gsc_pipeline.workspaces.content_groups import ALL

Cell = str | int | float | bool | None

CHARTED_DAYS = 90
"""Days of the chart, which is stored with every event of an asset and so must be small."""

CHARTED_GROUPS = 4

SIZE, FAN_SIZE = Size(461, 202), Size(461, 150)
_TITLE = 50
"""Characters of a panel's title."""

_LONGEST = 120
"""Characters of a text; queries and URLs can have thousands."""


RowsOf = Callable[[TableSpec], pd.DataFrame]
"""The ranked rows of one workspace in a table."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as an image, what it shows, and the legend below it."""

    title: str
    label: str
    svg: str
    legend: tuple[str, ...] = ()

    @property
    def data_uri(self) -> str:
        """The image as a data URI."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()

    @property
    def markdown(self) -> str:
        """Title, image and legend. No text of a user is taken for Markdown: it stands as code."""
        lines = [f"{number}. {_code(line)}" for number, line in enumerate(self.legend, 1)]
        return f"{self.title}\n\n![{self.label}]({self.data_uri})\n\n" + "\n".join(lines)


def preview_rows(table: TableSpec, rows: pd.DataFrame) -> list[dict[str, Cell]]:
    """The first SHOWN of the ranked rows. Long texts are cut; days are texts."""
    shown = rows.head(SHOWN)[preview_columns(table)].to_dict("records")
    return [{str(name): _cell(value) for name, value in row.items()} for row in shown]


def chart(table: TableSpec, rows: RowsOf, annotations: Sequence[Annotation] = ()) -> Chart | None:
    """The chart of the table; None if it has none, or there is nothing to draw.

    Properties may overlap, so they are not summed: a chart shows the one with the most clicks. Those of the
    workspace's `annotations` that concern it are marked among its days.
    """
    if table is SEO_TESTS:
        return _of_tests(rows(SEO_TESTS))
    if table not in _CHARTS:
        return None
    daily = rows(DAILY_PERFORMANCE)
    if daily.empty:
        return None
    clicks = daily.groupby(SERIES)["clicks"].sum()
    site_url, search_type = map(str, clicks.sort_values(ascending=False, kind="stable").index[0])
    largest = _Property(site_url, search_type)
    return _CHARTS[table](largest, rows, annotations)


@dataclass(frozen=True, slots=True)
class _Property:
    """A property and search type."""

    site_url: str
    search_type: str

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Its rows."""
        return rows[(rows["site_url"] == self.site_url) & (rows["search_type"] == self.search_type)]

    def __str__(self) -> str:
        return f"{self.site_url}, {self.search_type}"


def _recent(largest: _Property, rows: RowsOf) -> Series:
    series = Series.of(largest.of(rows(DAILY_PERFORMANCE)))
    return Series(series.frame.tail(CHARTED_DAYS), series.provisional_from)


def _of_days(largest: _Property, rows: RowsOf, annotations: Sequence[Annotation]) -> Chart:
    recent = _recent(largest, rows)
    label = f"Clicks and impressions of {largest.site_url}, {recent.days[0]} to {recent.days[-1]}"
    of_property = [one for one in annotations if one.concerns(largest.site_url, largest.search_type)]
    marked = marks(recent.days, of_property)
    svg = over_time(recent, SIZE, label=label, colours=IMAGE_COLOURS, marked=marked)
    return Chart(
        str(largest), "Clicks and impressions by day", svg, tuple(str(mark.annotation) for mark in marked)
    )


def _of_changes(largest: _Property, rows: RowsOf, _: Sequence[Annotation]) -> Chart | None:
    """The days around the changes of the whole property that began lately, with its levels."""
    recent = _recent(largest, rows)
    found = largest.of(rows(CHANGE_POINTS))
    lately = [
        one
        for one in changes(found[found["content_group"] == ALL])
        if one.latest_day >= recent.days[0] and one.earliest_day <= recent.days[-1]
    ]
    if not lately:
        return None
    sums = recent.frame.sum()
    ctr = sums["clicks"] / sums["impressions"] if sums["impressions"] else None
    lettered = list(zip(ascii_uppercase, ranked(lately, ctr), strict=False))
    svg = over_time(
        recent,
        SIZE,
        label=f"Changes of level of {largest.site_url}",
        colours=IMAGE_COLOURS,
        shifts=shifts(lettered, largest.site_url, ALL),
    )
    legend = tuple(f"{letter}: {' '.join(sentences(one))}" for letter, one in lettered)
    return Chart(str(largest), "Clicks and impressions by day, with changes of level", svg, legend)


def _of_forecasts(largest: _Property, rows: RowsOf, _: Sequence[Annotation]) -> Chart | None:
    """The clicks of the last weeks, and those expected."""
    found = outlook(WHOLE.of(FORECASTS, rows(FORECASTS)), largest.site_url, largest.search_type)
    if found is None:
        return None
    daily = largest.of(rows(DAILY_PERFORMANCE))
    final = daily[daily["is_final"]].set_index("data_date").sort_index()
    plotted = panel(found, "clicks", final["clicks"])
    if plotted is None:
        return None
    days, clicks = plotted
    svg = drawn(days, [clicks], FAN_SIZE, label=f"Forecast of {largest.site_url}", colours=IMAGE_COLOURS)
    coming = [coming_in_words(found.coming[name]) for name in METRICS if name in found.coming]
    past = [text for one in found.past.values() if (text := past_in_words(one))]
    legend = (*coming, *past, how_made(found.coming["clicks"]))
    return Chart(str(largest), "Clicks by day, and what is expected", svg, legend)


def _of_groups(largest: _Property, rows: RowsOf, _: Sequence[Annotation]) -> Chart | None:
    """The clicks by day of the largest content groups, one below the other."""
    found = largest.of(rows(CONTENT_GROUP_DAYS))
    if found.empty:
        return None
    last: pd.Timestamp = found["data_date"].max()
    first = last - timedelta(CHARTED_DAYS - 1)
    recent = found[found["data_date"] >= max(first, found["data_date"].min())]
    table = recent.pivot_table(index="data_date", columns="content_group", values="clicks", aggfunc="sum")
    # A day with rows of other groups is one without clicks of this group.
    by_day = table.fillna(0).astype("float64").asfreq("D")
    top = by_day.sum().sort_values(ascending=False, kind="stable").index[:CHARTED_GROUPS]
    days: list[date] = [day.date() for day in by_day.index]
    panels = [Panel(shortened(group, _TITLE), "clicks", by_day[group].tolist()) for group in top]
    size = Size(SIZE.width, 44 + 60 * len(panels))
    label = f"Clicks of content groups of {largest.site_url}"
    svg = drawn(days, panels, size, label=label, colours=IMAGE_COLOURS)
    return Chart(str(largest), "Clicks by day of the largest content groups", svg)


def _of_tests(tests: pd.DataFrame) -> Chart | None:
    """The effects of tests, with their intervals."""
    svg = effects(tests, SIZE)
    if svg is None:
        return None
    legend = tuple(
        f"{test}, {metric}: {statement}"
        for test, metric, statement in tests[["test", "metric", "statement"]]
        .head(SHOWN)
        .itertuples(index=False)
    )
    return Chart("Changed pages against unchanged ones", "Effects with their intervals", svg, legend)


_CHARTS: dict[TableSpec, Callable[[_Property, RowsOf, Sequence[Annotation]], Chart | None]] = {
    DAILY_PERFORMANCE: _of_days,
    CHANGE_POINTS: _of_changes,
    FORECASTS: _of_forecasts,
    CONTENT_GROUP_DAYS: _of_groups,
}
"""The charts of the property with the most clicks."""


def _code(text: str) -> str:
    return f"`{shortened(' '.join(text.replace('`', ' ').split()), 300)}`"


def _cell(value: object) -> Cell:
    if pd.isna(value):  # type: ignore[call-overload]
        return None
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, bool | int):
        return value
    text = f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else str(value)
    return shortened(text, _LONGEST)
