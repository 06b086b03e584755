"""Sums rows at the keys of totals, so that both can be compared.

Key columns become numbers first, and the numbers of a row become one. A group or a join by the texts takes
three times as long, and memory for a copy of the keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]


class SumsAt:
    """Sums of `rows` at each row of `totals`, which has each key once. Keys of the rows may be encoded."""

    def __init__(self, rows: pa.Table, totals: pa.Table, keys: Sequence[str]) -> None:
        self._rows, self._length = rows, totals.num_rows
        self._places = _places(rows, totals, keys)
        self._is_found = self._places >= 0

    def sums(self, name: str) -> Integers:
        """The sums of a column of integers, in the order of the totals; nulls count as zero."""
        sums = np.zeros(self._length, np.int64)
        np.add.at(sums, self._places[self._is_found], self._values(name)[self._is_found])
        return sums

    def has_others(self, name: str) -> bool:
        """Whether the column is above zero in a row with a key that the totals lack."""
        return bool((self._values(name)[~self._is_found] > 0).any())

    def _values(self, name: str) -> Integers:
        return integers(self._rows[name])


def integers(column: pa.ChunkedArray) -> Integers:
    """The column's numbers; nulls, as of a position without impressions, are zero."""
    numbers: Integers = (pc.fill_null(column, 0) if column.null_count else column).to_numpy()
    return numbers


def _places(rows: pa.Table, totals: pa.Table, keys: Sequence[str]) -> Integers:
    """The place in the totals of each row's key; -1 if they lack it."""
    of_rows, of_totals = np.zeros(rows.num_rows, np.int64), np.zeros(totals.num_rows, np.int64)
    is_lacking = np.zeros(rows.num_rows, bool)
    for key in keys:
        values = pc.unique(totals[key])
        number = _numbers(rows[key], values)
        is_lacking |= number < 0
        of_rows = of_rows * len(values) + number
        of_totals = of_totals * len(values) + _numbers(totals[key], values)
    found = pc.fill_null(pc.index_in(pa.array(of_rows), pa.array(of_totals)), -1)
    places: Integers = found.to_numpy().astype(np.int64)
    places[is_lacking] = -1
    return places


def _numbers(column: pa.ChunkedArray, values: pa.Array) -> Integers:
    """The index in `values` of each text of the column; -1 if it is none of them."""
    found = [np.zeros(0, np.int64)]
    for chunk in column.chunks:
        is_encoded = pa.types.is_dictionary(chunk.type)
        numbers = pc.fill_null(pc.index_in(chunk.dictionary if is_encoded else chunk, values), -1)
        found.append((numbers.take(chunk.indices) if is_encoded else numbers).to_numpy())
    return np.concatenate(found)
