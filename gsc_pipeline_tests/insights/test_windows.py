"""Windows: final days only, and equal windows whatever days are missing."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_pipeline.insights.windows import YEAR, compared, final_days, window

LAST = date(2026, 11, 17)


def ledger(days: dict[date, str], site_url: str = "sc-domain:acme.com") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "site_url": site_url,
            "search_type": "WEB",
            "data_date": pd.to_datetime(list(days)),
            "status": list(days.values()),
        }
    )


def back(days: int, status: str = "final", last: date = LAST) -> dict[date, str]:
    return {last - timedelta(days=age): status for age in range(days)}


def test_a_window_ends_on_the_last_final_day() -> None:
    known = back(40) | {LAST + timedelta(days=n): "provisional" for n in (1, 2)}
    chosen = window(final_days(ledger(known), 28), 28, 0.9)
    assert chosen["data_date"].min().date() == LAST - timedelta(days=27)
    assert chosen["data_date"].max().date() == LAST
    assert set(chosen["days"]) == {28}


def test_an_empty_day_is_final_and_a_failed_day_is_not() -> None:
    known = back(40) | {LAST: "empty", LAST - timedelta(days=3): "failed"}
    chosen = window(final_days(ledger(known), 28), 28, 0.9)
    assert set(chosen["as_of"].dt.date) == {LAST}
    assert set(chosen["days"]) == {27}


def test_a_day_missing_from_one_window_is_left_out_of_both() -> None:
    known = back(60)
    del known[LAST - timedelta(days=30)]
    known[LAST - timedelta(days=5)] = "failed"
    pairs = compared(final_days(ledger(known), 28), 28, 28, 0.9)
    counts = pairs.groupby("period")["data_date"].count()
    assert dict(counts) == {"now": 26, "before": 26}
    weekdays = pairs.groupby("period")["data_date"].apply(lambda days: sorted(days.dt.day_of_week))
    assert weekdays["now"] == weekdays["before"]


def test_a_window_with_too_few_final_days_is_left_out() -> None:
    known = back(56)
    for age in range(5, 9):
        known[LAST - timedelta(days=age)] = "failed"
    final = final_days(ledger(known), 28)
    assert compared(final, 28, 28, 0.9).empty
    assert window(final, 28, 0.9).empty
    assert len(window(final, 28, 0.8)) == 24


def test_a_young_property_has_a_short_window_and_no_comparison() -> None:
    final = final_days(ledger(back(1)), 28)
    assert len(window(final, 28, 0.9)) == 1
    assert compared(final, 28, 28, 0.9).empty


def test_a_property_that_ended_long_ago_is_left_out() -> None:
    gone = ledger(back(40, last=LAST - timedelta(days=28)), "sc-domain:gone.com")
    late = ledger(back(40, last=LAST - timedelta(days=27)), "sc-domain:late.com")
    final = final_days(pd.concat([ledger(back(40)), gone, late]), 28)
    assert set(final["site_url"]) == {"sc-domain:acme.com", "sc-domain:late.com"}
    assert final_days(ledger(back(3, "provisional")), 28).empty


@settings(deadline=None, max_examples=25)
@given(st.dates(min_value=date(2023, 1, 1), max_value=date(2029, 1, 1)))
def test_the_year_before_has_the_same_weekdays_in_any_year(last: date) -> None:
    known = ledger(back(28, last=last) | back(28, last=last - timedelta(days=YEAR)))
    pairs = compared(final_days(known, 28), 28, YEAR, 0.9)
    now, before = (pairs.loc[pairs["period"] == period, "data_date"] for period in ("now", "before"))
    assert len(now) == len(before) == 28
    assert (now.dt.day_of_week.to_numpy() == before.dt.day_of_week.to_numpy()).all()
    assert {(a - b).days for a, b in zip(now, before, strict=True)} == {364}


def test_a_missing_ledger_column_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="status"):
        final_days(ledger(back(2)).drop(columns="status"), 28)
