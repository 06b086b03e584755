"""How often seo_tests finds effects that are there, and effects that are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np

from benchmarks.insights.sections import table
from gsc_pipeline.insights.seo_tests import BothSets, Result, compare
from gsc_pipeline_tests.insights.pairs import START, pair
from gsc_pipeline_tests.insights.series import REAL, Noise

HISTORIES = (140, 168, 252, 364, 458)
LEVELS = (20, 50, 200, 1000)
LASTING = (14, 28, 56)
EFFECTS = (0.05, 0.1, 0.15, 0.3)
HISTORY = 458
"""The 16 months that Search Console has, without a test of 28 days."""

ALARM_RUNS, POWER_RUNS = 2000, 500
RESTLESS = replace(REAL, daily=0.12, drift=0.01)
"""Series that drift three times as much as those of a usual site."""


def results(
    history: int,
    after: int,
    clicks: float,
    *,
    effect: float = 0.0,
    noise: Noise = REAL,
    runs: int = ALARM_RUNS,
) -> Iterator[Result]:
    """The results of so many tests with the effect, each on a pair of series of its own."""
    for run in range(runs):
        rng = np.random.default_rng([run, history, after, int(clicks), round(1000 * effect)])
        variant, control = pair(rng, history, after, clicks, effect=effect, noise=noise)
        sets = BothSets(START - timedelta(days=history), variant, control)
        result = compare(sets, START, sets.last_day)
        assert result is not None
        yield result


def false_alarms(found: Iterator[Result]) -> tuple[float, float, float]:
    """The shares of tests without an effect that find one, whose control has moved, and that are unusable."""
    known = list(found)
    return (
        sum(one.is_effect for one in known) / len(known),
        sum(one.has_control_moved for one in known) / len(known),
        sum(one.is_too_wide for one in known) / len(known),
    )


def power(found: Iterator[Result]) -> float:
    """The share of tests that find the effect, in its direction."""
    return float(np.mean([one.is_effect and one.ratio.size > 0 for one in found]))


def section(alarm_runs: int = ALARM_RUNS, power_runs: int = POWER_RUNS) -> str:
    """The section about seo_tests."""
    return f"""\
## seo_tests

Pairs of series that share a market (season, walk, holidays) and have noise of their own. Clicks a day are those of each set.

**Effects that are not there.** The share of tests without an effect whose 95 % interval leaves out zero, by the days of history before the start, after 28 days ({alarm_runs:,} tests for each figure):

{_alarms_by_history(alarm_runs)}
The same by the days of the test, with {HISTORY} days of history. `control moved` and `unusable` are the shares of tests with 200 clicks a day that get these verdicts though nothing was changed:

{_alarms_by_days(alarm_runs)}
**Effects that are there.** The share of tests that find the effect, with {HISTORY} days of history ({power_runs:,} tests for each figure):

{_power_by_effect(power_runs)}
The same for an effect of 15 % after 28 days, by the days of history:

{_power_by_history(power_runs)}"""  # noqa: E501


def _alarms_by_history(runs: int) -> str:
    rows = [
        [str(history), *(_percent(_alarms(history, 28, level, runs)) for level in LEVELS)]
        for history in HISTORIES
    ]
    restless = [false_alarms(results(HISTORY, 28, level, noise=RESTLESS, runs=runs))[0] for level in LEVELS]
    rows.append([f"{HISTORY}, series that drift three times as much", *map(_percent, restless)])
    return table(["days of history", *(f"{level:,} clicks a day" for level in LEVELS)], rows)


def _alarms_by_days(runs: int) -> str:
    rows = []
    for after in LASTING:
        shares = [_percent(_alarms(HISTORY, after, level, runs)) for level in LEVELS]
        _, moved, unusable = false_alarms(results(HISTORY, after, 200, runs=runs))
        rows.append([str(after), *shares, _percent(moved), _percent(unusable)])
    names = (f"{level:,} clicks a day" for level in LEVELS)
    return table(["days of the test", *names, "control moved", "unusable"], rows)


def _alarms(history: int, after: int, level: float, runs: int) -> float:
    return false_alarms(results(history, after, level, runs=runs))[0]


def _power_by_effect(runs: int) -> str:
    rows = [
        [
            f"{effect:.0%}".replace("%", " %"),
            str(after),
            *(_percent(power(results(HISTORY, after, level, effect=effect, runs=runs))) for level in LEVELS),
        ]
        for effect in EFFECTS
        for after in LASTING
    ]
    return table(["effect", "days", *(f"{level:,} clicks a day" for level in LEVELS)], rows)


def _power_by_history(runs: int) -> str:
    rows = [
        [
            str(history),
            *(_percent(power(results(history, 28, level, effect=0.15, runs=runs))) for level in LEVELS),
        ]
        for history in HISTORIES
    ]
    return table(["days of history", *(f"{level:,} clicks a day" for level in LEVELS)], rows)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
