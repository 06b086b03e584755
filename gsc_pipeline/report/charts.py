"""Values over time as SVG: inline in the page, or as an image of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count, groupby
from typing import Any, Self

import pandas as pd
from markupsafe import Markup

from gsc_pipeline.report.marks import Mark, Shift, places_of, places_of_shifts
from gsc_pipeline.report.numbers import count as counted
from gsc_pipeline.report.numbers import with_noun
from gsc_pipeline.report.templates import environment

_LEFT, _RIGHT, _TOP, _BOTTOM, _BETWEEN = 40, 6, 22, 22, 30
"""Margins of a chart, and the space between its panels."""
_MARK_ROW = 9
"""The height of a row of the numbers of marks. More rows than one need more space between the panels."""
_LETTER = 6.2
"""Average width of a character of a label; text cannot be measured here."""
_LABEL = 60
"""Width reserved for each date."""
_DAY_STEPS = (1, 2, 3, 7, 14)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)

PAGE_COLOURS = {
    name: f"var(--{name})" for name in ("ink", "faint", "clicks", "impressions", "provisional", "change")
}
"""The page's CSS variables, so that a chart follows light, dark and print."""
IMAGE_COLOURS = {
    "ink": "#768390",
    "faint": "#8b949e55",
    "clicks": "#1f6feb",
    "impressions": "#8250c4",
    "provisional": "#d9a92b33",
    "change": "#c26a2d",
}
"""Colours for an image, which has no CSS: readable on light and on dark backgrounds."""


_Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a chart in SVG units; its font size is 11."""

    width: int
    height: int


WIDE, NARROW = Size(860, 280), Size(300, 245)
"""Sizes for large screens and paper, and for telephones."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Clicks and impressions by day or week, without missing dates; NaN means no data.

    Numbers from `provisional_from` on may still change.
    """

    frame: pd.DataFrame
    provisional_from: date | None = None

    @classmethod
    def of(cls, daily: pd.DataFrame) -> Self:
        """Sums by day of rows of daily_performance; a day without a row has no data."""
        days = daily.groupby("data_date")[["clicks", "impressions"]].sum().astype("float64").asfreq("D")
        last_final = daily.loc[daily["is_final"], "data_date"].max()
        later = days.index if pd.isna(last_final) else days.index[days.index > last_final]
        return cls(days, later[0].date() if len(later) else None)

    @property
    def days(self) -> list[date]:
        """The day of each row; the first day of a week."""
        return [day.date() for day in self.frame.index]


@dataclass(frozen=True, slots=True)
class Fan:
    """A forecast of consecutive days: the expected value of each, and the band around it."""

    first_day: date
    expected: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One measure of a chart: a value for each date, NaN where there is none.

    `colour` is a name in the colours. `fans` are forecasts of the measure, which need not have a value yet.
    """

    title: str
    colour: str
    values: Sequence[float]
    fans: tuple[Fan, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The values of one day or week, in words."""

    when: str
    clicks: str
    impressions: str
    note: str = ""

    def __str__(self) -> str:
        clicks, impressions = with_noun(self.clicks, "clicks"), with_noun(self.impressions, "impressions")
        values = "" if self.note == _NO_DATA else f"{clicks}, {impressions}"
        return f"{self.when}: {', '.join(filter(None, (values, self.note)))}"


_NO_DATA = "no data"


def readings(series: Series) -> list[Reading]:
    """The values of each day or week of the series."""
    days = series.days
    is_weekly = len(days) > 1 and (days[1] - days[0]).days == 7
    found = []
    for day, clicks, impressions in zip(
        days, series.frame["clicks"], series.frame["impressions"], strict=True
    ):
        is_provisional = series.provisional_from is not None and day >= series.provisional_from
        note = _NO_DATA if math.isnan(clicks) else "may still change" if is_provisional else ""
        when = f"{'Week from ' if is_weekly else ''}{day_in_words(day)}"
        found.append(Reading(when, counted(clicks), counted(impressions), note))
    return found


def day_in_words(day: date) -> str:
    """The day in a table or beside the pointer: `Tue 17 Nov 2026`."""
    return f"{day:%a} {day.day} {day:%b %Y}"


def over_time(
    series: Series,
    size: Size,
    *,
    label: str,
    colours: dict[str, str] = PAGE_COLOURS,
    marked: Sequence[Mark] = (),
    shifts: Sequence[Shift] = (),
    with_values: bool = False,
) -> Markup:
    """A chart of clicks above one of impressions. `label` is the text for screen readers.

    `marked` are the days and periods to mark, `shifts` the changes of level. `with_values` adds the values of
    each day or week, which the page shows at the pointer.
    """
    return drawn(
        series.days,
        [Panel(name.title(), name, series.frame[name].tolist()) for name in ("clicks", "impressions")],
        size,
        label=label,
        colours=colours,
        provisional_from=series.provisional_from,
        marked=marked,
        shifts=shifts,
        texts=[str(reading) for reading in readings(series)] if with_values else (),
    )


def drawn(
    days: Sequence[date],
    panels: Sequence[Panel],
    size: Size,
    *,
    label: str,
    colours: dict[str, str] = PAGE_COLOURS,
    provisional_from: date | None = None,
    marked: Sequence[Mark] = (),
    shifts: Sequence[Shift] = (),
    texts: Sequence[str] = (),
) -> Markup:
    """A chart of panels, one above the other, over `days` without gaps, or the first days of weeks.

    The colour of a panel is also the measure whose changes of level it shows. `texts` has one for each day,
    which the page shows at the pointer.
    """
    step = days[1] - days[0] if len(days) > 1 else timedelta(1)
    left, right = _LEFT, size.width - _RIGHT
    scale = (right - left) / (days[-1] - days[0] + step).days

    def x_of(day: date) -> float:
        """The middle of the day, or of the week that begins on it."""
        return left + scale * ((day - days[0]) / timedelta(1) + step.days / 2)

    final = sum(provisional_from is None or day < provisional_from for day in days)
    places = [x_of(day) for day in days]
    # The band begins at the last final day, like the dashed line.
    band = places[final - 1] if final else left
    shifted = places_of_shifts(shifts, days[0], left, right, scale)
    places_of_marks = places_of(marked, days[0], left, right, scale)
    between = _BETWEEN + _MARK_ROW * max((place.row for place in places_of_marks), default=0)
    height = (size.height - _TOP - _BOTTOM - between * (len(panels) - 1)) / len(panels)
    shown, made = {panel.colour for panel in panels}, []
    for row, panel in enumerate(panels):
        # A change is drawn in the panel of its metric; of a metric without a panel, in all.
        mine = [one for one in shifted if one.metric == panel.colour]
        levels = [
            # The level is that of a day; the values are sums of `step` days.
            (x, x_end, value * step.days)
            for shift in mine
            for x, x_end, value in shift.levels
        ]
        one = _panel(panel, _TOP + row * (height + between), height, places, final, x_of, levels)
        made.append(one | {"shifts": [one for one in shifted if one in mine or one.metric not in shown]})
    template = environment().get_template("chart.svg.j2")
    return Markup(
        template.render(
            width=size.width,
            height=size.height,
            left=left,
            right=right,
            label=label,
            colours=colours,
            band=(_round(band), _round(right - band)) if final < len(days) else None,
            panels=made,
            dates=_dates(days, x_of, size),
            marks=places_of_marks,
            mark_row=_MARK_ROW,
            shifts=shifted,
            points=_points(places, made, scale * step.days, texts),
        )
    )


def path(points: Iterable[_Point | None]) -> str:
    """The data of an SVG path through the points, with a gap where one is None."""
    parts, command = [], "M"
    for point in points:
        if point is not None:
            parts.append(f"{command}{point[0]} {point[1]}")
        command = "M" if point is None else "L"
    return "".join(parts)


def short(value: float) -> str:
    """A short form of the number: 950, 1.2k, 30k, 4.5M."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.2f}".rstrip("0").rstrip(".") + unit
    return f"{value:.0f}"


def value_ticks(highest: float) -> list[int]:
    """Round whole numbers from 0 up to `highest`, at most three above 0."""
    steps = (int(factor * 10**power) for power in count() for factor in (1, 2, 2.5, 5))
    step = next(step for step in steps if highest < 4 * step)
    return list(range(0, int(highest) + 1, step))


def date_ticks(first: date, last: date, most: int) -> list[date]:
    """At most `most` days from `first` to `last`: evenly spaced days, Mondays or first days of months."""
    days = [first + timedelta(age) for age in range((last - first).days + 1)]
    for step in _DAY_STEPS:
        # Ordinal 1 is a Monday.
        chosen = [day for day in days if day.toordinal() % step == 1 % step]
        if len(chosen) <= most:
            return chosen
    firsts = [day for day in days if day.day == 1]
    for step in _MONTH_STEPS:
        chosen = [day for day in firsts if (12 * day.year + day.month - 1) % step == 0]
        if len(chosen) <= most:
            return chosen
    return []


def _panel(
    panel: Panel,
    top: float,
    height: float,
    places: Sequence[float],
    final: int,
    x_of: Callable[[date], float],
    levels: Sequence[tuple[float, float, float]],
) -> dict[str, Any]:
    """The chart of one measure, of which the first `final` values are final."""
    every = [*panel.values, *(high for fan in panel.fans for high in fan.high), *(one[2] for one in levels)]
    highest = 1.06 * max((value for value in every if not math.isnan(value)), default=0)
    highest = max(highest, 1)
    bottom = top + height

    def y_of(value: float) -> float:
        return bottom - height * value / highest

    def placed(xs: Iterable[float], values: Iterable[float]) -> list[_Point | None]:
        return [
            None if math.isnan(value) else (_round(x), _round(y_of(value)))
            for x, value in zip(xs, values, strict=True)
        ]

    points = placed(places, panel.values)
    solid = _runs(points[:final])
    known = [None, *points, None]
    fans = []
    for fan in panel.fans:
        xs = [x_of(fan.first_day + timedelta(age)) for age in range(len(fan.expected))]
        edge = [*placed(xs, fan.high), *reversed(placed(xs, fan.low))]
        line = _text([point for point in placed(xs, fan.expected) if point])
        fans.append((_text([point for point in edge if point]), line))
    return {
        "title": panel.title,
        "colour": panel.colour,
        "top": _round(top),
        "height": _round(height),
        "bottom": _round(bottom),
        "points": points,
        "ticks": [(_round(y_of(tick)), short(tick)) for tick in value_ticks(highest)],
        "areas": [_text([(run[0][0], _round(bottom)), *run, (run[-1][0], _round(bottom))]) for run in solid],
        "lines": [_text(run) for run in solid],
        # From the last final point on, to join the solid line.
        "dashed": [_text(run) for run in _runs(points[max(final - 1, 0) :])],
        "dots": [
            point
            for before, point, after in zip(known, known[1:], known[2:], strict=False)
            if point and not before and not after
        ],
        "fans": fans,
        "levels": [(x, x_end, _round(y_of(value))) for x, x_end, value in levels],
    }


def _points(
    places: Sequence[float], panels: Sequence[dict[str, Any]], width: float, texts: Sequence[str]
) -> list[dict[str, Any]]:
    """For each day or week: the area in which the pointer shows its text, its dots, and its text."""
    return [
        {
            "x": _round(x - width / 2),
            "width": _round(width),
            "middle": _round(x),
            "dots": [(panel["colour"], dot[1]) for panel in panels if (dot := panel["points"][number])],
            "text": text,
        }
        for number, (x, text) in enumerate(zip(places, texts, strict=False))
    ]


def _runs(points: Sequence[_Point | None]) -> list[list[_Point]]:
    """The parts of the line between gaps, with at least two points each."""
    parts = [
        [point for point in part if point]
        for is_gap, part in groupby(points, lambda point: point is None)
        if not is_gap
    ]
    return [part for part in parts if len(part) > 1]


def _dates(days: Sequence[date], x_of: Callable[[date], float], size: Size) -> list[tuple[float, float, str]]:
    """The position of each tick, the middle of its label, and the label. A new year is named."""
    ticks = date_ticks(days[0], days[-1], (size.width - _LEFT - _RIGHT) // _LABEL)
    are_months = len(days) > 1 and all(day.day == 1 for day in ticks)
    found, year = [], None
    for day in ticks:
        text = f"{day:%b}" if are_months else f"{day.day} {day:%b}"
        text = text if day.year == year else f"{text} {day.year}"
        half = _LETTER * len(text) / 2
        x = x_of(day)
        found.append((_round(x), _round(min(x, size.width - half)), text))
        year = day.year
    return found


def _text(points: Sequence[_Point]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _round(value: float) -> float:
    return round(value, 1)
