"""Compares the rows that the ledger claims with the rows that Delta's log counts, by workspace and month.

Both are read without opening a data file of the two large tables, so every sync can afford it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import CLAIMS, SYNC_LEDGER, WRITING


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A month of a workspace in which a table holds another number of rows than its ledger claims."""

    table: str
    workspace: str
    month: str
    claimed: int
    counted: int

    def __str__(self) -> str:
        return (
            f"{self.table} holds {self.counted} rows of {self.workspace} in {self.month}, "
            f"the ledger counts {self.claimed}"
        )


def disagreements(
    lake: Lake, workspace: str | None = None, ledger: pa.Table | None = None
) -> list[Disagreement]:
    """Where ledger and tables disagree, of one workspace or of all, in the order of tables and months.

    `ledger` are the workspace's rows of the ledger, where the caller has read them. Months with a day that
    is being written are left out. A sync that commits meanwhile can make ledger and tables differ for a
    moment, so only what a second look confirms is reported. Raises LakeError.
    """
    found = _look(lake, workspace, ledger)
    return [one for one in _look(lake, workspace, None) if one in found] if found else []


def _look(lake: Lake, workspace: str | None, ledger: pa.Table | None) -> list[Disagreement]:
    if ledger is None:
        columns = ["workspace", "month", "status", *CLAIMS]
        ledger = lake.read(SYNC_LEDGER, columns=columns, workspace=workspace)
    writing = set(_parts(ledger.filter(pc.field("status") == WRITING)))
    sums = ledger.group_by(["workspace", "month"]).aggregate([(name, "sum") for name in CLAIMS])
    found = []
    for name, table in CLAIMS.items():
        claimed = dict(zip(_parts(sums), sums[f"{name}_sum"].to_pylist(), strict=True))
        counts = lake.row_counts(table)
        counted = {
            (id_, month): rows
            for id_ in (counts if workspace is None else [workspace])
            for month, rows in counts.get(id_, {}).items()
        }
        found += [
            Disagreement(table.name, *part, claimed.get(part, 0), counted.get(part, 0))
            for part in sorted({*claimed, *counted})
            if part not in writing and claimed.get(part, 0) != counted.get(part, 0)
        ]
    return found


def _parts(rows: pa.Table) -> list[tuple[str, str]]:
    return list(zip(rows["workspace"].to_pylist(), rows["month"].to_pylist(), strict=True))
