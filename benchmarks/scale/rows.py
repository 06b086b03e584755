"""A lake with tens of millions of rows: a window replaced, four weeks read, all rows summed, all verified."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa

from benchmarks.property import MadeUpProperty, grouped
from benchmarks.scale.common import Part, Sizes, in_a_process, mib, s, timed, today
from benchmarks.scale.filling import SITES, as_written_before, at_once, history, workspace_id
from gsc_pipeline.days import month_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE_FLAGS, SYNC_LEDGER, URL_IMPRESSION
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, Status, write_ledger
from gsc_pipeline.sync.verify import verify

SITE = SITES[0]


def measure(folder: Path, sizes: Sizes) -> Part:
    """Fill a lake, then measure each operation in a process of its own."""
    lake, days = Lake(str(folder / "rows")), history(sizes.months, today())
    first, *rest = [
        (lake.uri, number, sizes.lake_rows_a_day, days) for number in range(sizes.lake_workspaces)
    ]
    filling = timed(lambda: _fill(first, rest))
    middle = workspace_id(sizes.lake_workspaces // 2)
    everything = in_a_process(by_month, lake.uri)
    total = sum(count for _, count, _ in everything.result)
    works = {
        "14 days of one workspace replaced": in_a_process(
            overwrite, lake.uri, middle, sizes.lake_rows_a_day, days[-14:]
        ),
        "28 days of one workspace, by day (SQL)": in_a_process(read, lake.uri, middle, days[-28], BY_DAY),
        "28 days of one workspace, top 100 queries (SQL)": in_a_process(
            read, lake.uri, middle, days[-28], TOP
        ),
        "all rows, clicks and impressions by month (SQL)": everything,
        "every file and every day verified (`gsc verify`)": in_a_process(verified, lake.uri),
    }
    size = sum(file.stat().st_size for file in Path(lake.uri).rglob("*.parquet"))
    return Part(
        f"The lake with {total / 1e6:,.1f} million rows",
        ("", "wall", "CPU", "peak memory"),
        tuple((name, s(one.wall), s(one.cpu), mib(one.peak_mib)) for name, one in works.items()),
        f"`searchdata_url_impression` of {sizes.lake_workspaces} workspaces over {sizes.months} months of "
        f"30 days takes {size / 2**20:,.0f} MiB ({size / total:.1f} bytes a row); writing it took "
        f"{filling.wall:,.0f} s. Replacing and reading a window of one workspace opens that workspace's "
        "files of one or two months, however large the rest is. Each process opened the table itself. Only "
        "a sum over all rows grows with the lake.",
    )


def verified(uri: str) -> int:
    """Verify the lake, and return the number of comparisons."""
    found = verify(Lake(uri))
    assert found.is_good, found.findings()[:3]
    return found.compared


def _fill(first: Sequence[object], rest: Sequence[Sequence[object]]) -> None:
    write_rows(*first)  # type: ignore[arg-type]
    if rest:
        at_once(write_rows, rest)


def write_rows(uri: str, number: int, rows_a_day: int, days: Sequence[date]) -> None:
    """Write all days of one workspace in one commit, with a file a month, and their ledger."""
    lake, rows = Lake(uri), url_rows(workspace_id(number), rows_a_day, days)
    target = Target(workspace_id(number), SITE, "WEB", tuple(days))
    # A table can only be created while the ledger has no rows of it.
    lake.create(SYNC_LEDGER)
    lake.append(URL_IMPRESSION, rows)
    sums = rows.group_by("data_date").aggregate(
        [("clicks", "sum"), ("impressions", "sum"), ("clicks", "count")]
    )
    write_ledger(
        lake,
        target,
        [
            DayRecord(
                row["data_date"],
                Status.FINAL,
                DayTotals(row["clicks_sum"], row["impressions_sum"], 1.0),
                url_rows=row["clicks_count"],
                url_clicks=row["clicks_sum"],
                url_impressions=row["impressions_sum"],
            )
            for row in sums.to_pylist()
        ],
    )


def url_rows(workspace: str, rows_a_day: int, days: Sequence[date]) -> pa.Table:
    """The rows of some days of a workspace's property, as a sync writes them."""
    made_up = MadeUpProperty(rows_a_day)
    week = [_columns(made_up, day) for day in days[:7]]
    parts = []
    for number, day in enumerate(days):
        rows = week[number % len(week)]
        for name, value in (("data_date", day), ("month", month_of(day))):
            rows = rows.append_column(name, pa.repeat(pa.scalar(value), rows.num_rows))
        parts.append(rows)
    rows = pa.concat_tables(parts)
    constants = {
        "site_url": SITE,
        "search_type": "WEB",
        "workspace": workspace,
        "is_anonymized_query": False,
        "is_anonymized_discover": False,
    }
    for name, value in constants.items():
        rows = rows.append_column(name, pa.repeat(pa.scalar(value), rows.num_rows))
    for flag in SEARCH_APPEARANCE_FLAGS:
        rows = rows.append_column(flag, pa.nulls(rows.num_rows, pa.bool_()))
    return as_written_before(rows, URL_IMPRESSION.schema)


def _columns(made_up: MadeUpProperty, day: date) -> pa.Table:
    rows = grouped(made_up.day(day), ("page", "query", "country", "device"))
    keys = {"url": "page", "query": "query", "country": "country", "device": "device"}
    spelled = {
        name: pa.array(made_up.names(dimension)).take(rows[dimension].combine_chunks())
        for name, dimension in keys.items()
    }
    return pa.table({**spelled, **{name: rows[name] for name in ("clicks", "impressions", "sum_position")}})


def overwrite(uri: str, workspace: str, rows_a_day: int, days: Sequence[date]) -> None:
    """Replace the days' rows with equal ones. Making them is a small part of the time."""
    target = Target(workspace, SITE, "WEB", tuple(days))
    Lake(uri).replace(URL_IMPRESSION, target, url_rows(workspace, rows_a_day, days))


BY_DAY = """SELECT data_date, sum(clicks), sum(impressions), count(*) FROM searchdata_url_impression
    WHERE workspace = $workspace AND data_date BETWEEN $first AND $last GROUP BY ALL ORDER BY ALL"""
TOP = """SELECT query, sum(clicks) AS clicks FROM searchdata_url_impression
    WHERE workspace = $workspace AND data_date BETWEEN $first AND $last
    GROUP BY ALL ORDER BY clicks DESC LIMIT 100"""


def read(uri: str, workspace: str, first: date, sql: str) -> list[tuple[object, ...]]:
    """Query four weeks of one workspace."""
    with connect(Lake(uri), [URL_IMPRESSION]) as connection:
        given = {"workspace": workspace, "first": first, "last": first + timedelta(days=27)}
        return connection.execute(sql, given).fetchall()


def by_month(uri: str) -> list[tuple[str, int, int]]:
    """Rows and clicks by month."""
    with connect(Lake(uri), [URL_IMPRESSION]) as connection:
        sql = "SELECT month, count(*), sum(clicks) FROM searchdata_url_impression GROUP BY ALL ORDER BY ALL"
        return connection.execute(sql).fetchall()
