"""Where the level of one series changed: a search in weeks, which have no weekday pattern."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsc_pipeline.insights.adjusted import WEEK, Adjusted
from gsc_pipeline.insights.weekly_model import SEARCHED, Phases, Shape, WeeklyModel, weekly_model

LEAST_BEFORE = 14
"""The fewest days before a change."""

LEAST_AFTER = 7
"""The fewest days after a change."""

APART = 14
"""The fewest days between two changes."""

_ENTERS = 2.5
_PULSE = 4.0
_MOST_SHAPES = 16
_SMALL_COUNT = 2.0

_LEAST_NOISE = 0.02
"""The least deviation that is expected of the logarithm of a day."""

_BY_CHANCE, _DECAY = 11 / 480, 0.405


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

    The formula is fitted to synthetic series without a change (benchmarks/INSIGHTS.md).
    """
    return 1 - min(_BY_CHANCE * days * math.exp(-_DECAY * z**2), 1.0)


def z_of(confidence: float, days: int) -> float:
    """The z with this confidence, at least the smallest that is searched for."""
    by_chance = max(1 - confidence, 1e-12)
    return max(math.sqrt(max(math.log(_BY_CHANCE * days / by_chance), 0.0) / _DECAY), _ENTERS)


def level_changes(series: Adjusted, recounted: Sequence[int], least_z: float) -> list[LevelChange]:
    """The changes with at least `least_z`, in the order of their days.

    `recounted` are indices of days from which the series counts something else: any change there is expected,
    and none is found near them.
    """
    weeks = _Weeks(series, recounted)
    shapes: list[Shape] = []
    fit = weeks.fit(shapes)
    while len(shapes) < _MOST_SHAPES:
        for one in weeks.search(fit):
            larger = weeks.fit([*shapes, one])
            if abs(larger.z[-1]) >= (_PULSE if one.lasts else least_z):
                shapes, fit = [*shapes, one], larger
                break
        else:
            break
    while shapes and np.abs(fit.z).min() < least_z:
        del shapes[int(np.argmin(np.abs(fit.z)))]
        fit = weeks.fit(shapes)
    every = map(LevelChange, shapes, fit.size.tolist(), fit.z.tolist())
    return sorted((one for one in every if not one.shape.lasts), key=lambda one: one.shape.start)


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Shapes fitted to the weeks; `drift` and `variance` are those of the noise beside them."""

    shapes: Sequence[Shape]
    drift: int
    variance: float
    size: np.ndarray
    z: np.ndarray
    rest: np.ndarray
    columns: np.ndarray
    inverse: np.ndarray


class _Weeks:
    def __init__(self, series: Adjusted, recounted: Sequence[int]) -> None:
        self._days = len(series.values)
        self._phases = Phases.of(self._days)
        sums = self._phases.sums(series.values)
        known_days = self._phases.sums(series.is_known)
        small = _SMALL_COUNT if series.is_count else 0.0
        chance = float((1 / (sums + small)).mean()) if series.is_count else 0.0
        self._floor = max(_LEAST_NOISE**2 / WEEK, chance)
        self._known_weeks = (known_days > 0).sum(axis=1)
        self._model: WeeklyModel = weekly_model(known_days)
        self._level = self._model.whitened(np.log(sums + small))
        self._expected = [Shape(day) for day in recounted]
        self._columns: dict[Shape, np.ndarray] = {}

    def fit(self, shapes: Sequence[Shape]) -> _Fit:
        """The shapes, and those that are expected, by generalised least squares."""
        every = [*self._expected, *shapes]
        tested = slice(len(self._expected), None)
        columns = np.stack([*(self._column(one) for one in every), self._level], axis=-1)
        products = columns.swapaxes(-1, -2) @ columns
        inner, with_level = products[..., :-1, :-1], products[..., :-1, -1:]
        # What other columns span, such as a change within days that nobody knows, has no size of its own.
        inner = inner + 1e-9 * np.eye(len(every))
        inverse = np.linalg.inv(inner)
        sizes = (inverse @ with_level)[..., 0]
        squares = np.maximum(products[..., -1, -1] - (sizes * with_level[..., 0]).sum(axis=-1), 1e-12)
        loss = self._model.loss + np.linalg.slogdet(inner)[1]
        free = np.maximum(self._known_weeks - 2 - len(every), 1)
        drift, variance = self._noise(squares, loss, free)
        own = np.diagonal(inverse, axis1=-2, axis2=-1)
        z = [self._z(sizes, own, squares, loss, free, at, drift, variance) for at in range(len(every))][
            tested
        ]
        rest = columns[drift, ..., -1] - (columns[drift, ..., :-1] @ sizes[drift][..., None])[..., 0]
        return _Fit(
            shapes,
            drift,
            variance,
            np.array([one[0] for one in z]),
            np.array([one[1] for one in z]),
            rest,
            columns[drift, ..., :-1],
            inverse[drift],
        )

    def search(self, fit: _Fit) -> list[Shape]:
        """The change and the pulse that stand out most beside the shapes of the fit, the larger first."""
        bank, lengths = self._model.bank(fit.drift)
        inside = fit.columns.swapaxes(-1, -2) @ bank
        left = lengths - (inside * (fit.inverse @ inside)).sum(axis=1)
        above = (fit.rest[:, None, :] @ bank)[:, 0]
        z = np.abs(above) / np.sqrt(np.maximum(left, 1e-3 * lengths) * fit.variance)
        z = z.reshape(WEEK, len(SEARCHED), -1) * self._is_allowed(fit.shapes)
        best = z.max(axis=(0, 2))
        shapes = []
        for kinds in ((0, 1, 2), (3, 4)):
            kind = max(kinds, key=lambda one: best[one])
            if best[kind] >= _ENTERS:
                phase, week = np.unravel_index(np.argmax(z[:, kind]), z[:, kind].shape)
                shapes.append((best[kind], Shape(int(self._phases.starts[phase, week]), *SEARCHED[kind])))
        return [shape for _z, shape in sorted(shapes, key=lambda one: -one[0])]

    def _column(self, shape: Shape) -> np.ndarray:
        if shape not in self._columns:
            weeks = self._phases.sums(shape.values(np.arange(self._days))) / WEEK
            self._columns[shape] = self._model.whitened(weeks)
        return self._columns[shape]

    def _noise(self, squares: np.ndarray, loss: np.ndarray, free: np.ndarray) -> tuple[int, float]:
        drift = int(np.argmin((free * np.log(squares) + loss).mean(axis=1)))
        return drift, max(float((squares[drift] / free).mean()), self._floor)

    def _z(self, sizes, own, squares, loss, free, at, drift, variance) -> tuple[float, float]:  # type: ignore[no-untyped-def]
        """The size of the column `at`, and its z."""
        size, share = sizes[..., at], own[..., at]
        phase = int(np.argmin(share[drift]))
        drift0, variance0 = self._noise(squares + size**2 / share, loss + np.log(share), free + 1)
        with_it = size[drift, phase] / np.sqrt(share[drift, phase] * variance)
        without = size[drift0, phase] / np.sqrt(share[drift0, phase] * variance0)
        z = np.sqrt(max(with_it * without, 0.0))
        return float(size[drift, phase]), float(np.copysign(z, with_it))

    def _is_allowed(self, shapes: Sequence[Shape]) -> np.ndarray:
        """Which shapes may be searched: (7, kinds, weeks)."""
        starts = self._phases.starts
        allowed = np.empty((WEEK, len(SEARCHED), starts.shape[1]), dtype=bool)
        for kind, (takes, lasts) in enumerate(SEARCHED):
            ends = starts + takes - 1
            if lasts:
                allowed[:, kind] = (starts > 0) & (starts + lasts + LEAST_AFTER <= self._days)
                continue
            is_allowed = (starts >= LEAST_BEFORE) & (ends <= self._days - LEAST_AFTER)
            for one in shapes:
                if not one.lasts:
                    is_allowed &= (starts > one.end + APART) | (ends < one.start - APART)
            for one in self._expected:
                is_allowed &= (starts > one.start + WEEK) | (ends < one.start - WEEK)
            allowed[:, kind] = is_allowed
        return allowed
