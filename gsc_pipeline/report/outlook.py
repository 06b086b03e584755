"""What to expect of the next days, and how good the forecast of the last days was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd

from gsc_pipeline.insights.measures import SERIES, require
from gsc_pipeline.report.charts import Fan, Panel, day_in_words
from gsc_pipeline.report.numbers import amount, count, signed
from gsc_pipeline.report.totals import LEAST_COMPARED
from gsc_pipeline.report.words import words

FORECASTS_INPUT = (
    *SERIES,
    "as_of",
    "metric",
    "data_date",
    "made_on",
    "expected",
    "low",
    "high",
    "actual",
    "method",
    "reason",
)

WEEKS_BEFORE = 8
"""The weeks before the forecast that its chart shows."""

_STALE_DAYS = 7

_METHODS = {
    "seasonal_naive": "the same weekdays before, repeated",
    "exponential_smoothing": "exponential smoothing of the level and the weekdays",
}


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """The forecast of a metric that was made on a day.

    `days` has expected, low, high and actual by data_date; it is empty if the forecast was refused, and then
    `reason` says why. Otherwise it is what to know about the forecast, or empty.
    """

    metric: str
    made_on: date
    days: pd.DataFrame
    method: str
    reason: str = ""

    @property
    def expected(self) -> float:
        """The sum of the expected values of its days."""
        return float(self.days["expected"].sum())

    @property
    def known(self) -> pd.DataFrame:
        """Its days with an actual value."""
        return self.days[self.days["actual"].notna()]

    @property
    def fan(self) -> Fan:
        """The forecast in a chart."""
        first: pd.Timestamp = self.days.index[0]
        return Fan(first.date(), *(self.days[name].tolist() for name in ("expected", "low", "high")))


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """The forecasts of one property and search type: of the next days, and those made four weeks before.

    By metric; a metric without a forecast is missing.
    """

    site_url: str
    search_type: str
    coming: dict[str, Forecast]
    past: dict[str, Forecast]


def not_stale(rows: pd.DataFrame, last: pd.Timestamp | pd.Series) -> pd.DataFrame:
    """The rows of forecasts that are at most a week older than `last`, the last day of the headline.

    What an older forecast calls the next days is partly past. `last` may be one day for each row.
    """
    return rows[rows["as_of"] >= last - timedelta(days=_STALE_DAYS)]


def outlook(rows: pd.DataFrame, site_url: str, search_type: str) -> Outlook | None:
    """The forecasts of the property among rows of forecasts of one content group; None without any."""
    found = require(rows, FORECASTS_INPUT)
    found = found[(found["site_url"] == site_url) & (found["search_type"] == search_type)]
    coming: dict[str, Forecast] = {}
    past: dict[str, Forecast] = {}
    for (metric, _), of_one in found.groupby(["metric", "made_on"], sort=True):
        made_on: pd.Timestamp = of_one["made_on"].iloc[0]
        is_coming = made_on >= of_one["as_of"].max()
        (coming if is_coming else past)[str(metric)] = _forecast(str(metric), made_on.date(), of_one)
    return Outlook(site_url, search_type, coming, past) if coming else None


def _forecast(metric: str, made_on: date, rows: pd.DataFrame) -> Forecast:
    given = rows[rows["expected"].notna()].set_index("data_date").sort_index()
    days = given[["expected", "low", "high", "actual"]].astype("float64")
    reasons = rows["reason"].dropna()
    reason = str(reasons.iloc[0]) if len(reasons) else ""
    if len(days):
        return Forecast(metric, made_on, days.asfreq("D"), str(given["method"].iloc[0]), reason)
    return Forecast(metric, made_on, days, "refused", reason or "unknown")


def coming_in_words(forecast: Forecast) -> str:
    """What is expected, or why there is no forecast."""
    if forecast.days.empty:
        return f"There is no forecast of {forecast.metric}: {forecast.reason.rstrip('.')}."
    first, last = forecast.days.index[0], forecast.days.index[-1]
    return f"From {first:%-d %B} to {last:%-d %B %Y} we expect {amount(forecast.expected, forecast.metric)}."


def how_made(forecast: Forecast) -> str:
    """How the range and the total are meant, the method, and what to know about it.

    Where nothing is expected there is no range, and no method but the reason.
    """
    if not forecast.days["high"].any():
        return f"{forecast.reason[:1].upper()}{forecast.reason[1:].rstrip('.')}."
    known = f" Note: {forecast.reason.rstrip('.')}." if forecast.reason else ""
    return (
        "A single day is within its range with 80% probability. The totals add up the expected values of the "
        "days; the ranges of days cannot be added. "
        f"Method: {_METHODS.get(forecast.method, words(forecast.method))}.{known}"
    )


def past_in_words(forecast: Forecast) -> str:
    """What the method expects of the last days, what came, and how many days were within their band.

    It uses the values of the earlier days as they are known now, so it need not be what was reported then.
    """
    known = forecast.known
    if known.empty:
        return ""
    expected, actual = float(known["expected"].sum()), float(known["actual"].sum())
    within = int(known["actual"].between(known["low"], known["high"]).sum())
    difference = f" ({signed(actual / expected - 1)})" if expected >= LEAST_COMPARED else ""
    return (
        f"From the days up to {forecast.made_on:%-d %B}, this method expects "
        f"{amount(expected, forecast.metric)} in the {amount(len(known), 'days')} "
        f"to {known.index[-1]:%-d %B %Y}; it came to {count(actual)}{difference}. "
        f"{within} of {amount(len(known), 'days')} were within their range, and about "
        f"{round(0.8 * len(known))} should be."
    )


def panel(found: Outlook, metric: str, daily: pd.Series) -> tuple[list[date], Panel] | None:
    """The days and the panel of a chart of the metric; None without a forecast.

    `daily` has its values by day. The days are the last weeks before the forecast, and those it is made for.
    """
    forecast = found.coming.get(metric)
    if forecast is None or forecast.days.empty:
        return None
    first = pd.Timestamp(forecast.made_on) - timedelta(days=7 * WEEKS_BEFORE - 1)
    days = pd.date_range(first, forecast.days.index[-1])
    known = daily[daily.index <= pd.Timestamp(forecast.made_on)].reindex(days).astype("float64")
    made = [one for one in (found.past.get(metric), forecast) if one is not None and len(one.days)]
    fans = tuple(one.fan for one in made if one.days.index[0] >= first)
    return [day.date() for day in days], Panel(metric.title(), metric, known.tolist(), fans)


@dataclass(frozen=True, slots=True)
class ForecastDay:
    """A day of a forecast in words: for each metric the expected value, its range and the actual value."""

    when: str
    values: tuple[tuple[str, str, str], ...]


METRICS = ("clicks", "impressions")


def days_in_words(found: Outlook) -> list[ForecastDay]:
    """Each day of both forecasts, the oldest first, with clicks and impressions."""
    days = {day for made in (found.past, found.coming) for one in made.values() for day in one.days.index}
    return [
        ForecastDay(day_in_words(day), tuple(_values(found, metric, day) for metric in METRICS))
        for day in sorted(days)
    ]


def _values(found: Outlook, metric: str, day: pd.Timestamp) -> tuple[str, str, str]:
    for forecast in (found.past.get(metric), found.coming.get(metric)):
        if forecast is not None and day in forecast.days.index:
            row: Any = forecast.days.loc[day]
            return (
                count(row["expected"]),
                f"{count(row['low'])} to {count(row['high'])}",
                count(row["actual"]),
            )
    return "–", "–", "–"
