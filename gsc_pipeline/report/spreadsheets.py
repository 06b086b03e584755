"""Findings as CSV that is safe to open in a spreadsheet.

Belongs here: writing, and disarming cells. Does not: which tables there are (`findings`).
"""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(path: Path, rows: pd.DataFrame) -> None:
    """Write the rows with a header, UTF-8 with the mark that Excel needs to see that it is.

    A text that a spreadsheet would take for a formula gets a leading apostrophe: queries are typed by
    strangers. Numbers, negative ones too, stay numbers.
    """
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows.columns)
        for row in rows.itertuples(index=False):
            writer.writerow([_cell(value) for value in row])


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_BEGINS_A_FORMULA) else value
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return value.date() if isinstance(value, pd.Timestamp) else value
