"""The declaration of a table, and the columns that several tables share.

The docs and Dagster's UI show the descriptions.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

PARTITION_COLUMNS = ("workspace", "month")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table: its name, description, key columns and Arrow schema.

    `partition_by`: small tables have fewer partition columns, because a reader of all workspaces opens every
    file, and each commit takes longer with more files.
    """

    name: str
    description: str
    keys: tuple[str, ...]
    schema: pa.Schema
    partition_by: tuple[str, ...] = PARTITION_COLUMNS


def column(name: str, type_: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    """A column with its description."""
    return pa.field(name, type_, nullable=nullable, metadata={"description": description})


TEXT, COUNT, FLAG, DAY, DECIMAL = pa.string(), pa.int64(), pa.bool_(), pa.date32(), pa.float64()
TIMESTAMP = pa.timestamp("us", tz="UTC")

WORKSPACE = column("workspace", TEXT, "The workspace's id in the workspaces file")
MONTH = column("month", TEXT, "The month of data_date, YYYY-MM")
DATA_DATE = column("data_date", DAY, "The day, in Pacific time, as Search Console counts")
SITE_URL = column("site_url", TEXT, "The property, as Search Console spells it")
SEARCH_TYPE = column("search_type", TEXT, "WEB IMAGE VIDEO NEWS DISCOVER GOOGLE_NEWS")
QUERY = column("query", TEXT, "The search query; empty for anonymised queries and for feeds")
IS_ANONYMIZED_QUERY = column(
    "is_anonymized_query",
    FLAG,
    "True for the row with the anonymised rest: the totals minus all listed queries",
)
IS_TRUNCATED = column(
    "is_truncated",
    FLAG,
    "True for an anonymised row that also has named queries which the API cut off; null if read by release "
    "0.2.0 or earlier",
    nullable=True,
)
COUNTRY = column("country", TEXT, "Lower-case ISO alpha-3 code; zzz if unknown")
DEVICE = column("device", TEXT, "DESKTOP MOBILE TABLET; null for Discover", nullable=True)
CLICKS = column("clicks", COUNT, "Clicks from search results")
GRAIN = column("grain", TEXT, "property (the whole property) or page; do not add the two")
URL_OF_PAGE_GRAIN = column("url", TEXT, "The page's URL; null at grain property", nullable=True)
SUM_POSITION = column(
    "sum_position",
    COUNT,
    "Sum of the zero-based positions of all impressions; null for feeds",
    nullable=True,
)
