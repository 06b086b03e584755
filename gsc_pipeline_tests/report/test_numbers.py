"""How numbers are written."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.report.numbers import amount, count, mood, share, signed


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.1512, "15.1%"),
        (1.0, "100.0%"),
        (0.01, "1.0%"),
        (0.00999, "1.0%"),
        (0.0035, "0.35%"),
        (0.000996, "0.10%"),
        (0.00024, "0.024%"),
        (0.0002, "0.020%"),
        (0.000_001, "<0.001%"),
        (0.0, "0.0%"),
        (None, "–"),
        (math.nan, "–"),
        (pd.NA, "–"),
    ],
)
def test_a_rate_below_one_percent_has_two_significant_digits(rate: object, text: str) -> None:
    assert share(rate) == text


@given(st.floats(0, 1))
def test_a_rate_above_zero_is_never_written_as_zero(rate: float) -> None:
    assert rate == 0 or float(share(rate).strip("<%")) > 0
    assert "e" not in share(rate)


def test_counts_and_changes_have_separators_and_signs() -> None:
    assert (count(1234567), count(-1234), count(None)) == ("1,234,567", "−1,234", "–")
    assert (signed(0.123), signed(-0.5), signed(0.004), signed(12.3)) == ("+12%", "−50%", "0%", "+1,230%")
    assert (mood(0.1), mood(-0.1), mood(0.001), mood(None)) == ("good", "bad", "", "")


def test_one_is_in_the_singular() -> None:
    assert amount(1, "clicks") == amount(0.7, "clicks") == "1 click"
    assert (amount(0, "impressions"), amount(1200, "days")) == ("0 impressions", "1,200 days")
