"""Options that several commands have, and their values.

Imports are inside the functions, so that each command starts fast.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from gsc_pipeline.settings import ConfigurationError, folder_or_uri

if TYPE_CHECKING:
    from gsc_pipeline.days import Window

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

MOST_DAYS = 3660
"""Ten years, far more than Search Console shows."""


def chosen_window(
    days: int | None, start: str | None, end: str | None, today: date, default_days: int
) -> Window:
    """The window of the options. Raises ConfigurationError if it is reversed or not over yet."""
    from gsc_pipeline.days import ONE_DAY, Window

    if start is None and end is None:
        if days is not None and not 1 <= days <= MOST_DAYS:
            raise ConfigurationError("--days", [f"{days}: expected 1 to {MOST_DAYS}"])
        return Window.last_complete(default_days if days is None else days, today)
    if days is not None or start is None:
        raise ConfigurationError("window", ["expected either --days, or --start with or without --end"])
    first = chosen_day("--start", start)
    last = today - ONE_DAY if end is None else chosen_day("--end", end)
    if last >= today or first >= today:
        late = last if last >= today else first
        raise ConfigurationError("window", [f"{late} is not over in California, where it is {today}"])
    if first > last:
        raise ConfigurationError("window", [f"reversed: --start {first} is after --end {last}"])
    return Window.inclusive(first, last)


def chosen_days(start: str | None, end: str | None) -> Window | None:
    """The days of an import; None for all."""
    from gsc_pipeline.days import Window

    if start is None and end is None:
        return None
    first = date.min if start is None else chosen_day("--start", start)
    last = date(9999, 1, 1) if end is None else chosen_day("--end", end)
    if first > last:
        raise ConfigurationError("window", [f"reversed: --start {first} is after --end {last}"])
    return Window.inclusive(first, last)


def chosen_place(option: str, text: str) -> str:
    """The folder or URI that the option names. Raises ConfigurationError."""
    try:
        return folder_or_uri(text)
    except ValueError as error:
        raise ConfigurationError(option, [f"{text!r}: {error}"]) from None


def chosen_day(option: str, text: str) -> date:
    """The day that the option names. Raises ConfigurationError."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(option, [f"{text!r}: expected a date such as 2026-11-20"]) from None
