"""Facts filtered and summed by the dimensions of a request.

Groups are counted by integer codes; texts are used only for the rows of an answer. The days or hours of a
request are its moments. Their codes belong to the request, not to the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.simulator.facts import ANONYMIZED, Codes, Counts, Facts, Labels, Texts
from gsc_pipeline.simulator.wire.queries import APPEARANCE, MOMENTS, Filter, Query, counts_by_page

_DENSE = 2**20

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Sums by group. `key` packs the codes of the request's dimensions into one integer."""

    key: Counts
    clicks: Counts
    impressions: Counts
    sum_position: Counts

    def __len__(self) -> int:
        return len(self.key)

    def take(self, selected: npt.NDArray[Any] | slice) -> Groups:
        """The groups that a slice or an array of indexes selects."""
        return Groups(
            self.key[selected], self.clicks[selected], self.impressions[selected], self.sum_position[selected]
        )


def counted(facts: Facts, query: Query, moment: Codes | int, moments: int) -> Groups:
    """One day's facts, summed by the request's dimensions.

    Of the request's filters only those by searchAppearance apply; `passing` applies the others.
    `moment` is the code of the day, or of each fact's hour, out of `moments` codes.
    """
    kept = np.ones(len(facts), dtype=bool)
    if query.concerns("query"):
        kept &= facts.query != ANONYMIZED
    for one in query.filters:
        if one.dimension == APPEARANCE:
            # A fact with several appearances passes if one of them matches.
            found = facts.appearances()[:, _matching(one, facts.labels.appearance)].any(axis=1)
            kept &= found ^ _is_negative(one)
    by_page = counts_by_page(query)
    impressions = facts.impressions if by_page else facts.top_impressions
    kept &= impressions > 0
    selected = np.flatnonzero(kept)
    appearance = np.zeros(0, dtype=np.int64)
    if APPEARANCE in query.dimensions:
        # A fact counts once for each of its appearances.
        index, appearance = np.nonzero(facts.appearances()[selected])
        selected = selected[index]
    key = np.zeros(len(selected), dtype=np.int64)
    size = 1
    for name in query.dimensions:
        codes: Codes | Counts | int
        if name in MOMENTS:
            codes, options = moment if isinstance(moment, int) else moment[selected], moments
        elif name == APPEARANCE:
            codes, options = appearance, len(facts.labels.appearance)
        else:
            codes, options = getattr(facts, name)[selected], len(getattr(facts.labels, name))
        key = key * options + codes
        size *= options
    clicks = facts.clicks if by_page else facts.top_clicks
    sum_position = facts.sum_position if by_page else facts.sum_top_position
    return summed([Groups(key, clicks[selected], impressions[selected], sum_position[selected])], size)


def summed(parts: list[Groups], size: int) -> Groups:
    """The sums of `parts` by key. Keys are less than `size`."""
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
    """The codes of each dimension, unpacked from keys."""
    codes = []
    for column in reversed(columns):
        key, code = np.divmod(key, len(column))
        codes.append(code)
    return codes[::-1]


def texts_of(dimension: str, labels: Labels | None, moments: Texts) -> Texts:
    """The texts that the codes of a dimension index."""
    if dimension in MOMENTS:
        return moments
    column: Texts = getattr(labels, "appearance" if dimension == APPEARANCE else dimension)
    return column


def passing(
    groups: Groups, dimensions: Sequence[str], columns: Sequence[Texts], filters: Sequence[Filter]
) -> Groups:
    """The groups that pass all filters, in their order. Filters by searchAppearance do not apply here.

    `dimensions` and `columns` are those that the keys of the groups pack; all filtered ones are among them.
    """
    for one in filters:
        if one.dimension != APPEARANCE:
            place = dimensions.index(one.dimension)
            passes = _matching(one, columns[place]) ^ _is_negative(one)
            groups = groups.take(np.flatnonzero(passes[code_of(groups.key, columns, place)]))
    return groups


def code_of(key: Counts, columns: Sequence[Texts], place: int) -> Counts:
    """The codes of the dimension at `place`, unpacked from keys."""
    return key // prod(len(column) for column in columns[place + 1 :]) % len(columns[place])


def _is_negative(one: Filter) -> bool:
    return one.operator in ("notEquals", "notContains", "excludingRegex")


def _matching(one: Filter, values: Texts) -> Bools:
    """Which of `values` the filter's expression matches, whether the operator is negative or not.

    As Google documents, `equals` is case-sensitive for queries and pages, `contains` never is, and regular
    expressions are RE2's, case-sensitive, and match anywhere.
    """
    wanted = one.expression
    if one.operator in ("equals", "notEquals") and one.dimension in ("query", "page"):
        found = [value == wanted for value in values]
    elif one.operator in ("equals", "notEquals"):
        found = [value.lower() == wanted.lower() for value in values]
    elif one.operator in ("contains", "notContains"):
        found = [wanted.lower() in value.lower() for value in values]
    else:
        found = pc.match_substring_regex(pa.array(values.tolist(), pa.string()), wanted).to_pylist()
    return np.array(found, dtype=bool)
