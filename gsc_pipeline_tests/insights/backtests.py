"""Backtests of forecasts: series whose future is known, what was forecast of it, and how it came out."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gsc_pipeline
from gsc_pipeline.insights.daily_series import WEEK
from gsc_pipeline.insights.rolling_origins import DAYS_AHEAD, Forecast, forecast
from gsc_pipeline_tests.insights.series import counts, expected_level, with_slope, with_step

REAL_EXPORT = Path(gsc_pipeline.__file__).parents[2] / "shared" / "data" / "search-console-export"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A series up to the day of the forecast, and the 28 days after it; `level` is about a day's mean."""

    kind: str
    level: float
    past: np.ndarray
    future: np.ndarray


def _flat(rng: np.random.Generator, days: int, level: float) -> np.ndarray:
    return expected_level(rng, days + DAYS_AHEAD, level)


def _trend(rng: np.random.Generator, days: int, level: float) -> np.ndarray:
    return expected_level(rng, days + DAYS_AHEAD, level, yearly_growth=float(rng.uniform(-0.4, 0.8)))


def _steep(rng: np.random.Generator, days: int, level: float) -> np.ndarray:
    growth = float(rng.choice([-0.8, 4.0]))
    return expected_level(rng, days + DAYS_AHEAD, level, yearly_growth=growth)


def _step(rng: np.random.Generator, days: int, level: float) -> np.ndarray:
    day, size = int(rng.integers(0, days)), float(rng.uniform(-0.4, 0.6))
    return with_step(_flat(rng, days, level), day, size)


def _step_two_weeks_ago(rng: np.random.Generator, days: int, level: float) -> np.ndarray:
    return with_step(_flat(rng, days, level), days - 14, float(rng.choice([-0.4, 0.5])))


def _slope(rng: np.random.Generator, days: int, level: float) -> np.ndarray:
    day, size = int(rng.integers(0, days)), float(rng.uniform(-0.4, 0.6))
    return with_slope(_flat(rng, days, level), day, 60, size)


def _holidays(rng: np.random.Generator, days: int, level: float) -> np.ndarray:
    """Two weeks at half the level, which ended two weeks ago."""
    expected = _flat(rng, days, level)
    expected[days - 28 : days - 14] *= 0.5
    return expected


KINDS: dict[str, Callable[[np.random.Generator, int, float], np.ndarray]] = {
    "flat": _flat,
    "trend": _trend,
    "steep trend": _steep,
    "step": _step,
    "step two weeks ago": _step_two_weeks_ago,
    "slope of 60 days": _slope,
    "holidays a month ago": _holidays,
}


def synthetic(
    number: int,
    seed: int,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    days: tuple[int, int] = (84, 480),
    levels: tuple[float, float] = (20.0, 20_000.0),
    missing: float = 0.0,
) -> list[Case]:
    """Series of these kinds in turn; levels are spread evenly in logarithms, a share of days is missing."""
    rng = np.random.default_rng(seed)
    cases = []
    for at in range(number):
        kind = kinds[at % len(kinds)]
        level = float(np.exp(rng.uniform(*np.log(levels))))
        length = int(rng.integers(days[0], days[1] + 1))
        values = counts(rng, KINDS[kind](rng, length, level))
        values[: length - 1][rng.random(length - 1) < missing] = np.nan
        cases.append(Case(kind, level, values[:length], values[length:]))
    return cases


def real(folder: Path = REAL_EXPORT, *, every: int = 3) -> list[Case]:
    """The days of a real export, forecast from every third day on, as soon as there are eight weeks."""
    with (folder / "Dates.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["Date"])
    cases = []
    for metric in ("Clicks", "Impressions"):
        values = np.array([float(row[metric]) for row in rows])
        for end in range(8 * WEEK, len(values) - DAYS_AHEAD + 1, every):
            past, future = values[:end], values[end : end + DAYS_AHEAD]
            cases.append(Case(metric.lower(), float(past.mean()), past, future))
    return cases


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """How forecasts of some cases came out; the arrays have a value for each case, NaN for missing days.

    Errors are mean absolute scaled errors: divided by the mean difference of days a week apart in the past.
    `coverage` is the share of days within the interval, `below` that of days below it, and `bias` the
    forecast of all days divided by their sum, less 1.
    """

    cases: Sequence[Case]
    coverage: np.ndarray
    below: np.ndarray
    error: np.ndarray
    naive_error: np.ndarray
    median_error: np.ndarray
    bias: np.ndarray

    def of(self, chosen: Callable[[Case], bool]) -> Outcome:
        """The outcome of the chosen cases."""
        which = np.array([chosen(case) for case in self.cases], bool)
        cases = [case for case in self.cases if chosen(case)]
        arrays = (self.coverage, self.below, self.error, self.naive_error, self.median_error, self.bias)
        return Outcome(cases, *(array[which] for array in arrays))


def backtest(cases: Sequence[Case], *, at_once: int = 250) -> Outcome:
    """Forecast each case from its past, and compare with its future.

    Beside our forecast: the last week repeated (`naive_error`), and the median of the last four same weekdays
    (`median_error`).
    """
    parts = [_outcome(cases[at : at + at_once]) for at in range(0, len(cases), at_once)]
    return Outcome(cases, *(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def made(cases: Iterable[Case]) -> Forecast:
    """The forecasts of the cases, as columns."""
    return forecast(stacked([case.past for case in cases]))


def stacked(pasts: Sequence[np.ndarray]) -> np.ndarray:
    """Series that end on the same day as columns, filled with NaN at the beginning."""
    values = np.full((max(map(len, pasts)), len(pasts)), np.nan)
    for column, past in enumerate(pasts):
        values[len(values) - len(past) :, column] = past
    return values


def _outcome(cases: Sequence[Case]) -> Iterator[np.ndarray]:
    ours = made(cases)
    future = np.stack([case.future for case in cases], axis=1)
    known = np.isfinite(future)
    scale = np.array([np.nanmean(np.abs(case.past[WEEK:] - case.past[:-WEEK])) for case in cases])
    yield _mean((future >= ours.low) & (future <= ours.high), known)
    yield _mean(future < ours.low, known)
    for expected in (ours.expected, *_naive(cases)):
        yield _mean(np.abs(np.nan_to_num(future - expected)), known & np.isfinite(expected)) / scale
    yield np.where(known, ours.expected, 0).sum(axis=0) / np.where(known, future, 0).sum(axis=0) - 1


def _mean(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    mean: np.ndarray = np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)
    return mean


def _naive(cases: Sequence[Case]) -> Iterator[np.ndarray]:
    """The last week, and the median of the last four, each repeated."""
    yield np.stack([np.tile(case.past[-WEEK:], 4) for case in cases], axis=1)
    fours = [np.nanmedian(case.past[-4 * WEEK :].reshape(4, WEEK), axis=0) for case in cases]
    yield np.stack([np.tile(four, 4) for four in fours], axis=1)
