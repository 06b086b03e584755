"""Joint counts of query, page, country and device, from the counts of each dimension.

The units (single impressions) of a day form a line, `[0, n)`, which each dimension cuts into chunks of one
label. Between two cuts of any dimension all units have the same labels and make one segment. So all sums by
label are exact, and there are no more segments than cuts. Pages come in one order and queries begin where
their page does, so a query keeps its few pages. Countries and devices are cut into small pieces and shuffled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsc_pipeline.simulator.facts import ANONYMIZED, Codes, Counts, Indexes
from gsc_pipeline.simulator.hashing import hashed


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Units with the same labels: how many, and their codes. Combinations may repeat."""

    units: Counts
    query: Codes
    page: Codes
    country: Codes
    device: Codes


@dataclass(frozen=True, slots=True, eq=False)
class _Chunks:
    """A line cut into chunks: the start of each, and the code of its label."""

    starts: Indexes
    codes: Indexes

    def at(self, positions: Indexes) -> Codes:
        found: Codes = self.codes[np.searchsorted(self.starts, positions, side="right") - 1].astype(np.int32)
        return found


def coupled(
    query: Counts,
    page: Counts,
    country: Counts,
    device: Counts,
    *,
    page_of_query: Indexes,
    pieces: int,
    seed: int,
) -> Segments:
    """Segments with exactly these sums for each query, page, country and device.

    `page`, `country` and `device` have the same sum; units that `query` lacks are anonymised.
    `page_of_query` is the page where each query begins. Countries and devices are cut into about `pieces`
    chunks each, or into single units when there are fewer.
    """
    total = int(page.sum())
    cuts = (
        _queries_by_page(query, page, page_of_query, total),
        _in_order(page),
        _scattered(country, pieces, total, seed),
        _scattered(device, pieces, total, seed + 1),
    )
    starts = np.unique(np.concatenate([chunks.starts for chunks in cuts]))
    starts = starts[starts < total]
    units = np.diff(starts, append=total)
    return Segments(units, *(chunks.at(starts) for chunks in cuts))


def _in_order(counts: Counts) -> _Chunks:
    ends = np.cumsum(counts)
    present = np.flatnonzero(counts)
    return _Chunks((ends - counts)[present], present)


def _queries_by_page(query: Counts, page: Counts, page_of_query: Indexes, total: int) -> _Chunks:
    """Each query from the start of its page, or later if another query is there; gaps are anonymised."""
    present = np.flatnonzero(query)
    present = present[np.argsort(page_of_query[present], kind="stable")]
    length = query[present]
    wanted = (np.cumsum(page) - page)[page_of_query[present]]
    before = np.cumsum(length) - length
    starts = before + np.maximum.accumulate(wanted - before) if len(present) else before
    starts = np.minimum(starts, total - length.sum() + before)
    # Where a gap has no units, two edges are at the same unit; the later one counts.
    edges = np.concatenate([[0], np.stack([starts, starts + length], axis=1).ravel()])
    codes = np.concatenate(
        [[ANONYMIZED], np.stack([present, np.full_like(present, ANONYMIZED)], axis=1).ravel()]
    )
    kept = np.append(edges[1:] > edges[:-1], True)
    return _Chunks(edges[kept], codes[kept])


def _scattered(counts: Counts, pieces: int, total: int, seed: int) -> _Chunks:
    """Each label cut into chunks of about equal size, and all chunks shuffled."""
    size = max(1, -(-total // pieces))
    number = -(-counts // size)
    code = np.repeat(np.arange(len(counts)), number)
    turn = np.arange(len(code)) - np.repeat(np.cumsum(number) - number, number)
    least, more = np.divmod(counts, np.maximum(number, 1))
    length = least[code] + (turn < more[code])
    order = np.argsort(hashed(seed, np.arange(len(code))), kind="stable")
    length = length[order]
    return _Chunks(np.cumsum(length) - length, code[order])
