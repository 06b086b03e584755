"""The rows that a faithful copy holds, summed from a property's facts without any code of the server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.simulator.facts import ANONYMIZED, SEARCH_TYPES, Codes, Facts, Texts
from gsc_pipeline.simulator.wire.hours import HourlyFacts

_METRICS = ("impressions", "clicks", "sum_position")


def site_truth(facts: Facts, *, with_device: bool = True) -> pa.Table:
    """The day's rows of the table counted by property.

    Columns query (empty where anonymised), is_anonymized_query, country, device, impressions, clicks,
    sum_top_position. Anonymised rows are grouped by country and device. Discover and Google News count
    by page: no query, nothing anonymised, null positions. Devices are null for discover, and for every
    type without `with_device` (googleNews when it refuses the dimension).
    """
    if SEARCH_TYPES[facts.search_type].counts_by_page_only:
        table = _summed(facts, [], "", with_device)
    else:
        table = _summed(facts, [], "top_", with_device)
    return table.rename_columns(
        ["query", "is_anonymized_query", "country", "device", "impressions", "clicks", "sum_top_position"]
    )


def url_truth(facts: Facts, *, with_device: bool = True) -> pa.Table:
    """The day's rows of the table counted by page.

    Columns url, query (empty where anonymised), is_anonymized_query, country, device, impressions,
    clicks, sum_position. Nulls as in `site_truth`.
    """
    return _summed(facts, ["url"], "", with_device)


def answer_truth(facts: Facts, dimensions: Sequence[str], *, by_page: bool) -> pa.Table:
    """The day's rows by these dimensions, as Google would return them without a cap.

    `dimensions` may be query (without anonymised rows), page, country and device. Columns those,
    impressions, clicks, sum_position.
    """
    table = pa.table(_columns(facts, "" if by_page else "top_", with_device=True))
    if "query" in dimensions:
        table = table.filter(pc.not_equal(table["query"], ""))
    by = ["url" if name == "page" else name for name in dimensions]
    return _grouped(table, by).rename_columns([*dimensions, *_METRICS])


def hourly_site_truth(hours: HourlyFacts, *, by: Sequence[str] = ()) -> pa.Table:
    """The hours of a day, counted by property; `by` may add query, country and device.

    Columns hour (as on the wire), starts_at (UTC), those of `by`, impressions, clicks, sum_top_position.
    Discover and Google News count by page and have null positions.
    """
    table = _hourly(hours, by, "" if SEARCH_TYPES[hours.facts.search_type].counts_by_page_only else "top_")
    return table.rename_columns([*table.column_names[:-1], "sum_top_position"])


def hourly_url_truth(hours: HourlyFacts, *, by: Sequence[str] = ()) -> pa.Table:
    """The hours of a day by page, counted by page; `by` as in `hourly_site_truth`.

    Columns hour, starts_at, url, those of `by`, impressions, clicks, sum_position.
    """
    return _hourly(hours, ["url", *by], "")


def appearance_truth(facts: Facts) -> pa.Table:
    """The day's rows by search appearance, counted by page.

    Columns search_appearance, impressions, clicks, sum_position (null for discover and Google News).
    A fact with several appearances counts in each.
    """
    parts = [
        pa.table({"search_appearance": [name], **_totals(with_appearance(facts, name))})
        for name in facts.labels.appearance
        if len(with_appearance(facts, name))
    ]
    schema = pa.schema([("search_appearance", pa.string()), *((name, pa.int64()) for name in _METRICS)])
    return pa.concat_tables([part.cast(schema) for part in parts]) if parts else schema.empty_table()


def with_appearance(facts: Facts, name: str) -> Facts:
    """The facts that a filter by this search appearance keeps."""
    place = facts.labels.appearance.tolist().index(name)
    return facts.take(facts.appearances()[:, place])


def _totals(facts: Facts) -> dict[str, list[int | None]]:
    has_position = SEARCH_TYPES[facts.search_type].has_position
    return {
        "impressions": [int(facts.impressions.sum())],
        "clicks": [int(facts.clicks.sum())],
        "sum_position": [int(facts.sum_position.sum()) if has_position else None],
    }


def _hourly(hours: HourlyFacts, by: Sequence[str], basis: Literal["", "top_"]) -> pa.Table:
    columns = _columns(hours.facts, basis, with_device=True)
    columns["hour"] = pa.array([start.isoformat() for start in hours.starts]).take(pa.array(hours.hour))
    columns["starts_at"] = pa.array(
        [start.astimezone(UTC) for start in hours.starts], pa.timestamp("us", "UTC")
    ).take(pa.array(hours.hour))
    table = pa.table(columns)
    if "query" in by:
        table = table.filter(pc.not_equal(table["query"], ""))
    return _grouped(table, ["hour", "starts_at", *by])


def _summed(facts: Facts, first: list[str], basis: Literal["", "top_"], with_device: bool) -> pa.Table:
    table = pa.table(_columns(facts, basis, with_device))
    return _grouped(table, [*first, "query", "is_anonymized_query", "country", "device"])


def _columns(facts: Facts, basis: Literal["", "top_"], with_device: bool) -> dict[str, pa.Array]:
    search_type, labels = SEARCH_TYPES[facts.search_type], facts.labels
    anonymized = facts.query == ANONYMIZED
    size = len(facts)
    return {
        "url": _taken(labels.page, facts.page),
        "query": pc.if_else(pa.array(anonymized), "", _taken(labels.query, facts.query)),
        "is_anonymized_query": pa.array(anonymized & search_type.has_query),
        "country": _taken(labels.country, facts.country),
        "device": _taken(labels.device, facts.device)
        if search_type.has_device and with_device
        else pa.nulls(size, pa.string()),
        "impressions": pa.array(getattr(facts, f"{basis}impressions")),
        "clicks": pa.array(getattr(facts, f"{basis}clicks")),
        "sum_position": pa.array(getattr(facts, f"sum_{basis}position"))
        if search_type.has_position
        else pa.nulls(size, pa.int64()),
    }


def _taken(labels: Texts, codes: Codes) -> pa.Array:
    """The texts of codes. A million rows take a second, so no row has an object of its own."""
    return pa.array(labels.tolist(), pa.string()).take(pa.array(np.maximum(codes, 0)))


def _grouped(table: pa.Table, keys: list[str]) -> pa.Table:
    table = table.filter(pc.or_(pc.greater(table["impressions"], 0), pc.greater(table["clicks"], 0)))
    summed = table.group_by(keys).aggregate([(name, "sum") for name in _METRICS])
    return summed.select([*keys, *(f"{name}_sum" for name in _METRICS)]).rename_columns([*keys, *_METRICS])
