"""Synthetic series with and without a change, and what is found in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from gsc_pipeline.insights.changes_of_series import SeriesChange, changes_of
from gsc_pipeline.insights.daily_series import DailySeries
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.insights.series import Noise, counts, expected_level, with_slope, with_step

DAYS = 480
FIRST_DAY = date(2025, 3, 3)
DEFAULT = Thresholds()

Rng = np.random.Generator


def series(values: np.ndarray, metric: str = "clicks", first_day: date = FIRST_DAY) -> DailySeries:
    """A series of these values."""
    return DailySeries("sc-domain:acme.com", "WEB", "all", metric, first_day, values.astype("float64"))


def found_in(
    values: np.ndarray,
    confidence: float = DEFAULT.change_point_confidence,
    share: float = DEFAULT.change_point_share,
) -> list[SeriesChange]:
    """The changes of clicks."""
    return changes_of(series(values), confidence, share)


def some_level(rng: Rng) -> float:
    """From 20 to 20,000 clicks a day, each order of magnitude equally often."""
    level: float = 20 * 1000 ** rng.random()
    return level


# series without a change


def usual(rng: Rng) -> np.ndarray:
    return counts(rng, background(rng, some_level(rng)))


def background(rng: Rng, level: float, days: int = DAYS) -> np.ndarray:
    """A level that moves slowly: a trend of -30 to 50 % a year, a drift, a season of up to 10 %."""
    season = rng.uniform(0, 0.1) * np.sin(2 * np.pi * (np.arange(days) / 365 + rng.random()))
    return expected_level(rng, days, level, yearly_growth=rng.uniform(-0.3, 0.5)) * np.exp(season)


def trend(rng: Rng) -> np.ndarray:
    return counts(rng, expected_level(rng, DAYS, some_level(rng), yearly_growth=rng.choice([-0.5, 1.0])))


def strong_drift(rng: Rng) -> np.ndarray:
    noise = Noise(drift=0.009)
    return counts(rng, expected_level(rng, DAYS, some_level(rng), noise=noise), noise=noise)


def season(rng: Rng) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * (np.arange(DAYS) / 365 + rng.random()))
    return counts(rng, expected_level(rng, DAYS, some_level(rng)) * np.exp(wave))


def odd_days(rng: Rng) -> np.ndarray:
    return counts(rng, background(rng, some_level(rng)), noise=Noise(odd_days=0.06, odd_size=0.6))


def correlated(rng: Rng) -> np.ndarray:
    return counts(rng, background(rng, some_level(rng)), noise=Noise(daily=0.1, correlation=0.7))


def christmas(rng: Rng) -> np.ndarray:
    expected = background(rng, some_level(rng))
    first = (date(2025, 12, 22) - FIRST_DAY).days
    expected[first : first + int(rng.integers(12, 17))] *= rng.uniform(0.3, 0.7)
    return counts(rng, expected)


def odd_week(rng: Rng) -> np.ndarray:
    expected = background(rng, some_level(rng))
    first = int(rng.integers(20, DAYS - 30))
    expected[first : first + int(rng.integers(4, 9))] *= rng.choice([0.5, 0.7, 1.5])
    return counts(rng, expected)


def weekdays_change(rng: Rng) -> np.ndarray:
    """From a day on, Saturday has more and Sunday less than before, and the total of a week stays."""
    expected = background(rng, some_level(rng))
    at = np.arange(DAYS)
    change = np.array([1, 1, 1.1, 0.9, 1, 1.5, 0.5])[at % 7]
    return counts(rng, expected * np.where(at >= rng.integers(100, DAYS - 100), change, 1.0))


def gaps(rng: Rng) -> np.ndarray:
    values = usual(rng)
    for _ in range(4):
        first = int(rng.integers(0, DAYS - 12))
        values[first : first + int(rng.integers(1, 12))] = np.nan
    return values


def sparse(rng: Rng) -> np.ndarray:
    return counts(rng, background(rng, rng.uniform(1, 4)))


def short(rng: Rng) -> np.ndarray:
    return usual(rng)[: int(rng.integers(56, 150))]


WITHOUT_CHANGE: dict[str, Callable[[Rng], np.ndarray]] = {
    "as of a real site": usual,
    "trend of −50 or +100 % a year": trend,
    "three times the drift": strong_drift,
    "season of ±30 %": season,
    "6 % odd days, of up to −45 %": odd_days,
    "noise correlated by 0.7": correlated,
    "two weeks of Christmas": christmas,
    "an odd week": odd_week,
    "weekdays change their shares": weekdays_change,
    "gaps of up to 11 days": gaps,
    "1 to 4 clicks a day": sparse,
    "8 to 21 weeks long": short,
}


# series with one


@dataclass(frozen=True, slots=True)
class Planted:
    """A change of a level by `size` (0.3 is 30 % more) from the index `day` on, over `days`."""

    level: float
    size: float
    day: int
    days: int = 1


@dataclass(frozen=True, slots=True)
class Trial:
    """A change that was planted, what was found for it, and how many changes were found elsewhere."""

    planted: Planted
    found: SeriesChange | None
    false: int

    @property
    def error(self) -> int:
        """Days by which the first day is late."""
        assert self.found is not None
        return self.found.first - self.planted.day

    @property
    def is_covered(self) -> bool:
        """Whether the interval holds the first day."""
        assert self.found is not None
        return self.found.earliest <= self.planted.day <= self.found.latest


def trials(seed: int, number: int, level: float | None, size: float, days: int = 1) -> Iterator[Trial]:
    """Series of a real site with one change on any day that has four weeks before and after."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        at = some_level(rng) if level is None else level
        planted = Planted(at, size, int(rng.integers(28, DAYS - 27 - days)), days)
        expected = background(rng, at)
        if days == 1:
            expected = with_step(expected, planted.day, size)
        else:
            expected = with_slope(expected, planted.day - 1, days, size)
        yield trial(planted, found_in(counts(rng, expected)))


def trial(planted: Planted, found: Sequence[SeriesChange]) -> Trial:
    """Of the changes in the same direction that begin at most a fortnight before or after it, the nearest."""
    near = [
        one
        for one in found
        if planted.day - 14 <= one.first <= planted.day + planted.days + 13
        and (one.after > one.before) == (planted.size > 0)
    ]
    nearest = min(near, key=lambda one: abs(one.first - planted.day), default=None)
    return Trial(planted, nearest, len(found) - (nearest is not None))
