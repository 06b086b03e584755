"""The table forecasts: the next 28 days of clicks and impressions, and what was expected of the last 28."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd

from gsc_pipeline.insights.christmas import WORDS as CHRISTMAS
from gsc_pipeline.insights.christmas import change_a_year_before, is_christmas, without_christmas
from gsc_pipeline.insights.daily_series import GROUPED_INPUT, DailySeries, daily_series
from gsc_pipeline.insights.measures import require
from gsc_pipeline.insights.rolling_origins import DAYS_AHEAD, MOST_WEEKS, Forecast, forecast
from gsc_pipeline.insights.tables import no_rows, ranked
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import FORECASTS
from gsc_pipeline.workspaces.thresholds import Thresholds

LEAST_DAYS = 56
"""Eight weeks: the fewest final days that a forecast is made from, and what it looks at for gaps."""

LEAST_RECENT_DAYS = 42
LEAST_OF_WEEKDAY = 3
LEAST_SUM = 56
"""The fewest clicks or impressions in the last 56 final days: one a day. Below, only chance is left."""

DARK_DAYS = 7
"""As many final days without any end the forecast of a series that had at least one a day before."""

_SERIES_AT_ONCE = 256
_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


def forecasts(
    days: pd.DataFrame, thresholds: Thresholds, annotations: Sequence[Annotation] = ()
) -> pd.DataFrame:
    """Rows of forecasts: of each series two, made on `as_of` and 28 days earlier, with 28 days each.

    Each uses only the days up to the one on which it was made, from the last change of counting on, so the
    earlier one says what would have been said then. A series without a forecast has one row that says why.
    Raises ValueError if a column of GROUPED_INPUT is missing.
    """
    series = list(daily_series(require(days, GROUPED_INPUT), ("clicks", "impressions"), annotations))
    found = [rows for back in (DAYS_AHEAD, 0) for rows in _made(series, back)]
    return ranked(FORECASTS, pd.concat(found)) if found else no_rows(FORECASTS)


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """What a forecast may use of a series, and why there is none or what it rests on (`reason`).

    `values` are those of the days up to the one it is made on, with NaN where they do not count. `change` is
    what 28 days ahead differ from the usual by, in logarithms. `expects_none` is true for a forecast of zero.
    """

    series: DailySeries
    back: int
    values: np.ndarray
    change: np.ndarray
    reason: str | None = None
    refused: bool = False
    expects_none: bool = False


def _made(series: Sequence[DailySeries], back: int) -> Iterator[pd.DataFrame]:
    """Rows of the forecasts made `back` days before the end of each series."""
    pasts = [_past(one, back) for one in series]
    refused = [one for one in pasts if one.refused]
    if refused:
        none = np.full((1, len(refused)), np.nan)
        yield _rows(refused, _without_method(none))
    dark = [one for one in pasts if one.expects_none]
    if dark:
        yield _rows(dark, _without_method(np.zeros((DAYS_AHEAD, len(dark)))))
    others = [one for one in pasts if not one.refused and not one.expects_none]
    for at in range(0, len(others), _SERIES_AT_ONCE):
        chosen = others[at : at + _SERIES_AT_ONCE]
        most = max(len(one.values) for one in chosen)
        values = np.full((most, len(chosen)), np.nan)
        for column, one in enumerate(chosen):
            values[most - len(one.values) :, column] = one.values
        ahead = forecast(values, np.stack([one.change for one in chosen], axis=1))
        yield _rows([_with_last_week(*one) for one in zip(chosen, ahead.last_week, strict=True)], ahead)


def _without_method(values: np.ndarray) -> Forecast:
    """The same value for expected, low and high."""
    nothing = np.full(values.shape[1], np.nan)
    return Forecast(values, values, values, np.ones(values.shape[1], bool), nothing)


def _with_last_week(past: _Past, last_week: float) -> _Past:
    """The past with a note on its last week, if that came out far off and does not change the forecast."""
    if np.isnan(last_week):
        return past
    side = "above" if last_week > 0 else "below"
    percent = round(100 * abs(last_week))
    note = f"the last 7 days came out {percent} % {side} their forecast, which is not taken for lasting yet"
    return replace(past, reason="; ".join(filter(None, (note, past.reason))))


def _past(series: DailySeries, back: int) -> _Past:
    """The past of the series as it was known `back` days before its end, and whether it is enough."""
    length = max(len(series.values) - back, 0)
    made_on = series.as_of - timedelta(days=back)
    recounted = max((day for day in series.recounted_on if series.first_day < day <= made_on), default=None)
    first_day = recounted or series.first_day
    values = series.values[series.index(first_day) : length]
    past = _Past(series, back, values[-MOST_WEEKS * 7 :], np.zeros(DAYS_AHEAD))
    reason = _too_little(past, recounted)
    if reason is not None:
        return replace(past, reason=reason, refused=True)
    dark_since = _dark_since(past)
    if dark_since is not None:
        text = f"no {series.metric} since {dark_since}, so none are expected until they return"
        return replace(past, reason=text, expects_none=True)
    learnt = without_christmas(values, first_day)[-MOST_WEEKS * 7 :]
    reason = _too_few(past) or _only_christmas(learnt)
    if reason is not None:
        return replace(past, reason=reason, refused=True)
    ahead = [made_on + timedelta(days=day) for day in range(1, DAYS_AHEAD + 1)]
    changes = [change_a_year_before(values, first_day, day) if is_christmas(day) else 0.0 for day in ahead]
    change = np.array([one or 0.0 for one in changes])
    return replace(past, values=learnt, change=change, reason=_rests_on(series, made_on, changes))


def _too_little(past: _Past, recounted: date | None) -> str | None:
    """Why there are too few final days, or too many gaps; None if neither."""
    known = np.isfinite(past.values)
    if known.sum() < LEAST_DAYS:
        because = f"; numbers count something else since {recounted}" if recounted else ""
        return f"{known.sum()} of {LEAST_DAYS} final days{because}"
    recent = known[-LEAST_DAYS:]
    if recent.sum() < LEAST_RECENT_DAYS:
        return f"{recent.sum()} of the last {LEAST_DAYS} days are final, {LEAST_RECENT_DAYS} are needed"
    made_on = past.series.as_of - timedelta(days=past.back)
    by_weekday = recent.reshape(-1, 7).sum(axis=0)
    rarest = int(by_weekday.argmin())
    if by_weekday[rarest] < LEAST_OF_WEEKDAY:
        name = _WEEKDAYS[(made_on.weekday() + 1 + rarest) % 7]
        count = f"{by_weekday[rarest]} of the last {LEAST_DAYS // 7} {name}"
        return f"{count} are final, {LEAST_OF_WEEKDAY} are needed"
    return None


def _dark_since(past: _Past) -> date | None:
    """The first of the days without any at the end, if so many are unlikely by chance."""
    counted = np.flatnonzero(past.values > 0)
    if not len(counted):
        return None
    start = int(counted[-1]) + 1
    before, after = (part[np.isfinite(part)] for part in (past.values[:start], past.values[start:]))
    if len(after) < DARK_DAYS or before.mean() < 1:
        return None
    return past.series.as_of - timedelta(days=past.back + len(past.values) - 1 - start)


def _too_few(past: _Past) -> str | None:
    """Why the counts are too small; None if they are not."""
    total = int(past.values[np.isfinite(past.values)][-LEAST_DAYS:].sum())
    if total >= LEAST_SUM:
        return None
    return f"{total} {past.series.metric} in the last {LEAST_DAYS} final days, {LEAST_SUM} are needed"


def _only_christmas(learnt: np.ndarray) -> str | None:
    known = np.isfinite(learnt).sum()
    return None if known >= LEAST_DAYS else f"{known} of {LEAST_DAYS} final days outside {CHRISTMAS}"


def _rests_on(series: DailySeries, made_on: date, changes: Sequence[float | None]) -> str | None:
    """What to know about a forecast; None if there is nothing. A change of None is of a Christmas unknown."""
    notes = []
    if any(changes):
        notes.append(f"{CHRISTMAS}: as a year before")
    if None in changes:
        notes.append(f"{CHRISTMAS}: unknown from the year before, so expected as usual")
    later = [day for day in series.recounted_on if made_on < day <= series.as_of]
    if later:
        notes.append(f"numbers count something else since {min(later)}")
    return "; ".join(notes) or None


def _rows(pasts: Sequence[_Past], made: Forecast) -> pd.DataFrame:
    """The rows of forecasts, whose columns are those of `pasts`."""
    ahead = len(made.expected)

    def each(values: Sequence[object]) -> np.ndarray:
        return np.repeat(np.array(values, dtype=object), ahead)

    as_of = np.array([one.series.as_of for one in pasts], dtype="datetime64[us]")
    made_on = as_of - np.array([one.back for one in pasts], dtype="timedelta64[D]")
    methods = ["seasonal_naive" if naive else "exponential_smoothing" for naive in made.naive]
    return pd.DataFrame(
        {
            "site_url": each([one.series.site_url for one in pasts]),
            "search_type": each([one.series.search_type for one in pasts]),
            "as_of": np.repeat(as_of, ahead),
            "content_group": each([one.series.content_group for one in pasts]),
            "metric": each([one.series.metric for one in pasts]),
            "data_date": (made_on[:, None] + np.arange(1, ahead + 1).astype("timedelta64[D]")).ravel(),
            "made_on": np.repeat(made_on, ahead),
            "expected": made.expected.T.ravel(),
            "low": made.low.T.ravel(),
            "high": made.high.T.ravel(),
            "actual": np.concatenate([_actual(one, ahead) for one in pasts]),
            "method": each(
                ["refused" if one.refused else name for one, name in zip(pasts, methods, strict=True)]
            ),
            "reason": each([one.reason for one in pasts]),
        }
    )


def _actual(past: _Past, ahead: int) -> np.ndarray:
    """The values of the days after the forecast was made; NaN where they are not final."""
    values = past.series.values
    start = len(values) - past.back
    actual = np.full(ahead, np.nan)
    found = values[max(start, 0) : max(start + ahead, 0)]
    offset = max(-start, 0)
    actual[offset : offset + len(found)] = found[: ahead - offset]
    return actual
