"""Which days to read: a pure function of the probe and the ledger.

So that a sync verifies its whole window and reads only what moved. Does not belong here: I/O of any kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum

from gsc_pipeline.days import months_before
from gsc_pipeline.search_console.errors import ServiceUnavailableError
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, Status

HISTORY_MONTHS = 16
"""How far back Search Console shows data."""

NO_QUERIES = "the list of queries came back empty, though earlier reads have rows with a query"
"""The reason of a day that was read so, to be read again by the next sync."""

DOES_NOT_ADD_UP = "the rows do not add up to the day's totals"
"""The reason of a day that two syncs have read so: that is how Search Console counts it."""

DID_NOT_ADD_UP_ONCE = f"{DOES_NOT_ADD_UP}: to be read again"
"""The reason of a day that one sync has read so: it may have moved while it was read."""

REBUILT = "rebuilt from the rows in the tables"
"""The reason of a provisional day whose record was lost and made again from its rows."""

REBUILT_AND_CONFIRMED = f"{REBUILT}; Search Console shows the same totals"

_IN_DOUBT = (NO_QUERIES, DID_NOT_ADD_UP_ONCE)

_HISTORY_MARGIN = timedelta(days=7)
_SETTLED_AFTER = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Probe:
    """One call's view of a window: the totals of the days that have data, and the first incomplete day.

    `first_incomplete` is None when Search Console names none: then every day shown is final.
    """

    totals: Mapping[date, DayTotals]
    first_incomplete: date | None = None


class Verdict(Enum):
    """What to do about a day."""

    READ = "read"
    """Read its rows and put them in the place of the old ones."""
    CLEAR = "clear"
    """It has no data: it loses any rows it had, and the ledger says so."""
    UNCHANGED = "unchanged"
    """What the ledger and the tables hold is still true."""
    CONFIRM = "confirm"
    """Its record was made from its rows, and Search Console agrees with it: it is final without a read."""
    FORGET = "forget"
    """It was never read and is not to be had, so it loses its record."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one day, why, and the status it has once done."""

    day: date
    verdict: Verdict
    status: Status
    totals: DayTotals
    reason: str


def decide(
    days: Iterable[date], probe: Probe, ledger: Mapping[date, DayRecord], *, today: date, full: bool = False
) -> list[Decision]:
    """A decision for each of the days that is there or has a record, newest first.

    `today` is the Pacific day; `full` reads every day that has data. A day that is not there yet and was
    never heard of gets no decision. Raises ServiceUnavailableError where the probe shows nothing at all
    of several days known to have data: such an answer is no news, and must not cost them their rows.
    """
    newest_first = sorted(set(days), reverse=True)
    known = [day for day in newest_first if _has_data(ledger.get(day))]
    shown = [day for day in newest_first if day in probe.totals]
    if len(known) > 1 and not shown and not _is_beyond_history(known[0], today):
        raise ServiceUnavailableError(f"the answer shows none of {len(known)} days known to have data")
    decisions = (_decide_day(day, probe, ledger.get(day), today, full) for day in newest_first)
    return [decision for decision in decisions if decision is not None]


def _has_data(record: DayRecord | None) -> bool:
    return record is not None and record.totals is not None and record.totals.impressions > 0


def _is_beyond_history(day: date, today: date) -> bool:
    return day < months_before(today, HISTORY_MONTHS) + _HISTORY_MARGIN


def _decide_day(
    day: date, probe: Probe, record: DayRecord | None, today: date, full: bool
) -> Decision | None:
    totals = probe.totals.get(day)
    if totals is not None and (totals.impressions or totals.clicks):
        return _decide_shown(day, totals, probe, record, full)
    return _decide_not_shown(day, probe, record, today)


def _decide_shown(
    day: date, totals: DayTotals, probe: Probe, record: DayRecord | None, full: bool
) -> Decision:
    final = probe.first_incomplete is None or day < probe.first_incomplete
    status = Status.FINAL if final else Status.PROVISIONAL
    if not full and status is Status.FINAL and _is_rebuilt(record, totals):
        return Decision(day, Verdict.CONFIRM, status, totals, REBUILT_AND_CONFIRMED)
    reason = _reason_to_read(totals, status, record, full)
    return Decision(day, Verdict.READ if reason else Verdict.UNCHANGED, status, totals, reason)


def _is_rebuilt(record: DayRecord | None, totals: DayTotals) -> bool:
    """Whether the record was made from the day's rows, and these are the totals that they sum to."""
    if record is None or record.totals is None:
        return False
    is_rebuilt = record.status is Status.PROVISIONAL and record.reason == REBUILT
    return is_rebuilt and record.totals.is_same(totals)


def _reason_to_read(totals: DayTotals, status: Status, record: DayRecord | None, full: bool) -> str:
    if full:
        return "full read asked for"
    if record is None:
        return "never read"
    if record.status is Status.FAILED:
        return "last read failed"
    if record.status is Status.WRITING:
        return "a sync ended, or has not ended yet, while it replaced the rows"
    if record.totals is None or not record.totals.is_same(totals):
        return f"totals moved from {_text(record.totals)} to {_text(totals)}"
    if record.status is Status.PROVISIONAL and status is Status.FINAL:
        return "became final"
    if record.reason in _IN_DOUBT:
        return "the last read was in doubt"
    return ""


def _decide_not_shown(day: date, probe: Probe, record: DayRecord | None, today: date) -> Decision | None:
    # Without a first incomplete day, the newest days may be empty or not there yet: only time tells.
    complete_before = probe.first_incomplete or today - _SETTLED_AFTER
    if _is_beyond_history(day, today):
        return _decide_not_to_be_had(day, record, "older than what Search Console shows")
    if day < complete_before:
        return _decide_empty(day, record)
    if probe.first_incomplete is not None and day <= max([probe.first_incomplete, *probe.totals]):
        return _decide_without_data_so_far(day, record)
    return _decide_not_to_be_had(day, record, "not there yet")


def _decide_empty(day: date, record: DayRecord | None) -> Decision:
    if record is not None and record.status is Status.EMPTY:
        return _unchanged(day, record)
    reason = "no data" if record is None else "vanished from Search Console"
    return Decision(day, Verdict.CLEAR, Status.EMPTY, DayTotals(), reason)


def _decide_without_data_so_far(day: date, record: DayRecord | None) -> Decision:
    # Rows read earlier stay until the day is known to be empty: fresh data has been seen to come and go.
    if record is not None and (record.status is not Status.FAILED or record.last_read_at is not None):
        return _unchanged(day, record)
    return Decision(day, Verdict.CLEAR, Status.PROVISIONAL, DayTotals(), "no data so far")


def _decide_not_to_be_had(day: date, record: DayRecord | None, why: str) -> Decision | None:
    if record is None:
        return None
    if record.status is Status.FAILED and record.last_read_at is None:
        return Decision(day, Verdict.FORGET, record.status, DayTotals(), why)
    return _unchanged(day, record)


def _unchanged(day: date, record: DayRecord) -> Decision:
    return Decision(day, Verdict.UNCHANGED, record.status, record.totals or DayTotals(), "")


def _text(totals: DayTotals | None) -> str:
    if totals is None:
        return "unknown"
    position = "" if totals.position is None else f" at position {totals.position:.2f}"
    return f"{totals.clicks} clicks, {totals.impressions} impressions{position}"
