"""The effects of tests with their intervals, as an image."""

from __future__ import annotations

import math

import pandas as pd
from markupsafe import Markup

from gsc_pipeline.insights.measures import require
from gsc_pipeline.report.charts import IMAGE_COLOURS, Size, value_ticks
from gsc_pipeline.report.numbers import signed
from gsc_pipeline.report.templates import environment
from gsc_pipeline.report.words import shortened

EFFECTS_INPUT = ("test", "metric", "effect", "low", "high")

MOST_EFFECTS = 8
_LEFT, _ROW, _BELOW = 180, 22, 22
_LONGEST = 18


def effects(rows: pd.DataFrame, size: Size) -> Markup | None:
    """The effect of each test and metric on a common scale, with its interval; None without any.

    Draws the first rows that have an effect, as high as they need and as wide as `size`.
    """
    found = require(rows, EFFECTS_INPUT).dropna(subset=["effect", "low", "high"]).head(MOST_EFFECTS)
    if found.empty:
        return None
    farthest = float(found[["effect", "low", "high"]].abs().to_numpy().max()) or 0.01
    middle = (_LEFT + size.width) / 2
    scale = (size.width - _LEFT - 24) / 2 / farthest

    def x_of(effect: float) -> float:
        return round(middle + scale * effect, 1)

    height = _ROW * len(found) + _BELOW
    percents = [tick / 100 for tick in value_ticks(math.ceil(100 * farthest))]
    percents = [tick for tick in percents if tick <= farthest][-1:]
    ticks = sorted({0.0, *percents, *(-one for one in percents)})
    return Markup(
        environment()
        .get_template("effects.svg.j2")
        .render(
            width=size.width,
            height=height,
            left=_LEFT,
            label="Effects of tests with their intervals",
            colours=IMAGE_COLOURS,
            ticks=[(x_of(tick), signed(tick)) for tick in ticks],
            rows=[
                {
                    "name": f"{shortened(row['test'], _LONGEST)}, {row['metric']}",
                    "colour": row["metric"],
                    "y": _ROW * number + _ROW / 2 + 2,
                    "x": x_of(row["effect"]),
                    "low": x_of(row["low"]),
                    "high": x_of(row["high"]),
                }
                for number, row in enumerate(found.to_dict("records"))
            ],
        )
    )
