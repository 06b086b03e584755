"""All pages of an answer: where each begins, when the last has come, rows that come twice.

Belongs here: paging. Does not: what is asked for and what the rows mean (`read`, `hourly`, `appearance`).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import WrongAnswerError
from gsc_pipeline.search_console.requests import PAGE_ROWS, AnalyticsRequest

FULL_PAGE_SHARE = 0.9
"""A page this full may be followed by another even when it is short: pages have been seen to be."""


@dataclass(frozen=True, slots=True)
class Pages:
    """A whole answer: its rows, each key once; how many rows came, those that came twice too; the calls."""

    rows: pa.Table
    received: int
    api_calls: int


def read_pages(console: SearchConsole, site_url: str, request: AnalyticsRequest) -> Pages:
    """Read every page of an answer. `startRow` advances by the rows received, whatever their number.

    Raises the SearchConsoleError of the first call that fails, and WrongAnswerError where the pages do not
    end: Google's do after 50,000 rows.
    """
    pages: list[pa.Table] = []
    received = 0
    while True:
        pages.append(console.query(site_url, request, start_row=received).rows)
        received += pages[-1].num_rows
        if pages[-1].num_rows < FULL_PAGE_SHARE * PAGE_ROWS:
            break
        if len(pages) >= console.most_pages:
            raise WrongAnswerError(
                f"the answer by {', '.join(request.dimensions)} does not end: {received} rows on "
                f"{len(pages)} pages, and the last is still full (GSC_API_PAGES)"
            )
    # A full page is followed by another even where that is empty: then no row can have come twice.
    is_one_page = received == pages[0].num_rows
    rows = pages[0] if is_one_page else each_key_once(pa.concat_tables(pages), request.dimensions)
    return Pages(rows, received, len(pages))


def each_key_once(rows: pa.Table, keys: tuple[str, ...]) -> pa.Table:
    """The first row of each key."""
    metrics = [name for name in rows.column_names if name not in keys]
    first = rows.group_by(list(keys), use_threads=False).aggregate([(name, "first") for name in metrics])
    return first.rename_columns([*keys, *metrics]).select(rows.column_names).cast(rows.schema)
