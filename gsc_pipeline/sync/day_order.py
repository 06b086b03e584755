"""The order in which the days of a property are read, and the failures after which no more of them are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from zlib import crc32

from gsc_pipeline.search_console.errors import (
    DEFERRED,
    WAS_NOT_SENT,
    CircuitOpenError,
    CredentialError,
    SearchConsoleError,
    WrongAnswerError,
)
from gsc_pipeline.sync.decide import Decision
from gsc_pipeline.sync.ledger import DayRecord, Status

STOPS_WORKSPACE = (CredentialError, CircuitOpenError)
"""Failures that affect every property of the workspace."""

GIVE_UP_AFTER = 3
"""After this many consecutive days that failed, a property's remaining days are skipped."""


def place_in_run(day: date, run_id: str) -> int:
    """A number by which days are in another order in each run."""
    return crc32(f"{run_id} {day}".encode())


def in_order(decisions: Iterable[Decision], records: Mapping[date, DayRecord], run_id: str) -> list[Decision]:
    """The decisions in the order in which their days are read: the days whose own call failed come last.

    Each run has another order of those, so that none keeps the others from being read in every sync.
    """

    def place(decision: Decision) -> int:
        day = decision.day
        return 1 + place_in_run(day, run_id) if failed_when_asked(records.get(day)) else 0

    return sorted(decisions, key=place)


def failed_when_asked(record: DayRecord | None) -> bool:
    """Whether the day is failed, and because of its own call."""
    if record is None or record.status is not Status.FAILED:
        return False
    return not record.reason.startswith(WAS_NOT_SENT)


def may_continue(error: SearchConsoleError, failed_in_a_row: int) -> bool:
    """Whether to read the property's remaining days after one has failed.

    The probe of this sync was answered, so that a refusal too may concern the day alone.
    """
    if isinstance(error, WrongAnswerError):
        return True
    return not isinstance(error, (*DEFERRED, *STOPS_WORKSPACE)) and failed_in_a_row < GIVE_UP_AFTER
