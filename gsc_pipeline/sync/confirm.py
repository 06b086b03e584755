"""Confirms with a second call that days no longer have data, before their rows are removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pyarrow.compute as pc

from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import CircuitOpenError, CredentialError, SearchConsoleError
from gsc_pipeline.search_console.requests import PropertyTotals
from gsc_pipeline.search_console.search_types import FeedType, SearchType
from gsc_pipeline.sync.grains import search_type_in_tables
from gsc_pipeline.sync.problems import Problem

_NEXT_STEP = "the rows of these days stay, and the next sync checks again"


def unconfirmed(
    console: SearchConsole, site_url: str, search_type: SearchType, empty_days: Sequence[date]
) -> Problem | None:
    """Check `empty_days` with one call each. Returns a problem with the days that could not be confirmed.

    Returns None if every day is confirmed to be empty. A call requests the totals of one day by country and
    device. The first call that fails or shows data ends the check: its day and the days after it are
    unconfirmed. Raises CredentialError and CircuitOpenError.
    """
    where = (site_url, search_type_in_tables(search_type))
    for i, day in enumerate(empty_days):
        days = tuple(sorted(empty_days[i:]))
        try:
            if not _has_data(console, site_url, search_type, day):
                continue
        except (CredentialError, CircuitOpenError):
            raise
        except SearchConsoleError as error:
            cause = f"the totals by day have no data of these days, and a second call failed ({error.cause})"
            return replace(Problem.of(error, *where, days), cause=cause, next_step=_NEXT_STEP)
        return Problem(
            f"the totals by day have no data of these days, but a second call shows data of {day}",
            *where,
            days,
            next_step=_NEXT_STEP,
            transient=True,
            deferred=True,
        )
    return None


def _has_data(console: SearchConsole, site_url: str, search_type: SearchType, day: date) -> bool:
    # The API may refuse the dimension `device` for googleNews. It always accepts `country`.
    with_device = search_type is not FeedType.GOOGLE_NEWS
    rows = console.query(site_url, PropertyTotals(search_type, day, with_device=with_device)).rows
    return bool(pc.any(pc.greater(rows["impressions"], 0)).as_py())
