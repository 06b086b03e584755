"""Fills a lake like a successful sync, from the facts of a property and without the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import ONE_DAY, Window, month_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION, TableSpec
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.search_console.search_types import search_type_from_wire
from gsc_pipeline.simulator import Property
from gsc_pipeline_tests.truth import site_truth, url_truth

READ_AT = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


def fill(
    lake: Lake,
    workspace: str,
    prop: Property,
    window: Window,
    *,
    search_types: Sequence[str] = ("web",),
    provisional: int = 0,
    without: Iterable[date] = (),
    failed: Iterable[date] = (),
    read_at: datetime = READ_AT,
) -> None:
    """Write rows and ledger for the days of the window; the last `provisional` of them are not final.

    Days in `without` have no record, as if they had never been read. Days in `failed` have rows.
    """
    # A lake has a ledger before any other table.
    lake.create(SYNC_LEDGER)
    absent, broken = frozenset(without), frozenset(failed)
    first_provisional = window.end - provisional * ONE_DAY
    for search_type in search_types:
        days = tuple(day for day in window if day not in absent)
        if not days:
            continue
        facts = {day: prop.facts(search_type, day) for day in days}
        site = {day: site_truth(one) for day, one in facts.items() if one is not None}
        url = {day: url_truth(one) for day, one in facts.items() if one is not None}
        target = Target(workspace, prop.site_url, search_type_from_wire(search_type).name, days)
        lake.replace(SITE_IMPRESSION, target, _rows(SITE_IMPRESSION, target, site))
        lake.replace(URL_IMPRESSION, target, _rows(URL_IMPRESSION, target, url))
        records = []
        for day in days:
            status = "provisional" if day >= first_provisional else "final" if day in site else "empty"
            status = "failed" if day in broken else status
            records.append(_record(target, day, site.get(day), url.get(day), status, read_at))
        lake.replace(SYNC_LEDGER, target, pa.Table.from_pylist(records, schema=SYNC_LEDGER.schema))


def _rows(table: TableSpec, target: Target, rows_of: dict[date, pa.Table]) -> pa.Table:
    parts = []
    for day, rows in rows_of.items():
        known = {
            "data_date": pa.array([day] * len(rows), pa.date32()),
            "workspace": pa.array([target.workspace] * len(rows)),
            "month": pa.array([month_of(day)] * len(rows)),
            "site_url": pa.array([target.site_url] * len(rows)),
            "search_type": pa.array([target.search_type] * len(rows)),
            "is_anonymized_discover": pa.array([False] * len(rows)),
        }
        columns = [
            rows[field.name]
            if field.name in rows.column_names
            else known.get(field.name, pa.nulls(len(rows), field.type))
            for field in table.schema
        ]
        parts.append(pa.Table.from_arrays([_whole(column) for column in columns], schema=table.schema))
    return pa.concat_tables(parts) if parts else table.schema.empty_table()


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _record(
    target: Target, day: date, rows: pa.Table | None, by_page: pa.Table | None, status: str, read_at: datetime
) -> dict[str, object]:
    impressions = 0 if rows is None else pc.sum(rows["impressions"]).as_py()
    positions = None if rows is None else pc.sum(rows["sum_top_position"]).as_py()
    return {
        "workspace": target.workspace,
        "site_url": target.site_url,
        "search_type": target.search_type,
        "data_date": day,
        "month": month_of(day),
        "status": status,
        "clicks": 0 if rows is None else pc.sum(rows["clicks"]).as_py(),
        "impressions": impressions,
        "position": positions / impressions + 1 if positions is not None and impressions else None,
        "site_rows": 0 if rows is None else len(rows),
        "url_rows": 0 if by_page is None else len(by_page),
        "truncated": False,
        "cut_clicks": 0,
        "cut_impressions": 0,
        "first_read_at": read_at - timedelta(days=1),
        "last_read_at": read_at,
        "api_calls": 2,
        "reason": "new",
        "run_id": "filled",
    }
