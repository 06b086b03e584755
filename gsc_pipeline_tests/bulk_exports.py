"""Writes a bulk export of simulated properties, as BigQuery's EXPORT DATA writes the three tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE_FLAGS
from gsc_pipeline.simulator import Property
from gsc_pipeline.simulator.facts import SEARCH_TYPES
from gsc_pipeline_tests.truth import site_truth, url_truth

FLAGS = {
    "PRODUCT_SNIPPETS": "is_product_snippets",
    "REVIEW_SNIPPET": "is_review_snippet",
    "TRANSLATED_RESULT": "is_translated_result",
    "VIDEO": "is_video",
}
"""The column of each appearance that synthetic properties have."""

NAMES = {
    "web": "WEB",
    "image": "IMAGE",
    "video": "VIDEO",
    "news": "NEWS",
    "discover": "DISCOVER",
    "googleNews": "GOOGLE_NEWS",
}

LOG_SCHEMA = pa.schema(
    [
        ("agenda", pa.string()),
        ("namespace", pa.string()),
        ("data_date", pa.date32()),
        ("epoch_version", pa.int64()),
        ("publish_time", pa.timestamp("us", "UTC")),
    ]
)
NAMESPACES = ("SEARCHDATA_SITE_IMPRESSION", "SEARCHDATA_URL_IMPRESSION")


def site_rows(prop: Property, day: date, search_type: str = "web") -> pa.Table:
    """A day's rows of searchdata_site_impression."""
    facts = prop.facts(search_type, day)
    assert facts is not None
    rows = site_truth(facts)
    names = ("country", "search_type", "device", "impressions", "clicks", "sum_top_position")
    return _table(prop, day, search_type, rows, ("query", "is_anonymized_query", *names))


def url_rows(prop: Property, day: date, search_type: str = "web") -> pa.Table:
    """A day's rows of searchdata_url_impression, one for each key and set of search appearances."""
    facts = prop.facts(search_type, day)
    assert facts is not None
    parts = []
    has = facts.appearances()
    names = facts.labels.appearance.tolist()
    for chosen in sorted({tuple(row) for row in has.tolist()}):
        some = facts.take((has == list(chosen)).all(axis=1))
        rows = url_truth(some)
        shown = {FLAGS[name] for name, is_shown in zip(names, chosen, strict=True) if is_shown}
        for flag in SEARCH_APPEARANCE_FLAGS:
            rows = rows.append_column(flag, pa.repeat(flag in shown, rows.num_rows))
        parts.append(rows.append_column("is_anonymized_discover", pa.repeat(False, rows.num_rows)))
    columns = (
        "url", "query", "is_anonymized_query", "is_anonymized_discover", "country", "search_type", "device",
        *SEARCH_APPEARANCE_FLAGS, "impressions", "clicks", "sum_position",
    )  # fmt: skip
    return _table(prop, day, search_type, pa.concat_tables(parts), columns)


def log_rows(days: Sequence[date], *, epoch: int = 0, namespaces: Sequence[str] = NAMESPACES) -> pa.Table:
    """Rows of ExportLog: each day in both tables."""
    rows = [
        (
            "SEARCHDATA",
            namespace,
            day,
            epoch,
            datetime(day.year, day.month, day.day, 9, tzinfo=UTC) + timedelta(2),
        )
        for day in days
        for namespace in namespaces
    ]
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=LOG_SCHEMA)


def write_export(
    folder: Path,
    properties: Sequence[Property],
    days: Sequence[date],
    search_types: Sequence[str] = ("web",),
    *,
    shards: int = 2,
) -> Path:
    """The three tables in a folder, each table's rows in several files and in an order of no use."""
    facts = [(prop, day, kind) for prop in properties for day in days for kind in search_types]
    write_shards(folder, "searchdata_site_impression", [site_rows(*one) for one in facts], shards)
    write_shards(folder, "searchdata_url_impression", [url_rows(*one) for one in facts], shards)
    write_shards(folder, "ExportLog", [log_rows(days)], 1)
    return folder


def write_shards(folder: Path, name: str, tables: Sequence[pa.Table], shards: int = 1) -> None:
    """Files as EXPORT DATA names them: `name-000000000000.parquet` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = pa.concat_tables(tables)
    for shard in range(shards):
        some = rows.take(pa.array(range(shard, rows.num_rows, shards)))
        pq.write_table(some, folder / f"{name}-{shard:012}.parquet", row_group_size=1_000)


def _table(prop: Property, day: date, search_type: str, rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The rows as the export has them: every column nullable, the day and the property first."""
    if not SEARCH_TYPES[search_type].has_query:
        rows = rows.set_column(
            rows.column_names.index("query"), "query", pa.nulls(rows.num_rows, pa.string())
        )
    every = {
        **{name: rows[name] for name in rows.column_names},
        "data_date": pa.repeat(pa.scalar(day), rows.num_rows),
        "site_url": pa.repeat(prop.site_url, rows.num_rows),
        "search_type": pa.repeat(NAMES[search_type], rows.num_rows),
    }
    if not SEARCH_TYPES[search_type].has_position:
        position = "sum_top_position" if "sum_top_position" in rows.column_names else "sum_position"
        every[position] = pc.fill_null(rows[position], 0)
    names = ("data_date", "site_url", *columns)
    return pa.table({name: every[name] for name in names})
