"""The table forecasts: the next 28 days of clicks and impressions, and what was expected of the last 28."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from gsc_pipeline.insights.daily_series import GROUPED_INPUT, DailySeries, daily_series
from gsc_pipeline.insights.forecast_past import Past, past_of
from gsc_pipeline.insights.measures import require
from gsc_pipeline.insights.rolling_origins import DAYS_AHEAD, Forecast, forecast
from gsc_pipeline.insights.tables import no_rows, ranked
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import FORECASTS
from gsc_pipeline.workspaces.thresholds import Thresholds

_SERIES_AT_ONCE = 256


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


def _made(series: Sequence[DailySeries], back: int) -> Iterator[pd.DataFrame]:
    """Rows of the forecasts made `back` days before the end of each series."""
    pasts = [past_of(one, back) for one in series]
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


def _with_last_week(past: Past, last_week: float) -> Past:
    """The past with a note on its last week, if that came out far off and does not change the forecast."""
    if np.isnan(last_week):
        return past
    side = "above" if last_week > 0 else "below"
    percent = round(100 * abs(last_week))
    note = f"the last 7 days came out {percent}% {side} their forecast, which is not taken for lasting yet"
    return replace(past, reason="; ".join(filter(None, (note, past.reason))))


def _rows(pasts: Sequence[Past], made: Forecast) -> pd.DataFrame:
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


def _actual(past: Past, ahead: int) -> np.ndarray:
    """The values of the days after the forecast was made; NaN where they are not final."""
    values = past.series.values
    start = len(values) - past.back
    actual = np.full(ahead, np.nan)
    found = values[max(start, 0) : max(start + ahead, 0)]
    offset = max(-start, 0)
    actual[offset : offset + len(found)] = found[: ahead - offset]
    return actual
