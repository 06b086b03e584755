"""Rows of a folder's property complete the parent's: totals stay, contradictions are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import strategies as st

from gsc_pipeline.lake.encoding import decoded
from gsc_pipeline.search_console.search_types import FeedType, QueryType, SearchType
from gsc_pipeline.sync.folders import COLUMNS, Completed, completed
from gsc_pipeline.sync.grains import DayOf, url_rows
from gsc_pipeline_tests.soak import any_of

DAY = date(2026, 11, 20)
PREFIX = "https://acme.com/shop/"
CELL = ("url", "country", "device")
COUNTS = ("clicks", "impressions", "sum_position")

Key = tuple[object, ...]


@dataclass(frozen=True)
class Fact:
    """A query of one page, country and device, and in which of the two properties it is anonymised."""

    page: str
    query: str
    country: str = "usa"
    device: str = "MOBILE"
    clicks: int = 0
    impressions: int = 1
    zero_based: int = 0
    is_rare_here: bool = False
    is_rare_there: bool = False

    @property
    def cell(self) -> Key:
        return self.page, self.country, self.device

    @property
    def numbers(self) -> tuple[int, int, int]:
        return self.clicks, self.impressions, self.zero_based * self.impressions


@dataclass(frozen=True)
class Held:
    """What the lake has of a day: the rows, and whether the API cut off pages."""

    rows: pa.Table
    lacks_pages: bool


def held(
    facts: Iterable[Fact],
    *,
    is_there: bool = False,
    queries_cap: int = 10**6,
    pages_cap: int = 10**6,
    kind: SearchType = QueryType.WEB,
) -> Held:
    """The rows by page that a property gives of the facts, of which it names those that are not rare."""
    known = [one for one in facts if one.page.startswith(PREFIX)] if is_there else list(facts)
    dimensions = ("page", "country", "device")
    pages = answer(summed((one.cell, one) for one in known), dimensions, pages_cap)
    if isinstance(kind, FeedType):
        return Held(plain(kind, pages, None), pages.num_rows >= pages_cap)
    named = [one for one in known if not (one.is_rare_there if is_there else one.is_rare_here)]
    queries = answer(
        summed(((one.query, *one.cell), one) for one in named), ("query", *dimensions), queries_cap
    )
    complete = () if queries.num_rows >= queries_cap else None
    return Held(plain(kind, pages, queries, complete), pages.num_rows >= pages_cap)


def plain(kind: SearchType, pages: pa.Table, queries: pa.Table | None, complete: object = None) -> pa.Table:
    of = DayOf("acme", "sc-domain:acme.com", kind, DAY)
    more = () if complete is None else (complete,)
    # As the lake gives them back.
    return decoded(url_rows(of, pages, queries, *more).select(COLUMNS))  # type: ignore[arg-type]


def summed(facts: Iterable[tuple[Key, Fact]]) -> dict[Key, tuple[int, ...]]:
    sums: dict[Key, tuple[int, ...]] = {}
    for key, one in facts:
        sums[key] = tuple(map(sum, zip(sums.get(key, (0, 0, 0)), one.numbers, strict=True)))
    return sums


def answer(sums: Mapping[Key, tuple[int, ...]], dimensions: tuple[str, ...], cap: int) -> pa.Table:
    kept = sorted(sums, key=lambda key: (-sums[key][0], repr(key)))[:cap]
    schema = pa.schema(
        [(name, pa.string()) for name in dimensions]
        + [("clicks", pa.int64()), ("impressions", pa.int64()), ("position", pa.float64())]
    )
    rows = [(*key, *sums[key][:2], 1 + sums[key][2] / sums[key][1]) for key in kept]
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def complete(here: Held, there: Held) -> Completed:
    return completed(
        here.rows, there.rows, PREFIX, lacks_pages=here.lacks_pages, folder_lacks_pages=there.lacks_pages
    )


def by_cell(rows: pa.Table) -> dict[Key, tuple[int, ...]]:
    sums: dict[Key, tuple[int, ...]] = {}
    for row in rows.to_pylist():
        key = tuple(row[name] for name in CELL)
        numbers = tuple(row[name] for name in COUNTS)
        sums[key] = tuple(map(sum, zip(sums.get(key, (0, 0, 0)), numbers, strict=True)))
    return sums


def named(rows: pa.Table) -> dict[Key, Key]:
    return {
        (row["query"], *(row[name] for name in CELL)): tuple(row[name] for name in COUNTS)
        for row in rows.to_pylist()
        if not row["is_anonymized_query"]
    }


def rests(rows: pa.Table) -> dict[Key, dict[str, object]]:
    return {tuple(row[name] for name in CELL): row for row in rows.to_pylist() if row["is_anonymized_query"]}


def as_set(rows: pa.Table) -> Counter[str]:
    return Counter(map(repr, rows.select(COLUMNS).to_pylist()))


SHOES, HATS, BLOG = f"{PREFIX}shoes", f"{PREFIX}hats", "https://acme.com/blog/a"


def test_a_row_that_the_folder_alone_names_is_taken_out_of_the_rest() -> None:
    facts = [
        Fact(SHOES, "a", clicks=3, impressions=9),
        Fact(SHOES, "b", impressions=4, zero_based=5),
        Fact(SHOES, "c", impressions=2, is_rare_here=True, is_rare_there=True),
        Fact(BLOG, "d"),
    ]
    here, there = held(facts, queries_cap=1), held(facts, is_there=True)
    found = complete(here, there)
    assert (found.added, found.clicks, found.impressions, found.differences) == (1, 0, 4, 0)
    assert named(found.rows) == {
        ("a", SHOES, "usa", "MOBILE"): (3, 9, 0),
        ("b", SHOES, "usa", "MOBILE"): (0, 4, 20),
    }
    assert by_cell(found.rows) == by_cell(here.rows)
    (rest,) = (row for cell, row in rests(found.rows).items() if cell[0] == SHOES)
    assert (rest["impressions"], rest["is_truncated"]) == (2, True)


def test_a_rest_of_which_nothing_is_left_is_no_row() -> None:
    facts = [Fact(SHOES, "a", clicks=3, impressions=9), Fact(SHOES, "b", impressions=4)]
    found = complete(held(facts, queries_cap=1), held(facts, is_there=True))
    assert not rests(found.rows)
    assert as_set(found.rows) == as_set(held(facts).rows)


def test_what_the_folder_leaves_out_may_be_named_by_the_parent_so_the_rest_stays_marked() -> None:
    facts = [Fact(SHOES, "a", clicks=3, impressions=9), Fact(SHOES, "b", impressions=4, is_rare_there=True)]
    here = held(facts, queries_cap=1)
    found = complete(here, held(facts, is_there=True))
    assert found == Completed(here.rows)
    assert rests(found.rows)[SHOES, "usa", "MOBILE"]["is_truncated"]


@pytest.mark.parametrize(
    ("moved", "text"),
    [
        (Fact(SHOES, "a", clicks=3, impressions=10), "3 clicks and 13 impressions, in the folder 3 and 14"),
        (Fact(SHOES, "a", clicks=2, impressions=9), "3 clicks and 13 impressions, in the folder 2 and 13"),
    ],
)
def test_nothing_is_taken_of_a_page_whose_numbers_contradict_the_parent(moved: Fact, text: str) -> None:
    facts = [Fact(SHOES, "a", clicks=3, impressions=9), Fact(SHOES, "b", impressions=4), Fact(HATS, "c"),
             Fact(HATS, "d")]  # fmt: skip
    here = held(facts, queries_cap=1)
    found = complete(here, held([moved, *facts[1:]], is_there=True))
    assert (found.added, found.differences) == (2, 1)
    assert found.largest_difference == f"{SHOES} usa MOBILE: {text}"
    assert by_cell(found.rows) == by_cell(here.rows)
    assert [key for key in named(found.rows) if key[1] == SHOES] == [("a", SHOES, "usa", "MOBILE")]


def test_a_query_that_exceeds_what_is_not_named_is_not_taken() -> None:
    facts = [Fact(SHOES, "a", clicks=3, impressions=9), Fact(SHOES, "b", impressions=4)]
    here = held(facts, queries_cap=1)
    # The folder's list of pages is cut too, so that its total of the page is unknown.
    there = replace(held([facts[0], replace(facts[1], impressions=5)], is_there=True), lacks_pages=True)
    found = complete(here, there)
    assert found.rows is here.rows
    assert (
        found.largest_difference == f"{SHOES} usa MOBILE: 3 clicks and 13 impressions, in the folder 3 and 14"
    )


def test_queries_with_other_numbers_contradict_the_parent_also_where_the_totals_are_the_same() -> None:
    facts = [Fact(SHOES, "a", clicks=3, impressions=9), Fact(SHOES, "b", impressions=4)]
    here = held(facts, queries_cap=1)
    later = [replace(facts[0], impressions=8), replace(facts[1], impressions=5)]
    found = complete(here, replace(held(later, is_there=True), lacks_pages=True))
    assert found.rows is here.rows
    assert found.largest_difference == f"{SHOES} usa MOBILE: 1 queries with other numbers"


@pytest.mark.parametrize("moved", [False, True])
def test_a_page_whose_total_may_be_cut_off_is_completed_unless_the_folder_has_moved(moved: bool) -> None:
    facts = [Fact(BLOG, "x", clicks=9, impressions=9), Fact(SHOES, "a", clicks=3, impressions=9),
             Fact(SHOES, "b", impressions=4), Fact(HATS, "c", clicks=2, impressions=2)]  # fmt: skip
    # The parent has named queries of the shoes, and the total of the blog alone.
    here = held(facts, queries_cap=3, pages_cap=1)
    later = [*facts[:3], replace(facts[3], impressions=4 if moved else 2)]
    found = complete(here, held(later, is_there=True))
    assert by_cell(found.rows)[SHOES, "usa", "MOBILE"] == ((3, 9, 0) if moved else (3, 13, 0))
    assert bool(found.differences) is moved


def test_a_page_that_the_parent_had_room_for_contradicts_the_folder() -> None:
    facts = [Fact(SHOES, "a", clicks=3, impressions=9), Fact(SHOES, "b")]
    here = held(facts, queries_cap=1)
    there = held([*facts, Fact(HATS, "c", impressions=7)], is_there=True)
    found = complete(here, there)
    assert HATS not in {cell[0] for cell in by_cell(found.rows)}
    assert found.differences == 1
    assert complete(replace(here, lacks_pages=None), there).differences == 0  # type: ignore[arg-type]


def test_pages_that_the_cap_cut_off_are_taken_whole() -> None:
    facts = [Fact(SHOES, "a", clicks=3, impressions=9), Fact(SHOES, "b", clicks=1),
             Fact(HATS, "c", impressions=7), Fact(HATS, "d", is_rare_there=True)]  # fmt: skip
    found = complete(held(facts, queries_cap=2, pages_cap=1), held(facts, is_there=True))
    assert by_cell(found.rows) == by_cell(held(facts).rows)
    assert found.differences == 0
    rest = rests(found.rows)[HATS, "usa", "MOBILE"]
    assert (rest["impressions"], rest["is_truncated"]) == (1, True)


@pytest.mark.parametrize("kind", list(FeedType))
def test_pages_of_a_feed_are_taken_by_their_key(kind: FeedType) -> None:
    device = None if kind is FeedType.DISCOVER else "MOBILE"
    facts = [Fact(SHOES, "", clicks=5, impressions=9, device=device), Fact(HATS, "", clicks=2, device=device),  # type: ignore[arg-type]
             Fact(BLOG, "", clicks=9, impressions=9, device=device)]  # type: ignore[arg-type]  # fmt: skip
    here, whole = held(facts, pages_cap=2, kind=kind), held(facts, kind=kind)
    found = complete(here, held(facts, is_there=True, kind=kind))
    assert found.added == 1
    assert as_set(found.rows) == as_set(whole.rows)
    assert found.rows.schema == here.rows.schema


def test_rows_with_devices_are_not_completed_by_rows_without() -> None:
    facts = [Fact(SHOES, "", clicks=5, impressions=9), Fact(HATS, "", clicks=2)]
    here = held(facts, pages_cap=1, kind=FeedType.GOOGLE_NEWS)
    without = [replace(one, device=None) for one in facts]  # type: ignore[arg-type]
    there = held(without, is_there=True, kind=FeedType.GOOGLE_NEWS)
    assert complete(here, there) == Completed(here.rows)


def test_a_rest_of_which_an_earlier_release_did_not_say_whether_it_is_cut_stays_so() -> None:
    facts = [Fact(SHOES, "a", clicks=3, impressions=9), Fact(SHOES, "b", impressions=4),
             Fact(SHOES, "c", is_rare_here=True, is_rare_there=True)]  # fmt: skip
    here = held(facts, queries_cap=1)
    place = here.rows.schema.get_field_index("is_truncated")
    unknown = here.rows.set_column(place, "is_truncated", pa.nulls(here.rows.num_rows, pa.bool_()))
    found = completed(
        unknown, held(facts, is_there=True).rows, PREFIX, lacks_pages=None, folder_lacks_pages=False
    )
    assert found.added == 1
    assert rests(found.rows)[SHOES, "usa", "MOBILE"]["is_truncated"] is None


def test_rows_of_a_folder_from_the_bulk_export_are_summed_over_their_appearances() -> None:
    facts = [Fact(SHOES, "a", clicks=3, impressions=9), Fact(SHOES, "b", impressions=4)]
    there = held(facts, is_there=True)
    halves = [
        [{**row, "impressions": row["impressions"] - 1, "clicks": row["clicks"]},
         {**row, "impressions": 1, "clicks": 0}]
        for row in there.rows.to_pylist()
    ]  # fmt: skip
    rows = pa.Table.from_pylist([row for half in halves for row in half], schema=there.rows.schema)
    found = complete(held(facts, queries_cap=1), Held(rows, lacks_pages=False))
    assert as_set(found.rows) == as_set(held(facts).rows)


_facts = st.lists(
    st.builds(
        Fact,
        st.sampled_from([SHOES, HATS, PREFIX, "https://acme.com/shop", BLOG]),
        st.sampled_from([f"q{n}" for n in range(8)]),
        st.sampled_from(["usa", "gbr"]),
        st.sampled_from(["MOBILE", "DESKTOP"]),
        st.integers(0, 2),
        st.integers(2, 4),
        st.integers(0, 9),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda one: (one.query, *one.cell),
)
_caps = st.integers(1, 40)


def assert_sound(found: Completed, here: Held, there: Held) -> None:
    """Cells keep their totals, keys stay unique, and every row is the parent's or the folder's."""
    before, after = by_cell(here.rows), by_cell(found.rows)
    rests_before = rests(here.rows)
    assert all(after[cell] == before[cell] for cell in before if cell in rests_before or not here.lacks_pages)
    assert all(now >= was for cell in before for now, was in zip(after[cell], before[cell], strict=True))
    assert here.lacks_pages or after.keys() == before.keys()
    rows = found.rows.to_pylist()
    keys = Counter((row["query"], row["is_anonymized_query"], *(row[name] for name in CELL)) for row in rows)
    assert max(keys.values()) == 1
    assert all(0 <= row["clicks"] <= row["impressions"] and row["sum_position"] >= 0 for row in rows)
    assert all(row["impressions"] > 0 for row in rows)
    known, of_folder = named(here.rows), named(there.rows)
    assert all(numbers == known.get(key, of_folder.get(key)) for key, numbers in named(found.rows).items())
    assert known.keys() <= named(found.rows).keys()
    assert len(rows) + len(rests_before.keys() - rests(found.rows).keys()) == len(here.rows) + found.added


@any_of(
    few=20, many=100, facts=_facts, queries_cap=_caps, pages_cap=_caps, there_queries=_caps, there_pages=_caps
)
def test_in_any_world_the_folders_rows_complete_the_parents(
    facts: list[Fact], queries_cap: int, pages_cap: int, there_queries: int, there_pages: int
) -> None:
    here = held(facts, queries_cap=queries_cap, pages_cap=pages_cap)
    there = held(facts, is_there=True, queries_cap=there_queries, pages_cap=there_pages)
    found = complete(here, there)
    assert_sound(found, here, there)
    assert found.differences == 0
    true = {(one.query, *one.cell): one for one in facts}
    assert all(true[key].numbers == numbers for key, numbers in named(found.rows).items())
    assert named(there.rows).keys() <= named(found.rows).keys()
    # A rest that is not marked has no query that the parent would name.
    for cell, rest in rests(found.rows).items():
        hidden = [one for one in facts if one.cell == cell and (one.query, *cell) not in named(found.rows)]
        assert rest["is_truncated"] or all(one.is_rare_here for one in hidden)
        assert rest["impressions"] == sum(one.impressions for one in hidden)
    if not there.lacks_pages:
        whole = by_cell(held(facts).rows)
        assert all(
            by_cell(found.rows)[cell] == whole[cell] for cell in whole if str(cell[0]).startswith(PREFIX)
        )
    assert complete(Held(found.rows, here.lacks_pages), there).added == 0


@any_of(
    few=20,
    many=100,
    facts=_facts,
    queries_cap=_caps,
    pages_cap=_caps,
    there_queries=_caps,
    moved=st.sets(st.integers(0, 59), max_size=4),
    gone=st.booleans(),
)
def test_in_any_world_that_moves_nothing_of_a_page_that_moved_is_taken(
    facts: list[Fact], queries_cap: int, pages_cap: int, there_queries: int, moved: set[int], gone: bool
) -> None:
    later = [
        replace(one, impressions=one.impressions + 3) if place in moved else one
        for place, one in enumerate(facts)
        if not (gone and place in moved)
    ]
    here = held(facts, queries_cap=queries_cap, pages_cap=pages_cap)
    there = held(later, is_there=True, queries_cap=there_queries)
    found = complete(here, there)
    assert_sound(found, here, there)
    known, has_rest = named(here.rows), rests(here.rows)
    # Where pages are cut, the parent may not know the total of a page. Then only queries that both name can
    # show that the page has moved; the next sync reads such a day again, because its totals have moved.
    compared = known.keys() & named(there.rows).keys() if here.lacks_pages else known.keys()
    cells = {
        one.cell
        for place, one in enumerate(facts)
        if place in moved and (one.cell in has_rest or (one.query, *one.cell) in compared)
    }
    now, before = found.rows.to_pylist(), here.rows.to_pylist()
    for cell in cells:
        assert [row for row in now if tuple(row[name] for name in CELL) == cell] == [
            row for row in before if tuple(row[name] for name in CELL) == cell
        ]
    assert bool(found.differences) is bool(found.largest_difference)
    if not here.lacks_pages:
        left = {cell for cell in cells & by_cell(there.rows).keys() if str(cell[0]).startswith(PREFIX)}
        assert found.differences == len(left)
