"""The rules that decide which days a sync reads, one test each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.search_console.errors import ServiceUnavailableError
from gsc_pipeline.sync.decide import LOST_IMPORT, Decision, Probe, Verdict, decide
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, Source, Status

TODAY = date(2026, 11, 22)
DAY = date(2026, 11, 10)
READ_AT = datetime(2026, 11, 12, tzinfo=UTC)
SOME = DayTotals(clicks=5, impressions=100, position=7.25)


def record(status: Status = Status.FINAL, totals: DayTotals | None = SOME, *, read: bool = True) -> DayRecord:
    return DayRecord(DAY, status, totals, site_rows=3, url_rows=4, last_read_at=READ_AT if read else None)


def decision(
    probe: Probe, known: DayRecord | None = None, *, day: date = DAY, today: date = TODAY, full: bool = False
) -> Decision | None:
    ledger = {} if known is None else {day: known}
    decisions = decide(Window.inclusive(day, day), probe, ledger, today=today, full=full)
    return decisions[0] if decisions else None


def shown(totals: DayTotals = SOME, first_incomplete: date | None = None, day: date = DAY) -> Probe:
    return Probe({day: totals}, first_incomplete)


def test_a_day_never_read_is_read() -> None:
    found = decision(shown())
    assert found == Decision(DAY, Verdict.READ, Status.FINAL, SOME, "never read")


def test_a_final_day_with_the_same_totals_is_unchanged() -> None:
    found = decision(shown(), record())
    assert found is not None
    assert found.verdict is Verdict.UNCHANGED


@pytest.mark.parametrize(
    "moved",
    [DayTotals(6, 100, 7.25), DayTotals(5, 101, 7.25), DayTotals(5, 100, 7.26), DayTotals(5, 100, None)],
    ids=["clicks", "impressions", "position", "position gone"],
)
def test_a_final_day_is_read_again_when_any_of_its_totals_changed(moved: DayTotals) -> None:
    found = decision(shown(moved), record())
    assert found is not None
    assert found.verdict is Verdict.READ
    assert "changed from 5 clicks" in found.reason


def test_a_different_last_digit_of_the_position_is_not_a_change() -> None:
    found = decision(shown(DayTotals(5, 100, 7.25 + 1e-12)), record())
    assert found is not None
    assert found.verdict is Verdict.UNCHANGED


def test_a_day_at_or_after_the_first_incomplete_one_is_provisional() -> None:
    at = decision(shown(first_incomplete=DAY))
    before = decision(shown(first_incomplete=DAY + ONE_DAY))
    assert at is not None
    assert before is not None
    assert (at.status, before.status) == (Status.PROVISIONAL, Status.FINAL)


def test_a_provisional_day_is_read_once_more_when_it_becomes_final() -> None:
    found = decision(shown(first_incomplete=DAY + ONE_DAY), record(Status.PROVISIONAL))
    assert found is not None
    assert (found.verdict, found.status, found.reason) == (Verdict.READ, Status.FINAL, "became final")


def test_a_provisional_day_with_the_same_totals_is_unchanged_while_provisional() -> None:
    found = decision(shown(first_incomplete=DAY), record(Status.PROVISIONAL))
    assert found is not None
    assert (found.verdict, found.status) == (Verdict.UNCHANGED, Status.PROVISIONAL)


def test_a_failed_day_is_read_again_even_if_its_totals_are_the_same() -> None:
    found = decision(shown(), record(Status.FAILED))
    assert found is not None
    assert (found.verdict, found.reason) == (Verdict.READ, "last read failed")


def test_a_full_read_reads_an_unchanged_day() -> None:
    found = decision(shown(), record(), full=True)
    assert found is not None
    assert found.verdict is Verdict.READ


def test_a_day_without_data_before_the_first_incomplete_one_is_empty() -> None:
    found = decision(Probe({}, DAY + ONE_DAY))
    assert found is not None
    assert (found.verdict, found.status) == (Verdict.CLEAR, Status.EMPTY)


def test_an_empty_day_stays_empty_without_another_write() -> None:
    found = decision(Probe({}, DAY + ONE_DAY), record(Status.EMPTY, DayTotals()))
    assert found is not None
    assert found.verdict is Verdict.UNCHANGED


def test_an_empty_day_that_gets_data_is_read() -> None:
    found = decision(shown(), record(Status.EMPTY, DayTotals()))
    assert found is not None
    assert found.verdict is Verdict.READ


def test_a_day_shown_with_zeros_is_a_day_without_data() -> None:
    found = decision(shown(DayTotals(0, 0, 0.0), DAY + ONE_DAY))
    assert found is not None
    assert found.status is Status.EMPTY


def test_a_final_day_that_is_no_longer_shown_loses_its_rows() -> None:
    found = decision(Probe({}, DAY + ONE_DAY), record())
    assert found is not None
    assert (found.verdict, found.status) == (Verdict.CLEAR, Status.EMPTY)
    assert "no longer shown" in found.reason


def test_a_first_incomplete_day_in_the_future_says_nothing_about_days_without_data() -> None:
    yesterday = TODAY - ONE_DAY
    for first_incomplete, is_known in ((TODAY, True), (TODAY + ONE_DAY, False), (date.max, False)):
        found = decision(shown(first_incomplete=first_incomplete), day=yesterday)
        assert (found is not None and found.status is Status.EMPTY) is is_known
        # A window in the past may end long before that day.
        past = decision(shown(first_incomplete=first_incomplete))
        assert past is not None
        assert past.status is Status.FINAL


def test_the_first_incomplete_day_is_provisional_even_without_data() -> None:
    found = decision(Probe({}, DAY))
    assert found is not None
    assert (found.verdict, found.status) == (Verdict.CLEAR, Status.PROVISIONAL)


def test_a_gap_among_incomplete_days_that_are_shown_is_provisional() -> None:
    probe = Probe({DAY + ONE_DAY: SOME}, DAY - ONE_DAY)
    found = decision(probe)
    assert found is not None
    assert found.status is Status.PROVISIONAL


def test_a_day_after_the_newest_shown_one_is_not_available_yet() -> None:
    assert decision(Probe({}, DAY - ONE_DAY)) is None


def test_a_provisional_day_that_one_answer_does_not_show_keeps_its_rows() -> None:
    found = decision(Probe({}, DAY), record(Status.PROVISIONAL))
    assert found is not None
    assert found.verdict is Verdict.UNCHANGED


def test_a_failed_record_of_a_day_that_is_not_available_yet_is_removed() -> None:
    found = decision(Probe({}, DAY - ONE_DAY), record(Status.FAILED, None, read=False))
    assert found is not None
    assert found.verdict is Verdict.FORGET


@pytest.mark.parametrize("days_ago", [1, 2])
def test_a_new_day_is_not_recorded_as_empty_while_it_may_be_late(days_ago: int) -> None:
    # Search Console names the first incomplete day only if there is one. Here it names none.
    assert decision(Probe({}), today=DAY + days_ago * ONE_DAY) is None


def test_an_old_day_that_is_no_longer_shown_is_not_recorded_as_empty_and_keeps_its_rows() -> None:
    day = date(2025, 7, 1)
    assert decision(Probe({}, TODAY), day=day) is None
    found = decision(Probe({}, TODAY), record(), day=day)
    assert found is not None
    assert (found.verdict, found.status) == (Verdict.UNCHANGED, Status.FINAL)


@pytest.mark.parametrize("first_incomplete", [None, TODAY + ONE_DAY], ids=["none", "in the future"])
def test_the_last_days_before_today_are_not_final_without_a_true_first_incomplete_day(
    first_incomplete: date | None,
) -> None:
    window = Window.last_complete(5, TODAY)
    found = decide(window, Probe(dict.fromkeys(window, SOME), first_incomplete), {}, today=TODAY)
    assert [one.status for one in found] == [Status.PROVISIONAL] * 3 + [Status.FINAL] * 2
    # Google names no first incomplete day of a window without one.
    before_yesterday = Window(window.start, TODAY - ONE_DAY)
    found = decide(before_yesterday, Probe(dict.fromkeys(before_yesterday, SOME)), {}, today=TODAY)
    assert {one.status for one in found} == {Status.FINAL}


def test_an_old_day_that_is_still_shown_is_read() -> None:
    day = date(2024, 5, 3)
    found = decision(shown(day=day), day=day)
    assert found is not None
    assert found.verdict is Verdict.READ


def test_the_newest_day_comes_first() -> None:
    window = Window(DAY, DAY + 3 * ONE_DAY)
    decisions = decide(window, Probe(dict.fromkeys(window, SOME)), {}, today=TODAY)
    assert [found.day for found in decisions] == sorted(window, reverse=True)


_totals = st.one_of(
    st.none(),
    st.builds(DayTotals, st.integers(0, 3), st.integers(0, 3), st.floats(1, 9)),
)


@given(
    totals=st.lists(_totals, min_size=10, max_size=10),
    first_incomplete=st.one_of(st.none(), st.integers(0, 10)),
)
def test_once_its_decisions_are_applied_the_same_probe_changes_nothing(
    totals: list[DayTotals | None], first_incomplete: int | None
) -> None:
    window = Window(TODAY - 10 * ONE_DAY, TODAY)
    probe = Probe(
        {day: one for day, one in zip(window, totals, strict=True) if one is not None},
        None if first_incomplete is None else window.start + timedelta(first_incomplete),
    )
    ledger: dict[date, DayRecord] = {}
    for found in decide(window, probe, ledger, today=TODAY):
        read_at = READ_AT if found.verdict is Verdict.READ else None
        ledger[found.day] = DayRecord(found.day, found.status, found.totals, last_read_at=read_at)
    again = decide(window, probe, ledger, today=TODAY)
    assert {found.verdict for found in again} <= {Verdict.UNCHANGED}


def test_an_answer_that_shows_none_of_several_known_days_is_an_error_and_removes_no_rows() -> None:
    window = Window(DAY, DAY + 3 * ONE_DAY)
    known = {day: DayRecord(day, Status.FINAL, SOME, 3, 4, last_read_at=READ_AT) for day in window}
    with pytest.raises(ServiceUnavailableError, match="none of 3 days known to have data"):
        decide(window, Probe({}), known, today=TODAY)


IMPORTED_DAY = replace(record(), source=Source.BULK_EXPORT)
OTHER = DayTotals(clicks=4, impressions=90, position=7.25)
AFTER = DAY + ONE_DAY


@pytest.mark.parametrize(
    ("probe", "today", "full", "verdict"),
    [
        (shown(SOME), TODAY, False, Verdict.UNCHANGED),
        (shown(SOME), TODAY, True, Verdict.UNCHANGED),
        (shown(OTHER), TODAY, False, Verdict.DISAGREE),
        (shown(OTHER), TODAY, True, Verdict.READ),
        (shown(OTHER, first_incomplete=DAY), TODAY, False, Verdict.UNCHANGED),
        (shown(OTHER, first_incomplete=AFTER), TODAY, False, Verdict.DISAGREE),
        (Probe({}, AFTER), TODAY, False, Verdict.DISAGREE),
        (Probe({}, AFTER), TODAY, True, Verdict.DISAGREE),
        (Probe({}, DAY), TODAY, False, Verdict.UNCHANGED),
        (Probe({}), date(2028, 11, 22), False, Verdict.UNCHANGED),
        (Probe({}), date(2028, 11, 22), True, Verdict.UNCHANGED),
    ],
)
def test_a_day_of_the_bulk_export_is_verified_and_kept(
    probe: Probe, today: date, full: bool, verdict: Verdict
) -> None:
    found = decision(probe, IMPORTED_DAY, today=today, full=full)
    assert found is not None
    assert (found.verdict, found.status) == (verdict, Status.FINAL)


@pytest.mark.parametrize("status", [Status.FAILED, Status.WRITING])
def test_a_day_of_the_bulk_export_whose_rows_are_in_doubt_is_read(status: Status) -> None:
    found = decision(shown(), replace(IMPORTED_DAY, status=status))
    assert found is not None
    assert (found.verdict, found.reason) == (Verdict.READ, LOST_IMPORT)
