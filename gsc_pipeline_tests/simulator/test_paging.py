"""Irregular paging: short pages, and ties in changing order."""

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
    """All pages up to the first empty one; `next_start` gets the start of a page and its number of rows."""
    found, start = [], 0
    with Wire.to(Simulator([prop], clock=lambda: NOON, paging=paging)) as wire:
        while rows := wire.query(prop.site_url, **DAY, rowLimit=LIMIT, startRow=start).get("rows"):
            found.append(rows)
            start = next_start(start, len(rows))
    return found


def by_rows_received(start: int, rows: int) -> int:
    return start + rows


def by_row_limit(start: int, rows: int) -> int:
    return start + LIMIT


def test_short_pages_have_no_gap_if_the_next_start_counts_the_rows(
    acme: SyntheticProperty, whole: Rows
) -> None:
    found = pages(acme, Paging(short_pages=0.1), by_rows_received)
    sizes = [len(page) for page in found[:-1]]
    assert [row for page in found for row in page] == whole
    assert all(0.9 * LIMIT <= size <= LIMIT for size in sizes)
    assert len(set(sizes)) > 2
    assert min(sizes) < 0.95 * LIMIT


def test_short_pages_lose_rows_if_the_next_start_adds_the_row_limit(
    acme: SyntheticProperty, whole: Rows
) -> None:
    found = pages(acme, Paging(short_pages=0.1), by_row_limit)
    assert 0.8 * len(whole) < sum(len(page) for page in found) < len(whole)


def test_the_last_page_is_never_short(acme: SyntheticProperty, whole: Rows) -> None:
    with Wire.to(Simulator([acme], clock=lambda: NOON, paging=Paging(short_pages=1.0))) as wire:
        assert wire.query(acme.site_url, **DAY, rowLimit=len(whole))["rows"] == whole
        assert wire.query(acme.site_url, **DAY, startRow=len(whole) - 3)["rows"] == whole[-3:]


def test_unstable_ties_return_rows_twice_and_miss_others(acme: SyntheticProperty, whole: Rows) -> None:
    rows = [row for page in pages(acme, Paging(unstable_ties=1.0), by_rows_received) for row in page]
    keys = {tuple(row["keys"]) for row in rows}
    assert len(rows) == len(whole)
    assert len(keys) < len(whole)
    assert [row["clicks"] for row in rows] == [row["clicks"] for row in whole]
    true = {tuple(row["keys"]): row for row in whole}
    assert all(true[tuple(row["keys"])] == row for row in rows)


def test_irregularities_depend_only_on_the_number_of_equal_requests(acme: SyntheticProperty) -> None:
    paging = Paging(short_pages=0.1, unstable_ties=0.5)
    other = {**DAY, "dimensions": ["page", "country"]}

    def answers(*bodies: dict[str, Any]) -> list[Rows]:
        with Wire.to(Simulator([acme], clock=lambda: NOON, paging=paging)) as wire:
            return [wire.query(acme.site_url, **body, rowLimit=LIMIT)["rows"] for body in bodies]

    one, two = answers(DAY, DAY, DAY, other, other, other), answers(other, DAY, DAY, other, DAY, other)
    assert one[:3] == [two[1], two[2], two[4]]
    assert one[3:] == [two[0], two[3], two[5]]
    assert one[0] != one[1] or one[1] != one[2]


def test_some_turns_are_regular(acme: SyntheticProperty, whole: Rows) -> None:
    simulator = Simulator([acme], clock=lambda: NOON, paging=Paging(unstable_ties=0.4))
    with Wire.to(simulator) as wire:
        regular = [wire.query(acme.site_url, **DAY, rowLimit=25_000)["rows"] == whole for _ in range(12)]
        assert 0 < sum(regular) < 12
        simulator.paging = Paging()
        assert wire.query(acme.site_url, **DAY, rowLimit=25_000)["rows"] == whole


def test_rows_by_date_stay_sorted_by_date(acme: SyntheticProperty) -> None:
    body = {"startDate": "2026-11-08", "endDate": "2026-11-10", "dimensions": ["date", "page"]}
    with Wire.to(Simulator([acme], clock=lambda: NOON, paging=Paging(unstable_ties=1.0))) as wire:
        first, second = (wire.query(acme.site_url, **body, rowLimit=25_000)["rows"] for _ in range(2))
    assert first != second
    for rows in (first, second):
        order = [(row["keys"][0], -row["clicks"]) for row in rows]
        assert order == sorted(order)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_outside_0_to_1_is_an_error(share: float) -> None:
    with pytest.raises(SimulatorError, match="share"):
        Paging(short_pages=share)
    with pytest.raises(SimulatorError, match="share"):
        Paging(unstable_ties=share)
