"""Prints rows as a table that fits the terminal, as CSV, or as JSON."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gsc_pipeline.text.printing import escaped
from gsc_pipeline.text.spreadsheets import csv_row

if TYPE_CHECKING:
    from rich.console import Console

Rows = Sequence[Sequence[Any]]

NARROW = 20
"""Cells up to this many characters are never wrapped."""
BETWEEN = 2
"""Spaces between columns."""


def print_rows(
    columns: Sequence[str],
    rows: Rows,
    *,
    essential: Collection[str] = (),
    colours: Mapping[str, str] = {},
) -> None:
    """Print a table with numbers aligned right. Where there is no terminal, lines are never wrapped.

    A terminal that is too narrow shows the `essential` columns only, or a line per cell. A cell that is a key
    of `colours` has that colour there.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        _print_table(Console(highlight=False, width=100_000), columns, rows, {})
        return
    if essential and not _fits(console.width, columns, rows):
        kept = [i for i, column in enumerate(columns) if column in essential]
        columns, rows = [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]
    if _fits(console.width, columns, rows):
        _print_table(console, columns, rows, colours)
    else:
        _print_records(columns, rows)


def print_csv(columns: Sequence[str], rows: Rows) -> None:
    """Print CSV with a header line, with formulas disarmed. A terminal gets no control characters."""
    is_terminal = sys.stdout.isatty()
    writer = csv.writer(sys.stdout)
    for row in (columns, *rows):
        cells = csv_row(row)
        writer.writerow([_cell(cell) for cell in cells] if is_terminal else cells)


def print_json(columns: Sequence[str], rows: Rows) -> None:
    """Print a JSON array of objects: dates and times in ISO form, NaN and infinity as null."""
    objects = [dict(zip(columns, map(_finite, row), strict=True)) for row in rows]
    print(json.dumps(objects, default=str))  # noqa: T201


def _fits(width: int, columns: Sequence[str], rows: Rows) -> bool:
    """Whether every column has room for its header, its numbers and dates, and NARROW characters of text."""
    needed = [
        max(len(column), min(NARROW, max((len(_cell(row[i])) for row in rows), default=0)))
        for i, column in enumerate(columns)
    ]
    return sum(needed) + BETWEEN * (len(columns) - 1) <= width


def _print_table(console: Console, columns: Sequence[str], rows: Rows, colours: Mapping[str, str]) -> None:
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, BETWEEN, 0, 0), header_style="bold")
    for i, column in enumerate(columns):
        numeric = any(isinstance(row[i], int | float) for row in rows)
        is_short = all(len(_cell(row[i])) <= max(NARROW, len(column)) for row in rows)
        table.add_column(
            escape(_cell(column)),
            justify="right" if numeric else "left",
            no_wrap=is_short or not console.is_terminal,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(_cell(value), colours.get(value, "")) for value in row))
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        print(line.rstrip())  # noqa: T201


def _print_records(columns: Sequence[str], rows: Rows) -> None:
    """Print each row as a block of lines, one per cell."""
    width = max(map(len, columns))
    for number, row in enumerate(rows):
        if number:
            print()  # noqa: T201
        for column, value in zip(columns, row, strict=True):
            print(f"{_cell(column):<{width}}  {_cell(value)}".rstrip())  # noqa: T201


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(round(value, 4)) if isinstance(value, float) else escaped(str(value), keep="\n")
