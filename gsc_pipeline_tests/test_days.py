from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.days import (
    ONE_DAY,
    PACIFIC,
    Window,
    month_of,
    months_before,
    pacific_today,
    utc_now,
)

DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        # Winter: California is eight hours behind.
        ("2026-11-20T00:00", date(2026, 11, 19)),
        ("2026-11-20T07:59:59", date(2026, 11, 19)),
        ("2026-11-20T08:00", date(2026, 11, 20)),
        ("2026-11-20T23:59:59", date(2026, 11, 20)),
        # Summer: seven.
        ("2026-07-01T06:59:59", date(2026, 6, 30)),
        ("2026-07-01T07:00", date(2026, 7, 1)),
        # The clocks go forward on 2026-03-08: that day starts at 08:00 UTC and ends at 07:00.
        ("2026-03-08T07:59:59", date(2026, 3, 7)),
        ("2026-03-08T08:00", date(2026, 3, 8)),
        ("2026-03-09T06:59:59", date(2026, 3, 8)),
        ("2026-03-09T07:00", date(2026, 3, 9)),
        # They go back on 2026-11-01: that day starts at 07:00 UTC and ends at 08:00.
        ("2026-11-01T06:59:59", date(2026, 10, 31)),
        ("2026-11-01T07:00", date(2026, 11, 1)),
        ("2026-11-02T07:59:59", date(2026, 11, 1)),
        ("2026-11-02T08:00", date(2026, 11, 2)),
        ("2027-01-01T07:59:59", date(2026, 12, 31)),
    ],
)
def test_today_is_the_pacific_day(moment: str, day: date) -> None:
    assert pacific_today(utc(moment)) == day


def test_the_time_zone_of_the_datetime_does_not_matter() -> None:
    moment = utc("2026-11-20T07:30")

    for hours in (-11, 0, 5, 14):
        assert pacific_today(moment.astimezone(timezone(timedelta(hours=hours)))) == date(2026, 11, 19)


def test_a_datetime_without_a_time_zone_is_rejected() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        pacific_today(datetime(2026, 11, 20, 12, 0))


def test_the_clock_returns_an_aware_datetime_in_utc() -> None:
    assert utc_now().utcoffset() == timedelta(0)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_the_pacific_day_contains_the_datetime(moment: datetime) -> None:
    day = pacific_today(moment)

    start, end = (datetime.combine(d, datetime.min.time(), PACIFIC) for d in (day, day + ONE_DAY))
    assert start.astimezone(UTC) <= moment < end.astimezone(UTC)


def test_months_are_spelled_as_the_partition_column_spells_them() -> None:
    assert month_of(date(2026, 3, 9)) == "2026-03"


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 11, 20), 16, date(2025, 7, 20)),
        (date(2026, 11, 20), 0, date(2026, 11, 20)),
        (date(2026, 1, 15), 1, date(2025, 12, 15)),
        (date(2026, 12, 31), 12, date(2025, 12, 31)),
        # The target month is shorter.
        (date(2026, 3, 31), 1, date(2026, 2, 28)),
        (date(2024, 3, 30), 1, date(2024, 2, 29)),
        (date(2026, 12, 31), 1, date(2026, 11, 30)),
        (date(2028, 2, 29), 12, date(2027, 2, 28)),
    ],
)
def test_months_before_keeps_the_day_or_takes_the_last_of_a_shorter_month(
    day: date, months: int, expected: date
) -> None:
    assert months_before(day, months) == expected


@given(DAYS, st.integers(0, 240))
def test_months_before_lands_that_many_months_earlier(day: date, months: int) -> None:
    before = months_before(day, months)

    assert (day.year - before.year) * 12 + day.month - before.month == months
    assert before.day == day.day or (before.day < day.day and (before + ONE_DAY).day == 1)


def test_a_window_holds_its_start_and_not_its_end() -> None:
    window = Window(date(2026, 11, 18), date(2026, 11, 21))

    assert list(window) == [date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 20)]
    assert len(window) == 3
    assert window.last == date(2026, 11, 20)
    assert date(2026, 11, 18) in window
    assert date(2026, 11, 20) in window
    assert date(2026, 11, 17) not in window
    assert date(2026, 11, 21) not in window
    assert "2026-11-18" not in window


@pytest.mark.parametrize("end", [date(2026, 11, 18), date(2026, 11, 17)])
def test_an_empty_or_reversed_window_is_rejected(end: date) -> None:
    with pytest.raises(ValueError, match="must end after it starts"):
        Window(date(2026, 11, 18), end)


def test_inclusive_includes_the_last_day() -> None:
    one = date(2026, 2, 28)

    assert Window.inclusive(one, one) == Window(one, date(2026, 3, 1))
    with pytest.raises(ValueError, match="must end after it starts"):
        Window.inclusive(one, one - ONE_DAY)


def test_the_last_complete_days_end_before_today() -> None:
    today = date(2026, 11, 20)

    assert list(Window.last_complete(2, today)) == [date(2026, 11, 18), date(2026, 11, 19)]
    for none in (0, -1):
        with pytest.raises(ValueError, match="must end after it starts"):
            Window.last_complete(none, today)


def test_a_window_prints_its_first_and_last_day() -> None:
    assert str(Window(date(2026, 11, 18), date(2026, 11, 19))) == "2026-11-18"
    assert str(Window(date(2026, 11, 18), date(2026, 11, 21))) == "2026-11-18 to 2026-11-20"


@given(DAYS, st.integers(1, 400))
def test_a_window_lists_each_of_its_days_once_and_in_order(start: date, length: int) -> None:
    window = Window(start, start + length * ONE_DAY)
    days = list(window)

    assert len(days) == len(window) == length
    assert all(later - earlier == ONE_DAY for earlier, later in pairwise(days))
    assert all(day in window for day in days)
    assert Window.inclusive(days[0], days[-1]) == window
    assert Window.last_complete(length, window.end) == window
