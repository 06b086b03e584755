"""Joining margins: rows that tell query, page, country and device at once, from counts of each alone.

Belongs here: laying out one day's units. Does not: how many units each label has (`replay`).

The units of a day stand in a line, `[0, n)`. Each dimension cuts the line into chunks of its labels;
between two cuts of any dimension all units are alike and make one row. So every margin stays exact and
there are no more rows than cuts. Pages come in one order and queries begin where their page does, so a
query keeps its few pages; countries and devices are cut small and scattered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsc_pipeline.simulator.facts import ANONYMIZED, Codes, Counts, Places
from gsc_pipeline.simulator.hashing import hashed


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Alike units: how many, and their codes. Combinations may repeat."""

    units: Counts
    query: Codes
    page: Codes
    country: Codes
    device: Codes


@dataclass(frozen=True, slots=True, eq=False)
class _Chunks:
    """A line cut into chunks: where each begins, and its label."""

    starts: Places
    codes: Places

    def at(self, places: Places) -> Codes:
        found: Codes = self.codes[np.searchsorted(self.starts, places, side="right") - 1].astype(np.int32)
        return found


def coupled(
    query: Counts,
    page: Counts,
    country: Counts,
    device: Counts,
    *,
    page_of_query: Places,
    pieces: int,
    seed: int,
) -> Rows:
    """Rows with exactly these sums by label: of each query, page, country and device.

    `page`, `country` and `device` sum to the same; what `query` lacks is anonymised. `page_of_query`
    is the page where each query begins. Countries and devices are cut into about
    `pieces` chunks each, units alone when there are fewer.
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
    return Rows(units, *(chunks.at(starts) for chunks in cuts))


def _in_order(counts: Counts) -> _Chunks:
    ends = np.cumsum(counts)
    present = np.flatnonzero(counts)
    return _Chunks((ends - counts)[present], present)


def _queries_by_page(query: Counts, page: Counts, page_of_query: Places, total: int) -> _Chunks:
    """Each query from where its page begins, or later where that is taken; the gaps are anonymised."""
    present = np.flatnonzero(query)
    present = present[np.argsort(page_of_query[present], kind="stable")]
    length = query[present]
    wanted = (np.cumsum(page) - page)[page_of_query[present]]
    before = np.cumsum(length) - length
    starts = before + np.maximum.accumulate(wanted - before) if len(present) else before
    starts = np.minimum(starts, total - length.sum() + before)
    # A gap of no units begins where its query's chunk ends and the next begins; the later one counts.
    edges = np.concatenate([[0], np.stack([starts, starts + length], axis=1).ravel()])
    codes = np.concatenate(
        [[ANONYMIZED], np.stack([present, np.full_like(present, ANONYMIZED)], axis=1).ravel()]
    )
    kept = np.append(edges[1:] > edges[:-1], True)
    return _Chunks(edges[kept], codes[kept])


def _scattered(counts: Counts, pieces: int, total: int, seed: int) -> _Chunks:
    """Each label cut into equal chunks, more for the larger, all shuffled."""
    size = max(1, -(-total // pieces))
    number = -(-counts // size)
    code = np.repeat(np.arange(len(counts)), number)
    turn = np.arange(len(code)) - np.repeat(np.cumsum(number) - number, number)
    least, more = np.divmod(counts, np.maximum(number, 1))
    length = least[code] + (turn < more[code])
    order = np.argsort(hashed(seed, np.arange(len(code))), kind="stable")
    length = length[order]
    return _Chunks(np.cumsum(length) - length, code[order])
