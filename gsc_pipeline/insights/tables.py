"""Insight tables: frames as rows to store, and stored rows in the order of their importance."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow as pa

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    ANOMALIES,
    CANNIBALISATION,
    CHANGE_POINTS,
    CONTENT_DECAY,
    CONTENT_GROUP_DAYS,
    CTR_CURVE,
    CTR_GAP,
    DAILY_PERFORMANCE,
    FORECASTS,
    INDEX_COVERAGE,
    SEO_TESTS,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)

_RANKING: dict[TableSpec, tuple[str, ...]] = {
    DAILY_PERFORMANCE: ("-data_date",),
    CTR_CURVE: (),
    CTR_GAP: ("-gap_clicks",),
    STRIKING_DISTANCE: ("-potential_clicks", "-impressions"),
    # The pages of a query stay together.
    CANNIBALISATION: ("-query_clicks", "site_url", "search_type", "query", "-clicks"),
    CONTENT_DECAY: ("change",),
    WINNERS_AND_LOSERS: ("-size_of_change", "-impressions_of_both"),
    ANOMALIES: ("-data_date",),
    INDEX_COVERAGE: ("-is_problem", "-pages"),
    CONTENT_GROUP_DAYS: ("-data_date", "-clicks"),
    CHANGE_POINTS: ("-first_day", "-confidence"),
    FORECASTS: ("-made_on",),
    SEO_TESTS: ("-start_day",),
}
"""Columns to sort by, with a minus where the largest value comes first. The table's keys break ties."""

_DERIVED: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "size_of_change": lambda rows: rows["change"].abs(),
    "impressions_of_both": lambda rows: rows["impressions"] + rows["impressions_before"],
}


def ranked(table: TableSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one workspace in the order of the table's ranking; missing values come last."""
    columns = dict.fromkeys((*_RANKING[table], *(key for key in table.keys if key != "workspace")))
    names = [column.removeprefix("-") for column in columns]
    derived = {name: _DERIVED[name](rows) for name in names if name in _DERIVED}
    ascending = [not column.startswith("-") for column in columns]
    ordered = rows.assign(**derived).sort_values(names, ascending=ascending, ignore_index=True)
    return ordered.drop(columns=list(derived))


def read_ranked(lake: Lake, table: TableSpec, workspace: str) -> pd.DataFrame:
    """The workspace's rows of an insight, ranked. Counts are Int64, which may be missing.

    They are those of every dimension and content group: `Scope.of` selects. Raises LakeError if the lake
    cannot be read.
    """
    rows = lake.read(table, workspace=workspace)
    counts = {pa.int64(): pd.Int64Dtype()}
    return ranked(table, rows.to_pandas(date_as_object=False, types_mapper=counts.get))


def no_rows(table: TableSpec) -> pd.DataFrame:
    """A frame with the table's columns and no rows."""
    frame: pd.DataFrame = table.schema.empty_table().to_pandas(date_as_object=False)
    return frame


def as_table(spec: TableSpec, frame: pd.DataFrame, workspace: str, *, month_of: str = "as_of") -> pa.Table:
    """The frame as rows of `spec`, with workspace and month added; `month_of` names the column of the day.

    Raises ValueError if a key has two rows, a column is missing, or a value is null where it may not be.
    """
    keys = [name for name in spec.keys if name != "workspace"]
    if frame.duplicated(keys).any():
        raise ValueError(f"{spec.name}: a key has two rows")
    months = pd.to_datetime(frame[month_of]).dt.strftime("%Y-%m") if month_of in frame else None
    whole = frame.assign(workspace=workspace, month=months)
    arrays = []
    for field in spec.schema:
        if field.name not in whole.columns:
            raise ValueError(f"{spec.name}: the frame has no column {field.name}")
        array = pa.array(whole[field.name], field.type, from_pandas=True)
        if array.null_count and not field.nullable:
            raise ValueError(f"{spec.name}: {field.name} is missing in {array.null_count} rows")
        arrays.append(array)
    # In one chunk, because Delta writes chunks in any order.
    return pa.Table.from_arrays(arrays, schema=spec.schema).combine_chunks()
