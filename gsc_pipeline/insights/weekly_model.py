"""Weeks of a series as a linear model: a level that drifts, noise, and the shapes that are searched for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from gsc_pipeline.insights.daily_series import WEEK

DRIFTS = tuple((walk, bend) for walk in (0.0, 0.02, 0.1, 0.5) for bend in (0.0, 0.001, 0.01))
"""How a level may move by itself: the variance of its steps from week to week, and of changes of its slope.

Both are shares of the variance of a week's noise. The fitting pair is chosen for each series.
"""

STEP, SLOPES = ((1, 0),), ((14, 0), (28, 0))
STAYS, PULSES = ((1, 3 * WEEK), (1, 5 * WEEK)), ((1, WEEK), (1, 2 * WEEK))
SEARCHED = (*STEP, *SLOPES, *STAYS, *PULSES)
"""The searched shapes: the days that each takes, and the days that it lasts (0 is for ever).

A stay at another level is two steps, of which neither may stand out alone. A pulse, one or two odd weeks, is
no change of the level: it is found so that it is not taken for two.
"""

_UNKNOWN = 1e4
_ENOUGH_DAYS = 5


@dataclass(frozen=True, slots=True)
class Shape:
    """A course over time that begins at the index `start`, takes `days`, and `lasts` (0 is for ever)."""

    start: int
    days: int = 1
    lasts: int = 0

    @property
    def end(self) -> int:
        """The index of the first day with the whole of the change."""
        return self.start + self.days - 1

    def values(self, at: np.ndarray) -> np.ndarray:
        """For the days with these indices: 0 before it, 1 after it."""
        result: np.ndarray = np.clip((at - self.start + 1) / self.days, 0.0, 1.0)
        return result * (at < self.start + self.lasts) if self.lasts else result


@dataclass(frozen=True, slots=True, eq=False)
class Phases:
    """Days cut into weeks in seven ways: the last week ends 0 to 6 days before the last day.

    So each day is the first of a week in one way, and a week has each weekday once. `starts` are the indices
    of the weeks' first days: (7, weeks).
    """

    starts: np.ndarray

    @classmethod
    def of(cls, days: int) -> Phases:
        """The phases of so many days; at least two weeks."""
        weeks = (days - WEEK + 1) // WEEK
        first = days - np.arange(WEEK) - weeks * WEEK
        return cls(first[:, None] + WEEK * np.arange(weeks))

    def sums(self, days: np.ndarray) -> np.ndarray:
        """The sum of each week: (7, weeks)."""
        running = np.concatenate(([0], np.cumsum(days)))
        result: np.ndarray = running[self.starts + WEEK] - running[self.starts]
        return result


@dataclass(frozen=True, slots=True, eq=False)
class WeeklyModel:
    """Whitens weeks: afterwards their noise is independent and of one size, and least squares apply.

    All arrays begin with the axes drift (that of DRIFTS) and phase; the latter has one element if all phases
    are alike. `level` is an orthonormal basis of constant and trend, which are taken out of everything.
    `loss` is what a drift costs beside the squares that it leaves (restricted maximum likelihood).
    """

    whiten: np.ndarray
    level: np.ndarray
    loss: np.ndarray
    _banks: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def whitened(self, columns: np.ndarray) -> np.ndarray:
        """Weeks of shape (7, weeks) without constant and trend: (drifts, 7, weeks)."""
        return self._without_level((self.whiten @ columns[:, :, None])[..., 0])

    def _without_level(self, white: np.ndarray) -> np.ndarray:
        inside = white[..., None, :] @ self.level
        result: np.ndarray = white - (self.level @ inside.swapaxes(-1, -2))[..., 0]
        return result

    def bank(self, drift: int) -> tuple[np.ndarray, np.ndarray]:
        """All searched shapes at the first day of each week, whitened, and their squared lengths.

        (phases, weeks, shapes × weeks) and (phases, shapes × weeks); a length of nearly nothing is infinite.
        """
        if drift not in self._banks:
            # Without BLAS, whose threads take four times the CPU that they save on matrices of this size.
            raw = np.einsum("pij,jk->pik", self.whiten[drift], _shapes(self.whiten.shape[-1]))
            level = self.level[drift]
            bank = raw - level @ (level.swapaxes(-1, -2) @ raw)
            lengths, whole = (bank**2).sum(axis=1), (raw**2).sum(axis=1)
            self._banks[drift] = bank, np.where(lengths > 1e-3 * whole, lengths, np.inf)
        return self._banks[drift]


def weekly_model(known_days: np.ndarray) -> WeeklyModel:
    """The model of weeks of which these numbers of days are known: (7, weeks), 0 to 7.

    Weeks with five known days or more are whole ones: a model takes longer to make than a search in it, and
    most series that lack single days then share one.
    """
    known = np.where(known_days >= _ENOUGH_DAYS, WEEK, known_days)
    if (known == WEEK).all():
        known = known[:1]
    return _model(known.astype(np.int8).tobytes(), known.shape[1])


# A few, of several megabytes each: the series of a property have mostly the same known days.
@lru_cache(maxsize=8)
def _model(known_days: bytes, weeks: int) -> WeeklyModel:
    known = np.frombuffer(known_days, dtype=np.int8).reshape(-1, weeks)
    noise = np.where(known > 0, WEEK / np.maximum(known, 1), _UNKNOWN)
    at = np.arange(weeks, dtype="float64")
    low, high = np.minimum(at[:, None], at), np.maximum(at[:, None], at)
    bending = low**2 * (3 * high - low) / 6
    independent = np.eye(weeks) * noise[:, :, None]
    factor = np.linalg.cholesky(
        np.stack([walk * low + bend * bending + independent for walk, bend in DRIFTS])
    )
    whiten = np.linalg.inv(factor)
    level, upper = np.linalg.qr(whiten @ np.stack([np.ones(weeks), at], axis=1))
    loss = 2 * _log_diagonal(factor) + 2 * _log_diagonal(upper)
    return WeeklyModel(whiten, level, loss)


@lru_cache(maxsize=8)
def _shapes(weeks: int) -> np.ndarray:
    days = np.arange(weeks * WEEK)
    shapes = [Shape(week * WEEK, takes, lasts) for takes, lasts in SEARCHED for week in range(weeks)]
    return np.stack([one.values(days).reshape(weeks, WEEK).mean(axis=1) for one in shapes], axis=1)


def _log_diagonal(triangles: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.log(np.abs(np.diagonal(triangles, axis1=-2, axis2=-1))).sum(axis=-1)
    return result
