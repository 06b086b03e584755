"""A small line of the clicks of some weeks, for a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gsc_pipeline.report.charts import path
from gsc_pipeline.report.numbers import count

WIDTH, HEIGHT, _MARGIN = 96, 22, 2
"""The size and the margin of a sparkline, in SVG units."""


@dataclass(frozen=True, slots=True)
class Sparkline:
    """The data of an SVG path (empty without a known week), the last known point, and the line in words."""

    line: str
    dot: tuple[int, int] | None
    spoken: str


def sparkline(weeks: Sequence[int | None]) -> Sparkline:
    """The line of the weeks' clicks, the oldest first, with a gap where a week is unknown."""
    places = _places(weeks)
    dot = next((place for place in reversed(places) if place), None)
    return Sparkline(path(places), dot, _spoken(weeks))


def _places(weeks: Sequence[int | None]) -> list[tuple[int, int] | None]:
    """The points of the line, from zero at the bottom to the most clicks at the top."""
    highest = max((clicks for clicks in weeks if clicks is not None), default=0) or 1
    step = (WIDTH - 2 * _MARGIN) / max(len(weeks) - 1, 1)
    height = HEIGHT - 2 * _MARGIN
    return [
        None
        if clicks is None
        else (round(_MARGIN + step * number), round(HEIGHT - _MARGIN - height * clicks / highest))
        for number, clicks in enumerate(weeks)
    ]


def _spoken(weeks: Sequence[int | None]) -> str:
    known = [clicks for clicks in weeks if clicks is not None]
    return f"{count(known[0])} to {count(known[-1])} clicks a week" if known else "no whole week"
