"""Marks of annotations in a chart over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from gsc_pipeline.lake.annotations.record import Annotation

_APART, _ROWS = 15, 3
"""The least distance between the numbers of two marks in one row, and the rows between the two panels."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An annotation in a chart, and the number that stands for it there and in the legend."""

    number: int
    annotation: Annotation


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mark is drawn, in SVG units: a bar over its days, lines at their edges, and its number.

    What begins before the chart, or ends after it, has no line there.
    """

    number: int
    x: float
    width: float
    lines: tuple[float, ...]
    row: int


def marks(days: Sequence[date], annotations: Iterable[Annotation]) -> list[Mark]:
    """The annotations that cover some of the days, or of the weeks that begin on them, and not all.

    They are numbered in the order given.
    """
    step = days[1] - days[0] if len(days) > 1 else timedelta(1)
    last = days[-1] + step - timedelta(1)
    found = [one for one in annotations if one.begins_or_ends(days[0], last)]
    return [Mark(number, one) for number, one in enumerate(found, 1)]


def places_of(
    marked: Iterable[Mark], first: date, left: float, right: float, day_width: float
) -> list[Place]:
    """The place of each mark in a chart that begins at `left` with the day `first`."""
    places: list[Place] = []
    for mark in marked:
        begin = left + day_width * (mark.annotation.first_day - first).days
        end = left + day_width * ((mark.annotation.end - first).days + 1)
        x, x_end = max(begin, left), min(end, right)
        taken = [other.row for other in places if abs(other.x - x) < _APART]
        places.append(
            Place(
                mark.number,
                x=round(x, 1),
                width=round(max(x_end - x, 1), 1),
                lines=tuple(round(at, 1) for at in (begin, end) if left < at < right),
                row=next((row for row in range(_ROWS) if row not in taken), 0),
            )
        )
    return places
