"""Where the level of one series changed: a search in weeks, which have no weekday pattern."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsc_pipeline.insights.adjusted import Adjusted
from gsc_pipeline.insights.daily_series import WEEK
from gsc_pipeline.insights.weekly_model import (
    PULSES,
    SEARCHED,
    SLOPES,
    STAYS,
    STEP,
    Phases,
    Shape,
    WeeklyModel,
    weekly_model,
)

LEAST_BEFORE = 14
"""The fewest days before a change."""

LEAST_AFTER = 7
"""The fewest days after a change."""

APART = 14
"""The fewest days between two changes."""

_LEAST_Z = 2.5
_LEAST_Z_OF_PULSE = 4.0
_LEAST_LEFT = 1e-3
_NOISE_WITHOUT = math.sqrt(2)
_CHANGES = len(STEP) + len(SLOPES)
_PULSES = _CHANGES + len(STAYS)
_PREFERENCE = np.array([1.1 if shape in STEP else 1.0 for shape in SEARCHED])
"""What looks like both a step and a slope is a step."""

_CHANGE_BEFORE_PULSE = 1.15
_MOST_SHAPES = 16
_SMALL_COUNT = 2.0

_LEAST_NOISE = 0.02
"""The least deviation that is expected of the logarithm of a day."""

_BY_CHANCE, _DECAY = 2.65, 2.3
"""Chance makes exp(_BY_CHANCE - _DECAY * z) changes, times the root of the days, fitted to synthetic series.

The root, because a short series has fewer days and is less certain of its noise.
"""


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A change of the logarithm of the level by `size`.

    `z` is its size in standard deviations of what the series does without a change: the geometric mean of
    those estimated with the change and without it. The former alone takes noise for changes too often, the
    latter takes a change for noise.
    """

    shape: Shape
    size: float
    z: float


def confidence_of(z: float, days: int) -> float:
    """1 minus the probability that a series of so many days without a change has one of this size, 0 to 1.

    benchmarks/INSIGHTS.md compares it with synthetic series without a change.
    """
    return 1 - min(math.sqrt(days) * math.exp(_BY_CHANCE - _DECAY * abs(z)), 1.0)


def z_of(confidence: float, days: int) -> float:
    """The z with this confidence, at least the smallest that is searched for."""
    by_chance = max(1 - confidence, 1e-12)
    return max((_BY_CHANCE + math.log(days) / 2 - math.log(by_chance)) / _DECAY, _LEAST_Z)


def level_changes(series: Adjusted, recounted: Sequence[int], least_z: float) -> list[LevelChange]:
    """The changes with at least `least_z`, in the order of their days.

    `recounted` are indices of days from which the series counts something else: any change there is expected,
    and none is found near them.
    """
    weeks = _Weeks(series, recounted)
    fit = weeks.fit([])
    while len(fit.shapes) < _MOST_SHAPES:
        larger = [(weeks.fit([*fit.shapes, *added]), len(added)) for added in weeks.search(fit, least_z)]
        enough = [one for one in larger if _smallest(*one) >= _least(one[0].shapes[-1].lasts, least_z)]
        if not enough:
            break
        fit = max(enough, key=lambda one: _preference(*one))[0]
    while fit.shapes and np.abs(fit.z).min() < least_z:
        weakest = int(np.argmin(np.abs(fit.z)))
        fit = weeks.fit([one for at, one in enumerate(fit.shapes) if at != weakest])
    every = map(LevelChange, fit.shapes, fit.size.tolist(), fit.z.tolist())
    return sorted((one for one in every if not one.shape.lasts), key=lambda one: one.shape.start)


def _least(lasts: int, least_z: float) -> float:
    return _LEAST_Z_OF_PULSE if lasts else least_z


def _smallest(fit: _Fit, added: int) -> float:
    """The smallest of the shapes that were added last."""
    return float(np.abs(fit.z[-added:]).min())


def _preference(fit: _Fit, added: int) -> float:
    """How large they are; what looks like both a change and a pulse is a change."""
    return _smallest(fit, added) * (1.0 if fit.shapes[-1].lasts else _CHANGE_BEFORE_PULSE)


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Shapes fitted to the weeks; `drift` and `variance` are those of the noise beside them.

    `size` and `z` have one element for each shape. `columns` are all fitted shapes, whitened: (7, weeks, n),
    `inverse` the inverse of their products: (7, n, n), and `rest` what they leave: (7, weeks).
    """

    shapes: Sequence[Shape]
    drift: int
    variance: float
    size: np.ndarray
    z: np.ndarray
    columns: np.ndarray
    inverse: np.ndarray
    rest: np.ndarray


class _Weeks:
    """The weeks of a series in all phases, and shapes that are fitted to them and searched in them."""

    def __init__(self, series: Adjusted, recounted: Sequence[int]) -> None:
        self._days = len(series.values)
        self._phases = Phases.of(self._days)
        sums = self._phases.sums(series.values)
        known_days = self._phases.sums(series.is_known)
        small = _SMALL_COUNT if series.is_count else 0.0
        chance = float((1 / (sums + small)).mean()) if series.is_count else 0.0
        self._least_variance = max(_LEAST_NOISE**2 / WEEK, chance)
        self._known_weeks = (known_days > 0).sum(axis=1)
        self._model: WeeklyModel = weekly_model(known_days)
        self._level = self._model.whitened(np.log(sums + small))
        self._expected = [Shape(day) for day in recounted]
        known = np.flatnonzero(series.is_known)
        self._expected_between = [
            (int(known[known < day].max(initial=-1)), int(known[known >= day].min(initial=self._days)))
            for day in recounted
        ]
        self._columns: dict[Shape, np.ndarray] = {}

    def fit(self, shapes: Sequence[Shape]) -> _Fit:
        """The shapes, and those that are expected, by generalised least squares, for each drift."""
        every = [*self._expected, *shapes]
        both = np.stack([*map(self._column, every), self._level], axis=-1)
        products = both.swapaxes(-1, -2) @ both
        # A little more on the diagonal: a change within unknown days cannot be distinguished from the level.
        inner = products[..., :-1, :-1] + 1e-9 * np.eye(len(every))
        inverse = np.linalg.inv(inner)
        sizes = (inverse @ products[..., :-1, -1:])[..., 0]
        squares = products[..., -1, -1] - (sizes * products[..., :-1, -1]).sum(axis=-1)
        loss = self._model.loss + np.linalg.slogdet(inner)[1]
        spans = np.diagonal(inverse, axis1=-2, axis2=-1)
        free = np.maximum(self._known_weeks - 2 - len(every), 1)
        (drift,), (variance,) = self._noise(squares[..., None], loss[..., None], free)
        # The same without each of the shapes.
        drifts, variances = self._noise(
            squares[..., None] + sizes**2 / spans, loss[..., None] + np.log(spans), free + 1
        )
        phase, column = spans[drift].argmin(axis=0), np.arange(len(every))
        size = sizes[drift, phase, column]
        with_it = size / np.sqrt(spans[drift, phase, column] * variance)
        without = sizes[drifts, phase, column] / np.sqrt(spans[drifts, phase, column] * variances)
        z = np.copysign(np.sqrt(np.maximum(with_it * without, 0.0)), size)
        rest = both[drift, ..., -1] - (both[drift, ..., :-1] @ sizes[drift][..., None])[..., 0]
        tested = slice(len(self._expected), None)
        return _Fit(
            shapes,
            int(drift),
            float(variance),
            size[tested],
            z[tested],
            both[drift, ..., :-1],
            inverse[drift],
            rest,
        )

    def _noise(
        self, squares: np.ndarray, loss: np.ndarray, free: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The most likely drift, and the variance beside it, for each of n sets of shapes.

        `squares` (drifts, 7, n) are what the sets leave, `loss` what each drift costs; `free` (7,) counts the
        weeks that no shape takes.
        """
        squares = np.maximum(squares, 1e-12)
        drift = (free[:, None] * np.log(squares) + loss).mean(axis=1).argmin(axis=0)
        left = squares[drift, :, np.arange(squares.shape[-1])]
        return drift, np.maximum((left / free).mean(axis=1), self._least_variance)

    def search(self, fit: _Fit, least_z: float) -> list[list[Shape]]:
        """The change, the stay and the pulse that stand out most beside the shapes of the fit, if any do.

        Those that are far from `least_z` in the noise without them are left out: the noise with them is
        seldom less than half as large.
        """
        bank, lengths = self._model.bank(fit.drift)
        inside = fit.columns.swapaxes(-1, -2) @ bank
        left = lengths - (inside * (fit.inverse @ inside)).sum(axis=1)
        above = (fit.rest[:, None, :] @ bank)[:, 0]
        z = np.abs(above) / np.sqrt(np.maximum(left, _LEAST_LEFT * lengths) * fit.variance)
        z = z.reshape(WEEK, len(SEARCHED), -1) * self._is_allowed(fit.shapes)
        largest = z.max(axis=(0, 2))
        kinds = np.split(largest * _PREFERENCE, [_CHANGES, _PULSES])
        first = (0, _CHANGES, _PULSES)
        best = [start + int(np.argmax(of_kind)) for start, of_kind in zip(first, kinds, strict=True)]
        return [
            self._largest(z, kind)
            for kind in best
            if largest[kind] >= _least(0 if kind < _PULSES else WEEK, least_z) / _NOISE_WITHOUT
        ]

    def _largest(self, z: np.ndarray, kind: int) -> list[Shape]:
        phase, week = np.unravel_index(np.argmax(z[:, kind]), z[:, kind].shape)
        start = int(self._phases.starts[phase, week])
        takes, lasts = SEARCHED[kind]
        is_stay = _CHANGES <= kind < _PULSES
        return [Shape(start), Shape(start + lasts)] if is_stay else [Shape(start, takes, lasts)]

    def _column(self, shape: Shape) -> np.ndarray:
        if shape not in self._columns:
            weeks = self._phases.sums(shape.values(np.arange(self._days))) / WEEK
            self._columns[shape] = self._model.whitened(weeks)
        return self._columns[shape]

    def _is_allowed(self, shapes: Sequence[Shape]) -> np.ndarray:
        """Which shapes may be searched: (7, kinds, weeks)."""
        starts = self._phases.starts
        allowed = np.empty((WEEK, len(SEARCHED), starts.shape[1]), dtype=bool)
        for kind, (takes, lasts) in enumerate(SEARCHED):
            ends = starts + (lasts or takes - 1)
            if (takes, lasts) in PULSES:
                allowed[:, kind] = (starts > 0) & (ends + LEAST_AFTER <= self._days)
                continue
            is_allowed = (starts >= LEAST_BEFORE) & (ends <= self._days - LEAST_AFTER)
            for one in shapes:
                if not one.lasts:
                    is_allowed &= (starts > one.end + APART) | (ends < one.start - APART)
            for last_before, first_after in self._expected_between:
                is_allowed &= (starts > first_after + WEEK) | (ends <= last_before - WEEK)
            allowed[:, kind] = is_allowed
        return allowed
