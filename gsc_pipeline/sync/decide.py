"""Decides which days to read: a pure function of the probe and the ledger, without I/O.

A sync verifies its whole window and reads only the days that changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum

from gsc_pipeline.days import ONE_DAY, months_before, pacific_today
from gsc_pipeline.search_console.errors import ServiceUnavailableError
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, Source, Status

HISTORY_MONTHS = 16
"""How far back Search Console shows data."""

NO_QUERIES = "the list of queries came back empty, though earlier reads have rows with a query"
"""The reason of a day that was read without queries. The next sync reads it again."""

DOES_NOT_ADD_UP = "the rows do not add up to the day's totals"
"""The reason of a day whose rows did not add up in two syncs: the difference seems to be in Search Console's
data."""

READ_AGAIN_AFTER = timedelta(days=3)
"""A final day whose rows did not add up is read again after so long: the cause may have passed."""

DID_NOT_ADD_UP_ONCE = f"{DOES_NOT_ADD_UP}: to be read again"
"""The reason of a day whose rows did not add up in one sync: the day may have changed during the read."""

EARLIER_ROWS_KEPT = f"{DOES_NOT_ADD_UP}: the rows of an earlier read are kept, and the day is read again"
"""The reason of a day whose new rows did not add up in one sync, and whose earlier rows did."""

EARLIER_ROWS_ADD_UP = f"{DOES_NOT_ADD_UP}: the rows of an earlier read, which do, are kept"
"""The reason of a day whose new rows did not add up in two syncs, and whose earlier rows add up to the same
totals."""

QUERIES_KEPT = f"{NO_QUERIES}: these rows are kept, and the day is read again"
"""The reason of a day that one sync read without queries, and whose earlier rows with queries were good."""

REBUILT = "rebuilt from the rows in the tables"
"""The reason of a provisional day whose record was lost and rebuilt from its rows."""

REBUILT_AND_CONFIRMED = f"{REBUILT}; Search Console shows the same totals"

IMPORTED = "imported from the bulk export"
"""The reason of a day whose rows are from the bulk export."""

LOST_IMPORT = "its import was interrupted or its rows were lost: import the day again"
"""The reason of a day that was read from the API although its rows were from the bulk export."""

_UNCERTAIN = (NO_QUERIES, DID_NOT_ADD_UP_ONCE, EARLIER_ROWS_KEPT, QUERIES_KEPT)

_NOT_ADDED_UP = (DID_NOT_ADD_UP_ONCE, DOES_NOT_ADD_UP, EARLIER_ROWS_KEPT)

HAS_NO_GOOD_ROWS = (NO_QUERIES, DID_NOT_ADD_UP_ONCE, DOES_NOT_ADD_UP)
"""Reasons of days whose rows may be replaced by any others."""

_HISTORY_MARGIN = timedelta(days=7)
_SETTLED_AFTER = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer of one call for a window: the totals of the days with data, and the first incomplete day.

    `first_incomplete` is None when Search Console names none: then every day shown is final, unless the
    window reaches to yesterday, which cannot be.
    """

    totals: Mapping[date, DayTotals]
    first_incomplete: date | None = None


class Verdict(Enum):
    """What to do with a day."""

    READ = "read"
    """Read the day's rows, and replace those in the tables."""
    CLEAR = "clear"
    """The day has no data: remove its rows, if any, and record it with the decision's status."""
    UNCHANGED = "unchanged"
    """Change neither the ledger nor the tables."""
    CONFIRM = "confirm"
    """The day's record was rebuilt from its rows, and Search Console shows the same totals: make it final."""
    DISAGREE = "disagree"
    """The day is from the bulk export, and Search Console shows other totals: report it, change nothing."""
    FORGET = "forget"
    """The day was never read and is unavailable: remove its record."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one day, why, and its status afterwards."""

    day: date
    verdict: Verdict
    status: Status
    totals: DayTotals
    reason: str


def decide(
    days: Iterable[date], probe: Probe, ledger: Mapping[date, DayRecord], *, today: date, full: bool = False
) -> list[Decision]:
    """The decisions for the days that are available or have a record, newest first.

    `today` is the Pacific day; `full` reads every day that has data, of those from the bulk export only those
    whose totals differ. A day that is not available yet and has no record gets no decision. Raises
    ServiceUnavailableError if the probe shows none of several days that are known to have data: such an
    answer must not remove their rows.
    """
    if probe.first_incomplete is not None and probe.first_incomplete > today:
        # No day is complete before it has ended: such an answer says nothing about days without data.
        probe = replace(probe, first_incomplete=None)
    newest_first = sorted(set(days), reverse=True)
    known = [day for day in newest_first if _has_data(ledger.get(day))]
    shown = [day for day in newest_first if day in probe.totals]
    if len(known) > 1 and not shown and not is_beyond_history(known[0], today):
        raise ServiceUnavailableError(f"the answer shows none of {len(known)} days known to have data")
    incomplete_from = probe.first_incomplete
    if incomplete_from is None and today - ONE_DAY in newest_first:
        # Google names the first incomplete day of such a window: the answer lacks it, or is wrong.
        incomplete_from = today - _SETTLED_AFTER
    decisions = (
        _decide_day(day, probe, incomplete_from, ledger.get(day), today, full) for day in newest_first
    )
    return [decision for decision in decisions if decision is not None]


def settled(
    decision: Decision, before: DayRecord | None, *, adds_up: bool, lost_queries: bool
) -> tuple[Status, str]:
    """The status and reason of a day after a read; `before` is its record before the read.

    A day whose rows do not add up to its totals stays provisional, so the next sync reads it again. If the
    rows do not add up then either, the difference seems to be in Search Console's data: the day gets the
    decision's status, and its reason records the difference. Syncs whose window has the day read it again
    every READ_AGAIN_AFTER. A day that lost all its queries also stays provisional.
    """
    if lost_queries:
        return Status.PROVISIONAL, NO_QUERIES
    if adds_up:
        return decision.status, decision.reason
    if before is not None and before.reason in _NOT_ADDED_UP:
        return decision.status, DOES_NOT_ADD_UP
    return Status.PROVISIONAL, DID_NOT_ADD_UP_ONCE


def kept(
    decision: Decision, before: DayRecord, *, adds_up: bool, lost_queries: bool
) -> tuple[Status, str] | None:
    """The status and reason of a day whose earlier rows stay after a read; None if the new rows replace them.

    The earlier rows are good: they add up to the totals of `before`. The first sync whose read is worse keeps
    them, as the day may have changed during the read. If the read of the next sync is no better, Search
    Console's data are so: its rows are taken, unless the earlier rows add up to today's totals as well.
    """
    if lost_queries:
        return None if before.reason == QUERIES_KEPT else (Status.PROVISIONAL, QUERIES_KEPT)
    if adds_up:
        return None
    is_same = before.totals is not None and before.totals.is_same(decision.totals)
    if is_same and before.reason in (EARLIER_ROWS_KEPT, EARLIER_ROWS_ADD_UP):
        return decision.status, EARLIER_ROWS_ADD_UP
    return None if before.reason == EARLIER_ROWS_KEPT else (Status.PROVISIONAL, EARLIER_ROWS_KEPT)


def _has_data(record: DayRecord | None) -> bool:
    return record is not None and record.totals is not None and record.totals.impressions > 0


def is_beyond_history(day: date, today: date) -> bool:
    """Whether Search Console may no longer show the day."""
    return day < months_before(today, HISTORY_MONTHS) + _HISTORY_MARGIN


def _decide_day(
    day: date,
    probe: Probe,
    incomplete_from: date | None,
    record: DayRecord | None,
    today: date,
    full: bool,
) -> Decision | None:
    if record is not None and record.is_from_export:
        return _decide_imported(day, probe, record, today, full)
    totals = probe.totals.get(day)
    if totals is not None and (totals.impressions or totals.clicks):
        is_final = incomplete_from is None or day < incomplete_from
        return _decide_shown(day, totals, record, today, is_final=is_final, full=full)
    return _decide_not_shown(day, probe, record, today)


def _decide_imported(day: date, probe: Probe, record: DayRecord, today: date, full: bool) -> Decision:
    """The decision for a day from the bulk export, which has more rows than the API gives.

    Until the day is final in the API too, the API's totals are smaller.
    """
    complete_before = probe.first_incomplete or today - _SETTLED_AFTER
    shown = probe.totals.get(day)
    if shown is None and is_beyond_history(day, today):
        return _unchanged(day, record)
    is_settled = day < complete_before or (shown is not None and probe.first_incomplete is None)
    totals = shown or DayTotals()
    if not is_settled or (record.totals is not None and record.totals.is_same(totals)):
        return _unchanged(day, record)
    if full and totals.impressions:
        return Decision(day, Verdict.READ, record.status, totals, "full read requested")
    return Decision(day, Verdict.DISAGREE, record.status, totals, "")


def _decide_shown(
    day: date, totals: DayTotals, record: DayRecord | None, today: date, *, is_final: bool, full: bool
) -> Decision:
    status = Status.FINAL if is_final else Status.PROVISIONAL
    if not full and status is Status.FINAL and _is_rebuilt(record, totals):
        return Decision(day, Verdict.CONFIRM, status, totals, REBUILT_AND_CONFIRMED)
    reason = _reason_to_read(totals, status, record, today, full)
    return Decision(day, Verdict.READ if reason else Verdict.UNCHANGED, status, totals, reason)


def _is_rebuilt(record: DayRecord | None, totals: DayTotals) -> bool:
    """Whether the record was rebuilt from the day's rows, and the rows sum to these totals."""
    if record is None or record.totals is None:
        return False
    is_rebuilt = record.status is Status.PROVISIONAL and record.reason == REBUILT
    return is_rebuilt and record.totals.is_same(totals)


def _reason_to_read(
    totals: DayTotals, status: Status, record: DayRecord | None, today: date, full: bool
) -> str:
    if full:
        return "full read requested"
    if record is None:
        return "never read"
    if record.source == Source.BULK_EXPORT and record.status in (Status.FAILED, Status.WRITING):
        return LOST_IMPORT
    if record.status is Status.FAILED:
        return "last read failed"
    if record.status is Status.WRITING:
        return "a sync was interrupted, or is still running, while it replaced the rows"
    if record.totals is None or not record.totals.is_same(totals):
        return f"totals changed from {record.totals or 'unknown'} to {totals}"
    if record.status is Status.PROVISIONAL and status is Status.FINAL:
        return "became final"
    if record.reason in _UNCERTAIN or _is_due_again(record, today):
        return "the last read was incomplete or did not add up"
    return ""


def _is_due_again(record: DayRecord, today: date) -> bool:
    """Whether the rows of the day did not add up, and the last read was READ_AGAIN_AFTER ago."""
    if record.reason != DOES_NOT_ADD_UP or record.last_read_at is None:
        return False
    return today - pacific_today(record.last_read_at) >= READ_AGAIN_AFTER


def _decide_not_shown(day: date, probe: Probe, record: DayRecord | None, today: date) -> Decision | None:
    # Without a first incomplete day, the newest days may be empty or not available yet.
    complete_before = probe.first_incomplete or today - _SETTLED_AFTER
    if is_beyond_history(day, today):
        return _decide_unavailable(day, record, "older than the history that Search Console shows")
    if day < complete_before:
        return _decide_empty(day, record)
    if probe.first_incomplete is not None and day <= max([probe.first_incomplete, *probe.totals]):
        return _decide_without_data_so_far(day, record)
    return _decide_unavailable(day, record, "not available yet")


def _decide_empty(day: date, record: DayRecord | None) -> Decision:
    if record is not None and record.status is Status.EMPTY:
        return _unchanged(day, record)
    reason = "no data" if record is None else "no longer shown by Search Console"
    return Decision(day, Verdict.CLEAR, Status.EMPTY, DayTotals(), reason)


def _decide_without_data_so_far(day: date, record: DayRecord | None) -> Decision:
    # Rows read earlier stay until the day is known to be empty: fresh data can disappear and come back.
    if record is not None and (record.status is not Status.FAILED or record.last_read_at is not None):
        return _unchanged(day, record)
    return Decision(day, Verdict.CLEAR, Status.PROVISIONAL, DayTotals(), "no data yet")


def _decide_unavailable(day: date, record: DayRecord | None, why: str) -> Decision | None:
    if record is None:
        return None
    if record.status is Status.FAILED and record.last_read_at is None:
        return Decision(day, Verdict.FORGET, record.status, DayTotals(), why)
    return _unchanged(day, record)


def _unchanged(day: date, record: DayRecord) -> Decision:
    return Decision(day, Verdict.UNCHANGED, record.status, record.totals or DayTotals(), "")
