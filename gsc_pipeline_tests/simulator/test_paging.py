"""Pages as the real service sends them: some short though more follow, ties in ever another order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gsc_pipeline.simulator import Paging, Simulator, SimulatorError, SyntheticProperty
from gsc_pipeline_tests.simulator.conftest import NOON
from gsc_pipeline_tests.simulator.wire import Wire

DAY = {"startDate": "2026-11-10", "endDate": "2026-11-10", "dimensions": ["query", "page"]}
LIMIT = 200
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def whole(wire: Wire, acme: SyntheticProperty) -> Rows:
    """The true answer in one page."""
    return list(wire.query(acme.site_url, **DAY, rowLimit=25_000)["rows"])


def pages(prop: SyntheticProperty, paging: Paging, next_start: Callable[[int, int], int]) -> list[Rows]:
    """All pages up to the first empty one; `next_start` sees where a page began and its rows."""
    found, start = [], 0
    with Wire.to(Simulator([prop], clock=lambda: NOON, paging=paging)) as wire:
        while rows := wire.query(prop.site_url, **DAY, rowLimit=LIMIT, startRow=start).get("rows"):
            found.append(rows)
            start = next_start(start, len(rows))
    return found


def by_rows_received(start: int, rows: int) -> int:
    return start + rows


def by_rows_asked_for(start: int, rows: int) -> int:
    return start + LIMIT


def test_short_pages_join_without_gap_for_who_counts_the_rows(acme: SyntheticProperty, whole: Rows) -> None:
    found = pages(acme, Paging(short_pages=0.1), by_rows_received)
    sizes = [len(page) for page in found[:-1]]
    assert [row for page in found for row in page] == whole
    assert all(0.9 * LIMIT <= size <= LIMIT for size in sizes)
    assert len(set(sizes)) > 2
    assert min(sizes) < 0.95 * LIMIT


def test_who_adds_up_row_limits_loses_rows(acme: SyntheticProperty, whole: Rows) -> None:
    found = pages(acme, Paging(short_pages=0.1), by_rows_asked_for)
    assert 0.8 * len(whole) < sum(len(page) for page in found) < len(whole)


def test_the_last_page_is_never_short(acme: SyntheticProperty, whole: Rows) -> None:
    with Wire.to(Simulator([acme], clock=lambda: NOON, paging=Paging(short_pages=1.0))) as wire:
        assert wire.query(acme.site_url, **DAY, rowLimit=len(whole))["rows"] == whole
        assert wire.query(acme.site_url, **DAY, startRow=len(whole) - 3)["rows"] == whole[-3:]


def test_unstable_ties_show_rows_twice_and_hide_others(acme: SyntheticProperty, whole: Rows) -> None:
    rows = [row for page in pages(acme, Paging(unstable_ties=1.0), by_rows_received) for row in page]
    keys = {tuple(row["keys"]) for row in rows}
    assert len(rows) == len(whole)
    assert len(keys) < len(whole)
    assert [row["clicks"] for row in rows] == [row["clicks"] for row in whole]
    true = {tuple(row["keys"]): row for row in whole}
    assert all(true[tuple(row["keys"])] == row for row in rows)


def test_what_happens_depends_on_how_often_the_same_was_asked_alone(acme: SyntheticProperty) -> None:
    paging = Paging(short_pages=0.1, unstable_ties=0.5)
    other = {**DAY, "dimensions": ["page", "country"]}

    def asked(*bodies: dict[str, Any]) -> list[Rows]:
        with Wire.to(Simulator([acme], clock=lambda: NOON, paging=paging)) as wire:
            return [wire.query(acme.site_url, **body, rowLimit=LIMIT)["rows"] for body in bodies]

    one, two = asked(DAY, DAY, DAY, other, other, other), asked(other, DAY, DAY, other, DAY, other)
    assert one[:3] == [two[1], two[2], two[4]]
    assert one[3:] == [two[0], two[3], two[5]]
    assert one[0] != one[1] or one[1] != one[2]


def test_some_turns_are_calm(acme: SyntheticProperty, whole: Rows) -> None:
    simulator = Simulator([acme], clock=lambda: NOON, paging=Paging(unstable_ties=0.4))
    with Wire.to(simulator) as wire:
        calm = [wire.query(acme.site_url, **DAY, rowLimit=25_000)["rows"] == whole for _ in range(12)]
        assert 0 < sum(calm) < 12
        simulator.paging = Paging()
        assert wire.query(acme.site_url, **DAY, rowLimit=25_000)["rows"] == whole


def test_rows_by_date_stay_in_the_order_of_their_dates(acme: SyntheticProperty) -> None:
    body = {"startDate": "2026-11-08", "endDate": "2026-11-10", "dimensions": ["date", "page"]}
    with Wire.to(Simulator([acme], clock=lambda: NOON, paging=Paging(unstable_ties=1.0))) as wire:
        first, second = (wire.query(acme.site_url, **body, rowLimit=25_000)["rows"] for _ in range(2))
    assert first != second
    for rows in (first, second):
        order = [(row["keys"][0], -row["clicks"]) for row in rows]
        assert order == sorted(order)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_beyond_0_to_1_is_an_error(share: float) -> None:
    with pytest.raises(SimulatorError, match="share"):
        Paging(short_pages=share)
    with pytest.raises(SimulatorError, match="share"):
        Paging(unstable_ties=share)
