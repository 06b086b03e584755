"""Forecasts in words and in a chart: sums, days within their range, and refusals."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pandas as pd

from gsc_pipeline.lake.schemas import FORECASTS
from gsc_pipeline.report.outlook import (
    Outlook,
    coming_in_words,
    days_in_words,
    how_made,
    not_stale,
    outlook,
    panel,
    past_in_words,
)
from gsc_pipeline_tests.report.insight_rows import AS_OF, SITE, Row, forecast, refused

BEFORE = AS_OF - timedelta(28)


def frame(rows: list[Row]) -> pd.DataFrame:
    """Rows as they are read from the lake."""
    found = pd.DataFrame([{"as_of": AS_OF, **row} for row in rows], columns=FORECASTS.schema.names)
    days = ["as_of", "data_date", "made_on"]
    return found.assign(**{day: pd.to_datetime(found[day]) for day in days})


def made(*rows: Row) -> Outlook:
    found = outlook(frame(list(rows)), SITE, "WEB")
    assert found is not None
    return found


def test_what_is_expected_is_the_sum_of_the_days() -> None:
    found = made(*forecast("clicks", 440))
    # 20 weekdays, and 8 days of weekends with 70 %.
    assert coming_in_words(found.coming["clicks"]) == (
        "From 19 November to 16 December 2026 we expect 11,264 clicks."
    )
    assert "exponential smoothing of the level and the weekdays" in how_made(found.coming["clicks"])
    assert found.past == {}
    noted = made(*(row | {"reason": "Christmas: as a year before"} for row in forecast("clicks", 440)))
    assert how_made(noted.coming["clicks"]).endswith("weekdays. Note: Christmas: as a year before.")


def test_the_last_forecast_is_compared_with_what_came() -> None:
    found = made(*forecast(), *forecast(level=440, made_on=BEFORE, actual=450))
    assert past_in_words(found.past["clicks"]) == (
        "From the days up to 21 October, this method expects 11,264 clicks in the 28 days to 18 November "
        "2026; it came to 12,600 (+12%). 20 of 28 days were within their range, and about 22 should be."
    )


def test_where_nothing_is_expected_there_is_a_reason_and_no_method() -> None:
    reason = "no clicks since 2026-11-10, so none are expected until they return"
    found = made(*(row | {"reason": reason} for row in forecast("clicks", 0)))
    assert how_made(found.coming["clicks"]) == f"N{reason[1:]}."


def test_a_single_click_is_not_clicks() -> None:
    found = made(*forecast(level=1 / 25.6), *forecast(level=1 / 25.6, made_on=BEFORE, actual=1 / 28))
    assert coming_in_words(found.coming["clicks"]).endswith("we expect 1 click.")
    assert "expects 1 click in the 28 days" in past_in_words(found.past["clicks"])


def test_a_forecast_of_few_clicks_is_compared_without_a_percentage() -> None:
    few, some = (forecast(level=level / 25.6, made_on=BEFORE, actual=1) for level in (9, 11))
    assert "it came to 28. " in past_in_words(made(*forecast(), *few).past["clicks"])
    assert "it came to 28 (+155%). " in past_in_words(made(*forecast(), *some).past["clicks"])


def test_a_forecast_of_more_than_a_week_ago_is_not_one_of_the_next_days() -> None:
    rows = frame(forecast())
    assert len(not_stale(rows, pd.Timestamp(AS_OF + timedelta(7)))) == 28
    assert len(not_stale(rows, pd.Timestamp(AS_OF + timedelta(8)))) == 0


def test_days_without_a_value_are_left_out_of_both_sums() -> None:
    past = forecast(level=400, made_on=BEFORE, actual=400)
    known = [row if row["data_date"] != AS_OF else row | {"actual": None} for row in past]
    text = past_in_words(made(*forecast(), *known).past["clicks"])
    assert "in the 27 days to 17 November 2026; it came to 10,800" in text
    assert past_in_words(made(*forecast(), *forecast(made_on=BEFORE)).past["clicks"]) == ""


def test_a_refused_forecast_says_why() -> None:
    found = made(refused("fewer than 8 weeks are final."), *forecast("impressions"))
    assert coming_in_words(found.coming["clicks"]) == (
        "There is no forecast of clicks: fewer than 8 weeks are final."
    )
    assert panel(found, "clicks", pd.Series(dtype=float)) is None
    assert outlook(frame([]), SITE, "WEB") is None
    assert outlook(frame(forecast()), "https://other.example/", "WEB") is None


def test_the_chart_has_eight_weeks_of_days_and_both_forecasts() -> None:
    found = made(*forecast(), *forecast(made_on=BEFORE, actual=450))
    index = pd.date_range(AS_OF - timedelta(99), AS_OF + timedelta(2))
    plotted = panel(found, "clicks", pd.Series(450, index=index))
    assert plotted is not None
    days, clicks = plotted
    assert (days[0], days[-1]) == (date(2026, 9, 24), date(2026, 12, 16))
    # Days that may still change are not drawn: they are part of the forecast.
    assert sum(not math.isnan(value) for value in clicks.values) == 56
    assert [fan.first_day for fan in clicks.fans] == [BEFORE + timedelta(1), AS_OF + timedelta(1)]


def test_each_day_has_its_expected_value_its_range_and_what_came() -> None:
    found = made(*forecast("clicks", 1000), *forecast("clicks", 900, made_on=BEFORE, actual=950.0))
    days = days_in_words(found)
    assert len(days) == 56
    assert (days[0].when, days[0].values[0]) == ("Thu 22 Oct 2026", ("900", "810 to 990", "950"))
    assert (days[-1].when, days[-1].values[0]) == ("Wed 16 Dec 2026", ("1,000", "900 to 1,100", "–"))
    assert days[-1].values[1] == ("–", "–", "–")
