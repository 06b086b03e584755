"""Whole numbers with given sums: totals shared by weight, and arrays with given row and column sums."""

from __future__ import annotations

import numpy as np

from gsc_pipeline.simulator.facts import Counts, Reals
from gsc_pipeline.simulator.hashing import hashed


def apportioned(total: int, weights: Counts) -> Counts:
    """`total` shared in proportion to `weights` by the largest remainder method. Shares sum to `total`.

    If `total` is at most the sum of the weights, no share exceeds its weight. If all weights are zero, shares
    are equal. There is at least one weight, and none is negative.
    """
    whole = int(weights.sum())
    if whole == 0:
        weights, whole = np.ones_like(weights), len(weights)
    shares, rests = np.divmod(weights * total, whole)
    missing = total - int(shares.sum())
    shares[np.argsort(-rests, kind="stable")[:missing]] += 1
    return shares


def rounded(ideal: Reals, total: int) -> Counts:
    """`ideal`, whose sum is `total` up to rounding errors, as whole numbers with exactly this sum."""
    down = np.floor(ideal)
    whole = down.astype(np.int64)
    missing = total - int(whole.sum())
    whole[np.argsort(down - ideal, kind="stable")[:missing]] += 1
    return whole


def table(rows: Counts, columns: Counts, seed: int) -> Counts:
    """A (row, column) array of whole numbers ≥ 0 with exactly these row and column sums.

    `rows` and `columns` must have the same sum. Every column is spread over the rows about in proportion to
    the row sums. The rows are filled one after another from what is left of each column; one random offset a
    row decides which fractions are rounded up, so that no column is favoured.
    """
    if rows.sum() != columns.sum():
        raise ValueError(f"rows sum to {rows.sum()}, columns to {columns.sum()}")
    filled = np.zeros((len(rows), len(columns)), dtype=np.int64)
    left, chances = columns.copy(), hashed(seed, np.arange(len(rows)))
    for index, row in enumerate(rows):
        whole = int(left.sum())
        if whole == 0:
            break
        # A column's fraction is rounded up where the running sum of fractions passes a whole number.
        shares, rests = np.divmod(left * row, whole)
        marks = (np.concatenate([[0], np.cumsum(rests)]) + int(chances[index] % np.uint64(whole))) // whole
        filled[index] = shares + np.diff(marks)
        left -= filled[index]
    return filled
