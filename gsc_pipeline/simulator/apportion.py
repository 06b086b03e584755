"""Whole numbers that add up: totals shared out by weight, and tables filled to both their margins.

Belongs here: integer arithmetic without chance beyond a seed. Does not: what is shared out (`replay`).
"""

from __future__ import annotations

import numpy as np

from gsc_pipeline.simulator.facts import Counts, Reals
from gsc_pipeline.simulator.hashing import hashed


def apportioned(total: int, weights: Counts) -> Counts:
    """`total` shared out in proportion to `weights` by largest remainder; the shares sum to it exactly.

    No share exceeds its weight when `total` is no more than their sum. Weights that are all zero share
    alike. There is at least one weight, and none is negative.
    """
    whole = int(weights.sum())
    if whole == 0:
        weights, whole = np.ones_like(weights), len(weights)
    shares, rests = np.divmod(weights * total, whole)
    missing = total - int(shares.sum())
    shares[np.argsort(-rests, kind="stable")[:missing]] += 1
    return shares


def rounded(ideal: Reals, total: int) -> Counts:
    """`ideal`, which sums to `total` but for float error, as whole numbers that sum to it exactly."""
    down = np.floor(ideal)
    whole = down.astype(np.int64)
    missing = total - int(whole.sum())
    whole[np.argsort(down - ideal, kind="stable")[:missing]] += 1
    return whole


def table(rows: Counts, columns: Counts, seed: int) -> Counts:
    """A (row, column) table of whole numbers ≥ 0 with exactly these row and column sums.

    `rows` and `columns` must have the same sum. Every column is spread over the rows about in
    proportion to them. Row by row, what is left of each column is shared out; which fractions are
    rounded up follows from one random offset a row, so no column is favoured.
    """
    if rows.sum() != columns.sum():
        raise ValueError(f"rows sum to {rows.sum()}, columns to {columns.sum()}")
    filled = np.zeros((len(rows), len(columns)), dtype=np.int64)
    left, chances = columns.copy(), hashed(seed, np.arange(len(rows)))
    for place, row in enumerate(rows):
        whole = int(left.sum())
        if whole == 0:
            break
        # A column's fraction is rounded up where the running sum of fractions passes a whole number.
        shares, rests = np.divmod(left * row, whole)
        marks = (np.concatenate([[0], np.cumsum(rests)]) + int(chances[place] % np.uint64(whole))) // whole
        filled[place] = shares + np.diff(marks)
        left -= filled[place]
    return filled
