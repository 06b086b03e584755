"""Compares the rows that the ledger counts with the rows in Delta's log, by workspace and month.

It opens no data file of the two large tables, so every sync can afford it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import LEDGER_COUNTS, SYNC_LEDGER, WRITING, TableSpec

COMPARED_COLUMNS = ("workspace", "month", "status", *LEDGER_COUNTS)
"""The ledger's columns that a comparison needs."""

_PART = ("workspace", "month")
"""The columns by which rows are compared."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A month of a workspace in which a table has another number of rows than the ledger counts."""

    table: str
    workspace: str
    month: str
    in_ledger: int
    in_table: int

    def __str__(self) -> str:
        return (
            f"{self.table} has {self.in_table} rows of {self.workspace} in {self.month}, "
            f"the ledger counts {self.in_ledger}"
        )


def disagreements(
    lake: Lake, workspace: str | None = None, ledger: pa.Table | None = None
) -> list[Disagreement]:
    """The disagreements of one workspace or of all, in the order of tables and months.

    `ledger`: the workspace's ledger rows, if the caller has already read them. Months with a day that is
    being written are skipped. A sync that commits at the same time can make ledger and tables differ
    briefly, so a disagreement is reported only if a second comparison confirms it. Raises LakeError.
    """

    def read() -> pa.Table:
        return lake.read(SYNC_LEDGER, columns=list(COMPARED_COLUMNS), workspace=workspace)

    found = compare(lake, read() if ledger is None else ledger, workspace)
    return confirmed(found, lambda: compare(lake, read(), workspace))


_T = TypeVar("_T", bound=Hashable)


def confirmed(
    found: Iterable[_T],
    compare_again: Callable[[], Iterable[_T]],
    key: Callable[[_T], Hashable] = lambda one: one,
) -> list[_T]:
    """Those of a second comparison that are in `found` too, by their `key`.

    A sync that commits during a comparison makes the lake disagree briefly. If nothing is found, there is no
    second comparison.
    """
    before = set(map(key, found))
    return [one for one in compare_again() if key(one) in before] if before else []


def compare(
    lake: Lake,
    ledger: pa.Table,
    workspace: str | None = None,
    counted: Mapping[str, TableSpec] = LEDGER_COUNTS,
) -> list[Disagreement]:
    """Compare these rows of the ledger with the tables, once. Raises LakeError.

    `ledger` has the COMPARED_COLUMNS of `workspace`, or of all; its rows may be sums of several days.
    `counted` are the tables by the columns that count their rows.
    """
    writing = set(_keys(ledger.filter(pc.field("status") == WRITING), _PART))
    sums = counted_rows(ledger, _PART, counted)
    found = []
    for name, table in counted.items():
        in_ledger = sums[name]
        counts = lake.row_counts(table)
        in_table = {
            (id_, month): rows
            for id_ in (counts if workspace is None else [workspace])
            for month, rows in counts.get(id_, {}).items()
        }
        found += [
            Disagreement(table.name, part[0], part[1], in_ledger.get(part, 0), in_table.get(part, 0))
            for part in sorted({*in_ledger, *in_table})
            if part not in writing and in_ledger.get(part, 0) != in_table.get(part, 0)
        ]
    return found


def counted_rows(
    ledger: pa.Table, keys: Sequence[str], counts: Iterable[str] = LEDGER_COUNTS
) -> dict[str, dict[tuple[Any, ...], int]]:
    """How many rows these rows of a ledger count: by the column that counts them, and by the `keys`.

    Rows with the same keys are added up. A count that another program left out is zero.
    """
    names = list(counts)
    sums = ledger.group_by(list(keys)).aggregate([(name, "sum") for name in names])
    of = _keys(sums, keys)
    return {name: dict(zip(of, sums[f"{name}_sum"].fill_null(0).to_pylist(), strict=True)) for name in names}


def _keys(rows: pa.Table, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[key].to_pylist() for key in keys), strict=True))
