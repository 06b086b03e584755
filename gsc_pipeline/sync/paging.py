"""Reads all pages of an answer, and removes rows that appear on two pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import WrongAnswerError
from gsc_pipeline.search_console.requests import (
    CUT_ROWS,
    PAGE_ROWS,
    AnalyticsRequest,
    DayRequest,
    PageFilters,
)
from gsc_pipeline.sync.past_cap import EVERYTHING

FULL_PAGE_SHARE = 0.9
"""A page at least this full may be followed by another: the API sometimes returns slightly short pages."""


@dataclass(frozen=True, slots=True)
class Pages:
    """A complete answer. `rows` has each key once; `received` counts the rows with their duplicates."""

    rows: pa.Table
    received: int
    api_calls: int

    @property
    def repeats(self) -> int:
        """How many rows appeared on two pages. Each stands in the place of a row that is missing."""
        repeats: int = self.received - self.rows.num_rows
        return repeats

    @property
    def is_cut(self) -> bool:
        """Whether rows are missing, as far as the answer shows."""
        return self.received >= CUT_ROWS or self.repeats > 0


@dataclass(frozen=True, slots=True)
class GrainRows:
    """The rows of one grain of a day, each key once. `repeats` counts the rows that appeared on two pages:
    each stands in the place of a row that is missing.

    `complete`: the filters of the answers that were not cut; the rows that they keep are all there are.
    `has_earlier`: some rows are of earlier syncs. `cut` are the keys beside the query of which these left
    rows cut; None if that is not known.
    """

    keys: tuple[str, ...]
    rows: pa.Table
    repeats: int
    complete: Sequence[PageFilters]
    api_calls: int
    has_earlier: bool = False
    cut: pa.Table | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the API may have cut off rows that no answer has."""
        return EVERYTHING[0] not in self.complete and (self.cut is None or self.cut.num_rows > 0)


def read_grain(console: SearchConsole, site_url: str, request: DayRequest, cut_rows: int) -> GrainRows:
    """Read one grain of a day, as `read_pages`. An answer of at least `cut_rows` rows counts as cut."""
    pages = read_pages(console, site_url, request)
    return GrainRows(
        request.dimensions,
        pages.rows,
        repeats=pages.repeats,
        complete=() if pages.received >= cut_rows else EVERYTHING,
        api_calls=pages.api_calls,
    )


def read_pages(console: SearchConsole, site_url: str, request: AnalyticsRequest) -> Pages:
    """Read every page of an answer. `startRow` advances by the number of rows received.

    Raises the SearchConsoleError of the first call that fails, and WrongAnswerError if the last page that the
    client may read (GSC_API_PAGES) is still full. Google's answers end after 50,000 rows. An empty page after
    fewer is requested again: it would end the answer, and rows would be missing without a trace.
    """
    pages: list[pa.Table] = []
    received, extra_calls = 0, 0
    while True:
        pages.append(console.query(site_url, request, start_row=received).rows)
        if not pages[-1].num_rows and 0 < received < CUT_ROWS:
            pages[-1] = console.query(site_url, request, start_row=received).rows
            extra_calls += 1
        received += pages[-1].num_rows
        if pages[-1].num_rows < FULL_PAGE_SHARE * PAGE_ROWS:
            break
        if len(pages) >= console.most_pages:
            raise WrongAnswerError(
                f"the answer by {', '.join(request.dimensions)} does not end: {received} rows on "
                f"{len(pages)} pages, and the last is still full (GSC_API_PAGES)"
            )
    # Rows on a single page are unique. An empty page after it adds none.
    is_one_page = received == pages[0].num_rows
    rows = pages[0] if is_one_page else each_key_once(pa.concat_tables(pages), request.dimensions)
    return Pages(rows, received, len(pages) + extra_calls)


def read_pages_twice_if_moved(console: SearchConsole, site_url: str, request: AnalyticsRequest) -> Pages:
    """`read_pages`, and a second time if rows moved between pages. Rows that this misses are of the first."""
    first = read_pages(console, site_url, request)
    if not first.repeats:
        return first
    again = read_pages(console, site_url, request)
    again = replace(again, api_calls=first.api_calls + again.api_calls)
    if not again.repeats:
        return again
    rows = each_key_once(pa.concat_tables([again.rows, first.rows]), request.dimensions)
    return replace(again, rows=rows, received=max(again.received, rows.num_rows))


def each_key_once(rows: pa.Table, keys: tuple[str, ...]) -> pa.Table:
    """The first row of each key."""
    metrics = [name for name in rows.column_names if name not in keys]
    first = rows.group_by(list(keys), use_threads=False).aggregate([(name, "first") for name in metrics])
    return first.rename_columns([*keys, *metrics]).select(rows.column_names).cast(rows.schema)
