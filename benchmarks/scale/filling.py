"""Lakes like those of long use, written in bulk instead of by syncs.

Totals are those of the benchmarks' server, so a sync of such a lake finds nothing to do.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.property import MadeUpProperty
from gsc_pipeline.days import month_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_LEDGER, SYNC_RUNS

ROWS_SERVED = 20
"""Rows a day of the server's property in the parts that measure idle ticks, which read none."""
SITES = ("sc-domain:example.com", "https://shop.example.com/", "https://blog.example.com/")
FRESH_DAYS = 2
"""The newest days, which are provisional (the same as `pages.FRESH_DAYS`)."""
PROCESSES = 2


def workspace_id(number: int) -> str:
    """The id of the n-th workspace."""
    return f"client-{number:04d}"


def history(months: int, today: date) -> list[date]:
    """The days of that many months of 30 days, up to yesterday."""
    return [today - timedelta(days=n) for n in range(30 * months, 0, -1)]


def at_once(work: Callable[..., None], chunks: Sequence[Sequence[Any]]) -> None:
    """Call `work` with the arguments of each chunk, in parallel processes. Delta does not allow forking."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(PROCESSES, len(chunks))) as pool:
        pool.starmap(work, chunks)


def chunked(count: int, size: int) -> list[tuple[int, int]]:
    """The first number and the end (exclusive) of chunks of `size`."""
    return [(first, min(first + size, count)) for first in range(0, count, size)]


def lake_of(folder: Path, workspaces: int, months: int, today: date) -> Lake:
    """A lake with the ledger and the runs of `workspaces` over `months`.

    Parts share it. A part adds a few runs.
    """
    lake = Lake(str(folder / "lakes" / f"{workspaces}-{months}"))
    if Path(lake.uri).exists():
        return lake
    first, *rest = [(lake.uri, *numbers, months, today) for numbers in chunked(workspaces, 20)]
    write_bookkeeping(*first)
    if rest:
        at_once(write_bookkeeping, rest)
    return lake


def write_bookkeeping(uri: str, first: int, last: int, months: int, today: date) -> None:
    """The rows of workspaces from number `first` to `last`, in one commit to each table."""
    lake, days = Lake(uri), history(months, today)
    ids = [workspace_id(number) for number in range(first, last)]
    lake.append(SYNC_LEDGER, ledger_rows(ids, days, today))
    lake.append(SYNC_RUNS, run_rows(ids, days))


def ledger_rows(workspaces: Sequence[str], days: Sequence[date], today: date) -> pa.Table:
    """A record for each day of each of the three properties, as a first sync writes it."""
    served = MadeUpProperty(ROWS_SERVED)
    totals = [served.totals(day) for day in days]
    fresh = today - timedelta(days=FRESH_DAYS)
    now = datetime.now(UTC) - timedelta(hours=6)
    one = pa.table(
        {
            "data_date": pa.array(days, pa.date32()),
            "month": [month_of(day) for day in days],
            "status": ["provisional" if day >= fresh else "final" for day in days],
            "clicks": [clicks for clicks, _, _ in totals],
            "impressions": [impressions for _, impressions, _ in totals],
            "position": [position for _, _, position in totals],
            # There are no rows in the two large tables: a sync reads days again whose rows are missing.
            "site_rows": [0] * len(days),
            "url_rows": [0] * len(days),
            "truncated": [False] * len(days),
            "first_read_at": pa.array([now - timedelta(days=30)] * len(days), pa.timestamp("us", "UTC")),
            "last_read_at": pa.array([now - timedelta(days=30)] * len(days), pa.timestamp("us", "UTC")),
            "api_calls": [4] * len(days),
            "reason": ["never read"] * len(days),
            "run_id": ["0" * 32] * len(days),
        }
    )
    parts = [
        _with(one, workspace=workspace, site_url=site, search_type="WEB")
        for workspace in workspaces
        for site in SITES
    ]
    return as_written_before(pa.concat_tables(parts), SYNC_LEDGER.schema)


def run_rows(workspaces: Sequence[str], days: Sequence[date]) -> pa.Table:
    """Four syncs a day of each workspace, which verified 14 days and found no change."""
    starts = [
        datetime(day.year, day.month, day.day, hour, 1, tzinfo=UTC) for day in days for hour in (0, 6, 12, 18)
    ]
    count = len(starts)
    first = [start.date() - timedelta(days=14) for start in starts]
    one = pa.table(
        {
            "month": [month_of(start.date()) for start in starts],
            "run_id": [f"{number:032x}" for number in range(count)],
            "started_at": pa.array(starts, pa.timestamp("us", "UTC")),
            "seconds": [0.4] * count,
            "outcome": ["success"] * count,
            "first_day": pa.array(first, pa.date32()),
            "last_day": pa.array([day + timedelta(days=13) for day in first], pa.date32()),
            "properties": [len(SITES)] * count,
            "days_read": [0] * count,
            "days_unchanged": [14 * len(SITES)] * count,
            "days_empty": [0] * count,
            "days_failed": [0] * count,
            "rows": [0] * count,
            "calls": [len(SITES)] * count,
            "retries": [0] * count,
            "problems": pa.array([[]] * count, pa.list_(pa.string())),
        }
    )
    parts = [_with(one, workspace=workspace) for workspace in workspaces]
    return as_written_before(pa.concat_tables(parts), SYNC_RUNS.schema)


def _with(table: pa.Table, **constants: str) -> pa.Table:
    for name, value in constants.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value), table.num_rows))
    return table


def as_written_before(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows as an earlier release wrote them: the columns that it did not have are null."""
    for field in schema:
        if field.name not in rows.column_names:
            rows = rows.append_column(field.name, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.names).cast(schema)
