"""What the insights' functions share: declared inputs, ratios that may not exist, frames as tables.

Belongs here: handling of frames. Does not: any insight's definition.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from gsc_pipeline.lake.schemas import TableSpec

SERIES = ["site_url", "search_type"]
"""What nothing is ever summed over: properties may hold each other, search types count differently."""


def require(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """These columns of the frame, as a frame of their own.

    Raises ValueError naming the ones that are not there.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(f"input without the columns {', '.join(missing)}")
    return frame[list(columns)].reset_index(drop=True)


def ratio(above: pd.Series, below: pd.Series) -> pd.Series:
    """`above` by `below` as floats; missing where `below` is zero or either is missing."""
    below = below.astype("Float64")
    return above.astype("Float64") / below.mask(below == 0)


def average_position(sum_position: pd.Series, impressions: pd.Series) -> pd.Series:
    """The average counted from one, of zero-based sums; missing without impressions, and for feeds."""
    return ratio(sum_position, impressions) + 1


def as_table(spec: TableSpec, frame: pd.DataFrame, workspace: str, *, month_of: str = "as_of") -> pa.Table:
    """The frame as rows of `spec`, with the partition columns; `month_of` names the day that has the month.

    Raises ValueError when a key has two rows, a column is missing or a value does not fit its column.
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
    # Delta writes the pieces of a table in any order, and readers expect the order of the frame.
    return pa.Table.from_arrays(arrays, schema=spec.schema).combine_chunks()
