"""What change_points finds in synthetic series: steps, slopes, and changes where there are none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from benchmarks.insights.sections import percent, table
from gsc_pipeline.insights.change_points import change_points
from gsc_pipeline_tests.insights.change_trials import (
    DAYS,
    DEFAULT,
    FIRST_DAY,
    WITHOUT_CHANGE,
    Trial,
    background,
    found_in,
    some_level,
    trials,
    usual,
)
from gsc_pipeline_tests.insights.series import counts, with_step

LEVELS = (20, 50, 100, 300, 1_000, 20_000)
SIZES = (-0.5, -0.3, -0.2, -0.15, 0.15, 0.2, 0.3, 0.5)
CONFIDENCES = (0.8, 0.9, 0.95, 0.99, 0.999)
_FROM = 0.9


def changes(number: int = 200) -> str:
    """The section of change_points, from `number` series for each figure. Takes two minutes."""
    return "\n\n".join(
        [
            "## Changes (change_points)",
            f"Series of {DAYS} days with a weekly pattern, a trend of −30 to 50 % a year, a season of up to "
            "10 %, a drift, correlated noise and odd days as of a real site. Thresholds are the defaults: "
            f"confidence {DEFAULT.change_point_confidence:g}, {percent(DEFAULT.change_point_share)} of the "
            "level. "
            f"Each figure is from {number} series; of a share it is uncertain by up to "
            f"{percent(1 / number**0.5)}.",
            f"### Steps that are found\n\n{_found(number)}",
            f"### The first day\n\n{_first_day(number)}",
            f"### False alarms\n\n{_false_alarms(number)}",
            f"### Confidence\n\n{_confidence(number)}\n\n{_buckets(number)}",
            f"### Cost\n\n{_cost()}",
        ]
    )


def _found(number: int) -> str:
    rows = [
        [
            f"{level:,}",
            *(
                percent(np.mean([one.found is not None for one in trials(1, number, level, size)]))
                for size in SIZES
            ),
        ]
        for level in LEVELS
    ]
    return table(["clicks a day", *(f"{size:+.0%}".replace("-", "−") for size in SIZES)], rows)


def _first_day(number: int) -> str:
    cases = [
        ("step of ±30 %, 50 clicks a day", 50, (-0.3, 0.3), 1),
        ("step of ±30 %, 100 clicks a day", 100, (-0.3, 0.3), 1),
        ("step of ±30 %, 1,000 clicks a day", 1000, (-0.3, 0.3), 1),
        ("step of ±15 %, 1,000 clicks a day", 1000, (-0.15, 0.15), 1),
        ("slope of −30 or +50 % over 14 days, 100", 100, (-0.3, 0.5), 14),
        ("slope of −30 or +50 % over 14 days, 1,000", 1000, (-0.3, 0.5), 14),
        ("slope of −30 or +50 % over 28 days, 1,000", 1000, (-0.3, 0.5), 28),
    ]
    rows = []
    for name, level, sizes, days in cases:
        every = [one for size in sizes for one in trials(2, number // 2, level, size, days)]
        rows.append([name, *_of_found([one for one in every if one.found])])
    columns = [
        "change",
        "within 1 day",
        "within 3 days",
        "in its interval",
        "days of the interval",
        "is a slope",
    ]
    return table(columns, rows)


def _of_found(found: Sequence[Trial]) -> list[str]:
    widths = [one.found.latest - one.found.earliest + 1 for one in found if one.found]
    return [
        percent(np.mean([abs(one.error) <= 1 for one in found])),
        percent(np.mean([abs(one.error) <= 3 for one in found])),
        percent(np.mean([one.is_covered for one in found])),
        f"{np.mean(widths):.1f}",
        percent(np.mean([one.found.end > one.found.first for one in found if one.found])),
    ]


def _false_alarms(number: int) -> str:
    rows = []
    for name, make in WITHOUT_CHANGE.items():
        rng = np.random.default_rng(3)
        every = [make(rng) for _ in range(number)]
        years = sum(len(values) for values in every) / 365
        rows.append([name, f"{sum(len(found_in(values)) for values in every) / years:.2f}"])
    return table(["series without a change", "changes a year of a series"], rows)


def _confidence(number: int) -> str:
    rng = np.random.default_rng(4)
    every = [make(rng) for make in WITHOUT_CHANGE.values() for _ in range(number // 4)]
    rows = []
    for confidence in CONFIDENCES:
        shares = [
            np.mean([bool(found_in(values, confidence, share)) for values in every]) for share in (0.0, 0.1)
        ]
        rows.append([f"{confidence:g}", f"{1 - confidence:.1%}", *(f"{share:.1%}" for share in shares)])
    columns = ["confidence", "expected", "series with a change of any size", "of 10 % or more"]
    return f"Of {len(every)} series without a change, of all kinds above:\n\n{table(columns, rows)}"


def _buckets(number: int) -> str:
    rng = np.random.default_rng(5)
    found: list[tuple[float, bool]] = []
    for at in range(4 * number):
        if at % 2:
            found += [(one.confidence, False) for one in found_in(usual(rng), _FROM)]
            continue
        level, day = some_level(rng), int(rng.integers(28, DAYS - 28))
        size = rng.choice([-1, 1]) * 0.1 * 5 ** rng.random()
        values = counts(rng, with_step(background(rng, level), day, size))
        found += [
            (one.confidence, one.earliest - 3 <= day <= one.latest + 3) for one in found_in(values, _FROM)
        ]
    rows = []
    edges = [*(one for one in CONFIDENCES if one >= _FROM), 1.1]
    for low, high in pairwise(edges):
        of_bucket = [is_true for confidence, is_true in found if low <= confidence < high]
        name = f"{low:g} to {high:g}" if high <= 1 else f"{low:g} or more"
        rows.append([name, len(of_bucket), percent(np.mean(of_bucket))])
    words = (
        f"Of {4 * number} series, half of them with a step of 10 to 50 %, 20 to 20,000 clicks a day; "
        "true is a change whose interval, three days more on both sides, holds the day of the step:"
    )
    return f"{words}\n\n{table(['confidence', 'changes', 'true'], rows)}"


def _cost() -> str:
    frame = workspace(properties=10, groups=11)
    change_points(frame.head(DAYS), DEFAULT)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        rows = len(change_points(frame, DEFAULT))
        seconds.append(time.process_time() - started)
    series = 3 * len(frame) // DAYS
    return (
        "A workspace of 10 properties with 10 content groups each, clicks, impressions and position, "
        f"{series} series of {DAYS} days, {rows} changes: {min(seconds):.1f} s of CPU, the "
        "least of three runs."
    )


def workspace(properties: int, groups: int) -> pd.DataFrame:
    """Days of a workspace; every second content group has a step."""
    rng = np.random.default_rng(6)
    frames = []
    dates = pd.date_range(FIRST_DAY, periods=DAYS)
    for at in range(properties * groups):
        expected = background(rng, some_level(rng))
        if at % 2:
            expected = with_step(expected, int(rng.integers(40, DAYS - 40)), rng.choice([-0.3, 0.4]))
        clicks = counts(rng, expected)
        frames.append(
            pd.DataFrame(
                {
                    "site_url": f"sc-domain:{at // groups}.example",
                    "search_type": "WEB",
                    "content_group": f"group {at % groups}",
                    "data_date": dates,
                    "as_of": dates[-1],
                    "clicks": clicks,
                    "impressions": counts(rng, expected * 30),
                    "position": 8 + rng.normal(0, 0.3, DAYS),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
