"""The problems of a sync. Logs, reports and the UI show the same text of a problem."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

from gsc_pipeline.search_console.errors import (
    DEFERRED,
    PropertyError,
    SearchConsoleError,
    TransientError,
    printable,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong. `site_url` and `search_type` are empty if it concerns the whole workspace.

    `next_step` says what to do about it, `days` which days were not read because of it. `transient`: another
    attempt may succeed. `deferred`: not within minutes, as a quota is used up, a circuit is open or another
    sync holds the workspace. `retry_at` (UTC): not before then. `is_refusal`: the credential may not read the
    property, which does not count against the workspace.
    """

    cause: str
    site_url: str = ""
    search_type: str = ""
    days: tuple[date, ...] = ()
    next_step: str = ""
    transient: bool = False
    deferred: bool = False
    is_refusal: bool = False
    retry_at: datetime | None = None

    @classmethod
    def of(
        cls,
        error: SearchConsoleError,
        site_url: str = "",
        search_type: str = "",
        days: Iterable[date] = (),
        *,
        about: str = "",
    ) -> Self:
        """The problem of a failed call. `about` names what the call was for, where that is not a day."""
        retry_at = error.retry_at if isinstance(error, TransientError) else None
        return cls(
            f"{about}: {error.cause}" if about else error.cause,
            site_url,
            search_type,
            tuple(days),
            next_step=error.remedy,
            transient=isinstance(error, TransientError),
            deferred=isinstance(error, DEFERRED) or retry_at is not None,
            is_refusal=isinstance(error, PropertyError),
            retry_at=retry_at,
        )

    @classmethod
    def of_fault(cls, error: Exception, site_url: str = "", search_type: str = "") -> Self:
        """The problem of an unexpected error, which is a fault of this project."""
        return cls(
            f"a fault of gsc_pipeline ({type(error).__name__}: {printable(str(error))})",
            site_url,
            search_type,
            next_step="please report it with the log; the next sync tries again",
        )

    def __str__(self) -> str:
        kind = f" ({self.search_type})" if self.search_type else ""
        where = f"{self.site_url}{kind} " if self.site_url else ""
        what = f"{self.cause}; {self.next_step}" if self.next_step else self.cause
        return f"{where}{_days_text(self.days)}{what}"


NO_PROPERTY = Problem(
    "the credential can read no property", next_step="add it as a user of a property in Search Console"
)


def _days_text(days: Iterable[date]) -> str:
    ordered = sorted(days)
    if not ordered:
        return ""
    if len(ordered) == 1:
        return f"{ordered[0]}: "
    return f"{len(ordered)} days from {ordered[0]} to {ordered[-1]}: "
