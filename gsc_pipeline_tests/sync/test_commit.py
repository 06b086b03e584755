"""Committing beside another sync of the same workspace."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

from gsc_pipeline.days import Window
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.sync.commit import Batch
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, Status, read_ledger

DAY = date(2026, 11, 10)
KNOWN = DayRecord(
    DAY,
    Status.PROVISIONAL,
    DayTotals(1, 10, 2.0),
    site_rows=3,
    url_rows=4,
    last_read_at=datetime(2026, 11, 12, tzinfo=UTC),
    run_id="before",
)


def batch(lake: Lake, *records: DayRecord, known: DayRecord | None = KNOWN) -> Batch:
    return Batch(
        lake,
        "acme",
        "sc-domain:acme.com",
        "WEB",
        known={DAY: known} if known else {},
        records=list(records),
    )


def held(lake: Lake) -> DayRecord:
    return read_ledger(lake, "acme", Window.inclusive(DAY, DAY))[("sc-domain:acme.com", "WEB")][DAY]


def ours(**changes: object) -> DayRecord:
    final = replace(KNOWN, status=Status.FINAL, run_id="ours")
    return replace(final, **changes)  # type: ignore[arg-type]


def theirs(**changes: object) -> DayRecord:
    return replace(ours(**changes), run_id="theirs")


def test_a_day_that_another_sync_read_with_the_same_numbers_is_as_final_as_it_was(lake: Lake) -> None:
    batch(lake, KNOWN, known=None).commit()
    batch(lake, theirs()).commit()
    batch(lake, ours()).commit()
    assert held(lake).status is Status.FINAL


def test_a_day_that_another_sync_read_with_other_numbers_is_to_be_read_again(lake: Lake) -> None:
    batch(lake, KNOWN, known=None).commit()
    batch(lake, theirs(site_rows=5)).commit()
    batch(lake, ours()).commit()
    assert held(lake).status is Status.PROVISIONAL


def test_a_failure_does_not_hide_that_another_sync_has_read_the_day(lake: Lake) -> None:
    batch(lake, KNOWN, known=None).commit()
    batch(lake, theirs()).commit()
    batch(lake, KNOWN.failed("down", "ours")).commit()
    assert (held(lake).status, held(lake).run_id) == (Status.FINAL, "theirs")


def test_a_failure_of_a_day_nobody_else_wrote_is_recorded(lake: Lake) -> None:
    batch(lake, KNOWN, known=None).commit()
    batch(lake, KNOWN.failed("down", "ours")).commit()
    assert held(lake).status is Status.FAILED
