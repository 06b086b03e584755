"""Facts filtered and summed by a request's dimensions.

Belongs here: groups, and the meaning of dimensions and filters. Does not: which days are counted, the
order and number of rows (`answers`).

Everything is counted on integer codes; texts are looked up for the rows of one answer only. Days or
hours, whichever a request groups by, are its moments: they are coded by the request, not by the facts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gsc_pipeline.simulator.facts import ANONYMIZED, Codes, Counts, Facts, Labels, Texts
from gsc_pipeline.simulator.queries import MOMENTS, Filter, Query, counts_by_page

_APPEARANCE = "searchAppearance"
_DENSE = 2**20

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Sums by group. `key` packs the codes of the request's dimensions into one number."""

    key: Counts
    clicks: Counts
    impressions: Counts
    sum_position: Counts

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: npt.NDArray[Any] | slice) -> Groups:
        """These groups alone: a slice or positions."""
        return Groups(self.key[rows], self.clicks[rows], self.impressions[rows], self.sum_position[rows])


def counted(facts: Facts, query: Query, moment: Codes | int, moments: int) -> Groups:
    """One day's facts, filtered and summed by the request's dimensions.

    `moment` is the code of the facts' day, or of each fact's hour, of `moments` codes.
    """
    kept = np.ones(len(facts), dtype=bool)
    if query.concerns("query"):
        kept &= facts.query != ANONYMIZED
    for one in query.filters:
        kept &= _passing(one, facts)
    by_page = counts_by_page(query)
    impressions = facts.impressions if by_page else facts.top_impressions
    kept &= impressions > 0
    rows = np.flatnonzero(kept)
    appearance = np.zeros(0, dtype=np.int64)
    if _APPEARANCE in query.dimensions:
        # A row counts for each of its appearances.
        place, appearance = np.nonzero(facts.appearances()[rows])
        rows = rows[place]
    key = np.zeros(len(rows), dtype=np.int64)
    size = 1
    for name in query.dimensions:
        codes: Codes | Counts | int
        if name in MOMENTS:
            codes, options = moment if isinstance(moment, int) else moment[rows], moments
        elif name == _APPEARANCE:
            codes, options = appearance, len(facts.labels.appearance)
        else:
            codes, options = getattr(facts, name)[rows], len(getattr(facts.labels, name))
        key = key * options + codes
        size *= options
    clicks = facts.clicks if by_page else facts.top_clicks
    sum_position = facts.sum_position if by_page else facts.sum_top_position
    return summed([Groups(key, clicks[rows], impressions[rows], sum_position[rows])], size)


def summed(parts: list[Groups], size: int) -> Groups:
    """`parts` with equal keys added up; keys are below `size`."""
    key, *sums = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("key", "clicks", "impressions", "sum_position")
    )
    if size <= _DENSE:
        dense = [np.bincount(key, column, size).astype(np.int64) for column in sums]
        found = np.flatnonzero(dense[1])
        return Groups(found, *(column[found] for column in dense))
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])[: len(key)])
    return Groups(key[starts], *(np.add.reduceat(column[order], starts) for column in sums))


def unpacked(key: Counts, columns: tuple[Texts, ...]) -> list[Counts]:
    """The code of each dimension, out of packed keys."""
    codes = []
    for column in reversed(columns):
        key, code = np.divmod(key, len(column))
        codes.append(code)
    return codes[::-1]


def texts_of(dimension: str, labels: Labels | None, moments: Texts) -> Texts:
    """The texts that the codes of a dimension index."""
    if dimension in MOMENTS:
        return moments
    column: Texts = getattr(labels, "appearance" if dimension == _APPEARANCE else dimension)
    return column


def _passing(one: Filter, facts: Facts) -> Bools:
    """Which facts pass the filter. One of several appearances is enough to match."""
    if one.dimension == _APPEARANCE:
        found = facts.appearances()[:, _matching(one, facts.labels.appearance)].any(axis=1)
    else:
        codes = getattr(facts, one.dimension)
        found = _matching(one, getattr(facts.labels, one.dimension))[codes]
    negative = one.operator in ("notEquals", "notContains", "excludingRegex")
    return np.logical_xor(found, negative)


def _matching(one: Filter, values: Texts) -> Bools:
    """Which of `values` the filter's expression matches, whether it is to match or not.

    `equals` minds the case of queries and pages, `contains` never does, regular expressions match
    anywhere and mind case: as Google documents them.
    """
    wanted = one.expression
    if one.operator in ("equals", "notEquals") and one.dimension in ("query", "page"):
        found = [value == wanted for value in values]
    elif one.operator in ("equals", "notEquals"):
        found = [value.lower() == wanted.lower() for value in values]
    elif one.operator in ("contains", "notContains"):
        found = [wanted.lower() in value.lower() for value in values]
    else:
        pattern = re.compile(wanted)
        found = [pattern.search(value) is not None for value in values]
    return np.array(found, dtype=bool)
