"""Completes the rows by page of a day that the API cut off with those of a folder's own property.

Search Console counts the same clicks and impressions of a page in every property that has the page. So rows
are matched by their keys: page, query, country and device. A folder's property has a cap of its own and
anonymises rare queries on its own, so each of the two properties names queries that the other does not name.

A cell is one page, country and device. Its rest is the row without a query. The total of a cell that the
parent has does not change: the numbers of a row that only the folder names are subtracted from the rest. What
is left stays marked as cut, because it may hold queries that the parent would name and the folder does not.
Pure functions on Arrow columns, without I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = (
    "url",
    "query",
    "is_anonymized_query",
    "country",
    "device",
    "clicks",
    "impressions",
    "sum_position",
    "is_truncated",
)
"""The columns of searchdata_url_impression that this module reads and returns."""

_CELL = ["url", "country", "device"]
_KEY = ["query", *_CELL]
_COUNTS = ["clicks", "impressions", "sum_position"]

Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Completed:
    """The rows of a day after those of a folder were taken.

    `added`, `clicks` and `impressions` are of the rows that were taken. `differences` counts the cells in
    which the two properties contradict each other, of which nothing was taken; `largest_difference` describes
    the one with the most impressions.
    """

    rows: pa.Table
    added: int = 0
    clicks: int = 0
    impressions: int = 0
    differences: int = 0
    largest_difference: str = ""


def completed(
    rows: pa.Table,
    folder: pa.Table,
    prefix: str,
    *,
    lacks_pages: bool | None,
    folder_lacks_pages: bool | None,
) -> Completed:
    """The rows of a day (COLUMNS), completed with those of the folder whose pages begin with `prefix`.

    `lacks_pages`: whether the API cut off pages of the day; None if that is not known, then no page is added.
    If it cut off none, a page that the folder alone has contradicts the parent. If it did, a cell without a
    rest may have a total that was cut off: the folder's total is taken, unless another cell of the folder
    contradicts the parent.
    """
    if bool(rows["device"].null_count) is not bool(folder["device"].null_count):
        # Google News was read with devices in one property, without them in the other: no keys are equal.
        return Completed(rows)
    stored = rows
    rows, folder = _without_nulls(rows), _once(_without_nulls(folder))
    is_below = pc.starts_with(rows["url"], prefix)
    below, folder = rows.filter(is_below), folder.filter(pc.starts_with(folder["url"], prefix))
    named, rest = _by_query(below)
    folder_named, folder_rest = _by_query(folder)
    new, others = _compared(folder_named, named)
    cells = _Cells.of(below, rest, folder, folder_rest, new, others)
    verdict = _verdict(cells, lacks_pages, folder_lacks_pages)
    found = _described(cells, verdict.differ)
    if not verdict.taken.any():
        return Completed(stored, **found)
    taken, is_open = verdict.taken, verdict.is_open
    added = pa.concat_tables(
        [_within(new, cells.keys(taken)), cells.rest_rows(taken & is_open, verdict.left, is_cut=True)]
    )
    kept = [rows.filter(pc.invert(is_below)), named, _within(rest, cells.keys(taken), is_outside=True)]
    smaller = cells.rest_rows(taken & ~is_open, verdict.left)
    return Completed(
        _as_stored(pa.concat_tables([*kept, smaller, added]), like=stored),
        added.num_rows,
        pc.sum(added["clicks"]).as_py(),
        pc.sum(added["impressions"]).as_py(),
        **found,
    )


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells below the prefix, and sums over their rows.

    Each kind of rows (`_KINDS`) has their number and the sums of their counts. `parent` and `folder` are all
    rows of the two properties, `…_rest` those without a query, `new` the folder's rows that the parent lacks,
    and `other` the folder's rows with other numbers than in the parent.
    """

    table: pa.Table

    @classmethod
    def of(cls, *kinds: pa.Table) -> _Cells:
        """The cells of the rows of each kind, in the order of `_KINDS`."""
        parts = [_of_kind(name, rows) for name, rows in zip(_KINDS, kinds, strict=True)]
        names = [name for part in parts for name in part.column_names if name not in _CELL]
        every = pa.concat_tables(parts, promote_options="default")
        sums = every.group_by(_CELL, use_threads=False).aggregate([(name, "sum") for name in names])
        return cls(sums.rename_columns([*_CELL, *names]))

    def __getitem__(self, name: str) -> Counts:
        counts: Counts = pc.fill_null(self.table[name], 0).to_numpy()
        return counts

    def keys(self, chosen: Flags) -> pa.Table:
        return self.table.select(_CELL).filter(pa.array(chosen))

    def rest_rows(self, chosen: Flags, left: Mapping[str, Counts], *, is_cut: bool | None = None) -> pa.Table:
        """The rows without a query of the chosen cells, with the counts `left`. Rows of zeros are left out.

        They are marked as cut like the parent's own, or as `is_cut`.
        """
        is_row = pa.array(chosen & (left["impressions"] > 0))
        keys = self.table.filter(is_row)
        flags = pc.equal(keys["parent_rest_cut"], 1) if is_cut is None else pa.repeat(is_cut, keys.num_rows)
        columns = {
            **{name: keys[name] for name in _CELL},
            **{name: pa.array(left[name]).filter(is_row) for name in _COUNTS},
            "query": pa.repeat("", keys.num_rows),
            "is_anonymized_query": pa.repeat(True, keys.num_rows),
            "is_truncated": flags,
        }
        return pa.table({name: columns[name] for name in COLUMNS})


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What is done with each cell.

    `taken`: the folder's new rows are taken. `is_open`: the parent may lack the cell's total, so the folder's
    is taken. `differ`: the two properties contradict each other. `left`: the counts of the rest afterwards.
    """

    taken: Flags
    is_open: Flags
    differ: Flags
    left: Mapping[str, Counts]


def _verdict(cells: _Cells, lacks_pages: bool | None, folder_lacks_pages: bool | None) -> _Verdict:
    in_parent, in_folder, has_rest = (
        cells[f"{kind}_rows"] > 0 for kind in ("parent", "folder", "parent_rest")
    )
    has_total = (cells["folder_rest_rows"] > 0) | (folder_lacks_pages is False)
    is_open = ~has_rest & bool(lacks_pages)
    left = {
        name: np.where(
            is_open,
            np.where(has_total, cells[f"folder_{name}"] - cells[f"parent_{name}"], cells[f"new_{name}"]),
            cells[f"parent_rest_{name}"],
        )
        - cells[f"new_{name}"]
        for name in _COUNTS
    }
    is_unchanged = ~is_open & (cells["new_rows"] == 0)
    same = [cells[f"parent_{name}"] == cells[f"folder_{name}"] for name in ("clicks", "impressions")]
    agrees = in_folder & (in_parent | is_open) & (cells["other_rows"] == 0)
    agrees &= _is_possible(**left) | is_unchanged
    agrees &= (same[0] & same[1]) | is_open | ~has_total
    if lacks_pages is None:
        # The parent may lack the page, or the total of the cell.
        differ = in_folder & ~agrees & (has_rest | (cells["other_rows"] > 0))
        agrees &= has_rest
    else:
        differ = in_folder & ~agrees
    taken = agrees & ((cells["new_rows"] > 0) | (is_open & (left["impressions"] > 0)))
    if differ.any():
        taken &= ~(is_open & in_parent)
    return _Verdict(taken, is_open, differ, left)


def _is_possible(clicks: Counts, impressions: Counts, sum_position: Counts) -> Flags:
    is_possible: Flags = (clicks >= 0) & (impressions >= clicks) & (sum_position >= 0)
    is_possible &= (impressions > 0) | (sum_position == 0)
    return is_possible


_KINDS = ("parent", "parent_rest", "folder", "folder_rest", "new", "other")


def _without_nulls(rows: pa.Table) -> pa.Table:
    """The rows without nulls in keys and counts, which joins and sums leave out."""
    columns = {name: rows[name] for name in COLUMNS}
    columns["device"] = pc.fill_null(rows["device"], "")
    columns["sum_position"] = pc.fill_null(rows["sum_position"], 0)
    return pa.table(columns)


def _once(rows: pa.Table) -> pa.Table:
    """Each key once. Imported days have a row for each set of search appearances."""
    keys = [name for name in COLUMNS if name not in _COUNTS]
    sums = rows.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in _COUNTS])
    return sums.rename_columns([*keys, *_COUNTS]).select(COLUMNS)


def _as_stored(rows: pa.Table, *, like: pa.Table) -> pa.Table:
    """The rows with the nulls of the table: Discover has no devices, and feeds have no positions."""
    columns = {name: rows[name] for name in COLUMNS}
    columns["device"] = pc.if_else(pc.equal(rows["device"], ""), None, rows["device"])
    if like["sum_position"].null_count:
        columns["sum_position"] = pa.nulls(rows.num_rows, pa.int64())
    return pa.table(columns).cast(like.select(COLUMNS).schema)


def _by_query(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows with a query (of a feed, all rows), and the rest."""
    is_rest = rows["is_anonymized_query"]
    return rows.filter(pc.invert(is_rest)), rows.filter(is_rest)


def _compared(folder: pa.Table, parent: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The folder's named rows that the parent lacks, and those with other numbers than in the parent."""
    counts = ["clicks", "impressions"]
    known = parent.select([*_KEY, *counts])
    both = folder.join(known, _KEY, join_type="left outer", right_suffix="_in_parent")
    is_new = pc.is_null(both["impressions_in_parent"])
    differ = [pc.not_equal(both[name], both[f"{name}_in_parent"]) for name in counts]
    is_other = pc.fill_null(pc.or_(*differ), False)
    return both.filter(is_new).select(COLUMNS), both.filter(is_other).select(COLUMNS)


def _of_kind(kind: str, rows: pa.Table) -> pa.Table:
    columns = {name: rows[name] for name in _CELL}
    columns |= {f"{kind}_{name}": rows[name] for name in _COUNTS}
    columns[f"{kind}_rows"] = pa.repeat(1, rows.num_rows)
    columns[f"{kind}_cut"] = pc.cast(rows["is_truncated"], pa.int64())
    return pa.table(columns)


def _within(rows: pa.Table, cells: pa.Table, *, is_outside: bool = False) -> pa.Table:
    return rows.join(cells, _CELL, join_type="left anti" if is_outside else "left semi").select(COLUMNS)


def _described(cells: _Cells, differ: Flags) -> dict[str, Any]:
    if not differ.any():
        return {}
    names = ("parent_clicks", "parent_impressions", "folder_clicks", "folder_impressions", "other_rows")
    numbers = {name: cells[name] for name in names}
    place = int(
        np.argmax(np.where(differ, numbers["parent_impressions"] + numbers["folder_impressions"], -1))
    )
    own_clicks, own_impressions, clicks, impressions, others = (int(numbers[name][place]) for name in names)
    url, country, device = (cells.table[name][place].as_py() for name in _CELL)
    what = f"{own_clicks} clicks and {own_impressions} impressions, in the folder {clicks} and {impressions}"
    if (own_clicks, own_impressions) == (clicks, impressions):
        what = f"{others} queries with other numbers" if others else "its queries exceed what is not named"
    where = " ".join(part for part in (url, country, device) if part)
    return {"differences": int(differ.sum()), "largest_difference": f"{where}: {what}"}
