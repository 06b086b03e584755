"""Asks a second time, and otherwise, for days that the probe does not show although the tables hold rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow.compute as pc

from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import (
    DEFERRED,
    CircuitOpenError,
    CredentialError,
    SearchConsoleError,
    TransientError,
)
from gsc_pipeline.search_console.requests import PropertyTotals
from gsc_pipeline.search_console.search_types import FeedType, SearchType


@dataclass(frozen=True, slots=True)
class Doubt:
    """Days that must keep their rows, and why. `transient` and `deferred` as in a Problem."""

    days: tuple[date, ...]
    cause: str
    transient: bool = True
    deferred: bool = True


def doubt_of(
    console: SearchConsole, site_url: str, search_type: SearchType, vanished: Sequence[date]
) -> Doubt | None:
    """The days that no second answer confirms to be gone; None where each of them is gone.

    One call a day, for that day alone and grouped by country and device, until one contradicts the probe or
    fails: then that day and the rest are in doubt. Raises CredentialError and CircuitOpenError.
    """
    for i, day in enumerate(vanished):
        try:
            if not _has_data(console, site_url, search_type, day):
                continue
        except (CredentialError, CircuitOpenError):
            raise
        except SearchConsoleError as error:
            return Doubt(
                tuple(sorted(vanished[i:])),
                f"the answer by day does not show them, and a second look failed ({error.cause})",
                isinstance(error, TransientError),
                isinstance(error, DEFERRED),
            )
        return Doubt(
            tuple(sorted(vanished[i:])),
            f"the answer by day does not show them, though a second one has {day}",
        )
    return None


def _has_data(console: SearchConsole, site_url: str, search_type: SearchType, day: date) -> bool:
    # Whether googleNews is answered by device is not known; by country it always is.
    with_device = search_type is not FeedType.GOOGLE_NEWS
    rows = console.query(site_url, PropertyTotals(search_type, day, with_device=with_device)).rows
    return bool(pc.any(pc.greater(rows["impressions"], 0)).as_py())
