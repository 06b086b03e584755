"""Marks of annotations and of changes of level in a chart over time."""

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


_LETTERS_APART, _TITLE = 10, 46
"""The least distance between two letters, and the width of a panel's title, which they leave free."""


@dataclass(frozen=True, slots=True)
class Level:
    """The mean of a day from `first` to `last`, both included."""

    first: date
    last: date
    value: float


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of level of a metric: its letter in the chart and the text, and the days it may begin on.

    `levels` are those before and after, where the chart draws their series.
    """

    letter: str
    metric: str
    earliest_day: date
    latest_day: date
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True)
class ShiftPlace:
    """Where a change of level is drawn: its band, its letter, and x, end and value of each level."""

    letter: str
    metric: str
    x: float
    width: float
    letter_x: float
    levels: tuple[tuple[float, float, float], ...]


def places_of_shifts(
    shifts: Iterable[Shift], first: date, left: float, right: float, day_width: float
) -> list[ShiftPlace]:
    """The places of the changes that begin within a chart that begins at `left` with the day `first`."""

    def x_of(day: date) -> float:
        return min(max(left + day_width * (day - first).days, left), right)

    places: list[ShiftPlace] = []
    for shift in sorted(shifts, key=lambda one: (one.earliest_day, one.letter)):
        x, x_end = x_of(shift.earliest_day), x_of(shift.latest_day + timedelta(1))
        if x_end <= x:
            continue
        free = places[-1].letter_x + _LETTERS_APART if places else left + _TITLE
        ends = [(x_of(level.first), x_of(level.last + timedelta(1))) for level in shift.levels]
        places.append(
            ShiftPlace(
                shift.letter,
                shift.metric,
                x=round(x, 1),
                width=round(max(x_end - x, 2), 1),
                letter_x=round(min(max((x + x_end) / 2, free), right - 4), 1),
                levels=tuple(
                    (round(start, 1), round(end, 1), level.value)
                    for (start, end), level in zip(ends, shift.levels, strict=True)
                    if end > start
                ),
            )
        )
    return places
