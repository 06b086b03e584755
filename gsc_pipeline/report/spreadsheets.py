"""CSV files that are safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pandas as pd

from gsc_pipeline.text.spreadsheets import csv_row


def csv_file(rows: pd.DataFrame) -> bytes:
    """A header and the rows, in UTF-8 with the byte order mark that Excel needs."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(rows.columns)
    for row in rows.itertuples(index=False):
        writer.writerow(csv_row(_value(cell) for cell in row))
    return text.getvalue().encode("utf-8-sig")


def _value(cell: object) -> object:
    if pd.api.types.is_scalar(cell) and pd.isna(cell):  # type: ignore[call-overload]
        return ""
    return cell.date() if isinstance(cell, pd.Timestamp) else cell
