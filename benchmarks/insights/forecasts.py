"""How the insight `forecasts` comes out, beside two naive forecasts, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta

import numpy as np
import pandas as pd

from benchmarks.insights.sections import percent, table
from gsc_pipeline.insights.christmas import is_christmas
from gsc_pipeline.insights.forecasts import forecasts as forecasts_of
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.insights.backtests import (
    KINDS,
    REAL_EXPORT,
    Case,
    Outcome,
    backtest,
    made,
    real,
    synthetic,
)
from gsc_pipeline_tests.insights.series import counts, expected_level, with_step

COLUMNS = (
    "forecasts",
    "within 80 % interval",
    "below",
    "above",
    "error",
    "last week repeated",
    "median of four weeks",
    "bias of 28 days",
)
_MADE_ON = date(2026, 12, 10)


def forecasts() -> str:
    """The section of INSIGHTS.md."""
    outcome = backtest(synthetic(1000, seed=101, missing=0.02))
    parts = [
        "## Forecasts",
        "`error` is the mean absolute scaled error: that of 28 days, divided by the mean difference of days "
        "a week apart in the series' past. The same error of two naive forecasts stands beside it: the last "
        "week repeated four times, and the median of the last four same weekdays. Smaller is better. `bias` "
        "is the median, over the forecasts, of the sum of 28 days against what came.",
        "1,000 synthetic series of 12 to 69 weeks, 20 to 20,000 clicks a day, with 2 % of days missing:",
        _by("kind of series", outcome, {kind: _is_of(kind) for kind in KINDS} | {"all": lambda case: True}),
        _by("clicks a day", outcome, {_words(*one): _between(*one) for one in _LEVELS}),
        "200 series each, flat or with a trend, by length; and of fewer clicks than above:",
        table(("series", *COLUMNS), [(name, *_row(backtest(cases))) for name, cases in _others()]),
        "A new level that began so many days before the forecast (200 series each, −40 % or +50 %). One week "
        "is taken for an exception, two weeks for a new level; `named` is the share of forecasts that say "
        "that the last week is far off:",
        table(("new level since", *COLUMNS, "named"), [(f"{days} days", *_stepped(days)) for days in _STEPS]),
        "A real half year (`Dates.csv` of a Search Console export), forecast on every third day from the "
        "eighth week on; the forecasts overlap:",
        _of_real(),
        "Forecasts made on 10 December for the days from 20 December to 6 January (100 series each, which "
        "fall to 40 % to 90 % of the usual at Christmas, or not at all). The mean error is a share of the "
        "usual day:",
        table(("series", "within 80 % interval", "mean error", "without the year before"), _christmas()),
        "### What forecasts cost",
        _cost(),
    ]
    return "\n\n".join(part.strip() for part in parts)


_LEVELS = ((20, 60), (60, 300), (300, 2000), (2000, 20_000))
_STEPS = (3, 7, 10, 14, 21, 60)


def _by(name: str, outcome: Outcome, parts: dict[str, Callable[[Case], bool]]) -> str:
    return table((name, *COLUMNS), [(part, *_row(outcome.of(chosen))) for part, chosen in parts.items()])


def _is_of(kind: str) -> Callable[[Case], bool]:
    return lambda case: case.kind == kind


def _between(least: float, most: float) -> Callable[[Case], bool]:
    return lambda case: least <= case.level < most


def _words(least: float, most: float) -> str:
    return f"{least:,} to {most:,}"


def _row(outcome: Outcome) -> tuple[str, ...]:
    coverage, below = outcome.coverage.mean(), outcome.below.mean()
    errors = (outcome.error, outcome.naive_error, outcome.median_error)
    return (
        f"{len(outcome.cases):,}",
        percent(coverage),
        percent(below),
        percent(1 - coverage - below),
        *(f"{error.mean():.2f}" for error in errors),
        f"{100 * np.median(outcome.bias):+.1f} %".replace("-", "−"),
    )


def _others() -> Iterator[tuple[str, list[Case]]]:
    for weeks in (8, 10, 13, 26, 52):
        length = (7 * weeks, 7 * weeks)
        yield f"{weeks} weeks", synthetic(200, 102, kinds=("flat", "trend"), days=length)
    for levels in ((1.5, 5.0), (5.0, 20.0)):
        yield (
            f"{levels[0]:g} to {levels[1]:g} clicks a day",
            synthetic(200, 103, kinds=("flat",), levels=levels),
        )


def _stepped(days: int) -> tuple[str, ...]:
    rng = np.random.default_rng(104)
    cases = []
    for _ in range(200):
        level, length = float(np.exp(rng.uniform(*np.log([20, 20_000])))), int(rng.integers(84, 481))
        expected = expected_level(rng, length + 28, level)
        values = counts(rng, with_step(expected, length - days, float(rng.choice([-0.4, 0.5]))))
        cases.append(Case("step", level, values[:length], values[length:]))
    named = percent(float(np.isfinite(made(cases).last_week).mean()))
    return (*_row(backtest(cases)), named)


def _of_real() -> str:
    if not REAL_EXPORT.is_dir():
        return "(The export is not on this machine.)"
    outcome = backtest(real())
    return _by("metric", outcome, {name: _is_of(name) for name in ("clicks", "impressions")})


def _christmas() -> Iterator[tuple[str, ...]]:
    """Rows of the table: with all 480 days, and with those of 230, which have no Christmas."""
    for name, falls in (("fall at Christmas", True), ("do not", False)):
        rng = np.random.default_rng(105)
        first = _MADE_ON - timedelta(days=479)
        days = [first + timedelta(days=index) for index in range(480 + 28)]
        quiet = np.array([is_christmas(day) for day in days])
        values = []
        for _ in range(100):
            level = float(np.exp(rng.uniform(*np.log([20, 20_000]))))
            share = np.where(quiet, float(rng.uniform(0.4, 0.9)) if falls else 1.0, 1.0)
            # No Christmas is quite as the one before.
            years = np.where(np.arange(len(days)) < 200, 1.0, float(rng.normal(1, 0.1)) if falls else 1.0)
            expected = expected_level(rng, len(days), level)
            values.append(counts(rng, expected * np.where(quiet, share * years, 1.0)))
        stacked = np.stack(values)
        known, unknown = (_of_december(stacked[:, start:], days[start:]) for start in (0, 250))
        yield name, percent(known[0]), percent(known[1]), percent(unknown[1])


def _of_december(values: np.ndarray, days: list[date]) -> tuple[float, float]:
    """The share of days of Christmas within the interval, and the mean error over the usual."""
    rows = forecasts_of(_frame(values[:, :-28], days[0]), Thresholds())
    ahead = rows[(rows["metric"] == "clicks") & (rows["made_on"] == rows["as_of"])]
    numbers = {name: ahead[name].to_numpy().reshape(-1, 28) for name in ("expected", "low", "high")}
    of_christmas = np.array([is_christmas(day) for day in days[-28:]])
    actual = values[:, -28:]
    within = (actual >= numbers["low"]) & (actual <= numbers["high"])
    usual = values[:, -56:-28].mean(axis=1, keepdims=True)
    error = np.abs(numbers["expected"] - actual) / usual
    return float(within[:, of_christmas].mean()), float(error[:, of_christmas].mean())


def _frame(values: np.ndarray, first: date) -> pd.DataFrame:
    """Series of clicks, as many as rows, as the groups of one property, with twenty impressions a click."""
    groups, days = values.shape
    dates = pd.date_range(pd.Timestamp(first), periods=days)
    clicks = values.ravel()
    return pd.DataFrame(
        {
            "site_url": "sc-domain:acme.com",
            "search_type": "WEB",
            "content_group": np.repeat([f"group {at:03}" for at in range(groups)], days),
            "data_date": np.tile(dates, groups),
            "as_of": dates[-1],
            "clicks": clicks,
            "impressions": clicks * 20,
            "position": 5.0,
        }
    )


def _cost() -> str:
    """CPU of a large workspace: ten properties with ten groups each and themselves."""
    rng = np.random.default_rng(106)
    values = np.stack(
        [counts(rng, expected_level(rng, 480, float(level))) for level in np.geomspace(20, 2e4, 110)]
    )
    frame = _frame(values, date(2025, 6, 1))
    seconds = []
    for _ in range(5):
        started = time.process_time()
        forecasts_of(frame, Thresholds())
        seconds.append(time.process_time() - started)
    return (
        "A workspace of ten properties with ten content groups each: 220 series of 480 days, each forecast "
        "twice (today and four weeks ago), with 48 weekly origins, 24 sets of parameters at each: "
        f"{min(seconds):.2f} s of CPU, the least of five runs, on a machine with other work."
    )
