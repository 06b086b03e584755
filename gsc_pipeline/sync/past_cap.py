"""Plans requests with filters for the parts of a cut answer. Pure functions and values, without I/O.

A cell is one country and device; in the table by page, one page, country and device. Filters by device, by
country and by the first segment of a page's path each split the cells into parts that do not overlap. The
answer for a part that was not cut has every named row of the part's cells.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.encoding import decoded_batches, decoded_schema
from gsc_pipeline.search_console.requests import (
    EXPRESSION_CHARACTERS,
    CellFilter,
    PageFilter,
    PageFilters,
)
from gsc_pipeline.sync.sums_at import SumsAt, integers

EVERYTHING: tuple[PageFilters, ...] = ((),)
"""The filters of a whole answer that was not cut: no filter keeps every cell."""

FEW_VALUES = ("page", "url", "country", "device")
"""Text columns whose values are few beside those of `query`."""

MOST_SEGMENTS = 1_000
"""The most segments of paths of one split; the pages of the others stay together."""

_GROUPS = 4
"""The number of groups of segments in one split."""

_ROWS_GROW = 0.7
"""Rows grow with impressions to this power: countries with fewer impressions have more rows for each one."""

_MORE = 1.5
"""The estimate of a rest's rows is at least this multiple of its rows in a cut answer."""

_FULL = 0.9
"""The largest share of the cap that the estimated rows of one answer may have."""

_SEGMENT = r"^(?P<origin>[A-Za-z]+://[^/?#]+)(?:/(?P<name>[^/?#]*))?"


class Cell(NamedTuple):
    """One country and device. Discover has no devices."""

    country: str
    device: str | None


@dataclass(frozen=True, slots=True)
class Pages:
    """Rows by page, country and device; `are_all` if they have every page."""

    rows: pa.Table
    are_all: bool


@dataclass(frozen=True, slots=True)
class Part:
    """The cells that one request asks for: those that the filters keep.

    Filters in `only` keep some values of a dimension, those in `but` leave some out. `cells` has the
    impressions of each country and device. `impressions` are those of the part: an estimate if the filters
    keep some pages of a cell and leave out others. `known` are the part's rows in earlier answers.
    """

    only: PageFilters
    but: PageFilters
    cells: Mapping[Cell, int]
    impressions: int
    known: pa.Table

    @property
    def filters(self) -> PageFilters:
        """The filters of the request."""
        return self.only + self.but

    @property
    def is_by_page(self) -> bool:
        """Whether the filters keep some pages of a cell and leave out others."""
        return any(isinstance(one, PageFilter) for one in self.filters)

    @property
    def missing(self) -> int:
        """The impressions without a known row."""
        return self.impressions - (pc.sum(self.known["impressions"]).as_py() or 0)

    @property
    def is_known(self) -> bool:
        """Whether every impression is in a known row, so that there is nothing to ask for."""
        return self.missing <= 0 and not self.is_by_page

    @property
    def is_over(self) -> bool:
        """Whether the known rows have more impressions than there are: the day moved between two answers."""
        return self.missing < 0 and not self.is_by_page


@dataclass(frozen=True, slots=True)
class Split:
    """A part that was split.

    `rest` is the part to split, or to ask for, once the answer for the first of `parts` has shown how many
    rows there are. `others` are the known rows that are in none of these. `is_whole`: the parts and the rest
    have every row.
    """

    parts: Sequence[Part]
    rest: Part | None
    others: pa.Table
    is_whole: bool = True


def kept(rows: pa.Table, filters: PageFilters) -> pa.ChunkedArray:
    """Whether the filters keep each row. They see the columns country, device and page of `rows`."""
    mask = pa.chunked_array([pa.repeat(True, rows.num_rows)])
    for one in filters:
        if isinstance(one, PageFilter):
            # Arrow's patterns are RE2, as the API's.
            found = pc.match_substring_regex(rows["page"], one.pattern)
        else:
            found = pc.equal(rows[one.dimension], one.value)
        mask = pc.and_(mask, pc.invert(found) if one.is_excluded else found)
    return mask


def is_complete(cells: pa.Table, complete: Iterable[PageFilters]) -> pa.ChunkedArray:
    """Whether one of the answers that were not cut, named by their filters, holds all rows of each cell."""
    mask = pa.chunked_array([pa.repeat(False, cells.num_rows)])
    for filters in complete:
        mask = pc.or_(mask, kept(cells, filters))
    return mask


def are_among(rows: pa.Table, others: pa.Table, keys: Sequence[str]) -> pa.ChunkedArray:
    """Whether each row has the keys of one of `others`."""
    places = rows.select([*keys]).append_column("place", pa.array(range(rows.num_rows), pa.int64()))
    found = places.join(others.select([*keys]), keys=[*keys], join_type="left semi")["place"]
    return pc.is_in(places["place"], found.combine_chunks())


def impressions_by_cell(rows: pa.Table) -> dict[Cell, int]:
    """The impressions of each country and device."""
    keys = [name for name in ("country", "device") if name in rows.column_names]
    sums = sums_by(rows, keys, ["impressions"])
    devices = sums["device"].to_pylist() if "device" in keys else [None] * sums.num_rows
    cells = map(Cell, sums["country"].to_pylist(), devices)
    return dict(zip(cells, sums["impressions"].to_pylist(), strict=True))


def sums_by(rows: pa.Table, keys: Sequence[str], names: Sequence[str]) -> pa.Table:
    """The sums of columns by keys, which may be encoded.

    Each batch is summed before all are, as the keys of a large table would take as much memory as the table.
    """
    wanted = rows.select([*keys, *names])
    parts = [_sums_by(pa.table(batch), keys, names) for batch in decoded_batches(wanted)]
    if len(parts) <= 1:
        return parts[0] if parts else decoded_schema(wanted.schema).empty_table()
    return _sums_by(pa.concat_tables(parts), keys, names)


def _sums_by(rows: pa.Table, keys: Sequence[str], names: Sequence[str]) -> pa.Table:
    sums = rows.group_by(list(keys), use_threads=False).aggregate([(name, "sum") for name in names])
    return sums.rename_columns([*keys, *names])


def exceeds(rows: pa.Table, totals: pa.Table, *, is_complete: bool = False) -> bool:
    """Whether the rows of some key of the totals have more clicks or impressions than the total.

    If the totals are complete, a key that they lack has a total of zero.
    """
    keys = [name for name in ("page", "country", "device") if name in totals.column_names]
    found = SumsAt(rows, totals, keys)
    return any(
        (is_complete and found.has_others(name)) or bool((found.sums(name) > integers(totals[name])).any())
        for name in ("clicks", "impressions")
    )


def whole(cells: Mapping[Cell, int], known: pa.Table) -> Part:
    """The part without filters, of whose rows a cut answer has `known`."""
    return Part((), (), cells, sum(cells.values()), known)


def split(part: Part, pages: Pages | None, *, excluding: bool = True) -> Split | None:
    """Split a part by device, or else by country, or else by the first segment of the path.

    Each device has a request of its own; segments are asked for in groups. Of the countries the one with the
    most impressions is asked for, and the others are the rest. Without `excluding`, no request leaves values
    out. `pages` are the pages of the part's cells; None in the table by property. Returns None if the part
    cannot be split.
    """
    if len({cell.device for cell in part.cells}) > 1:
        return _singly(part, _values_of(part, "device"))
    countries = _values_of(part, "country")
    if len(countries) > 1 and excluding:
        first, rest = _divided(part, countries[0])
        return Split([first], _of_one_country(rest), rest.known.slice(0, 0))
    if len(countries) > 1:
        return _singly(part, countries)
    return None if pages is None else _by_segment(part, pages, excluding=excluding)


def after_first(rest: Part, first: Part, cap: int) -> Sequence[Part]:
    """Split the rest of a split by country, now that the rows of the first country are known.

    The countries with the most impressions have requests of their own, until the others may fit into one
    answer.
    """
    parts = []
    countries = _by_value(rest, "country")
    # The first country may have anonymised queries alone.
    of_first = max(first.known.num_rows, 1)
    rows = {country: of_first * _grown(n, first.impressions) for country, n in countries.items()}
    low = sum(rows.values()) / (_MORE * max(rest.known.num_rows, 1))
    rows = {country: number / min(low, 1) for country, number in rows.items()}
    for country in list(countries)[:-1]:
        if sum(rows.values()) <= _FULL * cap:
            break
        del rows[country]
        single, rest = _divided(rest, CellFilter("country", country))
        parts.append(single)
    return [*parts, _of_one_country(rest)]


def singly(rest: Part) -> Split:
    """Split the rest of a split by country without a filter that leaves values out."""
    return _singly(rest, _values_of(rest, "country"))


def segment_pattern(segments: Iterable[tuple[str, str]]) -> str:
    """The pattern of the pages with one of the origins and first segments of the path.

    The segment without a name is the home page.
    """
    names: dict[str, list[str]] = {}
    for origin, name in segments:
        names.setdefault(origin, []).append(re.escape(name))
    found = []
    for origin, of_origin in names.items():
        if named := "|".join(name for name in of_origin if name):
            found.append(rf"{re.escape(origin)}/({named})($|[/?#])")
        if "" in of_origin:
            found.append(rf"{re.escape(origin)}/?($|[?#])")
    return f"^({'|'.join(found)})"


def _grown(impressions: int, than: int) -> float:
    return float((impressions / max(than, 1)) ** _ROWS_GROW)


def _by_value(part: Part, dimension: Literal["country", "device"]) -> dict[str, int]:
    """The impressions of each country or device of a part, the most first."""
    sums: dict[str, int] = {}
    for cell, impressions in part.cells.items():
        value = str(getattr(cell, dimension))
        sums[value] = sums.get(value, 0) + impressions
    return dict(sorted(sums.items(), key=lambda one: (-one[1], one[0])))


def _values_of(part: Part, dimension: Literal["country", "device"]) -> list[CellFilter]:
    """Filters by each country or device of a part, those with the most impressions first."""
    return [CellFilter(dimension, value) for value in _by_value(part, dimension)]


def _divided(part: Part, one: CellFilter | PageFilter, impressions: int | None = None) -> tuple[Part, Part]:
    """The part that a filter keeps, and the rest. `impressions` are those of the former, if by page."""
    mask = kept(part.known, (one,))
    inside, outside = dict(part.cells), dict(part.cells)
    if isinstance(one, CellFilter):
        inside = {cell: n for cell, n in part.cells.items() if getattr(cell, one.dimension) == one.value}
        outside = {cell: n for cell, n in part.cells.items() if cell not in inside}
    of_inside = sum(inside.values()) if impressions is None else impressions
    only = part.only
    if isinstance(one, PageFilter):
        # A group of pages within a group needs its own filter alone.
        only = tuple(known for known in only if not isinstance(known, PageFilter))
    return (
        Part((*only, one), (), inside, of_inside, part.known.filter(mask)),
        replace(
            part,
            but=(*part.but, replace(one, is_excluded=True)),
            cells=outside,
            impressions=part.impressions - of_inside,
            known=part.known.filter(pc.invert(mask)),
        ),
    )


def _singly(part: Part, filters: Iterable[CellFilter]) -> Split:
    parts, rest = [], part
    for one in filters:
        single, rest = _divided(rest, one)
        parts.append(single)
    return Split(parts, None, rest.known)


def _of_one_country(part: Part) -> Part:
    """The part, with a filter by its country instead of those that leave out all others, if it has one."""
    countries = _values_of(part, "country")
    return replace(part, only=(*part.only, *countries), but=()) if len(countries) == 1 else part


def _by_segment(part: Part, pages: Pages, *, excluding: bool) -> Split | None:
    own = pages.rows.filter(kept(pages.rows, part.filters))
    groups = _groups(_segments(own))
    if len(groups) < 2:
        return None
    total = max(sum(impressions for _, impressions in groups), pc.sum(own["impressions"]).as_py())
    parts, rest, found = [], part, 0
    for pattern, impressions in groups:
        share = round(part.impressions * impressions / max(total, 1))
        single, rest = _divided(rest, PageFilter(pattern), share)
        parts.append(single)
        found += pc.sum(kept(own, (PageFilter(pattern),))).as_py() or 0
    may_have_others = not pages.are_all and not any(isinstance(one, PageFilter) for one in part.only)
    if found == own.num_rows and not may_have_others:
        return Split(parts, None, rest.known)
    if not excluding:
        return Split(parts, None, rest.known, is_whole=False)
    return Split([*parts, rest], None, rest.known.slice(0, 0))


def _segments(pages: pa.Table) -> list[tuple[tuple[str, str], int]]:
    """The origin and first segment of the path of pages, with the impressions, the most first."""
    found = pc.extract_regex(pages["page"], _SEGMENT)
    names = pa.table(
        {
            **{name: pc.struct_field(found, name) for name in ("origin", "name")},
            "impressions": pages["impressions"],
        }
    )
    sums = names.filter(pc.is_valid(names["origin"])).group_by(["origin", "name"])
    sums = sums.aggregate([("impressions", "sum")])
    order = [("impressions_sum", "descending"), ("origin", "ascending"), ("name", "ascending")]
    return [
        ((row["origin"], row["name"] or ""), row["impressions_sum"])
        for row in sums.sort_by(order).slice(0, MOST_SEGMENTS).to_pylist()
    ]


def _groups(segments: Sequence[tuple[tuple[str, str], int]]) -> list[tuple[str, int]]:
    """Patterns of groups of segments with about equal impressions, and these impressions.

    A segment that would make a pattern longer than the API accepts is in no group.
    """
    groups: list[list[tuple[str, str]]] = [[] for _ in range(min(_GROUPS, len(segments)))]
    sums = [(0, number) for number in range(len(groups))]
    for segment, impressions in segments:
        before, number = sums[0]
        if len(segment_pattern([*groups[number], segment])) <= EXPRESSION_CHARACTERS:
            groups[number].append(segment)
            heapq.heapreplace(sums, (before + impressions, number))
    return [
        (segment_pattern(groups[number]), total)
        for total, number in sorted(sums, key=lambda one: one[1])
        if groups[number]
    ]
