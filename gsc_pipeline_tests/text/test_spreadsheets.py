"""Texts in CSV files that spreadsheets would run, and those that they would not."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from gsc_pipeline.text.spreadsheets import csv_row

DDE = "cmd|' /C calc'!A0"


@pytest.mark.parametrize("sign", "=+-@＝＋－＠﹦﹢﹣﹫")
@pytest.mark.parametrize(
    "before",
    ["", " ", "\t", "\n", "\r\n", "\u3000", "\xa0", "\ufeff", "\u200b", "\x00", '"', "'", "\u201c", ' \n"\t'],
)
def test_a_formula_at_the_beginning_gets_an_apostrophe(before: str, sign: str) -> None:
    (cell,) = csv_row([f"{before}{sign}{DDE}"])
    assert isinstance(cell, str)
    assert cell.startswith("'")
    assert cell.replace("'", "") == f"{before}{sign}{DDE}".replace("'", "")


@pytest.mark.parametrize("separator", [";", "\t", "\n", "\r\n", ";;", '";"', "; "])
def test_a_formula_where_a_spreadsheet_splits_a_cell_gets_an_apostrophe(separator: str) -> None:
    (cell,) = csv_row([f"shoes{separator}={DDE}"])
    assert isinstance(cell, str)
    assert f"={DDE}" in cell
    between = cell.removeprefix("shoes").removesuffix(f"={DDE}")
    assert between.replace("'", "") == separator
    assert "'" in between


@pytest.mark.parametrize("text", ["\tx", "\rx", "\nx"])
def test_a_text_that_begins_with_a_tab_or_a_line_break_gets_an_apostrophe(text: str) -> None:
    assert csv_row([text]) == ["'" + text]


@pytest.mark.parametrize(
    "text",
    ["", "shoes", "shoes - red", "a=b", "me@example.com", "x; y", "5-10", "how to = sum", "https://a.com/?b=c;d=e",
     "c++", " shoes", '"shoes"', "don't", "é", "靴"],
)  # fmt: skip
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert csv_row([text]) == [text]


def test_numbers_and_dates_stay_numbers_and_dates() -> None:
    values = [-5, -0.5, Decimal("-1.5"), None, True, date(2026, 11, 20), datetime(2026, 11, 20, 6)]
    assert csv_row(values) == values


def test_lists_are_texts() -> None:
    assert csv_row([["a;=1"]]) == ["['a;'=1']"]


def test_a_long_text_takes_linear_time() -> None:
    for unit in (" ", "; ", '"', "\n", "'"):
        csv_row([unit * 300_000])
