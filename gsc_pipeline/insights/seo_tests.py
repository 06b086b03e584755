"""The table seo_tests: what a change of some pages did, compared with pages that were not changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from gsc_pipeline.insights.measures import require
from gsc_pipeline.insights.placebos import (
    AFTER,
    BEFORE,
    LEAST_PLACEBOS,
    RatioChange,
    Windows,
    best_after,
    change_at,
    least_history,
)
from gsc_pipeline.insights.tables import no_rows, ranked
from gsc_pipeline.lake.annotations.record import Annotation, Kind
from gsc_pipeline.lake.schemas import SEO_TESTS
from gsc_pipeline.workspaces.seo_tests import SeoTest

TEST_DAYS_INPUT = (
    "test",
    "data_date",
    "variant_clicks",
    "variant_impressions",
    "control_clicks",
    "control_impressions",
    "shared_impressions",
)
"""Both sets of pages on each final day of the test's property and search type, each day once.

Pages of both sets count for the variant only; `shared_impressions` are theirs.
"""

METRICS = ("clicks", "impressions")

LEAST_DAYS = AFTER[0]
"""Final days since the start that a result needs."""

SURE, VERY_SURE = 0.95, 0.99
"""The probabilities of the interval of the effect, and of the one beyond which the control has moved."""

WIDEST = 0.5
"""A test without an effect whose interval holds a larger one than this is unusable."""

_LEAST_WEEKS = 8
"""The fewest weeks for a correlation."""

_FAR = date(2200, 1, 1)
"""Beyond any day of the lake, and within what pandas can index."""


@dataclass(frozen=True, slots=True, eq=False)
class BothSets:
    """A metric of both sets by day from `first_day` to the last final day; NaN in both for a missing day.

    `notes` are sentences about what was left out.
    """

    first_day: date
    variant: np.ndarray
    control: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def last_day(self) -> date:
        """The last final day of the property."""
        return self.first_day + timedelta(days=len(self.variant) - 1)

    def index(self, day: date) -> int:
        """The index of the day; negative or beyond the end for a day outside."""
        return (day - self.first_day).days

    def history(self, start: date) -> int:
        """The known days before the start."""
        return self.days_between(self.first_day, start - timedelta(days=1))

    def days_between(self, first: date, last: date) -> int:
        """The known days from `first` to `last`, both included."""
        known = ~np.isnan(self.variant[max(self.index(first), 0) : max(self.index(last) + 1, 0)])
        return int(known.sum())


@dataclass(frozen=True, slots=True)
class Result:
    """The comparison of both sets at the start of a test; levels are means of a day, each weekday alike."""

    after: int
    variant_before: float
    variant_after: float
    control_before: float
    control_after: float
    ratio: RatioChange
    control: RatioChange

    @property
    def expected(self) -> float:
        """The level of the variant if it had moved like the control."""
        return self.variant_before * self.control_after / self.control_before

    @property
    def interval(self) -> tuple[float, float]:
        """The relative effects within which the true one is with 95 % probability."""
        margin = self.ratio.margin(SURE)
        return math.expm1(self.ratio.size - margin), math.expm1(self.ratio.size + margin)

    @property
    def largest(self) -> float:
        """The largest effect within the interval, in either direction."""
        return max(map(abs, self.interval))

    @property
    def is_effect(self) -> bool:
        """Whether the ratio changed by more than chance."""
        return abs(self.ratio.size) > self.ratio.margin(SURE)

    @property
    def is_too_wide(self) -> bool:
        """Whether there is no effect, and yet a large one is possible."""
        return not self.is_effect and self.largest > WIDEST

    @property
    def has_control_moved(self) -> bool:
        """Whether the unchanged pages themselves changed by more than they did before."""
        return abs(self.control.size) > self.control.margin(VERY_SURE)


def seo_tests(
    tests: Sequence[SeoTest], days: pd.DataFrame, newest: date | None, annotations: Sequence[Annotation] = ()
) -> pd.DataFrame:
    """Rows of seo_tests, two for each test; none without a final day (`newest`) in the workspace.

    The effect is the change of log(variant / control) from the 56 days before the start to the days since,
    at most 56 of them. Its interval comes from the same change at every earlier start in `days`.
    Days of a data fault are missing.
    """
    found = require(days, TEST_DAYS_INPUT)
    if newest is None or not tests:
        return no_rows(SEO_TESTS)
    rows = [
        _row(test, metric, both_sets(test, metric, found, annotations), newest)
        for test in tests
        for metric in METRICS
    ]
    return ranked(SEO_TESTS, pd.DataFrame(rows))


def both_sets(
    test: SeoTest, metric: str, days: pd.DataFrame, annotations: Sequence[Annotation] = ()
) -> BothSets | None:
    """The series of a test, from the first day on which both sets have a count; None without a final day."""
    of_test = days[days["test"] == test.name]
    if of_test.empty:
        return None
    whole = of_test.set_index("data_date").sort_index().asfreq("D")
    names = [f"variant_{metric}", f"control_{metric}"]
    values = whole[names].astype("float64")
    is_known = values.notna()
    for one in annotations:
        if one.kind is Kind.DATA_FAULT and one.concerns(test.site_url, test.search_type, metric):
            values.loc[pd.Timestamp(one.first_day) : pd.Timestamp(min(one.end, _FAR))] = np.nan
    notes = {
        "Days of a known data fault are left out.": bool((values.isna() & is_known).any(axis=None)),
        "Pages that are in both sets count as changed.": whole["shared_impressions"].sum() > 0,
    }
    has_both = (values > 0).all(axis=1).to_numpy()
    start = (pd.Timestamp(test.start) - values.index[0]).days
    first = min(int(has_both.argmax()), max(start, 0)) if has_both.any() else 0
    values = values.iloc[min(first, len(values) - 1) :]
    variant, control = (values[name].to_numpy() for name in names)
    return BothSets(
        values.index[0].date(), variant, control, tuple(text for text, holds in notes.items() if holds)
    )


def compare(sets: BothSets, start: date, last: date) -> Result | None:
    """The result of a change from `start` to `last`; None if a window at the start lacks days or counts."""
    at = sets.index(start)
    after = best_after(sets.variant, at, (last - start).days + 1)
    windows = [
        (Windows.of(values, BEFORE), Windows.of(values, after)) for values in (sets.variant, sets.control)
    ]
    # Index 0 of the changes is the first start with a whole window before it.
    starts = len(sets.variant) - BEFORE - after + 1
    changes = [(two.log[BEFORE:][:starts] - one.log[:starts]) for one, two in windows]
    chances = [(two.chance[BEFORE:][:starts] + one.chance[:starts]) for one, two in windows]
    place = at - BEFORE
    if np.isnan(changes[0][place]) or np.isnan(changes[1][place]):
        return None
    (variant_before, variant_after), (control_before, control_after) = windows
    return Result(
        after=after,
        variant_before=math.exp(variant_before.log[place]),
        variant_after=math.exp(variant_after.log[at]),
        control_before=math.exp(control_before.log[place]),
        control_after=math.exp(control_after.log[at]),
        ratio=change_at(changes[0] - changes[1], chances[0] + chances[1], place, after),
        control=change_at(changes[1], chances[1], place, after),
    )


def parallelism(sets: BothSets, start: date) -> float | None:
    """The correlation of both sets' weeks before the start; None with fewer than eight whole weeks."""
    # A test may start after the last final day.
    at = min(max(sets.index(start), 0), len(sets.variant))
    weeks = [
        values[at % 7 : at].reshape(-1, 7).sum(axis=1) for values in (sets.variant[:at], sets.control[:at])
    ]
    known = ~np.isnan(weeks[0]) & ~np.isnan(weeks[1])
    variant, control = weeks[0][known], weeks[1][known]
    if len(variant) < _LEAST_WEEKS or not variant.std() or not control.std():
        return None
    return float(np.corrcoef(variant, control)[0, 1])


def chart_days(
    test: SeoTest, days: pd.DataFrame, annotations: Sequence[Annotation] = (), metric: str = "clicks"
) -> pd.DataFrame:
    """Both sets by day for a chart, from twice 56 days before the start to the last day of the test.

    Columns: site_url, test, data_date, variant, control and ratio. `control` is scaled to the variant's level
    in the 56 days before the start, `ratio` is variant / control; NaN where unknown. No rows without days.
    """
    columns = ["site_url", "test", "data_date", "variant", "control", "ratio"]
    sets = both_sets(test, metric, require(days, TEST_DAYS_INPUT), annotations)
    if sets is None:
        return pd.DataFrame(columns=columns)
    dates = pd.date_range(sets.first_day, periods=len(sets.variant))
    at = sets.index(test.start)
    before = slice(max(at - BEFORE, 0), max(at, 0))
    control_before = np.nansum(sets.control[before])
    scale = np.nansum(sets.variant[before]) / control_before if control_before else math.nan
    frame = pd.DataFrame({"data_date": dates, "variant": sets.variant, "control": scale * sets.control})
    frame["ratio"] = frame["variant"] / frame["control"].where(frame["control"] > 0)
    frame = frame.assign(site_url=test.site_url, test=test.name)[columns]
    first, last = test.start - timedelta(days=2 * BEFORE), test.end or sets.last_day
    return frame[frame["data_date"].between(pd.Timestamp(first), pd.Timestamp(last))].reset_index(drop=True)


def _row(test: SeoTest, metric: str, sets: BothSets | None, newest: date) -> dict[str, Any]:
    verdict, statement, result = _verdict(test, metric, sets)
    if sets is not None and verdict != "too_early":
        statement = " ".join((statement, *sets.notes))
    last = None
    if sets is not None and sets.last_day >= test.start:
        last = min(sets.last_day, test.end or sets.last_day)
    if result is not None:
        last = test.start + timedelta(days=result.after - 1)
    low, high = result.interval if result else (None, None)
    return {
        "site_url": test.site_url,
        "search_type": test.search_type,
        "as_of": newest if sets is None else sets.last_day,
        "test": test.name,
        "metric": metric,
        "start_day": test.start,
        "last_day": last,
        "days": 0 if sets is None or last is None else sets.days_between(test.start, last),
        "variant_before": result.variant_before if result else None,
        "variant_after": result.variant_after if result else None,
        "control_before": result.control_before if result else None,
        "control_after": result.control_after if result else None,
        "effect": math.expm1(result.ratio.size) if result else None,
        "low": low,
        "high": high,
        "placebos": result.ratio.placebos if result else 0,
        "parallelism": None if sets is None else parallelism(sets, test.start),
        "verdict": verdict,
        "statement": statement,
    }


def _verdict(test: SeoTest, metric: str, sets: BothSets | None) -> tuple[str, str, Result | None]:
    """The verdict, the statement, and the figures if there are any."""
    if sets is None:
        return "unusable", f"No result: the lake has no final day of {test.site_url}.", None
    why = _too_early(test, sets)
    if why:
        return "too_early", why, None
    last = min(sets.last_day, test.end or sets.last_day)
    why = next(_obstacles(test, metric, sets, last), "")
    if why:
        return "unusable", f"No result: {why}.", None
    result = compare(sets, test.start, last)
    if result is None:
        why = f"too many days around the start are missing, or have no {metric}"
        return "unusable", f"No result: {why}.", None
    if result.ratio.effective < LEAST_PLACEBOS:
        return "unusable", "No result: too many days of the history are missing.", None
    verdict, statement = _verdict_of_figures(test, metric, result)
    return verdict, statement, result


def _too_early(test: SeoTest, sets: BothSets) -> str:
    """When the test can be read, if it cannot be yet and may be later."""
    known = sets.days_between(test.start, sets.last_day)
    until = max(sets.last_day, test.start - timedelta(days=1)) + timedelta(days=LEAST_DAYS - known)
    if known >= LEAST_DAYS or (test.end is not None and test.end < until):
        return ""
    counted = f"{known} final {_plural(known, 'day')} since {test.start}"
    if sets.last_day < test.start:
        counted = f"the test starts on {test.start}, and no day since is final"
    return (
        f"Too early: {counted}; {LEAST_DAYS} are needed. It can be read once {until} is final, which takes "
        "two or three days more."
    )


def _obstacles(test: SeoTest, metric: str, sets: BothSets, last: date) -> Iterator[str]:
    """The reasons why there can be no result."""
    known = sets.days_between(test.start, last)
    if known < LEAST_DAYS:
        yield f"the test has {known} final {_plural(known, 'day')}, and {LEAST_DAYS} are needed"
    at = max(sets.index(test.start), 0)
    before, since = slice(max(at - BEFORE, 0), at), slice(at, sets.index(last) + 1)
    for values, pages in ((sets.variant, "changed"), (sets.control, "unchanged")):
        if not np.nansum(values[before]):
            yield f"the {pages} pages have no {metric} in the {BEFORE} days before {test.start}"
        if not np.nansum(values[since]):
            yield f"the {pages} pages have no {metric} since {test.start}"
    if sets.history(test.start) < least_history():
        weeks, needed = sets.history(test.start) // 7, math.ceil(least_history() / 7)
        yield (
            f"both sets have {metric} for only {weeks} {_plural(weeks, 'week')} before {test.start}, and "
            f"{needed} are needed to distinguish an effect from chance"
        )


def _verdict_of_figures(test: SeoTest, metric: str, result: Result) -> tuple[str, str]:
    """The verdict and the statement of a test with figures."""
    low, high = result.interval
    effect = math.expm1(result.ratio.size)
    between = f"95% interval: {_signed(low)} to {_signed(high)}"
    levels = (
        f"{_amount(result.variant_after)} a day instead of {_amount(result.expected)} in the {result.after} "
        f"days from {test.start}"
    )
    found = (
        f"{metric} of the changed pages were {_percent(effect)} {'higher' if effect > 0 else 'lower'} than "
        f"the unchanged pages predict ({between}): {levels}."
    )
    if result.has_control_moved:
        moved = _signed(math.expm1(result.control.size))
        return "control_moved", (
            f"Read with care: {metric} of the unchanged pages themselves changed by {moved} at the start, "
            f"more than before; {found}"
        )
    if result.is_effect:
        return "effect", found[:1].upper() + found[1:]
    largest, figures = _percent(result.largest), f"({_signed(effect)}, {between})"
    if result.is_too_wide:
        return "unusable", (
            f"No result: both sets did not move alike before {test.start}, or have few {metric}, so an "
            f"effect of up to {largest} is still possible {figures}."
        )
    return "no_effect", (
        f"No effect larger than {largest} on {metric} of the changed pages: {levels} {figures}."
    )


def _plural(number: int, word: str) -> str:
    return word if number == 1 else f"{word}s"


def _percent(share: float) -> str:
    amount = 100 * abs(share)
    return f"{amount:.0f}%" if amount >= 1 else f"{amount:.1f}%"


def _signed(share: float) -> str:
    return f"{'−' if share < 0 else '+'}{_percent(share)}"


def _amount(level: float) -> str:
    return f"{level:,.0f}" if level >= 10 else f"{level:.1f}"
