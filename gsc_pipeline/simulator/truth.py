"""What a faithful copy must hold: facts summed to the rows of the two tables, apart from the server.

Belongs here: the expected rows of a day, straight from facts. Does not: anything the server uses;
`answers` counts on its own, so that a mistake there shows against these.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.simulator.facts import ANONYMIZED, SEARCH_TYPES, Facts


def site_truth(facts: Facts, *, with_device: bool = True) -> pa.Table:
    """The day's rows of the table counted by property.

    Columns query (empty where anonymised), is_anonymized_query, country, device, impressions, clicks,
    sum_top_position. Anonymised rows are grouped by country and device. Discover and Google News count
    by page: no query, nothing anonymised, null positions. Devices are null for discover, and for all
    where they were not to be had (`with_device` false: googleNews when it refuses the dimension).
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


def _summed(facts: Facts, first: list[str], basis: Literal["", "top_"], with_device: bool) -> pa.Table:
    kind, labels = SEARCH_TYPES[facts.search_type], facts.labels
    anonymized = facts.query == ANONYMIZED
    size = len(facts)
    columns = {
        "url": pa.array(labels.page[facts.page], pa.string()),
        "query": pa.array(
            ["" if code == ANONYMIZED else labels.query[code] for code in facts.query], pa.string()
        ),
        "is_anonymized_query": pa.array(anonymized & kind.has_query),
        "country": pa.array(labels.country[facts.country], pa.string()),
        "device": pa.array(labels.device[facts.device], pa.string())
        if kind.has_device and with_device
        else pa.nulls(size, pa.string()),
        "impressions": pa.array(getattr(facts, f"{basis}impressions")),
        "clicks": pa.array(getattr(facts, f"{basis}clicks")),
        "sum_position": pa.array(getattr(facts, f"sum_{basis}position"))
        if kind.has_position
        else pa.nulls(size, pa.int64()),
    }
    keys = [*first, "query", "is_anonymized_query", "country", "device"]
    measures = ["impressions", "clicks", "sum_position"]
    table = pa.table({name: columns[name] for name in (*keys, *measures)})
    table = table.filter(pc.or_(pc.greater(table["impressions"], 0), pc.greater(table["clicks"], 0)))
    summed = table.group_by(keys).aggregate([(name, "sum") for name in measures])
    return summed.select([*keys, *(f"{name}_sum" for name in measures)]).rename_columns([*keys, *measures])
