"""A chart of both sets of pages of an SEO test, by week, with the start marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd
from markupsafe import Markup

from gsc_pipeline.insights.measures import require
from gsc_pipeline.report.charts import Size, date_ticks, path, short, value_ticks
from gsc_pipeline.report.numbers import level, signed
from gsc_pipeline.report.templates import environment

CHART_INPUT = ("data_date", "variant", "control")
"""Both sets by day, on one scale, as `chart_days` gives them."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 16, 22
_LABEL = 60
"""Width reserved for each date."""
_LEAST_DAYS = 4
"""A week with fewer known days has no value."""


@dataclass(frozen=True, slots=True)
class Week:
    """Means of a day in the week that begins on `first`; NaN without enough known days."""

    first: date
    variant: float
    control: float

    @property
    def is_known(self) -> bool:
        """Whether both sets have a value."""
        return not math.isnan(self.variant) and not math.isnan(self.control)

    @property
    def difference(self) -> float | None:
        """How much more the changed pages have than the unchanged ones, as a share of these."""
        return self.variant / self.control - 1 if self.is_known and self.control else None

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """The week, both sets and their difference, in words."""
        when = f"Week from {self.first:%a} {self.first.day} {self.first:%b %Y}"
        values = [level(value) for value in (self.variant, self.control)]
        return when, values[0], values[1], signed(self.difference)

    def __str__(self) -> str:
        when, variant, control, difference = self.texts
        if not self.is_known:
            return f"{when}: no data"
        return f"{when}: changed pages {variant} a day, unchanged pages (scaled) {control}, {difference}"


def weeks(days: pd.DataFrame, start: date) -> list[Week]:
    """The weeks of the days, so that one begins on `start`."""
    found = require(days, CHART_INPUT)
    if found.empty:
        return []
    number = (found["data_date"] - pd.Timestamp(start)).dt.days // 7
    by_week = found[["variant", "control"]].astype("float64").groupby(number)
    means = by_week.mean().where(by_week.count() >= _LEAST_DAYS)
    return [
        Week(start + timedelta(weeks=week), variant, control)
        for week, variant, control in zip(
            means.index.tolist(), means["variant"].tolist(), means["control"].tolist(), strict=True
        )
    ]


def both_sets_over_time(shown: Sequence[Week], start: date, size: Size, *, label: str) -> Markup:
    """The chart of at least one week. `label` is the text for screen readers."""
    left, right, bottom = _LEFT, size.width - _RIGHT, size.height - _BOTTOM
    first, last = shown[0].first, shown[-1].first + timedelta(days=6)
    scale = (right - left) / ((last - first).days + 1)
    known = [value for week in shown for value in (week.variant, week.control) if not math.isnan(value)]
    highest = max(1.06 * max(known, default=0), 1)

    def x_of(day: date) -> float:
        return left + scale * (day - first).days

    def y_of(value: float) -> float:
        return round(bottom - (bottom - _TOP) * value / highest, 1)

    def line(name: str) -> str:
        values = [getattr(week, name) for week in shown]
        return path(
            None if math.isnan(value) else (x, y_of(value)) for x, value in zip(middles, values, strict=True)
        )

    middles = [round(x_of(week.first) + 3.5 * scale, 1) for week in shown]
    ticks = date_ticks(first, last, (size.width - _LEFT - _RIGHT) // _LABEL)
    return Markup(
        environment()
        .get_template("seo_test_chart.svg.j2")
        .render(
            width=size.width,
            height=size.height,
            left=left,
            right=right,
            top=_TOP,
            bottom=bottom,
            label=label,
            ticks=[(y_of(tick), short(tick)) for tick in value_ticks(highest)],
            dates=[(round(x_of(day) + scale / 2, 1), f"{day.day} {day:%b}") for day in ticks],
            start=round(x_of(start), 1) if first <= start <= last else None,
            lines=[(name, line(name)) for name in ("control", "variant")],
            points=[_point(week, x, y_of, 7 * scale) for week, x in zip(shown, middles, strict=True)],
        )
    )


def _point(week: Week, x: float, y_of: Any, width: float) -> dict[str, Any]:
    values = [(name, getattr(week, name)) for name in ("control", "variant")]
    return {
        "x": round(x - width / 2, 1),
        "width": round(width, 1),
        "middle": x,
        "dots": [(name, y_of(value)) for name, value in values if not math.isnan(value)],
        "text": str(week),
    }
