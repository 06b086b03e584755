"""Reading one day: all pages of a grain, and the four grains that make the rows of both tables.

Belongs here: paging, rows seen twice, the cap. Does not: what the rows of a table are (`grains`), which
days to read (`decide`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from gsc_pipeline.days import Window
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.requests import (
    DAY_ROWS_CAP,
    PAGE_ROWS,
    AnalyticsRequest,
    DailyTotals,
    PageQueries,
    PageTotals,
    PropertyQueries,
    PropertyTotals,
)
from gsc_pipeline.search_console.search_types import QueryType, SearchType
from gsc_pipeline.sync.decide import Probe
from gsc_pipeline.sync.grains import DayOf, site_rows, url_rows
from gsc_pipeline.sync.ledger import DayTotals

FULL_PAGE_SHARE = 0.9
"""A page this full may be followed by another even when it is short: pages have been seen to be."""


@dataclass(frozen=True, slots=True)
class DayRead:
    """One day as read: the rows of both tables, whether a grain met the cap, and what it took."""

    day: date
    site_rows: pa.Table
    url_rows: pa.Table
    truncated: bool
    api_calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Grain:
    rows: pa.Table
    truncated: bool
    api_calls: int


def probe(console: SearchConsole, site_url: str, search_type: SearchType, window: Window) -> Probe:
    """Ask, in one call, for each day's totals over the window and the first incomplete day."""
    answer = console.query(site_url, DailyTotals(search_type, window))
    totals = {
        date.fromisoformat(row["date"]): DayTotals(row["clicks"], row["impressions"], row["position"])
        for row in answer.rows.to_pylist()
    }
    return Probe(totals, answer.first_incomplete_date)


def read_day(
    console: SearchConsole, workspace: str, site_url: str, search_type: SearchType, day: date
) -> DayRead:
    """Read one day at every grain the search type has and make the rows of both tables from them.

    The grains without query come first: they hold the true totals, and the anonymised queries are what
    the grains with query lack of them. Raises the SearchConsoleError of the first call that fails.
    """
    started = time.monotonic()
    of = DayOf(workspace, site_url, search_type, day)
    property_totals = _read(console, site_url, PropertyTotals(search_type, day))
    page_totals = _read(console, site_url, PageTotals(search_type, day))
    grains = [property_totals, page_totals]
    if isinstance(search_type, QueryType):
        property_queries = _read(console, site_url, PropertyQueries(search_type, day))
        page_queries = _read(console, site_url, PageQueries(search_type, day))
        grains += [property_queries, page_queries]
        site, url = (
            site_rows(of, property_totals.rows, property_queries.rows),
            url_rows(of, page_totals.rows, page_queries.rows),
        )
    else:
        site, url = site_rows(of, property_totals.rows, None), url_rows(of, page_totals.rows, None)
    return DayRead(
        day,
        site,
        url,
        truncated=any(grain.truncated for grain in grains),
        api_calls=sum(grain.api_calls for grain in grains),
        seconds=time.monotonic() - started,
    )


def _read(console: SearchConsole, site_url: str, request: AnalyticsRequest) -> _Grain:
    """Every page of an answer. `startRow` advances by the rows received, whatever their number."""
    pages: list[pa.Table] = []
    received = 0
    while True:
        page = console.query(site_url, request, start_row=received).rows
        pages.append(page)
        received += page.num_rows
        if page.num_rows < FULL_PAGE_SHARE * PAGE_ROWS:
            break
    rows = pages[0] if len(pages) == 1 else _without_repeats(pa.concat_tables(pages), request.dimensions)
    return _Grain(rows, truncated=received >= DAY_ROWS_CAP, api_calls=len(pages))


def _without_repeats(rows: pa.Table, keys: tuple[str, ...]) -> pa.Table:
    """Rows that ties moved between pages while paging come twice: the first of each key is kept."""
    metrics = [name for name in rows.column_names if name not in keys]
    first = rows.group_by(list(keys), use_threads=False).aggregate([(name, "first") for name in metrics])
    return first.rename_columns([*keys, *metrics]).cast(rows.schema)
