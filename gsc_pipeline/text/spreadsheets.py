"""CSV cells that a spreadsheet does not run as formulas."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from numbers import Number

_SEPARATORS = ";\t\r\n"
"""Where Excel and LibreOffice may split a cell, besides at commas, which the csv module quotes."""

_SKIPPED = r"\s;\"'`\x00-\x1f\x7f-\x9f\xad\u180e\u2018-\u201f\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"
"""What they skip before a formula: white space, quotes, control and invisible characters."""

_SIGNS = r"=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
"""What a formula begins with, also in full width and in small form."""

# Matches without a sign too: a long run is then read once, not from each of its characters on.
_BEGINNING = re.compile(rf"(\A[{_SKIPPED}]*+|[{_SEPARATORS}][{_SKIPPED}]*+)([{_SIGNS}])?")


def csv_row(cells: Iterable[object]) -> list[object]:
    """The row for a CSV file. Numbers and dates stay as they are, negative ones too.

    A text that a spreadsheet would run as a formula gets an apostrophe where the formula begins: any text
    may be a query that somebody typed.
    """
    return [_cell(value) for value in cells]


def _cell(value: object) -> object:
    if value is None or isinstance(value, Number | date):
        return value
    return _BEGINNING.sub(_disarmed, str(value))


def _disarmed(match: re.Match[str]) -> str:
    run, sign = match[1], match[2] or ""
    if sign:
        split = 1 + max(run.rfind(separator) for separator in _SEPARATORS)
        run = f"{run[:split]}'{run[split:]}"
    is_first = match.start() == 0 and (sign or run.startswith(("\t", "\r", "\n")))
    return ("'" if is_first and not run.startswith("'") else "") + run + sign
