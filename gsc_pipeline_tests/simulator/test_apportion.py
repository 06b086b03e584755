"""Whole numbers with given sums, for arbitrary numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_pipeline.simulator.facts import ANONYMIZED, Codes, Counts
from gsc_pipeline.simulator.replay.apportion import apportioned, rounded, table
from gsc_pipeline.simulator.replay.coupling import coupled

counts = st.lists(st.integers(0, 50_000), min_size=1, max_size=30).map(lambda x: np.array(x, dtype=np.int64))
few = st.lists(st.integers(0, 60), min_size=1, max_size=8).map(lambda x: np.array(x, dtype=np.int64))


@given(st.integers(0, 10**9), counts)
def test_shares_sum_to_the_total_and_are_within_one_of_proportion(total: int, weights: Counts) -> None:
    shares = apportioned(total, weights)
    assert shares.sum() == total
    assert (shares >= 0).all()
    if weights.sum():
        assert (np.abs(shares - weights * (total / weights.sum())) < 1.001).all()


@given(st.data(), counts)
def test_no_share_exceeds_its_weight_when_the_total_does_not(data: st.DataObject, weights: Counts) -> None:
    total = data.draw(st.integers(0, int(weights.sum())))
    if weights.sum():
        assert (apportioned(total, weights) <= weights).all()


@given(counts)
def test_rounding_keeps_the_total_and_stays_within_one(weights: Counts) -> None:
    ideal = weights.astype(np.float64) * 3.14159
    total = round(ideal.sum())
    ideal *= total / ideal.sum() if total else 0
    whole = rounded(ideal, total)
    assert whole.sum() == total
    assert (np.abs(whole - ideal) <= 1 + 1e-6).all()


@given(counts, counts, st.integers(0, 2**40))
def test_a_table_has_exactly_its_sums_and_no_negative_numbers(
    rows: Counts, columns: Counts, seed: int
) -> None:
    rows = apportioned(int(columns.sum()), rows)
    filled = table(rows, columns, seed)
    assert filled.shape == (len(rows), len(columns))
    assert (filled >= 0).all()
    assert np.array_equal(filled.sum(axis=1), rows)
    assert np.array_equal(filled.sum(axis=0), columns)


@given(counts, st.integers(0, 2**40))
def test_a_table_spreads_each_column_about_evenly(columns: Counts, seed: int) -> None:
    days = apportioned(int(columns.sum()), np.ones(10, dtype=np.int64))
    filled = table(days, columns, seed)
    assert (np.abs(filled - columns / 10) <= 3).all()


def test_sums_that_differ_are_an_error() -> None:
    with pytest.raises(ValueError, match="rows sum to 3, columns to 4"):
        table(np.array([3]), np.array([4]), 0)


@settings(max_examples=200)
@given(few, few, few, few, st.integers(1, 40), st.data())
def test_coupling_keeps_the_sums_of_every_label(
    query: Counts, page: Counts, country: Counts, device: Counts, pieces: int, data: st.DataObject
) -> None:
    total = int(page.sum())
    if query.sum() > total:
        query = apportioned(total, query)
    country, device = apportioned(total, country), apportioned(total, device)
    favourite = st.lists(st.integers(0, len(page) - 1), min_size=len(query), max_size=len(query))
    rows = coupled(
        query,
        page,
        country,
        device,
        page_of_query=np.array(data.draw(favourite), dtype=np.int64),
        pieces=pieces,
        seed=7,
    )

    def sums(codes: Codes, size: int) -> list[int]:
        return [int(rows.units[codes == code].sum()) for code in range(size)]

    assert (rows.units > 0).all()
    assert sums(rows.query, len(query)) == query.tolist()
    assert rows.units[rows.query == ANONYMIZED].sum() == total - query.sum()
    assert sums(rows.page, len(page)) == page.tolist()
    assert sums(rows.country, len(country)) == country.tolist()
    assert sums(rows.device, len(device)) == device.tolist()
