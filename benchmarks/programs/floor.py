"""The floor: the least work of a program that requests the days and writes them to a table.

One request a day by all five dimensions, eight at once; msgspec, Arrow columns, one Delta commit. It has no
ledger, totals, residuals, retries or checks. It sets Arrow up as the project does, so it does not load
pandas: a slower floor would prove nothing.
"""

from __future__ import annotations

import gc
import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import local
from urllib.parse import quote, urlsplit

import msgspec
import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from gsc_pipeline.lake.arrow_process import prepare_arrow

DIMENSIONS = ("date", "query", "page", "country", "device")
PAGE_ROWS = 25_000
AT_ONCE = 8
SCHEMA = pa.schema(
    [(name, pa.string()) for name in DIMENSIONS]
    + [("clicks", pa.int64()), ("impressions", pa.int64()), ("position", pa.float64())]
)


class AnswerRow(msgspec.Struct, gc=False):
    """One row of an answer."""

    keys: tuple[str, str, str, str, str]
    clicks: float
    impressions: float
    position: float


class Answer(msgspec.Struct, gc=False):
    """One page of an answer."""

    rows: list[AnswerRow] = []


DECODER = msgspec.json.Decoder(Answer)
CONNECTIONS = local()


def day_rows(url: str, site: str, day: date) -> list[pa.Table]:
    """All pages of one day."""
    pages: list[pa.Table] = []
    while not pages or pages[-1].num_rows == PAGE_ROWS:
        pages.append(one_page(url, site, day, start_row=len(pages) * PAGE_ROWS))
    return pages


def one_page(url: str, site: str, day: date, *, start_row: int) -> pa.Table:
    """One page, over the connection of this thread."""
    if not hasattr(CONNECTIONS, "http"):
        CONNECTIONS.http = http.client.HTTPConnection(urlsplit(url).netloc)
    request = {
        "startDate": str(day),
        "endDate": str(day),
        "dimensions": DIMENSIONS,
        "dataState": "all",
        "rowLimit": PAGE_ROWS,
        "startRow": start_row,
    }
    path = f"/webmasters/v3/sites/{quote(site, safe='')}/searchAnalytics/query"
    CONNECTIONS.http.request("POST", path, json.dumps(request), {"Authorization": "Bearer none"})
    return columns(DECODER.decode(CONNECTIONS.http.getresponse().read()).rows)


def columns(rows: list[AnswerRow]) -> pa.Table:
    """Rows as Arrow columns."""
    if not rows:
        return SCHEMA.empty_table()
    keys = [pa.array(column, pa.string()) for column in zip(*[row.keys for row in rows], strict=True)]
    clicks = np.fromiter([row.clicks for row in rows], np.float64, len(rows)).astype(np.int64)
    impressions = np.fromiter([row.impressions for row in rows], np.float64, len(rows)).astype(np.int64)
    position = np.fromiter([row.position for row in rows], np.float64, len(rows))
    return pa.table([*keys, clicks, impressions, position], schema=SCHEMA)


def main() -> None:
    """Fetch the job's days into one table."""
    gc.disable()
    prepare_arrow()
    job = json.loads(sys.argv[1])
    start, end = date.fromisoformat(job["start"]), date.fromisoformat(job["end"])
    days = [start + timedelta(days=n) for n in range((end - start).days)]
    with ThreadPoolExecutor(AT_ONCE) as executor:
        pages = executor.map(lambda day: day_rows(job["url"], job["site"], day), days)
        table = pa.concat_tables([page for of_day in pages for page in of_day])
    write_deltalake(f"{job['folder']}/table", table)
    print(json.dumps({"rows": table.num_rows}))  # noqa: T201


if __name__ == "__main__":
    main()
